"""Rows the windows are made of, and how newer ones lie over older ones. Pure."""

import polars as pl

from contracts.frames import INSTANT, instant

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


def layered(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([_ended(old, new), new], rechunk=False)


def still_held(rows: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows that have not ended and are of a (point, at) of the new ones."""
    first, last = instant(new["at"].min()), instant(new["at"].max())
    its = pl.col("at").is_between(first, last)
    # the time span first: of what is remembered only the end is joined to; one column says whether there is any
    if not rows.select(its.any()).item():
        return rows.clear()
    near = rows.filter(pl.col("until").is_null() & its)
    return near if near.is_empty() else near.join(new, on=["point", "at"], how="semi")


def _ended(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    if still_held(old, new).is_empty():
        return old
    starts = new.group_by("point", "at").agg(ends=pl.col("tick").min())
    replaced = old.join(starts, on=["point", "at"], how="left", maintain_order="left")
    open_ended = pl.col("until").is_null()
    return replaced.with_columns(until=pl.when(open_ended).then("ends").otherwise("until")).drop("ends")
