"""Files of a centre that are not what was written: named, waited for, and everything that can go on goes on."""

import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from app.health.status import attention, status_of
from app.service.collector import journal_directory
from app.service.engine import Engine
from app.service.processes import run_parts
from contracts.clock import SystemClock
from contracts.instants import epoch_us
from contracts.ports import RawMessage
from rules.ticks import clock_payload
from store.archive import CURSOR as ARCHIVED
from store.journal import CHAIN_START, Journal, segment_paths
from store.journal_reader import read_after
from store.journal_schema import ChainEnd
from store.state_db import StateDb
from tests.builders import START, minutes
from tests.journal_forgery import write_schema_1

from .broker import Peer, wait_until
from .live import zunyi
from .service_process import CLOCK, STATION, TOPIC, centre, payload
from .test_checkpoint import SITE, engine
from .test_full_disk import last_seq

BEGUN = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)
MINUTES, UNDECIDED = 6, 4


def journalled_minutes(state_dir, first, end):
    """A message and the clock, minute by minute; every one begins a segment."""
    with Journal(journal_directory(state_dir, "main"), segment_max_bytes=1) as journal:
        for n in range(first, end):
            at = BEGUN + timedelta(minutes=n)
            row = RawMessage("mqtt", TOPIC, payload(at, n))
            journal.append([row, RawMessage("mqtt", CLOCK, clock_payload(at))], at)


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """A state directory with a span a minute decided, none archived, and segments that are not decided."""
    folder = tmp_path_factory.mktemp("left")
    _, site, rules = zunyi(folder, 1883)
    journalled_minutes(folder / "state", 0, MINUTES)
    with closing(Engine(site, rules, folder / "state", SystemClock())) as decider:
        while decider.step(2) is not None:
            pass
    journalled_minutes(folder / "state", MINUTES, MINUTES + UNDECIDED)
    return folder / "state"


@pytest.fixture
def stopped(left, tmp_path, free_port, require_program):
    """A centre that was stopped and left that."""
    shutil.copytree(left, tmp_path / "state")
    with centre(tmp_path, free_port(), require_program("mosquitto")) as one:
        yield one


def archived(one):
    with StateDb(one.state_dir / "state.db") as db:
        return db.cursor(ARCHIVED)


def taken_in(one):
    """Topics of what came after all that was journalled before."""
    return read_after(one.journal, epoch_us(BEGUN + timedelta(minutes=15)), 10_000)["topic"].to_list()


def said(one):
    return attention(status_of(one.state_dir, datetime.now(UTC), one.site))


def flip(path, at, n):
    """Changes bytes in place; returns what undoes it."""
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + bytes(byte ^ 0xFF for byte in whole[at : at + n]) + whole[at + n :])
    return lambda: path.write_bytes(whole)


