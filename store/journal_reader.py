"""Reading journals, while another process writes them or after it is gone.

Promises: rows in order of received_at across segments, sealed ones and those that are sealed meanwhile included, each
once; nothing is changed; a row seen once is seen by every later read until its sealed file is removed after its time.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import polars as pl

from contracts.frames import MESSAGES, check, empty

from .journal import segment_number, segment_paths
from .journal_schema import ChainEnd
from .journal_segment import BrokenLink, SegmentDamaged, SegmentGone, reading
from .raw_files import (
    REMOVED,
    RawFile,
    last_raw_payload,
    raw_bytes,
    raw_directory,
    raw_files,
    read_raw_after,
    read_removed,
    verify_raw_file,
)

_Answer = TypeVar("_Answer")


def _until_settled(read: Callable[[], _Answer]) -> _Answer:
    """Begins again where a segment went meanwhile; the next listing has its sealed file."""
    while True:
        try:
            return read()
        except SegmentGone:
            continue


def read_after(directory: Path, after_us: int, limit: int) -> pl.DataFrame:
    """At most `limit` MESSAGES with received_at later than `after_us` (us since 1970 UTC), the earliest first."""
    return read_some(directory, after_us, limit, None)[0]


def read_some(directory: Path, after_us: int, limit: int, bytes_max: int | None) -> tuple[pl.DataFrame, bool]:
    """As `read_after`, and whether it was cut short, so that there may be more.

    bytes_max: no further batch, nor sealed file, is read once what was read takes so many bytes in memory.
    """
    return _until_settled(lambda: _read_some(directory, after_us, limit, bytes_max))


def _read_some(directory: Path, after_us: int, limit: int, bytes_max: int | None) -> tuple[pl.DataFrame, bool]:
    paths = segment_paths(directory)  # before the sealed files: a segment that leaves meanwhile is then among those
    begin = _begin(paths, after_us)
    parts, found, taken, is_cut = [], 0, 0, False
    for file in _sealed_before(directory, paths) if begin < 0 else ():
        if not is_cut and file.last_us > after_us:
            try:
                part = read_raw_after(file.path, after_us, limit - found)
            except FileNotFoundError as error:
                raise SegmentGone(file.path) from error  # its time had come
            parts.append(part)
            found, taken = found + part.height, taken + int(part.estimated_size())
            is_cut = found >= limit or (bytes_max is not None and taken >= bytes_max)
    for path in paths[max(begin, 0) :]:
        if is_cut:
            break
        with reading(path) as segment:
            part, is_cut = segment.some_after(
                after_us, limit - found, None if bytes_max is None else max(bytes_max - taken, 1)
            )
        parts.append(part.select(list(MESSAGES)))
        found, taken = found + part.height, taken + int(part.estimated_size())
    return (check(pl.concat(parts), MESSAGES) if parts else empty(MESSAGES)), is_cut


def _begin(paths: list[Path], after_us: int) -> int:
    """Of the segments before which nothing later than `after_us` was written, the last one is where to begin; -1 where
    that is a sealed file. What lies wholly before need not be whole."""
    try:
        return bisect_right(paths, after_us, key=_previous_received_us) - 1
    except SegmentDamaged:
        for n in reversed(range(len(paths))):
            if _previous_received_us(paths[n]) <= after_us:
                return n
        return -1


def bytes_between(directory: Path, after_us: int, to_us: int) -> int:
    """About how much memory the messages after one instant and up to another take; by whole batches and files."""
    return _until_settled(lambda: _bytes_between(directory, after_us, to_us))


def _bytes_between(directory: Path, after_us: int, to_us: int) -> int:
    paths = segment_paths(directory)
    begin, taken = _begin(paths, after_us), 0
    for path in paths[max(begin, 0) :]:
        with reading(path) as segment:
            if segment.began.received_us >= to_us:
                break
            taken += segment.bytes_between(after_us, to_us)
    sealed = _sealed_before(directory, paths) if begin < 0 else []
    return taken + sum(raw_bytes(file.path) for file in sealed if file.last_us > after_us and file.first_us <= to_us)


def _sealed_before(directory: Path, live: list[Path]) -> list[RawFile]:
    """Sealed files whose segments are not there any more. Where both are, the seal was cut short: either will do."""
    numbers = {segment_number(path) for path in live}
    return [file for file in raw_files(raw_directory(directory)) if file.number not in numbers]


def read_segment(path: Path) -> pl.DataFrame:
    """All JOURNAL_ROWS of one segment: what has to be kept for its chain to be checked again without it."""
    with reading(path) as segment:
        return segment.rows_after()


def sealed_segments(directory: Path) -> list[Path]:
    """Segments that will never be written again, oldest first."""
    return segment_paths(directory)[:-1]


def last_payload(
    directory: Path, topic: str, passed_over: Callable[[SegmentDamaged], None] | None = None
) -> bytes | None:
    """The payload of the latest message of a topic.

    passed_over: told of every damaged segment that may have had a later one. Without it such a segment is raised.
    """
    return _until_settled(lambda: _last_payload(directory, topic, passed_over))


def _last_payload(directory: Path, topic: str, passed_over: Callable[[SegmentDamaged], None] | None) -> bytes | None:
    paths = segment_paths(directory)
    for path in reversed(paths):
        try:
            with reading(path) as segment:
                row = segment.last_of(topic)
        except SegmentDamaged as damaged:
            if passed_over is None:
                raise
            passed_over(damaged)
            continue
        if row is not None:
            return row[4]
    sealed = (last_raw_payload(file.path, topic) for file in reversed(_sealed_before(directory, paths)))
    return next((payload for payload in sealed if payload is not None), None)


def verify_chain(directory: Path) -> BrokenLink | None:
    """The first broken link, or None: through what was removed after its time, sealed files and segments.

    What came before the oldest of them is taken from its own word.
    """
    return _until_settled(lambda: _verify_chain(directory))


def _verify_chain(directory: Path) -> BrokenLink | None:
    live = segment_paths(directory)
    sealed = _sealed_before(directory, live)
    pieces: list[RawFile | Path] = sorted([*sealed, *live], key=_number)
    before = _end_of_removed(raw_directory(directory), _number(pieces[0]) if pieces else None)
    for piece in pieces:
        if isinstance(before, BrokenLink):
            return before
        before = _verify_piece(piece, before)
    return before if isinstance(before, BrokenLink) else None


_End = tuple[Path, int, ChainEnd]  # where, its segment's number, how the chain stands there


def _number(piece: RawFile | Path) -> int:
    return piece.number if isinstance(piece, RawFile) else segment_number(piece)


def _end_of_removed(raw: Path, first_number: int | None) -> BrokenLink | _End | None:
    """A record beside its file was written just before a removal that was cut short: the file speaks for itself."""
    path, before = raw / REMOVED, None
    try:
        removed = read_removed(raw)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return BrokenLink(path, None, f"cannot be read: {error}")
    for row in removed:
        if first_number is not None and row.number >= first_number:
            break
        if before is not None and (before[1] + 1, before[2]) != (row.number, row.began):
            return BrokenLink(path, row.began.seq + 1, f"segment {row.number} does not continue segment {before[1]}")
        before = (path, row.number, row.end)
    return before


def _verify_piece(piece: RawFile | Path, before: _End | None) -> BrokenLink | _End:
    path, number = (piece.path, piece.number) if isinstance(piece, RawFile) else (piece, segment_number(piece))
    if before is not None and number != before[1] + 1:
        return BrokenLink(path, None, f"the segment after {_named(before)} is missing")
    if isinstance(piece, RawFile):
        about = verify_raw_file(path)
        if isinstance(about, BrokenLink):
            if not path.exists():
                raise SegmentGone(path)  # its time had come
            return about
        if (about.number, about.end.received_us) != (piece.number, piece.last_us):
            return BrokenLink(path, None, "was given another name than it was sealed under")
        began, end = about.began, about.end
    else:
        try:
            with reading(path) as segment:
                began, found = segment.began, segment.verify()
        except SegmentDamaged as damaged:
            return BrokenLink(path, None, f"cannot be read: {damaged.what}")
        except (sqlite3.Error, TypeError, UnicodeDecodeError) as error:  # a value of another kind
            return BrokenLink(path, None, f"cannot be read: {error}")
        if isinstance(found, BrokenLink):
            return found
        end = found
    if before is not None and began != before[2]:
        return BrokenLink(path, None, f"does not continue where {_named(before)} ends")
    return path, number, end


def _named(end: _End) -> str:
    return f"segment {end[1]} in {REMOVED}" if end[0].name == REMOVED else end[0].name


def _previous_received_us(path: Path) -> int:
    with reading(path) as segment:
        return segment.began.received_us
