"""Killed at any moment, nothing the broker was told is in hand is lost, and nothing is counted twice."""

import json
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from app.collector import journal_directory
from app.export import export
from app.replay import replay
from store.archive import read_archive
from store.journal_reader import read_after, verify_chain
from store.spans import SpanFiles
from store.state_db import StateDb

from .broker import Peer, wait_until
from .live import ROOT, broker_for, zunyi

pytestmark = pytest.mark.server

ROUNDS, MESSAGES = 4, 60
STATION, FACTOR = "ZA-GUITAR-A-P", "p01001"


def run(directory, state_dir, *parts):
    options = [argument for part in parts for argument in ("--part", part)]
    command = [sys.executable, "-m", "app.cli", "run", "--site", str(directory), "--state", str(state_dir), *options]
    with (state_dir.parent / "run.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)


def payload(at, value):
    body = {"v": 1, "station": STATION, "at": at.isoformat(), "period_s": 60, "kind": "avg"}
    return json.dumps({**body, "readings": {FACTOR: value}}).encode()


def test_kill_9_of_collector_and_engine_loses_nothing_acknowledged(tmp_path, free_port, require_program):
    directory, site, rules = zunyi(tmp_path, free_port())
    state_dir, rng = tmp_path / "state", random.Random(20261122)
    state_dir.mkdir()
    begun = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=ROUNDS * MESSAGES)
    published = []
    with broker_for(site, tmp_path, require_program("mosquitto")):
        first = run(directory, state_dir, "collector")  # the broker keeps a session from here on
        wait_until(lambda: rows_of(state_dir).height, "the first clock row", 20)
        with Peer(site.file.broker.port, STATION, "s") as station:
            processes = [first, run(directory, state_dir, "engine", "archive")]
            for n in range(ROUNDS):
                minutes = [begun + timedelta(minutes=n * MESSAGES + m) for m in range(MESSAGES)]
                batch = [payload(at, 100 + m) for m, at in enumerate(minutes)]
                cut = rng.randrange(1, MESSAGES)
                station.publish_all(f"gi/{STATION}/json", batch[:cut])
                for process in processes:
                    process.kill()
                    process.wait(timeout=10)
                station.publish_all(f"gi/{STATION}/json", batch[cut:])
                published += minutes
                processes = [run(directory, state_dir, "collector"), run(directory, state_dir, "engine", "archive")]
        wait_until(lambda: archived(state_dir) == set(published), "every acknowledged reading in the archive", 40)
        for process in processes:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0, (tmp_path / "run.log").read_text()[-2000:]

    with StateDb(state_dir / "state.db") as db:
        spans = SpanFiles(state_dir / "spans", db)
        verdicts = pl.concat([frames["verdicts"] for _, frames in spans.spans_after(0)])
        cursor = db.engine_cursor()
    key = ["rule", "station", "factor", "limit_id", "period", "window_at", "revision"]
    assert not verdicts.select(pl.struct(key).is_duplicated().any()).item()
    assert verify_chain(journal_directory(state_dir, "main")) is None
    feed = rows_of(state_dir).filter(pl.col("received_at").dt.epoch("us") <= cursor)
    replay(feed, site, rules, close=False).write(tmp_path / "replayed")
    export(state_dir).write(tmp_path / "live")
    for name in ("aggregates.parquet", "verdicts.parquet", "alerts.ndjson"):
        assert (tmp_path / "live" / name).read_bytes() == (tmp_path / "replayed" / name).read_bytes(), name


def rows_of(state_dir) -> pl.DataFrame:
    journal = journal_directory(state_dir, "main")
    return read_after(journal, 0, 1_000_000) if journal.is_dir() else pl.DataFrame()


def archived(state_dir) -> set[datetime]:
    if not (state_dir / "archive" / "readings").is_dir():
        return set()
    rows = read_archive(state_dir / "archive", "readings").filter(
        (pl.col("station") == STATION) & (pl.col("factor") == FACTOR)
    )
    return set(rows.select("event_at").collect()["event_at"])
