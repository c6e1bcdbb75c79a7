"""When windows are due, and where their decisions are kept: what windows and derived points have in common."""

from datetime import datetime, timedelta

import polars as pl

from contracts.civil_time import last_boundary, window_end, window_start

from ..ticks import ceil_tick
from .store import KEYED_BY_PART

PERIODS = ("instant", "minute", "five_minute", "hour", "day", "month", "year")  # ascending: parts come from one before
PARENTS = {"minute": ("five_minute", "hour"), "five_minute": ("day",), "hour": ("day",), "day": ("month", "year")}
OWN_S = {"instant": 1, "minute": 60, "five_minute": 300, "hour": 3600, "day": 86400}  # longer ones differ
_MICROSECOND = timedelta(microseconds=1)


def end_of(period: str, zone: str) -> pl.Expr:
    """First instant after `window_at`'s window; an instant ends when it begins."""
    start = pl.col("window_at")
    return start if period == "instant" else window_end(start, period, zone)


def decided_at(period: str, hold: dict[str, timedelta], zone: str) -> pl.Expr:
    """The first tick not before the window's end + hold."""
    return ceil_tick(end_of(period, zone) + pl.duration(microseconds=hold[period] // _MICROSECOND))


def first_undecided(period: str, tick: datetime, hold: timedelta, zone: str) -> datetime:
    """Windows that start before it have been due at the tick, others not."""
    at = tick - hold
    if period == "instant":
        return at + _MICROSECOND
    return last_boundary(at, period, zone)


def homes(period: str) -> list[str]:
    """Where decisions of a period are kept: with the windows they are parts of, or on their own."""
    return [f"{period}!", *PARENTS.get(period, ())]


def borders_of(period: str) -> str:
    """Where on the shelf the borders lie from which alerts of the period's windows are folded."""
    return f"alerts-{period}"


def home_at(at: pl.Series, home: str, zone: str) -> pl.Series:
    """Where in `home` decisions of windows that start at `at` lie, see WindowStore.of_keys."""
    if home.endswith("!") or home in KEYED_BY_PART:
        return at
    return at.to_frame("at").select(window_start(pl.col("at"), home, zone)).to_series()
