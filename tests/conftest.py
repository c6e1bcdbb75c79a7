"""Fixtures every room's tests share. Missing servers or data skip loudly here; `CI=true` makes that a failure."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile(
    "fast", max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile("again", parent=settings.get_profile("fast"), max_examples=4)  # the same laws, otherwise run
settings.register_profile("long", parent=settings.get_profile("fast"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def missing(what: str) -> None:
    """Skips the test; under CI nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"required under CI: {what}")
    pytest.skip(what)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of third-party measurements with known answers."""
    folder = Path(os.environ.get("GREENISLAND_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        missing(f"no measured data at {folder}; set GREENISLAND_DATA")
    return folder


@pytest.fixture(scope="session")
def require_program():
    """require_program("mosquitto") gives its path, or skips naming the Debian package to install."""

    def require(name: str, package: str | None = None) -> str:
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path is None:
            missing(f"{name} is not installed; apt-get install {package or name}")
        return path

    return require


@pytest.fixture
def free_port():
    """A function that gives a free TCP port on the loopback."""

    def pick() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return pick


@pytest.fixture(scope="session")
def free_ports():
    """A function that gives so many free TCP ports on the loopback, all different."""

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


class SmallDisk:
    """A mounted file system of its own, `path`, that can be filled and emptied again."""

    def __init__(self, path: Path):
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free_bytes(self) -> int:
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Leaves at most so many bytes, to a block."""
        with self._ballast.open("ab", buffering=0) as ballast:
            while (n := self.free_bytes - leave_bytes) > 0:
                ballast.write(bytes(n))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@pytest.fixture
def small_disk(tmp_path, request):
    """A SmallDisk in memory, of 4 MB or what an indirect parameter says."""
    if os.geteuid() != 0:
        missing("only root may mount a small disk")
    path = tmp_path / "small-disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={getattr(request, 'param', '4m')}", "tmpfs", path],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        missing(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
