"""One filled centre for all tests of boards."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from app.influx.board_rows import BoardRows
from contracts.site import Site
from tests.integration.influxd import Influxd

from .centre import fill


@dataclass(frozen=True)
class Centre:
    site: Site
    state_dir: Path
    rows: BoardRows


@pytest.fixture(scope="session")
def centre(require_program, tmp_path_factory, free_ports):
    folder = tmp_path_factory.mktemp("boards")
    (folder / "influxd").mkdir()
    server = Influxd(require_program("influxd", "influxdb"), folder / "influxd", *free_ports(2))
    server.start()
    try:
        site = fill(folder / "state", server.url)
        yield Centre(site, folder / "state", BoardRows(site, folder / "state"))
    finally:
        server.stop()


@pytest.fixture(scope="session")
def free_ports():
    """A function that gives so many free TCP ports on the loopback."""
    import socket

    def pick(n: int) -> list[int]:
        probes = [socket.socket() for _ in range(n)]
        try:
            for probe in probes:
                probe.bind(("127.0.0.1", 0))
            return [probe.getsockname()[1] for probe in probes]
        finally:
            for probe in probes:
                probe.close()

    return pick
