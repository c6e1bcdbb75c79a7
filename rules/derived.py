"""Values made of two points' windows: conversion to reference O2, and treatment off while producing.

Element-wise on decided windows; a window whose inputs cannot be used has a reason and no value.
"""

from collections.abc import Iterator

import polars as pl

from contracts.civil_time import window_start
from contracts.reasons import NoJudgement

from .plan import PARENT, Plan
from .window_store import WindowStore

O2_GUARD_PCT = 20.0  # from here on (21 - O2) is too small to divide by; project default (validity rule VR09)
SCALED_MAX = 9.2e18  # |value| in 10^-decimals must fit Int64


def derive(plan: Plan, store: WindowStore, period: str, made: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Per kind of derived point of the period: its decisions, not yet numbered, for windows whose inputs changed."""
    for kind, compute in (("convert_o2", _convert_o2), ("treatment_off", _treatment_off)):
        wanted = plan.derived_of.get((period, kind))
        if wanted is None or made.is_empty():
            continue
        touched = pl.concat(
            [
                made.join(wanted, left_on="point", right_on=side, how="inner").select(
                    "out", "window_at", "window_s", "tick", "on_time"
                )
                for side in ("a", "b")
            ]
        )
        if touched.is_empty():
            continue
        due = touched.group_by("out", "window_at", "tick").agg(pl.col("window_s").first(), pl.col("on_time").all())
        parts = plan.levels_of[period].select("part_s", a="point")
        wanted = wanted.join(parts, on="a", how="left").with_columns(pl.col("part_s").fill_null(60))
        inputs = _inputs(plan, store, period, made, wanted)
        a = _as_of(due.join(wanted, on="out"), inputs, "a")
        both = _as_of(a, inputs, "b")
        scales = plan.points.select("point", scale=pl.lit(10.0).pow(pl.col("decimals").cast(pl.Float64)))
        both = (
            both.join(scales.rename({"point": "a", "scale": "scale_a"}), on="a")
            .join(scales.rename({"point": "b", "scale": "scale_b"}), on="b")
            .sort("out", "window_at", "tick")
        )
        yield compute(both).rename({"out": "point"})


def _inputs(plan: Plan, store: WindowStore, period: str, made: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """Decided windows of the inputs, each with the ticks it holds for."""
    numbers = pl.concat([wanted["a"], wanted["b"]]).unique()
    homes = [(f"{period}!", made["window_at"])]
    if period in PARENT:
        parent_at = made.select(window_start(pl.col("window_at"), PARENT[period], plan.zone)).to_series()
        homes.append((PARENT[period], parent_at))
    rows = pl.concat([store.of_windows(target, at) for target, at in homes])
    return rows.filter(pl.col("point").is_in(numbers.implode()) & pl.col("revision").is_not_null()).select(
        "point", "tick", "until", "sum", "n", "present", "low", "high", "reason", window_at="at"
    )


def _as_of(due: pl.DataFrame, inputs: pl.DataFrame, side: str) -> pl.DataFrame:
    """Adds the side's window as it stood at the due tick; null columns where it had not been decided."""
    names = ("sum", "n", "present", "low", "high", "reason")
    found = (
        due.select("out", side, "window_at", due_at="tick")
        .join(inputs, left_on=[side, "window_at"], right_on=["point", "window_at"])
        .filter(
            (pl.col("tick") <= pl.col("due_at")) & (pl.col("until").is_null() | (pl.col("until") > pl.col("due_at")))
        )
        .select("out", "window_at", *(pl.col(name).alias(f"{name}_{side}") for name in names), tick="due_at")
    )
    return due.join(found, on=["out", "window_at", "tick"], how="left")


def _mean(side: str) -> pl.Expr:
    n = pl.col(f"n_{side}").cast(pl.Float64)
    return pl.col(f"sum_{side}").cast(pl.Float64) / n / pl.col(f"scale_{side}")


def _usable(side: str) -> pl.Expr:
    return pl.col(f"n_{side}").fill_null(0).gt(0) & pl.col(f"reason_{side}").is_null()


def _shape(rows: pl.DataFrame, value: pl.Expr, n: pl.Expr, reason: pl.Expr) -> pl.DataFrame:
    """value: integer of the out point's decimals; it counts n times, so that sum / n is the value itself."""
    rows = rows.with_columns(reason=reason)
    judged = pl.col("reason").is_null()
    rows = rows.with_columns(value=pl.when(judged).then(value).cast(pl.Int64), n=pl.when(judged).then(n).otherwise(0))
    return rows.select(
        "out",
        "window_at",
        "window_s",
        "tick",
        "on_time",
        sum=(pl.col("value").fill_null(0).cast(pl.Int128) * pl.col("n").cast(pl.Int128)),
        n=pl.col("n").cast(pl.UInt32),
        present=pl.col("present_a").fill_null(0).cast(pl.UInt32),
        expected=pl.max_horizontal(pl.col("window_s") // pl.col("part_s"), 1).cast(pl.UInt32),
        low="value",
        high="value",
        reason="reason",
    )


def _convert_o2(rows: pl.DataFrame) -> pl.DataFrame:
    """C = Cm x (21 - O2ref) / (21 - O2m), HJ 75-2017; no judgement where O2 is missing or the quotient diverges."""
    o2 = _mean("b")
    converted = _mean("a") * (21.0 - pl.col("p")) / (21.0 - o2)
    scaled = (converted * pl.col("scale_a")).round(mode="half_to_even")
    reason = (
        pl.when(~_usable("a"))
        .then(pl.col("reason_a").fill_null(pl.lit(NoJudgement.NO_DATA)))
        .when(~_usable("b"))
        .then(pl.lit(NoJudgement.O2_MISSING))
        .when((o2 >= O2_GUARD_PCT) | (scaled.abs() >= SCALED_MAX))
        .then(pl.lit(NoJudgement.O2_NEAR_21))
    )
    return _shape(rows, scaled, pl.col("n_a"), reason)


def _treatment_off(rows: pl.DataFrame) -> pl.DataFrame:
    """1 where production is on and treatment off; a missing or invalid signal of either is not "treatment off"."""
    off = (_mean("a") >= pl.col("p")) & (_mean("b") < pl.col("q"))
    reason = pl.when(~(_usable("a") & _usable("b"))).then(pl.lit(NoJudgement.SIGNAL_MISSING))
    return _shape(rows, off.cast(pl.Int64), pl.lit(1, pl.UInt32), reason)
