"""Housekeeping beside an engine: what is decided, kept and copied is as if nothing had been sealed or pruned."""

import json
import shutil
import threading
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from app.cli import app
from app.feeds.record import record
from app.influx.part import run_influx
from app.service import housekeeping
from app.service.checkpoint import SUFFIX
from app.service.collector import journal_directory
from app.service.engine import from_us
from app.service.housekeeping import (
    GAPS,
    INFLUX_BEHIND_MAX,
    MERGE_EVERY,
    Round,
    keep_house,
    run_housekeeping,
)
from app.site.files import SiteErrors
from contracts.clock import ScaledClock
from contracts.frames import empty
from contracts.instants import epoch_us
from contracts.site import Influx
from store.archive import TABLES, Archive, read_archive
from store.backup import back_up, restore
from store.influx import CURSOR as WRITTEN
from store.influx import FRAMES
from store.journal import Journal, segment_paths
from store.journal_reader import read_after, verify_chain
from store.parquet import canonical
from store.raw_files import raw_directory, raw_files
from store.spans import SpanFiles, span_name, write_span
from store.state_db import SpanRow, StateDb
from store.state_lock import ARCHIVE, UPKEEP, Held, state_lock
from tests.builders import START, minutes, site

from .broker import wait_until
from .influxd import Influxd
from .live import zunyi
from .test_checkpoint import SITE, clock_row, engine, message, payload

NOW = START + timedelta(days=2)
PLENTY = 0.5  # of the disk is free
WITH_INFLUX = SITE.model_copy(
    update={"file": SITE.file.model_copy(update={"influxdb": Influx(url="http://127.0.0.1:9")})}
)


def journal(state_dir):
    """Three hours in segments of twenty minutes, a late hour in between, a clock row every ten minutes."""
    rows = [(START, clock_row(START))]
    for n in range(180):
        at = START + minutes(n)
        body = payload(at, {"a21026": 45 + n % 13, "a19001": 6 + n % 3})
        rows.append((at + minutes(61.0 if 40 <= n < 100 else 1.0), message(body)))
        rows.append((at + minutes(1.0), message(payload(at, {"a21002": 40 + n % 20}, period_s=0, kind="rtd"))))
    rows += [(START + minutes(10 * n + 0.99), clock_row(START + minutes(10 * n))) for n in range(1, 20)]
    with Journal(journal_directory(state_dir, "main"), segment_max_age=timedelta(minutes=20)) as writing:
        for at, row in sorted(rows, key=lambda row: row[0]):
            writing.append([row], at)


def archive(state_dir):
    with state_lock(state_dir, ARCHIVE), StateDb(state_dir / "state.db") as db:
        made = Archive(state_dir / "archive", SpanFiles(state_dir / "spans", db), db, SITE.time_zone)
        while made.compact(3):
            pass


def decided(state_dir):
    """Every table of the archive, with what is still only in spans, and the history of the alerts."""
    archive(state_dir)
    tables = {name: canonical(read_archive(state_dir / "archive", name).collect(), []) for name in TABLES}
    with StateDb(state_dir / "state.db") as db:
        return tables, db.transitions(), db.episodes()


def assert_same(found, expected):
    for name, table in expected[0].items():
        assert_frame_equal(found[0][name], table)
    assert found[1:] == expected[1:]


def run_to_end(state_dir, rows=400):
    one = engine(state_dir)
    one.recover()
    while one.step(rows) is not None:
        pass
    one.close()


@pytest.fixture(scope="module")
def journalled(tmp_path_factory):
    """A state directory with nothing but that journal, to be copied."""
    state_dir = tmp_path_factory.mktemp("journalled")
    journal(state_dir)
    return state_dir


@pytest.fixture(scope="module")
def uninterrupted(journalled, tmp_path_factory):
    state_dir = shutil.copytree(journalled, tmp_path_factory.mktemp("whole"), dirs_exist_ok=True)
    run_to_end(state_dir)
    return decided(state_dir)


