"""Points made of other points' windows: which windows are due again, and what their inputs were at that tick.

Promises: an output is decided when its inputs of the same window are, and again whenever one of them is revised; what
it is made of is what was known at that tick. Does not promise what a number means: that is formulas.py.
"""

from collections.abc import Callable, Collection
from functools import cache
from typing import TypeVar

import polars as pl

from contracts.civil_time import PERIODS as CIVIL_STEP
from contracts.frames import INSTANT, empty

from ..exact import half_even
from ..facts.marked import AGAIN
from ..plan import Plan
from ..windows.due import end_of, home_at, homes
from ..windows.store import WindowStore
from .depths import Depth
from .formulas import TOTAL_EXTRA, finish
from .running_time import RUNNING_TIME, running_time
from .water import FLOW_WEIGHTED, flow_weighted
from .wind import WIND_FROM, wind_from

# kinds that look at the parts of their inputs' windows, not at what these were decided to be
_OF_THEIR_PARTS = {FLOW_WEIGHTED: flow_weighted, RUNNING_TIME: running_time, WIND_FROM: wind_from}
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
_WINDOW = ("out", "window_at", "tick")
_DUE = pl.Schema({"out": pl.UInt32, "window_at": INSTANT, "tick": INSTANT, "on_time": pl.Boolean, "window_s": pl.Int64})


def derive(
    plan: Plan,
    store: WindowStore,
    period: str,
    decided: pl.DataFrame,
    again: pl.DataFrame,
    effects: pl.DataFrame,
    keep: Callable[[pl.DataFrame], pl.DataFrame],
) -> None:
    """Decides the points made of this period's windows, shallowest first, since outputs are inputs of what lies deeper.

    decided: this period's decisions so far. again: marked.AGAIN. effects: of people's facts, EFFECTS.
    keep: numbers what it is given, puts it into the store, returns DECISIONS.
    """
    for depth in plan.depths[period]:
        due = _due(plan, period, decided, depth)
        if not again.is_empty():
            asked = again.rename({"point": "out"}).join(depth.derived, on="out", how="semi")
            due = pl.concat([due, _at_ticks(plan, period, asked)]).unique(_WINDOW)
        if depth.has_dates:
            due = _within_dates(plan, period, due)
        if due.is_empty():
            continue
        asked = due.join(depth.derived, on="out", how="left")
        made = []
        own = pl.col("kind").is_in(list(_OF_THEIR_PARTS))
        for (kind,), rows in asked.filter(own).partition_by("kind", as_dict=True).items():
            of_kind = depth.inputs.join(rows, on="out", how="semi", maintain_order="left")
            made.append(_OF_THEIR_PARTS[str(kind)](store, period, rows, of_kind, effects))
        if not (rows := asked.filter(~own)).is_empty():
            gathered = _gathered(plan, store, period, rows, depth)
            if period == "instant":  # what is converted or held under a condition is there when its own reading is
                gathered = gathered.filter(pl.col("present_a") > 0)
            if not gathered.is_empty():
                made.append(finish(gathered, plan.formulas))
        if not made:
            continue
        decided = pl.concat([decided, keep(pl.concat(made, how="diagonal").sort("point", "window_at", "tick"))])


def revised_parts(plan: Plan, period: str, arrived: Collection[pl.DataFrame]) -> pl.DataFrame:
    """marked.AGAIN of points made of an input's parts: parts may change while the window they are of says the same.

    arrived: windows.store.ROWS with `decided`, of the period's windows.
    """
    late = [rows.filter(pl.col("tick") > pl.col("decided")) for rows in arrived]
    late = [rows.select("point", "window_at", "tick") for rows in late if rows.height]
    if not late:
        return empty(AGAIN)
    of_parts = plan.derived.filter((pl.col("period") == period) & pl.col("kind").is_in(list(_OF_THEIR_PARTS)))
    inputs = plan.inputs.filter(pl.col("period") == period).join(of_parts, on="out", how="semi")
    late = pl.concat(late).join(inputs.select("point", "out"), on="point")
    return late.select("window_at", "tick", point="out").unique().match_to_schema(AGAIN)


