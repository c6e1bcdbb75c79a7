"""Closed journal segments become Parquet files, and leave after their time.

Promises: a segment is unlinked only after its file was read back, row for row and link for link; a file is removed only
after its end of the chain was written down. A crash at any point loses no row and shows none twice.
Does not promise to be safe against a second sealer of the same journal: callers take a lock.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from .journal import EPOCH, MIGRATIONS, JournalFailure, Row, segment_number, segment_paths
from .parquet import TEMPORARY, make_directory, replacing, unlink_durably
from .raw_files import (
    RAW_ARROW,
    REMOVED,
    ROWS_AT_ONCE,
    About,
    BrokenLink,
    ChainEnd,
    RawFile,
    raw_batches,
    raw_directory,
    raw_file_name,
    raw_files,
    read_removed,
    to_metadata,
    verify_raw_file,
)

_SELECT = "SELECT received_at, wall_at, source, topic, payload FROM messages ORDER BY received_at"
_ZSTD_LEVEL = 3
_WAIT_S = 1.0  # for a reader that holds the write-ahead log; then the next round's
_SQLITE_FILES = ("-wal", "-shm")


class SealRefused(Exception):
    """A segment or a sealed file is not what was committed. It was left as it is; the message says which and why."""


def seal_segments(
    directory: Path, upto_us: int, *, is_stopping: Callable[[], bool] = lambda: False
) -> Sequence[RawFile]:
    """Seals closed segments of the journal, oldest first, whose rows were all received at or before `upto_us`.

    Returns the files made. Stops before the first segment that lies beyond, is being read, or is not whole: that one
    raises SealRefused.
    """
    remove_leftovers(directory)
    made = []
    for path, following in pairwise(segment_paths(directory)):
        end = _began(following)
        if end.received_us > upto_us or is_stopping():
            break
        if segment_number(following) != segment_number(path) + 1:
            raise SealRefused(f"{path}: cannot be sealed, the segment after it is missing")
        file = _seal(path, end)
        if file is None:
            break
        made.append(file)
    return made


def remove_leftovers(directory: Path) -> None:
    """What a seal that was cut short left: half-written files, and companions of a segment that is gone."""
    unlink_durably(raw_directory(directory).glob(f"raw-*{TEMPORARY}"))
    for companion in _SQLITE_FILES:
        for path in list(directory.glob(f"journal-[0-9]*.db{companion}")):
            # the database is made before its companions and leaves before them
            if not path.with_name(path.name.removesuffix(companion)).exists():
                path.unlink(missing_ok=True)


def remove_expired(directory: Path, before_us: int, now: datetime) -> Sequence[RawFile]:
    """Removes the sealed files of a raw directory that end before the instant, from the oldest on; returns them.

    Their ends of the chain are in removed.ndjson, durably, before the first of them goes. Raises SealRefused at a file
    that does not verify: it is kept, and all after it.
    """
    old = list(takewhile(lambda file: file.last_us < before_us, raw_files(directory)))
    recorded = {row.number for row in read_removed(directory)}
    lines = [_removed_line(file, now) for file in old if file.number not in recorded]
    if lines:
        path = directory / REMOVED
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        with replacing(path) as temporary:
            temporary.write_text(before + "".join(lines), encoding="utf-8")
    unlink_durably(file.path for file in old)
    return old


def _removed_line(file: RawFile, now: datetime) -> str:
    about = verify_raw_file(file.path)
    if isinstance(about, BrokenLink):
        raise SealRefused(f"{file.path}: kept beyond its time, for it is not what was sealed: {about.detail}")
    record = {
        "number": file.number,
        "file": file.path.name,
        "first": _iso(file.first_us),
        "last": _iso(about.end.received_us),
        "n": about.rows,
        "seq": about.end.seq,
        "chain": about.end.chain.hex(),
        "previous": {
            "chain": about.began.chain.hex(),
            "seq": about.began.seq,
            "received_us": about.began.received_us,
        },
        "removed_at": now.isoformat(),
    }
    return json.dumps(record) + "\n"


def _seal(path: Path, end: ChainEnd) -> RawFile | None:
    """None: somebody is reading the segment's write-ahead log. `end` is what the next segment says it continues."""
    raw = raw_directory(path.parent)
    with closing(_connect(path, "rw")) as connection:
        # All rows go into the database itself, so that a reader that has it open loses nothing with the log's name.
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            return None
        (first_us,) = connection.execute("SELECT min(received_at) FROM messages").fetchone()
        if first_us is None:
            raise SealRefused(f"{path}: a closed segment without a message")
        began = _began(path, connection)
        number = segment_number(path)
        file = RawFile(number, first_us, end.received_us, raw / raw_file_name(number, first_us, end.received_us))
        if not file.path.exists() or not _is_of(file.path, began, end, connection):
            make_directory(raw)
            with replacing(file.path) as temporary:
                _write(temporary, connection, path, began)
                if not _is_of(temporary, began, end, connection):
                    raise SealRefused(f"{path}: cannot be sealed, {_why(temporary, end)}")
    unlink_durably([path])
    unlink_durably(path.with_name(path.name + companion) for companion in _SQLITE_FILES)
    return file