def spans_left(state_dir):
    return len(list((state_dir / "spans").glob("*.span")))


def test_an_engine_with_a_round_and_a_restart_after_every_span_decides_the_same(journalled, tmp_path, uninterrupted):
    shutil.copytree(journalled, tmp_path, dirs_exist_ok=True)
    whole = record(tmp_path)["main"]
    total, went_on = Round(), True
    while went_on:
        one = engine(tmp_path)
        one.recover()
        went_on = one.step(40) is not None
        one.checkpoint()
        one.close()
        archive(tmp_path)
        done = keep_house(SITE, tmp_path, NOW, free_share=PLENTY)
        assert done.refused == ()
        total = Round(*(getattr(total, name) + getattr(done, name) for name in ("sealed", "expired", "pruned")))
    assert total.sealed >= 6
    assert total.pruned > 5
    assert spans_left(tmp_path) == 1
    assert_same(decided(tmp_path), uninterrupted)
    assert verify_chain(journal_directory(tmp_path, "main")) is None
    assert_frame_equal(record(tmp_path)["main"], whole)
    assert_frame_equal(
        record(tmp_path, START + minutes(15), START + minutes(150))["main"],
        whole.filter(pl.col("received_at").is_between(START + minutes(15), START + minutes(150), closed="left")),
    )
    assert len(list((tmp_path / "archive" / "verdicts").glob("date=*/*.parquet"))) == 1  # merged


def test_nothing_is_sealed_that_a_recovery_from_the_older_checkpoint_reads(journalled, tmp_path):
    shutil.copytree(journalled, tmp_path, dirs_exist_ok=True)
    directory = journal_directory(tmp_path, "main")
    one = engine(tmp_path)
    while one.step(400) is not None:
        pass
    assert keep_house(SITE, tmp_path, NOW).sealed == 0  # decided, but no checkpoint
    one.close()
    whole = read_after(directory, 0, 10_000)
    for older, newer in ((30, 170), (90, 170)):
        for path in (tmp_path / "checkpoints").glob("*"):
            path.unlink()
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        for minute in (older, newer):
            (tmp_path / "checkpoints" / f"{epoch_us(START + minutes(minute)):020d}{SUFFIX}").touch()
        keep_house(SITE, tmp_path, NOW)
        sealed = raw_files(raw_directory(directory))
        assert sealed
        assert from_us(sealed[-1].last_us) <= START + minutes(older)
    segments = len(segment_paths(directory))
    assert len(sealed) + segments == 10
    assert_frame_equal(read_after(directory, 0, 10_000), whole)


NOTHING = {name: empty(TABLES[name].schema) for name in FRAMES}


def state_of(tmp_path, received, archived, written=None):
    """A state.db and span files with these received_at of the spans' ends; no journal is needed."""
    (tmp_path / "spans").mkdir(exist_ok=True)
    with StateDb(tmp_path / "state.db") as db:
        before_us = 0
        for seq, at in enumerate(received, 1):
            digest = write_span(tmp_path / "spans" / span_name(seq), NOTHING)
            db.commit_span(SpanRow(seq, span_name(seq), digest, before_us, epoch_us(at), None, None, {}), now_us=0)
            before_us = epoch_us(at)
        db.set_cursor("archive", archived)
        if written is not None:
            db.set_cursor(WRITTEN, written)


def left(tmp_path):
    with StateDb(tmp_path / "state.db") as db:
        kept = [row.seq for row in db.spans_after(0) if row.file]
    assert [path.name for path in sorted((tmp_path / "spans").iterdir())] == [span_name(seq) for seq in kept]
    return kept


def rounds(tmp_path, site_=WITH_INFLUX, free_share=PLENTY):
    done = keep_house(site_, tmp_path, NOW, merge=False, free_share=free_share)
    return done.pruned, done.unwritten


HOURS = [START + timedelta(hours=12 * n) for n in range(10)]  # spans half a day apart, the last at four and a half days


