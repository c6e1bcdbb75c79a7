"""Until when data may be marked, and with it until when a verdict is provisional (初判) and when final (终判).

Promises: the scalar and the expression agree, for every zone; a later instant never has an earlier deadline.
"""

from datetime import UTC, datetime, timedelta

import polars as pl

from contracts.civil_time import local, next_boundary, window_end, window_start, zone

from .tables import Deadline

MICROSECOND = timedelta(microseconds=1)


def deadline_at(event_at: datetime, deadline: Deadline, zone_name: str) -> datetime:
    """The last tick at which a mark of this instant's data becomes known in time."""
    if deadline.per == "hour":
        return next_boundary(event_at, "hour", zone_name) + deadline.after
    next_day = local(event_at, zone_name).date() + timedelta(days=1)
    return datetime.combine(next_day, deadline.at, zone(zone_name)).astimezone(UTC)


def in_time_from(known_at: datetime, deadline: Deadline, zone_name: str) -> datetime:
    """The first instant whose data a mark known at that tick is in time for; for all later ones it is, too."""
    if deadline.per == "hour":
        return next_boundary(known_at - deadline.after - MICROSECOND, "hour", zone_name) - timedelta(hours=1)
    there = local(known_at, zone_name)
    midnight = datetime.combine(there.date(), datetime.min.time(), zone(zone_name))
    yesterday = midnight - timedelta(days=1)
    if known_at <= deadline_at(yesterday.astimezone(UTC), deadline, zone_name):
        return yesterday.astimezone(UTC)
    return midnight.astimezone(UTC)


def deadline_of(window_at: pl.Expr, period: str, zone_name: str) -> pl.Expr:
    """The deadline of a window's last instant, from the columns of `tables.deadline_table`.

    A verdict decided at a tick up to and with it is provisional: a mark may still change it without anybody's approval.
    period: instant, or one of contracts.civil_time.PERIODS.
    """
    last = window_at if period == "instant" else window_end(window_at, period, zone_name) - pl.duration(microseconds=1)
    after_s = pl.duration(seconds=pl.col("deadline_s"))
    by_hour = window_end(window_start(last, "hour", zone_name), "hour", zone_name) + after_s
    day = last.dt.convert_time_zone(zone_name).dt.replace_time_zone(None).dt.truncate("1d")
    civil = day + pl.duration(days=1) + after_s  # civil arithmetic: noon is noon, also after the clocks were changed
    by_day = civil.dt.replace_time_zone(zone_name, ambiguous="earliest").dt.convert_time_zone("UTC")
    return pl.when(pl.col("deadline_per") == "hour").then(by_hour).otherwise(by_day).dt.cast_time_unit("us")


def provisional(decided_at: pl.Expr, deadline: pl.Expr) -> pl.Expr:
    """Whether a verdict of that tick is provisional (初判); final (终判) otherwise."""
    return decided_at <= deadline
