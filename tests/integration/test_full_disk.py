"""The disk under the engine, the archive and the dead letters is full: they wait, go on by themselves, decide once."""

import json
import os
import sqlite3
import subprocess
import threading
from contextlib import closing, contextmanager

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from app.sending.channels import Outgoing
from app.sending.senders import send_due
from app.service.collector import journal_directory
from app.service.engine import run_engine
from app.service.housekeeping import keep_house
from app.service.processes import run_archive
from contracts.clock import ScaledClock
from contracts.ports import Notification, Sent
from contracts.reasons import Receipt
from notify.senders.pace import Pace
from store.archive import CURSOR as ARCHIVED
from store.archive import read_archive
from store.dead_letters import DeadLetters
from store.disk_full import is_disk_full
from store.journal import Journal
from store.parquet import TEMPORARY
from store.state_db import SpanRow, StateDb
from tests.builders import START

from .broker import wait_until
from .test_checkpoint import SITE, engine, journal, outputs

pytestmark = pytest.mark.server


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={4 * 1024 * 1024}", "tmpfs", folder], check=True, timeout=10)
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=10)


def fill(folder, leave_bytes=0):
    """A file that takes all of the disk but so many bytes."""
    with (folder / "ballast").open("wb") as ballast:
        disk = os.statvfs(folder)
        os.posix_fallocate(ballast.fileno(), 0, disk.f_bavail * disk.f_frsize - leave_bytes)


def make_room(folder):
    (folder / "ballast").unlink()


@contextmanager
def running(work):
    """A thread of `work(stop)` that must end without an error."""
    stop, failed = threading.Event(), []

    def guarded():
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001  # told below
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)
    assert failed == []


def engine_of(state_dir):
    def work(stop):
        with closing(engine(state_dir)) as one:
            run_engine(one, stop)

    return work


def last_seq(state_dir):
    with StateDb(state_dir / "state.db") as db:
        last = db.last_span()
        return 0 if last is None else last.seq


def undone(folder):
    return list(folder.rglob(f"*{TEMPORARY}"))


@pytest.fixture
def expected(tmp_path):
    state_dir = tmp_path / "whole"
    journal(state_dir)
    with closing(engine(state_dir)) as one:
        assert one.step() is not None
        assert one.step() is None
    return outputs(state_dir, tmp_path / "whole-out")


def test_a_span_file_waits_for_room_and_is_then_committed_once(tmp_path, small_disk, expected, caplog):
    state_dir = tmp_path / "state"
    journal(state_dir)
    (state_dir / "spans").symlink_to(small_disk)
    fill(small_disk, leave_bytes=8192)
    with running(engine_of(state_dir)):
        wait_until(lambda: "the disk is full: decisions wait" in caplog.text, "it is said")
        assert last_seq(state_dir) == 0
        assert undone(small_disk) == []
        make_room(small_disk)
        wait_until(lambda: last_seq(state_dir) == 1, "the span that waited")
    assert "there is room again: decisions go on" in caplog.text
    assert outputs(state_dir, tmp_path / "out") == expected


def test_a_commit_of_state_db_waits_for_room_and_is_then_made_once(tmp_path, small_disk, expected, caplog):
    state_dir = small_disk / "state"
    journal(state_dir)
    (tmp_path / "spans").mkdir()
    (state_dir / "spans").symlink_to(tmp_path / "spans")
    engine(state_dir).close()  # state.db is there
    with closing(engine(state_dir)) as one, Journal(journal_directory(state_dir, "main")):  # a collector has it open
        fill(small_disk)
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError, match="disk is full") as raised:
                one.step()
            assert is_disk_full(raised.value)
        assert one.db.last_span() is None
        make_room(small_disk)
        assert one.step().verdicts.height > 0
        assert one.step() is None
        assert one.db.last_span().seq == 1
    assert "disk" not in caplog.text
    assert outputs(state_dir, tmp_path / "out") == expected


def test_an_engine_stopped_or_killed_while_it_waits_decides_the_same_after_its_restart(tmp_path, small_disk, expected):
    state_dir = tmp_path / "state"
    journal(state_dir)
    with closing(engine(state_dir)) as one:
        one.step(60)
        one.checkpoint()
    committed = last_seq(state_dir)
    for path in (state_dir / "spans").iterdir():
        (small_disk / path.name).write_bytes(path.read_bytes())
        path.unlink()
    (state_dir / "spans").rmdir()
    (state_dir / "spans").symlink_to(small_disk)
    before = sorted(path.name for path in (state_dir / "checkpoints").iterdir())
    fill(small_disk)
    with closing(engine(state_dir)) as killed:
        killed.recover()
        with pytest.raises(OSError, match="No space left"):
            killed.step()
        killed.checkpoint()  # of windows that are ahead of what is committed
    assert sorted(path.name for path in (state_dir / "checkpoints").iterdir()) == before
    with running(engine_of(state_dir)) as stop:
        stop.set()
    assert last_seq(state_dir) == committed
    make_room(small_disk)
    with running(engine_of(state_dir)):
        wait_until(lambda: last_seq(state_dir) > committed, "it goes on")
    assert outputs(state_dir, tmp_path / "out") == expected
    assert not (state_dir / "recovery-differences.ndjson").exists()


