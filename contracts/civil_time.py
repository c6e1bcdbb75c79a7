"""Civil time of a site: the only place that knows a time zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

# Polars duration of each window
PERIODS = {"minute": "1m", "five_minute": "5m", "hour": "1h", "day": "1d", "month": "1mo", "year": "1y"}


def zone(name: str) -> ZoneInfo:
    """Raises ZoneInfoNotFoundError (a KeyError) for a name the tz database does not have."""
    return ZoneInfo(name)


def local(at: datetime, zone_name: str) -> datetime:
    return at.astimezone(zone(zone_name))


def with_offset(text: str) -> str:
    """The text, if it is an instant. Raises ValueError, in the user's words."""
    try:
        offset = datetime.fromisoformat(text).utcoffset()
    except ValueError:
        offset = None
    if offset is None:
        raise ValueError(f"{text!r} is not an instant with offset; write for example 2026-03-01T08:00:00+08:00")
    return text


def window_start(at: pl.Expr, period: str, zone_name: str) -> pl.Expr:
    """Start of the civil window that holds the instant; UTC in, UTC out."""
    return (
        at.dt.convert_time_zone(zone_name)
        .dt.truncate(PERIODS[period])
        .dt.convert_time_zone("UTC")
        .dt.cast_time_unit("us")
    )


def window_end(start: pl.Expr, period: str, zone_name: str) -> pl.Expr:
    """First instant after the civil window that starts at `start`; UTC in, UTC out."""
    return (
        start.dt.convert_time_zone(zone_name)
        .dt.offset_by(PERIODS[period])
        .dt.convert_time_zone("UTC")
        .dt.cast_time_unit("us")
    )


def next_boundary(at: datetime, period: str, zone_name: str) -> datetime:
    """The first start of a civil window after the instant; UTC."""
    there = local(at, zone_name)
    if period in ("minute", "five_minute"):
        minutes = 1 if period == "minute" else 5 - there.minute % 5
        return (there.replace(second=0, microsecond=0) + timedelta(minutes=minutes)).astimezone(UTC)
    if period == "hour":
        into = timedelta(minutes=there.minute, seconds=there.second, microseconds=there.microsecond)
        return at.astimezone(UTC) - into + timedelta(hours=1)
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "day":
        return (midnight + timedelta(days=1)).astimezone(UTC)
    if period == "month":
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1).astimezone(UTC)
    return midnight.replace(year=there.year + 1, month=1, day=1).astimezone(UTC)
