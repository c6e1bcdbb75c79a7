"""Services of docker-compose.yml in the image's root, each with mounts and processes of its own, on one network."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml

from app.bench.influxd import Influxd
from app.bench.mosquitto import Mosquitto
from app.deploying.check import VARIABLE
from app.deploying.directory import Layout, environment_of

from . import clean_root
from .clean_root import READONLY, ROOT, Mount, Running, Stage

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
METRICS_PORT, PORTAL_PORT = "9464", "8212"  # in every container; on this machine each service has its own


class Deployed:
    """A deployment's directory, and what of Compose's services is put on it."""

    def __init__(
        self,
        image: Stage,
        layout: Layout,
        broker: Mosquitto,
        series: Influxd,
        portal_port: int,
        free_ports: Callable[[int], list[int]],
    ):
        self.image, self.layout, self.broker, self.series = image, layout, broker, series
        self.portal_port, self._free_ports = portal_port, free_ports
        self._said = environment_of(layout.root)
        self._ports: dict[str, int] = {}

    @property
    def owner(self) -> tuple[int, int]:
        return int(self._said["GREENISLAND_UID"]), int(self._said["GREENISLAND_GID"])

    @contextmanager
    def up(self, name: str, log: Path) -> Iterator[Running]:
        """A service until the block ends."""
        service = COMPOSE["services"][name]
        (port,) = self._free_ports(1)
        self._ports[name] = port
        words = [word.replace(f":{METRICS_PORT}", f":{port}") for word in service["command"]]
        with clean_root.running(self.image, words, self._mounts(service), log, self._user(service)) as one:
            yield one

    def once(self, name: str) -> subprocess.CompletedProcess:
        """A service that ends by itself."""
        service = COMPOSE["services"][name]
        command = self.image.as_user([*self.image.entrypoint, *service["command"]], self._user(service))
        return clean_root.run(self.image, command, self._mounts(service), capture_output=True, text=True, timeout=120)

    def is_healthy(self, name: str, one: Running) -> bool:
        """By its health check."""
        assert one.ended() is None, one.log()
        _, *check, port = COMPOSE["services"][name]["healthcheck"]["test"]
        here = {METRICS_PORT: self._ports[name], PORTAL_PORT: self.portal_port}[port]
        return one.pid is not None and one.execute([*check, str(here)], capture_output=True).returncode == 0

    def figures(self, name: str) -> str:
        return httpx.get(f"http://127.0.0.1:{self._ports[name]}/metrics").text

    def _user(self, service: dict) -> str:
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
        return self._value(service["user"])

    def _mounts(self, service: dict) -> list[Mount]:
        found: list[Mount] = []
        for one in service["tmpfs"]:
            path, _, options = one.partition(":")
            found.append(("tmpfs", options, path))
        for one in service["volumes"]:
            source, target, *how = self._value(one).split(":")
            if source in COMPOSE["volumes"]:
                source = self._value(COMPOSE["volumes"][source]["driver_opts"]["device"])
            found.append((how[0] if how else "rw", source, target))
        for one in service.get("secrets", ()):
            found.append(("ro", self._value(COMPOSE["secrets"][one["source"]]["file"]), one["target"]))
        assert service["read_only"]
        return [*found, READONLY]

    def _value(self, text: str) -> str:
        return VARIABLE.sub(lambda found: self._said[found[1]], text)
