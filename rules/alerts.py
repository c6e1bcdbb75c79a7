"""From judged windows to episodes and transitions, tick by tick.

Promises: episodes depend on the latest verdicts alone; transitions on verdicts and their ticks; neither on call sizes.
Work is in the subjects that are, or may be, in alarm: all others are filtered out as a frame.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import polars as pl

from contracts.frames import INSTANT
from contracts.reasons import Alert, Transition

from .episodes import Episode, Tracked, Window, changes, episode_id, fold
from .plan import Plan
from .windows import forgotten_before

HISTORY = pl.Schema(
    {
        "binding": pl.UInt32,
        "window_at": INSTANT,
        "window_s": pl.Int64,
        "revision": pl.UInt32,
        "decided_at": INSTANT,
        "on_time": pl.Boolean,
        "level": pl.String,
        "judged": pl.Boolean,
        "value_scaled": pl.Int64,
        "exceeds": pl.Boolean,
        "valid_n": pl.UInt32,
        "expected_n": pl.UInt32,
    }
)
_FREEZE_EVERY = timedelta(hours=1)


@dataclass
class AlertState:
    tracked: dict[int, Tracked] = field(default_factory=dict)
    history: dict[str, list[pl.DataFrame]] = field(default_factory=dict)  # by period: HISTORY of the last `lateness`
    frozen_at: datetime | None = None


@dataclass(frozen=True)
class AlertChange:
    """One transition of one episode at one tick."""

    tick: datetime
    binding: int
    transition: Transition
    episode: Episode


def update(plan: Plan, state: AlertState, judged: pl.DataFrame, to: datetime) -> list[AlertChange]:
    """Folds evaluate.JUDGED of a span that ends at `to`. Ordered by tick, then binding."""
    made = _folded(plan, state, judged) if judged.height else []
    _freeze(plan, state, to)
    return sorted(made, key=lambda change: (change.tick, change.binding))


def _folded(plan: Plan, state: AlertState, judged: pl.DataFrame) -> list[AlertChange]:
    rows = judged.select(
        "binding",
        "window_at",
        "window_s",
        "revision",
        "decided_at",
        "on_time",
        "level",
        "value_scaled",
        "valid_n",
        "expected_n",
        judged=pl.col("state").is_in(["exceedance", "within"]),
        exceeds=pl.col("state") == "exceedance",
    ).match_to_schema(HISTORY)
    # a binding's number is its row in the plan's table
    periods = rows.with_columns(plan.bindings["period"].gather(rows["binding"]))
    for (period,), part in periods.partition_by("period", include_key=False, as_dict=True).items():
        state.history.setdefault(str(period), []).append(part)

    late = rows.filter(~pl.col("on_time"))["binding"].unique()
    stirred = rows.filter(pl.col("level").is_not_null())["binding"].unique()
    # a late window may join what was beyond a limit before it; where nothing ever was, nothing can begin
    stirred = {*stirred, *state.tracked, *(_ever_beyond(state, late) if len(late) else ())}
    wanted = pl.Series("binding", sorted(stirred), dtype=pl.UInt32)
    busy = rows.join(wanted.to_frame(), on="binding", how="semi").sort("binding", "decided_at", "window_at", "revision")
    pasts = _pasts(state, late.filter(late.is_in(wanted.implode())))
    made: list[AlertChange] = []
    for binding, group in groupby(busy.iter_rows(named=True), key=lambda row: row["binding"]):
        made += _subject(plan, state, binding, list(group), pasts.get(binding))
    return made


def _subject(
    plan: Plan, state: AlertState, binding: int, rows: list[dict[str, Any]], past: pl.DataFrame | None
) -> list[AlertChange]:
    """past: the binding's history, where some of the rows are late."""
    about = _about(plan, binding)
    known = [] if past is None else past.sort("window_at", "revision").rows(named=True)
    tracked = state.tracked.setdefault(binding, Tracked())
    made = []
    for tick, at_tick in groupby(rows, key=lambda row: row["decided_at"]):
        new = list(at_tick)
        late = not all(row["on_time"] for row in new)
        if late:
            before = tracked.episodes()
            windows = _latest(known, tracked.frozen_to, tick)
            tracked.machine, tracked.ended = fold(tracked.frozen, windows, about["pending_s"], about["recovery_s"])
            found = changes(before, tracked.episodes(), late)
        else:  # what ended before stays as it is
            before = [tracked.machine.open] if tracked.machine.open else []
            windows = [_window(row) for row in new]
            tracked.machine, ended = fold(tracked.machine, windows, about["pending_s"], about["recovery_s"])
            tracked.ended += ended
            found = changes(before, [*ended, *([tracked.machine.open] if tracked.machine.open else [])], late)
        made += [AlertChange(tick, binding, transition, episode) for transition, episode in found]
    return made


