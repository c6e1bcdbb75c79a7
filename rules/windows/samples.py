"""From readings to samples: which value counts, and the samples the pipeline makes itself.

A reading whose mark or range says no is a sample that is present and not valid: it never counts as normal.
"""

import polars as pl

from contracts.factors import CLOCK_LAG, REJECT_COUNT, STATION_PRESENCE
from contracts.frames import INSTANT

from ..plan import Plan

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
    fed = readings.filter(pl.col("point").is_not_null()) if readings["point"].null_count() else readings
    if plan.number_of is not None:  # the registry numbers what it has now, the plan what it ever had
        fed = fed.with_columns(plan.number_of.gather(fed["point"]).alias("point"))
    # a point's number is its row in the plan's table
    scale = plan.scale[fed["point"]]
    low, high = (plan.points[name][fed["point"]] for name in ("range_min", "range_max"))
    # no mark at all counts as valid (Notice 2022-21: unmarked data are valid); an unknown mark does not
    valid, over = pl.lit(True), pl.lit(False)
    if fed["mark"].null_count() < fed.height:
        fed = fed.join(plan.marks, on="mark", how="left", maintain_order="left")
        valid = pl.col("mark").is_null() | pl.col("mark_valid").fill_null(False)
        over = pl.col("mark_over").fill_null(False)
    if low.null_count() < low.len():
        valid &= ~(pl.col("value") < low).fill_null(False)
    if high.null_count() < high.len():
        too_high = (pl.col("value") > high).fill_null(False)
        # what was marked for another reason (span gas of a calibration) says nothing of the plant
        valid, over = valid & ~too_high, over | (too_high & valid)
    measured = fed.select(
        "point",
        at="event_at",
        tick="known_at",
        value=(pl.col("value") * scale).round(mode="half_to_even").cast(pl.Int64),
        valid=valid,
        over=over,
        device_revision="device_revision",
        received_at="received_at",
        message="message",
    )
    own = [_presence(readings, plan), _reject_counts(rejects, plan), _clock_lags(readings, plan)]
    return pl.concat([measured, *own]).match_to_schema(SAMPLES)


def _presence(readings: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    said = readings.select("station", "known_at", at=pl.col("event_at").dt.truncate("1m"))
    # the readings of a message stand together and say it once
    again = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in said.columns)
    spoke = said.filter(~again.fill_null(False)).group_by("station", "at").agg(tick=pl.col("known_at").min())
    return _own(spoke, STATION_PRESENCE, plan)


def _reject_counts(rejects: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    if rejects.is_empty():
        return pl.DataFrame(schema=SAMPLES)
    counted = (
        rejects.filter(pl.col("station").is_not_null())
        .group_by("station", at="received_at")
        .agg(tick=pl.col("known_at").min())
    )
    return _own(counted, REJECT_COUNT, plan)


def _clock_lags(readings: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """By receive time: whoever's clock is wrong cannot say when it was. Only where a rule asks for it."""
    own = plan.own_points[CLOCK_LAG]
    if readings.is_empty() or not own["point"].is_in(plan.levels["point"].implode()).any():
        return pl.DataFrame(schema=SAMPLES)
    ended_at = pl.col("event_at") + pl.duration(seconds=pl.col("period_s").fill_null(0))
    lag_s = (pl.col("received_at") - ended_at).dt.total_milliseconds().min() // 1000
    said = readings.group_by("station", at="received_at").agg(tick=pl.col("known_at").min(), value=lag_s)
    return _own(said, CLOCK_LAG, plan, pl.col("value").cast(pl.Int64))


def _own(rows: pl.DataFrame, factor: str, plan: Plan, value: pl.Expr | None = None) -> pl.DataFrame:
    return rows.join(plan.own_points[factor], on="station").select(
        "point",
        "at",
        "tick",
        value=pl.lit(1, pl.Int64) if value is None else value,
        valid=pl.lit(True),
        over=pl.lit(False),
        device_revision=pl.lit(0, pl.Int32),
        received_at=pl.col("tick"),
        message=pl.lit(b"", pl.Binary),
    )
