"""The tables of a journal segment, written: a row a batch, and what earlier programs' segments become.

Promises: a segment is of this program's schema or, after a crash in the middle, still of the earlier one, whole; what
the chain covers is never changed. Does not promise room: a migration writes the segment once more.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from contracts.ports import JournalFailure

from .journal_block import PACKED_MAX_BYTES, Row, chain_link, pack, to_block

OWN = "$"  # begins the topics of the journal's own rows; all others are stations'

_ROWS = (
    """
    CREATE TABLE meta (
        collector TEXT NOT NULL,
        previous_chain BLOB NOT NULL,           -- the journal as it was when this segment began
        previous_seq INTEGER NOT NULL,
        previous_received_at INTEGER NOT NULL   -- nothing in earlier segments is later than this
    )
    """,
    """
    CREATE TABLE messages (
        received_at INTEGER PRIMARY KEY,        -- us since 1970-01-01 UTC
        wall_at INTEGER NOT NULL,
        source TEXT NOT NULL,
        topic TEXT NOT NULL,
        payload BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE batches (
        seq INTEGER PRIMARY KEY,                -- counts on from segment to segment
        first_received_at INTEGER NOT NULL,
        last_received_at INTEGER NOT NULL,
        n INTEGER NOT NULL,
        chain BLOB NOT NULL
    )
    """,
)
_BLOCKS = (
    """
    CREATE TABLE batches (
        last_received_at INTEGER PRIMARY KEY,   -- of its last message, us since 1970-01-01 UTC
        seq INTEGER NOT NULL,                   -- counts on from segment to segment
        n INTEGER NOT NULL,                     -- messages
        stations_n INTEGER NOT NULL,            -- of them stations': their topics do not begin with $
        chain BLOB NOT NULL,
        packed_bytes INTEGER NOT NULL,          -- of the block unpacked
        block_crc32 INTEGER NOT NULL,           -- of the block as it is here
        block BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE own (
        topic TEXT PRIMARY KEY,                 -- of the journal's own rows
        last_received_at INTEGER NOT NULL       -- of the last batch that has one
    ) WITHOUT ROWID
    """,
)


class ChainEnd(NamedTuple):
    """The journal as it stood at some batch's end, in the order of a segment's `meta`."""

    chain: bytes
    seq: int
    received_us: int


def connect(path: Path) -> sqlite3.Connection:
    """For writing, of this program's schema: every commit is on the disk when it returns. Raises JournalFailure."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise JournalFailure(f"{path}: SQLite keeps it in mode {mode!r}; the journal's disk must allow mode 'wal'")
        connection.execute("PRAGMA synchronous = FULL")  # in WAL mode: fsync at every commit
        migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def make(path: Path, collector: str, before: ChainEnd) -> None:
    """An empty segment. With a rollback journal: to close a database never fails, and would hide what it could not
    bring over from a write-ahead log."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path)
        connection.execute("INSERT INTO meta VALUES (?,?,?,?)", (collector, *before))
    connect(path).close()


def began(connection: sqlite3.Connection) -> ChainEnd:
    """Where the journal stood when the segment began."""
    row = connection.execute("SELECT previous_chain, previous_seq, previous_received_at FROM meta").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("it does not say what it continues")
    return ChainEnd(*row)


def insert(
    connection: sqlite3.Connection, before: ChainEnd, batches: Iterable[tuple[Sequence[Row], bytes]]
) -> ChainEnd:
    """Batches, each with its packed rows; how the journal then stands. The transaction is the caller's."""
    end = before
    for part, packed in batches:
        end = ChainEnd(chain_link(end.chain, packed), end.seq + 1, part[-1][0])
        _insert(connection, end, part, packed)
    return end


def own_topics(rows: Iterable[Row]) -> list[str]:
    """Of every own row, in their order."""
    return [row[3] for row in rows if row[3].startswith(OWN)]


def _insert(connection: sqlite3.Connection, end: ChainEnd, rows: Sequence[Row], packed: bytes) -> None:
    # a batch without the byte has no own row: looking for it takes a hundredth of looking at every topic
    own = own_topics(rows) if OWN.encode() in packed else []
    block = to_block(packed)
    connection.execute(
        "INSERT INTO batches (last_received_at, seq, n, stations_n, chain, packed_bytes, block_crc32, block)"
        " VALUES (?,?,?,?,?,?,?,?)",
        (end.received_us, end.seq, len(rows), len(rows) - len(own), end.chain, *block),
    )
    connection.executemany("REPLACE INTO own VALUES (?,?)", [(topic, end.received_us) for topic in dict.fromkeys(own)])


def _to_blocks(connection: sqlite3.Connection) -> None:
    """A row a message becomes a row a batch. The chain stays, for what it covers stays."""
    connection.execute("ALTER TABLE batches RENAME TO batches_of_rows")
    for statement in _BLOCKS:
        connection.execute(statement)
    messages = connection.execute(
        "SELECT received_at, wall_at, source, topic, payload FROM messages ORDER BY received_at"
    )
    # a segment that is being made has no meta yet, nor any batch
    end = began(connection) if connection.execute("SELECT 1 FROM batches_of_rows").fetchone() else None
    for seq, first_us, last_us, n, chain in connection.execute(
        "SELECT seq, first_received_at, last_received_at, n, chain FROM batches_of_rows ORDER BY seq"
    ).fetchall():
        rows = messages.fetchmany(n)
        packed = pack(rows)
        if len(rows) != n or (rows[0][0], rows[-1][0], seq) != (first_us, last_us, end.seq + 1):
            raise JournalFailure(f"batch {seq}: its messages are not those that were committed")
        if chain_link(end.chain, packed) != chain:
            raise JournalFailure(f"batch {seq}: its hash does not follow from its messages and the batch before")
        if len(packed) > PACKED_MAX_BYTES:
            raise JournalFailure(f"batch {seq}: of {len(packed):,} bytes, more than a block holds")
        end = ChainEnd(chain, seq, last_us)
        _insert(connection, end, rows, packed)
    if messages.fetchone():
        raise JournalFailure("messages follow that no batch committed")
    connection.execute("DROP TABLE batches_of_rows")
    connection.execute("DROP TABLE messages")


# `PRAGMA user_version` is how many of these a segment has been through: statements, or what carries its rows over.
MIGRATIONS: tuple[tuple[str, ...] | Callable[[sqlite3.Connection], None], ...] = (_ROWS, _to_blocks)


def schema_of(connection: sqlite3.Connection, path: Path) -> int:
    """Raises JournalFailure where a newer program made it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise JournalFailure(f"{path}: its schema {version} is newer than this program's {len(MIGRATIONS)}")
    return version


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Brings a segment to this program's schema, in one transaction. Raises JournalFailure where its chain breaks."""
    version = schema_of(connection, path)
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    for step in MIGRATIONS[version:]:
        if callable(step):
            try:
                step(connection)
            except JournalFailure as error:
                raise JournalFailure(f"{path}: {error}") from error
        else:
            for statement in step:
                connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")
