"""Shares of running time: windows whose parts count only while something runs.

Promises: exact on scaled integers; valid and expected minutes of the parts add up, so a share is one of minutes however
they fall into hours and days. Does not say what runs: the parts' own formula does.
"""

import polars as pl

from contracts.reasons import NoJudgement

from ..windows.counted import known_parts
from ..windows.store import WindowStore

RUNNING_TIME = "running_time"
_PART_S = {"hour": 60, "day": 3600, "month": 86400}  # of a window of the period
_WINDOW = ("out", "window_at", "tick")


def running_time(
    store: WindowStore, period: str, due: pl.DataFrame, inputs: pl.DataFrame, effects: pl.DataFrame
) -> pl.DataFrame:
    """DECISIONS but for period and revision, of due windows of derived points of kind "running_time".

    due: with the derived point's columns; inputs: a: the point whose windows of the period below are added up;
    need, of: its completeness, of the minutes in which it applies. Windows that were never decided, before a site began
    for example, are minutes of which nothing is known.
    """
    part_s = _PART_S[period]
    wanted = due.select(_WINDOW).join(inputs.select("out", "point"), on="out")
    rows = known_parts(store, period, wanted, effects)
    applies = pl.col("reason").ne_missing(str(NoJudgement.NOT_APPLICABLE))
    counted = applies & (pl.col("n") > 0)
    summed = (
        rows.filter(pl.col("revision").is_not_null())
        .group_by(_WINDOW)
        .agg(
            sum=pl.col("sum").filter(counted).sum(),
            n=pl.col("n").filter(counted).sum(),
            present=pl.col("present").sum(),
            over=pl.col("over").sum(),
            expected=pl.col("expected").filter(applies).sum(),
            parts=pl.len(),
            low=pl.col("low").filter(counted).min(),
            high=pl.col("high").filter(counted).max(),
        )
    )
    rows = due.join(summed, on=_WINDOW, how="left")
    rows = rows.with_columns(pl.col("sum", "n", "present", "over", "expected", "parts").fill_null(0))
    undecided = (pl.col("window_s") + part_s // 2) // part_s - pl.col("parts").cast(pl.Int64)
    unknown_min = pl.max_horizontal(undecided, 0) * (part_s // 60)
    rows = rows.with_columns(expected=pl.col("expected").cast(pl.Int64) + unknown_min)
    enough = pl.col("n").cast(pl.Int64) * pl.col("of") >= pl.col("need") * pl.col("expected").cast(pl.Int64)
    reason = (
        pl.when((pl.col("expected") == 0) & (pl.col("present") > 0))
        .then(pl.lit(str(NoJudgement.NOT_APPLICABLE)))
        .when(pl.col("n") == 0)
        .then(pl.lit(str(NoJudgement.SIGNAL_MISSING)))
        .when(~enough)
        .then(pl.lit(str(NoJudgement.TOO_FEW_VALID)))
    )
    return rows.select(
        "window_at",
        "window_s",
        "tick",
        "on_time",
        pl.col("sum").cast(pl.Int128),
        pl.col("n", "present", "over", "expected").cast(pl.UInt32),
        "low",
        "high",
        point="out",
        reason=reason,
    )
