"""Rejudging: which verdicts and alerts an archive would hold, had other rules or limits judged it.

Promises: verdicts are those of the production path on what was archived by one tick; with the rules that judged, they
are the archive's latest. What is done is on disk unit by unit: a run that was killed goes on. Memory holds one unit.
Does not promise alerts that began before the range, nor what a registry of long ago would have made of the readings.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from contracts.frames import INSTANT
from rules.alerts.update import AlertChange, AlertState, record, update
from rules.evaluate import JUDGED, evaluate, verdicts
from rules.facts.effects import effects
from rules.facts.tables import compile_marking
from rules.plan import Plan, compile_plan
from rules.ticks import SiteClock
from store.archive import latest_of

from ..operators.facts_read import read_facts
from ..pipeline import Episodes, PipelineState
from ..rule_tests.diff import Side
from ..service.checkpoint import fingerprint, read_checkpoint, write_checkpoint
from .archive import Unit, decisions_of, verdicts_of
from .compare import WINDOW, Numbers, changes
from .parts import UNFINISHED, Parts
from .range import Pinned, pinned_range
from .readings import go_through
from .route import Routes, routes


@dataclass(frozen=True)
class Doing:
    """How far it is."""

    what: str
    done: int  # archived rows
    total: int


@dataclass(frozen=True)
class Rejudged:
    """What came out; the verdicts themselves are in files of `parts`, unit by unit."""

    routes: Routes
    from_at: datetime
    to_at: datetime
    archived_at: datetime  # the tick up to which the archive was looked at
    parts: Parts
    old_alerts: dict[str, dict[str, Any]]  # by id, of the archived verdicts
    new_alerts: dict[str, dict[str, Any]]
    states: Counter[str]  # verdicts by state
    same: int
    rows: int  # archived rows gone through
    resumed: int  # units that an earlier run had done
    other_scale: int  # archived windows whose unit or decimals are not those of today's registry: not judged
    unfolded: int  # archived verdicts of rules or points the site no longer has: without alerts here


def rejudge(
    state_dir: Path,
    old: Side,
    new: Side,
    out: Path,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    progress: Callable[[Doing], None] = lambda _: None,
) -> Rejudged:
    """Judges the archive's windows that begin in [from_at, to_at) by the new side's rules; open: all there are.

    old: the site the archive was made by, with its rules. Raises NothingArchived; PartDamaged of store.archive.
    """
    plans = compile_plan(old.site, old.rules), compile_plan(new.site, new.rules)
    facts, _ = read_facts(state_dir, old.site)
    held = effects(facts, plans[1].points, compile_marking(new.site))
    made_for = fingerprint(old.site, old.rules, new.site, new.rules, from_at, to_at, str(state_dir.resolve()))
    work = out / UNFINISHED
    pinned = pinned_range(work, made_for, plans, held, state_dir, from_at, to_at)
    held = held.filter(pl.col("tick") <= pinned.archived_at)
    way = routes(*plans, held, pinned.from_at, pinned.to_at)
    run = _Run(state_dir, plans[0], way, pinned, progress)
    made_for = fingerprint(made_for, pinned.as_text())
    again = Parts.open(work / "readings", made_for)
    resumed = len(again.done)
    if not way.by_readings.bindings.is_empty():
        go_through(run.archive, way, held, again, pinned, run.told)
    parts = Parts.open(work / "verdicts", made_for)
    return run.judge(parts, again, resumed)


class _Run:
    def __init__(self, state_dir: Path, old: Plan, way: Routes, pinned: Pinned, progress: Callable[[Doing], None]):
        self.archive, self.old, self.way, self.pinned = state_dir / "archive", old, way, pinned
        self._progress, self._done = progress, 0
        self._total = sum(one.rows for one in (*pinned.units, *pinned.lead))

    def told(self, what: str, rows: int) -> None:
        self._done += rows
        self._progress(Doing(what, self._done, self._total))

    def judge(self, parts: Parts, again: Parts, resumed: int) -> Rejudged:
        """Unit by unit: verdicts as they would have been, what differs, and both sides' episodes so far."""
        numbers = Numbers.of(self.old, self.way.plan)
        plans = {"new": self.way.plan, "old": self.old}
        alerts = self._go_on(parts)
        resumed += len(parts.done)
        episodes = {side: Episodes() for side in plans}
        for one in parts.done:
            self._remember(parts, str(one["transitions"]), episodes)
        self.told("verdicts", sum(unit.rows for unit in self.pinned.units[: len(parts.done)]))
        for n, unit in enumerate(self.pinned.units[len(parts.done) :], start=len(parts.done)):
            new, other = self._new(unit, n, again)
            was = numbers.numbered(self._archived(unit))
            changed, same = changes(new, was, numbers)
            judged = {"new": new, "old": _as_judged(was)}
            made = {
                side: _transitions(plans[side], update(plans[side], alerts[side], _in_event_time(rows), unit.end_at))
                for side, rows in judged.items()
            }
            for side in plans:
                write_checkpoint(parts.directory / side, parts.made_for, n + 1, _only_alerts(alerts[side]))
            transitions = parts.text(f"transitions-{n:05d}.json", json.dumps(made, ensure_ascii=False))
            names = [
                parts.frame(f"verdicts-{n:05d}.arrow", verdicts(self.way.plan, new)),
                parts.frame(f"changes-{n:05d}.arrow", changed),
                transitions,
            ]
            parts.add(
                names,
                transitions=transitions,
                same=same,
                states=dict(sorted(new["state"].value_counts().iter_rows())),
                other_scale=other,
                unfolded=was["old_binding"].null_count(),
            )
            self._remember(parts, transitions, episodes)
            self.told("verdicts", unit.rows)
        return Rejudged(
            routes=self.way,
            from_at=self.pinned.from_at,
            to_at=self.pinned.to_at,
            archived_at=self.pinned.archived_at,
            parts=parts,
            old_alerts=episodes["old"].by_id,  # type: ignore[arg-type]
            new_alerts=episodes["new"].by_id,  # type: ignore[arg-type]
            states=sum((Counter(one["states"]) for one in parts.done), Counter()),  # type: ignore[call-overload]
            same=sum(int(str(one["same"])) for one in parts.done),
            rows=self._total,
            resumed=resumed,
            other_scale=sum(int(str(one["other_scale"])) for one in parts.done),
            unfolded=sum(int(str(one["unfolded"])) for one in parts.done),
        )

    def _go_on(self, parts: Parts) -> dict[str, AlertState]:
        """Both sides' alerts after the units that are done; of those what has no such state is done again."""
        found = {
            side: read_checkpoint(parts.directory / side, parts.made_for, len(parts.done)) for side in ("new", "old")
        }
        at = [0 if one is None else one.journal_to_us for one in found.values()]
        if min(at) != max(at) or None in found.values():
            parts.cut(0)
            return {side: AlertState() for side in found}
        parts.cut(at[0])
        return {side: one.state.alerts for side, one in found.items() if one is not None}

    def _new(self, unit: Unit, n: int, again: Parts) -> tuple[pl.DataFrame, int]:
        """JUDGED, the latest of each WINDOW, in that order; archived windows that could not be used."""
        pinned = self.pinned
        decisions, other = decisions_of(
            self.archive, self.way.by_aggregates, unit, pinned.from_at, pinned.to_at, pinned.archived_at
        )
        found = [evaluate(self.way.by_aggregates, decisions)]
        found += [pl.read_ipc(path) for path in again.named(f"judged-{n:05d}-*.arrow")]
        rows = latest_of(pl.concat([one.match_to_schema(JUDGED) for one in found]), WINDOW)
        return rows.sort(WINDOW, maintain_order=True), other

    def _archived(self, unit: Unit) -> pl.DataFrame:
        pinned = self.pinned
        return verdicts_of(self.archive, unit, pinned.from_at, pinned.to_at, pinned.archived_at)

    def _remember(self, parts: Parts, name: str, episodes: dict[str, Episodes]) -> None:
        said = json.loads((parts.directory / name).read_text(encoding="utf-8"))
        for side, transitions in said.items():
            episodes[side].apply(transitions)


def _only_alerts(alerts: AlertState) -> PipelineState:
    return PipelineState(SiteClock(()), None, alerts)


def _in_event_time(judged: pl.DataFrame) -> pl.DataFrame:
    """As if every window had been decided when it ended: episodes are a fold over the latest, in event time."""
    ended = pl.col("window_at") + pl.duration(seconds="window_s")
    return judged.with_columns(decided_at=ended.cast(INSTANT), on_time=pl.lit(True))


def _as_judged(numbered: pl.DataFrame) -> pl.DataFrame:
    """Archived VERDICTS as JUDGED of the plan in whose numbers `old_binding` is; others are left out."""
    rows = numbered.drop("binding").rename({"old_binding": "binding"}).filter(pl.col("binding").is_not_null())
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in JUDGED.items() if name not in rows.columns]
    return rows.with_columns(missing).select(JUDGED.names()).match_to_schema(JUDGED)


def _transitions(plan: Plan, made: list[AlertChange]) -> list[dict[str, object]]:
    return [{"transition": str(one.transition), "episode": record(plan, one.binding, one.episode)} for one in made]
