"""Packing a batch: both ways to unpack it agree, and no bytes do worse than to be refused."""

import zlib

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames import MESSAGES
from store.journal_block import (
    JOURNAL_ROWS,
    PACKED_MAX_BYTES,
    BlockDamaged,
    from_block,
    pack,
    portions,
    to_block,
    unpack,
    unpack_frame,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
INSTANT_US = st.integers(-(1 << 62), 1 << 62)
ROW = st.tuples(INSTANT_US, INSTANT_US, TEXT, TEXT, st.binary(max_size=200))
ROWS = st.lists(ROW, max_size=20)
ROW_ORDER = ("received_at", "wall_at", "source", "topic", "payload")


def rows_of(frame):
    return frame.with_columns(pl.col("received_at", "wall_at").to_physical()).select(ROW_ORDER).rows()


@given(rows=ROWS)
def test_what_was_packed_is_unpacked_as_rows_and_as_a_frame(rows):
    packed = pack(rows)
    assert from_block(*to_block(packed)) == packed
    assert unpack(packed) == rows
    frame = unpack_frame(packed)
    assert frame.schema == JOURNAL_ROWS
    assert frame.columns[:4] == list(MESSAGES)
    assert rows_of(frame) == rows


def test_the_bytes_of_a_packed_row_are_those_the_chain_has_always_covered():
    lengths = b"\0\0\0\x04" + b"\0\0\0\x03" + b"\0\0\0\x02"
    expected = b"\0\0\0\0\0\0\0\x01" + b"\xff" * 8 + lengths + "mqtt站".encode() + b"\0\xff"
    assert pack([(1, -1, "mqtt", "站", b"\x00\xff")]) == expected


@given(rows=ROWS.filter(bool), data=st.data())
def test_damaged_bytes_are_refused_or_read_alike_both_ways(rows, data):
    packed = bytearray(pack(rows))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(packed[: data.draw(st.integers(0, len(packed)))])
    found = []
    for way in (unpack, lambda block: rows_of(unpack_frame(block))):
        try:
            found.append(way(damaged))
        except BlockDamaged:
            found.append(None)
    assert found[0] == found[1]


@given(packed_bytes=st.integers(0, 1 << 16), garbage=st.binary(max_size=300))
def test_garbage_for_a_block_is_refused_or_becomes_so_many_bytes(packed_bytes, garbage):
    try:
        assert len(from_block(packed_bytes, zlib.crc32(garbage), garbage)) == packed_bytes
    except BlockDamaged:
        return


@pytest.mark.parametrize("packed_bytes", [-1, PACKED_MAX_BYTES + 1, 1 << 62])
def test_no_block_makes_anybody_ask_for_endless_memory(packed_bytes):
    _, crc32, block = to_block(bytes(100_000))
    with pytest.raises(BlockDamaged, match="none has more than"):
        from_block(packed_bytes, crc32, block)


@given(rows=ROWS, most=st.integers(1, 600))
def test_portions_keep_every_row_in_order_and_none_but_a_single_row_is_longer(rows, most):
    parts = list(portions(rows, most))
    assert [row for part in parts for row in part] == rows
    assert all(len(part) == 1 or len(pack(part)) <= most for part in parts)