def test_spans_wait_for_the_archive_and_for_influxdb_within_the_bound(tmp_path):
    state_of(tmp_path, HOURS[:6], archived=4, written=1)
    assert rounds(tmp_path) == (1, 0)
    assert left(tmp_path) == [2, 3, 4, 5, 6]
    assert rounds(tmp_path) == (0, 0)
    assert rounds(tmp_path, SITE) == (3, 0)  # a site without InfluxDB
    assert left(tmp_path) == [5, 6]
    assert not (tmp_path / GAPS).exists()


def test_the_last_span_stays(tmp_path):
    state_of(tmp_path, HOURS[:3], archived=3, written=3)
    assert rounds(tmp_path) == (2, 0)
    assert left(tmp_path) == [3]
    assert rounds(tmp_path) == (0, 0)


def test_beyond_the_bound_an_absent_influxdb_loses_spans_the_archive_has_and_the_gap_is_written_down(tmp_path):
    state_of(tmp_path, HOURS, archived=3, written=1)
    assert HOURS[-1] - HOURS[2] >= INFLUX_BEHIND_MAX
    assert rounds(tmp_path) == (3, 2)
    assert left(tmp_path) == list(range(4, 11))  # 4 is as old, but not in the archive
    (gap,) = (json.loads(line) for line in (tmp_path / GAPS).read_text().splitlines())
    assert (gap["first_span"], gap["last_span"], gap["why"]) == (2, 3, "InfluxDB behind")
    assert (gap["received_from"], gap["received_to"]) == (HOURS[0].isoformat(), HOURS[2].isoformat())
    with StateDb(tmp_path / "state.db") as db:
        db.set_cursor("archive", 10)
    assert rounds(tmp_path) == (1, 1)  # half a day less than three days old stay
    (grown,) = (json.loads(line) for line in (tmp_path / GAPS).read_text().splitlines())
    assert (grown["first_span"], grown["last_span"]) == (2, 4)
    with StateDb(tmp_path / "state.db") as db:
        db.set_cursor(WRITTEN, 6)
    assert rounds(tmp_path) == (2, 0)
    assert rounds(tmp_path, free_share=0.05) == (3, 3)
    assert left(tmp_path) == [10]
    lines = [json.loads(line) for line in (tmp_path / GAPS).read_text().splitlines()]
    assert [(one["first_span"], one["last_span"], one["why"]) for one in lines[1:]] == [(7, 9, "disk nearly full")]


@pytest.mark.server
def test_the_influx_writer_says_what_it_missed_and_goes_on(tmp_path, require_program, free_port, caplog):
    (tmp_path / "influxd").mkdir()
    influxd = Influxd(require_program("influxd", "influxdb"), tmp_path / "influxd", free_port(), free_port())
    influxd.start()
    state_of(tmp_path, HOURS, archived=10, written=1)
    assert rounds(tmp_path)[1] == 3
    file = SITE.file.model_copy(update={"influxdb": Influx(url=influxd.url, raw_kept="36500d", minute_kept="36500d")})
    stop = threading.Event()
    writer = threading.Thread(
        target=run_influx, args=(SITE.model_copy(update={"file": file}), tmp_path, ScaledClock(NOW, 1), stop)
    )
    writer.start()
    try:
        with StateDb(tmp_path / "state.db") as db:
            wait_until(lambda: db.cursor(WRITTEN) == 10, "all spans that are left")
    finally:
        stop.set()
        writer.join(30)
        influxd.stop()
    assert "InfluxDB lacks 3 spans" in caplog.text


def old_journal(tmp_path, received):
    """A segment a row, all decided and below the checkpoint but the last."""
    with Journal(journal_directory(tmp_path, "main"), segment_max_bytes=1) as writing:
        for at in received:
            writing.append([clock_row(at)], at)
    with StateDb(tmp_path / "state.db") as db:
        db.commit_span(SpanRow(1, None, "d", 0, epoch_us(received[-1]), None, None, {}), now_us=0)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{epoch_us(received[-1]):020d}{SUFFIX}").touch()


