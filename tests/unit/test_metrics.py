"""Figures of a process: all documented, all true, served with its health, and nothing else."""

import json
import re
import urllib.error
import urllib.request
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from app.health.metrics import COUNTED, STANDING, STATUS_EVERY, Figures
from app.health.metrics_server import NotServed, serving
from app.influx.part import DEAD_LETTERS
from app.pipeline import Span
from app.service.processes import PARTS
from app.site.files import load_site
from contracts.frames import EVENTS, READINGS, REJECTS, VERDICTS, empty
from ingest.mqtt import CollectorMetrics
from store.state_db import StateDb

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "metrics.md").read_text(encoding="utf-8")
START = datetime(2026, 3, 1, tzinfo=UTC)
SITE = {
    "site.yaml": "version: 1\nsite: small\nname: {zh: 小, en: small}\ntime_zone: Asia/Shanghai\ncollectors: [main]\n",
    "registry/outlets.csv": "outlet,county,medium,name_zh,name_en\nO1,C1,flue_gas,一号,One\n",
    "registry/stations.csv": "station,outlet,name_zh,name_en\nS1,O1,一站,One\n",
    "registry/points.csv": "station,factor,unit\nS1,a21026,mg/m3\n",
}


class HandClock:
    def __init__(self):
        self.at = START

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def site(tmp_path):
    for name, text in SITE.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return load_site(tmp_path / "site")


@pytest.fixture
def state(tmp_path):
    directory = tmp_path / "state"
    directory.mkdir()
    StateDb(directory / "state.db").close()
    return directory


def values(text: bytes) -> dict[str, float]:
    """`name{labels}` -> value"""
    lines = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def span(clock_to: datetime | None, **made) -> Span:
    frames = {"readings": empty(READINGS), "rejects": empty(REJECTS), "events": empty(EVENTS)}
    nothing = {"aggregates": pl.DataFrame(), "verdicts": empty(VERDICTS), "transitions": [], "counts": {}}
    return Span(**{**frames, **nothing, "clock_from": None, "clock_to": clock_to, **made})


def test_every_figure_is_documented_and_every_documented_one_is_told(site, state):
    text = Figures(site, state, HandClock(), PARTS).text().decode()
    told = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    tables = GUIDE[GUIDE.index("## Figures") : GUIDE.index("## Logs")]
    documented = set(re.findall(r"`((?:greenisland|process|python)_[a-z0-9_]+)`", tables))
    assert told == documented


def test_names_end_in_their_unit(site, state):
    text = Figures(site, state, HandClock(), PARTS).text().decode()
    for name, kind in re.findall(r"^# TYPE (greenisland_\S+) (\S+)", text, re.MULTILINE):
        assert (kind == "counter") == name.endswith("_total"), name
    for name in re.findall(r"^# HELP (\S+) (?:Age|Since|Time|For how long|Until) ", text, re.MULTILINE):
        assert re.search(r"_seconds(_total|_max)?$", name), name


def test_everything_a_collector_counts_is_told():
    given = {field.name for field in fields(CollectorMetrics)} - {"last_commit_at"}  # told as an age
    assert given == set(COUNTED) | set(STANDING)


def test_a_collectors_figures_are_its_own(site, state):
    clock = HandClock()
    figures = Figures(site, state, clock, ["collector"], "main")
    assert figures.collector is not None
    figures.collector.received, figures.collector.queue_depth = 7, 3
    figures.collector.connected = True
    figures.collector.last_commit_at = START - timedelta(seconds=4)
    told = values(figures.text())
    assert told['greenisland_collector_received_messages_total{collector="main"}'] == 7
    assert told['greenisland_collector_in_flight_messages{collector="main"}'] == 3
    assert told['greenisland_collector_in_flight_messages_max{collector="main"}'] == 1000
    assert told['greenisland_collector_connected{collector="main"}'] == 1
    assert told['greenisland_collector_last_commit_age_seconds{collector="main"}'] == 4
    assert not [name for name in told if name.startswith(("greenisland_engine", "greenisland_disk"))]


