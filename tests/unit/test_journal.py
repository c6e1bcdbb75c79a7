"""The journal's promises: durable before it returns, strictly increasing, one writer, every change found."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evidence.journal import check_journals
from app.evidence.link import Broken
from contracts.frames import MESSAGES, check
from contracts.instants import epoch_us
from contracts.ports import JournalFailure, RawMessage
from store.journal import Journal, segment_paths
from store.journal_block import PACKED_MAX_BYTES
from store.journal_reader import (
    bytes_between,
    last_payload,
    read_after,
    read_segment,
    read_some,
    sealed_segments,
    verify_chain,
)
from store.journal_segment import SegmentDamaged, reading
from tests.journal_forgery import change, forge

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def messages(n, *, topic="gi/S1/json", size=8, start=0):
    return [RawMessage("mqtt", topic, f"{start + i:0{size}d}".encode()) for i in range(n)]


def everything(directory):
    return read_after(directory, 0, 10**6)


def test_what_was_appended_is_read_back_in_order_with_its_received_at(tmp_path):
    with Journal(tmp_path / "main") as journal:
        sent = [RawMessage("mqtt", "gi/站/json", b"\x00\xff"), RawMessage("hj212", "", b""), *messages(700)]
        stamps = journal.append(sent, NOON)
    frame = check(everything(tmp_path / "main"), MESSAGES)
    assert frame["received_at"].to_list() == list(stamps)
    assert [RawMessage(*row) for row in frame.drop("received_at").iter_rows()] == sent
    assert stamps[0] == NOON
    assert stamps[-1] == NOON + timedelta(microseconds=len(sent) - 1)


def test_received_at_increases_when_the_wall_clock_is_set_back_and_wall_at_tells_it(tmp_path):
    with Journal(tmp_path / "main") as journal:
        (first,) = journal.append(messages(1), NOON)
        (second,) = journal.append(messages(1), NOON - timedelta(hours=1))
    with Journal(tmp_path / "main") as journal:
        (third,) = journal.append(messages(1), NOON - timedelta(minutes=30))
    assert (first, second, third) == (NOON, NOON + timedelta(microseconds=1), NOON + timedelta(microseconds=2))
    rows = read_segment(segment_paths(tmp_path / "main")[0])
    assert rows["wall_at"].to_list() == [NOON, NOON - timedelta(hours=1), NOON - timedelta(minutes=30)]


@given(
    appends=st.lists(st.tuples(st.integers(0, 9), st.integers(-5, 5), st.booleans()), max_size=5),
    after=st.integers(-10, 60),
    limit=st.integers(1, 20),
)
def test_any_batches_walls_restarts_and_segments_make_one_increasing_sequence(tmp_path_factory, appends, after, limit):
    directory = tmp_path_factory.mktemp("journal") / "main"
    written, stamps = [], []
    journal = Journal(directory, segment_max_bytes=1)  # every append begins a segment
    for n, wall_us, restarts in appends:
        batch = messages(n, start=len(written))
        stamps += journal.append(batch, NOON + timedelta(microseconds=wall_us))
        written += batch
        if restarts:
            journal.close()
            journal = Journal(directory, segment_max_bytes=1)
    assert stamps == sorted(set(stamps))
    after_us = epoch_us(NOON) + after
    expected = [(at, m.payload) for at, m in zip(stamps, written, strict=True) if epoch_us(at) > after_us][:limit]
    assert read_after(directory, after_us, limit).select("received_at", "payload").rows() == expected
    assert verify_chain(directory) is None
    journal.close()


def test_a_segment_ends_by_age_and_by_size_and_the_next_continues_its_chain(tmp_path):
    directory = tmp_path / "main"
    with Journal(directory, segment_max_age=timedelta(hours=1), segment_max_bytes=10**6) as journal:
        journal.append(messages(1), NOON)
        journal.append(messages(1), NOON + timedelta(minutes=59))
        assert len(segment_paths(directory)) == 1
        journal.append(messages(1), NOON + timedelta(hours=1))
        assert len(segment_paths(directory)) == 2
        incompressible = RawMessage("mqtt", "gi/S1/json", random.Random(1).randbytes(10**6))
        journal.append([incompressible], NOON + timedelta(hours=1))
        journal.append(messages(1), NOON + timedelta(hours=1))
    assert [path.name for path in segment_paths(directory)] == [f"journal-{i:08d}.db" for i in (1, 2, 3)]
    assert sealed_segments(directory) == segment_paths(directory)[:2]
    assert [read_segment(path).height for path in segment_paths(directory)] == [2, 2, 1]
    assert verify_chain(directory) is None


def test_reading_opens_no_segment_that_lies_wholly_before(tmp_path):
    directory = tmp_path / "main"
    with Journal(directory, segment_max_bytes=1) as journal:
        stamps = [journal.append(messages(1), NOON + timedelta(seconds=i))[0] for i in range(4)]
    for path in segment_paths(directory)[:2]:
        change(path, "DROP TABLE batches")
    assert read_after(directory, epoch_us(stamps[1]), 10)["received_at"].to_list() == stamps[2:]
    with pytest.raises(SegmentDamaged, match=r"journal-00000002\.db is damaged .no such table"):
        read_after(directory, epoch_us(stamps[1]) - 1, 10)


def test_segments_may_leave_from_the_front_and_the_rest_still_verifies(tmp_path):
    directory = tmp_path / "main"
    with Journal(directory, segment_max_bytes=1) as journal:
        stamps = [journal.append(messages(1), NOON)[0] for _ in range(4)]
        for path in sealed_segments(directory)[:2]:
            path.unlink()
        assert everything(directory)["received_at"].to_list() == stamps[2:]
        assert verify_chain(directory) is None
        sealed_segments(directory)[0].unlink()
    with Journal(directory) as journal:
        assert journal.append(messages(1), NOON)[0] == stamps[-1] + timedelta(microseconds=1)


def with_last(**changed):
    """Changes fields of a batch's last row."""
    names = ("received_at", "wall_at", "source", "topic", "payload")

    def alter(rows):
        fields = dict(zip(names, rows[-1], strict=True))
        fields |= {name: made(fields[name]) for name, made in changed.items()}
        return [*rows[:-1], tuple(fields.values())]

    return alter


