"""A backup is whole or is none; what is put back is, hash for hash, what was taken."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from contracts.instants import epoch_us
from contracts.ports import Notification, RawMessage
from contracts.reasons import Receipt
from store import state_db
from store.backup import MANIFEST, RESTORING, BackupRefused, back_up, read_manifest, restore
from store.journal import Journal, segment_paths
from store.journal_reader import read_after, verify_chain
from store.portal_db import PortalDb
from store.seal import seal_segments
from store.spans import span_name
from store.state_db import SpanRow, StateDb

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CURSOR_US = epoch_us(NOON + timedelta(hours=4))


def span(seq):
    return SpanRow(seq, span_name(seq), f"digest{seq}", seq - 1, CURSOR_US if seq == 2 else seq, None, None, {})


@pytest.fixture
def state(tmp_path):
    """Two sealed segments, three live ones, two committed spans, a third file no span names yet."""
    state = tmp_path / "state"
    journal = state / "journal" / "main"
    with Journal(journal, segment_max_age=timedelta(hours=1)) as writing:
        for n in range(5):
            writing.append([RawMessage("mqtt", "gi/S1/json", b"%d" % n)], NOON + timedelta(hours=n))
    seal_segments(journal, epoch_us(NOON + timedelta(hours=1)))
    (state / "spans").mkdir()
    with StateDb(state / "state.db") as db:
        for seq in (1, 2):
            db.commit_span(span(seq), now_us=0)
    for seq in (1, 2, 3):
        (state / "spans" / span_name(seq)).write_bytes(b"span %d" % seq)
    for name in ("sites/a.json", "archive/readings/date=2026-03-01/part-1-2.parquet", "checkpoints/7.checkpoint"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text(name)
    (state / "deadletter.ndjson").write_text("{}\n")
    (state / "archive" / "half.parquet.77.tmp").touch()
    return state


def test_everything_is_put_back_and_nothing_half_made_or_later_is(state, tmp_path):
    whole = read_after(state / "journal" / "main", 0, 100)
    with StateDb(state / "state.db") as live, Journal(state / "journal" / "main") as writing:
        done = back_up(state, tmp_path / "out", NOON)
        writing.append([RawMessage("mqtt", "late", b"")], NOON + timedelta(hours=5))
        live.commit_span(SpanRow(3, span_name(3), "d", CURSOR_US, CURSOR_US + 1, None, None, {}), now_us=0)
    assert done.cursor_us == CURSOR_US
    assert restore(tmp_path / "out", tmp_path / "again") == done
    again = tmp_path / "again"
    assert read_after(again / "journal" / "main", 0, 100).equals(whole)
    assert verify_chain(again / "journal" / "main") is None
    assert len(segment_paths(again / "journal" / "main")) == 3
    assert [path.name for path in sorted((again / "spans").iterdir())] == [span_name(1), span_name(2)]
    assert sorted(path.name for path in again.iterdir()) == [
        "archive", "checkpoints", "deadletter.ndjson", "journal", "raw", "sites", "spans", "state.db"
    ]  # fmt: skip
    assert not list(again.rglob("*.tmp"))
    assert (again / "sites" / "a.json").read_text() == "sites/a.json"
    with StateDb(again / "state.db") as db, Journal(again / "journal" / "main") as journal:
        assert db.last_span() == span(2)
        journal.append([RawMessage("mqtt", "x", b"")], NOON + timedelta(days=1))
    assert verify_chain(again / "journal" / "main") is None


def test_rows_only_in_the_write_ahead_log_are_in_the_copy(state, tmp_path):
    with Journal(state / "journal" / "main") as journal:
        journal.append([RawMessage("mqtt", "new", b"9")], NOON + timedelta(hours=4, minutes=1))
        wal = segment_paths(journal.directory)[-1].with_suffix(".db-wal")
        assert wal.stat().st_size > 0
        back_up(state, tmp_path / "out", NOON)
    assert read_after(tmp_path / "out" / "journal" / "main", 0, 100)["payload"][-1] == b"9"


def test_what_only_its_owner_reads_nobody_else_reads_in_the_copy_or_when_it_is_put_back(state, tmp_path):
    """Whatever the umask: portal.db has password hashes."""

    def modes(folder):
        return {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir() if path.is_file()}

    (state / "own").write_text("secret")
    (state / "own").chmod(0o600)
    before = os.umask(0o022)
    try:
        with PortalDb(state / "portal.db"):
            back_up(state, tmp_path / "out", NOON)
            live = modes(state)
        restore(tmp_path / "out", tmp_path / "again")
        put_back = modes(tmp_path / "again")
        (tmp_path / "again" / "portal.db").chmod(0o644)
        with PortalDb(tmp_path / "again" / "portal.db"):
            opened = modes(tmp_path / "again")
    finally:
        os.umask(before)
    mine = dict.fromkeys(("portal.db", "portal.db-wal", "portal.db-shm"), "0o600")
    assert mine.items() <= live.items()
    assert mine.items() <= opened.items()
    for copied in (modes(tmp_path / "out"), put_back):
        assert {name: copied[name] for name in ("own", "portal.db", "state.db")} == {
            "own": "0o600",
            "portal.db": "0o600",
            "state.db": live["state.db"],
        }


def test_what_did_not_change_since_an_earlier_backup_is_linked(state, tmp_path):
    first = back_up(state, tmp_path / "first", NOON)
    (state / "deadletter.ndjson").write_text("{}\n{}\n")
    (tmp_path / "first" / "sites" / "a.json").unlink()  # lost there: copied again
    second = back_up(state, tmp_path / "second", NOON, previous=tmp_path / "first")
    assert (first.linked, second.files) == (0, first.files)
    manifest = read_manifest(tmp_path / "second")["files"]
    linked = {name for name in manifest if os.stat(tmp_path / "second" / name).st_nlink == 2}
    assert len(linked) == second.linked
    assert {name for name in manifest if name.startswith(("raw/", "spans/", "archive/"))} <= linked
    assert not linked & {"state.db", "deadletter.ndjson", "sites/a.json"}
    shutil.rmtree(tmp_path / "first")
    restore(tmp_path / "second", tmp_path / "again")
    assert (tmp_path / "again" / "deadletter.ndjson").read_text() == "{}\n{}\n"


def test_a_backup_goes_into_a_directory_of_its_own(state, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "x").touch()
    with pytest.raises(BackupRefused, match="not an empty directory"):
        back_up(state, tmp_path / "used", NOON)
    with pytest.raises(BackupRefused, match="inside the other"):
        back_up(state, state / "backup", NOON)
    with pytest.raises(BackupRefused, match=r"no state\.db"):
        back_up(tmp_path / "used", tmp_path / "out", NOON)
    with pytest.raises(BackupRefused, match="not a complete backup"):
        back_up(state, tmp_path / "out", NOON, previous=tmp_path / "used")
    assert not (tmp_path / "out").exists()


def test_a_state_whose_span_files_are_gone_is_not_taken_for_whole(state, tmp_path):
    (state / "spans" / span_name(1)).unlink()
    with pytest.raises(BackupRefused, match=r"span-0+1\.span is gone"):
        back_up(state, tmp_path / "out", NOON)
    with pytest.raises(BackupRefused, match="not a complete backup"):
        restore(tmp_path / "out", tmp_path / "again")


def test_nothing_is_mixed_into_a_directory_that_holds_something(state, tmp_path):
    back_up(state, tmp_path / "out", NOON)
    with pytest.raises(BackupRefused, match="not an empty directory"):
        restore(tmp_path / "out", state)
    (tmp_path / "again" / RESTORING).mkdir(parents=True)  # of a restore that was cut short
    (tmp_path / "again" / RESTORING / "half").touch()
    restore(tmp_path / "out", tmp_path / "again")
    assert not (tmp_path / "again" / "half").exists()


@pytest.mark.parametrize("damage", ["changed", "gone", "manifest", "version"])
def test_a_damaged_backup_is_told_and_leaves_no_state_behind(state, tmp_path, damage):
    out = tmp_path / "out"
    back_up(state, out, NOON)
    (raw, *_) = (out / "raw" / "main").glob("*.parquet")
    manifest = out / MANIFEST
    if damage == "changed":
        content = bytearray(raw.read_bytes())
        content[-1] ^= 1
        raw.write_bytes(content)
    elif damage == "gone":
        raw.unlink()
    elif damage == "manifest":
        manifest.write_text("{")
    else:
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 9}))
    said = {"changed": "its hash differs", "gone": "cannot be copied", "manifest": "damaged", "version": "version is 9"}
    with pytest.raises(BackupRefused, match=said[damage]):
        restore(out, tmp_path / "again")
    assert not (tmp_path / "again" / "state.db").exists()
    assert not (tmp_path / "again" / "journal").exists()


def test_a_state_of_the_first_schema_is_backed_up_restored_and_opened(state, tmp_path):
    """As the first release left it: tables of the first migration only, with rows in them."""
    old = tmp_path / "old"
    shutil.copytree(state, old)
    (old / "state.db").unlink()
    with closing(sqlite3.connect(old / "state.db", isolation_level=None)) as first:
        for statement in state_db.MIGRATIONS[0]:
            first.execute(statement)
        first.execute("PRAGMA user_version = 1")
        first.execute("INSERT INTO spans VALUES (1, ?, 'digest1', 0, 1, NULL, NULL, '{}')", (span_name(1),))
        first.execute("INSERT INTO outbox VALUES ('k', 'duty', 1, '{}', 'pending', 1, 1)")
        first.execute("INSERT INTO receipts VALUES (1, 'k', 'duty', 1, 1, 'failed', '503')")
    back_up(old, tmp_path / "out", NOON)
    restore(tmp_path / "out", tmp_path / "again")
    with StateDb(tmp_path / "again" / "state.db") as db:
        assert db.last_span() == span(1)
        db.commit_span(
            SpanRow(2, None, "d", 1, 2, None, None, {}), notifications=[Notification("l", "duty", {})], now_us=0
        )
        db.record_receipt(key="k", channel="duty", attempt=2, at_us=2, outcome=Receipt.DELIVERED, detail="200")
        assert db.outbox_counts() == {"delivered": 1, "pending": 1}
        assert [row["outcome"] for row in db.receipts()] == ["failed", "delivered"]