def _due(plan: Plan, period: str, decided: pl.DataFrame, depth: Depth) -> pl.DataFrame:
    """Every output window of which an input was decided, with the ticks of those decisions."""
    if decided.is_empty() or not depth.is_input[decided["point"]].any():
        return empty(_DUE)
    touched = decided.lazy().select("point", "window_at", "tick").join(depth.touches.lazy(), on="point", how="inner")
    if depth.is_lagged:
        touched = touched.with_columns(window_at=_later(pl.col("window_at"), pl.col("lag"), period, plan.zone))
        # of a window that is not over yet the input of no lag is still to come
        touched = touched.filter(pl.col("tick") >= plan.decided_at(period))
    return _at_ticks(plan, period, touched.select(_WINDOW).unique()).collect()


def _within_dates(plan: Plan, period: str, due: pl.DataFrame) -> pl.DataFrame:
    """Without windows of days on which the output is not there, though one of its inputs may be."""
    if period in ("month", "year"):
        return due
    valid_from, valid_to = (plan.points[name][due["out"]] for name in ("valid_from", "valid_to"))
    day = pl.col("window_at").dt.convert_time_zone(plan.zone).dt.date()
    return due.filter((day >= valid_from).fill_null(True) & (day <= valid_to).fill_null(True))


def _at_ticks(plan: Plan, period: str, asked: Frame) -> Frame:
    its_own = pl.col("tick") == plan.decided_at(period)
    seconds = (end_of(period, plan.zone) - pl.col("window_at")).dt.total_seconds()
    return asked.with_columns(on_time=its_own, window_s=seconds).match_to_schema(_DUE)


def _later(at: pl.Expr, steps: pl.Expr, period: str, zone: str) -> pl.Expr:
    """The window so many windows later (earlier, where negative) in civil time."""
    every, unit = CIVIL_STEP[period][0], CIVIL_STEP[period][1:]
    moved = at.dt.convert_time_zone(zone).dt.offset_by(pl.format("{}" + unit, steps * int(every)))
    return moved.dt.convert_time_zone("UTC").dt.cast_time_unit("us")


def _gathered(plan: Plan, store: WindowStore, period: str, due: pl.DataFrame, depth: Depth) -> pl.DataFrame:
    """due with, per role r, sum_r n_r present_r over_r ok_r total_r low_r high_r reason_r of its inputs as they stood
    at the tick; null where none of them had been decided."""
    at = _later(pl.col("window_at"), -pl.col("lag"), period, plan.zone) if depth.is_lagged else pl.col("window_at")
    wanted = due.lazy().select(_WINDOW).join(depth.inputs.lazy(), on="out", how="inner").with_columns(at=at).collect()
    starts = wanted["at"].unique()
    numbers = depth.numbers
    rows = pl.concat([store.of_keys(home, home_at(starts, home, plan.zone), numbers) for home in homes(period)])
    known = (
        rows.lazy()
        .filter(pl.col("point").is_in(numbers.implode()) & pl.col("revision").is_not_null())
        .select("point", "at", "until", "sum", "n", "present", "over", "low", "high", "reason", known_at="tick")
        .join(wanted.lazy(), on=["point", "at"], how="inner")
        .filter(
            (pl.col("known_at") <= pl.col("tick")) & (pl.col("until").is_null() | (pl.col("until") > pl.col("tick")))
        )
        # a decision that is a part of two windows is kept with each
        .unique([*_WINDOW, "role", "point", "at"])
        .group_by(_WINDOW)
        .agg(_columns(depth.roles))
    )
    return due.lazy().join(known, on=_WINDOW, how="left").collect()


@cache
def _columns(roles: tuple[str, ...]) -> list[pl.Expr]:
    usable = (pl.col("n") > 0) & pl.col("reason").is_null()
    n = pl.col("n").cast(pl.Int128)
    mean = half_even(pl.col("sum") * 10**TOTAL_EXTRA, pl.when(n > 0).then(n).otherwise(1))
    made = []
    for role in roles:
        mine = pl.col("role") == role
        good = mine & usable
        made += [
            pl.col("sum").filter(good).sum().alias(f"sum_{role}"),
            pl.col("n").filter(good).sum().alias(f"n_{role}"),
            pl.col("present").filter(mine).sum().alias(f"present_{role}"),
            pl.col("over").filter(mine).sum().alias(f"over_{role}"),
            good.sum().alias(f"ok_{role}"),
            mean.filter(good).sum().alias(f"total_{role}"),
            pl.col("low").filter(good).min().alias(f"low_{role}"),
            pl.col("high").filter(good).max().alias(f"high_{role}"),
            pl.col("reason").filter(mine).min().alias(f"reason_{role}"),
        ]
    return made
