"""From where the wind blew in an hour: the mean of unit vectors, since degrees have no mean across north.

Promises: sums of whole millionths, so the rows' order does not matter; an hour with calm, unsteady or missing wind has
no direction. The thresholds are project defaults.
"""

from math import pi

import polars as pl

from contracts.reasons import NoJudgement

from ..windows.counted import known_parts
from ..windows.store import WindowStore

WIND_FROM = "wind_from"
CALM_BELOW_M_S = 0.5  # slower wind says nothing of its direction
STEADY_FROM = 0.7  # length of the mean vector; below it the wind came from all sides
_MICRO = 1_000_000
_WINDOW = ("out", "window_at", "tick")


def wind_from(
    store: WindowStore, period: str, due: pl.DataFrame, inputs: pl.DataFrame, effects: pl.DataFrame
) -> pl.DataFrame:
    """DECISIONS but for period and revision, of due windows of derived points of kind "wind_from".

    due: with the derived point's columns; inputs: a: direction the wind blows from in degrees, b: speed in m/s, of one
    station; need, of: completeness, of the values of the window that are valid, of both, and not calm.
    """
    wanted = due.select(*_WINDOW, "scale_a", "scale_b").join(inputs.select("out", "role", "point"), on="out")
    rows = known_parts(store, period, wanted, effects)
    value = pl.col("sum").cast(pl.Float64) / pl.col("n").cast(pl.Float64)
    parts = rows.with_columns(value=pl.when((pl.col("n") > 0) & pl.col("reason").is_null()).then(value))
    of = [
        parts.filter(pl.col("role") == role).select(
            *_WINDOW, "at", (pl.col("value") / pl.col(f"scale_{role}")).alias(name)
        )
        for role, name in (("a", "degrees"), ("b", "m_s"))
    ]
    counts = pl.col("degrees").is_not_null() & (pl.col("m_s") >= CALM_BELOW_M_S).fill_null(False)
    radians = pl.col("degrees") * (pi / 180.0)
    summed = (
        of[0]
        .join(of[1], on=[*_WINDOW, "at"], how="left")
        .group_by(_WINDOW)
        .agg(
            north=(radians.cos() * _MICRO).round().cast(pl.Int64).filter(counts).sum(),
            east=(radians.sin() * _MICRO).round().cast(pl.Int64).filter(counts).sum(),
            n=counts.sum().cast(pl.UInt32),
            present=pl.len().cast(pl.UInt32),
        )
    )
    rows = due.join(summed, on=_WINDOW, how="left")
    rows = rows.with_columns(pl.col("north", "east", "n", "present").fill_null(0))
    north, east = pl.col("north").cast(pl.Float64), pl.col("east").cast(pl.Float64)
    is_steady = (north * north + east * east).sqrt() >= pl.col("n").cast(pl.Float64) * (STEADY_FROM * _MICRO)
    expected = pl.max_horizontal(pl.col("window_s") // pl.col("part_s"), 1)
    enough = pl.col("n").cast(pl.Int64) * pl.col("of") >= pl.col("need") * expected
    is_known = (pl.col("n") > 0) & enough & is_steady
    turned = pl.arctan2(east, north) * (180.0 / pi)
    degrees = pl.when(turned < 0.0).then(turned + 360.0).otherwise(turned)
    scaled = pl.when(is_known).then((degrees * pl.col("scale")).round(mode="half_to_even").cast(pl.Int64))
    rows = rows.with_columns(low=scaled, high=scaled, n=pl.when(is_known).then("n").otherwise(0))
    return rows.select(
        "window_at",
        "window_s",
        "tick",
        "on_time",
        pl.col("n", "present").cast(pl.UInt32),
        "low",
        "high",
        point="out",
        sum=pl.col("low").fill_null(0).cast(pl.Int128) * pl.col("n").cast(pl.Int128),
        over=pl.lit(0, pl.UInt32),
        expected=expected.cast(pl.UInt32),
        reason=pl.when(~is_known).then(pl.lit(str(NoJudgement.WIND_UNKNOWN))),
    )
