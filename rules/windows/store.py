"""What the windows remember: parts of open windows and the latest decision of every window.

Rows live in buckets of event time, so that work is in the size of what came in, not of what is remembered: young ones
open, older ones packed, old ones put away behind a port. What is read does not depend on where it lies.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO

import polars as pl

from contracts.frames import INSTANT

from .put_away import Shelf

# A part of a window: a reading, or a decided window of the period below. It holds for decision ticks in [tick, until).
ROWS = pl.Schema(
    {
        "point": pl.UInt32,
        "window_at": INSTANT,  # start of the window it is a part of
        "at": INSTANT,  # event time of the reading, start of the smaller window
        "tick": INSTANT,
        "until": INSTANT,
        "sum": pl.Int128,
        "n": pl.UInt32,
        "present": pl.UInt32,
        "over": pl.UInt32,  # over the instrument's range, or made of parts that are
        "expected": pl.UInt32,  # windows only
        "low": pl.Int64,
        "high": pl.Int64,
        "device_revision": pl.Int32,  # readings only
        "revision": pl.UInt32,  # windows only; null for readings
        "reason": pl.String,  # windows only; null: judged
        "excused": pl.String,  # windows only
    }
)

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


def bucket_us(target: str) -> int:
    if target in _BUCKET_US:
        return _BUCKET_US[target]
    return _BUCKET_YEAR_US if target in ("month!", "year!") else _BUCKET_US[target.removesuffix("!")]


@dataclass
class WindowStore:
    """target -> bucket start (us) -> ROWS. Target: a period, or "<period>!" for decisions that are parts of nothing.

    A bucket is open, as a frame, or packed, compressed to a few bytes a row, until something late touches it, or put
    away: then what is new of it is open until it is put over the rest as another layer.

    points: only rows of these are wanted. Rows of others may come along: it saves unpacked memory, nothing else.
    """

    buckets: dict[str, dict[int, pl.DataFrame]] = field(default_factory=dict)
    packed: dict[str, dict[int, bytes]] = field(default_factory=dict)
    packed_us: int = 0  # when it packed last
    shelf: Shelf = field(default_factory=Shelf)

    def rows(self, target: str, buckets: Iterable[int], points: pl.Series | None = None) -> pl.DataFrame:
        only = None if points is None else pl.col("point").is_in(points.unique().implode())
        found = [rows for b in sorted(set(buckets)) if (rows := self._bucket(target, b, only)) is not None]
        return pl.concat(found, rechunk=False) if found else pl.DataFrame(schema=ROWS)

    def _bucket(self, target: str, bucket: int, only: pl.Expr | None = None) -> pl.DataFrame | None:
        contents = self.shelf.get(target, bucket)
        if bucket in (packed := self.packed.get(target, {})):
            contents.append(packed[bucket])
        whole = None
        for content in contents:
            layer = _unpacked(content) if only is None else _unpacked(content).filter(only)
            whole = layer if whole is None else pl.concat([_ended(whole, layer), layer], rechunk=False)
        layer = self.buckets.get(target, {}).get(bucket)
        if whole is None or layer is None:
            return layer if whole is None else whole
        return pl.concat([_ended(whole, layer), layer], rechunk=False)

    def between(self, target: str, from_us: int, to_us: int, points: pl.Series | None = None) -> pl.DataFrame:
        """Every row whose window may start in [from_us, to_us]; of KEYED_BY_PART, that lies there itself."""
        size = bucket_us(target)
        first = from_us - from_us % size
        tiers = (self.buckets.get(target, {}), self.packed.get(target, {}), self.shelf.of(target))
        if (to_us - first) // size < sum(map(len, tiers)):
            there: Iterable[int] = range(first, to_us + 1, size)
        else:
            there = (b for tier in tiers for b in tier if b + size > from_us and b <= to_us)
        return self.rows(target, there, points)

    def of_windows(self, target: str, window_at: pl.Series, points: pl.Series | None = None) -> pl.DataFrame:
        """Every part of the windows."""
        if target not in KEYED_BY_PART:
            return self.of_keys(target, window_at, points)
        size, reach = bucket_us(target), KEYED_BY_PART[target]
        starts = _buckets(window_at, target).unique().to_list()
        return self.rows(target, (b for start in starts for b in range(start, start + reach + size, size)), points)

    def of_keys(self, target: str, at: pl.Series, points: pl.Series | None = None) -> pl.DataFrame:
        """Every row that lies at one of the instants: starts of windows, or of parts for KEYED_BY_PART."""
        return self.rows(target, _buckets(at, target).unique().to_list(), points)

    def put(self, target: str, new: pl.DataFrame, *, first: bool = False) -> None:
        """Adds rows; an older row of the same (point, at) ends where the new one begins.

        new: ROWS, at most one open-ended row a (point, at); rows of one key do not overlap.
        first: there is no older row of any of these (point, at), and nobody need look for one.
        """
        if new.is_empty():
            return
        held, packed = self.buckets.setdefault(target, {}), self.packed.get(target, {})
        buckets = _buckets(new[key_of(target)], target)
        if buckets.n_unique() == 1:
            parts = {buckets[0]: new}
        else:
            keyed = new.with_columns(buckets.alias("bucket")).partition_by("bucket", include_key=False, as_dict=True)
            parts = {bucket: part for (bucket,), part in keyed.items()}
        for key, part in parts.items():
            old = _unpacked(packed.pop(key)) if key in packed else held.get(key)
            if old is not None and not first:
                old = _ended(old, part)
            held[key] = part if old is None else pl.concat([old, part], rechunk=False)

    def take(self, target: str, wanted: pl.Expr) -> pl.DataFrame:
        """Removes the rows for which it holds, and returns them; what was put away stays."""
        held, packed = self.buckets.setdefault(target, {}), self.packed.get(target, {})
        found = [pl.DataFrame(schema=ROWS)]
        for bucket in sorted({*held, *packed}):
            rows = _unpacked(packed[bucket]) if bucket in packed else held[bucket]
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
            content = packed.pop(bucket) if bucket in packed else _packed(held.pop(bucket))
            if self.shelf.add(target, bucket, content) > LAYERS_MAX:
                whole = self._bucket(target, bucket)
                assert whole is not None
                self.shelf.replace(target, bucket, _packed(whole))
        return bool(old)

    def drop(self, target: str, before_us: int) -> None:
        """Drops for good what was put away of buckets that end before the instant."""
        self.shelf.drop(target, before_us, bucket_us(target))

    def latest(self) -> Iterator[pl.DataFrame]:
        """Of each target the rows of its last bucket."""
        for target in self.buckets:
            there = [*self.buckets[target], *self.packed.get(target, {})]
            if there:
                yield self.rows(target, [max(there)])

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
        """Every quarter of an hour: packs the buckets that ended half an hour ago."""
        if now_us - self.packed_us < _PACK_EVERY_US:
            return
        self.packed_us = now_us
        for target, held in self.buckets.items():
            for bucket in [b for b in held if b + bucket_us(target) <= now_us - _PACK_AFTER_US]:
                self.packed.setdefault(target, {})[bucket] = _packed(held.pop(bucket))


PACKED_AT_ONCE = 1_000_000  # rows


def _packed(rows: pl.DataFrame) -> bytes:
    """Rows no decision to come may use are left out; of a reading sum, low and high are one number and kept once."""
    # by points, so that no more than a portion stands in memory three times over while it is sorted
    step = -(-(int(rows["point"].max() or 0) + 1) // (-(-rows.height // PACKED_AT_ONCE) or 1))  # type: ignore[call-overload]
    bounds = range(0, int(rows["point"].max() or 0) + 1, step)  # type: ignore[call-overload]
    once = pl.concat([_once(rows.lazy().filter(pl.col("point").is_between(n, n + step - 1))) for n in bounds])
    into = BytesIO()
    once.write_ipc(into, compression="zstd")
    return into.getvalue()


def _once(rows: pl.LazyFrame) -> pl.DataFrame:
    kept = rows.filter(pl.col("until").is_null()).sort("point", "at")
    return kept.with_columns(
        pl.when(pl.col("sum").ne_missing(pl.col("low").cast(pl.Int128))).then("sum"),
        pl.when(pl.col("high").ne_missing(pl.col("low"))).then("high"),
    ).collect()


def _unpacked(packed: bytes) -> pl.DataFrame:
    rows = pl.read_ipc(BytesIO(packed))
    return rows.with_columns(
        pl.coalesce("sum", pl.col("low").cast(pl.Int128)),
        pl.coalesce("high", "low"),
    )


def key_of(target: str) -> str:
    """The column that says in which bucket a row lies."""
    return "at" if target in KEYED_BY_PART else "window_at"


def _buckets(at: pl.Series, target: str) -> pl.Series:
    us = at.dt.epoch("us")
    return us - us % bucket_us(target)


def still_held(rows: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows that have not ended and are of a (point, at) of the new ones."""
    # the time span first: of what is remembered only the end is joined to
    near = rows.filter(pl.col("until").is_null() & pl.col("at").is_between(new["at"].min(), new["at"].max()))
    return near if near.is_empty() else near.join(new, on=["point", "at"], how="semi")


def _ended(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    if still_held(old, new).is_empty():
        return old
    starts = new.group_by("point", "at").agg(ends=pl.col("tick").min())
    replaced = old.join(starts, on=["point", "at"], how="left", maintain_order="left")
    open_ended = pl.col("until").is_null()
    return replaced.with_columns(until=pl.when(open_ended).then("ends").otherwise("until")).drop("ends")
