"""Answers to panels' queries: from archive and live state, or from InfluxDB, for one person's scope.

Promises: nobody is answered of what lies outside of their scope; so many queries run at once and no more; the same
question about the same state is answered once. Runs in threads: the event loop only waits.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import polars as pl

from contracts.ports import JournalFailure
from contracts.series import MEASUREMENTS
from grafana.plan import plan, values
from grafana.query import Bindings, Column, Query, TagValues, Where, influxql
from store.alert_reads import NotReadable
from store.archive import PartDamaged
from store.influx import QueryRefused
from store.influx import query as ask_influx
from store.sqlite_damage import StateDamaged
from store.state_db import StateError

from ..centre import Centre
from .kept import Kept
from .live_rows import LiveRows
from .words import Text, text

AT_ONCE = 2  # queries; Polars takes more threads by itself
KEPT_BYTES = 64 * 2**20  # of answers
KEPT_LISTS = 100  # of what variables offer
SCOPE = "greenisland scope"  # of bindings: the names a person may see
LIVE = ("alert", "transition", "mark", "health")  # of the state itself: shown also while InfluxDB is away

Source = Literal["archive", "influxdb"]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Answer:
    """frame: None where it could not be asked; `why` says why, also of an empty frame."""

    frame: pl.DataFrame | None
    why: Text | None = None
    is_live_instead: bool = False  # InfluxDB is away, and this is the live state

    @property
    def is_empty(self) -> bool:
        return self.frame is None or self.frame.is_empty()


class BeyondScope(Exception):
    """It is about the whole site, and the person sees a part of it."""


class Answers:
    def __init__(self, centre: Centre):
        self.rows = LiveRows(centre)
        self._centre = centre
        self._pool = ThreadPoolExecutor(AT_ONCE, "viewer")
        self._kept: Kept[Answer] = Kept(KEPT_BYTES, _bytes)
        self._labels: Kept[list[str]] = Kept(KEPT_LISTS)

    async def run(self, work: Callable[..., Result], *about: Any) -> Result:
        """In one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *about)

    def ask(
        self, query: Query, bindings: Bindings, subjects: frozenset[str] | None, source: Source, state: Hashable
    ) -> Answer:
        """state: what the answer is as of; another one asks again."""
        key = (query, bindings.from_at, bindings.to_at, _chosen(bindings), bindings.interval, subjects, source, state)
        return self._kept.once(key, lambda: self.answer(query, bindings, subjects, source))

    def offered(self, query: TagValues, bindings: Bindings, subjects: frozenset[str] | None) -> list[str]:
        """What a variable offers: of the registry the portal was started with."""
        key = (query, _chosen(bindings), subjects)
        return self._labels.once(key, lambda: self._values(query, bindings, subjects))

    def answer(self, query: Query, bindings: Bindings, subjects: frozenset[str] | None, source: Source) -> Answer:
        try:
            asked, bound = within(query, bindings, subjects)
        except BeyondScope:
            return Answer(None, text("beyond_scope"))
        if subjects is not None and not subjects:
            return Answer(None, text("scope_is_empty"))
        if source == "influxdb" and self._centre.site.file.influxdb is not None:
            try:
                return Answer(self._served(asked, bound))
            except QueryRefused as error:
                down = text("influxdb_is_down", error=str(error)[:300])
                if query.measurement not in LIVE:
                    return Answer(None, down)
                return replace(self._read(asked, bound, subjects), is_live_instead=True)
        return self._read(asked, bound, subjects)

    def _read(self, query: Query, bindings: Bindings, subjects: frozenset[str] | None) -> Answer:
        try:
            if query.measurement == "health":
                row = self.rows.pulse(subjects, bindings.to_at)
                found = plan(query, row.lazy(), bindings).collect()
                if found.is_empty() and subjects is not None:
                    return Answer(found, text("beyond_scope"))
                if found.is_empty():
                    is_past = bindings.to_at < row["time"][0]
                    return Answer(found, text("pulse_is_of_now" if is_past else "pulse_has_none"))
                return Answer(found)
            return Answer(self.rows.answer(query, bindings))
        except PartDamaged as damaged:
            return Answer(None, text("archive_is_damaged", part="/".join(damaged.path.parts[-3:])))
        except (NotReadable, StateDamaged, StateError, JournalFailure, sqlite3.Error) as error:
            return Answer(None, text("not_readable", error=str(error)[:300]))

    def _served(self, query: Query, bindings: Bindings) -> pl.DataFrame:
        influx = self._centre.site.file.influxdb
        assert influx is not None
        found = ask_influx(influx, influxql(query, bindings), bucket=query.bucket)  # type: ignore[arg-type]
        names = ["time", *query.group, *(one.called for one in query.columns)]
        if found.is_empty():
            return pl.DataFrame(schema=dict.fromkeys(names, pl.Float64) | {"time": pl.Datetime("us", "UTC")})
        missing = [pl.lit(None, pl.String).alias(name) for name in names if name not in found.columns]
        return found.with_columns(missing).select(names).sort(*query.group, "time", descending=bool(query.newest_first))

    def _values(self, query: TagValues, bindings: Bindings, subjects: frozenset[str] | None) -> list[str]:
        where, bound = query.where, bindings
        if subjects is not None:
            where = (*where, Where("station", "=~", SCOPE))
            bound = replace(bindings, variables={**bindings.variables, SCOPE: sorted(subjects)})
        asked = replace(query, where=where)
        return values(asked, self.rows.rows(asked, bound), bound)

    def warm(self) -> None:
        """Reads what every board needs, before anybody asks."""
        self._pool.submit(self._warm)

    def _warm(self) -> None:
        at = datetime.fromtimestamp(0, UTC)
        for one in ("registry", "transition", "mark"):
            query = Query("events", one, (Column("station", "count"),))
            self.answer(query, Bindings(at, at), None, "archive")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _bytes(answer: Answer) -> int:
    return 1000 + (0 if answer.frame is None else int(answer.frame.estimated_size()))


def _chosen(bindings: Bindings) -> Hashable:
    return tuple(sorted((name, tuple(values)) for name, values in bindings.variables.items()))


def within(query: Query, bindings: Bindings, subjects: frozenset[str] | None) -> tuple[Query, Bindings]:
    """The query and what is filled in, for whoever sees `subjects`; None: everything. Raises BeyondScope."""
    if subjects is None or query.measurement == "health":  # the pulse is made of what they see
        return query, bindings
    if "station" not in MEASUREMENTS[query.measurement].tags:
        raise BeyondScope(query.measurement)
    asked = replace(query, where=(*query.where, Where("station", "=~", SCOPE)))
    return asked, replace(bindings, variables={**bindings.variables, SCOPE: sorted(subjects)})
