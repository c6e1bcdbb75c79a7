"""`greenisland doctor` against a real broker with TLS, a real InfluxDB 1.x, and machines that are not fit."""

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.deploying.certificates import Pair, make_authority
from app.health.doctor import (
    disk_kind,
    examine,
    fsync_s,
    of_certificate,
    of_fsync,
    of_skew,
    secret_files,
)
from app.site.files import load_site
from contracts.clock import SystemClock
from store.influx import create_databases, query

from ..integration.influxd import Influxd
from .test_broker_credentials import TlsPeer, broker_on

SMALL = {
    "registry/outlets.csv": "outlet,county,medium,name_zh,name_en\nO1,C1,flue_gas,一号,One\n",
    "registry/stations.csv": "station,outlet,name_zh,name_en\nS1,O1,一站,One\n",
    "registry/points.csv": "station,factor,unit\nS1,a21026,mg/m3\n",
}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def site_with(tmp_path):
    """A function: the directory of a small site with these sections in its site.yaml."""

    def write(**sections):
        about = {"version": 1, "site": "small", "name": {"zh": "小", "en": "small"}, "time_zone": "Asia/Shanghai"}
        folder = tmp_path / "site"
        for name, text in {**SMALL, "site.yaml": json.dumps({**about, **sections}, ensure_ascii=False)}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder

    return write


def found(directory, state) -> dict[str, list]:
    """what -> its findings"""
    by: dict[str, list] = {}
    for one in examine(load_site(directory), state, SystemClock().now):
        by.setdefault(one.what, []).append(one)
    return by


def connection(layout, broker, **changed) -> dict:
    own = {
        "host": "127.0.0.1",
        "port": broker.port,
        "username": "collector-main",
        "password_file": str(layout.own_password("collector-main")),
        "ca_file": str(layout.broker_certificates / "ca.crt"),
    }
    return {**own, **changed}


@pytest.fixture(scope="module")
def broker(shared_deployment, tmp_path_factory, require_program):
    with broker_on(shared_deployment, tmp_path_factory.mktemp("mosquitto"), require_program) as running:
        yield running


@contextmanager
def clock_of_main(layout, broker, ahead: timedelta):
    """Publishes the collector's clock, so much ahead, twenty times a second."""
    stop = threading.Event()
    password = layout.own_password("collector-main").read_text()
    with TlsPeer(broker, layout.broker_certificates / "ca.crt", "collector-main", password) as collector:

        def tick() -> None:
            while not stop.wait(0.05):
                at = datetime.now(UTC) + ahead
                us = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
                collector.publish("gi/clock/main", b"%d" % us)

        thread = threading.Thread(target=tick)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.mark.server
@pytest.mark.parametrize(("ahead_s", "level"), [(0, "ok"), (30, "warning"), (-120, "error")])
def test_a_broker_that_is_well_and_how_far_the_collectors_clock_is_off(
    site_with, shared_deployment, broker, tmp_path, ahead_s, level
):
    directory = site_with(broker=connection(shared_deployment, broker))
    with clock_of_main(shared_deployment, broker, timedelta(seconds=ahead_s)):
        by = found(directory, tmp_path)
    assert [one.level for one in by["broker"]] == ["ok"]
    assert [one.level for one in by["certificate of the broker"]] == ["ok"]
    assert [one.level for one in by["certificate of its authority"]] == ["ok"]
    (clock,) = by["broker clock"]
    assert clock.level == level
    if ahead_s:
        assert ("ahead" if ahead_s > 0 else "behind") in clock.said


@pytest.mark.server
def test_without_a_collector_it_misses_the_clock_and_disturbs_nobody(site_with, shared_deployment, broker, tmp_path):
    by = found(site_with(broker=connection(shared_deployment, broker)), tmp_path)
    assert [one.level for one in by["broker clock"]] == ["warning"]
    assert "as greenisland-small-main" not in broker.log()  # a collector's session would have been taken over


@pytest.mark.server
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"username": "S1"}, "refuses the connection: Not authorized"),  # with the collector's password
        ({"ca_file": None}, "says nothing within"),  # plain MQTT on a TLS port
    ],
)
def test_a_credential_that_does_not_do_is_said(site_with, shared_deployment, broker, tmp_path, changed, said):
    (one,) = found(site_with(broker=connection(shared_deployment, broker, **changed)), tmp_path)["broker"]
    assert one.level == "error"
    assert said in one.said or "does not answer" in one.said
    assert one.do


@pytest.mark.server
def test_a_broker_by_another_authority_is_said(site_with, shared_deployment, broker, tmp_path):
    other = Pair(tmp_path / "other.crt", tmp_path / "other.key")
    make_authority(other, "somebody else")
    by = found(site_with(broker=connection(shared_deployment, broker, ca_file=str(other.certificate))), tmp_path)
    assert "its certificate is not accepted" in by["broker"][0].said


def test_no_broker_is_said_and_the_command_ends_with_one(site_with, tmp_path, free_port):
    directory = site_with(broker={"port": free_port()})
    done = CliRunner().invoke(app, ["doctor", "--site", str(directory), "--state", str(tmp_path), "--json"])
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert said["errors"] >= 1
    broker = next(one for one in said["findings"] if one["what"] == "broker")
    assert (broker["level"], broker["do"]) == ("error", "is it running, is a firewall between?")
    in_words = CliRunner().invoke(app, ["doctor", "--site", str(directory), "--state", str(tmp_path)])
    assert "ERROR   broker: 127.0.0.1" in in_words.stdout


