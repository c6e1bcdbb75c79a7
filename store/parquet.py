"""The one writer of Parquet, and the one order of rows.

Promises: the same rows give the same bytes whatever their order, chunking or the number of threads (for one version of
Polars); `content_digest` holds across versions. A file is there whole and durable, or not at all.
Does not promise: that -NaN and NaN, or two NaNs of different payload, are told apart.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import polars as pl
import pyarrow as pa

from contracts import frames

SUM = pl.Decimal(38, 0)  # how an Int128 sum is published: every Parquet reader has it, and it is exact
TEMPORARY = ".tmp"  # ends the name of a file that is being written; whoever lists a directory passes over it
VERSION_KEY = "greenisland_schema_version"
SCHEMA_KEY = "greenisland_schema"

_ROW_GROUP_ROWS = 65_536  # one station's rows lie together: small groups let a query of one station skip most
_ZSTD_LEVEL = 3
_FREE_BYTES_MIN = 64 * 1024  # what a writer that failed for want of room may have left of it


def write_parquet(frame: pl.DataFrame, path: Path, sort_by: Sequence[str], schema: pl.Schema) -> None:
    """Checks the frame against the schema, brings its rows into their one order and replaces `path`, durably.

    Rows that tie on `sort_by` are ordered by their remaining columns. Raises SchemaError where the frame does not fit,
    OSError where the disk takes no more.
    """
    rows = canonical(frames.check(frame, schema), sort_by)
    with replacing(path) as temporary, _telling_a_full_disk(path.parent):
        rows.with_columns(pl.selectors.by_dtype(pl.Int128).cast(SUM)).write_parquet(
            temporary,
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            row_group_size=_ROW_GROUP_ROWS,
            statistics=True,
            metadata={VERSION_KEY: str(frames.SCHEMA_VERSION), SCHEMA_KEY: schema_name(schema)},
        )


@contextmanager
def _telling_a_full_disk(directory: Path) -> Iterator[None]:
    """Polars' writer says in other words wherever it meets a full disk, and never in an OSError."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        if shutil.disk_usage(directory).free < _FREE_BYTES_MIN:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({error})", str(directory)) from error
        raise


def canonical(frame: pl.DataFrame, sort_by: Sequence[str]) -> pl.DataFrame:
    """The rows in their one order, in one chunk: by `sort_by`, ties by the remaining columns."""
    if sort_by:
        by_key = frame.sort(sort_by).rechunk()
        tied = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in sort_by).any()
        if not by_key.select(tied).item():
            return by_key
    rest = [name for name in frame.columns if name not in sort_by]
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    # 0.0 and -0.0 are equal to a sort and different in a file; their reciprocals differ
    return frame.sort([*sort_by, *rest, *(1.0 / pl.col(name) for name in floats)]).rechunk()


def schema_name(schema: pl.Schema) -> str:
    """Name of one of the contracts' schemas, in small letters; "other" for any other."""
    named = ((name, value) for name, value in vars(frames).items() if isinstance(value, pl.Schema))
    return next((name.lower() for name, value in named if value == schema), "other")


def content_digest(frame: pl.DataFrame, sort_by: Sequence[str] = ()) -> str:
    """SHA-256 over the frame as a bag of rows: column names, nulls and values, not how a library lays them out.

    `sort_by` only saves time where it is a key; name the same one wherever two digests are compared.
    An Int128 sum and the Decimal it is published as count as the same values.
    """
    integers = pl.selectors.by_dtype(pl.Int128)
    published = pl.selectors.decimal()
    rows = canonical(frame.with_columns(published.cast(pl.Int128)), sort_by)
    digest = hashlib.sha256(f"{rows.height} rows".encode())
    for column in rows.with_columns(integers.cast(pl.String)).iter_columns():
        digest.update(f"\0column {column.name}\0".encode())
        digest.update(_fixed_bytes(column.is_null().cast(pl.Int64)))
        for part in _column_bytes(column):
            digest.update(part)
    return digest.hexdigest()


def _column_bytes(column: pl.Series) -> Iterator[memoryview]:
    if column.dtype in (pl.String, pl.Binary):
        values = column.cast(pl.Binary).fill_null(b"")
        yield _fixed_bytes(values.bin.size().cast(pl.Int64))
        yield _joined_bytes(values)
    elif column.dtype.is_float():
        yield _fixed_bytes(column.cast(pl.Float64).fill_null(0.0))
    elif column.dtype == pl.UInt64:
        yield _fixed_bytes(column.fill_null(0).reinterpret(signed=True))
    elif column.dtype.is_integer() or column.dtype.is_temporal() or column.dtype == pl.Boolean:
        yield _fixed_bytes(column.to_physical().cast(pl.Int64).fill_null(0))
    else:
        raise TypeError(f"column {column.name!r}: no digest is defined for {column.dtype}")


def _fixed_bytes(column: pl.Series) -> memoryview:
    """Eight little-endian bytes a row; the column has no nulls."""
    array = column.rechunk().to_arrow()
    return _part_of(array.buffers()[1], array.offset * 8, (array.offset + len(array)) * 8)


def _joined_bytes(column: pl.Series) -> memoryview:
    """The values of a binary column end to end; the column has no nulls."""
    array = column.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())  # large_binary: 64-bit offsets, bytes
    _, offsets, values = array.buffers()
    bounds = _part_of(offsets, array.offset * 8, (array.offset + len(array) + 1) * 8).cast("q")
    return _part_of(values, bounds[0], bounds[-1]) if len(bounds) else memoryview(b"")


def _part_of(buffer: pa.Buffer | None, start: int, end: int) -> memoryview:
    return memoryview(buffer if buffer is not None else b"").cast("B")[start:end]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; what was written takes the place of `path` at the end, durably.

    An exception leaves `path` as it was. Missing directories are made, durably too. Several may write the same one at
    once: the number of a process does not tell them apart, since in a container it is 1.
    """
    make_directory(path.parent)
    temporary = path.with_name(f"{path.name}.{uuid4().hex}{TEMPORARY}")
    try:
        yield temporary
        fsync(temporary)
        temporary.replace(path)
        fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_directory(directory: Path) -> None:
    """Makes the directory and its parents so that they survive a power failure."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        fsync(directory.parent)


def unlink_durably(paths: Iterable[Path]) -> None:
    """Removes files; when this returns they stay removed."""
    directories = set()
    for path in paths:
        path.unlink(missing_ok=True)
        directories.add(path.parent)
    for directory in directories:
        fsync(directory)


def fsync(path: Path) -> None:
    """Makes a file's content, or the names in a directory, survive a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