def _write(temporary: Path, connection: sqlite3.Connection, path: Path, began: ChainEnd) -> None:
    n, own, end = 0, {}, began
    with pq.ParquetWriter(temporary, RAW_ARROW, compression="zstd", compression_level=_ZSTD_LEVEL) as writer:
        for rows, links in _parts(connection):
            received, wall, source, topic, payload = zip(*rows, strict=True)
            seqs, chains = zip(*links, strict=True)
            columns = (received, source, topic, payload, wall, seqs, chains)
            arrays = [pa.array(column, type_) for column, type_ in zip(columns, RAW_ARROW.types, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=RAW_ARROW))
            n += len(rows)
            own |= {row[3]: row[4] for row in rows if row[3].startswith("$")}
            if chains[-1] is not None:
                end = ChainEnd(chains[-1], seqs[-1], received[-1])
        about = About(path.parent.name, segment_number(path), began, end, n, own)
        writer.add_key_value_metadata(to_metadata(about))


_Link = tuple[int | None, bytes | None]  # number and link of the batch a row is the last of


def _parts(connection: sqlite3.Connection) -> Iterator[tuple[list[Row], list[_Link]]]:
    """The segment's rows and their links, whole batches, about so many rows at once; at the end rows of no batch."""
    messages = connection.execute(_SELECT)
    rows: list[Row] = []
    links: list[_Link] = []
    for seq, n, chain in connection.execute("SELECT seq, n, chain FROM batches ORDER BY seq"):
        if batch := messages.fetchmany(n):
            rows += batch
            links += [*([(None, None)] * (len(batch) - 1)), (seq, chain)]
        if len(rows) >= ROWS_AT_ONCE:
            yield rows, links
            rows, links = [], []
    rest = messages.fetchall()
    if rows or rest:
        yield rows + rest, links + [(None, None)] * len(rest)


def _is_of(path: Path, began: ChainEnd, end: ChainEnd, connection: sqlite3.Connection) -> bool:
    """Read back: the file's chain holds, goes from `began` to `end`, and its rows are those of the segment."""
    about = verify_raw_file(path)
    if isinstance(about, BrokenLink) or (about.began, about.end) != (began, end):
        return False
    messages = connection.execute(_SELECT)
    return all(messages.fetchmany(len(rows)) == rows for _, rows, _ in raw_batches(path)) and not messages.fetchone()


def _why(temporary: Path, end: ChainEnd) -> str:
    found = verify_raw_file(temporary)
    if isinstance(found, BrokenLink):
        return (f"batch {found.seq}: " if found.seq else "") + found.detail
    return "the next segment continues another chain" if found.end != end else "its file does not give back its rows"


def _began(path: Path, connection: sqlite3.Connection | None = None) -> ChainEnd:
    if connection is None:
        with closing(_connect(path, "ro")) as opened:
            return _began(path, opened)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise JournalFailure(f"{path}: its schema {version} is newer than this program's {len(MIGRATIONS)}")
    return ChainEnd(
        *connection.execute("SELECT previous_chain, previous_seq, previous_received_at FROM meta").fetchone()
    )


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None, timeout=_WAIT_S)


def _iso(us: int) -> str:
    return (EPOCH + timedelta(microseconds=us)).astimezone(UTC).isoformat()
