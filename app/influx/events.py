"""What InfluxDB is told beside the series: alerts and their history, marks, counts of each span, the writer's pulse.

Promises: all but the pulse comes from state.db and the journals, so an absence loses nothing and a second writing
changes nothing. Does not promise: the worst value of an open alert between two transitions of it.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from contracts.catalogue import Language
from contracts.clock import Clock
from contracts.facts import ACCEPT, APPROVE_LATE, RETURN
from contracts.instants import EPOCH
from contracts.ports import JournalFailure
from contracts.reasons import LEVELS, Transition
from contracts.series import MEASUREMENTS, NOBODY
from contracts.site import Site
from store.archive import CURSOR as ARCHIVED
from store.influx import CURSOR as WRITTEN
from store.influx import InfluxWriter
from store.influx_layout import SEVERITY, Registry, as_rows
from store.operator_rows import UpTo
from store.state_db import SpanRow, StateDb

from ..operators.facts_read import read_facts, said_up_to
from ..texts.texts import Texts
from .registry import registry_of, registry_rows

log = logging.getLogger(__name__)

TRANSITIONS, COUNTS = "influx_transitions", "influx_counts"  # cursors
AT_ONCE = 2_000
PULSE_EVERY = timedelta(seconds=15)
MARKS_EVERY = timedelta(minutes=1)  # how often it is looked whether people said something
REJECT = "reject:"
SILENT_KIND = "missing"


@dataclass(frozen=True)
class Pulse:
    """How the writer sees the centre; what a dead-man's switch looks at."""

    at: datetime
    clock_at: datetime | None
    behind: Mapping[str, int]
    outbox: Mapping[str, int]
    open_alerts: Sequence[Mapping[str, Any]]
    stations: int
    dead_lines: int


class Events:
    """Called again and again between spans by the writer's thread."""

    def __init__(self, site: Site, state_dir: Path, db: StateDb, clock: Clock, writer: InfluxWriter):
        self._site, self._state_dir, self._db, self._clock, self._writer = site, state_dir, db, clock, writer
        self._registry, self._texts = registry_of(site), Texts(site)
        self._is_registered = False
        self._pulse_at: datetime | None = None
        self._looked_at: datetime | None = None
        self._said: tuple[UpTo, ...] | None = None

    def round(self) -> bool:
        """Writes what there is now; whether more of it waits. Raises Retry, OSError."""
        if not self._is_registered:
            self._writer.write_rows({"from": "registry"}, {"registry": registry_rows(self._site)})
            self._is_registered = True
        waits = self._transitions()
        waits |= self._counts()
        self._marks()
        self._pulse()
        return waits

    def _transitions(self) -> bool:
        rows = self._db.transitions(self._db.cursor(TRANSITIONS), AT_ONCE)
        if rows:
            made = {
                "transition": transition_rows(rows, self._texts, self._registry),
                "alert": alert_rows(rows, self._texts, self._registry),
            }
            self._writer.write_rows({"from": "transitions"}, made)
            self._db.set_cursor(TRANSITIONS, int(str(rows[-1]["seq"])))
        return len(rows) == AT_ONCE

    def _counts(self) -> bool:
        spans = self._db.spans_after(self._db.cursor(COUNTS), AT_ONCE)
        if spans:
            made = {"pipeline": pipeline_rows(spans), "reject": reject_rows(spans)}
            self._writer.write_rows({"from": "counts"}, made)
            self._db.set_cursor(COUNTS, spans[-1].seq)
        return len(spans) == AT_ONCE

    def _pulse(self) -> None:
        now = self._clock.now()
        if self._pulse_at is not None and abs(now - self._pulse_at) < PULSE_EVERY:
            return
        self._pulse_at = now
        last = self._db.last_span()
        seq = 0 if last is None else last.seq
        pulse = Pulse(
            at=now,
            clock_at=None if last is None or last.clock_to is None else _at(last.clock_to),
            behind={"archive": seq - self._db.cursor(ARCHIVED), "influxdb": seq - self._db.cursor(WRITTEN)},
            outbox=self._db.outbox_counts(),
            open_alerts=self._db.open_episodes(),
            stations=len(self._site.stations),
            dead_lines=self._writer.counts.lines_dead,
        )
        self._writer.write_rows({"from": "pulse"}, {"health": health_rows(pulse)})

    def _marks(self) -> None:
        """All facts again, where there is a record not yet seen: few are made, and each may change what another is."""
        now = self._clock.now()
        if self._looked_at is not None and abs(now - self._looked_at) < MARKS_EVERY:
            return
        self._looked_at = now
        try:
            said = said_up_to(self._state_dir, self._site)
            if said == self._said:
                return
            facts, _ = read_facts(self._state_dir, self._site)
        except (sqlite3.Error, JournalFailure) as error:
            log.error("InfluxDB: marks cannot be read from the journals: %s", error)
            return
        self._writer.write_rows({"from": "facts"}, {"mark": mark_rows(facts, self._registry)})
        self._said = said


