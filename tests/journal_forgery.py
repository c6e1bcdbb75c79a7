"""Journal segments as somebody else left them: an earlier program, or a forger who knows the format."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from store.journal_block import Row, chain_link, from_block, pack, to_block, unpack
from store.journal_schema import ChainEnd

_SCHEMA_1 = """
    CREATE TABLE meta (collector TEXT NOT NULL, previous_chain BLOB NOT NULL, previous_seq INTEGER NOT NULL,
                       previous_received_at INTEGER NOT NULL);
    CREATE TABLE messages (received_at INTEGER PRIMARY KEY, wall_at INTEGER NOT NULL, source TEXT NOT NULL,
                           topic TEXT NOT NULL, payload BLOB NOT NULL);
    CREATE TABLE batches (seq INTEGER PRIMARY KEY, first_received_at INTEGER NOT NULL,
                          last_received_at INTEGER NOT NULL, n INTEGER NOT NULL, chain BLOB NOT NULL);
    PRAGMA user_version = 1;
"""


def change(path: Path, statement: str, *values: object) -> int:
    """How many rows it changed."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).rowcount


def forge(path: Path, seq: int, alter: Callable[[list[Row]], Sequence[Row]]) -> None:
    """Rewrites one batch with everything that is said of it, but the chain."""
    with closing(sqlite3.connect(path)) as connection, connection:
        query = "SELECT packed_bytes, block_crc32, block FROM batches WHERE seq = ?"
        rows = alter(unpack(from_block(*connection.execute(query, (seq,)).fetchone())))
        stations_n = sum(not row[3].startswith("$") for row in rows)
        about = (rows[-1][0], len(rows), stations_n, *to_block(pack(rows)), seq)
        connection.execute(
            "UPDATE batches SET last_received_at = ?, n = ?, stations_n = ?, packed_bytes = ?, block_crc32 = ?,"
            " block = ? WHERE seq = ?",
            about,
        )


def cut_off(path: Path) -> None:
    """Takes away the last batch with everything that is said of it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM batches WHERE seq = (SELECT max(seq) FROM batches)")
        connection.execute("DELETE FROM own")
        for last_us, *block in connection.execute(
            "SELECT last_received_at, packed_bytes, block_crc32, block FROM batches ORDER BY seq"
        ).fetchall():
            own = [(row[3], last_us) for row in unpack(from_block(*block)) if row[3].startswith("$")]
            connection.executemany("REPLACE INTO own VALUES (?,?)", own)


def write_schema_1(path: Path, before: ChainEnd, batches: Sequence[Sequence[Row]]) -> ChainEnd:
    """A segment as the first program wrote it; how the chain then stands."""
    end = before
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA page_size = 16384")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA_1)
        connection.execute("INSERT INTO meta VALUES (?,?,?,?)", (path.parent.name, *before))
        for rows in batches:
            end = ChainEnd(chain_link(end.chain, pack(rows)), end.seq + 1, rows[-1][0])
            connection.executemany("INSERT INTO messages VALUES (?,?,?,?,?)", rows)
            batch = (end.seq, rows[0][0], end.received_us, len(rows), end.chain)
            connection.execute("INSERT INTO batches VALUES (?,?,?,?,?)", batch)
    return end
