"""Civil hours and duty: whether an instant lies in somebody's hours, until when, and who is on duty. Pure.

Days off and workdays are China's, with make-up workdays, as far as the calendar knows them (2004 to 2026); beyond it
Monday to Friday are workdays. `beyond_calendar` says so, and `greenisland rules check` tells people.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

import chinese_calendar

from contracts.civil_time import zone
from contracts.routing import DAY_MINUTES, WEEKDAYS, Hourly, Roster, parse_hours

CALENDAR_FROM, CALENDAR_TO = min(chinese_calendar.holidays), max(chinese_calendar.holidays)


def beyond_calendar(day: date) -> bool:
    return not CALENDAR_FROM.year <= day.year <= CALENDAR_TO.year


@lru_cache(maxsize=4096)
def is_workday(day: date) -> bool:
    """By China's calendar; beyond it by the day of the week."""
    return day.weekday() < 5 if beyond_calendar(day) else chinese_calendar.is_workday(day)


def span_at(hourly: Hourly, at: datetime, zone_name: str) -> tuple[datetime, datetime] | None:
    """The span of hours the instant lies in, [from, to) in UTC; None where it lies in none."""
    from_minute, to_minute = parse_hours(hourly.hours)
    today = at.astimezone(zone(zone_name)).date()
    for day in (today, today - timedelta(days=1)):  # what began yesterday may go past midnight
        if not _holds(hourly, day):
            continue
        ends_on = day if to_minute > from_minute else day + timedelta(days=1)
        from_at, to_at = instant(day, from_minute, zone_name), instant(ends_on, to_minute, zone_name)
        if from_at <= at < to_at:
            return from_at, to_at
    return None


def next_within(hourly: Hourly, at: datetime, zone_name: str) -> datetime:
    """The first instant not before `at` that lies in the hours; `at` itself where they never come again in a year."""
    if span_at(hourly, at, zone_name) is not None:
        return at
    today, (from_minute, _) = at.astimezone(zone(zone_name)).date(), parse_hours(hourly.hours)
    for day in (today + timedelta(days=n) for n in range(366)):
        if _holds(hourly, day) and (begins_at := instant(day, from_minute, zone_name)) >= at:
            return begins_at
    return at


def on_duty(roster: Roster, at: datetime, zone_name: str) -> tuple[str, ...]:
    """Of the turns in order the first that covers the instant; where none does, `otherwise`."""
    turns = (turn.who for turn in roster.turns if span_at(turn, at, zone_name) is not None)
    return next(turns, roster.otherwise)


def next_time(at: datetime, minute: int, zone_name: str) -> datetime:
    """The first instant not before `at` at which it is so late in the civil day, UTC."""
    day = at.astimezone(zone(zone_name)).date()
    found = instant(day, minute, zone_name)
    return found if found >= at else instant(day + timedelta(days=1), minute, zone_name)


def instant(day: date, minute: int, zone_name: str) -> datetime:
    """UTC of a minute of a civil day; 1440 is the next day's beginning."""
    over, of_day = divmod(minute, DAY_MINUTES)
    there = datetime.combine(day + timedelta(days=over), time(of_day // 60, of_day % 60), zone(zone_name))
    return there.astimezone(UTC)


def _holds(hourly: Hourly, day: date) -> bool:
    if hourly.dates:
        return day in hourly.dates
    if hourly.days == "all":
        return True
    if isinstance(hourly.days, tuple):
        return WEEKDAYS[day.weekday()] in hourly.days
    return is_workday(day) == (hourly.days == "workdays")