def alert_rows(transitions: Iterable[Mapping[str, Any]], texts: Texts, registry: Registry) -> pl.DataFrame:
    """Rows of `alert`, one a transition, the newest of an episode last: its point shows how the episode stands."""
    rows = []
    for row in transitions:
        episode = row["body"]
        is_gone = row["transition"] == Transition.WITHDRAWN
        is_open = not is_gone and episode["open"]
        scale = 10 ** int(episode["decimals"])
        rows.append(
            {
                **_about(episode, row, texts),
                "time": datetime.fromisoformat(episode["opened_at"]),
                "limit_id": episode["limit_id"],
                "period": episode["period"],
                "is_open": float(is_open),
                "peak": None if episode["peak_scaled"] is None else episode["peak_scaled"] / scale,
                "limit": None if episode["limit_scaled"] is None else episode["limit_scaled"] / scale,
                "state": "withdrawn" if is_gone else episode["state"],
                "clause": _known(lambda episode=episode: texts.clause(episode), ""),
                "resolved": texts.at(episode["resolved_at"]),
            }
        )
    return _framed("alert", rows, registry)


def transition_rows(transitions: Iterable[Mapping[str, Any]], texts: Texts, registry: Registry) -> pl.DataFrame:
    """Rows of `transition`. Those of one tick stand microseconds apart: two of one rule must not be one point."""
    rows = [
        {
            **_about(row["body"], row, texts),
            "time": _at(row["tick"]) + timedelta(microseconds=int(row["seq"]) % 1000),
            "transition": row["transition"],
        }
        for row in transitions
    ]
    return _framed("transition", rows, registry)


def pipeline_rows(spans: Iterable[SpanRow]) -> pl.DataFrame:
    fields = MEASUREMENTS["pipeline"].fields
    rows = [
        {"time": _at(span.clock_to), **{name: float(span.counts.get(name, 0)) for name in fields}}
        for span in spans
        if span.clock_to is not None
    ]
    return pl.DataFrame(rows, schema=MEASUREMENTS["pipeline"].schema())


def reject_rows(spans: Iterable[SpanRow]) -> pl.DataFrame:
    rows = [
        {"time": _at(span.clock_to), "reason": key.removeprefix(REJECT), "n": float(n)}
        for span in spans
        if span.clock_to is not None
        for key, n in span.counts.items()
        if key.startswith(REJECT)
    ]
    return pl.DataFrame(rows, schema=MEASUREMENTS["reject"].schema())


def health_rows(pulse: Pulse) -> pl.DataFrame:
    alerts = pulse.open_alerts
    row = {
        "time": pulse.at,
        "clock_age_s": None if pulse.clock_at is None else (pulse.at - pulse.clock_at).total_seconds(),
        "archive_behind": pulse.behind["archive"],
        "influxdb_behind": pulse.behind["influxdb"],
        **{f"outbox_{state}": pulse.outbox.get(state, 0) for state in ("pending", "refused", "gave_up")},
        **{f"open_{level}": sum(one["level"] == level for one in alerts) for level in LEVELS},
        "open_silent": len({one["station"] for one in alerts if one["kind"] == SILENT_KIND}),
        "stations": pulse.stations,
        "dead_lines": pulse.dead_lines,
    }
    schema = MEASUREMENTS["health"].schema()
    return pl.DataFrame([{name: float(v) if isinstance(v, int) else v for name, v in row.items()}], schema=schema)


def mark_rows(facts: pl.DataFrame, registry: Registry) -> pl.DataFrame:
    """Rows of `mark`: marks, approved stops and checks of stations, each with how it stands."""
    said = facts.filter(pl.col("kind").is_in(["mark", "stop", "qc"]) & pl.col("station").is_not_null())
    about = facts.filter(pl.col("about").is_not_null()).sort("known_at", "made_at", nulls_last=True)
    outcome = {ACCEPT: "accepted", APPROVE_LATE: "accepted", RETURN: "returned"}
    last = about.unique("about", keep="last", maintain_order=True).select(
        fact="about",
        became=pl.when(pl.col("kind") == "withdrawal")
        .then(pl.lit("withdrawn"))
        .otherwise(pl.col("type").replace_strict(outcome, default=None, return_dtype=pl.String)),
    )
    checked = pl.when("passed").then(pl.lit("passed")).otherwise(pl.lit("failed"))
    rows = said.join(last, on="fact", how="left").with_columns(
        time="from_at",
        state=pl.coalesce("became", pl.when(pl.col("kind") == "qc").then(checked).otherwise(pl.lit("submitted"))),
        fact=pl.col("fact").str.head(12),
        factor=pl.col("factor").fill_null(NOBODY),
        to_ms=pl.coalesce("to_at", "from_at").dt.epoch("ms"),
        text=pl.col("reason"),
        unit=pl.lit(NOBODY),
    )
    return as_rows("mark", registry.name(rows))


def _about(episode: Mapping[str, Any], row: Mapping[str, Any], texts: Texts) -> dict[str, Any]:
    tick, name = _at(row["tick"]), f"{episode['rule']}: {episode['station']} {episode['factor']}"

    def text(language: Language) -> str:
        # of a station or limit that is no longer in the registry no words are left
        return _known(lambda: texts.alert(row["transition"], dict(episode), language, tick), name)

    return {
        **{key: episode[key] for key in ("rule", "station", "factor", "unit", "level")},
        "severity": SEVERITY.get(episode["level"], 0.0),
        "text_zh": text("zh"),
        "text_en": text("en"),
        "episode": episode["id"],
    }


def _known(said: Callable[[], str], otherwise: str) -> str:
    try:
        return said()
    except KeyError:
        return otherwise


def _framed(measurement: str, rows: list[dict[str, Any]], registry: Registry) -> pl.DataFrame:
    if not rows:
        return pl.DataFrame(schema=MEASUREMENTS[measurement].schema())
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col("time").dt.convert_time_zone("UTC"))
    return as_rows(measurement, registry.name(frame.with_columns(pl.col("time").dt.cast_time_unit("us"))))


def _at(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)
