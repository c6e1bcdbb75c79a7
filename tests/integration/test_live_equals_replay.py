"""What a live system decided is, byte for byte, what a replay of its journal decides."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from app.replay import replay
from app.service.collector import journal_directory
from app.service.engine import Engine
from app.service.export import export
from app.service.processes import run_parts
from contracts.clock import ScaledClock
from store.journal_reader import read_after, verify_chain

from .broker import wait_until
from .live import broker_for, publish_live, zunyi

pytestmark = pytest.mark.server

FILES = (
    *("aggregates.parquet", "verdicts.parquet", "alerts.ndjson", "notifications.ndjson", "cases.ndjson"),
    "summary.json",
)
START = datetime(2026, 11, 21, 2, 40, tzinfo=UTC)


def test_live_through_mosquitto_equals_replay_of_the_journal(tmp_path, free_port, require_program):
    _, site, rules = zunyi(tmp_path, free_port(), clock_every="20s")
    state_dir, stop = tmp_path / "state", threading.Event()
    with broker_for(site, tmp_path, require_program("mosquitto")):
        clock = ScaledClock(START, speed=600)
        parts = threading.Thread(
            target=run_parts, args=(site, rules, state_dir, clock, stop, ("collector", "engine", "archive"))
        )
        parts.start()
        journal = journal_directory(state_dir, "main")
        wait_until(lambda: journal.is_dir() and read_after(journal, 0, 1).height, "the collector's first clock row")
        sent = publish_live(site, site.file.broker.port, clock, timedelta(minutes=100), threading.Event())
        wait_until(lambda: stations_rows(journal) >= sent, f"{sent} messages in the journal", 20)
        stop.set()
        parts.join(timeout=30)
    # a second engine goes on where the first was stopped
    engine = Engine(site, rules, state_dir, clock)
    engine.recover()
    while engine.step() is not None:
        pass
    engine.close()

    export(state_dir).write(tmp_path / "live")
    feed = read_after(journal, 0, 10_000_000)
    replay(feed, site, rules, close=False).write(tmp_path / "replayed")
    for name in FILES:
        assert (tmp_path / "live" / name).read_bytes() == (tmp_path / "replayed" / name).read_bytes(), name
    assert verify_chain(journal) is None
    assert len((tmp_path / "live" / "alerts.ndjson").read_text().splitlines()) > 3


def stations_rows(journal) -> int:
    rows = read_after(journal, 0, 10_000_000)
    return rows.filter(~rows["topic"].str.starts_with("$")).height
