"""A live centre for tests: the example site on a real broker, its simulator publishing on the same clock."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import yaml

from app.site.files import load_site
from app.site.rule_files import load_rules
from contracts.clock import Clock
from contracts.site import Site
from rules.spec import Rule
from simulators.simulate import LiveSimulator

from .broker import Mosquitto, Peer

ROOT = Path(__file__).resolve().parents[2]


def zunyi(folder: Path, port: int, **file: object) -> tuple[Path, Site, list[Rule]]:
    """A copy of the example site that uses the broker on `port`; keys of site.yaml may be replaced."""
    directory = folder / "site"
    shutil.copytree(ROOT / "deploy" / "sites" / "zunyi", directory)
    (folder / "password").write_text("c", encoding="utf-8")
    about = yaml.safe_load((directory / "site.yaml").read_text(encoding="utf-8"))
    broker = {"host": "127.0.0.1", "port": port, "username": "collector-main"}
    about |= {"broker": {**broker, "password_file": str(folder / "password")}, **file}
    (directory / "site.yaml").write_text(yaml.safe_dump(about, allow_unicode=True), encoding="utf-8")
    site = load_site(directory)
    return directory, site, [one.rule for one in load_rules(directory, site)]


@contextmanager
def broker_for(site: Site, folder: Path, program: str) -> Iterator[Mosquitto]:
    """Mosquitto with an identity for every station and the collector."""
    mosquitto = Mosquitto(folder / "mosquitto", site.file.broker.port, program)
    mosquitto.add_user("collector-main", "c")
    for station in site.stations:
        mosquitto.add_user(station.station, "s")
    with mosquitto:
        yield mosquitto


def publish_live(site: Site, port: int, clock: Clock, for_: timedelta, stop: threading.Event, seed: int = 7) -> int:
    """Every station publishes as itself, at its time on the clock. Returns how many messages it published."""
    simulator = LiveSimulator(site, seed, "default")
    at = clock.now()
    until = at + for_
    stations = {name: Peer(port, name, "s", client_id=name) for name in sorted(s.station for s in site.stations)}
    for peer in stations.values():
        peer.__enter__()
    sent = 0
    try:
        while at < until and not stop.is_set():
            now = clock.now()
            for message in simulator.messages(at, now):
                stations[message.topic.split("/")[1]].publish(message.topic, message.payload)
                sent += 1
            at = now
            stop.wait(0.02)
    finally:
        for peer in stations.values():
            peer.__exit__()
    return sent
