"""Feed files: raw messages as Parquet, what is replayed and what evidence is kept as.

Promises: a feed is a set. Rows come sorted by (received_at, source, topic, payload) and equal rows once, however they
are spread over files, in whatever order. Columns beyond those of a feed are passed over.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import polars as pl

from contracts import frames

from .parquet import canonical, write_parquet

_COLUMNS = list(frames.MESSAGES)
_IN_WORDS = {
    "received_at": "timestamp in microseconds, UTC",
    "source": "text",
    "topic": "text",
    "payload": "binary",
}


class FeedError(Exception):
    """A file is not a feed; the message says which, and what would be right."""


def write_feed(frame: pl.DataFrame, path: Path) -> int:
    """Writes the messages as one feed file, durably; returns how many there are after equal ones collapsed."""
    messages = _as_set(frames.check(frame, frames.MESSAGES), str(path))
    write_parquet(messages, path, ["received_at"], frames.MESSAGES)
    return messages.height


def read_feed(paths: Path | Sequence[Path]) -> pl.DataFrame:
    """All messages of one or several feed files: frames.MESSAGES. Raises FeedError."""
    files = [paths] if isinstance(paths, Path) else list(paths)
    return _as_set(_scan(files).collect(), _said(files))


def scan_feed(paths: Path | Sequence[Path], rows: int = 500_000) -> Iterator[pl.DataFrame]:
    """The same messages as read_feed, in slices of about so many rows; an instant is never divided.

    Only the instants of all files are held at once. From sorted files (write_feed's are) each payload is read about
    once; from others it is right all the same, and slow. Raises FeedError.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    messages = _scan(files)
    instants = messages.select("received_at").collect()
    _refuse_nulls(instants, _said(files))
    starts = instants["received_at"].sort().gather_every(rows).unique(maintain_order=True).to_list()
    for start, end in pairwise([*starts, None]):
        slice_ = pl.col("received_at") >= start
        if end is not None:
            slice_ &= pl.col("received_at") < end
        yield _as_set(messages.filter(slice_).collect(), _said(files))


def _scan(files: Sequence[Path]) -> pl.LazyFrame:
    if not files:
        raise FeedError("no feed file given")
    for file in files:
        _check_columns(file)
    return pl.concat([pl.scan_parquet(file).select(_COLUMNS) for file in files])


def _check_columns(file: Path) -> None:
    try:
        schema = pl.read_parquet_schema(file)
    except FileNotFoundError:
        raise FeedError(f"{file}: there is no such file") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FeedError(f"{file}: is not a Parquet file ({error})") from error
    for name, dtype in frames.MESSAGES.items():
        if name not in schema:
            raise FeedError(f"{file}: column {name!r} is missing; a feed has {', '.join(_COLUMNS)}")
        if schema[name] != dtype:
            raise FeedError(f"{file}: column {name!r} is {schema[name]}; it must be {_IN_WORDS[name]} ({dtype})")


def _as_set(messages: pl.DataFrame, said: str) -> pl.DataFrame:
    """One order, equal rows once. received_at alone is nearly a key; the canonical order breaks its ties."""
    _refuse_nulls(messages, said)
    rows = canonical(messages, ["received_at"])
    return rows.filter(~pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in _COLUMNS))


def _refuse_nulls(messages: pl.DataFrame, said: str) -> None:
    for column in messages.iter_columns():
        if column.null_count():
            raise FeedError(f"{said}: column {column.name!r} is empty in {column.null_count()} rows")


def _said(files: Sequence[Path]) -> str:
    return ", ".join(str(file) for file in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
