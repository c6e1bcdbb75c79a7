"""Sealing: no row lost, none twice, whatever is cut short; the chain is computed again from Parquet alone."""

import json
import os
import shutil
import sqlite3
import threading
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from contracts.instants import epoch_us
from contracts.ports import JournalFailure, RawMessage
from store import seal
from store.feed import read_feed
from store.journal import Journal, segment_paths
from store.journal_reader import last_payload, read_after, read_segment, verify_chain
from store.raw_files import BrokenLink, raw_directory, raw_files, read_about, read_removed, verify_raw_file
from store.seal import SealRefused, remove_expired, seal_segments
from tests.journal_forgery import change, forge

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FOREVER = 1 << 62


def message(n, topic="gi/S1/json"):
    return RawMessage("mqtt", topic, b"\x00\xff%d" % n)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "main"
    for segment in range(5):
        with Journal(path, segment_max_age=timedelta(hours=1)) as journal:
            for batch in range(3):
                at = NOON + timedelta(hours=segment, seconds=batch)
                n = segment * 3 + batch
                journal.append([message(n), message(n, "$clock/main")], at)
    assert len(segment_paths(path)) == 5
    return path


@pytest.fixture
def directory(written, tmp_path):
    """Five segments of three batches of two rows, one of them the clock's; the fifth is the one being written."""
    return Path(shutil.copytree(written, tmp_path / "journal" / "main"))


def of_segments(directory):
    """The segments there are files of, companions of the database included."""
    return sorted({path.name.split(".")[0] for path in directory.glob("journal-*")})


def everything(directory, after_us=-1):
    return read_after(directory, after_us, 10**6)


def rewrite(path, alter):
    """The sealed file with `alter` done to its table; its metadata stay, unless they are what is altered."""
    metadata = {key: value for key, value in pq.read_metadata(path).metadata.items() if key != b"ARROW:schema"}
    pq.write_table(alter(pq.read_table(path).replace_schema_metadata(metadata)), path)


def test_sealed_segments_give_the_same_rows_and_the_chain_goes_on_through_them(directory):
    before, rows = everything(directory), [read_segment(path) for path in segment_paths(directory)[:4]]
    files = seal_segments(directory, FOREVER)
    assert [file.number for file in files] == [1, 2, 3, 4]
    assert of_segments(directory) == ["journal-00000005"]
    assert raw_files(raw_directory(directory)) == files
    for file, segment in zip(files, rows, strict=True):
        assert_frame_equal(pl.read_parquet(file.path).select(segment.columns), segment)
        assert (file.first_us, file.last_us) == tuple(epoch_us(segment["received_at"][i]) for i in (0, -1))
    assert_frame_equal(everything(directory), before)
    assert verify_chain(directory) is None
    with Journal(directory) as journal:
        journal.append([message(99)], NOON + timedelta(hours=9))
    assert everything(directory).height == before.height + 1
    assert verify_chain(directory) is None


@pytest.mark.parametrize("limit", [1, 5, 6, 7, 25, 100])
def test_reading_on_from_any_row_in_any_portion_crosses_from_sealed_to_live(directory, limit):
    whole = everything(directory)
    seal_segments(directory, epoch_us(NOON + timedelta(hours=3)) - 1)
    assert len(segment_paths(directory)) == 2
    after_us, parts = 0, []
    while not (part := read_after(directory, after_us, limit)).is_empty():
        assert part.height <= limit
        parts.append(part)
        after_us = epoch_us(part["received_at"][-1])
    assert_frame_equal(pl.concat(parts), whole)
    for n in range(whole.height):
        assert read_after(directory, epoch_us(whole["received_at"][n]), 1).rows() == whole[n + 1 : n + 2].rows()


def test_a_segment_that_ends_after_the_bound_stays_and_so_does_the_one_being_written(directory):
    last_us = epoch_us(read_segment(segment_paths(directory)[1])["received_at"][-1])
    assert [file.number for file in seal_segments(directory, last_us - 1)] == [1]
    assert [file.number for file in seal_segments(directory, last_us)] == [2]
    assert [file.number for file in seal_segments(directory, FOREVER, is_stopping=lambda: True)] == []
    assert [file.number for file in seal_segments(directory, FOREVER)] == [3, 4]
    assert len(segment_paths(directory)) == 1


