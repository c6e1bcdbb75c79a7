"""The image without a Docker engine: the Dockerfile's steps in clean Debian roots, and a centre in what they made.

It is run as Compose has it: read-only root, no capabilities, no new privileges, the image's user, volumes, secrets and
health checks; but on one network, this machine's.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml

from app.deploying.directory import Layout, init
from app.site.files import load_site

from ..conftest import missing
from ..integration.broker import wait_until
from ..integration.influxd import Influxd
from ..integration.service_process import STATION, TOPIC, payload
from . import clean_root
from .clean_root import READONLY, ROOT, Stage
from .compose_services import Deployed
from .tls_broker import TlsPeer, broker_on

pytestmark = [pytest.mark.long, pytest.mark.server, pytest.mark.timeout(900)]
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
SERVICES = ("collector", "engine", "keeper", "senders", "portal")
TMP = ("tmpfs", "size=256m,mode=1777", "/tmp")
EXAMPLE = ROOT / "deploy" / "sites" / "zunyi"
SITE, STATE = "/etc/greenisland/site", "/var/lib/greenisland"


@pytest.fixture(scope="module")
def image(tmp_path_factory, require_program) -> Iterator[Stage]:
    if os.geteuid() != 0:
        missing("only root may make a root of its own")
    require_program("debootstrap")
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True)
    if tried.returncode:
        missing(f"no namespaces can be made here: {tried.stderr.strip()}")
    folder = tmp_path_factory.mktemp("image")
    try:
        yield clean_root.build(folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def greenisland(image):
    """greenisland(words, mounts): its standard output, as `docker run --rm --read-only ... IMAGE WORDS` has it."""

    def run(*words: object, mounts: tuple = ()) -> str:
        command = image.as_user([*image.entrypoint, *map(str, words or image.cmd)])
        done = clean_root.run(image, command, [TMP, *mounts, READONLY], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_it_says_what_it_can_do(greenisland):
    assert "run" in greenisland()


def test_it_holds_what_is_locked_every_file_of_the_program_and_nothing_of_its_making(image):
    listed = clean_root.run(
        image,
        image.as_user(["/opt/greenisland/bin/python", "-m", "pip", "list", "--format=json", "--no-index"]),
        [TMP, READONLY],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    installed = {(normal(one["name"]), one["version"]) for one in json.loads(listed.stdout)}
    lock = (image.root.parent / "build" / "build" / "runtime.lock").read_text(encoding="utf-8")
    locked = re.findall(r"(?m)^([\w.-]+)==(\S+)( ;.*)?", lock)
    of_venv = {one for one in installed if one[0] in ("greenisland", "pip", "setuptools")}
    assert installed - of_venv <= {(normal(name), version) for name, version, _ in locked}
    assert {(normal(name), version) for name, version, for_others in locked if not for_others} <= installed

    (packages,) = (image.root / "opt" / "greenisland" / "lib").glob("python3.*/site-packages")
    listing = ["git", "ls-files", *WHEEL["packages"], *WHEEL["force-include"]]  # tables, rules, boards, pages' own too
    tracked = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert [path for path in tracked if (ROOT / path).exists() and not (packages / path).is_file()] == []
    for of_its_making in ("build", "wheel", "opt/build", "etc/pip.conf", "root/.cache", "tmp/pip"):
        assert not (image.root / of_its_making).exists()
    find = ["find", "opt", "usr", "etc", "-perm", "/0022", "!", "-type", "l"]
    assert subprocess.run(find, cwd=image.root, capture_output=True, text=True, check=True).stdout == ""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_it_judges_a_feed_to_the_byte_as_the_checkout_does(greenisland, image, tmp_path):
    site, state = EXAMPLE, tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, *owner(image))
    mounts = (("ro", site, SITE), ("rw", state, STATE))
    greenisland("deploy", "init", f"{STATE}/deployment", "--host", "centre.example", "--site", SITE, mounts=mounts)
    greenisland("rules", "check", "--site", SITE, mounts=mounts)
    times = ["--from", "2026-03-01T08:00:00+08:00", "--for", "10m"]
    greenisland("simulate", "--site", SITE, "--seed", 1, *times, "--out", f"{STATE}/feed.parquet", mounts=mounts)
    greenisland("replay", f"{STATE}/feed.parquet", "--site", SITE, "--out", f"{STATE}/out", mounts=mounts)
    command = [sys.executable, "-m", "app.cli", "replay", state / "feed.parquet", "--site", site]
    subprocess.run([*command, "--out", tmp_path / "here"], check=True, cwd=ROOT, timeout=120, capture_output=True)
    there, here = state / "out", tmp_path / "here"
    assert json.loads((there / "summary.json").read_text())["readings"] > 0
    for name in ("aggregates.parquet", "verdicts.parquet", "alerts.ndjson", "notifications.ndjson"):
        assert (there / name).read_bytes() == (here / name).read_bytes(), name


def owner(image: Stage) -> tuple[int, int]:
    uid, gid = image.user.split(":")
    return int(uid), int(gid)


@pytest.fixture
def deployed(image, tmp_path, require_program, free_ports) -> Iterator[Deployed]:
    """The example site in a directory `deploy init` made for the image's user; Mosquitto and InfluxDB run."""
    layout = Layout(tmp_path / "deployment")
    stations = [one.station for one in load_site(EXAMPLE).stations]
    init(layout.root, "127.0.0.1", "zunyi", ["main"], stations, owner(image))
    influx, rpc, portal = free_ports(3)
    database = tmp_path / "influxdb"
    database.mkdir()
    series = Influxd(require_program("influxd", "influxdb"), database, influx, rpc)
    with broker_on(layout, tmp_path / "mosquitto", require_program) as broker:
        sections = yaml.safe_load((layout.root / "site-sections.yaml").read_text(encoding="utf-8"))
        sections["broker"]["port"] = broker.port
        sections["influxdb"] = {"url": series.url}  # 1.x here: no token
        sections["portal"] |= {"port": portal, "host": "127.0.0.1"}
        site = layout.root / "site"
        shutil.copytree(EXAMPLE, site, dirs_exist_ok=True)
        about = yaml.safe_load((site / "site.yaml").read_text(encoding="utf-8"))
        (site / "site.yaml").write_text(yaml.safe_dump(about | sections, allow_unicode=True), encoding="utf-8")
        subprocess.run(["chown", "-R", image.user, site], check=True)
        try:
            series.start()
            yield Deployed(image, layout, broker, series, portal, free_ports)
        finally:
            series.stop()


