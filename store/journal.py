"""One collector's journal: append-only SQLite segments, group commit, a hash chain over the committed batches.

Promises: when `append` returns, the messages survive a power failure of an honest disk; received_at is strictly
increasing for the life of the journal; one process writes. After one failure nothing is ever appended again.
Does not promise: that a message is in it only once, or what any message means.
"""

import fcntl
import hashlib
import os
import sqlite3
import struct
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from contracts.ports import RawMessage

from .parquet import fsync

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CHAIN_START = bytes(32)  # what the first batch of a journal continues
SEGMENT_MAX_BYTES = 256 * 1024 * 1024
SEGMENT_MAX_AGE = timedelta(days=1)

# `PRAGMA user_version` is how many of these a segment has been through.
MIGRATIONS = (
    """
    CREATE TABLE meta (
        collector TEXT NOT NULL,
        previous_chain BLOB NOT NULL,           -- the journal as it was when this segment began
        previous_seq INTEGER NOT NULL,
        previous_received_at INTEGER NOT NULL   -- nothing in earlier segments is later than this
    );
    CREATE TABLE messages (
        received_at INTEGER PRIMARY KEY,        -- us since 1970-01-01 UTC
        wall_at INTEGER NOT NULL,
        source TEXT NOT NULL,
        topic TEXT NOT NULL,
        payload BLOB NOT NULL
    );
    CREATE TABLE batches (
        seq INTEGER PRIMARY KEY,                -- counts on from segment to segment
        first_received_at INTEGER NOT NULL,
        last_received_at INTEGER NOT NULL,
        n INTEGER NOT NULL,
        chain BLOB NOT NULL
    );
    """,
)

# A 16 KiB page takes several messages and no overflow chain: measured, 1.7 times the messages/s of the 4 KiB default.
_PAGE_BYTES = 16384
# Rows go in by statements of these many. One statement releases the interpreter's lock once, `executemany` once a row,
# and every release lets a busy network thread in.
_INSERTS = {
    n: "INSERT INTO messages (received_at, wall_at, source, topic, payload) VALUES " + ",".join(["(?,?,?,?,?)"] * n)
    for n in (512, 64, 8, 1)
}
_FIELDS = struct.Struct(">qqIII")  # received_at, wall_at, lengths of source, topic and payload

Row = tuple[int, int, str, str, bytes]  # received_at, wall_at, source, topic, payload


class JournalFailure(RuntimeError):
    """The journal cannot be opened, written or trusted. Whoever holds it must exit: after a failed fsync the kernel
    may have dropped the pages, and a second fsync that succeeds proves nothing."""


