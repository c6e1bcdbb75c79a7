"""Rejudging: what is judged, cut into units, and by when the archive knew it; pinned once, for a run that goes on.

Promises: a run that goes on looks at the archive as the first one did, however it has grown since.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from rules.plan import Plan
from rules.ticks import SiteClock, stamp
from store.archive import CURSOR
from store.parquet import make_directory, replacing
from store.state_db import StateDb

from ..service.engine import JournalFeed, from_us
from .archive import Unit, archived_rows, midnight, units
from .route import read_from, read_to, routes

TABLES = ("aggregates", "verdicts")


class NothingArchived(ValueError):
    """There is nothing to judge: says what was asked for and what is there."""


@dataclass(frozen=True)
class Pinned:
    """What a run that goes on must not look up again: the archive may have grown."""

    from_at: datetime
    to_at: datetime
    archived_at: datetime
    started_at: datetime
    units: list[Unit]
    lead: list[Unit]

    def as_text(self) -> str:
        def cut(rows: list[Unit]) -> list[list[object]]:
            return [[one.first.isoformat(), one.last.isoformat(), one.rows] for one in rows]

        instants = (self.from_at, self.to_at, self.archived_at, self.started_at)
        return json.dumps([*(at.isoformat() for at in instants), cut(self.units), cut(self.lead)])

    @classmethod
    def of(cls, text: str, zone: str) -> "Pinned":
        *instants, its_units, lead = json.loads(text)

        def cut(rows: list[list[Any]]) -> list[Unit]:
            dates = [(date.fromisoformat(first), date.fromisoformat(last), n) for first, last, n in rows]
            return [
                Unit(a, b, midnight(a, zone), midnight(date.fromordinal(b.toordinal() + 1), zone), n)
                for a, b, n in dates
            ]

        from_at, to_at, archived_at, started_at = map(datetime.fromisoformat, instants)
        return cls(from_at, to_at, archived_at, started_at, cut(its_units), cut(lead))


def pinned_range(
    work: Path,
    made_for: str,
    plans: tuple[Plan, Plan],
    held: pl.DataFrame,
    state_dir: Path,
    from_at: datetime | None,
    to_at: datetime | None,
) -> Pinned:
    path = work / "pinned.json"
    if path.exists():
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["made_for"] == made_for:
            return Pinned.of(said["pinned"], plans[1].zone)
    pinned = _pin(plans, held, state_dir, from_at, to_at)
    shutil.rmtree(work, ignore_errors=True)
    make_directory(work)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"made_for": made_for, "pinned": pinned.as_text()}), encoding="utf-8")
    return pinned


def _pin(
    plans: tuple[Plan, Plan],
    held: pl.DataFrame,
    state_dir: Path,
    from_at: datetime | None,
    to_at: datetime | None,
) -> Pinned:
    rows, zone = archived_rows(state_dir / "archive"), plans[1].zone
    dates = sorted({day for table in TABLES for day in rows.get(table, ())})
    archived_at = _archived_at(state_dir)
    if not dates or archived_at is None:
        raise NothingArchived(f"the archive of {state_dir} holds no windows and no verdicts yet")
    first_at, last_at = midnight(dates[0], zone), midnight(date.fromordinal(dates[-1].toordinal() + 1), zone)
    lower, upper = max(from_at or first_at, first_at), min(to_at or last_at, last_at)
    if lower >= upper:
        raise NothingArchived(
            f"the archive of {state_dir} reaches from {dates[0]} to {dates[-1]}: nothing lies in between"
        )
    way = routes(*plans, held, lower, upper)
    lead: list[Unit] = []
    started_at = lower
    if not way.by_readings.bindings.is_empty():
        read = sorted(rows.get("readings", ()))
        earliest = midnight(read[0], zone) if read else lower
        started_at = max(read_from(way.by_readings, lower), min(earliest, lower))
        until = min(read_to(way.by_readings, upper), max(archived_at, upper))
        lead = units(rows, ("readings",), started_at, until, zone)
        started_at = max(started_at, _first_at(state_dir, plans[0], lead[0]))
    return Pinned(lower, upper, archived_at, started_at, units(rows, TABLES, lower, upper, zone), lead)


def _archived_at(state_dir: Path) -> datetime | None:
    """The tick the site's clock stood at with the last span the archive has."""
    with StateDb(state_dir / "state.db") as db:
        cursor = db.cursor(CURSOR)
        spans = db.spans_after(cursor - 1, limit=1) if cursor else []
    clock = spans[0].clock_to if spans else None
    return None if clock is None else from_us(clock)


def _first_at(state_dir: Path, plan: Plan, unit: Unit) -> datetime:
    """The site's first tick, from its journals; where those are gone, the unit's start."""
    collectors = plan.site.file.collectors
    messages = JournalFeed(state_dir, collectors).read(0)
    _, clock = stamp(messages, SiteClock(collectors))
    return unit.start_at if clock.first_at is None else clock.first_at