def test_any_other_failure_ends_the_engine(tmp_path):
    journal(tmp_path)
    with closing(engine(tmp_path)) as one:
        (tmp_path / "spans" / "span-000000000001.span" / "in the way").mkdir(parents=True)
        with pytest.raises(IsADirectoryError):
            run_engine(one, threading.Event())


def test_a_checkpoint_is_left_out_while_there_is_no_room_and_nothing_half_written_stays(tmp_path, small_disk, caplog):
    journal(tmp_path)
    (tmp_path / "checkpoints").symlink_to(small_disk)
    with closing(engine(tmp_path)) as one:
        one.step(40)
        fill(small_disk, leave_bytes=4096)
        one.checkpoint()
        assert "no checkpoint for now" in caplog.text
        assert [path.name for path in small_disk.iterdir()] == ["ballast"]
        one.step(40)  # decisions go on
        make_room(small_disk)
        one.checkpoint()
    assert len(list(small_disk.iterdir())) == 1
    with closing(engine(tmp_path)) as one:
        assert one.recover() == 0


def test_the_archive_waits_for_room_and_span_files_wait_for_the_archive(tmp_path, small_disk, caplog):
    state_dir = tmp_path / "state"
    journal(state_dir)
    with closing(engine(state_dir)) as one:
        while one.step(20) is not None:
            pass
    spans = last_seq(state_dir)
    (state_dir / "archive").symlink_to(small_disk)
    fill(small_disk, leave_bytes=8192)

    def archived():
        with StateDb(state_dir / "state.db") as db:
            return db.cursor(ARCHIVED)

    with running(lambda stop: run_archive(SITE, state_dir, stop)):
        wait_until(lambda: "the disk is full: spans for the archive wait" in caplog.text, "it is said")
        assert archived() == 0
        assert keep_house(SITE, state_dir, START, merge=False).pruned == 0
        make_room(small_disk)
        wait_until(lambda: archived() == spans, "the archive has all")
    assert undone(small_disk) == []
    with StateDb(state_dir / "state.db") as db:
        counted = sum(row.counts.get("readings", 0) for row in db.spans_after(0))
    assert read_archive(state_dir / "archive", "readings").select(pl.len()).collect().item() == counted
    assert_frame_equal(
        read_archive(state_dir / "archive", "readings").collect().unique(),
        read_archive(state_dir / "archive", "readings").collect(),
        check_row_order=False,
    )


def test_dead_letters_are_put_aside_whole_or_not_at_all(small_disk):
    path = small_disk / "deadletter.ndjson"
    letters = DeadLetters(path)
    letters.add([{"line": "first"}])
    before = path.read_bytes()
    fill(small_disk, leave_bytes=4096)
    with pytest.raises(OSError, match="No space left"):
        letters.add([{"line": "x" * 10_000}, {"line": "y"}])
    assert path.read_bytes() == before
    make_room(small_disk)
    letters.add([{"line": "second"}])
    assert [json.loads(line)["line"] for line in path.read_text().splitlines()] == ["first", "second"]


class Counting:
    """A channel that takes everything."""

    def __init__(self):
        self.sent = []

    def send(self, notification, attempt):
        self.sent.append((notification.key, attempt))
        return Sent(Receipt.DELIVERED, "200")


def test_a_receipt_waits_for_room_and_what_it_is_of_is_not_sent_again(small_disk, caplog):
    path, channel = small_disk / "state.db", Counting()
    with StateDb(path) as db:
        span = SpanRow(1, None, "", 0, 1, None, None, {})
        db.commit_span(span, notifications=[Notification(f"k{n}", "w", {}) for n in range(2)], now_us=0)

    def work(stop):
        with StateDb(path) as db:
            send_due(db, {"w": Outgoing(channel, Pace("w"))}, ScaledClock(START, 1), stop)

    with StateDb(path) as held:  # its log is there, and full
        fill(small_disk)
        with running(work):
            wait_until(lambda: "the disk is full: the receipt of k0" in caplog.text, "it is said")
            assert channel.sent == [("k0", 1)]
            make_room(small_disk)
            wait_until(lambda: held.outbox_counts() == {"delivered": 2}, "both receipts")
        assert channel.sent == [("k0", 1), ("k1", 1)]
        assert [row["key"] for row in held.receipts()] == ["k0", "k1"]
