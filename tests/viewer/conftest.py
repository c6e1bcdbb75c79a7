"""One filled centre for every test of the viewer; those who change it only add to it."""

import pytest

from .centre import Centre, fill


@pytest.fixture(scope="session")
def centre(tmp_path_factory) -> Centre:
    return fill(tmp_path_factory.mktemp("viewer"))


@pytest.fixture(scope="module")
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