def test_raw_messages_leave_after_five_years_and_not_before(tmp_path):
    last = START + timedelta(days=1828)
    received = [START, START + timedelta(days=1), START + timedelta(days=2), last]
    old_journal(tmp_path, received)
    directory = journal_directory(tmp_path, "main")
    done = keep_house(SITE, tmp_path, last)
    assert (done.sealed, done.expired) == (3, 1)  # 1827 days are five years with two leap days, and not yet over
    assert read_after(directory, 0, 10)["received_at"].to_list() == received[1:]
    assert verify_chain(directory) is None
    assert (
        keep_house(SITE, tmp_path, last + timedelta(days=9999)).expired == 0
    )  # a clock that is ahead makes nothing old
    assert keep_house(SITE, tmp_path, last - timedelta(days=5)).expired == 0


@pytest.mark.parametrize("kept", ["1825d", "30d"])
def test_less_than_five_years_is_refused_in_words(tmp_path, kept):
    with pytest.raises(SiteErrors, match=rf"raw_messages_kept: .*{kept}.*生态环境监测条例 Art\. 26 .*Order 820.*1826d"):
        zunyi(tmp_path, 1, raw_messages_kept=kept)


def test_five_years_are_the_default_and_more_may_be_asked_for(tmp_path):
    assert SITE.file.raw_messages_kept == timedelta(days=1826)
    assert zunyi(tmp_path, 1, raw_messages_kept="3650d")[1].file.raw_messages_kept == timedelta(days=3650)


def test_a_damaged_segment_is_left_and_told_and_the_rest_of_the_round_is_done(tmp_path, caplog):
    old_journal(tmp_path, [START, START + timedelta(days=1), START + timedelta(days=2)])
    (first, *_) = segment_paths(journal_directory(tmp_path, "main"))
    first.write_bytes(first.read_bytes()[:20000])
    stop, done = threading.Event(), []

    def told(one):
        done.append(one)
        stop.set()

    run_housekeeping(SITE, tmp_path, ScaledClock(NOW, 1), stop, told)
    assert done[0].sealed == 0
    assert len(done[0].refused) == 1
    assert "left as it is" in caplog.text
    assert first.exists()


def test_while_a_backup_is_taken_nothing_is_removed_and_then_it_goes_on(tmp_path):
    old_journal(tmp_path, [START, START + timedelta(days=1)])
    stop, done = threading.Event(), []
    with state_lock(tmp_path, UPKEEP):
        with pytest.raises(Held):
            keep_house(SITE, tmp_path, NOW)
        thread = threading.Thread(
            target=run_housekeeping,
            args=(SITE, tmp_path, ScaledClock(NOW, 1), stop, done.append),
            kwargs={"every_s": 0.02},
        )
        thread.start()
        assert done == []
    wait_until(lambda: done, "a round")
    stop.set()
    thread.join(10)
    assert done[0].sealed == 1


def test_the_archive_is_merged_once_an_hour(tmp_path, monkeypatch):
    """The clock is the test's: half an hour a round."""
    state_of(tmp_path, HOURS[:1], archived=0)
    asked, stop = [], threading.Event()
    real = housekeeping.keep_house

    def noted(*args, merge, **named):
        asked.append(merge)
        if len(asked) == 5:
            stop.set()
        return real(*args, merge=merge, **named)

    monkeypatch.setattr(housekeeping, "keep_house", noted)

    class HalfHours:
        at = START

        def now(self):
            self.at += MERGE_EVERY / 2
            return self.at

    run_housekeeping(SITE, tmp_path, HalfHours(), stop, every_s=0)
    assert asked == [True, False, True, False, True]


