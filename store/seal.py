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
from itertools import pairwise, takewhile, zip_longest
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pyarrow.parquet as pq

from contracts.instants import EPOCH

from .journal import segment_number, segment_paths
from .journal_block import pack, unpack_frame
from .journal_schema import OWN, ChainEnd
from .journal_segment import BrokenLink, Segment, reading
from .parquet import TEMPORARY, make_directory, replacing, unlink_durably
from .raw_files import (
    RAW_ARROW,
    REMOVED,
    ROWS_AT_ONCE,
    About,
    RawFile,
    raw_batches,
    raw_directory,
    raw_file_name,
    raw_files,
    read_removed,
    to_metadata,
    verify_raw_file,
)

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
        with reading(following) as begun:
            end = begun.began
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
    with reading(path):
        pass  # of this program's schema
    with closing(_connect(path)) as connection:
        # All rows go into the database itself, so that a reader that has it open loses nothing with the log's name.
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            return None
        segment, number = Segment(path, connection), segment_number(path)
        found = segment.verify()
        if isinstance(found, BrokenLink):
            batch = f"batch {found.seq}: " if found.seq else ""
            raise SealRefused(f"{path}: cannot be sealed, {batch}{found.detail}")
        if found != end:
            raise SealRefused(f"{path}: cannot be sealed, the next segment continues another chain")
        first = segment.first()
        if first is None:
            raise SealRefused(f"{path}: a closed segment without a message")
        name = raw_file_name(number, first[0], end.received_us)
        file = RawFile(number, first[0], end.received_us, raw / name)
        if not file.path.exists() or not _is_of(file.path, segment, end):
            make_directory(raw)
            with replacing(file.path) as temporary:
                _write(temporary, segment, end)
                if not _is_of(temporary, segment, end):
                    raise SealRefused(f"{path}: cannot be sealed, its file does not give back its rows")
    unlink_durably([path])
    unlink_durably(path.with_name(path.name + companion) for companion in _SQLITE_FILES)
    return file


def _write(temporary: Path, segment: Segment, end: ChainEnd) -> None:
    n, own = 0, {}
    with pq.ParquetWriter(temporary, RAW_ARROW, compression="zstd", compression_level=_ZSTD_LEVEL) as writer:
        for rows in _parts(segment):
            writer.write_batch(rows.select(RAW_ARROW.names).to_arrow().cast(RAW_ARROW).combine_chunks().to_batches()[0])
            n += rows.height
            own |= dict(rows.filter(pl.col("topic").str.starts_with(OWN)).select("topic", "payload").iter_rows())
        about = About(segment.path.parent.name, segment_number(segment.path), segment.began, end, n, own)
        writer.add_key_value_metadata(to_metadata(about))


def _parts(segment: Segment) -> Iterator[pl.DataFrame]:
    """The segment's rows, whole batches, about so many at once; their number and link are in each batch's last row."""
    packed: list[bytes] = []
    links: list[tuple[int | None, bytes | None]] = []
    for batch in segment.batches():
        packed.append(segment.packed(batch))
        links += [*([(None, None)] * (batch.n - 1)), (batch.seq, batch.chain)]
        if len(links) >= ROWS_AT_ONCE:
            yield _with_links(packed, links)
            packed, links = [], []
    if packed:
        yield _with_links(packed, links)


def _with_links(packed: list[bytes], links: list[tuple[int | None, bytes | None]]) -> pl.DataFrame:
    seqs, chains = zip(*links, strict=True)
    return unpack_frame(b"".join(packed)).with_columns(
        batch_seq=pl.Series(seqs, dtype=pl.Int64), batch_chain=pl.Series(chains, dtype=pl.Binary)
    )


def _is_of(path: Path, segment: Segment, end: ChainEnd) -> bool:
    """Read back: the file's chain holds, goes from where the segment began to `end`, and its rows are the segment's."""
    about = verify_raw_file(path)
    if isinstance(about, BrokenLink) or (about.began, about.end) != (segment.began, end):
        return False
    batches = segment.batches()
    return all(
        batch is not None and rows is not None and pack(rows[1]) == segment.packed(batch)
        for rows, batch in zip_longest(raw_batches(path), batches)
    )


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=_WAIT_S)


def _iso(us: int) -> str:
    return (EPOCH + timedelta(microseconds=us)).astimezone(UTC).isoformat()
