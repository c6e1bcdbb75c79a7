"""From judged windows to episodes and transitions, tick by tick.

Promises: episodes depend on the latest verdicts alone; transitions on verdicts and their ticks; neither on call sizes,
nor on how late a verdict came. Work is in the subjects that are, or may be, in alarm: all others are filtered out as a
frame; what is late is folded from the border before it to where it makes no difference any more.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any

import polars as pl

from contracts.reasons import OVER, Alert, Transition

from ..plan import Plan
from ..ticks import TICK
from ..windows.store import WindowStore
from .episodes import Episode, Machine, Window, changes, episode_id, fold, step
from .verdict_past import IDLE, Borders, Past, Run, folded_columns, window_of


@dataclass
class AlertState:
    machines: dict[int, Machine] = field(default_factory=dict)  # of bindings that are not idle, as they stand now
    borders: Borders = field(default_factory=Borders)


@dataclass(frozen=True)
class AlertChange:
    """One transition of one episode at one tick."""

    tick: datetime
    binding: int
    transition: Transition
    episode: Episode


def update(
    plan: Plan, state: AlertState, judged: pl.DataFrame, to: datetime, store: WindowStore | None = None
) -> list[AlertChange]:
    """Folds evaluate.JUDGED of a span that ends at `to`. Ordered by tick, then binding.

    store: of the windows the verdicts are of, as `advance` left it: it still knows what they were before. None: no
    verdict is late, now or later.
    """
    made = _folded(plan, state, judged, to, store) if judged.height else []
    if store is not None:
        state.borders.add(plan, store.shelf, state.machines, to)
    return sorted(made, key=lambda change: (change.tick, change.binding))


def _folded(
    plan: Plan, state: AlertState, judged: pl.DataFrame, to: datetime, store: WindowStore | None
) -> list[AlertChange]:
    pasts: dict[str, tuple[set[int], Past]] = {}
    if not (late := judged.filter(~pl.col("on_time"))).is_empty():
        assert store is not None, "late verdicts need the windows they are of"
        pasts = _pasts(plan, state, store, late, late["decided_at"].min() - TICK, to)
    stirred = judged.filter(pl.col("level").is_not_null())["binding"].unique()
    # a late window may join what was beyond a limit before it; where nothing was, nothing can begin
    stirred = {*stirred, *state.machines, *(binding for its, _ in pasts.values() for binding in its)}
    wanted = pl.Series("binding", sorted(stirred), dtype=pl.UInt32)
    busy = folded_columns(plan, judged.join(wanted.to_frame(), on="binding", how="semi"))
    busy = busy.sort("binding", "decided_at", "window_at", "revision")
    made: list[AlertChange] = []
    for binding, group in groupby(busy.iter_rows(named=True), key=lambda row: row["binding"]):
        made += _subject(plan, state, binding, list(group), pasts)
    for _, past in pasts.values():
        past.close()
    return made


def _pasts(
    plan: Plan, state: AlertState, store: WindowStore, late: pl.DataFrame, from_at: datetime, to: datetime
) -> dict[str, tuple[set[int], Past]]:
    """By period: the bindings whose late windows may change anything, and their past."""
    found = {}
    late = late.select("binding", "window_at", period=plan.bindings["period"].gather(late["binding"]))
    for (period,), part in late.partition_by("period", as_dict=True).items():
        held = state.borders.held.setdefault(str(period), {})
        past = Past(plan, store, held, str(period), part["binding"].unique(), from_at, to)
        segments: dict[int, set[int]] = {}
        for binding, window_at in part.group_by("binding").agg(pl.col("window_at").unique()).iter_rows():
            for segment in {past.segment_of(at) for at in window_at}:
                segments.setdefault(segment, set()).add(binding)
        restless = {binding for segment, its in segments.items() for binding in its & past.restless(segment)}
        found[str(period)] = (restless, past)
    return found


def _subject(
    plan: Plan, state: AlertState, binding: int, rows: list[dict[str, Any]], pasts: dict[str, tuple[set[int], Past]]
) -> list[AlertChange]:
    about = _about(plan, binding)
    spans = (about["pending_s"], about["recovery_s"])
    made = []
    for tick, at_tick in groupby(rows, key=lambda row: row["decided_at"]):
        new = list(at_tick)
        now = was = state.machines.get(binding, IDLE)
        if _goes_on(was, new):
            if was.open is not None:
                state.machines[binding] = Machine(open=replace(was.open, last_at=new[-1]["window_at"]))
            continue
        late = [row["window_at"] for row in new if not row["on_time"]]
        before: list[Episode] = []
        after: list[Episode] = []
        on_time = [window_of(row) for row in new if row["on_time"]]
        if late:
            folded = _folded_again(pasts[about["period"]][1], binding, late, tick, spans)
            before, after = folded.before, folded.after
            if folded.machine is not None:
                now, on_time = folded.machine, []  # they are in it
        # what ended before stays as it is
        now, ended = fold(now, on_time, *spans)
        before += [was.open] if was.open else []
        after += [*ended, *([now.open] if now.open else [])]
        if now.idle:
            state.machines.pop(binding, None)
        else:
            state.machines[binding] = now
        made += [AlertChange(tick, binding, said, episode) for said, episode in changes(before, after, bool(late))]
    return made


def _goes_on(machine: Machine, rows: list[dict[str, Any]]) -> bool:
    """Whether the rows say what the machine says already: most of a long alert's do. Only its last instant moves."""
    opened = machine.open
    if opened is None:
        return machine.idle and all(row["on_time"] and row["level"] is None for row in rows)
    if machine.good_s or opened.state != Alert.FIRING:
        return False
    return all(row["on_time"] and row["judged"] and row["applies"] and row["level"] == opened.level for row in rows)