def _about(plan: Plan, binding: int) -> dict[str, Any]:
    return plan.bindings.row(binding, named=True)


def _window(row: dict[str, Any]) -> Window:
    return Window(
        at=row["window_at"],
        seconds=row["window_s"],
        level=row["level"],
        judged=row["judged"],
        value_scaled=row["value_scaled"],
        exceeds=row["exceeds"],
        valid_n=row["valid_n"],
        expected_n=row["expected_n"],
    )


def _ever_beyond(state: AlertState, bindings: pl.Series) -> list[int]:
    """Those of the bindings that had any level in a verdict not yet forgotten."""
    parts = [part for parts in state.history.values() for part in parts]
    beyond = [part.filter(pl.col("level").is_not_null())["binding"] for part in parts]
    found = pl.concat(beyond) if beyond else bindings.clear()
    return found.filter(found.is_in(bindings.implode())).unique().to_list()


def _pasts(state: AlertState, bindings: pl.Series) -> dict[int, pl.DataFrame]:
    """The verdicts not yet forgotten, by binding."""
    if bindings.is_empty():
        return {}
    wanted = bindings.to_frame("binding")
    for period, parts in state.history.items():
        state.history[period] = [pl.concat(parts)]
    mine = pl.concat([parts[0].join(wanted, on="binding", how="semi") for parts in state.history.values()])
    return {int(key[0]): rows for key, rows in mine.partition_by("binding", as_dict=True).items()}  # type: ignore[call-overload]


def _latest(past: list[dict[str, Any]], from_at: datetime | None, known_by: datetime) -> list[Window]:
    """Of each window the latest verdict as it stood at a tick, in event time. past: by window and revision."""
    held: dict[datetime, dict[str, Any]] = {}
    for row in past:
        if row["decided_at"] <= known_by and (from_at is None or row["window_at"] >= from_at):
            held[row["window_at"]] = row
    return [_window(row) for row in held.values()]


def _freeze(plan: Plan, state: AlertState, to: datetime) -> None:
    """Once an hour: folds windows that can no longer change into the frozen machine, and forgets them."""
    if state.frozen_at is not None and to - state.frozen_at < _FREEZE_EVERY:
        return
    state.frozen_at = to
    pasts = _pasts(state, pl.Series("binding", sorted(state.tracked), dtype=pl.UInt32))
    for binding, past in pasts.items():
        tracked, about = state.tracked[binding], _about(plan, binding)
        horizon = forgotten_before(plan, about["period"], to)
        windows = _latest(past.sort("window_at", "revision").rows(named=True), tracked.frozen_to, to)
        old = [window for window in windows if window.at < horizon]
        tracked.frozen, final = fold(tracked.frozen, old, about["pending_s"], about["recovery_s"])
        gone = {episode.opened_at for episode in final}
        tracked.ended = [episode for episode in tracked.ended if episode.opened_at not in gone]
        tracked.frozen_to = horizon
        # a window beyond its limit that raised nothing may still raise something with a late one beside it
        quiet = all(window.level is None for window in windows[len(old) :])
        if quiet and tracked.frozen.idle and tracked.machine.idle and not tracked.ended:
            del state.tracked[binding]
    for period, parts in state.history.items():
        kept = pl.col("window_at") >= forgotten_before(plan, period, to)
        state.history[period] = [pl.concat(parts).filter(kept)]


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
        "open": episode.state != Alert.RESOLVED,
    }
