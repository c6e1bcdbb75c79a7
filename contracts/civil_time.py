"""Civil time of a site: the only place that knows a time zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

# Polars duration of each window; a quarter is one of accounts alone
PERIODS = {
    "minute": "1m",
    "five_minute": "5m",
    "hour": "1h",
    "day": "1d",
    "month": "1mo",
    "quarter": "1q",
    "year": "1y",
}

FIXED = {"minute": timedelta(minutes=1), "five_minute": timedelta(minutes=5), "hour": timedelta(hours=1)}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


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


def last_boundary(at: datetime, period: str, zone_name: str) -> datetime:
    """Start of the civil window that holds the instant; UTC. What `window_start` says, without a query."""
    there = local(at, zone_name)
    if period in FIXED:
        minutes = {"minute": 0, "five_minute": there.minute % 5, "hour": there.minute}[period]
        into = timedelta(minutes=minutes, seconds=there.second, microseconds=there.microsecond)
        return at.astimezone(UTC) - into
    return _midnight(there, period).astimezone(UTC)


def next_boundary(at: datetime, period: str, zone_name: str) -> datetime:
    """The first start of a civil window after the instant; UTC."""
    if period in FIXED:
        return last_boundary(at, period, zone_name) + FIXED[period]
    start = _midnight(local(at, zone_name), period)
    if period == "day":
        return (start + timedelta(days=1)).astimezone(UTC)
    months = start.month - 1 + _MONTHS[period]
    return start.replace(year=start.year + months // 12, month=months % 12 + 1).astimezone(UTC)


def _midnight(there: datetime, period: str) -> datetime:
    """With which the local day, or the period of months, begins."""
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "day":
        return midnight
    return midnight.replace(month=there.month - (there.month - 1) % _MONTHS[period], day=1)
