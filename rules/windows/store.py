"""What the windows remember: parts of open windows and the latest decision of every window.

Rows live in buckets of event time, so that work is in the size of what came in, not of what is remembered: young ones
open, older ones packed, old ones put away behind a port. What is read does not depend on where it lies.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import polars as pl

from contracts.frames import empty
from contracts.instants import epoch_us

from .packed import LAST, Asked, merged, pack_rows
from .put_away import Shelf
from .rows import ROWS, layered

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_BUCKET_US = {
    "instant": _HOUR_US,
    "minute": _HOUR_US,
    "five_minute": _HOUR_US,
    "hour": _HOUR_US,
    "day": _DAY_US,
    "month": 8 * _DAY_US,
    "year": 8 * _DAY_US,
}
_BUCKET_YEAR_US = 366 * _DAY_US  # of months and years that are parts of nothing
# Long windows lie in buckets by the time of their parts, others by the time of the windows: so a year need not be open
KEYED_BY_PART = {"month": 32 * _DAY_US, "year": 367 * _DAY_US}  # -> how far its parts may reach
CHUNKS_MAX = 16  # of a bucket, before it is looked at whether to make it one again
COMPACT_SHARE = 0.2
LAYERS_MAX = 8  # of a bucket that was put away, before they are made one
_PACK_EVERY_US = 900_000_000
_PACK_AFTER_US = 1_800_000_000  # a bucket's end ago: most of what is late has come by then
# Where devices send by the second an hour does not stay open: what nobody decides any more of its readings is packed
_PACK_EARLY = ("instant", "instant!", "minute")
OPEN_ROWS_MAX = 4_000_000  # of a target
_PACK_EARLY_AFTER_US = 120_000_000


def bucket_us(target: str) -> int:
    if target in _BUCKET_US:
        return _BUCKET_US[target]
    return _BUCKET_YEAR_US if target in ("month!", "year!") else _BUCKET_US[target.removesuffix("!")]


@dataclass
class WindowStore:
    """target -> bucket start (us) -> ROWS. Target: a period, or "<period>!" for decisions that are parts of nothing.

    A bucket is open, as a frame, or packed, compressed to a few bytes a row, or put away; where it is large, its later
    part is open and its earlier one packed. What is new of what is not open is open, as a layer over it, until it is
    packed or put away with it.

    points: only rows of these are wanted. Rows of others may come along: it saves unpacked memory, nothing else.
    """

    buckets: dict[str, dict[int, pl.DataFrame]] = field(default_factory=dict)
    packed: dict[str, dict[int, bytes]] = field(default_factory=dict)
    packed_us: int = 0  # when it packed last
    shelf: Shelf = field(default_factory=Shelf)

    def rows(self, target: str, buckets: Iterable[int], points: pl.Series | None = None) -> pl.DataFrame:
        return self._rows(target, buckets, Asked(points))

    def _rows(self, target: str, buckets: Iterable[int], asked: Asked) -> pl.DataFrame:
        found = []
        for bucket in sorted(set(buckets)):
            rows = merged([*self.shelf.get(target, bucket), *self._in_memory(target, bucket)], asked)
            if rows is not None:
                found.append(rows)
        return pl.concat(found, rechunk=False) if found else empty(ROWS)

    def _in_memory(self, target: str, bucket: int) -> list[bytes | pl.DataFrame]:
        """Layers of a bucket, oldest first."""
        tiers: tuple[dict[int, bytes] | dict[int, pl.DataFrame], ...]
        tiers = (self.packed.get(target, {}), self.buckets.get(target, {}))
        return [tier[bucket] for tier in tiers if bucket in tier]

    def between(self, target: str, from_us: int, to_us: int, points: pl.Series | None = None) -> pl.DataFrame:
        """Every row whose window may start in [from_us, to_us]; of KEYED_BY_PART, that lies there itself."""
        size = bucket_us(target)
        first = from_us - from_us % size
        tiers = (self.buckets.get(target, {}), self.packed.get(target, {}), self.shelf.of(target))
        if (to_us - first) // size < sum(map(len, tiers)):
            there: Iterable[int] = range(first, to_us + 1, size)
        else:
            there = (b for tier in tiers for b in tier if b + size > from_us and b <= to_us)
        return self._rows(target, there, Asked(points, between_us=(from_us, to_us)))

    def of_windows(self, target: str, window_at: pl.Series, points: pl.Series | None = None) -> pl.DataFrame:
        """Every part of the windows."""
        if target not in KEYED_BY_PART:
            return self.of_keys(target, window_at, points)
        size, reach = bucket_us(target), KEYED_BY_PART[target]
        starts = _buckets(window_at, target)
        return self.rows(target, (b for start in starts for b in range(start, start + reach + size, size)), points)

    def of_keys(self, target: str, at: pl.Series, points: pl.Series | None = None) -> pl.DataFrame:
        """Every row that lies at one of the instants: starts of windows, or of parts for KEYED_BY_PART."""
        return self._rows(target, _buckets(at, target), Asked(points, at=at))

    def of_samples(self, target: str, samples: pl.DataFrame) -> pl.DataFrame:
        """Every row that lies where one of the samples does and is of its point."""
        at = samples[key_of(target)]
        return self._rows(target, _buckets(at, target), Asked(samples["point"], at=at, is_paired=True))

    def put(self, target: str, new: pl.DataFrame, *, first: bool = False) -> None:
        """Adds rows; an older row of the same (point, at) ends where the new one begins.

        new: ROWS, at most one open-ended row a (point, at); rows of one key do not overlap.
        first: there is no older row of any of these (point, at), and nobody need look for one.
        """
        if new.is_empty():
            return
        held = self.buckets.setdefault(target, {})
        at = new[key_of(target)]
        buckets = _buckets(at, target)
        if len(buckets) == 1:
            parts = {buckets[0]: new}
        else:
            keyed = new.with_columns(_bucket_of(at, target).alias("bucket"))
            keyed = keyed.partition_by("bucket", include_key=False, as_dict=True)
            parts = {bucket: part for (bucket,), part in keyed.items()}
        for key, part in parts.items():
            old = held.get(key)
            if old is None:
                held[key] = part
            else:
                held[key] = pl.concat([old, part], rechunk=False) if first else layered(old, part)

    def take(self, target: str, wanted: pl.Expr) -> pl.DataFrame:
        """Removes the rows for which it holds, and returns them; what was put away stays."""
        held, packed = self.buckets.setdefault(target, {}), self.packed.get(target, {})
        found = [empty(ROWS)]
        for bucket in sorted({*held, *packed}):
            rows = merged(self._in_memory(target, bucket))
            assert rows is not None
            mine = rows.filter(wanted)
            if mine.height:
                packed.pop(bucket, None)
                held[bucket] = rows.filter(~wanted)
                found.append(mine)
        return pl.concat(found)

    def put_away(self, target: str, before_us: int) -> bool:
        """Puts away what lies in buckets that end before the instant. Whether there was anything."""
        size = bucket_us(target)
        held, packed = self.buckets.get(target, {}), self.packed.get(target, {})
        old = sorted(b for b in {*held, *packed} if b + size <= before_us)
        for bucket in old:
            content = packed.pop(bucket, b"")
            if bucket in held:
                content = pack_rows(held.pop(bucket), key_of(target), content)
            if self.shelf.add(target, bucket, content) > LAYERS_MAX:
                oldest, *newer = self.shelf.get(target, bucket)
                over = merged(newer)
                assert over is not None
                self.shelf.replace(target, bucket, pack_rows(over, key_of(target), oldest))
        return bool(old)

    def drop(self, target: str, before_us: int) -> None:
        """Drops for good what was put away of buckets that end before the instant."""
        self.shelf.drop(target, before_us, bucket_us(target))

    def latest(self) -> Iterator[pl.DataFrame]:
        """Of each target the rows of its last bucket; without those packed early, which are not the last ones."""
        for target in self.buckets:
            there = [*self.buckets[target], *self.packed.get(target, {})]
            if there:
                yield self._rows(target, [max(there)], LAST)

    def compact(self) -> None:
        """Drops rows that ended: no decision to come may use them."""
        for held in self.buckets.values():
            for bucket, rows in held.items():
                if (chunks := rows.n_chunks()) <= CHUNKS_MAX:
                    continue
                # copied whole, so only when it has grown by a share: else a large bucket would be copied all day
                added = 1 - rows["point"].chunk_lengths()[0] / rows.height
                if added > COMPACT_SHARE or chunks > CHUNKS_MAX * CHUNKS_MAX:
                    held[bucket] = rows.filter(pl.col("until").is_null()).rechunk()

    def pack(self, now_us: int) -> None:
        """Every quarter of an hour: packs the buckets that ended half an hour ago. Of _PACK_EARLY, as soon as many rows
        are open: those that are some minutes old.
        """
        if now_us - self.packed_us >= _PACK_EVERY_US:
            self.packed_us = now_us
            for target, held in self.buckets.items():
                for bucket in [b for b in held if b + bucket_us(target) <= now_us - _PACK_AFTER_US]:
                    self._pack(target, bucket, held.pop(bucket))
        for target in _PACK_EARLY:
            held = self.buckets.get(target, {})
            if sum(rows.height for rows in held.values()) > OPEN_ROWS_MAX:
                self._pack_early(target, now_us - _PACK_EARLY_AFTER_US)

    def _pack_early(self, target: str, before_us: int) -> None:
        held, size = self.buckets[target], bucket_us(target)
        for bucket in sorted(b for b in held if b < before_us):
            if bucket + size <= before_us:
                self._pack(target, bucket, held.pop(bucket))
                continue
            is_old = pl.col(key_of(target)).dt.epoch("us") < before_us
            old = held[bucket].filter(is_old)
            if old.height > OPEN_ROWS_MAX // 8:
                young = held.pop(bucket).filter(~is_old)
                if young.height:
                    held[bucket] = young.rechunk()
                self._pack(target, bucket, old, before_us)

    def _pack(self, target: str, bucket: int, rows: pl.DataFrame, before_us: int | None = None) -> None:
        packed = self.packed.setdefault(target, {})
        packed[bucket] = pack_rows(rows, key_of(target), packed.get(bucket, b""), before_us)


def key_of(target: str) -> str:
    """The column that says in which bucket a row lies."""
    return "at" if target in KEYED_BY_PART else "window_at"


def _bucket_of(at: pl.Series, target: str) -> pl.Series:
    us = at.dt.epoch("us")
    return us - us % bucket_us(target)


def _buckets(at: pl.Series, target: str) -> list[int]:
    """Of all the instants, each once."""
    first, last, size = at.min(), at.max(), bucket_us(target)
    if first is None:
        return []
    low, high = (epoch_us(one) // size * size for one in (first, last))
    return [low] if low == high else _bucket_of(at, target).unique().to_list()