def test_the_services_of_compose_run_a_centre_in_it(deployed, tmp_path):
    logs = {name: tmp_path / f"{name}.log" for name in SERVICES}
    with ExitStack() as stack:
        running = {name: stack.enter_context(deployed.up(name, logs[name])) for name in SERVICES}
        for name, one in running.items():
            wait_until(lambda name=name, one=one: deployed.is_healthy(name, one), f"{name} is healthy", 180)
        for one in running.values():
            held = Path(f"/proc/{one.pid}/status").read_text()
            uid, gid = deployed.owner
            assert re.search(rf"(?m)^Uid:\t{uid}\t{uid}\t{uid}\t{uid}$", held)
            assert re.search(rf"(?m)^Gid:\t{gid}\t{gid}\t{gid}\t{gid}$", held)
            assert set(re.findall(r"(?m)^Cap\w+:\t(\w+)$", held)) == {"0" * 16}
            assert "NoNewPrivs:\t1" in held
        write = "open('/opt/greenisland/x', 'w')"
        refused = running["engine"].execute(["python", "-c", write], capture_output=True, text=True)
        assert os.strerror(errno.EROFS) in refused.stderr

        password = deployed.layout.station_password(STATION).read_text()
        with TlsPeer(deployed.broker, deployed.layout.broker_certificates / "ca.crt", STATION, password) as station:
            station.publish_all(TOPIC, [payload(datetime.now(UTC), 1.0)])

        decided = "greenisland_engine_readings_total 1.0"
        wait_until(lambda: decided in deployed.figures("engine"), "what a station sent is decided", 60)
        status = ["greenisland", "status", "--state", STATE, "--site", SITE, "--json"]

        def is_everywhere() -> bool:
            told = json.loads(running["keeper"].execute(status, capture_output=True, text=True).stdout)
            finished = told["finished_to"]
            return set(finished) == {"archive", "influxdb"} and min(finished.values()) >= told["newest_at"]

        wait_until(is_everywhere, "archive and InfluxDB have it", 60)
        add = ["greenisland", "user", "add", "chief", "--role", "administrator", "--site", SITE, "--state", STATE]
        running["portal"].execute(add, input="correct-horse-9\n" * 2, text=True, check=True, capture_output=True)
        with httpx.Client(base_url=f"http://127.0.0.1:{deployed.portal_port}") as client:
            answer = client.post("/api/v1/session", json={"name": "chief", "password": "correct-horse-9"})
            assert answer.status_code == 200, answer.text
            assert "secure" in answer.headers["set-cookie"].lower()
            assert client.get("/login").status_code == 200  # the pages' files are there
        doctor = deployed.once("doctor")
        assert doctor.returncode == 0, doctor.stdout
        for name, one in running.items():
            assert one.stop(120) == 0, logs[name].read_text()[-3000:]
    others = [path for path in (deployed.layout.root / "data").rglob("*") if path.stat().st_uid != deployed.owner[0]]
    assert others == []