def test_a_sealed_file_is_a_feed_file(directory):
    whole = everything(directory)
    files = seal_segments(directory, FOREVER)
    assert_frame_equal(read_feed([file.path for file in files]), whole.filter(pl.col("received_at") < whole[24, 0]))


def test_the_last_payload_of_a_topic_is_found_in_sealed_files(directory):
    for table in ("batches", "own"):
        change(segment_paths(directory)[4], f"DELETE FROM {table}")
    seal_segments(directory, FOREVER)
    assert last_payload(directory, "$clock/main") == b"\x00\xff11"
    assert last_payload(directory, "gi/S1/json") == b"\x00\xff11"
    assert last_payload(directory, "$site") is None
    assert last_payload(directory, "gi/S2/json") is None


class Killed(BaseException):
    pass


@contextmanager
def killed_at(monkeypatch, call):
    """The process is gone from its n-th call on that changes a disk: nothing after it happens, clean-up neither."""
    calls = [0]

    def mortal(real):
        def dying(*args, **named):
            calls[0] += 1
            if calls[0] >= call:
                raise Killed
            return real(*args, **named)

        return dying

    with monkeypatch.context() as patch:
        for place, name in ((os, "fsync"), (Path, "unlink"), (Path, "replace"), (pq.ParquetWriter, "write_batch")):
            patch.setattr(place, name, mortal(getattr(place, name)))
        with suppress(Killed):
            yield calls


@pytest.mark.parametrize("call", [*range(1, 17), 40, 100])
def test_killed_anywhere_no_row_is_lost_or_given_twice_and_the_next_round_finishes(directory, monkeypatch, call):
    whole = everything(directory)
    with killed_at(monkeypatch, call) as calls:
        seal_segments(directory, FOREVER)
    assert (calls[0] >= call) == (call < 100)
    assert_frame_equal(everything(directory), whole)
    assert verify_chain(directory) is None
    seal_segments(directory, FOREVER)
    assert of_segments(directory) == ["journal-00000005"]
    assert len(list(raw_directory(directory).iterdir())) == 4
    assert_frame_equal(everything(directory), whole)
    assert verify_chain(directory) is None


def test_a_damaged_file_left_beside_its_segment_is_made_again(directory):
    first = segment_paths(directory)[0]
    kept = directory.parent / "kept.db"
    shutil.copy(first, kept)
    (file,) = seal_segments(directory, epoch_us(NOON + timedelta(minutes=5)))
    shutil.move(kept, first)
    whole = everything(directory)
    rewrite(file.path, lambda table: table.slice(1))
    assert_frame_equal(everything(directory), whole)  # the segment is there: it is read
    assert seal_segments(directory, epoch_us(NOON + timedelta(minutes=5))) == [file]
    assert not isinstance(verify_raw_file(file.path), BrokenLink)
    assert verify_chain(directory) is None


