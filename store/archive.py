"""The archive: Parquet by civil date, `<table>/date=YYYY-MM-DD/part-<first span>-<last span>.parquet`.

Promises: every row of every committed span once, whatever crashed where; a merged date has the same bytes however its
spans were cut. Aggregates and verdicts keep all their revisions.
Does not promise: that a row of a span is there before `compact` has passed it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path

import polars as pl

from contracts import frames
from contracts.ports import SpanSource

from .parquet import TEMPORARY, unlink_durably, write_parquet
from .spans import Cursors

CURSOR = "archive"


@dataclass(frozen=True)
class Table:
    schema: pl.Schema
    at: tuple[str, ...]  # the first of these that is not null gives the civil date
    sort_by: tuple[str, ...]  # who it is about first: a query of one station then skips most row groups


TABLES = {
    "readings": Table(
        frames.READINGS,
        ("event_at", "received_at"),
        ("station", "factor", "kind", "period_s", "event_at", "received_at", "message"),
    ),
    "rejects": Table(frames.REJECTS, ("received_at",), ("station", "received_at", "message")),
    "events": Table(frames.EVENTS, ("event_at", "received_at"), ("station", "event_at", "received_at", "message")),
    "aggregates": Table(frames.AGGREGATES, ("window_at",), ("station", "factor", "period", "window_at", "revision")),
    "verdicts": Table(
        frames.VERDICTS, ("window_at",), ("station", "factor", "rule", "period", "window_at", "revision", "limit_id")
    ),
}

_PART = re.compile(r"part-(\d+)-(\d+)\.parquet")


@dataclass(frozen=True)
class Part:
    """A file and the spans whose rows of its date it holds."""

    first: int
    last: int
    path: Path

    def covers(self, other: "Part") -> bool:
        return self != other and self.first <= other.first and other.last <= self.last


class Archive:
    """The one writer of an archive directory."""

    def __init__(self, directory: Path, spans: SpanSource, cursors: Cursors, time_zone: str):
        self._directory, self._spans, self._cursors, self._time_zone = directory, spans, cursors, time_zone
        self._is_clean = False

    def compact(self, spans_max: int) -> int:
        """Archives the next spans, up to so many, as one part a table and date. Returns how many spans there were.

        The cursor moves when every part is durable. Parts of a compaction that did not come so far are removed first.
        """
        cursor = self._cursors.cursor(CURSOR)
        if not self._is_clean:
            self._remove_leftovers(cursor)
        batch = list(islice(self._spans.spans_after(cursor), spans_max))
        if not batch:
            return 0
        self._is_clean = False
        first, last = cursor + 1, batch[-1][0]
        for name, table in TABLES.items():
            rows = [named[name] for _, named in batch if name in named and named[name].height]
            if rows:
                self._write_dates(name, table, pl.concat(rows), f"part-{first:012d}-{last:012d}.parquet")
        self._cursors.set_cursor(CURSOR, last)
        self._is_clean = True
        return len(batch)

    def merge(self, before: date) -> int:
        """Makes one part of every date earlier than `before` that has several. Returns how many were made.

        The parts that went into it are passed over from then on and removed by the next call, so that whoever is
        reading them can finish.
        """
        merged = 0
        for name, table in TABLES.items():
            for day in _days(self._directory / name, None, None):
                if date.fromisoformat(day.name.removeprefix("date=")) >= before:
                    continue
                unlink_durably(part.path for part in _covered(_parts(day)))
                parts = _parts(day)
                if len(parts) > 1:
                    whole = f"part-{parts[0].first:012d}-{max(part.last for part in parts):012d}.parquet"
                    rows = pl.concat([_read(part.path, table.schema).collect() for part in parts])
                    write_parquet(rows, day / whole, table.sort_by, table.schema)
                    merged += 1
        return merged

    def _write_dates(self, name: str, table: Table, rows: pl.DataFrame, file_name: str) -> None:
        civil = pl.coalesce(table.at).dt.convert_time_zone(self._time_zone).dt.date()
        for (day,), part in (
            rows.with_columns(_date=civil).partition_by("_date", as_dict=True, include_key=False).items()
        ):
            path = self._directory / name / f"date={day.isoformat()}" / file_name
            write_parquet(part, path, table.sort_by, table.schema)

    def _remove_leftovers(self, cursor: int) -> None:
        for name in TABLES:
            for day in _days(self._directory / name, None, None):
                unlink_durably([part.path for part in _parts(day) if part.first > cursor])
                unlink_durably(day.glob(f"*{TEMPORARY}"))
        self._is_clean = True


def read_archive(
    directory: Path, table: str, from_date: date | None = None, to_date: date | None = None
) -> pl.LazyFrame:
    """The table's rows of the civil dates from..to, both included, in its schema; an absent bound is open.

    Dates come in order, rows inside a part in the table's order; sort where the order matters.
    """
    about = TABLES[table]
    files = [part.path for day in _days(directory / table, from_date, to_date) for part in _uncovered(_parts(day))]
    return _read(files, about.schema) if files else frames.empty(about.schema).lazy()


def latest_revisions(rows: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """Of every window its last revision. `key` names a window without its revision, for example AGGREGATE_KEY."""
    return rows.filter(pl.col("revision") == pl.col("revision").max().over(*key))


AGGREGATE_KEY = ("station", "factor", "period", "window_at")
VERDICT_KEY = ("rule", "station", "factor", "limit_id", "period", "window_at")


def _read(files: Path | Sequence[Path], schema: pl.Schema) -> pl.LazyFrame:
    """As published, with the sums as integers again."""
    sums = [name for name, dtype in schema.items() if dtype == pl.Int128]
    return pl.scan_parquet(files, hive_partitioning=False).with_columns(pl.col(sums).cast(pl.Int128))


def _days(directory: Path, from_date: date | None, to_date: date | None) -> list[Path]:
    """Date directories in order."""
    earliest = f"date={from_date.isoformat()}" if from_date else ""
    latest = f"date={to_date.isoformat()}" if to_date else "date=~"
    return sorted(day for day in directory.glob("date=*") if earliest <= day.name <= latest)


def _parts(day: Path) -> list[Part]:
    found = ((_PART.fullmatch(path.name), path) for path in day.iterdir())
    return sorted((Part(int(name[1]), int(name[2]), path) for name, path in found if name), key=lambda part: part.first)


def _covered(parts: Sequence[Part]) -> list[Part]:
    """Parts whose spans lie inside another part: it was merged from them."""
    return [part for part in parts if any(other.covers(part) for other in parts)]


def _uncovered(parts: Sequence[Part]) -> list[Part]:
    covered = set(_covered(parts))
    return [part for part in parts if part not in covered]
