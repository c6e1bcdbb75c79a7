"""One segment of a journal, read: while another process writes it, or after that is gone.

Promises: rows and counts are those of the committed batches; a block that is none of this journal's is a JournalFailure
that names its batch. Does not promise that what is read was checked against the chain: `verify` does that, and holds
what the tables say of a block against the block.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import polars as pl

from contracts.frames import INSTANT, check
from contracts.ports import JournalFailure

from .journal_block import (
    JOURNAL_ROWS,
    BlockDamaged,
    Row,
    chain_link,
    from_block,
    received_first,
    unpack,
    unpack_frame,
)
from .journal_schema import MIGRATIONS, OWN, ChainEnd, began, own_topics, schema_of
from .sqlite_damage import is_damage

# What SQLite answers where it cannot make a segment's companions, for want of room or else; it does not say why.
NO_COMPANION = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN}

_BEFORE_ALL = -(1 << 63)
_COLUMNS = "last_received_at, seq, n, stations_n, chain, packed_bytes, block_crc32, block"


class SegmentGone(Exception):
    """What was listed was not there any more when it was opened: sealed, or removed after its time."""


class SegmentDamaged(JournalFailure):
    """A segment is not what was committed: names the file, and what to do."""

    def __init__(self, path: Path, what: object):
        super().__init__(
            f"{path} is damaged ({what}): copy the state directory as it is, put this one file back from a backup"
        )
        self.path, self.what = path, what


@dataclass(frozen=True)
class BrokenLink:
    """The first place where a journal is not what was committed."""

    segment: Path
    seq: int | None  # of the batch; null: the segment as a whole
    detail: str


class Batch(NamedTuple):
    last_us: int  # received_at of its last row
    seq: int
    n: int
    stations_n: int
    chain: bytes
    packed_bytes: int
    crc32: int
    block: bytes

    def packed(self) -> bytes:
        return from_block(self.packed_bytes, self.crc32, self.block)


class Segment:
    """A segment that is open for reading. What its tables or blocks cannot answer raises JournalFailure."""

    def __init__(self, path: Path, connection: sqlite3.Connection):
        self.path, self._connection = path, connection

    # -- what the tables say

    @property
    def collector(self) -> str:
        ((name,),) = self._connection.execute("SELECT collector FROM meta").fetchall()
        return name

    @property
    def began(self) -> ChainEnd:
        return began(self._connection)

    @property
    def end(self) -> ChainEnd:
        """As the journal stands after the last batch."""
        last = self._connection.execute(
            "SELECT chain, seq, last_received_at FROM batches ORDER BY last_received_at DESC LIMIT 1"
        ).fetchone()
        return ChainEnd(*last) if last else self.began

    def chain_after(self, seq: int) -> ChainEnd | None:
        """As it stood after one batch; None where that is not here."""
        query = "SELECT chain, seq, last_received_at FROM batches WHERE seq = ?"
        row = self._connection.execute(query, (seq,)).fetchone()
        return ChainEnd(*row) if row else None

    def batches(self, after_us: int = _BEFORE_ALL) -> Iterator[Batch]:
        """Those with a row received later, in order."""
        return self._batches("last_received_at > ? ORDER BY last_received_at", after_us)

    def _batches(self, condition: str, *values: object) -> Iterator[Batch]:
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM batches WHERE {condition}", values)
        return map(Batch._make, rows)

    # -- what the blocks hold

    def packed(self, batch: Batch) -> bytes:
        with self._naming(batch.seq):
            return batch.packed()

    def rows_of(self, batch: Batch) -> list[Row]:
        with self._naming(batch.seq):
            return unpack(batch.packed())

    @contextmanager
    def _naming(self, seq: int) -> Iterator[None]:
        try:
            yield
        except BlockDamaged as error:
            raise SegmentDamaged(self.path, f"batch {seq}: its block {error}") from error

    def bytes_between(self, after_us: int, to_us: int) -> int:
        """Of the unpacked batches that end later than the one instant, and not after the other."""
        query = (
            "SELECT coalesce(sum(packed_bytes), 0) FROM batches WHERE last_received_at > ? AND last_received_at <= ?"
        )
        (n,) = self._connection.execute(query, (after_us, to_us)).fetchone()
        return n

    def rows_after(self, after_us: int = _BEFORE_ALL, limit: int | None = None) -> pl.DataFrame:
        """At most so many JOURNAL_ROWS received later than the instant, the earliest first."""
        return self.some_after(after_us, limit, None)[0]

    def some_after(self, after_us: int, limit: int | None, bytes_max: int | None) -> tuple[pl.DataFrame, bool]:
        """As `rows_after`, and whether it was cut short.

        bytes_max: no further batch is read once those that were take so many bytes unpacked.
        """
        parts, n, early, seq, taken, is_cut = [], 0, 0, None, 0, False
        # of a batch of one message most of the time goes into fetching: not a column too many
        batches = self._connection.execute(
            "SELECT seq, n, packed_bytes, block_crc32, block FROM batches WHERE last_received_at > ?"
            " ORDER BY last_received_at",
            (after_us,),
        )
        try:
            for its_seq, its_n, packed_bytes, crc32, block in batches:
                seq = its_seq
                packed = from_block(packed_bytes, crc32, block)
                if not parts and received_first(packed) <= after_us:
                    early = its_n  # at most so many of this one batch
                parts.append(packed)
                n, taken = n + its_n, taken + len(packed)
                is_cut = (limit is not None and n - early >= limit) or (bytes_max is not None and taken >= bytes_max)
                if is_cut:
                    break
            rows = unpack_frame(b"".join(parts))
        except BlockDamaged as error:
            raise SegmentDamaged(self.path, f"batch {seq} or before it: a block {error}") from error
        if rows.height != n:
            raise SegmentDamaged(self.path, f"{len(parts)} batches of {n} messages hold {rows.height}")
        if early:
            rows = rows.filter(pl.col("received_at") > pl.lit(after_us, pl.Int64).cast(INSTANT))
        return check(rows if limit is None else rows.head(limit), JOURNAL_ROWS), is_cut

    def first(self) -> Row | None:
        found = next(self._batches("1 ORDER BY last_received_at LIMIT 1"), None)
        return self.rows_of(found)[0] if found else None

    def last(self) -> Row | None:
        return self._last_in(self._batches("1 ORDER BY last_received_at DESC LIMIT 1"), lambda _: True)

    def last_of_stations(self) -> Row | None:
        condition = "stations_n > 0 ORDER BY last_received_at DESC LIMIT 1"
        return self._last_in(self._batches(condition), lambda topic: not topic.startswith(OWN))

    def last_of(self, topic: str) -> Row | None:
        """The journal's own topics are found by the index; for a station's the blocks are gone through."""
        condition, values = "1", ()
        if topic.startswith(OWN):
            condition, values = "last_received_at = (SELECT last_received_at FROM own WHERE topic = ?)", (topic,)
        found = self._batches(f"{condition} ORDER BY last_received_at DESC", *values)
        return self._last_in(found, lambda its: its == topic)

    def _last_in(self, batches: Iterator[Batch], is_wanted: Callable[[str], bool]) -> Row | None:
        for batch in batches:
            rows = self.rows_of(batch)
            if (len(rows), rows[-1][0] if rows else None) != (batch.n, batch.last_us):
                raise SegmentDamaged(self.path, f"batch {batch.seq}: its block and what is said of it disagree")
            if row := next((row for row in reversed(rows) if is_wanted(row[3])), None):
                return row
        return None

    def stations_after(self, after_us: int) -> int:
        """How many messages of stations were received later."""
        query = "SELECT coalesce(sum(stations_n), 0) FROM batches WHERE last_received_at > ?"
        (n,) = self._connection.execute(query, (after_us,)).fetchone()
        first = next(self._batches("last_received_at > ? ORDER BY last_received_at LIMIT 1", after_us), None)
        rows = self.rows_of(first) if first else []
        return n - sum(row[0] <= after_us and not row[3].startswith(OWN) for row in rows)

    # -- whether it is what was committed

    def verify(self) -> BrokenLink | ChainEnd:
        """The first broken link, or how the journal stands at the segment's end."""
        end, own = self.began, {}
        for batch in self.batches():
            if batch.seq != end.seq + 1:
                return BrokenLink(self.path, end.seq + 1, "the batch is missing")
            rows_or_why = _verify_batch(batch, end)
            if isinstance(rows_or_why, str):
                return BrokenLink(self.path, batch.seq, rows_or_why)
            own |= dict.fromkeys(own_topics(rows_or_why), batch.last_us)
            end = ChainEnd(batch.chain, batch.seq, batch.last_us)
        if dict(self._connection.execute("SELECT topic, last_received_at FROM own")) != own:
            return BrokenLink(self.path, None, "its index of own topics says something else than its messages")
        return end