TAMPERINGS = {
    "payload": lambda path: forge(path, 6, lambda rows: [rows[0], (*rows[1][:4], b"x")]),
    "wall": lambda path: forge(path, 6, lambda rows: [(at, wall + 1, *texts) for at, wall, *texts in rows]),
    "deleted": lambda path: forge(path, 4, lambda rows: rows[1:]),
    "block": lambda path: change(path, "UPDATE batches SET block = x'00'"),
    "batch": lambda path: change(path, "DELETE FROM batches WHERE seq = 5"),
    "last batch": lambda path: change(path, "DELETE FROM batches WHERE seq = 6"),
    "link": lambda path: change(path, "UPDATE batches SET chain = x'00'"),
    "number": lambda path: change(path, "UPDATE batches SET n = 1"),
    "own": lambda path: change(path, "DELETE FROM own"),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_segment_whose_chain_does_not_hold_is_kept_as_it_is(directory, tampering):
    second = segment_paths(directory)[1]
    TAMPERINGS[tampering](second)
    with pytest.raises(SealRefused, match=r"journal-00000002\.db: cannot be sealed"):
        seal_segments(directory, FOREVER)
    assert [file.number for file in raw_files(raw_directory(directory))] == [1]
    assert second in segment_paths(directory)
    assert not list(raw_directory(directory).glob("*.tmp"))
    assert verify_chain(directory).segment == second


def test_a_segment_the_next_one_does_not_continue_is_not_sealed(directory):
    change(segment_paths(directory)[2], "UPDATE meta SET previous_chain = zeroblob(32)")
    with pytest.raises(SealRefused, match=r"journal-00000002\.db: cannot be sealed.*continues another chain"):
        seal_segments(directory, FOREVER)


def test_a_segment_whose_next_one_is_missing_is_not_sealed(directory):
    segment_paths(directory)[2].unlink()
    with pytest.raises(SealRefused, match=r"journal-00000002\.db: .* the segment after it is missing"):
        seal_segments(directory, FOREVER)


def test_a_segment_somebody_is_reading_waits(directory, monkeypatch):
    """Rows that are only in the write-ahead log would leave with its name."""
    monkeypatch.setattr(seal, "_WAIT_S", 0.01)
    with Journal(directory, segment_max_age=timedelta(hours=1)) as journal:
        with closing(sqlite3.connect(segment_paths(directory)[4], isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT sum(n) FROM batches").fetchone() == (6,)
            journal.append([message(1)], NOON + timedelta(hours=4, minutes=5))
            journal.append([message(2)], NOON + timedelta(hours=6))
            assert [file.number for file in seal_segments(directory, FOREVER)] == [1, 2, 3, 4]
        assert [file.number for file in seal_segments(directory, FOREVER)] == [5]
    assert everything(directory)["payload"][-2:].to_list() == [message(1).payload, message(2).payload]
    assert verify_chain(directory) is None


def set_column(name, make):
    return lambda table: table.set_column(table.schema.get_field_index(name), table.schema.field(name), make(table))


def last_replaced(name, value):
    return set_column(name, lambda table: [[*table[name].to_pylist()[:-1], value]])


FORGERIES = {
    "payload": (last_replaced("payload", b"x"), 6, "hash does not follow"),
    "source": (last_replaced("source", "hj212"), 6, "hash does not follow"),
    "wall_at": (last_replaced("wall_at", NOON), 6, "hash does not follow"),
    "link": (last_replaced("batch_chain", b"\0" * 32), 6, "hash does not follow"),
    "swapped": (lambda table: table.take([1, 0, 2, 3, 4, 5]), 4, "hash does not follow"),
    "order": (last_replaced("received_at", NOON), 6, "not in the order"),
    "last batch": (lambda table: table.slice(0, 4), None, "something else than its rows"),
    "first batch": (lambda table: table.slice(2), 4, "the batch is missing"),
    "no end": (lambda table: table.slice(0, 5), 6, "no batch committed"),
    "no metadata": (lambda table: table.replace_schema_metadata({}), None, "cannot be read"),
    "no column": (lambda table: table.drop_columns(["wall_at"]), None, "cannot be read"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_was_changed_in_a_sealed_file_is_found(directory, forgery):
    alter, seq, detail = FORGERIES[forgery]
    files = seal_segments(directory, FOREVER)
    rewrite(files[1].path, alter)
    broken = verify_chain(directory)
    assert (broken.segment, broken.seq) == (files[1].path, seq)
    assert detail in broken.detail


def test_a_missing_a_renamed_a_damaged_and_a_replaced_file_are_found(directory, tmp_path):
    with Journal(tmp_path / "journal" / "other", segment_max_age=timedelta(hours=1)) as other:
        for n in range(20, 24):
            other.append([message(n)], NOON + timedelta(hours=n))
    foreign = seal_segments(other.directory, FOREVER)
    files = seal_segments(directory, FOREVER)
    whole = files[1].path.read_bytes()
    files[1].path.unlink()
    assert verify_chain(directory).detail == f"the segment after {files[0].path.name} is missing"
    files[1].path.write_bytes(foreign[1].path.read_bytes())
    assert "another name" in verify_chain(directory).detail
    files[1].path.unlink()
    replaced = files[1].path.with_name(foreign[1].path.name)
    replaced.write_bytes(foreign[1].path.read_bytes())
    assert verify_chain(directory).detail == f"does not continue where {files[0].path.name} ends"
    replaced.unlink()
    files[1].path.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in verify_chain(directory).detail
    files[1].path.write_bytes(whole)
    assert verify_chain(directory) is None
    shutil.move(files[3].path, tmp_path / files[3].path.name)
    assert verify_chain(directory).detail == f"the segment after {files[2].path.name} is missing"


def test_a_sealed_file_of_a_newer_program_is_refused(directory, monkeypatch):
    monkeypatch.setattr("store.raw_files.RAW_VERSION", 2)
    files = seal_segments(directory, FOREVER)
    monkeypatch.undo()
    assert "version 2 is newer than this program's 1" in verify_chain(directory).detail
    with pytest.raises(JournalFailure, match="newer"):
        read_about(files[0].path)


def test_expired_files_leave_their_end_of_the_chain_behind(directory):
    raw, whole = raw_directory(directory), everything(directory)
    files = seal_segments(directory, FOREVER)
    assert remove_expired(raw, files[0].last_us, NOON) == []
    assert remove_expired(raw, files[2].last_us, NOON) == files[:2]
    assert raw_files(raw) == files[2:]
    assert_frame_equal(everything(directory), whole[12:])
    assert verify_chain(directory) is None
    first, second = (json.loads(line) for line in (raw / "removed.ndjson").read_text().splitlines())
    assert (first["number"], first["n"], first["seq"], first["file"]) == (1, 6, 3, files[0].path.name)
    assert first["first"] == "2026-03-01T12:00:00+00:00"
    assert first["last"] == "2026-03-01T12:00:02.000001+00:00"
    assert second["previous"]["chain"] == first["chain"]
    assert second["chain"] == read_about(files[2].path).began.chain.hex()

    (raw / "removed.ndjson").write_text(json.dumps(first) + "\n")
    assert verify_chain(directory).detail == "the segment after segment 1 in removed.ndjson is missing"
    (raw / "removed.ndjson").write_text(json.dumps(first) + "\n" + json.dumps({**second, "chain": "00" * 32}) + "\n")
    assert verify_chain(directory).detail == "does not continue where segment 2 in removed.ndjson ends"
    second["previous"]["seq"] = 7
    (raw / "removed.ndjson").write_text(json.dumps(first) + "\n" + json.dumps(second) + "\n")
    assert "segment 2 does not continue segment 1" in verify_chain(directory).detail
    (raw / "removed.ndjson").write_text("{")
    assert "cannot be read" in verify_chain(directory).detail


@pytest.mark.parametrize("call", range(1, 9))
def test_a_removal_killed_anywhere_is_finished_and_recorded_once(directory, monkeypatch, call):
    raw, whole = raw_directory(directory), everything(directory)
    files = seal_segments(directory, FOREVER)
    with killed_at(monkeypatch, call):
        remove_expired(raw, files[1].last_us + 1, NOON)
    left = raw_files(raw)
    assert_frame_equal(everything(directory), whole[6 * (4 - len(left)) :])
    assert verify_chain(directory) is None
    assert remove_expired(raw, files[1].last_us + 1, NOON) == [file for file in left if file.number <= 2]
    assert [row.number for row in read_removed(raw)] == [1, 2]
    assert verify_chain(directory) is None
    assert remove_expired(raw, FOREVER, NOON) == files[2:]
    assert verify_chain(directory) is None
    assert everything(directory).height == 6


def test_a_file_that_does_not_verify_is_kept_beyond_its_time(directory):
    files = seal_segments(directory, FOREVER)
    rewrite(files[0].path, last_replaced("payload", b"x"))
    with pytest.raises(SealRefused, match=r"kept beyond its time.*hash does not follow"):
        remove_expired(raw_directory(directory), FOREVER, NOON)
    assert raw_files(raw_directory(directory)) == files


def test_readers_never_miss_a_row_while_segments_are_sealed_and_removed_beside_them(directory):
    whole = everything(directory)
    done, found = threading.Event(), []

    def read():
        while not done.is_set():
            found.append(everything(directory).equals(whole) and verify_chain(directory) is None)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    while len(segment_paths(directory)) > 1:  # a segment that is being read waits for the next round
        seal_segments(directory, FOREVER)
    done.set()
    for reader in readers:
        reader.join(30)
    assert found
    assert all(found)
