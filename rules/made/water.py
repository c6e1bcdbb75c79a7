"""Waste water by the day: analysis cycles, discharge, and the flow-weighted mean.

Promises: exact on scaled integers; a sample counts for its cycle; a cycle without discharge is not expected.
Source: HJ 356-2019 ch. 7 as quoted second-hand (validity rules VR21, VR24).
"""

import polars as pl

from contracts.reasons import NoJudgement

from ..exact import half_even
from ..windows.counted import known_parts
from ..windows.store import WindowStore

FLOW_WEIGHTED = "flow_weighted"
DISCHARGING_M3_H = 0.0  # an hour with more flow is one of discharge; project default
NOT_WEIGHTED = ("w00000", "w01001", "w01010", "w01014")  # flow, pH (no daily mean), temperature, conductivity
_WINDOW = ("out", "window_at", "tick")


def flow_weighted(
    store: WindowStore, period: str, due: pl.DataFrame, inputs: pl.DataFrame, effects: pl.DataFrame
) -> pl.DataFrame:
    """DECISIONS but for period and revision, of due windows of derived points of kind "flow_weighted".

    due: with the derived point's columns; inputs: a: concentration, b: flow. q: discharging above so much flow (in the
    flow's unit); part_s: the concentration's analysis cycle; need, of: its completeness.
    """
    wanted = due.select(*_WINDOW, "part_s").join(inputs.select("out", "role", "point"), on="out")
    rows = known_parts(store, period, wanted, effects)
    judged = pl.col("reason").is_null() & (pl.col("n") > 0)
    n = pl.col("n").cast(pl.Int128)
    parts = rows.with_columns(
        value=pl.when(judged).then(half_even(pl.col("sum"), pl.when(n > 0).then(n).otherwise(1))),
        is_present=pl.col("present") > 0,
        # the first sample of a cycle may come at any time of it
        cycle=(pl.col("at") - pl.col("window_at")).dt.total_seconds() // pl.col("part_s"),
    )
    cycles = _flow_by_cycle(parts, due).join(_values_by_cycle(parts), on=[*_WINDOW, "cycle"], how="full", coalesce=True)
    weighted = pl.col("value").is_not_null() & (pl.col("flow").fill_null(0) > 0) & pl.col("is_discharging")
    weight = pl.when(weighted).then("flow").otherwise(0)
    summed = cycles.group_by(_WINDOW).agg(
        product=(pl.when(weighted).then(pl.col("value") * pl.col("flow")).otherwise(0)).sum(),
        weight=weight.sum(),
        n=weighted.sum().cast(pl.UInt32),
        present=pl.col("is_present").fill_null(False).sum().cast(pl.UInt32),
        discharging=pl.col("is_discharging").fill_null(True).sum().cast(pl.UInt32),
        without_flow=(pl.col("value").is_not_null() & pl.col("flow").is_null()).sum().cast(pl.UInt32),
        low=pl.col("value").filter(weighted).min().cast(pl.Int64),
        high=pl.col("value").filter(weighted).max().cast(pl.Int64),
    )
    return _with_reason(due.join(summed, on=_WINDOW, how="left"))


def _flow_by_cycle(parts: pl.DataFrame, due: pl.DataFrame) -> pl.DataFrame:
    """Every cycle of the windows: its hours' flow added up, null where one is missing; discharging if unknown."""
    hours = (
        parts.filter(pl.col("role") == "b")
        .group_by(*_WINDOW, "cycle")
        .agg(flow=pl.col("value").sum(), known=pl.col("value").is_not_null().sum(), peak=pl.col("value").max())
    )
    cycles = due.select(
        *_WINDOW, "q", "scale_b", "part_s", cycle=pl.int_ranges(0, pl.col("window_s") // pl.col("part_s"))
    ).explode("cycle")
    hours_of = pl.max_horizontal(pl.col("part_s") // 3600, 1)
    is_known = pl.col("known").fill_null(0) >= hours_of
    return (
        cycles.join(hours, on=[*_WINDOW, "cycle"], how="left")
        .with_columns(flow=pl.when(is_known).then("flow"))
        .select(
            *_WINDOW,
            "cycle",
            "flow",
            is_discharging=~is_known
            | (pl.col("peak").cast(pl.Float64) > pl.col("q").fill_null(0.0) * pl.col("scale_b")),
        )
    )


def _values_by_cycle(parts: pl.DataFrame) -> pl.DataFrame:
    """One value a cycle: of several samples in one, their mean."""
    samples = parts.filter(pl.col("role") == "a").group_by(*_WINDOW, "cycle")
    means = samples.agg(
        total=pl.col("value").sum(),
        n=pl.col("value").is_not_null().sum().cast(pl.Int128),
        is_present=pl.col("is_present").any(),
    )
    mean = half_even(pl.col("total"), pl.when(pl.col("n") > 0).then("n").otherwise(1))
    return means.select(*_WINDOW, "cycle", "is_present", value=pl.when(pl.col("n") > 0).then(mean))


def _with_reason(rows: pl.DataFrame) -> pl.DataFrame:
    rows = rows.with_columns(pl.col("n", "present", "discharging", "without_flow", "product", "weight").fill_null(0))

    def enough(n: pl.Expr) -> pl.Expr:
        return n.cast(pl.Int64) * pl.col("of") >= pl.col("need") * pl.col("discharging").cast(pl.Int64)

    reason = (
        pl.when(pl.col("discharging") == 0)
        .then(pl.lit(str(NoJudgement.NO_DISCHARGE)))
        .when(pl.col("present") == 0)
        .then(pl.lit(str(NoJudgement.NO_DATA)))
        .when(~enough(pl.col("n")) & enough(pl.col("n") + pl.col("without_flow")))
        .then(pl.lit(str(NoJudgement.FLOW_MISSING)))
        .when(~enough(pl.col("n")) | (pl.col("n") == 0))
        .then(pl.lit(str(NoJudgement.TOO_FEW_VALID)))
    )
    weight = pl.when(pl.col("weight") > 0).then("weight").otherwise(1).cast(pl.Int128)
    value = half_even(pl.col("product").cast(pl.Int128), weight)
    rows = rows.with_columns(reason=reason).with_columns(n=pl.when(pl.col("reason").is_null()).then("n").otherwise(0))
    return rows.select(
        "window_at",
        "window_s",
        "tick",
        "on_time",
        "n",
        "present",
        "low",
        "high",
        "reason",
        point="out",
        sum=pl.when(pl.col("reason").is_null()).then(value * pl.col("n").cast(pl.Int128)).otherwise(0).cast(pl.Int128),
        over=pl.lit(0, pl.UInt32),
        expected=pl.col("discharging"),
    )