# -- InfluxDB


@pytest.mark.server
def test_a_real_influxdb_may_be_written_and_is_not(site_with, tmp_path, require_program, free_port):
    folder = tmp_path / "influx"
    folder.mkdir()
    server = Influxd(require_program("influxd", "influxdb"), folder, free_port(), free_port())
    server.start()
    try:
        directory = site_with(influxdb={"url": server.url}, broker={"port": free_port()})
        before = found(directory, tmp_path)["InfluxDB"]
        assert [one.level for one in before] == ["ok", *["warning"] * 5]  # no database is there yet
        influx = load_site(directory).file.influxdb
        create_databases(influx)
        assert [one.level for one in found(directory, tmp_path)["InfluxDB"]] == ["ok"]
        assert query(influx, "SHOW MEASUREMENTS").is_empty()
    finally:
        server.stop()


class _ReadOnly(BaseHTTPRequestHandler):
    """As InfluxDB 2.x answers a token that may only read."""

    def do_GET(self) -> None:
        self.send_response(204)
        self.send_header("X-Influxdb-Version", "v2.9.1")
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        is_ours = self.headers.get("Authorization") == "Token read-only"
        self.send_response(403 if is_ours else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_a_token_that_may_only_read_is_said(site_with, tmp_path, free_port):
    token = tmp_path / "token"
    token.write_text("read-only\n")
    token.chmod(0o600)
    server = HTTPServer(("127.0.0.1", 0), _ReadOnly)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        influx = {"url": f"http://127.0.0.1:{server.server_port}", "token_file": str(token)}
        findings = found(site_with(influxdb=influx, broker={"port": free_port()}), tmp_path)["InfluxDB"]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert [one.level for one in findings] == ["ok", *["error"] * 5]
    assert "v2.9.1" in findings[0].said
    assert "the token may not write into greenisland_raw (403)" in findings[1].said


def test_an_absent_influxdb_is_said(site_with, tmp_path, free_port):
    directory = site_with(influxdb={"url": f"http://127.0.0.1:{free_port()}"}, broker={"port": free_port()})
    (one,) = found(directory, tmp_path)["InfluxDB"]
    assert (one.level, "does not answer" in one.said) == ("error", True)


# -- secrets, disk, machine


def test_every_secret_a_site_names_is_looked_at(site_with, tmp_path, free_port):
    for name, mode in (("broker", 0o600), ("portal", 0o644), ("robot", 0o600)):
        (tmp_path / name).write_text("" if name == "robot" else "secret")
        (tmp_path / name).chmod(mode)
    directory = site_with(
        broker={"port": free_port(), "username": "u", "password_file": str(tmp_path / "broker")},
        portal={"key_file": str(tmp_path / "portal")},
        channels=[
            {"name": "w", "type": "webhook", "url": "https://x.example", "secret_file": str(tmp_path / "robot")},
            {"name": "v", "type": "webhook", "url": "https://x.example", "secret_file": str(tmp_path / "gone")},
        ],
    )
    keys = [key for key, _ in secret_files(load_site(directory).file)]
    assert keys == ["broker.password_file", "portal.key_file", "channels[0].secret_file", "channels[1].secret_file"]
    by = found(directory, tmp_path)
    assert "secret broker.password_file" not in by
    assert by["secret portal.key_file"][0].do == f"chmod 600 {tmp_path / 'portal'}"
    assert [by[f"secret channels[{n}].secret_file"][0].level for n in (0, 1)] == ["error", "error"]
    assert "secrets" not in by


def test_a_state_directory_that_is_not_there_or_open_to_all_is_said(site_with, tmp_path, free_port):
    directory = site_with(broker={"port": free_port()})
    assert found(directory, tmp_path / "nowhere")["state"][0].level == "error"
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    assert "anybody may write into" in found(directory, state)["state"][0].said
    assert list(state.iterdir()) == []  # what it wrote is gone


@pytest.mark.parametrize(
    ("median_s", "level"), [(0.004, "ok"), (0.05, "ok"), (0.06, "warning"), (0.5, "warning"), (0.6, "error")]
)
def test_how_fast_a_disk_must_be(median_s, level):
    assert of_fsync([median_s / 2, median_s, median_s * 3]).level == level


def test_the_disk_is_really_asked(tmp_path):
    took = fsync_s(tmp_path)
    assert len(took) == 30
    assert min(took) > 0
    assert disk_kind(tmp_path) != "unknown"


@pytest.mark.parametrize(("days", "level"), [(-1, "error"), (0, "error"), (29, "warning"), (30, "ok")])
def test_when_a_certificate_is_told_of(days, level):
    assert of_certificate("the broker", NOW + timedelta(days=days), NOW).level == level


@pytest.mark.parametrize(
    ("skew_s", "level"), [(2, "ok"), (-2, "ok"), (2.1, "warning"), (-60, "warning"), (61, "error")]
)
def test_how_far_a_clock_may_be_off(skew_s, level):
    assert of_skew(timedelta(seconds=skew_s)).level == level


def test_a_state_directory_that_cannot_be_written_is_said(site_with, free_port):
    by = found(site_with(broker={"port": free_port()}), Path("/proc"))  # not even root may
    assert "cannot be written" in by["state"][0].said
