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
        site, state_dir = fill(tmp_path_factory, folder, server.url)
        yield Centre(site, state_dir, BoardRows(site, state_dir))
    finally:
        server.stop()
