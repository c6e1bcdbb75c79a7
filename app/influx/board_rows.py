"""Rows of a measurement from archive, state.db and journals: what a board draws where there is no InfluxDB.

Promises: of every point the row InfluxDB was given last, for what the archive has; lazily, so that a query names and
computes only what it reads. Reads only. Does not promise: windows the archive does not have yet; the writer's pulse,
which is nowhere but in InfluxDB.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from contracts.civil_time import local
from contracts.frames import INSTANT
from contracts.instants import epoch_us
from contracts.series import MEASUREMENTS, PERIOD_BUCKET
from contracts.site import Site
from grafana.plan import filtered, plan, range_read, values
from grafana.query import Bindings, Query, TagValues, Where
from store.archive import latest_of, read_archive
from store.influx_layout import Registry, aggregate_rows, reading_rows, verdict_rows
from store.influx_refill import POINT
from store.state_db import StateDb

from ..operators.facts_read import read_facts
from ..texts.texts import Texts
from .events import alert_rows, mark_rows, pipeline_rows, reject_rows, transition_rows
from .registry import registry_of, registry_rows

_KNOWN = ("station", "factor", "kind", "period", "rule", "limit_id")  # columns the archive has under the same name
_UNREAD = {"partition", "decided_at", "window_s"}  # columns no board shows
_NEWER = ["device_revision", "received_at", "message"]  # what makes one reading of a point newer than another


@dataclass(frozen=True)
class Table:
    """Of the archive: where a measurement's rows come from."""

    name: str
    at: str
    made: Callable[[pl.LazyFrame, Registry], pl.LazyFrame]


TABLES: Mapping[str, Table] = {
    "reading": Table("readings", "event_at", lambda rows, _: reading_rows(rows)),
    "aggregate": Table("aggregates", "window_at", aggregate_rows),
    "verdict": Table("verdicts", "window_at", verdict_rows),
}


@dataclass(frozen=True)
class Wanted:
    """Which rows of the archive a query reads. Queries that want the same are answered from the same rows."""

    measurement: str
    bucket: str
    range: tuple[datetime, datetime] | None  # both included; None: whenever
    where: tuple[Where, ...]
    chosen: tuple[tuple[str, tuple[str, ...]], ...]  # of the variables in `where`


def wanted(query: Query | TagValues, bindings: Bindings) -> Wanted:
    where = tuple(
        one
        for one in query.where
        if one.column in _KNOWN and (one.operator == "=" or (one.operator == "=~" and one.value in bindings.variables))
    )
    names = dict.fromkeys(str(one.value) for one in where if one.operator == "=~")
    chosen = tuple((name, tuple(bindings.variables[name])) for name in names)
    range_ = range_read(query, bindings) if isinstance(query, Query) else None
    if range_ is not None:  # in whole hours: a range that moves on reads the same
        from_at, to_at = (at.replace(minute=0, second=0, microsecond=0) for at in range_)
        range_ = from_at, to_at + timedelta(hours=1)
    return Wanted(query.measurement, query.bucket, range_, where, chosen)


class BoardRows:
    """A site and its state directory; opens what it needs with each question."""

    def __init__(self, site: Site, state_dir: Path, recent: Callable[[str], pl.DataFrame] | None = None):
        """recent: the rows of a table of the archive that it does not have yet, for who shows what is decided now."""
        self._site, self._state_dir, self._registry = site, state_dir, registry_of(site)
        self._recent = recent
        self._texts = Texts(site)

    def answer(self, query: Query, bindings: Bindings) -> pl.DataFrame:
        """`time`, the query's tags and columns; no rows where there is nothing."""
        return plan(query, self.rows(query, bindings), bindings).collect()

    def values(self, query: TagValues, bindings: Bindings) -> list[str]:
        return values(query, self.rows(query, bindings), bindings)

    def rows(self, query: Query | TagValues, bindings: Bindings) -> pl.LazyFrame:
        """Rows of the query's measurement and bucket in its range. Raises PartDamaged, StateError, sqlite3.Error."""
        if table := TABLES.get(query.measurement):
            return table.made(self.newest(wanted(query, bindings)).lazy(), self._registry)
        in_range = isinstance(query, Query) and query.is_in_range
        made: Mapping[str, Callable[[], pl.DataFrame]] = {
            "registry": lambda: registry_rows(self._site),
            "mark": lambda: mark_rows(read_facts(self._state_dir, self._site)[0], self._registry),
            "alert": lambda: _latest(alert_rows(self._transitions(), self._texts, self._registry), "alert"),
            "transition": lambda: transition_rows(
                self._transitions(bindings if in_range else None), self._texts, self._registry
            ),
            "pipeline": lambda: _latest(self._spans(pipeline_rows), "pipeline"),
            "reject": lambda: _latest(self._spans(reject_rows), "reject"),
            "health": lambda: pl.DataFrame(schema=MEASUREMENTS["health"].schema()),
        }
        return made[query.measurement]().lazy()

    def newest(self, asked: Wanted) -> pl.DataFrame:
        """Of every point the row that stands, as the archive has it, without the columns no board shows."""
        table = TABLES[asked.measurement]
        days, in_range = (None, None), pl.lit(True)
        if asked.range is not None:
            days = tuple(local(at, self._site.time_zone).date() for at in asked.range)
            in_range = pl.col(table.at).is_between(*(pl.lit(at, INSTANT) for at in asked.range))
        # before the archive: what is archived meanwhile is then there twice, and not at all otherwise
        recent = self._recent(table.name) if self._recent else None
        found = read_archive(self._state_dir / "archive", table.name, *days)
        if recent is not None and recent.height:
            found = pl.concat([found, recent.lazy()])
        found = filtered(found.filter(in_range), asked.where, dict(asked.chosen)).drop(_UNREAD, strict=False)
        if asked.measurement == "reading":
            winners = found.sort(_NEWER, maintain_order=True)
            return winners.unique(POINT[table.name], keep="last", maintain_order=True).collect()
        periods = [period for period, bucket in PERIOD_BUCKET.items() if bucket == asked.bucket]
        rows = latest_of(found.filter(pl.col("period").is_in(periods)).collect(), POINT[table.name])
        if recent is None or recent.is_empty():
            return rows
        return rows.unique(POINT[table.name], keep="any", maintain_order=True)

    def _transitions(self, range_: Bindings | None = None) -> list[dict[str, object]]:
        with StateDb(self._state_dir / "state.db") as db:
            rows = db.transitions()
        if range_ is None:
            return rows
        from_us, to_us = epoch_us(range_.from_at), epoch_us(range_.to_at)
        return [row for row in rows if from_us - 1000 <= int(str(row["tick"])) <= to_us]

    def _spans(self, made: Callable[..., pl.DataFrame]) -> pl.DataFrame:
        with StateDb(self._state_dir / "state.db") as db:
            return made(db.spans_after(0, -1))


def _latest(rows: pl.DataFrame, measurement: str) -> pl.DataFrame:
    """A point is named by its tags and instant; the last row of it stands."""
    return rows.unique(["time", *MEASUREMENTS[measurement].tags], keep="last", maintain_order=True)
