"""The systemd units: systemd itself accepts them, they are held tight, and together they are every part."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.service.processes import PARTS

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
EXPOSURE_MAX = 2.0  # of 10; what is left is the network and other things they need


@pytest.fixture(scope="module")
def as_installed(tmp_path_factory) -> Path:
    """The units with a program that is there: systemd-analyze looks for it."""
    folder = tmp_path_factory.mktemp("units")
    for path in UNITS.iterdir():
        text = path.read_text(encoding="utf-8").replace("/opt/greenisland/bin/greenisland", sys.executable)
        (folder / path.name).write_text(text, encoding="utf-8")
    return folder


def test_systemd_finds_nothing_wrong(as_installed, require_program):
    program = require_program("systemd-analyze", "systemd")
    units = sorted(as_installed.iterdir())
    done = subprocess.run([program, "verify", "--man=no", *units], capture_output=True, text=True, timeout=60)
    about_ours = [line for line in (done.stdout + done.stderr).splitlines() if "greenisland" in line]
    assert (about_ours, done.returncode) == ([], 0)


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_systemd_rates_them_as_little_exposed(as_installed, require_program, path):
    program = require_program("systemd-analyze", "systemd")
    done = subprocess.run(
        [program, "security", "--offline=true", "--no-pager", as_installed / path.name],
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert said is not None, done.stderr
    assert float(said[1]) <= EXPOSURE_MAX


def test_together_they_run_every_part_once_each_with_its_own_port():
    commands = [re.search(r"^ExecStart=(.*)$", path.read_text(), re.MULTILINE)[1] for path in SERVICES]
    parts = [part for command in commands for part in re.findall(r"--part (\S+)", command)]
    assert sorted(parts) == sorted(PARTS)
    ports = [re.search(r"--metrics 127\.0\.0\.1:(\d+)", command)[1] for command in commands]
    assert len(set(ports)) == len(SERVICES)


def test_the_target_wants_every_service():
    wanted = re.search(r"^Wants=(.*)$", (UNITS / "greenisland.target").read_text(), re.MULTILINE)[1].split()
    assert sorted(wanted) == [path.name for path in SERVICES]