@dataclass(frozen=True)
class _FoldedAgain:
    """before, after: episodes that had ended otherwise than they end now, on either side.

    machine: where it stands now; None: as it had stood.
    """

    before: list[Episode]
    after: list[Episode]
    machine: Machine | None


def _folded_again(
    past: Past, binding: int, late: list[datetime], tick: datetime, spans: tuple[int, int]
) -> _FoldedAgain:
    """Two folds side by side, of what was known before the tick and of what is known at it, until they agree again."""
    before: list[Episode] = []
    after: list[Episode] = []
    segment, last, ahead = past.segment_of(min(late)), max(late), 1
    was = now = past.machine(segment, binding)
    while True:
        for run in past.runs(segment, binding):
            if was == now and run.first_at > last:
                return _FoldedAgain(before, after, None)
            if run.verdicts is None:
                agreed = was == now
                was, ended_before = _through(was, run, spans)
                now, ended_after = (was, ended_before) if agreed else _through(now, run, spans)
            else:
                was, ended_before = _stepped(was, run.as_of(tick, before=True), spans)
                now, ended_after = _stepped(now, run.as_of(tick, before=False), spans)
            if ended_before != ended_after:
                before += ended_before
                after += ended_after
        if segment == past.last_segment:
            return _FoldedAgain(before, after, now)
        segment += 1
        if was == now and past.segment_of(last) < segment:
            return _FoldedAgain(before, after, None)
        past.set_machine(segment, binding, now)
        past.read(segment, ahead := 2 * ahead)


def _through(machine: Machine, run: Run, spans: tuple[int, int]) -> tuple[Machine, list[Episode]]:
    """As if it were stepped through each of the run's windows, which are alike."""
    ended: list[Episode] = []
    for n in range(run.count):
        window = run.window(n)
        machine, found = _stepped(machine, window, spans)
        ended += found
        if not window.judged or (window.level is None and (machine.open is None or window.near)):
            break  # more of them change nothing
        if window.level is not None and machine.open is not None:
            if n < run.count - 1:  # what is between changes nothing
                machine, _ = _stepped(machine, run.window(run.count - 1), spans)
            break
    return machine, ended


def _stepped(machine: Machine, window: Window | None, spans: tuple[int, int]) -> tuple[Machine, list[Episode]]:
    if window is None:
        return machine, []
    machine, ended = step(machine, window, *spans)
    return machine, [ended] if ended else []


def _about(plan: Plan, binding: int) -> dict[str, Any]:
    return plan.bindings.row(binding, named=True)


def record(plan: Plan, binding: int, episode: Episode) -> dict[str, Any]:
    """An episode as it is published: event-time facts only, JSON-able."""
    about = _about(plan, binding)
    point = plan.points.row(about["point"], named=True)
    limit = about["limit_scaled"]
    return {
        "id": episode_id(about["rule"], point["station"], point["about"], about["limit_id"], episode.opened_at),
        "rule": about["rule"],
        "kind": about["kind"],
        "station": point["station"],
        "factor": point["about"],
        "period": about["period"],
        "limit_id": about["limit_id"],
        "limit_scaled": limit,
        "decimals": about["decimals"],
        "unit": point["unit"],
        "state": str(episode.state),
        "level": episode.level,
        "exceeds": episode.peak.exceeds,
        "peak_level": episode.peak.level,
        "peak_scaled": episode.peak.value_scaled,
        "peak_at": episode.peak.at.isoformat(),
        "peak_valid_n": episode.peak.valid_n,
        "peak_expected_n": episode.peak.expected_n,
        "opened_at": episode.opened_at.isoformat(),
        "fired_at": episode.fired_at.isoformat(),
        # of an open one it moves on with every window, which is no transition
        "last_at": episode.last_at.isoformat() if episode.resolved_at else None,
        "resolved_at": episode.resolved_at.isoformat() if episode.resolved_at else None,
        "open": episode.state not in OVER,
        "made_of": plan.made_of.get(about["point"]),
        **({} if episode.peak.which is None else {"peak_which": episode.peak.which}),
    }
