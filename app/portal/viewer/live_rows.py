"""Rows of a measurement for a board without a server: archive, the spans it does not have yet, and the pulse of now.

Promises: what was committed is there, archived or not; it is read once for all that want the same; what only grows is
read once, and then what came since. Does not promise the pulse of another moment than now: over time it is in InfluxDB
alone. Reads only.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl

from contracts.series import MEASUREMENTS
from grafana.query import Bindings, Query, TagValues
from store.alert_reads import reading
from store.archive import CURSOR as ARCHIVED
from store.influx import CURSOR as WRITTEN
from store.journal import epoch_us
from store.state_db import SpanRow, StateDb

from ...influx.board_rows import BoardRows, Wanted
from ...influx.events import Pulse, alert_rows, health_rows, pipeline_rows, reject_rows, transition_rows
from ...operators.facts_read import said_up_to
from ..centre import Centre
from .kept import Kept

KEPT_BYTES = 256 * 2**20  # of rows of the archive
PULSE_EVERY_S = 0.5  # at most; a board asks for each of its numbers
NOW = timedelta(minutes=5)
RECORDS_EVERY_S = 5.0  # how often it is looked whether people said something
_MARGIN = timedelta(hours=1)  # before the range: a bucket may begin there
_OF_A_PART = {"time", "clock_age_s", "open_red", "open_orange", "open_yellow", "open_silent", "stations"}


class LiveRows(BoardRows):
    def __init__(self, centre: Centre):
        super().__init__(centre.site, centre.state_dir, centre.decided.recent)
        self._centre, self._lock = centre, threading.Lock()
        self._kept: Kept[pl.DataFrame] = Kept(KEPT_BYTES, lambda frame: int(frame.estimated_size()))
        self._pulses: Kept[pl.DataFrame] = Kept(8)
        self._registered: pl.DataFrame | None = None
        self._told: dict[str, tuple[int, pl.DataFrame]] = {}
        self._said: tuple[object, pl.DataFrame] | None = None
        self._looked_s = float("-inf")

    def rows(self, query: Query | TagValues, bindings: Bindings) -> pl.LazyFrame:
        if query.measurement in ("alert", "transition"):
            return self._since(query.measurement).lazy()
        if query.measurement in ("pipeline", "reject"):
            made = pipeline_rows if query.measurement == "pipeline" else reject_rows
            found = made(self._spans_from(bindings.from_at - _MARGIN))
            return found.lazy().unique(
                ["time", *MEASUREMENTS[query.measurement].tags], keep="last", maintain_order=True
            )
        if query.measurement == "health":
            return pl.LazyFrame(schema=MEASUREMENTS["health"].schema())  # asked of `pulse`
        if query.measurement == "registry":
            with self._lock:
                if self._registered is None:
                    self._registered = super().rows(query, bindings).collect()
            return self._registered.lazy()
        if query.measurement == "mark":
            return self._marks(lambda: super(LiveRows, self).rows(query, bindings).collect()).lazy()
        return super().rows(query, bindings)

    def newest(self, asked: Wanted) -> pl.DataFrame:
        """Read once for the queries of all panels and pages, until a span is decided or archived."""
        with reading(self._centre.state_dir) as db:
            last, archived = db.last_span(), db.cursor(ARCHIVED)
        seq = 0 if last is None else last.seq
        return self._kept.once((asked, seq, archived), lambda: super(LiveRows, self).newest(asked))

    def pulse(self, subjects: frozenset[str] | None, to_at: datetime) -> pl.DataFrame:
        """One row of `health`, as of now; to whom a part of the site is shown, of this part.

        to_at: the end of the range; one that passed while the question waited is still now.
        """
        moment = time.monotonic() // PULSE_EVERY_S
        return self._pulses.once((subjects, to_at, moment), lambda: self._pulse(subjects, to_at))

    def _pulse(self, subjects: frozenset[str] | None, to_at: datetime) -> pl.DataFrame:
        centre, now = self._centre, self._centre.clock.now()
        with StateDb(centre.state_dir / "state.db") as db:
            last, seq = db.last_span(), 0
            alerts = db.open_episodes()
            if last is not None:
                seq = last.seq
            behind = {name: seq - db.cursor(cursor) for name, cursor in (("archive", ARCHIVED), ("influxdb", WRITTEN))}
            outbox = db.outbox_counts()
        if subjects is not None:
            alerts = [one for one in alerts if one["station"] in subjects]
        clock_at = None if last is None or last.clock_to is None else centre.civil(last.clock_to)
        stations = len(centre.site.stations if subjects is None else subjects)
        at = to_at if to_at < now <= to_at + NOW else now
        row = health_rows(Pulse(at, clock_at, behind, outbox, alerts, stations, 0))
        hidden = {"dead_lines"} if subjects is None else set(row.columns) - _OF_A_PART
        if centre.site.file.influxdb is None:
            hidden.add("influxdb_behind")
        return row.with_columns(pl.lit(None, pl.Float64).alias(name) for name in sorted(hidden))

    def _since(self, measurement: str) -> pl.DataFrame:
        """Alerts or transitions: what is known and what came since."""
        with self._lock:
            seq, known = self._told.get(measurement, (0, pl.DataFrame(schema=MEASUREMENTS[measurement].schema())))
            with StateDb(self._centre.state_dir / "state.db") as db:
                rows = db.transitions(seq)
            if rows:
                made = alert_rows if measurement == "alert" else transition_rows
                known = pl.concat([known, made(rows, self._texts, self._registry)])
                if measurement == "alert":  # the last row of a point stands
                    known = known.unique(["time", *MEASUREMENTS["alert"].tags], keep="last", maintain_order=True)
                self._told[measurement] = (int(str(rows[-1]["seq"])), known)
            return known

    def _spans_from(self, from_at: datetime) -> list[SpanRow]:
        """Those whose clock ends at the instant or later; found by halving, for there may be millions."""
        wanted = epoch_us(from_at)
        with StateDb(self._centre.state_dir / "state.db") as db:
            last = db.last_span()
            low, high = 0, last.seq if last else 0
            while low < high:
                middle = (low + high) // 2
                (next_one, *_) = db.spans_after(middle, 1)
                if (next_one.clock_to or 0) < wanted:
                    low = next_one.seq
                else:
                    high = middle
            return db.spans_after(low, -1)

    def _marks(self, read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """People say little, and journals are large: they are read again when there is a newer record."""
        with self._lock:
            if self._said is not None and time.monotonic() - self._looked_s < RECORDS_EVERY_S:
                return self._said[1]
            self._looked_s = time.monotonic()
            said = said_up_to(self._centre.state_dir, self._centre.site)
            if self._said is None or self._said[0] != said:
                self._said = (said, read())
            return self._said[1]
