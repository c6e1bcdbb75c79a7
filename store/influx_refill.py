"""From the archive what InfluxDB was never given: of every window and reading of some spans the latest there is.

Promises: in order of civil date, table and station, piece by piece, each piece no more than a station's day where that
is more than ROWS_AT_ONCE; the same pieces' rows from any place on, whatever was archived or merged meanwhile.
Does not promise anything where spans were written that the archive does not have yet: the caller keeps behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from .archive import AGGREGATE_KEY, VERDICT_KEY, archived_dates, read_archive
from .influx import FRAMES

ROWS_AT_ONCE = 500_000
READING_KEY = ("station", "factor", "kind", "period_s", "event_at")
POINT = {"readings": READING_KEY, "aggregates": AGGREGATE_KEY, "verdicts": VERDICT_KEY}  # what names a point

_NEWER = {  # what makes one row of a point newer than another
    "readings": ("device_revision", "received_at", "message"),
    "aggregates": ("revision",),
    "verdicts": ("revision",),
}


@dataclass(frozen=True)
class Missing:
    """Spans by number, and what is theirs: rows received, or decided, after the first and up to the second instant."""

    first_span: int
    last_span: int
    received_us: tuple[int | None, int]
    decided_us: tuple[int | None, int | None]

    def holds(self, table: str) -> pl.Expr:
        column, (after, to) = (
            ("received_at", self.received_us) if table == "readings" else ("decided_at", self.decided_us)
        )
        at = pl.col(column)
        is_after = pl.lit(True) if after is None else at > pl.lit(after).cast(pl.Datetime("us", "UTC"))
        # without a clock nothing was decided
        return pl.lit(False) if to is None else is_after & (at <= pl.lit(to).cast(pl.Datetime("us", "UTC")))


@dataclass(frozen=True, order=True)
class Place:
    """Up to where it is done."""

    day: date
    table_n: int
    station: str

    @property
    def table(self) -> str:
        return FRAMES[self.table_n]


def missing_rows(directory: Path, missing: Missing, after: Place | None) -> Iterator[tuple[Place, pl.DataFrame]]:
    """(place, rows of its table) for everything beyond a place; None: from the beginning."""
    tables = {(day, n) for n, name in enumerate(FRAMES) for day in _dates(directory, name, missing)}
    for day, n in sorted(tables):
        if after is not None and (day, n) < (after.day, after.table_n):
            continue
        done = after.station if after is not None and (day, n) == (after.day, after.table_n) else None
        for stations in _stations(directory, FRAMES[n], day, missing, done):
            yield Place(day, n, stations[-1]), _latest(directory, FRAMES[n], day, missing, stations)


def _dates(directory: Path, table: str, missing: Missing) -> list[date]:
    return archived_dates(directory, table, missing.first_span, missing.last_span)


def _stations(directory: Path, table: str, day: date, missing: Missing, done: str | None) -> Iterator[list[str]]:
    """Stations that miss something, in order, together so many that their day fits into memory."""
    per_station = (
        read_archive(directory, table, day, day)
        .group_by("station")
        .agg(n=pl.len(), misses=missing.holds(table).any())
        .filter(pl.col("misses"))
        .sort("station")
        .collect(engine="streaming")
    )
    together: list[str] = []
    rows = 0
    for station, n in per_station.select("station", "n").iter_rows():
        if done is not None and station <= done:
            continue
        if together and rows + n > ROWS_AT_ONCE:
            yield together
            together, rows = [], 0
        together.append(station)
        rows += n
    if together:
        yield together


def _latest(directory: Path, table: str, day: date, missing: Missing, stations: list[str]) -> pl.DataFrame:
    key, newer = POINT[table], _NEWER[table]
    rows = read_archive(directory, table, day, day).filter(pl.col("station").is_in(stations)).collect()
    wanted = rows.filter(missing.holds(table)).select(key).unique()
    return (
        rows.join(wanted, on=key, how="semi", nulls_equal=True)
        .sort(*newer, maintain_order=True)
        .unique(key, keep="last", maintain_order=True)
    )
