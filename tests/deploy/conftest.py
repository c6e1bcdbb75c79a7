"""A deployment's directory as `deploy init` makes it, and a broker that runs on it."""

import os
from pathlib import Path

import pytest

from app.deploying.directory import Layout, init

HOST = "127.0.0.1"
STATIONS = ("S1", "S2")
COLLECTORS = ("main", "east")


@pytest.fixture
def deployment(tmp_path) -> Layout:
    """Fresh, with two collectors and two stations; its certificates are for 127.0.0.1."""
    root = tmp_path / "deployment"
    init(root, HOST, "test", COLLECTORS, STATIONS, (os.geteuid(), os.getegid()))
    return Layout(root)


@pytest.fixture(scope="module")
def shared_deployment(tmp_path_factory) -> Layout:
    """The same for a whole module, to be left as it is."""
    root: Path = tmp_path_factory.mktemp("deployed") / "deployment"
    init(root, HOST, "test", COLLECTORS, STATIONS, (os.geteuid(), os.getegid()))
    return Layout(root)
