"""Verdicts and aggregates for readers: the archive's Parquet, and the spans that are not archived yet.

Promises: every committed row once, whatever is archived meanwhile; a page is bounded; nothing is judged or changed.
Does not promise rows of a damaged part of the archive: it is named in `notes`.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from contracts.civil_time import local
from contracts.frames import INSTANT, empty
from store.alert_reads import reading
from store.archive import AGGREGATE_KEY, TABLES, VERDICT_KEY, PartDamaged, latest_revisions, read_archive
from store.archive import CURSOR as ARCHIVE
from store.spans import SpanDamaged, read_span
from store.state_db import SpanRow

SPANS_MAX = 2_000  # read beside the archive; where it is further behind, the newest rows are missing, and it is said
CACHED = 4_000  # frames of spans
FEW = 8
KEYS = {"verdicts": VERDICT_KEY, "aggregates": AGGREGATE_KEY}


@dataclass
class Found:
    rows: pl.DataFrame
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """Which rows: of these subjects, of windows that start in [from_at, to_at); None: any."""

    stations: Collection[str]
    from_at: datetime
    to_at: datetime
    factors: Collection[str] | None = None
    period: str | None = None
    rule: str | None = None
    state: str | None = None
    all_revisions: bool = False

    def expression(self, table: str) -> pl.Expr:
        made = _is_one_of("station", self.stations)
        made &= (pl.col("window_at") >= pl.lit(self.from_at, INSTANT)) & (
            pl.col("window_at") < pl.lit(self.to_at, INSTANT)
        )
        if self.factors is not None:
            made &= _is_one_of("factor", self.factors)
        if self.period is not None:
            made &= pl.col("period") == self.period
        if self.rule is not None and table == "verdicts":
            made &= pl.col("rule") == self.rule
        return made


class Decided:
    def __init__(self, state_dir: Path, time_zone: str):
        self._state_dir, self._zone = state_dir, time_zone
        self._cache: OrderedDict[tuple[int, str], pl.DataFrame] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, table: str, asked: Asked, after: tuple[object, ...] | None, limit: int) -> Found:
        """Rows in the order of (window_at, table's key, revision), at most `limit`. after: the last row's order.

        Raises alert_reads.NotReadable, sqlite3.Error.
        """
        notes: list[str] = []
        with reading(self._state_dir) as db:
            cursor = db.cursor(ARCHIVE)
            spans = db.spans_after(cursor, SPANS_MAX + 1)
        if len(spans) > SPANS_MAX:
            spans = spans[:SPANS_MAX]
            notes.append("the archive is far behind the engine: the newest rows are missing here")
        order = self.order(table)
        recent = self._recent(table, spans, asked, notes)
        # after the spans: what is archived meanwhile is then there twice, and not at all otherwise
        archived = read_archive(
            self._state_dir / "archive",
            table,
            self._date(asked.from_at),
            self._date(asked.to_at - timedelta(microseconds=1)),
            lambda damaged: notes.append(f"rows are missing: {_named(damaged)}"),
        )
        rows = pl.concat([archived.filter(asked.expression(table)), recent.lazy()])
        if not asked.all_revisions:
            rows = latest_revisions(rows, KEYS[table])
        if asked.state is not None:
            rows = rows.filter(pl.col("state") == asked.state)
        if after is not None:
            rows = rows.filter(_later(order, after))
        return Found(rows.unique().sort(order, nulls_last=False).head(limit).collect(), notes)

    @staticmethod
    def order(table: str) -> list[str]:
        return ["window_at", *(key for key in KEYS[table] if key != "window_at"), "revision"]

    def exceedances(self, span: SpanRow) -> pl.DataFrame:
        """The exceedances a span decided. Raises FileNotFoundError, SpanDamaged."""
        return self._of_span(span, "verdicts").filter(pl.col("state") == "exceedance")

    def recent(self, table: str) -> pl.DataFrame:
        """Every row of the spans that are not archived yet. Raises alert_reads.NotReadable, sqlite3.Error."""
        with reading(self._state_dir) as db:
            spans = db.spans_after(db.cursor(ARCHIVE), SPANS_MAX)
        found = [empty(TABLES[table].schema)]
        for span in spans:
            try:
                found.append(self._of_span(span, table))
            except (FileNotFoundError, SpanDamaged):
                continue  # archived meanwhile; what is damaged others name
        return pl.concat(found)

    def _recent(self, table: str, spans: list[SpanRow], asked: Asked, notes: list[str]) -> pl.DataFrame:
        found = [empty(TABLES[table].schema)]
        for span in spans:
            try:
                found.append(self._of_span(span, table).filter(asked.expression(table)))
            except FileNotFoundError:
                continue  # archived and pruned meanwhile
            except SpanDamaged as damaged:
                notes.append(f"rows are missing: {damaged.path.name} is damaged")
        return pl.concat(found)

    def _of_span(self, span: SpanRow, table: str) -> pl.DataFrame:
        key = span.seq, table
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        if span.file is None:
            raise FileNotFoundError(span.seq)
        named = read_span(self._state_dir / "spans" / span.file, {table}, span.digest)
        frame = named.get(table, empty(TABLES[table].schema))
        with self._lock:
            self._cache[key] = frame
            while len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        return frame

    def _date(self, at: datetime) -> date:
        return local(at, self._zone).date()


def _is_one_of(column: str, values: Collection[str]) -> pl.Expr:
    """By equality where there are few: then whole row groups are passed over by what Parquet knows of them."""
    if not 0 < len(values) <= FEW:
        return pl.col(column).is_in(list(values))
    first, *others = (pl.col(column) == value for value in values)
    for one in others:
        first |= one
    return first


def _named(damaged: PartDamaged) -> str:
    return f"{'/'.join(damaged.path.parts[-3:])} of the archive is damaged"


def _later(order: list[str], after: tuple[object, ...]) -> pl.Expr:
    """Rows that come after one in the order; nulls come first."""
    made = pl.lit(False)
    for name, value in reversed(list(zip(order, after, strict=True))):
        column = pl.col(name)
        if value is None:
            made = column.is_not_null() | made
        else:
            literal = pl.lit(value, INSTANT) if isinstance(value, datetime) else pl.lit(value)
            made = (column > literal).fill_null(False) | (column.eq_missing(literal) & made)
    return made
