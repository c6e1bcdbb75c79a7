"""Reading journals, while another process writes them or after it is gone.

Promises: rows in order of received_at across segments; nothing is changed; a row seen once is seen by every later read.
Does not promise: segments that were archived and unlinked; those are the archive's.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import polars as pl

from contracts.frames import INSTANT, MESSAGES, check, empty

from .journal import MIGRATIONS, JournalFailure, Row, chain_link, segment_number, segment_paths

# Every column of a segment: MESSAGES and what the chain covers beside it.
JOURNAL_ROWS = pl.Schema({**MESSAGES, "wall_at": INSTANT})


@dataclass(frozen=True)
class BrokenLink:
    """The first place where a journal is not what was committed."""

    segment: Path
    seq: int | None  # of the batch; null: the segment as a whole
    detail: str


def read_after(directory: Path, after_us: int, limit: int) -> pl.DataFrame:
    """At most `limit` MESSAGES with received_at later than `after_us` (us since 1970 UTC), the earliest first."""
    paths = segment_paths(directory)
    # Of the segments before which nothing later than `after_us` was written, the last one is where to begin.
    begin = max(bisect_right(paths, after_us, key=_previous_received_us) - 1, 0)
    rows: list[tuple[int, str, str, bytes]] = []
    for path in paths[begin:]:
        with _reading(path) as connection:
            rows += connection.execute(
                "SELECT received_at, source, topic, payload FROM messages WHERE received_at > ?"
                " ORDER BY received_at LIMIT ?",
                (after_us, limit - len(rows)),
            ).fetchall()
        if len(rows) >= limit:
            break
    if not rows:
        return empty(MESSAGES)
    received_us, source, topic, payload = zip(*rows, strict=True)
    return check(_frame(received_us, source, topic, payload), MESSAGES)


def read_segment(path: Path) -> pl.DataFrame:
    """All JOURNAL_ROWS of one segment: what has to be kept for its chain to be checked again without it."""
    with _reading(path) as connection:
        rows = connection.execute(
            "SELECT received_at, source, topic, payload, wall_at FROM messages ORDER BY received_at"
        ).fetchall()
    if not rows:
        return empty(JOURNAL_ROWS)
    received_us, source, topic, payload, wall_us = zip(*rows, strict=True)
    frame = _frame(received_us, source, topic, payload).with_columns(wall_at=_instants(wall_us))
    return check(frame, JOURNAL_ROWS)


def sealed_segments(directory: Path) -> list[Path]:
    """Segments that will never be written again, oldest first."""
    return segment_paths(directory)[:-1]


def last_payload(directory: Path, topic: str) -> bytes | None:
    """The payload of the latest message of a topic."""
    for path in reversed(segment_paths(directory)):
        with _reading(path) as connection:
            row = connection.execute(
                "SELECT payload FROM messages WHERE topic = ? ORDER BY received_at DESC LIMIT 1", (topic,)
            ).fetchone()
        if row:
            return row[0]
    return None


def verify_chain(directory: Path) -> BrokenLink | None:
    """The first broken link, or None. What came before the oldest segment present is taken from its own word."""
    before: tuple[Path, bytes, int, int] | None = None
    for path in segment_paths(directory):
        try:
            with _reading(path) as connection:
                meta = connection.execute("SELECT previous_chain, previous_seq, previous_received_at FROM meta")
                began = meta.fetchone()
                if before is not None:
                    if segment_number(path) != segment_number(before[0]) + 1:
                        return BrokenLink(path, None, f"the segment after {before[0].name} is missing")
                    if began != before[1:]:
                        return BrokenLink(path, None, f"does not continue where {before[0].name} ends")
                end = _verify_segment(path, connection, began)
        except sqlite3.DatabaseError as error:
            return BrokenLink(path, None, f"cannot be read: {error}")
        if isinstance(end, BrokenLink):
            return end
        before = (path, *end)
    return None


def _verify_segment(
    path: Path, connection: sqlite3.Connection, began: tuple[bytes, int, int]
) -> BrokenLink | tuple[bytes, int, int]:
    """The broken link, or (chain, seq, received_at) as they stand at the segment's end."""
    chain, seq, last_us = began
    messages = connection.execute(
        "SELECT received_at, wall_at, source, topic, payload FROM messages ORDER BY received_at"
    )
    for its_seq, first_us, its_last_us, n, its_chain in connection.execute(
        "SELECT seq, first_received_at, last_received_at, n, chain FROM batches ORDER BY seq"
    ):
        if its_seq != seq + 1:
            return BrokenLink(path, seq + 1, "the batch is missing")
        rows: list[Row] = messages.fetchmany(n)
        if len(rows) != n or (rows[0][0], rows[-1][0]) != (first_us, its_last_us) or first_us <= last_us:
            return BrokenLink(path, its_seq, "its messages are not those that were committed")
        chain = chain_link(chain, rows)
        if chain != its_chain:
            return BrokenLink(path, its_seq, "its hash does not follow from its messages and the batch before")
        seq, last_us = its_seq, its_last_us
    if messages.fetchone():
        return BrokenLink(path, seq + 1, "messages follow that no batch committed")
    return chain, seq, last_us


def _previous_received_us(path: Path) -> int:
    with _reading(path) as connection:
        return connection.execute("SELECT previous_received_at FROM meta").fetchone()[0]


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise JournalFailure(f"{path}: its schema {version} is newer than this program's {len(MIGRATIONS)}")
        yield connection


def _instants(us: tuple[int, ...]) -> pl.Series:
    return pl.Series(us, dtype=pl.Int64).cast(INSTANT)


def _frame(
    received_us: tuple[int, ...], source: tuple[str, ...], topic: tuple[str, ...], payload: tuple[bytes, ...]
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "received_at": _instants(received_us),
            "source": pl.Series(source, dtype=pl.String),
            "topic": pl.Series(topic, dtype=pl.String),
            "payload": pl.Series(payload, dtype=pl.Binary),
        }
    )
