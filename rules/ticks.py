"""The site's clock over a feed: which tick may first use a row.

Time advances only by `$clock/<collector>` rows; the site's clock is the minimum over its collectors. A row that comes
in while the clock stands at T is known to every decision after T, that is from T + one tick on. A feed without any
clock row has one implied at every tick: then a row is known at the first tick not before its receipt.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

from contracts.frames import INSTANT, instant

TICK = timedelta(seconds=1)
TICK_US = 1_000_000
CLOCK_PREFIX = "$clock/"
EPOCH_US_DIGITS = 16  # of a clock row's payload: instants up to the year 2286


@dataclass(frozen=True)
class SiteClock:
    """Where each collector's clock stands. Collectors not heard of yet hold the site's clock back."""

    collectors: tuple[str, ...]  # empty: the feed has no clock rows, one is implied at every tick
    at: dict[str, datetime] = field(default_factory=dict)
    implied_at: datetime | None = None
    first_at: datetime | None = None  # the first tick of all

    @property
    def now(self) -> datetime | None:
        """The last tick that may be decided; None before every collector has spoken."""
        if not self.collectors:
            return self.implied_at
        return min(self.at.values()) if len(self.at) == len(self.collectors) else None


def ceil_tick(at: pl.Expr) -> pl.Expr:
    floor = at.dt.truncate("1s")
    return pl.when(floor == at).then(at).otherwise(floor + pl.duration(seconds=1))


def collectors_of(messages: pl.DataFrame) -> tuple[str, ...]:
    """The collectors whose clock rows a feed holds."""
    topics = messages.lazy().select(pl.col("topic").filter(pl.col("topic").str.starts_with(CLOCK_PREFIX)).unique())
    return tuple(sorted(topic.removeprefix(CLOCK_PREFIX) for topic in topics.collect()["topic"]))


def stamp(messages: pl.DataFrame, clock: SiteClock) -> tuple[pl.DataFrame, SiteClock]:
    """Adds `known_at` to feed rows in feed order, and says where the clock stands after them.

    A clock that steps back is held where it was. Rows before the first tick of all are known at that tick.
    """
    if not clock.collectors:
        stamped = messages.with_columns(known_at=ceil_tick(pl.col("received_at")))
        if messages.is_empty():
            return stamped, clock
        # rows of the same instant may still follow, so the last row's own tick is not complete yet
        first_at = clock.first_at or stamped["known_at"][0]
        return stamped, SiteClock((), implied_at=stamped["known_at"][-1] - TICK, first_at=first_at)
    ticks = []
    for collector in clock.collectors:
        shown = _shown(messages, CLOCK_PREFIX + collector).cum_max().forward_fill()
        stands = instant(clock.at.get(collector))
        ticks.append(pl.max_horizontal(stands, pl.lit(shown)).alias(f"clock:{collector}"))
    columns = [f"clock:{collector}" for collector in clock.collectors]
    with_ticks = messages.with_columns(ticks)
    complete = pl.all_horizontal(pl.col(column).is_not_null() for column in columns)
    with_site = with_ticks.with_columns(site_at=pl.when(complete).then(pl.min_horizontal(columns)))
    before = pl.col("site_at").shift(1, fill_value=instant(clock.now))
    first_at = clock.first_at or with_site["site_at"].drop_nulls().first()
    known = pl.when(before.is_null()).then(instant(first_at)).otherwise(before + TICK)
    stamped = with_site.with_columns(known_at=known.cast(INSTANT)).drop(*columns, "site_at")
    last = with_ticks.select(columns).tail(1)
    at = dict(clock.at)
    for collector, column in zip(clock.collectors, columns, strict=True):
        stands_at = last[column].first() if last.height else None
        if stands_at is not None:
            at[collector] = stands_at
    return stamped, SiteClock(clock.collectors, at, first_at=first_at)


def _shown(messages: pl.DataFrame, topic: str) -> pl.Series:
    """What each row of the topic says the time is, in whole seconds; null for other rows and for no number."""
    rows = (messages["topic"] == topic).arg_true()
    texts = messages["payload"][rows].to_list()
    us = [int(text) if text.isdigit() and len(text) <= EPOCH_US_DIGITS else None for text in texts]
    shown = pl.Series([None], dtype=pl.Int64).new_from_index(0, messages.height)
    shown = shown.scatter(rows, pl.Series([one and one - one % TICK_US for one in us], dtype=pl.Int64))
    return shown.cast(INSTANT)


def clock_payload(at: datetime) -> bytes:
    """A clock row's payload: whole microseconds since the epoch, UTC."""
    return str(round(at.astimezone(UTC).timestamp()) * 1_000_000).encode()
