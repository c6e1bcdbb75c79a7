"""Rows packed to a few bytes each, in portions of points and time, so that what is not asked for stays packed.

Promises: what is read is what was packed, the newest of each (point, at). Does not promise to leave out rows nobody
asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from struct import Struct
from typing import NamedTuple

import polars as pl

from contracts.frames import empty

from .rows import ROWS, layered

PACKED_AT_ONCE = 250_000  # rows
_LAST_POINT = 2**32 - 1
_FOR_EVER_US = 2**63 - 1


class _Portion(NamedTuple):
    """Which rows of a bucket lie in it, by point and by where they lie: no other portion has any of these."""

    first: int
    last: int
    from_us: int
    before_us: int
    bytes: int


_HEAD = Struct("<IIqqQ")


@dataclass(frozen=True)
class Asked:
    """Which rows are wanted. Others may come along: it saves unpacking whole portions, nothing else."""

    points: pl.Series | None = None
    between_us: tuple[int, int] | None = None  # where they lie, both included
    at: pl.Series | None = None  # or where exactly
    is_paired: bool = False  # each point where stands beside it

    @cached_property
    def only(self) -> pl.Series | None:
        return None if self.points is None else self.points.unique().implode()

    @cached_property
    def at_us(self) -> pl.Series | None:
        return None if self.at is None else self.at.dt.epoch("us")

    @cached_property
    def span_us(self) -> tuple[int, int] | None:
        return self.between_us if self.at_us is None else (self.at_us.min(), self.at_us.max())  # type: ignore[return-value]

    def wants(self, portion: _Portion) -> bool:
        if self.span_us is not None and not (
            portion.from_us <= self.span_us[1] and self.span_us[0] < portion.before_us
        ):
            return False
        tests = []
        if self.points is not None:
            tests.append(self.points.is_between(portion.first, portion.last))
        if self.at_us is not None:
            tests.append(self.at_us.is_between(portion.from_us, portion.before_us, closed="left"))
        return (tests[0] & tests[1]).any() if self.is_paired else all(test.any() for test in tests)


LAST = Asked(between_us=(_FOR_EVER_US - 1, _FOR_EVER_US - 1))  # what no later rows of the bucket can follow


def pack_rows(rows: pl.DataFrame, key: str, over: bytes = b"", before_us: int | None = None) -> bytes:
    """Rows no decision to come may use are left out; of a reading sum, low and high are one number and kept once.

    over: what was packed before; rows that lie there are a layer over it, later ones follow it, up to `before_us`, or
    for ever. Portion by portion of the points: no more than one stands in memory a second time while it is sorted, and
    of `over` those without a new row stay as they are.
    """
    made: list[bytes | memoryview] = []
    there = list(_portions(over))
    covered_us = max((portion.before_us for portion, _ in there), default=-_FOR_EVER_US)
    at_us = pl.col(key).dt.epoch("us")
    old, new = rows.filter(at_us < covered_us), rows.filter(at_us >= covered_us)
    for portion, content in there:
        if old.height:
            is_there = at_us.is_between(portion.from_us, portion.before_us, closed="left")
            mine = old.filter(is_there & pl.col("point").is_between(portion.first, portion.last))
            if mine.height:
                content = memoryview(_portion(layered(_whole(content), mine)))
        made += _HEAD.pack(*portion._replace(bytes=len(content))), content
    if new.height or not there:
        for first, last in _cut(new):
            content = _portion(new.filter(pl.col("point").is_between(first, last)))
            upto_us = _FOR_EVER_US if before_us is None else before_us
            made += _HEAD.pack(first, last, covered_us, upto_us, len(content)), content
    return b"".join(made)


def _cut(rows: pl.DataFrame) -> list[tuple[int, int]]:
    """First and last point of each portion; the last one is open."""
    points = int(rows["point"].max() or 0) + 1  # type: ignore[call-overload]
    step = -(-points // (-(-rows.height // PACKED_AT_ONCE) or 1))
    firsts = range(0, points, step)
    return [(first, _LAST_POINT if first == firsts[-1] else first + step - 1) for first in firsts]


def _portion(rows: pl.DataFrame) -> bytes:
    once = (
        rows.filter(pl.col("until").is_null())
        .sort("point", "at")
        .with_columns(
            pl.when(pl.col("sum").ne_missing(pl.col("low").cast(pl.Int128))).then("sum"),
            pl.when(pl.col("high").ne_missing(pl.col("low"))).then("high"),
        )
    )
    into = BytesIO()
    once.write_ipc(into, compression="zstd")
    return into.getvalue()


def _portions(packed: bytes) -> Iterator[tuple[_Portion, memoryview]]:
    """Each with what `_portion` made of its rows."""
    at, whole = 0, memoryview(packed)
    while at < len(packed):
        portion = _Portion(*_HEAD.unpack_from(packed, at))
        at += _HEAD.size + portion.bytes
        yield portion, whole[at - portion.bytes : at]


def _unpacked(packed: bytes, asked: Asked) -> pl.DataFrame:
    """Rows of other points are left out."""
    found = [empty(ROWS)]
    for portion, content in _portions(packed):
        if asked.wants(portion):
            rows = _whole(content)
            found.append(rows if asked.only is None else rows.filter(pl.col("point").is_in(asked.only)))
    return pl.concat(found, rechunk=False)


def _whole(content: memoryview) -> pl.DataFrame:
    rows = pl.read_ipc(BytesIO(content))
    return rows.with_columns(
        pl.coalesce("sum", pl.col("low").cast(pl.Int128)),
        pl.coalesce("high", "low"),
    )


def merged(layers: Sequence[bytes | pl.DataFrame], asked: Asked = Asked()) -> pl.DataFrame | None:
    """layers: packed or open, oldest first."""
    whole = None
    for layer in layers:
        rows = _unpacked(layer, asked) if isinstance(layer, bytes) else layer
        whole = rows if whole is None or whole.is_empty() else layered(whole, rows)
    return whole
