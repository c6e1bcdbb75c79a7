"""The archive: Parquet by civil date, `<table>/date=YYYY-MM-DD/part-<first span>-<last span>.parquet`.

Promises: every row of every committed span once, whatever crashed where; a merged date has the same bytes however its
spans were cut. Aggregates and verdicts keep all their revisions. A damaged part is named and never read as if whole.
Does not promise: that a row of a span is there before `compact` has passed it; to see a byte changed inside a part.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from contracts import frames
from contracts.ports import SpanSource

from .parquet import TEMPORARY, unlink_durably, write_parquet
from .spans import Cursors, SpanDamaged

log = logging.getLogger(__name__)

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


class PartDamaged(Exception):
    """A part of the archive cannot be read: names the file and what can be done."""

    def __init__(self, path: Path, what: object):
        super().__init__(
            f"{path} cannot be read ({what}): put this one file back from a backup, then run `greenisland verify`"
        )
        self.path = path


class Archive:
    """The one writer of an archive directory."""

    def __init__(self, directory: Path, spans: SpanSource, cursors: Cursors, time_zone: str):
        self._directory, self._spans, self._cursors, self._time_zone = directory, spans, cursors, time_zone
        self._is_clean = False

    def compact(self, spans_max: int) -> int:
        """Archives the next spans, up to so many, as one part a table and date. Returns how many spans there were.

        The cursor moves when every part is durable. Parts of a compaction that did not come so far are removed first.
        Raises SpanDamaged, FileNotFoundError for the next span; what comes before one is archived first.
        """
        cursor = self._cursors.cursor(CURSOR)
        if not self._is_clean:
            self._remove_leftovers(cursor)
        batch = []
        try:
            for one in islice(self._spans.spans_after(cursor), spans_max):
                batch.append(one)
        except (SpanDamaged, FileNotFoundError):
            if not batch:
                raise  # those before it are archived first
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
        reading them can finish. A damaged part is made again where its span files are still there; where they are not,
        its date stays as it is.
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
                    try:
                        rows = pl.concat([self._rows_of(name, part) for part in parts])
                    except PartDamaged as damaged:
                        log.error("a date of the archive is not merged: %s", damaged)
                        continue
                    write_parquet(rows, day / whole, table.sort_by, table.schema)
                    merged += 1
        return merged

    def _rows_of(self, name: str, part: Part) -> pl.DataFrame:
        """Of one part, which is made again where it is damaged. Raises PartDamaged where it cannot be."""
        try:
            return _read_whole(part.path, TABLES[name].schema)
        except PartDamaged as damaged:
            rows = self._from_spans(name, part)
            if rows is None:
                raise
            log.warning("%s was damaged and has been made again from span files: %s", part.path, damaged)
            write_parquet(rows, part.path, TABLES[name].sort_by, TABLES[name].schema)
            return rows

    def _from_spans(self, name: str, part: Part) -> pl.DataFrame | None:
        """The rows a part should have; None where a span file is pruned already, or damaged too."""
        table, seqs, found = TABLES[name], range(part.first, part.last + 1), []
        try:
            for seq, (has, named) in zip(seqs, self._spans.spans_after(part.first - 1), strict=False):
                if has != seq:
                    return None
                found.append(named[name] if name in named else frames.empty(table.schema))
        except (FileNotFoundError, SpanDamaged):
            return None
        if len(found) < len(seqs):
            return None
        day = date.fromisoformat(part.path.parent.name.removeprefix("date="))
        return pl.concat(found).filter(self._civil_date(table) == day)

    def _civil_date(self, table: Table) -> pl.Expr:
        return pl.coalesce(table.at).dt.convert_time_zone(self._time_zone).dt.date()

    def _write_dates(self, name: str, table: Table, rows: pl.DataFrame, file_name: str) -> None:
        dated = rows.with_columns(_date=self._civil_date(table))
        for (day,), part in dated.partition_by("_date", as_dict=True, include_key=False).items():
            path = self._directory / name / f"date={day.isoformat()}" / file_name
            write_parquet(part, path, table.sort_by, table.schema)

    def _remove_leftovers(self, cursor: int) -> None:
        for name in TABLES:
            for day in _days(self._directory / name, None, None):
                unlink_durably([part.path for part in _parts(day) if part.first > cursor])
                unlink_durably(day.glob(f"*{TEMPORARY}"))
        self._is_clean = True


def read_archive(
    directory: Path,
    table: str,
    from_date: date | None = None,
    to_date: date | None = None,
    passed_over: Callable[[PartDamaged], None] | None = None,
) -> pl.LazyFrame:
    """The table's rows of the civil dates from..to, both included, in its schema; an absent bound is open.

    Dates come in order, rows inside a part in the table's order; sort where the order matters.
    passed_over: told of every damaged part, whose rows are then missing. Without it such a part raises PartDamaged.
    """
    schema, files = TABLES[table].schema, []
    for day in _days(directory / table, from_date, to_date):
        for part in uncovered(_parts(day)):
            try:
                _check_whole(part.path, schema)
            except PartDamaged as damaged:
                if passed_over is None:
                    raise
                passed_over(damaged)
            else:
                files.append(part.path)
    return _read(files, schema) if files else frames.empty(schema).lazy()


def damaged_parts(directory: Path, from_date: date | None = None, parts_max: int = 0) -> list[PartDamaged]:
    """Every part of the civil dates from that one on which cannot be opened.

    parts_max: of each date and table look only at so many, the latest; 0: at all. A merged date has one.
    """
    found = []
    for name, table in TABLES.items():
        for day in _days(directory / name, from_date, None):
            for part in uncovered(_parts(day)[-parts_max:]):
                try:
                    _check_whole(part.path, table.schema)
                except FileNotFoundError:  # merged meanwhile
                    continue
                except PartDamaged as damaged:
                    found.append(damaged)
    return found


def archived_dates(directory: Path, table: str, first_span: int, last_span: int) -> list[date]:
    """Civil dates of the table that may hold rows of these spans, in order."""
    return [
        date.fromisoformat(day.name.removeprefix("date="))
        for day in _days(directory / table, None, None)
        if any(part.first <= last_span and first_span <= part.last for part in _parts(day))
    ]


def kept_parts(directory: Path) -> list[Part]:
    """The files of all tables that a reader reads: not those that went into a merged one."""
    return [part for name in TABLES for day in _days(directory / name, None, None) for part in uncovered(_parts(day))]


def latest_revisions(rows: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """Of every window its last revision. `key` names a window without its revision, for example AGGREGATE_KEY."""
    return rows.filter(pl.col("revision") == pl.col("revision").max().over(*key))


def latest_of(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """`latest_revisions` of rows that are in memory: few windows are revised, and only theirs are looked for among the
    others. One row a window; of those revised the order is lost.
    """
    revised = rows.filter(pl.col("revision") > 1)
    if revised.is_empty():
        return rows
    last = revised.sort("revision", maintain_order=True).unique(key, keep="last", maintain_order=True)
    first = rows.filter(pl.col("revision") == 1)
    return pl.concat([first.join(last.select(key), on=list(key), how="anti", nulls_equal=True), last])


AGGREGATE_KEY = ("station", "factor", "period", "window_at")
VERDICT_KEY = ("rule", "station", "factor", "limit_id", "period", "window_at")


def _read(files: Path | Sequence[Path], schema: pl.Schema) -> pl.LazyFrame:
    """As published, with the sums as integers again."""
    sums = [name for name, dtype in schema.items() if dtype == pl.Int128]
    return pl.scan_parquet(files, hive_partitioning=False).with_columns(pl.col(sums).cast(pl.Int128))


def _check_whole(path: Path, schema: pl.Schema) -> None:
    """By its end alone, where a Parquet file says what it holds. Raises PartDamaged."""
    try:
        columns = pq.read_metadata(path).schema.to_arrow_schema().names
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise PartDamaged(path, error) from error
    if columns != list(schema):
        raise PartDamaged(path, f"its columns are {', '.join(columns)}")


def _read_whole(path: Path, schema: pl.Schema) -> pl.DataFrame:
    """Through Arrow, whose reader is hardened against damaged files. Raises PartDamaged."""
    _check_whole(path, schema)
    sums = [name for name, dtype in schema.items() if dtype == pl.Int128]
    try:
        with pq.ParquetFile(path) as file:
            rows = pl.from_arrow(file.read())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise PartDamaged(path, error) from error
    assert isinstance(rows, pl.DataFrame)
    return rows.with_columns(pl.col(sums).cast(pl.Int128))


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
    covered, reach = [], -1
    for part in sorted(parts, key=lambda one: (one.first, -one.last)):  # whoever covers a part stands before it
        if part.last <= reach:
            covered.append(part)
        else:
            reach = part.last
    return covered


def uncovered(parts: Sequence[Part]) -> list[Part]:
    """Those that were not merged into another one."""
    covered = set(_covered(parts))
    return [part for part in parts if part not in covered]
