"""A batch of messages as bytes: what the hash chain covers, and how it lies in a segment.

Promises: the same rows always give the same packed bytes; whatever bytes are read, what comes back is rows of a frame
or BlockDamaged, within a known amount of memory.
Does not promise that bytes which unpack are those that were committed: that is the chain's to say.
"""

import hashlib
import struct
import zlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise

import polars as pl
import pyarrow as pa

from contracts.frames import INSTANT, MESSAGES

Row = tuple[int, int, str, str, bytes]  # received_at, wall_at (us since 1970 UTC), source, topic, payload

# Every column of a segment: MESSAGES and what the chain covers beside it.
JOURNAL_ROWS = pl.Schema({**MESSAGES, "wall_at": INSTANT})

PACKED_BYTES = 16 << 20  # a commit of more becomes several blocks; one message is never divided
PACKED_MAX_BYTES = 257 << 20  # MQTT's longest packet (5.0, 2.1.4: 268,435,455 bytes) and what is written beside it

_HEAD = struct.Struct(">qqIII")  # received_at, wall_at, lengths of source, topic and payload
_LENGTHS = struct.Struct(">16xIII")
# Measured on 500 made messages of 14 readings: LZ4 a third of the bytes, Zstandard a twentieth. But a journal is sealed
# as Parquet within days, and a batch of ten messages takes Zstandard six times as long to read.
_CODEC = pa.Codec("lz4_raw")
WORTH_IT = 0.75


class BlockDamaged(ValueError):
    """The bytes are no block of this journal."""


def pack(rows: Iterable[Row]) -> bytes:
    """Per message its two instants, the lengths of its texts, and the texts."""
    parts: list[bytes] = []
    add, head = parts.extend, _HEAD.pack  # looked up once: these two calls are most of a commit's work in Python
    for received_at, wall_at, source, topic, payload in rows:
        source_bytes, topic_bytes = source.encode(), topic.encode()
        lengths = len(source_bytes), len(topic_bytes), len(payload)
        add((head(received_at, wall_at, *lengths), source_bytes, topic_bytes, payload))
    return b"".join(parts)


def pack_batches(rows: Sequence[Row], most_bytes: int = PACKED_BYTES) -> list[tuple[Sequence[Row], bytes]]:
    """Rows in order and each portion of them packed: one, unless they are more bytes than a block should have.

    Raises ValueError for a message that is longer than any protocol takes in.
    """
    packed = pack(rows)
    if len(packed) <= most_bytes:
        return [(rows, packed)]
    bounds, batches, begin = _bounds(packed), [], 0
    for n, (at, end) in enumerate(pairwise(bounds)):
        if end - at > PACKED_MAX_BYTES:
            raise ValueError(f"a message of {end - at:,} bytes on {rows[n][3][:80]!r}: no journal takes that")
        if n > begin and end - bounds[begin] > most_bytes:
            batches.append((rows[begin:n], packed[bounds[begin] : at]))
            begin = n
    return [*batches, (rows[begin:], packed[bounds[begin] :])]


def chain_link(previous: bytes, packed: bytes) -> bytes:
    """SHA-256 over the previous link and the batch's packed rows."""
    return hashlib.sha256(previous + packed).digest()


def to_block(packed: bytes) -> tuple[int, int, bytes]:
    """Length of the packed rows, CRC-32 of the block, the block: what `from_block` takes.

    A block as long as its packed rows is not compressed. Different compressed bytes may unpack to the same rows, and no
    byte may change unnoticed: hence a sum of its own.
    """
    block = _CODEC.compress(packed, asbytes=True)
    if len(block) > WORTH_IT * len(packed):  # a message or two: reading them would take three times as long
        block = packed
    return len(packed), zlib.crc32(block), block


def from_block(packed_bytes: int, crc32: int, block: bytes) -> bytes:
    """The packed rows. Raises BlockDamaged."""
    try:
        if zlib.crc32(block) != crc32:
            raise BlockDamaged("has another CRC-32 than its bytes")
        if not 0 <= packed_bytes <= PACKED_MAX_BYTES:
            raise BlockDamaged(f"says it has {packed_bytes:,} bytes, and none has more than {PACKED_MAX_BYTES:,}")
        if len(block) == packed_bytes:
            return block
        return _CODEC.decompress(block, packed_bytes, asbytes=True)
    except (OSError, pa.ArrowException, TypeError) as error:
        raise BlockDamaged(f"cannot be unpacked: {error}") from error


def received_first(packed: bytes) -> int:
    """received_at of the first row. Raises BlockDamaged."""
    if len(packed) < _HEAD.size:
        raise BlockDamaged("ends within a message's head")
    return int.from_bytes(packed[:8], "big", signed=True)


def unpack(packed: bytes) -> list[Row]:
    """For few rows, and where each is looked at. Raises BlockDamaged."""
    rows: list[Row] = []
    bounds = _bounds(packed)
    try:
        for begin, end in pairwise(bounds):
            received_at, wall_at, source_n, _, payload_n = _HEAD.unpack_from(packed, begin)
            topic_at, payload_at = begin + _HEAD.size + source_n, end - payload_n
            source = packed[begin + _HEAD.size : topic_at].decode()
            rows.append((received_at, wall_at, source, packed[topic_at:payload_at].decode(), packed[payload_at:end]))
    except UnicodeDecodeError as error:
        raise BlockDamaged(f"has a source or a topic that is no UTF-8: {error}") from error
    return rows


def unpack_frame(packed: bytes) -> pl.DataFrame:
    """JOURNAL_ROWS. Raises BlockDamaged."""
    bounds = _bounds(packed)
    rows = pa.Array.from_buffers(
        pa.large_binary(), len(bounds) - 1, [None, pa.py_buffer(array("q", bounds)), pa.py_buffer(packed)]
    )
    try:
        return pl.DataFrame({"row": pl.Series(rows, dtype=pl.Binary)}).select(_COLUMNS)
    except (pl.exceptions.ComputeError, pl.exceptions.InvalidOperationError) as error:
        raise BlockDamaged("has a source or a topic that is no UTF-8") from error


def _bounds(packed: bytes) -> list[int]:
    """Where each row begins, and where the last one ends."""
    bounds, at, end = [0], 0, len(packed)
    head, lengths, append = _HEAD.size, _LENGTHS.unpack_from, bounds.append
    try:
        while at < end:
            source_n, topic_n, payload_n = lengths(packed, at)
            at += head + source_n + topic_n + payload_n
            append(at)
    except struct.error as error:
        raise BlockDamaged("ends within a message's head") from error
    if at != end:
        raise BlockDamaged("ends within a message")
    return bounds


def _column_expressions() -> list[pl.Expr]:
    """The fields of packed rows, each in a column `row` of its own."""
    row = pl.col("row").bin

    def number(at: int, dtype: type[pl.DataType], size: int) -> pl.Expr:
        return row.slice(at, size).bin.reinterpret(dtype=dtype, endianness="big")

    source_n, topic_n = number(16, pl.UInt32, 4), number(20, pl.UInt32, 4)
    columns = {
        "received_at": number(0, pl.Int64, 8).cast(INSTANT),
        "source": row.slice(_HEAD.size, source_n).cast(pl.String),
        "topic": row.slice(_HEAD.size + source_n, topic_n).cast(pl.String),
        "payload": row.slice(_HEAD.size + source_n + topic_n),
        "wall_at": number(8, pl.Int64, 8).cast(INSTANT),
    }
    return [columns[name].alias(name) for name in JOURNAL_ROWS]


_COLUMNS = _column_expressions()