@contextmanager
def reading(path: Path) -> Iterator[Segment]:
    """Raises SegmentGone; SegmentDamaged, also for what the block meets; JournalFailure where it is of another
    program's schema."""
    with _naming_damage(path):
        connection, schema = _open(path)
    with closing(connection), _naming_damage(path):
        if not schema:
            raise SegmentDamaged(path, "it holds no journal")
        if schema < len(MIGRATIONS):
            raise JournalFailure(
                f"{path}: was written by an earlier program (schema {schema}, this one's is {len(MIGRATIONS)});"
                " the collector rewrites it when it starts: start `greenisland run` first"
            )
        yield Segment(path, connection)


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        # a table or a column that is not there; what this program itself says of a segment has no code
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code != sqlite3.SQLITE_ERROR and not is_damage(error):
            raise
        raise SegmentDamaged(path, error) from error


def is_earlier(path: Path) -> bool:
    """Whether an earlier program wrote it; no where it was sealed meanwhile. Raises SegmentDamaged."""
    try:
        with _naming_damage(path):
            connection, schema = _open(path)
    except SegmentGone:
        return False
    connection.close()
    if not schema:
        raise SegmentDamaged(path, "it holds no journal")
    return schema < len(MIGRATIONS)


def _open(path: Path) -> tuple[sqlite3.Connection, int]:
    """Read-only, and its schema."""
    try:
        try:
            return _connect(path, "mode=ro")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in NO_COMPANION or _log_bytes(path):
                raise
        # On a full disk SQLite cannot make the companions it reads a segment with that nobody has open. Without a log
        # all of it is in its file, and while there is no room for them no writer begins one.
        return _connect(path, "mode=ro&immutable=1")
    except sqlite3.OperationalError as error:
        if not path.exists():
            raise SegmentGone(path) from error
        raise


def _log_bytes(path: Path) -> int:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _connect(path: Path, how: str) -> tuple[sqlite3.Connection, int]:
    connection = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, isolation_level=None)
    try:
        # the first read opens the write-ahead log, which leaves after the database when a segment is sealed
        return connection, schema_of(connection, path)
    except BaseException:
        connection.close()
        raise


def _verify_batch(batch: Batch, before: ChainEnd) -> list[Row] | str:
    try:
        packed = batch.packed()
        if chain_link(before.chain, packed) != batch.chain:
            return "its hash does not follow from its messages and the batch before"
        rows = unpack(packed)
    except BlockDamaged as error:
        return f"its block {error}"
    received_us = [before.received_us, *(row[0] for row in rows)]
    if any(later <= earlier for earlier, later in pairwise(received_us)):
        return "its messages are not in the order they were committed in"
    said = (batch.n, batch.stations_n, batch.last_us)
    if said != (len(rows), len(rows) - len(own_topics(rows)), received_us[-1]):
        return "its messages are not those that were committed: their number or their instants differ"
    return rows
