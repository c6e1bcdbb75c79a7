"""One collector's journal: append-only SQLite segments, group commit, a hash chain over the committed batches.

Promises: when `append` returns, the messages survive a power failure of an honest disk; received_at is strictly
increasing for the life of the journal; one process writes. A full disk may be waited out; after any other failure
nothing is ever appended again. Does not promise: that a message is in it only once, or what any message means.
"""

import errno
import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from contracts.instants import EPOCH, MICROSECOND, epoch_us
from contracts.ports import JournalFailure, JournalFull, RawMessage

from .journal_block import Row, pack_batches
from .journal_schema import ChainEnd, connect, insert, make
from .journal_segment import NO_COMPANION, Segment, SegmentDamaged, is_earlier
from .parquet import fsync

log = logging.getLogger(__name__)

CHAIN_START = bytes(32)  # what the first batch of a journal continues
SEGMENT_MAX_BYTES = 256 * 1024 * 1024
SEGMENT_MAX_AGE = timedelta(days=1)
ROOM_BYTES = 1 << 20  # a segment and its companions are made with less


def segment_paths(directory: Path) -> list[Path]:
    """Every segment, oldest first. Only the last one is ever written."""
    return sorted(directory.glob("journal-[0-9]*.db"))


def segment_number(path: Path) -> int:
    return int(path.stem.removeprefix("journal-"))


@dataclass(frozen=True)
class Stamps(Sequence[datetime]):
    """received_at of the messages of a commit, a microsecond apart; made when asked for: the collector never asks."""

    first_us: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, n: int) -> datetime:
        return EPOCH + timedelta(microseconds=range(self.first_us, self.first_us + self.count)[n])


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
        self._is_rolling = False  # the next segment may be there: nothing more goes into this one
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _fsync(directory.parent)
            self._lock_file = _lock(directory)
        except OSError as error:
            raise _failure(directory, error, is_opening=True) from error
        at = directory  # what is being opened
        try:
            for leftover in directory.glob("*.new*"):  # a segment whose making was cut short never held a message
                leftover.unlink()
            if not segment_paths(directory):
                _make_segment(directory / "journal-00000001.db", ChainEnd(CHAIN_START, 0, 0))
            *closed, last = segment_paths(directory)
            for at in closed:
                try:
                    if is_earlier(at):
                        connect(at).close()
                except SegmentDamaged as error:
                    log.error("the journal goes on without reading a closed segment: %s", error)
            at = last
            is_earlier(last)  # raises where it holds no journal
            self._open(last)
        except (sqlite3.Error, OSError, JournalFailure) as error:
            self.close()
            raise _failure(at, error, is_opening=True) from error

    def append(self, messages: Sequence[RawMessage], wall_at: datetime) -> Sequence[datetime]:
        """Makes the messages durable in one transaction; returns their received_at.

        Raises JournalFull, having taken none; any other JournalFailure is final. ValueError: a message that no journal
        takes, for its length or for a topic that is no text; none is taken.
        """
        if not messages:
            return ()
        wall_us = epoch_us(wall_at)
        with self._mutex:
            first_us = max(wall_us, self._end.received_us + 1)
            rows = [
                (received_us, wall_us, message.source, message.topic, message.payload)
                for received_us, message in enumerate(messages, first_us)
            ]
            self._append(rows, wall_us)
        return Stamps(first_us, len(rows))

    def append_history(self, messages: Sequence[tuple[datetime, RawMessage]]) -> None:
        """Makes messages durable under the received_at they bring, which is their wall time too; one transaction.

        For what was received elsewhere or made. Raises ValueError, taking none, unless the instants increase strictly
        and are later than all in the journal; JournalFailure as `append`.
        """
        rows = []
        with self._mutex:
            last_us = self._end.received_us
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
        batches = pack_batches(rows)  # what cannot be packed leaves all as it was
        try:
            if self._is_rolling or self._is_over(wall_us):
                self._roll()
            self._commit(batches)
        except (sqlite3.Error, OSError, JournalFailure) as error:
            failure = _failure(self._path, error, is_opening=self._is_rolling)
            if self._is_taken_back() and isinstance(failure, JournalFull):
                raise failure from error
            self._failure = str(failure)
            raise JournalFailure(self._failure) from error

    def _commit(self, batches: Sequence[tuple[Sequence[Row], bytes]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        end = insert(self._connection, self._end, batches)
        self._connection.execute("COMMIT")
        self._end = end
        if self._first_wall_us is None:
            self._first_wall_us = batches[0][0][0][1]

    def _is_taken_back(self) -> bool:
        """Whether the journal ends where it ended before."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return Segment(self._path, self._connection).end == self._end
        except (sqlite3.Error, JournalFailure):
            return False

    def _is_over(self, wall_us: int) -> bool:
        if self._first_wall_us is None:
            return False
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        too_old = wall_us - self._first_wall_us >= self._segment_max_age_us
        return too_old or pages * self._page_bytes >= self._segment_max_bytes

    def _roll(self) -> None:
        self._is_rolling = True
        following = self._path.with_name(f"journal-{segment_number(self._path) + 1:08d}.db")
        if not following.exists():  # made before, and then there was no room to open it
            _make_segment(following, self._end)
        self._open(following)
        self._is_rolling = False

    def _open(self, path: Path) -> None:
        """The segment before stays open, and is the one that is written, until all of this has succeeded."""
        connection = connect(path)
        try:
            segment = Segment(path, connection)
            first, end = segment.first(), segment.end
            segment.last()  # raises where it is not what the table says
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        except BaseException:
            connection.close()
            raise
        if self._connection is not None:
            self._connection.close()
        self._path, self._connection, self._page_bytes, self._end = path, connection, page_bytes, end
        self._first_wall_us: int | None = first and first[1]


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
    try:
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    except OSError:
        file.close()
        raise
    return file


def _make_segment(path: Path, before: ChainEnd) -> None:
    """Made under another name: a file called journal-*.db is complete whenever it is seen."""
    unfinished = path.with_suffix(".new")
    try:
        make(unfinished, path.parent.name, before)
        unfinished.rename(path)
    except BaseException:
        for leftover in path.parent.glob(f"{unfinished.name}*"):
            leftover.unlink()
        raise
    _fsync(path.parent)


def _fsync(directory: Path) -> None:
    try:
        fsync(directory)
    except OSError as error:  # that of a full disk too: nobody knows what is on it
        raise JournalFailure(f"{directory}: {error}") from error


def _failure(path: Path, error: Exception, *, is_opening: bool) -> JournalFailure:
    """JournalFull where there was no room to write. A failed fsync is final also where it failed for want of room, and
    so is, in a commit, not to know why: only where nothing is being committed may the room that is left answer it."""
    said = str(error) if str(path) in str(error) else f"{path}: {error}"
    if isinstance(error, JournalFull):
        return error
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)  # errors of the module itself have none
        is_full = code == sqlite3.SQLITE_FULL
        is_full |= is_opening and code in NO_COMPANION and _room_bytes(path) < ROOM_BYTES
    else:
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return JournalFull(said) if is_full else JournalFailure(said)


def _room_bytes(path: Path) -> int:
    disk = os.statvfs(path.parent)
    return disk.f_bavail * disk.f_frsize