def test_committed_spans_are_counted_by_reason_state_and_stage(site, state):
    clock = HandClock()
    figures = Figures(site, state, clock, ["engine"])
    rejects = pl.DataFrame({"reason": ["not_json", "not_json", "unknown_topic"]})
    verdicts = pl.DataFrame({"state": ["within", "exceedance", "within"]})
    made = {
        "rejects": rejects,
        "verdicts": verdicts,
        "transitions": [{"transition": "fired"}],
        "counts": {"messages": 5, "readings": 40, "late": 2},
        "took_s": {"decode": 0.25, "rules": 0.5},
    }
    for _ in range(2):
        figures.told(span(START, **made))
    clock.at = START + timedelta(seconds=12)
    told = values(figures.text())
    assert told["greenisland_engine_spans_total"] == 2
    assert told["greenisland_engine_messages_total"] == 10
    assert told["greenisland_engine_readings_total"] == 80
    assert told["greenisland_engine_late_total"] == 4
    assert told['greenisland_engine_rejects_total{reason="not_json"}'] == 4
    assert told['greenisland_engine_rejects_total{reason="unknown_topic"}'] == 2
    assert told['greenisland_engine_verdicts_total{state="exceedance"}'] == 2
    assert told['greenisland_engine_transitions_total{transition="fired"}'] == 2
    assert told['greenisland_engine_stage_seconds_total{stage="decode"}'] == 0.5
    assert told['greenisland_engine_stage_seconds_total{stage="rules"}'] == 1.0
    assert told["greenisland_engine_clock_age_seconds"] == 12


def test_what_is_not_known_is_absent_and_not_zero(site, state):
    told = values(Figures(site, state, HandClock(), PARTS).text())
    assert not [name for name in told if name.startswith(("greenisland_engine_clock_age", "greenisland_engine_lag"))]
    assert not [name for name in told if name.startswith("greenisland_disk_full_in")]


def test_the_state_directory_is_looked_at_once_in_a_while(site, state):
    clock = HandClock()
    figures = Figures(site, state, clock, ["housekeeping"])
    refused = "greenisland_influxdb_refused_lines"
    assert values(figures.text())[refused] == 0
    (state / DEAD_LETTERS).write_text("{}\n")
    clock.at = START + STATUS_EVERY - timedelta(seconds=1)
    told = values(figures.text())
    assert (told[refused], told["greenisland_status_age_seconds"]) == (0, 29)
    clock.at = START + STATUS_EVERY
    told = values(figures.text())
    assert (told[refused], told["greenisland_status_age_seconds"]) == (1, 0)


def answer(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as said:
            return said.status, said.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_three_paths_are_answered_and_no_other(site, state):
    with serving(Figures(site, state, HandClock(), ["senders"]), "127.0.0.1", 0) as port:
        assert answer(port, "/healthz") == (200, b'{"status": "ok"}')
        assert answer(port, "/readyz")[0] == 200
        status, text = answer(port, "/metrics")
        assert status == 200
        assert values(text)['greenisland_part{part="senders"}'] == 1
        assert answer(port, "/metrics", "HEAD") == (200, b"")
        for path in ("/", "/../etc/passwd", "/metrics/x"):
            assert answer(port, path)[0] == 404
        assert answer(port, "/metrics", "POST")[0] == 501


def test_readiness_says_why_not(site, state):
    clock = HandClock()
    figures = Figures(site, state, clock, ["collector", "engine"])
    assert figures.collector is not None

    def why() -> list[str]:
        status, body = answer(port, "/readyz")
        said = json.loads(body)
        assert (status == 200) == said["is_ready"] == (said["why"] == [])
        return said["why"]

    with serving(figures, "127.0.0.1", 0) as port:
        assert why() == ["not connected to the broker", "nothing was decided since the start"]
        figures.collector.connected = True
        figures.told(span(START))
        assert why() == ["the broker has not taken the subscriptions"]
        figures.collector.subscribed = True
        assert why() == []
        clock.at = START + timedelta(seconds=61)
        figures.collector.journal_full = True
        assert why() == ["the disk is full: nothing is acknowledged", "the last decision is 61 s old"]


def test_a_port_that_is_taken_is_said_with_what_to_do(site, state):
    figures = Figures(site, state, HandClock(), ["senders"])
    with (
        serving(figures, "127.0.0.1", 0) as port,
        pytest.raises(NotServed, match="give each an address"),
        serving(figures, "127.0.0.1", port),
    ):
        pass
