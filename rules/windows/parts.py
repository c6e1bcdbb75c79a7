"""What a window is made of, which windows are due without data, and why one may not be judged.

Sums and counts of parts, on integers; nothing here knows ticks that are over or revisions: that is windows.py.
"""

from datetime import datetime, timedelta

import polars as pl

from contracts.civil_time import PERIODS as CIVIL_STEP
from contracts.civil_time import last_boundary
from contracts.frames import INSTANT, instant
from contracts.reasons import NoJudgement

from ..exact import half_even
from ..plan import Plan
from .due import end_of

LONGEST = {
    "instant": timedelta(0),
    "minute": timedelta(minutes=1),
    "five_minute": timedelta(minutes=5),
    "hour": timedelta(hours=1),
    "day": timedelta(hours=26),
    "month": timedelta(days=32),
    "year": timedelta(days=367),
}
# what a part says that is over range, and what a part says that does not count towards what is expected
OVER_RANGE = str(NoJudgement.OVER_RANGE)
NOT_APPLICABLE = [str(NoJudgement.NOT_APPLICABLE), str(NoJudgement.NO_DISCHARGE)]


def parts(pools: pl.Expr, pooled_parts: pl.Expr) -> list[pl.Expr]:
    """What a row gives its window: a reading its value, a judged window its mean, or all its parts where that pools.

    pooled_parts: how many parts a pooled window has room for; what it did not expect is not expected of the longer one.
    """
    is_reading = pl.col("revision").is_null()
    judged = pl.col("reason").is_null() & (pl.col("n") > 0)
    over = pl.when(is_reading).then("over").otherwise((pl.col("reason") == OVER_RANGE).fill_null(False).cast(pl.UInt32))
    skipped = pl.col("reason").is_in(NOT_APPLICABLE).fill_null(False).cast(pl.Int64)
    unexpected = pl.max_horizontal(pooled_parts - pl.col("expected").cast(pl.Int64), 0)
    skipped = pl.when(~is_reading & pools).then(unexpected).otherwise(skipped).cast(pl.UInt32)
    n = pl.col("n").cast(pl.Int128)
    mean = half_even(pl.col("sum"), pl.when(n > 0).then(n).otherwise(1))
    return [
        pl.when(is_reading | pools).then("sum").when(judged).then(mean).otherwise(0).cast(pl.Int128).alias("s"),
        pl.when(is_reading | pools).then("n").otherwise(judged.cast(pl.UInt32)).alias("k"),
        pl.when(is_reading | pools).then("present").otherwise((pl.col("present") > 0).cast(pl.UInt32)).alias("p"),
        over.alias("o"),
        skipped.alias("x"),
    ]


SUMMED = (
    pl.col("s").sum().alias("sum"),
    pl.col("k").sum().cast(pl.UInt32).alias("n"),
    pl.col("p").sum().cast(pl.UInt32).alias("present"),
    pl.col("o").sum().cast(pl.UInt32).alias("over"),
    pl.col("x").sum().cast(pl.UInt32).alias("skipped"),
    pl.col("low").filter(pl.col("k") > 0).min().alias("low"),
    pl.col("high").filter(pl.col("k") > 0).max().alias("high"),
)


ALONE = (
    pl.col("s").alias("sum"),
    pl.col("k").alias("n"),
    pl.col("p").alias("present"),
    pl.col("o").alias("over"),
    pl.col("x").alias("skipped"),
    pl.when(pl.col("k") > 0).then("low").alias("low"),
    pl.when(pl.col("k") > 0).then("high").alias("high"),
)


def grid(
    plan: Plan,
    start_at: datetime,
    period: str,
    from_tick: datetime,
    to: datetime,
    grid_to: datetime | None,
) -> pl.DataFrame:
    """(point, window_at, tick) of every window due in the span that is decided with or without data."""
    schema = {"point": pl.UInt32, "window_at": INSTANT, "tick": INSTANT}
    points = plan.grid_of[period]
    if points.is_empty():
        return pl.DataFrame(schema=schema)
    lowest = max(start_at, from_tick - plan.hold_longest(period) - LONGEST[period])
    first = last_boundary(lowest - LONGEST[period], period, plan.zone)
    starts = pl.select(
        window_at=pl.datetime_range(
            instant(first).dt.convert_time_zone(plan.zone),
            instant(to if grid_to is None else min(to, grid_to)).dt.convert_time_zone(plan.zone),
            CIVIL_STEP[period],
        )
        .dt.convert_time_zone("UTC")
        .dt.cast_time_unit("us")
    )
    starts = starts.with_columns(tick=plan.decided_at(period)).filter(
        (pl.col("tick") > instant(from_tick))
        & (pl.col("tick") <= instant(to))
        & (pl.col("window_at") >= instant(start_at))
    )
    if grid_to is not None:
        starts = starts.filter(pl.col("window_at") < grid_to)
    if starts.is_empty():
        return pl.DataFrame(schema=schema)
    day = pl.col("window_at").dt.convert_time_zone(plan.zone).dt.date()
    due = starts.join(points, how="cross")
    if points["from_at"].null_count() < points.height:  # some began when the site was changed
        due = due.filter(pl.col("from_at").is_null() | (pl.col("window_at") >= pl.col("from_at")))
    return due.filter(
        (pl.col("valid_from").is_null() | (pl.col("valid_from") <= day))
        & (pl.col("valid_to").is_null() | (day <= pl.col("valid_to")))
    ).select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def with_reason(made: pl.DataFrame, levels: pl.DataFrame, period: str, plan: Plan) -> pl.DataFrame:
    seconds = (end_of(period, plan.zone) - pl.col("window_at")).dt.total_seconds()
    applies = pl.max_horizontal(seconds // pl.col("part_s") - pl.col("skipped").cast(pl.Int64), 0)

    def enough(n: pl.Expr) -> pl.Expr:
        return n.cast(pl.Int64) * pl.col("of") >= pl.col("need") * pl.col("expected").cast(pl.Int64)

    return (
        made.join(levels.drop("grid", "below", "pools"), on="point", how="left")
        .with_columns(pl.col("sum").fill_null(0), pl.col("n", "present", "over", "skipped").fill_null(0))
        .with_columns(
            window_s=seconds,
            expected=pl.when(pl.col("skipped") > 0).then(applies).otherwise(pl.max_horizontal(applies, 1)),
        )
        .with_columns(pl.col("expected").cast(pl.UInt32))
        .with_columns(
            reason=pl.when((pl.col("skipped") > 0) & (pl.col("present") <= pl.col("skipped")) & (pl.col("n") == 0))
            .then(pl.lit(str(NoJudgement.NOT_APPLICABLE)))
            .when(pl.col("present") == 0)
            .then(pl.lit(str(NoJudgement.NO_DATA)))
            .when(
                (pl.col("over") > 0) & ~((pl.col("n") > 0) & enough(pl.col("n"))) & enough(pl.col("n") + pl.col("over"))
            )
            .then(pl.lit(str(NoJudgement.OVER_RANGE)))
            .when(pl.col("n") == 0)
            .then(pl.lit(str(NoJudgement.ALL_MARKED)))
            .when(~enough(pl.col("n")))
            .then(pl.lit(str(NoJudgement.TOO_FEW_VALID)))
        )
    )