def epoch_us(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def chain_link(previous: bytes, rows: Iterable[Row]) -> bytes:
    """SHA-256 over the previous link and, per message, its two instants, the lengths of its texts, and the texts."""
    parts = [previous]
    for received_at, wall_at, source, topic, payload in rows:
        source_bytes, topic_bytes = source.encode(), topic.encode()
        parts += (
            _FIELDS.pack(received_at, wall_at, len(source_bytes), len(topic_bytes), len(payload)),
            source_bytes,
            topic_bytes,
            payload,
        )
    return hashlib.sha256(b"".join(parts)).digest()


def segment_paths(directory: Path) -> list[Path]:
    """Every segment, oldest first. Only the last one is ever written."""
    return sorted(directory.glob("journal-[0-9]*.db"))


def segment_number(path: Path) -> int:
    return int(path.stem.removeprefix("journal-"))


class Journal:
    """`contracts.ports.JournalWriter` over `<state>/journal/<collector>`. `append` may be called from any thread."""

    def __init__(
        self,
        directory: Path,
        *,
        segment_max_bytes: int = SEGMENT_MAX_BYTES,
        segment_max_age: timedelta = SEGMENT_MAX_AGE,
    ):
        self.directory = directory
        self._segment_max_bytes = segment_max_bytes
        self._segment_max_age_us = segment_max_age // MICROSECOND
        self._mutex = threading.Lock()
        self._failure: str | None = None
        self._connection: sqlite3.Connection | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            fsync(directory.parent)
            self._lock_file = _lock(directory)
        except OSError as error:
            raise JournalFailure(f"{directory}: {error}") from error
        try:
            for leftover in directory.glob("*.new*"):  # a segment whose making was cut short never held a message
                leftover.unlink()
            if not segment_paths(directory):
                _make_segment(directory, 1, CHAIN_START, 0, 0)
            self._open_last()
        except (sqlite3.Error, OSError, JournalFailure) as error:
            self.close()
            raise JournalFailure(f"{directory}: {error}") from error

    def append(self, messages: Sequence[RawMessage], wall_at: datetime) -> Sequence[datetime]:
        """Makes the messages durable in one transaction; returns their received_at. Raises JournalFailure."""
        if not messages:
            return ()
        wall_us = epoch_us(wall_at)
        with self._mutex:
            first_us = max(wall_us, self._last_us + 1)
            rows = [
                (received_us, wall_us, message.source, message.topic, message.payload)
                for received_us, message in enumerate(messages, first_us)
            ]
            self._append(rows, wall_us)
        first_at = EPOCH + timedelta(microseconds=first_us)
        return [first_at + timedelta(microseconds=i) for i in range(len(rows))]

    def append_history(self, messages: Sequence[tuple[datetime, RawMessage]]) -> None:
        """Makes messages durable under the received_at they bring, which is their wall time too; one transaction.

        For what was received elsewhere or made. Raises ValueError, taking none, unless the instants increase strictly
        and are later than all in the journal; JournalFailure as `append`.
        """
        rows = []
        with self._mutex:
            last_us = self._last_us
            for received_at, message in messages:
                received_us = epoch_us(received_at)
                if received_us <= last_us:
                    raise ValueError(f"{received_at.isoformat()} is not later than what the journal holds before it")
                rows.append((received_us, received_us, message.source, message.topic, message.payload))
                last_us = received_us
            if rows:
                self._append(rows, rows[0][1])

    def close(self) -> None:
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
            self._lock_file.close()
            self._failure = self._failure or "it is closed"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, rows: list[Row], wall_us: int) -> None:
        if self._failure:
            raise JournalFailure(f"the journal has failed before and takes nothing more: {self._failure}")
        try:
            if self._is_full(wall_us):
                self._roll()
            self._commit(rows)
        except (sqlite3.Error, OSError) as error:
            self._failure = f"{self._path}: {error}"
            raise JournalFailure(self._failure) from error

    def _commit(self, rows: list[Row]) -> None:
        chain = chain_link(self._chain, rows)
        batch = (self._seq + 1, rows[0][0], rows[-1][0], len(rows), chain)
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        done = 0
        for n, statement in _INSERTS.items():
            while len(rows) - done >= n:
                execute(statement, [field for row in rows[done : done + n] for field in row])
                done += n
        execute("INSERT INTO batches (seq, first_received_at, last_received_at, n, chain) VALUES (?,?,?,?,?)", batch)
        execute("COMMIT")
        self._seq, self._last_us, self._chain = batch[0], rows[-1][0], chain
        if self._first_wall_us is None:
            self._first_wall_us = rows[0][1]

    def _is_full(self, wall_us: int) -> bool:
        if self._first_wall_us is None:
            return False
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
        too_old = wall_us - self._first_wall_us >= self._segment_max_age_us
        return too_old or pages * _PAGE_BYTES >= self._segment_max_bytes

    def _roll(self) -> None:
        self._connection.close()
        _make_segment(self.directory, segment_number(self._path) + 1, self._chain, self._seq, self._last_us)
        self._open_last()

    def _open_last(self) -> None:
        self._path = segment_paths(self.directory)[-1]
        self._connection = connection = _connect(self._path)
        _migrate(connection, self._path)
        chain, seq, last_us = connection.execute(
            "SELECT previous_chain, previous_seq, previous_received_at FROM meta"
        ).fetchone()
        (in_messages_us,) = connection.execute("SELECT max(received_at) FROM messages").fetchone()
        batch = connection.execute(
            "SELECT chain, seq, last_received_at FROM batches ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        if in_messages_us != (batch and batch[2]):
            raise JournalFailure(f"{self._path.name}: its last message and its last batch disagree")
        self._chain, self._seq, self._last_us = batch or (chain, seq, last_us)
        first = connection.execute("SELECT wall_at FROM messages ORDER BY received_at LIMIT 1").fetchone()
        self._first_wall_us: int | None = first and first[0]


def _lock(directory: Path):
    """Held until closed, or until the process is gone however it went."""
    file = (directory / "lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise JournalFailure(f"{directory}: another process ({holder}) writes this journal") from error
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # takes effect in a file that is still empty
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # in WAL mode: fsync at every commit
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise JournalFailure(f"{path.name}: its schema {version} is newer than this program's {len(MIGRATIONS)}")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")


def _make_segment(directory: Path, number: int, chain: bytes, seq: int, last_us: int) -> None:
    """Made under another name: a file called journal-*.db is complete whenever it is seen."""
    path = directory / f"journal-{number:08d}.db"
    unfinished = path.with_suffix(".new")
    connection = _connect(unfinished)
    _migrate(connection, unfinished)
    connection.execute("INSERT INTO meta VALUES (?,?,?,?)", (directory.name, chain, seq, last_us))
    connection.close()  # the last connection moves the write-ahead log into the file, with its fsync
    unfinished.rename(path)
    fsync(directory)
