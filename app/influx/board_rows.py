"""Rows of a measurement from archive, state.db and journals: what a board draws where there is no InfluxDB.

Promises: of every point the row InfluxDB was given last, for what the archive has. Reads only.
Does not promise: windows the archive does not have yet; the writer's pulse, which is nowhere but in InfluxDB.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import polars as pl

from contracts.civil_time import local
from contracts.series import MEASUREMENTS, PERIOD_BUCKET
from contracts.site import Site
from grafana.plan import filtered, plan, values
from grafana.query import Bindings, Query, TagValues, Where
from store.archive import latest_revisions, read_archive
from store.influx_layout import aggregate_rows, reading_rows, verdict_rows
from store.influx_refill import POINT
from store.journal import epoch_us
from store.state_db import StateDb

from ..operators.facts_read import read_facts
from ..texts.texts import Texts
from .events import alert_rows, mark_rows, pipeline_rows, reject_rows, transition_rows
from .registry import registry_of, registry_rows

_KNOWN = ("station", "factor", "kind", "period", "rule", "limit_id")  # columns the archive has under the same name
_MARGIN = timedelta(days=1)  # before the range: what a difference begins from


class BoardRows:
    """A site and its state directory; opens what it needs with each question."""

    def __init__(self, site: Site, state_dir: Path, recent: Callable[[str], pl.DataFrame] | None = None):
        """recent: the rows of a table of the archive that it does not have yet, for who shows what is decided now."""
        self._site, self._state_dir, self._registry = site, state_dir, registry_of(site)
        self._recent = recent
        self._texts = Texts(site)

    def answer(self, query: Query, bindings: Bindings) -> pl.DataFrame:
        """`time`, the query's tags and columns; no rows where there is nothing."""
        return plan(query, self.rows(query, bindings).lazy(), bindings).collect()

    def values(self, query: TagValues, bindings: Bindings) -> list[str]:
        return values(query, self.rows(query, bindings).lazy(), bindings)

    def rows(self, query: Query | TagValues, bindings: Bindings) -> pl.DataFrame:
        """Rows of the query's measurement and bucket in its range. Raises PartDamaged, StateError, sqlite3.Error."""
        in_range = isinstance(query, Query) and query.is_in_range
        if query.measurement in ("reading", "aggregate", "verdict"):
            return self._archived(query, bindings if in_range else None, bindings)
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
        return made[query.measurement]()

    def _archived(self, query: Query | TagValues, range_: Bindings | None, bindings: Bindings) -> pl.DataFrame:
        table = {"reading": "readings", "aggregate": "aggregates", "verdict": "verdicts"}[query.measurement]
        days = (None, None)
        if range_ is not None:
            zone = self._site.time_zone
            days = local(range_.from_at - _MARGIN, zone).date(), local(range_.to_at, zone).date()
        # before the archive: what is archived meanwhile is then there twice, and not at all otherwise
        recent = self._recent(table) if self._recent else None
        found = read_archive(self._state_dir / "archive", table, *days)
        if recent is not None and recent.height:
            found = pl.concat([found, recent.lazy()])
        where: tuple[Where, ...] = tuple(one for one in query.where if one.column in _KNOWN)
        found = filtered(found, where, bindings)
        if table == "readings":
            order = ["device_revision", "received_at", "message"]
            winners = found.sort(order, maintain_order=True).unique(POINT[table], keep="last", maintain_order=True)
            return reading_rows(winners.collect())
        periods = [period for period, bucket in PERIOD_BUCKET.items() if bucket == query.bucket]
        newest = latest_revisions(found.filter(pl.col("period").is_in(periods)), POINT[table]).collect()
        if recent is not None:
            newest = newest.unique(POINT[table], keep="any", maintain_order=True)
        made = {"aggregates": aggregate_rows, "verdicts": verdict_rows}[table]
        return made(newest, self._registry)

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
