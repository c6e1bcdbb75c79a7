"""Frames compared as bags of rows: quickly by sums of row hashes, and in words where they differ.

Promises: equal bags have equal sums; unequal ones differ but for a chance of 1 in 2^128 that nobody can prepare, as the
seeds are drawn anew for every run.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from store.archive import TABLES
from store.parquet import canonical

from .link import short

_WORD = 1 << 64


@dataclass(frozen=True)
class Bag:
    """What a frame's rows sum up to, whatever their order."""

    rows: int = 0
    sums: tuple[int, int] = (0, 0)

    def __add__(self, other: "Bag") -> "Bag":
        a, b = self.sums[0] + other.sums[0], self.sums[1] + other.sums[1]
        return Bag(self.rows + other.rows, (a % _WORD, b % _WORD))


@dataclass(frozen=True)
class Bags:
    seeds: tuple[int, int] = field(default_factory=lambda: (secrets.randbits(63), secrets.randbits(63)))

    def hashes(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Two columns h0, h1, a row each. Floats count by their bits: 0.0 and -0.0 are two values."""
        bits = frame.with_columns(pl.col(pl.Float64).reinterpret(dtype=pl.Int64))
        return pl.DataFrame({f"h{n}": bits.hash_rows(seed).cast(pl.Int128) for n, seed in enumerate(self.seeds)})

    def of(self, frame: pl.DataFrame) -> Bag:
        if frame.is_empty():
            return Bag()
        sums = self.hashes(frame).sum().row(0)
        return Bag(frame.height, (sums[0] % _WORD, sums[1] % _WORD))

    def by(self, frame: pl.DataFrame, keys: Sequence[str]) -> dict[tuple[object, ...], Bag]:
        """A bag for every value of the key columns, which do not count as content."""
        if frame.is_empty():
            return {}
        hashed = pl.concat([frame.select(keys), self.hashes(frame.drop(keys))], how="horizontal")
        summed = hashed.group_by(keys).agg(pl.len(), pl.col("h0", "h1").sum())
        return {row[: len(keys)]: Bag(row[-3], (row[-2] % _WORD, row[-1] % _WORD)) for row in summed.iter_rows()}


def difference(table: str, found: pl.DataFrame, expected: pl.DataFrame) -> str | None:
    """A row in which two frames of one table differ, in words; None where they hold the same rows."""
    order = TABLES[table].sort_by
    left, right = _ordered(found, order), _ordered(expected, order)
    if left.equals(right):
        return None
    names = left.columns
    try:
        mine = left.join(right, on=names, how="anti", nulls_equal=True, maintain_order="left")[:1].rows(named=True)
        wanted = right.join(left, on=names, how="anti", nulls_equal=True, maintain_order="left")[:1].rows(named=True)
    except OverflowError:
        return "an instant in it is beyond the calendar"
    if not mine and not wanted:
        return f"{left.height} rows, expected {right.height}: some are there more than once"
    if mine and wanted and all(mine[0][name] == wanted[0][name] for name in order):
        pairs = {name: (mine[0][name], wanted[0][name]) for name in names if mine[0][name] != wanted[0][name]}
        said = ", ".join(f"{name} {_value(is_)}, expected {_value(should)}" for name, (is_, should) in pairs.items())
        return f"{_row(order, mine[0])}: {said}"
    if mine:
        return f"{_row(order, mine[0])}: is not expected"
    return f"{_row(order, wanted[0])}: is expected and missing"


def _ordered(frame: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """0.0 and -0.0 are equal to a comparison and two values here."""
    return canonical(frame, order).with_columns(pl.col(pl.Float64).reinterpret(dtype=pl.Int64).name.suffix(" (bits)"))


def _row(order: Sequence[str], row: dict[str, object]) -> str:
    return short(" ".join(f"{name}={_value(row[name])}" for name in order if name != "message"), 240)


def _value(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
