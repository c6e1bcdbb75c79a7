"""A centre whose pages are looked at: a day of the example site, decided by the real engine, and a portal process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from argon2 import PasswordHasher

from app.bench.mosquitto import wait_until
from app.operators import spool
from app.portal.apart import PortalProcess, Setup
from app.service.collector import journal_directory
from app.service.engine import Engine
from app.site.rule_files import load_rules
from contracts.clock import ScaledClock
from contracts.instants import epoch_us
from contracts.portal import Portal
from contracts.ports import RawMessage
from contracts.site import Influx, Site
from rules.spec import Rule
from rules.ticks import clock_payload
from store.journal import Journal
from store.portal_db import Account, PortalDb
from tests.decided_day import CLOCK_EVERY, EXAMPLE, HOSTILE, TO_AT, decided_day, send

__all__ = ["EXAMPLE", "HOSTILE", "Centre", "add_people", "fill", "serving"]

PASSWORD = "correct-horse-9"
PEOPLE = {
    "duty": ("duty", "city", ()),
    "viewer": ("viewer", "city", ()),
    "reviewer": ("reviewer", "city", ()),
    "plant": ("enterprise", "enterprise", ("xs-a",)),
}


@dataclass
class Centre:
    directory: Path
    site: Site
    rules: list[Rule]
    state_dir: Path
    at: datetime  # up to which it is decided

    def decide(self) -> None:
        clock = ScaledClock(self.at, 1)
        engine = Engine(self.site, self.rules, self.state_dir, clock)
        try:
            engine.recover()
            while engine.step(800) is not None:
                pass
            engine.checkpoint()
        finally:
            engine.close()

    def journal(self, lasts: timedelta) -> None:
        """What the stations send next, and the clock."""
        until = self.at + lasts
        send(self.site, self.state_dir, self.at, until, [])
        self.at = until + CLOCK_EVERY

    def take_in(self) -> None:
        """As the collector does: records from the spool, and the clock a second later."""
        clock = ScaledClock(self.at, 1)
        with Journal(journal_directory(self.state_dir, "main")) as journal:
            spool.drain(self.state_dir, journal, clock)
            self.at = clock.now() + timedelta(seconds=2)
            journal.append([RawMessage("mqtt", "$clock/main", clock_payload(self.at))], self.at)


def fill(tmp_path_factory, folder: Path) -> Centre:
    """A day, decided; the last spans are not archived; everybody's account; one hostile name."""
    site, directory, state_dir = decided_day(tmp_path_factory, folder)
    rules = [one.rule for one in load_rules(directory, site)]
    add_people(state_dir)
    return Centre(directory, site, rules, state_dir, TO_AT + CLOCK_EVERY)


def add_people(state_dir: Path) -> None:
    kept = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    with PortalDb(state_dir / "portal.db") as db:
        for name, (role, kind, scope) in PEOPLE.items():
            db.add_user(Account(name, name.title(), role, kind, scope, epoch_us(TO_AT), None), kept, "test")


@contextmanager
def serving(centre: Centre, port: int, influx: Influx | None = None, **portal: object) -> Iterator[str]:
    """The portal in its own process, its clock at the end of what is decided; its address. portal: more of its keys."""
    about = {"portal": Portal(port=port, **portal), "influxdb": influx}
    site = centre.site.model_copy(update={"file": centre.site.file.model_copy(update=about)})
    setup = Setup(site, centre.rules, centre.state_dir, centre.directory, ScaledClock(centre.at, 1))
    process, url = PortalProcess(setup), f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.ended() is None, process.ended()
        try:
            return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, "the portal answers", 60)
        yield url
    finally:
        process.close()
