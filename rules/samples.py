"""From readings to samples: which value counts, and the samples the pipeline makes itself.

A reading whose mark or range says no is a sample that is present and not valid: it never counts as normal.
"""

import polars as pl

from contracts.factors import REJECT_COUNT, STATION_PRESENCE
from contracts.frames import INSTANT

from .plan import Plan

SAMPLES = pl.Schema(
    {
        "point": pl.UInt32,
        "at": INSTANT,
        "tick": INSTANT,  # first tick that may use it
        "value": pl.Int64,  # in 10^-decimals of the point's unit
        "valid": pl.Boolean,
        "over": pl.Boolean,  # not valid for being over the instrument's range: it may be anything but low
        "device_revision": pl.Int32,
        "received_at": INSTANT,
        "message": pl.Binary,
    }
)


def samples_of(readings: pl.DataFrame, rejects: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """SAMPLES of readings that feed a window; one a minute a station speaks in; one a rejected message."""
    about = plan.points.select("point", "decimals", "range_min", "range_max")
    scale = pl.lit(10.0).pow(pl.col("decimals").cast(pl.Float64))
    too_low = pl.col("value") < pl.col("range_min")
    too_high = pl.col("value") > pl.col("range_max")
    measured = (
        readings.filter(pl.col("point").is_not_null())
        .join(about, on="point", how="left")
        .join(plan.marks, on="mark", how="left")
        .select(
            "point",
            at="event_at",
            tick="known_at",
            value=(pl.col("value") * scale).round(mode="half_to_even").cast(pl.Int64),
            # no mark at all counts as valid (Notice 2022-21: unmarked data are valid); an unknown mark does not
            valid=(pl.col("mark").is_null() | pl.col("mark_valid").fill_null(False))
            & ~too_low.fill_null(False)
            & ~too_high.fill_null(False),
            over=too_high.fill_null(False) | pl.col("mark_over").fill_null(False),
            device_revision="device_revision",
            received_at="received_at",
            message="message",
        )
    )
    return pl.concat([measured, _presence(readings, plan), _reject_counts(rejects, plan)]).match_to_schema(SAMPLES)


def _presence(readings: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    spoke = (
        readings.select("station", "known_at", at=pl.col("event_at").dt.truncate("1m"))
        .group_by("station", "at")
        .agg(tick=pl.col("known_at").min())
    )
    return _own(spoke, STATION_PRESENCE, plan)


def _reject_counts(rejects: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    counted = (
        rejects.filter(pl.col("station").is_not_null())
        .group_by("station", at="received_at")
        .agg(tick=pl.col("known_at").min())
    )
    return _own(counted, REJECT_COUNT, plan)


def _own(rows: pl.DataFrame, factor: str, plan: Plan) -> pl.DataFrame:
    numbers = plan.points.filter(pl.col("factor") == factor).select("station", "point")
    return rows.join(numbers, on="station").select(
        "point",
        "at",
        "tick",
        value=pl.lit(1, pl.Int64),
        valid=pl.lit(True),
        over=pl.lit(False),
        device_revision=pl.lit(0, pl.Int32),
        received_at=pl.col("tick"),
        message=pl.lit(b"", pl.Binary),
    )
