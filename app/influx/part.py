"""The part that serves InfluxDB: spans in order, then from the archive what was pruned before InfluxDB had it.

Promises: an absent InfluxDB, or a full disk, costs nothing but lag; how much is left is logged while it catches up.
Does not promise to fill a gap while the archive is far behind: boards of today come first.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, timedelta
from pathlib import Path

import polars as pl

from contracts.clock import Clock
from contracts.instants import EPOCH
from contracts.site import Site
from store.archive import CURSOR as ARCHIVED
from store.influx import CURSOR as WRITTEN
from store.influx import FRAMES, InfluxWriter, QueryRefused, Retry, create_databases
from store.influx_refill import Missing, Place, missing_rows
from store.spans import SpanDamaged, SpanFiles
from store.state_db import SpanRow, StateDb

from ..service.disk_room import NoRoom, when_there_is_room
from ..site.in_force import InForce
from .events import Events
from .gaps import GAPS, Gap, complete_gap, read_gaps, record_gap
from .registry import registry_of

log = logging.getLogger(__name__)

DEAD_LETTERS = "deadletter.ndjson"
SPANS_AT_ONCE = 200
ARCHIVE_BEHIND_MAX = 1_000  # spans; with more of them no gap is filled
POLL_S = 1.0
AGAIN_S = 5.0  # where the database cannot be made yet
ARCHIVE_AGAIN_S = 60.0  # where a part of the archive cannot be read
TOLD_EVERY_S = 10.0


def run_influx(
    site: Site, state_dir: Path, clock: Clock, stop: threading.Event, site_sha256: str | None = None
) -> None:
    """Writes until told to stop, with a cursor of its own: an absent InfluxDB delays nobody else.

    A site that is activated meanwhile gives the names and limits rows are tagged with from then on; where InfluxDB is
    and how it is spoken to stays as it was at the start.
    """
    in_force = InForce(state_dir, site_sha256, "the InfluxDB writer")
    with StateDb(state_dir / "state.db") as db:
        part = InfluxPart(site, state_dir, db, clock)
        try:
            while not stop.is_set():
                stop.wait(when_there_is_room(part.round, stop, "spans for InfluxDB"))
                if (kept := in_force.changed()) is not None:
                    file = kept.site.file.model_copy(update={"influxdb": site.file.influxdb})
                    part.close()
                    part = InfluxPart(kept.site.model_copy(update={"file": file}), state_dir, db, clock)
        except NoRoom as error:
            log.error("stopped before there was room: the next start writes it again (%s)", error)
        finally:
            part.close()


class InfluxPart:
    """One round writes some spans, or a piece of a gap."""

    def __init__(self, site: Site, state_dir: Path, db: StateDb, clock: Clock):
        influx = site.file.influxdb
        assert influx is not None
        token = Path(influx.token_file).read_text(encoding="utf-8").strip() if influx.token_file else None
        self._influx, self._state_dir, self._db, self._clock = influx, state_dir, db, clock
        self._writer = InfluxWriter(
            influx, token, SpanFiles(state_dir / "spans", db), db, state_dir / DEAD_LETTERS, registry_of(site)
        )
        self._events = Events(site, state_dir, db, clock, self._writer)
        self._is_created = token is not None  # on 2.x the buckets are made with the token
        self._missed = 0
        self._told_s = time.monotonic()
        self._is_catching_up = False
        self._pieces: tuple[int, Iterator[tuple[Place, pl.DataFrame]]] | None = None  # of the gap with this first span

    def close(self) -> None:
        self._writer.close()

    def round(self) -> float:
        """Returns after how many seconds the next one is due."""
        try:
            if not self._is_created:
                create_databases(self._influx)
                self._is_created = True
            wait_s = self._write()
            return 0.0 if self._events.round() else wait_s
        except QueryRefused as error:
            log.warning("InfluxDB: %s; again in %.0f s", error, AGAIN_S)
            return AGAIN_S
        except Retry as later:
            log.warning("InfluxDB: %s; %s; again in %.0f s", later, self._left(), later.after_s)
            return later.after_s

    def _write(self) -> float:
        gap, archived = self._gap_to_fill()
        try:
            written = self._writer.drain(SPANS_AT_ONCE, None if gap is None else archived)
        except FileNotFoundError:
            following = self._db.spans_after(self._db.cursor(WRITTEN), 1)
            if not following or following[0].file is not None:
                raise  # not pruned by housekeeping while it was about to be read
            written = 1
        except SpanDamaged as damaged:
            self._pass_over(damaged)
            written = 1
        self._tell()
        if written == SPANS_AT_ONCE:
            return 0.0
        if gap is not None and self._db.cursor(WRITTEN) <= archived:
            return self._fill(gap)
        return 0.0 if written else POLL_S

    def _tell(self) -> None:
        if self._writer.counts.spans_missed > self._missed:
            self._missed = self._writer.counts.spans_missed
            log.error(
                "InfluxDB lacks %d spans, pruned before it had them: see %s", self._missed, self._state_dir / GAPS
            )
        left = self._spans_left()
        if left >= SPANS_AT_ONCE and time.monotonic() - self._told_s >= TOLD_EVERY_S:
            self._told_s, self._is_catching_up = time.monotonic(), True
            log.info("InfluxDB catches up: %s", self._left())
        elif left == 0 and self._is_catching_up:
            self._is_catching_up = False
            log.info("InfluxDB has caught up")

    def _left(self) -> str:
        return f"{self._spans_left():,} spans left"

    def _spans_left(self) -> int:
        last = self._db.last_span()
        return 0 if last is None else last.seq - self._db.cursor(WRITTEN)

    def _pass_over(self, damaged: SpanDamaged) -> None:
        """A file that is not what was committed must not stop all that come after it."""
        (span,) = self._db.spans_after(self._db.cursor(WRITTEN), 1)
        if span.file != damaged.path.name:  # those between were pruned
            (span,) = [row for row in self._db.spans_after(span.seq, 1_000_000) if row.file == damaged.path.name]
        log.error("InfluxDB is not given span %d: %s", span.seq, damaged)
        record_gap(self._state_dir, gap_of(self._db, span.seq, span.seq, "span file damaged", self._now()))
        self._db.set_cursor(WRITTEN, span.seq)

    # -- gaps

    def _gap_to_fill(self) -> tuple[Gap | None, int]:
        """The oldest open gap that is behind the cursor and in the archive; up to where the archive has come.

        While there is one, spans are written only up to there: so what the archive holds is never older than what
        InfluxDB was given.
        """
        archived, last = self._db.cursor(ARCHIVED), self._db.last_span()
        if last is None or last.seq - archived > ARCHIVE_BEHIND_MAX:
            return None, archived
        upto = min(archived, self._db.cursor(WRITTEN))
        to_fill = (gap for gap in read_gaps(self._state_dir) if not gap.filled_at and gap.last_span <= upto)
        return next(to_fill, None), archived

    def _fill(self, gap: Gap) -> float:
        """Writes the next piece of it, or marks it filled; returns when to go on."""
        if self._pieces is None or self._pieces[0] != gap.first_span:
            archive, missing = self._state_dir / "archive", missing_of(self._db, gap)
            self._pieces = gap.first_span, missing_rows(archive, missing, _place(gap))
            log.info("InfluxDB: filling the gap of spans %d to %d from the archive", gap.first_span, gap.last_span)
        (_, pieces), self._pieces = self._pieces, None  # where it fails, the piece is read again
        try:
            place, rows = next(pieces, (None, None))
        except (pl.exceptions.PolarsError, FileNotFoundError) as error:
            log.error("InfluxDB: the archive cannot be read (%s); again in %.0f s", error, ARCHIVE_AGAIN_S)
            return ARCHIVE_AGAIN_S
        done = int(str((gap.filling or {}).get("rows", 0)))
        if place is None or rows is None:
            complete_gap(self._state_dir, replace(gap, filling={"rows": done}, filled_at=self._now()))
            log.info("InfluxDB: the gap of spans %d to %d is filled: %d rows", gap.first_span, gap.last_span, done)
            return 0.0
        self._writer.write({"gap": gap.first_span}, {place.table: rows})
        filling = {"date": place.day.isoformat(), "table": place.table, "station": place.station}
        complete_gap(self._state_dir, replace(gap, filling={**filling, "rows": done + rows.height}))
        self._pieces = gap.first_span, pieces
        if time.monotonic() - self._told_s >= TOLD_EVERY_S:
            self._told_s = time.monotonic()
            log.info("InfluxDB: gap of spans %d to %d: %s", gap.first_span, gap.last_span, filling_in_words(filling))
        return 0.0

    def _now(self) -> str:
        return self._clock.now().isoformat()


def filling_in_words(filling: Mapping[str, object]) -> str:
    return f"written up to {filling['table']} of {filling['date']}, station {filling['station']}"


def gap_of(db: StateDb, first: int, last: int, why: str, at: str) -> Gap:
    return Gap(
        first_span=first,
        last_span=last,
        received_from=_iso(_span(db, first).journal_after),
        received_to=_iso(_span(db, last).journal_to),
        why=why,
        at=at,
    )


def missing_of(db: StateDb, gap: Gap) -> Missing:
    first, last = _span(db, gap.first_span), _span(db, gap.last_span)
    # what came before every collector had spoken belongs to the first span with a clock
    after = None if first.clock_from is None else first.journal_after
    return Missing(first.seq, last.seq, (after, last.journal_to), (first.clock_from, last.clock_to))


def _span(db: StateDb, seq: int) -> SpanRow:
    return db.spans_after(seq - 1, 1)[0]


def _place(gap: Gap) -> Place | None:
    said = gap.filling
    if said is None:
        return None
    return Place(date.fromisoformat(str(said["date"])), FRAMES.index(str(said["table"])), str(said["station"]))


def _iso(us: int) -> str:
    return (EPOCH + timedelta(microseconds=us)).astimezone(UTC).isoformat()