@pytest.mark.server
def test_a_damaged_span_and_a_damaged_segment_are_waited_for_by_those_who_need_them_alone(stopped):
    spans = last_seq(stopped.state_dir)
    assert spans >= MINUTES - 1
    span = sorted((stopped.state_dir / "spans").iterdir())[2]
    segment = segment_paths(stopped.journal)[MINUTES + 1]
    mend_span, mend_segment = flip(span, span.stat().st_size // 2, 64), flip(segment, 0, 4096)
    running = stopped.run("collector", "engine", "archive", "senders")
    stopped.until(lambda: f"archive waits: {span}" in stopped.log(), "the archive names the span")
    stopped.until(lambda: f"engine waits: {segment}" in stopped.log(), "the engine names the segment")
    stopped.until(lambda: CLOCK in taken_in(stopped), "the collector is at work")
    with Peer(stopped.broker.port, STATION, "s") as station:
        station.publish_all(TOPIC, [payload(BEGUN + timedelta(minutes=20), 77)])
    stopped.until(lambda: TOPIC in taken_in(stopped), "the collector takes in")
    assert archived(stopped) == 2  # what comes before is kept, nothing after it
    found = said(stopped)
    assert any(str(span) in line and "put this one file back" in line for line in found)
    assert any(str(segment) in line and "put this one file back" in line for line in found)
    assert any(line.startswith(f"journal main: {segment.name}") for line in found)
    mend_span()
    mend_segment()
    stopped.until(lambda: 77.0 in stopped.decided("readings")["value"], "the engine has gone on")
    stopped.until(lambda: archived(stopped) > spans, "the archive has gone on")
    stopped.stop(running)
    values = set(stopped.decided("readings")["value"])
    assert values >= {float(n) for n in range(MINUTES + UNDECIDED)}
    assert not [line for line in said(stopped) if "damaged" in line or "does not go on" in line]


@pytest.mark.server
def test_without_a_readable_state_db_the_collector_alone_takes_in_and_every_other_part_ends_with_its_name(stopped):
    path = stopped.state_dir / "state.db"
    flip(path, 0, path.stat().st_size)
    alone = stopped.run("engine")
    assert alone.wait(timeout=90) == 1
    assert f"greenisland run ended: {path} is damaged" in stopped.log()
    assert "Traceback" not in stopped.log()
    stopped.forget(alone)
    clocks = len(stopped.clocks())
    running = stopped.run()
    stopped.until(lambda: len(stopped.clocks()) > clocks, "the collector is at work")
    with Peer(stopped.broker.port, STATION, "s") as station:
        station.publish_all(TOPIC, [payload(BEGUN + timedelta(minutes=20), 77)])
        stopped.until(lambda: stopped.journalled()[-1] == payload(BEGUN + timedelta(minutes=20), 77), "it is taken in")
    found = said(stopped)
    assert any(str(path) in line and "restore it from a backup" in line for line in found)
    running.terminate()
    assert running.wait(timeout=30) == 1
    assert len(list((stopped.state_dir / "spans").iterdir())) >= MINUTES - 1
    stopped.forget(running)


def test_a_page_of_state_db_that_is_damaged_names_the_file(tmp_path):
    with StateDb(tmp_path / "state.db") as db:
        for n in range(400):
            db.set_cursor(f"consumer-{n:04d}-{'x' * 60}", n)
    path = tmp_path / "state.db"
    flip(path, path.stat().st_size - 4096, 4096)
    named = pytest.raises(sqlite3.DatabaseError, match=rf"{path} is damaged .*from a backup")
    with StateDb(path) as db, named:
        _ = [db.cursor(f"consumer-{n:04d}-{'x' * 60}") for n in range(400)]


def test_an_emptied_state_db_is_refused_before_anything_that_was_committed_goes(tmp_path):
    with Journal(journal_directory(tmp_path, "main")) as journal:
        for n in range(3):
            at = START + minutes(n)
            journal.append([RawMessage("mqtt", CLOCK, clock_payload(at))], at)
    with closing(engine(tmp_path)) as one:
        while one.step(1) is not None:
            pass
    before = sorted((tmp_path / "spans").iterdir())
    assert len(before) > 1
    for leftover in tmp_path.glob("state.db*"):
        leftover.unlink()
    for parts in (("engine",), ("archive",)):
        with pytest.raises(sqlite3.DatabaseError, match=r"holds no span, and .*span.* was committed"):
            run_parts(SITE, [], tmp_path, SystemClock(), threading.Event(), parts)
    assert sorted((tmp_path / "spans").iterdir()) == before


def test_the_engine_waits_for_the_collector_to_rewrite_an_earlier_programs_journal(tmp_path, caplog):
    directory = journal_directory(tmp_path, "main")
    directory.mkdir(parents=True)
    rows = []
    for n in range(3):
        at = START + minutes(n)
        rows.append((epoch_us(at), epoch_us(at), "mqtt", CLOCK, clock_payload(at)))
    write_schema_1(directory / "journal-00000001.db", ChainEnd(CHAIN_START, 0, 0), [rows])
    stop, failed = threading.Event(), []

    def decide():
        try:
            run_parts(SITE, [], tmp_path, SystemClock(), stop, ("engine",))
        except BaseException as error:  # noqa: BLE001  # told below
            failed.append(error)

    thread = threading.Thread(target=decide)
    thread.start()
    try:
        wait_until(lambda: "engine waits" in caplog.text and "start `greenisland run` first" in caplog.text, "it waits")
        Journal(directory).close()
        wait_until(lambda: last_seq(tmp_path), "the engine decides", 60)
    finally:
        stop.set()
        thread.join(60)
    assert failed == []
    assert "engine goes on" in caplog.text


def test_a_closed_segment_that_is_damaged_does_not_keep_the_collectors_journal_closed(tmp_path, caplog):
    with Journal(tmp_path / "main", segment_max_bytes=1) as journal:
        for n in range(3):
            journal.append([RawMessage("mqtt", TOPIC, b"x")], START + minutes(n))
    _, closed, last = segment_paths(tmp_path / "main")
    closed.write_bytes(b"")
    with Journal(tmp_path / "main") as journal:
        journal.append([RawMessage("mqtt", TOPIC, b"x")], START + minutes(9))
    assert f"{closed} is damaged" in caplog.text
    mend = flip(last, 0, 4096)
    with pytest.raises(RuntimeError, match=f"{last}"):
        Journal(tmp_path / "main")
    mend()
    Journal(tmp_path / "main").close()


def test_what_is_asked_of_a_centre_with_a_damaged_part_of_the_archive_is_answered_with_its_name(tmp_path):
    part = tmp_path / "archive" / "readings" / f"date={START.date()}" / "part-000000000001-000000000001.parquet"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"none")
    assert any(str(part) in line for line in attention(status_of(tmp_path, START)))
    assert not any(str(part) in line for line in attention(status_of(tmp_path, START + timedelta(days=40))))
