"""Segments of the first program, a row a message, become blocks: the same rows under the same chain."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from contracts.instants import MICROSECOND, epoch_us
from contracts.ports import JournalFailure, RawMessage
from store.journal import CHAIN_START, Journal, segment_paths
from store.journal_reader import last_payload, read_after, read_segment, sealed_segments, verify_chain
from store.journal_schema import MIGRATIONS, ChainEnd
from store.journal_segment import reading
from store.seal import seal_segments
from tests.journal_forgery import change, write_schema_1

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_US = epoch_us(NOON)


def batch(begin, n):
    rows = [(NOON_US + begin + i, NOON_US + begin - 7, "mqtt", "gi/站/json", b"\x00\xff%d" % i) for i in range(n)]
    return [*rows, (NOON_US + begin + n, NOON_US + begin, "mqtt", "$clock/main", b"%d" % begin)]


@pytest.fixture
def earlier(tmp_path):
    """(directory, every row, how the chain stands): two segments of the first schema."""
    directory = tmp_path / "journal" / "main"
    directory.mkdir(parents=True)
    batches = [batch(1000 * i, n) for i, n in enumerate((3, 0, 700))]
    first = write_schema_1(directory / "journal-00000001.db", ChainEnd(CHAIN_START, 0, 0), batches[:2])
    second = write_schema_1(directory / "journal-00000002.db", first, batches[2:])
    return directory, [row for rows in batches for row in rows], second


def schemas(directory):
    found = []
    for path in segment_paths(directory):
        with closing(sqlite3.connect(path)) as connection:
            found.append(connection.execute("PRAGMA user_version").fetchone()[0])
    return found


def test_the_writer_rewrites_every_segment_and_goes_on_with_the_chain_they_had(earlier):
    directory, rows, end = earlier
    Journal(directory).close()
    assert schemas(directory) == [len(MIGRATIONS)] * 2
    with reading(segment_paths(directory)[1]) as segment:
        assert segment.end == end
    assert verify_chain(directory) is None
    kept = [frame for path in segment_paths(directory) for frame in read_segment(path).iter_rows()]
    assert [(epoch_us(at), epoch_us(wall), *texts) for at, *texts, wall in kept] == [
        (at, wall, source, topic, payload) for at, wall, source, topic, payload in rows
    ]
    assert last_payload(directory, "$clock/main") == b"2000"
    with Journal(directory, segment_max_age=timedelta(hours=1)) as journal:
        (stamp,) = journal.append([RawMessage("mqtt", "gi/S1/json", b"new")], NOON - timedelta(hours=1))
        assert stamp == NOON + (end.received_us - NOON_US + 1) * MICROSECOND
        journal.append([RawMessage("mqtt", "gi/S1/json", b"later")], NOON + timedelta(hours=2))
    assert len(sealed_segments(directory)) == 2
    assert [file.number for file in seal_segments(directory, 1 << 62)] == [1, 2]
    assert read_after(directory, 0, 10_000).height == len(rows) + 2
    assert verify_chain(directory) is None


def test_a_reader_that_meets_an_earlier_segment_says_what_to_do(earlier):
    directory, _, _ = earlier
    for read in (lambda: read_after(directory, 0, 10), lambda: verify_chain(directory)):
        with pytest.raises(JournalFailure, match=r"earlier program \(schema 1, .*start `greenisland run`"):
            read()
    with pytest.raises(JournalFailure, match="start `greenisland run`"):
        seal_segments(directory, 1 << 62)


TAMPERINGS = {
    "UPDATE messages SET payload = x'00' WHERE received_at = (SELECT min(received_at) FROM messages)": "hash does not",
    "DELETE FROM messages WHERE received_at = (SELECT max(received_at) FROM messages)": "not those that were",
    "DELETE FROM batches WHERE seq = (SELECT max(seq) FROM batches)": "no batch committed",
    "UPDATE batches SET n = n + 1": "not those that were",
    "UPDATE batches SET seq = seq + 1": "not those that were",
}


@pytest.mark.parametrize("statement", TAMPERINGS)
def test_a_segment_whose_chain_does_not_hold_is_left_as_it_is(earlier, statement):
    directory, _, _ = earlier
    path = segment_paths(directory)[1]
    assert change(path, statement) >= 1
    with pytest.raises(JournalFailure, match=rf"journal-00000002\.db: .*{TAMPERINGS[statement]}"):
        Journal(directory)
    assert schemas(directory) == [2, 1]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone()[0] >= 700


def test_a_disk_too_full_to_rewrite_on_leaves_the_segment_as_it_is(small_disk):
    directory = small_disk.path / "journal" / "main"
    directory.mkdir(parents=True)
    end = write_schema_1(directory / "journal-00000001.db", ChainEnd(CHAIN_START, 0, 0), [batch(0, 9000)])
    small_disk.fill(150_000)
    with pytest.raises(JournalFailure, match="full"):
        Journal(directory)
    assert schemas(directory) == [1]
    small_disk.free()
    Journal(directory).close()
    with reading(segment_paths(directory)[0]) as segment:
        assert segment.end == end
    assert verify_chain(directory) is None
