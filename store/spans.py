"""Span files: everything one span of ticks produced, in one file.

Promises: the file is there whole and durable, or not at all; what is read back was hashed first, so a truncated or
altered file raises SpanDamaged and never gives wrong rows.
Does not promise: to be an exchange format; that is the archive's Parquet. A span lives until its consumers have it.
"""

import hashlib
import json
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import polars as pl

from contracts import frames

from .parquet import replacing

SUFFIX = ".span"

# magic, length of the index, index (JSON), SHA-256 of everything before it, then the parts: Arrow IPC streams
_MAGIC = b"GISPAN1\n"
_LENGTH = struct.Struct("<I")
_HASH_BYTES = 32

# Transitions have no schema of their own: they are whatever the episodes' fold says.
_SCHEMAS = {
    "readings": frames.READINGS,
    "rejects": frames.REJECTS,
    "events": frames.EVENTS,
    "aggregates": frames.AGGREGATES,
    "verdicts": frames.VERDICTS,
}


class SpanDamaged(Exception):
    """A span file is not what was written: names the file and the part."""

    def __init__(self, path: Path, part: str, what: str):
        super().__init__(f"{path}: {part}: {what}")
        self.path, self.part, self.what = path, part, what


def span_name(seq: int) -> str:
    return f"span-{seq:012d}{SUFFIX}"


def write_span(path: Path, named: Mapping[str, pl.DataFrame]) -> str:
    """Writes the frames, durably, and returns the file's digest.

    The digest is the SHA-256 of the index, which holds the SHA-256 of every part: it stands for the whole file.
    """
    parts, index = [], []
    for name, frame in named.items():
        checked = frames.check(frame, _SCHEMAS[name]) if name in _SCHEMAS else frame
        part = checked.rechunk().write_ipc_stream(None, compression="lz4").getbuffer()
        parts.append(part)
        digest = hashlib.sha256(part).hexdigest()
        index.append({"name": name, "rows": checked.height, "bytes": len(part), "sha256": digest})
    text = json.dumps({"schema_version": frames.SCHEMA_VERSION, "parts": index}).encode()
    head = _MAGIC + _LENGTH.pack(len(text)) + text
    digest = hashlib.sha256(head)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(head)
        file.write(digest.digest())
        for part in parts:
            file.write(part)
    return digest.hexdigest()


def read_span(path: Path, names: Collection[str] | None = None, digest: str | None = None) -> dict[str, pl.DataFrame]:
    """The frames of a span file, or those of them in `names`, each checked against its hash before it is parsed.

    With `digest` the file must be the very one that was committed. Raises SpanDamaged, FileNotFoundError.
    """
    found = {}
    with path.open("rb") as file:
        index = _read_index(path, file, digest)
        start, size_bytes = file.tell(), path.stat().st_size
        for part in index:
            end = start + part["bytes"]
            if end > size_bytes:
                raise SpanDamaged(path, part["name"], f"the file ends at byte {size_bytes}, the part at byte {end}")
            if names is None or part["name"] in names:
                file.seek(start)
                found[part["name"]] = _frame_of(path, part, file.read(part["bytes"]))
            start = end
        if start != size_bytes:
            raise SpanDamaged(path, "end", f"{size_bytes - start} bytes too many")
    return found


def _read_index(path: Path, file: BinaryIO, expected: str | None) -> list[dict]:
    fixed = file.read(len(_MAGIC) + _LENGTH.size)
    if len(fixed) < len(_MAGIC) + _LENGTH.size or not fixed.startswith(_MAGIC):
        raise SpanDamaged(path, "index", "is not the beginning of a span file")
    text = file.read(_LENGTH.unpack(fixed[len(_MAGIC) :])[0])
    digest = hashlib.sha256(fixed + text)
    if file.read(_HASH_BYTES) != digest.digest():
        raise SpanDamaged(path, "index", "does not match its hash")
    if expected is not None and digest.hexdigest() != expected:
        raise SpanDamaged(path, "index", f"is of another file: digest {digest.hexdigest()}, committed {expected}")
    index = json.loads(text)
    if index["schema_version"] != frames.SCHEMA_VERSION:
        raise SpanDamaged(
            path, "index", f"schema version {index['schema_version']}; this program reads {frames.SCHEMA_VERSION}"
        )
    return index["parts"]


def _frame_of(path: Path, part: dict, content: bytes) -> pl.DataFrame:
    if hashlib.sha256(content).hexdigest() != part["sha256"]:
        raise SpanDamaged(path, part["name"], "does not match its hash")
    return pl.read_ipc_stream(content)


class SpanRecord(Protocol):
    """What the span table knows of one span."""

    @property
    def seq(self) -> int: ...
    @property
    def file(self) -> str | None: ...
    @property
    def digest(self) -> str: ...


class SpanTable(Protocol):
    def spans_after(self, seq: int, limit: int = ...) -> Sequence[SpanRecord]: ...


class Cursors(Protocol):
    """Where a consumer of spans keeps how far it has come; state.db."""

    def cursor(self, name: str) -> int: ...
    def set_cursor(self, name: str, value: int) -> None: ...


class SpanFiles:
    """Committed spans in order, one file in memory at a time: contracts.ports.SpanSource."""

    def __init__(self, directory: Path, table: SpanTable, names: Collection[str] | None = None):
        self._directory, self._table, self._names = directory, table, names

    def spans_after(self, cursor: int) -> Iterator[tuple[int, dict[str, pl.DataFrame]]]:
        """(seq, frames) of every span after the cursor whose file is still kept; a gap in seq is a pruned span."""
        while rows := self._table.spans_after(cursor, 100):
            for row in rows:
                if row.file is not None:
                    yield row.seq, read_span(self._directory / row.file, self._names, row.digest)
            cursor = rows[-1].seq