TAMPERINGS = {
    "payload": with_last(payload=lambda _: b"x"),
    "topic": with_last(topic=lambda _: "gi/S2/json"),
    "source": with_last(source=lambda _: "csv"),
    "wall_at": with_last(wall_at=lambda us: us + 1),
    "moved": with_last(received_at=lambda us: us + 1),
    "deleted": lambda rows: rows[:-1],
    "added": lambda rows: [*rows, (rows[-1][0] + 1, *rows[-1][1:])],
    "swapped": lambda rows: rows[::-1],
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_verify_names_the_first_broken_link(tmp_path, tampering):
    directory = tmp_path / "main"
    with Journal(directory) as journal:
        for i in range(4):
            journal.append(messages(3), NOON + timedelta(seconds=i))
    assert verify_chain(directory) is None
    forge(segment_paths(directory)[0], 3, TAMPERINGS[tampering])
    broken = verify_chain(directory)
    assert (broken.segment, broken.seq) == (segment_paths(directory)[0], 3)
    assert "hash does not follow" in broken.detail


INDEX = {
    "UPDATE batches SET n = n + 1 WHERE seq = 3": (3, "number"),
    "UPDATE batches SET stations_n = stations_n - 1 WHERE seq = 3": (3, "number"),
    "UPDATE batches SET last_received_at = last_received_at + 1 WHERE seq = 3": (3, "instants"),
    "UPDATE batches SET chain = zeroblob(32) WHERE seq = 3": (3, "hash does not follow"),
    "UPDATE batches SET block_crc32 = block_crc32 + 1 WHERE seq = 3": (3, "CRC-32"),
    "UPDATE batches SET packed_bytes = packed_bytes + 1 WHERE seq = 3": (3, ""),
    "UPDATE batches SET packed_bytes = packed_bytes - 1 WHERE seq = 3": (3, ""),
    "UPDATE batches SET packed_bytes = 4611686018427387904 WHERE seq = 3": (3, "none has more"),
    "UPDATE batches SET packed_bytes = -1 WHERE seq = 3": (3, "none has more"),
    "UPDATE batches SET packed_bytes = 'x' WHERE seq = 3": (3, "cannot be unpacked"),
    "UPDATE batches SET block = 'x' WHERE seq = 3": (3, "cannot be unpacked"),
    "UPDATE batches SET block = x'', block_crc32 = 0 WHERE seq = 3": (3, ""),
    "UPDATE batches SET block = x'', block_crc32 = 0, packed_bytes = 0 WHERE seq = 3": (3, "hash does not follow"),
    "UPDATE batches SET seq = 9 WHERE seq = 3": (3, "the batch is missing"),
    "DELETE FROM batches WHERE seq = 3": (3, "the batch is missing"),
    "DELETE FROM own": (None, "own topics"),
    "UPDATE own SET topic = '$clock/other'": (None, "own topics"),
    "UPDATE own SET last_received_at = (SELECT last_received_at FROM batches WHERE seq = 2)": (None, "own topics"),
    "INSERT INTO own VALUES ('$site', 1)": (None, "own topics"),
    "UPDATE meta SET previous_chain = 'x'": (None, "cannot be read"),
    "UPDATE meta SET previous_seq = 1": (2, "the batch is missing"),
    "DELETE FROM meta": (None, "continues"),
}


@pytest.mark.parametrize("statement", INDEX)
def test_what_the_tables_say_of_the_blocks_is_held_against_them(tmp_path, statement):
    directory = tmp_path / "main"
    with Journal(directory) as journal:
        for i in range(4):
            sent = [*messages(30, start=i), *messages(1, topic="$clock/main")]
            journal.append(sent, NOON + timedelta(seconds=i))
    assert verify_chain(directory) is None
    assert change(segment_paths(directory)[0], statement) >= 1
    broken = verify_chain(directory)
    assert broken.seq == INDEX[statement][0]
    assert INDEX[statement][1] in broken.detail


def another(value):
    return value + 1 if isinstance(value, int) else value[:-1] + (b"~" if isinstance(value, bytes) else "~")


def test_one_value_changed_in_any_column_is_found(tmp_path):
    directory = tmp_path / "journal" / "main"
    with Journal(directory) as journal:
        for i in range(4):
            journal.append([*messages(3, start=i), *messages(1, topic="$clock/main")], NOON + timedelta(seconds=i))
    (path,), unnoticed, n = segment_paths(directory), [], 0
    check_journals(tmp_path, lambda _: None)
    whole = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = [(table, row[1]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")]
        values = {at: connection.execute("SELECT {1} FROM {0}".format(*at)).fetchall() for at in columns}
    for (table, column), found in values.items():
        for (value,) in found:
            change(path, f"UPDATE {table} SET {column} = ? WHERE {column} = ?", another(value), value)
            try:
                check_journals(tmp_path, lambda _: None)
            except Broken:
                n += 1
            else:
                unnoticed.append((table, column, value))
            path.write_bytes(whole)
    assert unnoticed == []
    assert n == 4 * 8 + 2 + 4


def test_a_flipped_bit_is_found_or_lies_where_nothing_is_kept(tmp_path):
    directory = tmp_path / "main"
    with Journal(directory) as journal:
        for i in range(4):
            journal.append([*messages(40, start=i), *messages(1, topic="$clock/main")], NOON + timedelta(seconds=i))
    (path,), kept = segment_paths(directory), everything(directory)
    whole, found = path.read_bytes(), 0
    places = random.Random(7).sample(range(len(whole)), 400)
    for at in places:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            if verify_chain(directory) is None:
                assert everything(directory).equals(kept), at
            else:
                found += 1
        except (JournalFailure, sqlite3.Error):
            found += 1
    assert found > 20


def test_no_bit_of_a_block_changes_unnoticed(tmp_path):
    directory = tmp_path / "main"
    with Journal(directory) as journal:
        journal.append(messages(40), NOON)
    (path,) = segment_paths(directory)
    with closing(sqlite3.connect(path)) as connection:
        ((whole, packed_bytes),) = connection.execute("SELECT block, packed_bytes FROM batches").fetchall()
    assert len(whole) < packed_bytes  # compressed
    for at in range(len(whole)):
        change(path, "UPDATE batches SET block = ?", whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        assert "CRC-32" in verify_chain(directory).detail
        with pytest.raises(JournalFailure, match=r"journal-00000001\.db is damaged .batch 1.*CRC-32"):
            everything(directory)


def test_verify_finds_a_removed_batch_a_missing_segment_a_replaced_one_and_a_damaged_one(tmp_path):
    directory = tmp_path / "main"
    with Journal(directory, segment_max_bytes=1) as journal:
        for _ in range(4):
            journal.append(messages(3), NOON)
    first, second, third, fourth = segment_paths(directory)

    whole = fourth.read_bytes()
    change(fourth, "DELETE FROM batches")
    change(fourth, "UPDATE meta SET previous_seq = previous_seq + 1")
    assert verify_chain(directory).detail == f"does not continue where {third.name} ends"
    fourth.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    assert verify_chain(directory).segment == fourth
    fourth.write_bytes(whole)
    assert verify_chain(directory) is None
    second.unlink()
    assert verify_chain(directory).detail == f"the segment after {first.name} is missing"


def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path):
    with Journal(tmp_path / "main"), pytest.raises(JournalFailure, match=f"another process \\({os.getpid()}\\)"):
        Journal(tmp_path / "main")
    Journal(tmp_path / "main").close()


def test_a_segment_whose_making_was_cut_short_is_made_anew(tmp_path):
    directory = tmp_path / "main"
    with Journal(directory, segment_max_bytes=1) as journal:
        journal.append(messages(1), NOON)
    (directory / "journal-00000002.new").write_bytes(b"half a page")
    (directory / "journal-00000002.new-wal").write_bytes(b"")
    with Journal(directory, segment_max_bytes=1) as journal:
        journal.append(messages(1), NOON)
    assert everything(directory).height == 2
    assert not list(directory.glob("*.new*"))


def test_a_segment_of_a_newer_program_is_refused_by_writer_and_reader(tmp_path):
    Journal(tmp_path / "main").close()
    change(segment_paths(tmp_path / "main")[0], "PRAGMA user_version = 99")
    with pytest.raises(JournalFailure, match="schema 99 is newer"):
        Journal(tmp_path / "main")
    with pytest.raises(JournalFailure, match="schema 99 is newer"):
        everything(tmp_path / "main")


def test_every_commit_is_synchronous(tmp_path):
    with Journal(tmp_path / "main", segment_max_bytes=1) as journal:
        for _ in range(2):
            journal.append(messages(1), NOON)
            assert journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert journal._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_topics_last_payload_is_found_across_segments(tmp_path):
    with Journal(tmp_path / "main", segment_max_bytes=1) as journal:
        journal.append(messages(2, topic="$clock/main"), NOON)
        journal.append(messages(3), NOON)
    assert last_payload(tmp_path / "main", "$clock/main") == b"00000001"
    assert last_payload(tmp_path / "main", "gi/S1/json") == b"00000002"
    assert last_payload(tmp_path / "main", "$clock/other") is None
    assert last_payload(tmp_path / "main", "gi/S2/json") is None


def test_a_commit_of_many_bytes_becomes_several_blocks_and_one_transaction(tmp_path):
    directory = tmp_path / "main"
    sent = [RawMessage("mqtt", f"gi/S{i}/json", bytes(9_000_000)) for i in range(3)]
    with Journal(directory) as journal:
        journal.append([*messages(2), *sent], NOON)
    with reading(segment_paths(directory)[0]) as segment:
        assert [(batch.n, batch.stations_n) for batch in segment.batches()] == [(3, 3), (1, 1), (1, 1)]
    assert [RawMessage(*row) for row in everything(directory)[2:].drop("received_at").iter_rows()] == sent
    assert verify_chain(directory) is None


def test_a_message_no_block_holds_is_refused_and_the_journal_goes_on(tmp_path):
    with Journal(tmp_path / "main") as journal:
        with pytest.raises(ValueError, match="no journal takes that"):
            journal.append([*messages(1), RawMessage("csv", "gi/S1/json", bytes(PACKED_MAX_BYTES))], NOON)
        with pytest.raises(ValueError, match="surrogates"):
            journal.append([*messages(1), RawMessage("csv", "gi/\ud800/json", b"")], NOON)
        journal.append(messages(1), NOON)
    assert everything(tmp_path / "main").height == 1


def test_counts_and_ends_of_a_segment_need_no_reading_through(tmp_path):
    directory = tmp_path / "main"
    with Journal(directory) as journal:
        stamps = []
        for i in range(4):
            stamps += journal.append([*messages(2), *messages(1, topic="$clock/main")], NOON + timedelta(seconds=i))
        stamps += journal.append(messages(1, topic="$site"), NOON + timedelta(seconds=9))
    with reading(segment_paths(directory)[0]) as segment:
        after = [segment.stations_after(epoch_us(at)) for at in stamps]
        assert after == [7, 6, 6, 5, 4, 4, 3, 2, 2, 1, 0, 0, 0]
        assert segment.stations_after(0) == 8
        assert segment.last_of_stations()[0] == epoch_us(stamps[10])
        assert segment.last_of("$clock/main")[0] == epoch_us(stamps[11])
        assert (segment.first()[0], segment.last()[0]) == (epoch_us(stamps[0]), epoch_us(stamps[-1]))


WRITER = """
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from contracts.ports import RawMessage
from store.journal import Journal

journal = Journal(Path(sys.argv[1]), segment_max_bytes=20_000)
for i in range(10**9):
    journal.append([RawMessage("mqtt", "gi/S1/json", b"%0500d" % (10 * i + k)) for k in range(10)], datetime.now(UTC))
    print(10 * i + 9, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_all_it_reported_and_a_reader_may_watch(tmp_path):
    directory = tmp_path / "main"
    for _ in range(2):
        before = everything(directory).height
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, directory], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        reported, seen = [], 0
        for line in writer.stdout:
            reported.append(int(line))
            if len(reported) % 20 == 0:
                now_seen = everything(directory).height
                assert now_seen >= max(seen, before + reported[-1] + 1)
                seen = now_seen
            if len(reported) == 60:
                writer.send_signal(signal.SIGKILL)
                break
        reported += [int(line) for line in writer.stdout if line.endswith("\n")]
        writer.stdout.close()
        writer.wait(timeout=10)
        payloads = everything(directory)["payload"][before:].cast(pl.String).cast(pl.Int64)
        assert payloads.to_list() == list(range(len(payloads)))
        assert len(payloads) > reported[-1]
        assert verify_chain(directory) is None
    assert len(segment_paths(directory)) > 2


def test_history_keeps_the_received_at_it_brings_and_the_journal_goes_on_behind_it(tmp_path):
    history = [(NOON - timedelta(minutes=5 - i), message) for i, message in enumerate(messages(5))]
    with Journal(tmp_path / "main") as journal:
        journal.append_history(history)
        journal.append_history([])
        (live,) = journal.append(messages(1, start=5), NOON - timedelta(hours=1))  # a clock behind the history's end
    frame = everything(tmp_path / "main")
    assert frame["received_at"].to_list() == [at for at, _ in history] + [live]
    assert live == history[-1][0] + timedelta(microseconds=1)
    assert verify_chain(tmp_path / "main") is None


@pytest.mark.parametrize("second", [timedelta(0), timedelta(seconds=-1)])
def test_history_that_does_not_follow_what_is_there_is_refused_whole(tmp_path, second):
    with Journal(tmp_path / "main") as journal:
        journal.append(messages(1), NOON)
        with pytest.raises(ValueError, match="not later"):
            journal.append_history([(NOON + second, messages(1)[0])])
        later = NOON + timedelta(seconds=2)
        with pytest.raises(ValueError, match="not later"):
            journal.append_history([(later, messages(1)[0]), (later + second, messages(1)[0])])
        journal.append_history([(NOON + timedelta(seconds=1), messages(1)[0])])
    assert everything(tmp_path / "main").height == 2


def test_reading_stops_by_bytes_and_going_on_from_there_gives_every_row_once(tmp_path):
    directory = tmp_path / "main"
    with Journal(directory, segment_max_bytes=200_000) as journal:
        for n in range(12):
            noise = [random.Random(10 * n + i).randbytes(20_000) for i in range(3)]
            journal.append([RawMessage("mqtt", "gi/S1/json", body) for body in noise], NOON + timedelta(seconds=n))
    assert len(segment_paths(directory)) > 2
    whole = read_after(directory, 0, 1_000)
    for after_us in (0, epoch_us(whole["received_at"][4])):  # from the beginning; from within a batch
        parts, is_cut, at = [], True, after_us
        while is_cut:
            part, is_cut = read_some(directory, at, 1_000, 130_000)
            assert part.height <= 9  # 130 kB are two batches and a bit
            parts.append(part)
            at = epoch_us(part["received_at"][-1]) if part.height else at
        assert len(parts) >= 4
        assert pl.concat(parts).equals(whole.filter(pl.col("received_at").dt.epoch("us") > after_us))
    assert bytes_between(directory, 0, 1 << 60) >= 12 * 60_000
    assert bytes_between(directory, epoch_us(whole["received_at"][29]), 1 << 60) < 7 * 60_000
