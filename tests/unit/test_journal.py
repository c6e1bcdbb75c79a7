"""The journal's promises: durable before it returns, strictly increasing, one writer, every change found."""

import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames import MESSAGES, check
from contracts.ports import RawMessage
from store.journal import Journal, JournalFailure, epoch_us, segment_paths
from store.journal_reader import last_payload, read_after, read_segment, sealed_segments, verify_chain

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def messages(n, *, topic="gi/S1/json", size=8, start=0):
    return [RawMessage("mqtt", topic, f"{start + i:0{size}d}".encode()) for i in range(n)]


def everything(directory):
    return read_after(directory, 0, 10**6)


def change(path, statement, *values):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


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
        journal.append(messages(1000, size=2000), NOON + timedelta(hours=1))
        journal.append(messages(1), NOON + timedelta(hours=1))
    assert [path.name for path in segment_paths(directory)] == [f"journal-{i:08d}.db" for i in (1, 2, 3)]
    assert sealed_segments(directory) == segment_paths(directory)[:2]
    assert [read_segment(path).height for path in segment_paths(directory)] == [2, 1001, 1]
    assert verify_chain(directory) is None


def test_reading_opens_no_segment_that_lies_wholly_before(tmp_path):
    directory = tmp_path / "main"
    with Journal(directory, segment_max_bytes=1) as journal:
        stamps = [journal.append(messages(1), NOON + timedelta(seconds=i))[0] for i in range(4)]
    for path in segment_paths(directory)[:2]:
        change(path, "DROP TABLE messages")
    assert read_after(directory, epoch_us(stamps[1]), 10)["received_at"].to_list() == stamps[2:]
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
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


TAMPERINGS = {
    "payload": ("UPDATE messages SET payload = x'00' WHERE received_at = ?", "hash does not follow"),
    "topic": ("UPDATE messages SET topic = 'gi/S2/json' WHERE received_at = ?", "hash does not follow"),
    "source": ("UPDATE messages SET source = 'csv' WHERE received_at = ?", "hash does not follow"),
    "wall_at": ("UPDATE messages SET wall_at = wall_at + 1 WHERE received_at = ?", "hash does not follow"),
    "deleted": ("DELETE FROM messages WHERE received_at = ?", "not those that were committed"),
    "moved": ("UPDATE messages SET received_at = received_at - 500000 WHERE received_at = ?", "not those"),
    "added": ("INSERT INTO messages SELECT received_at - 1, wall_at, source, topic, payload FROM messages"
              " WHERE received_at = ?", "not those that were committed"),
}  # fmt: skip


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_verify_names_the_first_broken_link(tmp_path, tampering):
    directory = tmp_path / "main"
    with Journal(directory) as journal:
        for i in range(4):
            journal.append(messages(3), NOON + timedelta(seconds=i))
    assert verify_chain(directory) is None
    statement, detail = TAMPERINGS[tampering]
    change(segment_paths(directory)[0], statement, epoch_us(NOON) + 2_000_000)
    broken = verify_chain(directory)
    assert (broken.segment, broken.seq) == (segment_paths(directory)[0], 3)
    assert detail in broken.detail


def test_verify_finds_a_removed_batch_a_missing_segment_a_replaced_one_and_a_damaged_one(tmp_path):
    directory = tmp_path / "main"
    with Journal(directory, segment_max_bytes=1) as journal:
        for _ in range(4):
            journal.append(messages(3), NOON)
    first, second, third, fourth = segment_paths(directory)

    whole = fourth.read_bytes()
    change(fourth, "DELETE FROM batches")
    assert "no batch committed" in verify_chain(directory).detail
    change(fourth, "DELETE FROM messages")
    change(fourth, "UPDATE meta SET previous_seq = previous_seq + 1")
    assert verify_chain(directory).detail == f"does not continue where {third.name} ends"
    fourth.write_bytes(whole[:16384] + b"\xff" * 16384 + whole[32768:])
    assert verify_chain(directory).segment == fourth
    fourth.write_bytes(whole)
    assert verify_chain(directory) is None
    second.unlink()
    assert verify_chain(directory).detail == f"the segment after {first.name} is missing"


def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path):
    with Journal(tmp_path / "main"), pytest.raises(JournalFailure, match=f"another process \\({os.getpid()}\\)"):
        Journal(tmp_path / "main")
    Journal(tmp_path / "main").close()


def test_after_a_failed_write_nothing_is_ever_appended_again(tmp_path):
    directory = tmp_path / "main"
    journal = Journal(directory)
    journal.append(messages(1), NOON)
    # The database's own size limit stands for a full disk.
    journal._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(JournalFailure, match="full"):
        journal.append(messages(1000, size=5000), NOON)
    journal._connection.execute("PRAGMA max_page_count = 1000000")
    with pytest.raises(JournalFailure, match="failed before"):
        journal.append(messages(1), NOON)
    journal.close()
    assert everything(directory).height == 1
    with Journal(directory) as recovered:
        recovered.append(messages(1), NOON)
    assert verify_chain(directory) is None


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
    assert last_payload(tmp_path / "main", "$clock/other") is None


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from contracts.ports import RawMessage
from store.journal import Journal

journal = Journal(Path(sys.argv[1]), segment_max_bytes=200_000)
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