def test_an_engine_goes_on_from_a_restored_backup_as_if_nothing_had_happened(journalled, tmp_path, uninterrupted):
    state_dir, out, again = tmp_path / "state", tmp_path / "out", tmp_path / "again"
    shutil.copytree(journalled, state_dir)
    one = engine(state_dir)
    for _ in range(9):
        one.step(40)
        one.checkpoint()
    archive(state_dir)
    assert keep_house(SITE, state_dir, NOW, free_share=PLENTY).sealed > 2
    one.step(40)
    told = CliRunner().invoke(app, ["backup", "--state", str(state_dir), "--out", str(out), "--json"])
    assert told.exit_code == 0, told.output
    one.close()
    assert json.loads(told.stdout)["decided_to"] == from_us(one._cursor).isoformat()

    told = CliRunner().invoke(app, ["restore", "--from", str(out), "--state", str(again), "--json"])
    assert told.exit_code == 0, told.output
    assert (json.loads(told.stdout)["collectors"], json.loads(told.stdout)["broken"]) == (["main"], [])
    assert verify_chain(journal_directory(again, "main")) is None
    restored = engine(again)
    assert 0 < restored.recover() < 200  # from the checkpoint in it, not from the journal's beginning
    restored.close()
    run_to_end(again)
    assert_same(decided(again), uninterrupted)

    with_old_journals = tmp_path / "with-old-journals"
    restore(out, with_old_journals)
    keep_house(SITE, state_dir, NOW, free_share=PLENTY)
    for part in ("journal", "raw"):  # what the old disk still has of them, which may be more
        shutil.rmtree(with_old_journals / part)
        shutil.copytree(state_dir / part, with_old_journals / part)
    run_to_end(with_old_journals)
    assert_same(decided(with_old_journals), uninterrupted)

    told = CliRunner().invoke(app, ["restore", "--from", str(out), "--state", str(again)])
    assert (told.exit_code, "not an empty directory" in told.stderr) == (1, True)
    told = CliRunner().invoke(app, ["backup", "--state", str(again), "--out", str(out)])
    assert (told.exit_code, "not an empty directory" in told.stderr) == (1, True)


def test_backups_taken_while_everything_runs_can_each_be_gone_on_from(journalled, tmp_path, uninterrupted):
    state_dir = tmp_path / "state"
    shutil.copytree(journalled, state_dir)
    engine(state_dir).close()
    done, rounds_done = threading.Event(), []

    def decide():
        one = engine(state_dir)
        try:
            while one.step(40) is not None:
                one.checkpoint()
                archive(state_dir)
        finally:
            one.close()
            done.set()

    def keep():
        while not done.wait(0.05):
            try:
                rounds_done.append(keep_house(SITE, state_dir, NOW, free_share=PLENTY))
            except Held:
                continue

    threads = [threading.Thread(target=work) for work in (decide, keep)]
    for thread in threads:
        thread.start()
    taken = []
    while not done.is_set() and len(taken) < 3:
        taken.append(tmp_path / f"out{len(taken)}")
        back_up(state_dir, taken[-1], NOW, previous=taken[-2] if len(taken) > 1 else None)
    for thread in threads:
        thread.join(60)
    assert taken
    assert rounds_done
    for number, out in enumerate(taken):
        again = tmp_path / f"again{number}"
        restore(out, again)
        run_to_end(again)
        assert_same(decided(again), uninterrupted)
        assert verify_chain(journal_directory(again, "main")) is None


def test_a_site_of_two_collectors_seals_both(tmp_path):
    two = site(collectors=["main", "east"])
    for name in ("main", "east"):
        with Journal(journal_directory(tmp_path, name), segment_max_bytes=1) as writing:
            for n in range(3):
                writing.append([clock_row(START + minutes(n), name)], START + minutes(n))
    with StateDb(tmp_path / "state.db") as db:
        db.commit_span(SpanRow(1, None, "d", 0, epoch_us(NOW), None, None, {}), now_us=0)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{epoch_us(NOW):020d}{SUFFIX}").touch()
    assert keep_house(two, tmp_path, NOW).sealed == 4
