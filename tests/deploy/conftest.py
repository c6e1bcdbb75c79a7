"""A deployment's directory as `deploy init` makes it, and a broker that runs on it."""

import os
import shutil
from pathlib import Path

import pytest

from app.deploying.directory import Layout, init

HOST = "127.0.0.1"
STATIONS = ("S1", "S2")
COLLECTORS = ("main", "east")


def copied(root: Path, to: Path) -> Path:
    """The same directory elsewhere: making one calls openssl a dozen times."""
    shutil.copytree(root, to)
    environment = to / ".env"
    environment.write_text(environment.read_text(encoding="utf-8").replace(str(root), str(to)), encoding="utf-8")
    return to


@pytest.fixture
def deployment(shared_deployment, tmp_path) -> Layout:
    """One of the test's own, with two collectors and two stations; its certificates are for 127.0.0.1."""
    return Layout(copied(shared_deployment.root, tmp_path / "deployment"))


@pytest.fixture(scope="session")
def shared_deployment(tmp_path_factory) -> Layout:
    """To be left as it is."""
    root: Path = tmp_path_factory.mktemp("deployed") / "deployment"
    init(root, HOST, "test", COLLECTORS, STATIONS, (os.geteuid(), os.getegid()))
    return Layout(root)
