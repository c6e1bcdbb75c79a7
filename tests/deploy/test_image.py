"""deploy/Dockerfile and the lock: sources exist, no root, no secrets; what is installed is locked and runs."""

import os
import platform
import re
import subprocess
import sys
import tomllib

import pytest

from .clean_root import DOCKERFILE, ROOT, instructions

IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def copied() -> list[str]:
    """Sources from the checkout."""
    rests = [rest.split() for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    return [source for words in rests for source in [word for word in words if not word.startswith("--")][:-1]]


def test_every_source_exists_and_is_let_into_the_context():
    let_in = {line[1:] for line in IGNORED if line.startswith("!")}
    for source in copied():
        assert (ROOT / source).exists(), source
        assert source in let_in or any(source.startswith(f"{one}/") for one in let_in), source


def test_nothing_but_those_sources_is_let_into_the_context():
    let_in = {line[1:] for line in IGNORED if line.startswith("!")}
    assert IGNORED[1] == "*"
    assert let_in == set(copied())


def test_every_room_of_the_program_is_copied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied())


def test_it_does_not_end_as_root_and_carries_no_secret():
    names = instructions()
    users = [rest for name, rest in names if name == "USER"]
    assert users == ["10001:10001"]
    assert names.index(("USER", "10001:10001")) > max(n for n, (name, _) in enumerate(names) if name in ("RUN", "COPY"))
    assert not re.search(r"(?i)password|token|secret|BEGIN .*KEY", DOCKERFILE.read_text(encoding="utf-8"))
    assert [rest for name, rest in names if name in ("ARG", "ADD")] == []


def test_both_stages_stand_on_one_exact_image():
    images = {rest.split()[0] for name, rest in instructions() if name == "FROM"}
    assert images == {"python:3.11.14-slim-bookworm"}


def test_the_health_check_is_of_the_standard_library_alone():
    imported = re.findall(r"^import (\S+)", (ROOT / "deploy" / "greenisland-health").read_text(), re.MULTILINE)
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


def locked(*names: str) -> dict[str, str]:
    """name -> version of what deploy/locked.py prints."""
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / "locked.py", *names], capture_output=True, text=True, check=True, timeout=60
    )
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", done.stdout)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    return dict(re.match(r"([\w.-]+)==(\S+)", block).groups() for block in blocks)


def test_what_runs_is_locked_with_hashes_and_tests_tools_are_not_among_it():
    running = locked()
    assert {"polars", "polars-runtime-32", "paho-mqtt", "nicegui", "prometheus-client", "uvicorn"} <= set(running)
    assert not {"pytest", "hypothesis", "ruff", "playwright", "schemathesis", "grafana-foundation-sdk"} & set(running)
    assert "pathspec" in locked("hatchling")


def test_every_installed_package_the_program_imports_is_in_the_running_lock():
    from importlib.metadata import distribution

    running = {re.sub(r"[-_.]+", "-", name).lower() for name in locked()}
    missing, seen = set(), set()
    queue = [
        re.match(r"[\w.-]+", one)[0] for one in distribution("greenisland").requires or () if "extra ==" not in one
    ]
    while queue:
        name = re.sub(r"[-_.]+", "-", queue.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        if name not in running:
            missing.add(name)
            continue
        requires = distribution(name).requires or ()
        queue += [re.match(r"[\w.-]+", one)[0] for one in requires if ";" not in one]
    assert missing == set()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_bundle_installs_without_an_index_and_refuses_a_changed_file(tmp_path):
    machine = platform.machine()
    subprocess.run([sys.executable, ROOT / "deploy" / "bundle.py", tmp_path, machine], check=True, timeout=800)
    (archive,) = tmp_path.glob("*.tar.gz")
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "xf", archive, "-C", tmp_path / "unpacked"], check=True, timeout=120)
    (folder,) = (tmp_path / "unpacked").iterdir()
    offline = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "HOME": str(tmp_path)}
    install = [folder / "install.sh", tmp_path / "installed"]
    subprocess.run(install, check=True, timeout=600, env=offline)
    assert (tmp_path / "installed" / "share" / "greenisland" / "docker-compose.yml").is_file()
    subprocess.run([tmp_path / "installed" / "bin" / "greenisland", "--help"], check=True, timeout=120, env=offline)
    with (folder / "docs" / "guide" / "mqtt.md").open("a") as changed:
        changed.write("x")
    again = [folder / "install.sh", tmp_path / "again"]
    assert subprocess.run(again, timeout=600, env=offline, capture_output=True).returncode == 1
    assert not (tmp_path / "again").exists()
