"""What the windows remember: parts of open windows and the latest decision of every window.

Rows live in buckets of event time, so that work is in the size of what came in, not of what is remembered: young ones
open, older ones packed, old ones put away behind a port. What is read does not depend on where it lies.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from struct import Struct

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

    A bucket is open, as a frame, or packed, compressed to a few bytes a row, or put away. What is new of one of the two
    latter is open, as a layer over the rest, until it is packed or put away with it.

    points: only rows of these are wanted. Rows of others may come along: it saves unpacked memory, nothing else.
    """

    buckets: dict[str, dict[int, pl.DataFrame]] = field(default_factory=dict)
    packed: dict[str, dict[int, bytes]] = field(default_factory=dict)
    packed_us: int = 0  # when it packed last
    shelf: Shelf = field(default_factory=Shelf)

    def rows(self, target: str, buckets: Iterable[int], points: pl.Series | None = None) -> pl.DataFrame:
        only = None if points is None else points.unique()
        found = [rows for b in sorted(set(buckets)) if (rows := self._bucket(target, b, only)) is not None]
        return pl.concat(found, rechunk=False) if found else pl.DataFrame(schema=ROWS)

    def _bucket(self, target: str, bucket: int, points: pl.Series | None = None) -> pl.DataFrame | None:
        return _merged([*self.shelf.get(target, bucket), *self._in_memory(target, bucket)], points)

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
        held = self.buckets.setdefault(target, {})
        buckets = _buckets(new[key_of(target)], target)
        if buckets.n_unique() == 1:
            parts = {buckets[0]: new}
        else:
            keyed = new.with_columns(buckets.alias("bucket")).partition_by("bucket", include_key=False, as_dict=True)
            parts = {bucket: part for (bucket,), part in keyed.items()}
        for key, part in parts.items():
            old = held.get(key)
            if old is None:
                held[key] = part
            else:
                held[key] = pl.concat([old, part], rechunk=False) if first else _layered(old, part)

    def take(self, target: str, wanted: pl.Expr) -> pl.DataFrame:
        """Removes the rows for which it holds, and returns them; what was put away stays."""
        held, packed = self.buckets.setdefault(target, {}), self.packed.get(target, {})
        found = [pl.DataFrame(schema=ROWS)]
        for bucket in sorted({*held, *packed}):
            rows = _merged(self._in_memory(target, bucket))
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
                content = _packed(held.pop(bucket), content)
            if self.shelf.add(target, bucket, content) > LAYERS_MAX:
                oldest, *newer = self.shelf.get(target, bucket)
                over = _merged(newer)
                assert over is not None
                self.shelf.replace(target, bucket, _packed(over, oldest))
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
            packed = self.packed.setdefault(target, {})
            for bucket in [b for b in held if b + bucket_us(target) <= now_us - _PACK_AFTER_US]:
                packed[bucket] = _packed(held.pop(bucket), packed.get(bucket, b""))


PACKED_AT_ONCE = 250_000  # rows
_PORTION = Struct("<IIQ")  # first and last point, and how many bytes follow
_LAST_POINT = 2**32 - 1


def _packed(rows: pl.DataFrame, over: bytes = b"") -> bytes:
    """Rows no decision to come may use are left out; of a reading sum, low and high are one number and kept once.

    over: what was packed before, and the rows are a layer over. Portion by portion of the points: no more than one
    stands in memory a second time while it is sorted, and of `over` those without a new row stay as they are.
    """
    made = []
    for first, last, old in list(_portions(over)) or _cut(rows):
        mine = rows.filter(pl.col("point").is_between(first, last))
        if old and not mine.is_empty():
            mine = _layered(_whole(old), mine)
        portion = old if mine.is_empty() and old else _portion(mine)
        made.append(_PORTION.pack(first, last, len(portion)) + portion)
    return b"".join(made)


def _cut(rows: pl.DataFrame) -> list[tuple[int, int, bytes]]:
    """First and last point of each portion; the last one is open."""
    points = int(rows["point"].max() or 0) + 1  # type: ignore[call-overload]
    step = -(-points // (-(-rows.height // PACKED_AT_ONCE) or 1))
    firsts = range(0, points, step)
    return [(first, _LAST_POINT if first == firsts[-1] else first + step - 1, b"") for first in firsts]


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


def _portions(packed: bytes) -> Iterator[tuple[int, int, bytes]]:
    """First and last point, and what `_portion` made of their rows."""
    at = 0
    while at < len(packed):
        first, last, size = _PORTION.unpack_from(packed, at)
        at += _PORTION.size + size
        yield first, last, packed[at - size : at]


def _unpacked(packed: bytes, points: pl.Series | None = None) -> pl.DataFrame:
    """points: rows of other ones are left out."""
    found = [pl.DataFrame(schema=ROWS)]
    for first, last, portion in _portions(packed):
        if points is None:
            found.append(_whole(portion))
        elif points.is_between(first, last).any():
            found.append(_whole(portion).filter(pl.col("point").is_in(points.implode())))
    return pl.concat(found, rechunk=False)


def _whole(portion: bytes) -> pl.DataFrame:
    rows = pl.read_ipc(BytesIO(portion))
    return rows.with_columns(
        pl.coalesce("sum", pl.col("low").cast(pl.Int128)),
        pl.coalesce("high", "low"),
    )


def _merged(layers: Sequence[bytes | pl.DataFrame], points: pl.Series | None = None) -> pl.DataFrame | None:
    """layers: packed or open, oldest first. points: of what is packed only rows of these are wanted."""
    whole = None
    for layer in layers:
        rows = _unpacked(layer, points) if isinstance(layer, bytes) else layer
        whole = rows if whole is None else _layered(whole, rows)
    return whole


def _layered(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([_ended(old, new), new], rechunk=False)


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
