"""What people's facts do to windows: readings that do not count, and windows an exceedance is not held against.

Promises: a decision at a tick sees the effects that hold at that tick; when one begins or ceases to hold, the windows
it touches are decided again. Does not know marks, caps or deadlines: that is facts.py, which makes EFFECTS.
"""

import polars as pl

from contracts.civil_time import PERIODS as CIVIL_STEP
from contracts.civil_time import window_start
from contracts.facts import EFFECTS
from contracts.frames import INSTANT, empty

from ..plan import Plan
from ..windows.counted import holding, holds_at
from ..windows.store import WindowStore

WHOLE_STOP = "whole_stop"
AGAIN = pl.Schema({"point": pl.UInt32, "window_at": INSTANT, "tick": INSTANT})
EXCUSED_PERIODS = ("instant", "minute", "five_minute", "hour", "day")  # a month is not excused for an hour of it


def no_effects() -> pl.DataFrame:
    return empty(EFFECTS)


def stirred(
    plan: Plan, store: WindowStore, effects: pl.DataFrame, period: str, from_tick: object, to: object
) -> pl.DataFrame:
    """AGAIN: windows decided before that an effect begins or ceases to touch at a tick in (from_tick, to]."""
    none = empty(AGAIN)
    if effects.is_empty() or period not in EXCUSED_PERIODS:
        return none
    began = effects.select("point", "from_at", "to_at", "tick")
    ceased = effects.filter(pl.col("until").is_not_null()).select("point", "from_at", "to_at", tick="until")
    edges = pl.concat([began, ceased]).filter((pl.col("tick") > from_tick) & (pl.col("tick") <= to))
    # what happens after the tick is decided after it
    edges = edges.with_columns(to_at=pl.min_horizontal(pl.col("to_at").fill_null(pl.col("tick")), "tick"))
    edges = edges.filter(pl.col("from_at") < pl.col("to_at")).unique()
    if edges.is_empty():
        return none
    if period == "instant":
        span = edges.select(pl.col("from_at").min(), pl.col("to_at").max()).row(0)
        held = store.between(period, *(round(at.timestamp() * 1_000_000) for at in span), edges["point"])
        readings = held.select("point", window_at="at").unique()
        touched = readings.join(edges, on="point").filter(
            (pl.col("from_at") <= pl.col("window_at")) & (pl.col("window_at") < pl.col("to_at"))
        )
    else:
        first = window_start(pl.col("from_at"), period, plan.zone).dt.convert_time_zone(plan.zone)
        last = pl.col("to_at").dt.convert_time_zone(plan.zone)
        starts = pl.datetime_ranges(first, last, CIVIL_STEP[period], closed="left")
        touched = edges.with_columns(window_at=starts).explode("window_at")
        touched = touched.with_columns(pl.col("window_at").dt.convert_time_zone("UTC").dt.cast_time_unit("us"))
    decided = plan.decided_at(period)
    # what is older still is not kept any more
    touched = touched.filter((pl.col("tick") > decided) & plan.is_kept(pl.col("tick"), decided))
    return touched.select(AGAIN.names()).unique().match_to_schema(AGAIN)


def excused(made: pl.DataFrame, period: str, effects: pl.DataFrame) -> pl.DataFrame:
    """Adds `excused`: why an exceedance is not held against the window at its tick: "whole_stop" (one approved stop
    covers all of the window), "stop" (a part of it), "mark", or null."""
    excuses = effects if effects.is_empty() else effects.filter(pl.col("effect") == "excused")
    if excuses.is_empty() or period not in EXCUSED_PERIODS:
        return made.with_columns(excused=pl.lit(None, pl.String))
    key = ["point", "window_at", "tick"]
    end_at = pl.col("window_at") + pl.duration(seconds=pl.max_horizontal("window_s", 1))
    is_stop = pl.col("kind") == "stop"
    covers = (pl.col("from_at") <= pl.col("window_at")) & (pl.col("to_at").is_null() | (end_at <= pl.col("to_at")))
    hit = (
        made.select(*key, "window_s")
        .join(holding(excuses), on="point")
        .filter((pl.col("from_at") < end_at) & (pl.col("to_at").is_null() | (pl.col("window_at") < pl.col("to_at"))))
        .filter(holds_at("tick"))
        .group_by(key)
        .agg(
            excused=pl.when((is_stop & covers).any())
            .then(pl.lit(WHOLE_STOP))
            .when(is_stop.any())
            .then(pl.lit("stop"))
            .otherwise(pl.lit("mark"))
        )
    )
    return made.join(hit, on=key, how="left", maintain_order="left")
