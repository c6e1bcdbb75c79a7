"""A running centre's figures, health and logs, asked over HTTP as a monitor would."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from .broker import Peer, wait_until
from .live import ROOT
from .service_process import TOPIC, centre, payload

pytestmark = pytest.mark.server


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as said:
            return said.status, said.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def figures(port: int) -> dict[str, float]:
    lines = [line for line in ask(port, "/metrics")[1].splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_a_running_centre_tells_what_it_took_in_and_decided(tmp_path, free_port, require_program):
    port = free_port()
    with centre(tmp_path, free_port(), require_program("mosquitto")) as running:
        command = [sys.executable, "-m", "app.cli", "run", "--site", running.directory, "--state", running.state_dir]
        parts = [word for part in ("collector", "engine", "housekeeping") for word in ("--part", part)]
        log = tmp_path / "run.json"
        with log.open("wb") as stream:
            options = ["--metrics", f"127.0.0.1:{port}", "--log", "json"]
            process = subprocess.Popen([*command, *parts, *options], cwd=ROOT, stdout=stream, stderr=stream)
        try:

            def is_ready() -> bool:
                assert process.poll() is None, log.read_text()
                with suppress(urllib.error.URLError):
                    return ask(port, "/readyz")[0] == 200
                return False

            wait_until(is_ready, "ready", 90)
            assert ask(port, "/healthz")[0] == 200
            with Peer(running.site.file.broker.port, TOPIC.split("/")[1], "s") as station:
                station.publish_all(TOPIC, [payload(datetime.now(UTC), 1.0), b"not json"])
            rejected = 'greenisland_engine_rejects_total{reason="not_json"}'
            wait_until(lambda: figures(port).get(rejected) == 1, "the reject is counted", 60)
            told = figures(port)
            assert told["greenisland_engine_messages_total"] == 2
            assert told["greenisland_engine_readings_total"] == 1
            assert told['greenisland_collector_committed_messages_total{collector="main"}'] >= 2
            assert 0 <= told["greenisland_engine_clock_age_seconds"] < 60
            assert told['greenisland_engine_stage_seconds_total{stage="decode"}'] > 0
            assert told['greenisland_engine_stage_seconds_total{stage="rules"}'] > 0
            assert told["greenisland_disk_free_bytes"] > 0
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0, log.read_text()
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert any("connected to 127.0.0.1" in line["message"] for line in lines)
        assert {"at", "level", "logger", "thread", "message"} <= set(lines[0])


@pytest.mark.long
def test_prometheus_own_checker_finds_nothing_wrong_with_any_part(tmp_path, free_ports, require_program):
    promtool = require_program("promtool", "prometheus")
    port, broker = free_ports(2)
    with centre(tmp_path, broker, require_program("mosquitto")) as running:
        command = [sys.executable, "-m", "app.cli", "run", "--site", running.directory, "--state", running.state_dir]
        with (tmp_path / "run.log").open("wb") as log:
            process = subprocess.Popen([*command, "--metrics", f"127.0.0.1:{port}"], cwd=ROOT, stdout=log, stderr=log)
        try:

            def has_looked() -> bool:
                assert process.poll() is None, (tmp_path / "run.log").read_text()
                with suppress(urllib.error.URLError):
                    return "greenisland_open_alerts_told_to_nobody" in ask(port, "/metrics")[1]
                return False

            with Peer(broker, TOPIC.split("/")[1], "s") as station:
                station.publish_all(TOPIC, [payload(datetime.now(UTC), 1.0), b"not json"])
            wait_until(has_looked, "the centre's own figures", 120)
            told = ask(port, "/metrics")[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
    checked = subprocess.run([promtool, "check", "metrics"], input=told, capture_output=True, text=True, timeout=60)
    assert (checked.stdout + checked.stderr, checked.returncode) == ("", 0)


def test_a_taken_port_ends_the_start_in_words(tmp_path, free_port, require_program):
    with centre(tmp_path, free_port(), require_program("mosquitto")) as running:
        taken = running.site.file.broker.port
        command = [sys.executable, "-m", "app.cli", "run", "--site", running.directory, "--state", running.state_dir]
        options = ["--part", "senders", "--metrics", f"127.0.0.1:{taken}"]
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=90)
        assert done.returncode == 1
        assert f"metrics: cannot listen on 127.0.0.1:{taken}" in done.stderr
        assert "Traceback" not in done.stderr
