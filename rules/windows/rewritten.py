"""A reading that replaced another one of the same point and event time, as an event that people can find.

Promises: one event a replacement, with both values, citing the message that replaced. The one that was replaced stands
in the archive of readings as it came.
"""

import polars as pl

from contracts.frames import EVENTS, empty

from ..plan import Plan

EVENT = "rewritten"


def rewritten_events(plan: Plan, rewritten: pl.DataFrame) -> pl.DataFrame:
    """EVENTS of windows.REWRITTEN. Values are in the unit of the factor, as they feed the windows."""
    if rewritten.is_empty():
        return empty(EVENTS)
    about = plan.points.select("station", "factor", "kind", "period_s", "unit")
    named = rewritten.hstack(about.select(pl.all().gather(rewritten["point"])))
    scale = plan.scale[rewritten["point"]]
    detail = pl.struct(
        "factor",
        "kind",
        "period_s",
        "unit",
        pl.col("value") / scale,
        "valid",
        pl.col("value_before") / scale,
        "valid_before",
    ).struct.json_encode()
    return (
        named.with_columns(detail=detail)
        .select(
            "received_at",
            "station",
            "detail",
            "message",
            source=pl.lit(None, pl.String),  # its message says who took it in
            topic=pl.lit(None, pl.String),
            event=pl.lit(EVENT),
            event_at="at",
        )
        .match_to_schema(EVENTS)
        .sort("received_at", "station", "event_at", "message", "detail")
    )
