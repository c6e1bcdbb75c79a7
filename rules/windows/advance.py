"""Event-time windows: samples in, validity-weighted decisions out, revision by revision.

Promises: what is decided depends on the samples and the ticks alone, not on how they are cut into calls.
A window is decided at the first tick not before its end + hold; whatever becomes known later makes another revision.
Does not promise: any judgement against a limit; that is evaluate.py.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from contracts.civil_time import next_boundary, window_start
from contracts.frames import INSTANT, empty, instant
from contracts.instants import epoch_us
from contracts.ports import PutAway

from ..facts.marked import excused, no_effects, stirred
from ..made.derived import derive, revised_parts
from ..plan import Plan
from ..ticks import TICK
from .counted import uncounted
from .due import PARENTS, PERIODS, borders_of, home_at, homes
from .parts import ALONE, LONGEST, SUMMED, grid, parts, with_reason
from .put_away import Shelf
from .rows import ROWS, still_held
from .samples import SAMPLES
from .store import KEYED_BY_PART, WindowStore

# One row a decision made in this span.
DECISIONS = pl.Schema(
    {
        "point": pl.UInt32,
        "period": pl.String,
        "window_at": INSTANT,
        "window_s": pl.Int64,
        "tick": INSTANT,
        "revision": pl.UInt32,
        "on_time": pl.Boolean,  # the first decision, at its own tick; false: data came after it
        "sum": pl.Int128,
        "n": pl.UInt32,
        "present": pl.UInt32,
        "expected": pl.UInt32,  # without the parts that do not apply
        "over": pl.UInt32,  # parts that are over the instrument's range
        "low": pl.Int64,
        "high": pl.Int64,
        "reason": pl.String,
        "excused": pl.String,  # why an exceedance is not held against it: "mark", "stop", "whole_stop"
    }
)

_CONTENT = ("sum", "n", "present", "over", "expected", "low", "high", "reason", "excused")


# One row a reading of a device that replaced another one of the same point and event time.
REWRITTEN = pl.Schema(
    {
        "point": pl.UInt32,
        "at": INSTANT,
        "received_at": INSTANT,  # of the one that replaced, as is its message
        "message": pl.Binary,
        "value": pl.Int64,  # in 10^-decimals of the point's unit
        "valid": pl.Boolean,
        "value_before": pl.Int64,
        "valid_before": pl.Boolean,
    }
)

ROWS_AT_ONCE = 2_000_000  # parts that are summed together: what is made of them for that takes ten times their bytes


@dataclass
class WindowState:
    """What `advance` carries from call to call.

    start_at: the site's first tick; before it a window is decided only where data ask for it.
    tick: the last tick decided.
    """

    start_at: datetime
    tick: datetime
    store: WindowStore = field(default_factory=WindowStore)
    waiting: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SAMPLES))
    effects: pl.DataFrame = field(default_factory=no_effects)  # of people's facts: contracts.facts.EFFECTS


def start(at: datetime, away: PutAway | None = None) -> WindowState:
    """The state before the site's first tick. away: where old windows are put; without it they stay in memory."""
    shelf = Shelf() if away is None else Shelf(away)
    return WindowState(start_at=at, tick=at - TICK, store=WindowStore(shelf=shelf))


def latest_at(state: WindowState) -> datetime | None:
    """The latest event time among the samples it holds."""
    found = [state.waiting["at"].max(), *(rows["at"].max() for rows in state.store.latest())]
    return max((at for at in found if isinstance(at, datetime)), default=None)


@dataclass(frozen=True)
class Advance:
    decisions: pl.DataFrame
    duplicates: int
    rewritten: pl.DataFrame  # REWRITTEN
    late: int  # samples that came after a decision of their window
    put_away: int  # of these, samples that came so late that their window had been put away
    beyond: int  # samples older than `max_age` when they became known, though not when they were received


def advance(
    plan: Plan, state: WindowState, samples: pl.DataFrame, to: datetime, grid_to: datetime | None = None
) -> Advance:
    """Decides every tick up to and with `to`. `samples`: SAMPLES, in any order. `grid_to`: no window that starts at or
    after it is decided for want of data (the end of a feed)."""
    from_tick = state.tick
    samples = pl.concat([state.waiting, samples])
    waits = pl.col("tick") > instant(to)
    state.waiting, samples = samples.filter(waits), samples.filter(~waits)

    arrived: dict[str, list[pl.DataFrame]] = {period: [] for period in PERIODS}
    rewritten: list[pl.DataFrame] = [empty(REWRITTEN)]
    counts = {"duplicates": 0, "late": 0, "put_away": 0, "beyond": 0}
    if grid_to is None:  # at a feed's end nothing comes any more that windows would have to be put away for
        # of the last call, now that nobody asks any more what a window had been at its ticks
        _forget(plan, state, from_tick)
    _settle(plan, state, samples, arrived, rewritten, counts)
    decisions = []
    for period in PERIODS:
        again = stirred(plan, state.store, state.effects, period, from_tick, to)
        made = _decide(plan, state, period, arrived[period], again, from_tick, to, grid_to)
        _pass_on(plan, state, period, made, arrived)
        decisions.append(made)

        def keep(derived: pl.DataFrame, period: str = period) -> pl.DataFrame:
            numbered = _number(plan, state, period, derived)
            _pass_on(plan, state, period, numbered, arrived)
            decisions.append(numbered)
            return numbered

        again = pl.concat([again, revised_parts(plan, period, arrived[period])])
        derive(plan, state.store, period, made, again, state.effects, keep)
    state.tick = to
    return Advance(pl.concat(decisions).match_to_schema(DECISIONS), rewritten=pl.concat(rewritten), **counts)


def _settle(
    plan: Plan,
    state: WindowState,
    samples: pl.DataFrame,
    arrived: dict[str, list[pl.DataFrame]],
    rewritten: list[pl.DataFrame],
    counts: dict[str, int],
) -> None:
    """Finds duplicates and winners among new samples and puts them with the windows they are parts of."""
    if samples.is_empty():
        return
    for period in PERIODS:
        if not (has_samples := plan.has_samples[period]).any():
            continue
        mine = samples.filter(has_samples[samples["point"]])
        if mine.is_empty():
            continue
        mine = _with_window(mine, period, plan)
        is_late = mine["tick"] > mine["decided"]
        late = put_away = beyond = 0
        if is_late.any():
            within = mine.select(plan.is_kept(pl.col("tick"), pl.col("decided"))).to_series()
            beyond = _of_devices(mine.filter(~within), plan)
            mine = mine.filter(within)
        if mine.height:
            held = state.store.of_samples(period, mine)
            rows, duplicates, again, first = _winners(plan, mine, held)
            state.store.put(period, rows.select(ROWS.names()), first=first)
            arrived[period].append(rows)
            if is_late.any():
                late = _of_devices(rows.filter(pl.col("tick") > pl.col("decided")), plan)
                put_away = _of_devices(rows.filter(pl.col("tick") > pl.col("decided") + plan.lateness), plan)
        else:
            duplicates, again = 0, rewritten[0]
        if period != "instant":  # a point judged by instants feeds its means as well: count it once
            counts["duplicates"] += duplicates
            rewritten.append(again)
            counts["late"] += late
            counts["put_away"] += put_away
            counts["beyond"] += beyond


def _with_window(samples: pl.DataFrame, period: str, plan: Plan) -> pl.DataFrame:
    """Puts beside each `at` the start of its window and the tick that decides it."""
    if period == "instant":
        return samples.with_columns(window_at="at").with_columns(decided=plan.decided_at(period))
    # civil time is dear and instants are few: it is asked once an instant, not once a sample
    instants = samples.select(pl.col("at").unique())
    instants = instants.with_columns(window_at=window_start(pl.col("at"), period, plan.zone))
    samples = samples.drop("window_at", strict=False)
    return samples.join(instants.with_columns(decided=plan.decided_at(period)), on="at", how="left")


def _of_devices(rows: pl.DataFrame, plan: Plan) -> int:
    """How many are of points a device speaks for: the pipeline's own samples are not counted for people."""
    return int(plan.is_measured[rows["point"]].sum())


def _is_given_twice(rows: pl.DataFrame, plan: Plan) -> pl.Series | None:
    """Which rows share their (point, at) with another one; None where none does."""
    key = pl.struct("point", "at")
    us = rows["at"].dt.epoch("us")
    first, points = us.min(), plan.points.height
    if (us.max() - first + 1) * points < 2**63:  # type: ignore[operator]  # one number is compared faster than two
        key = (pl.col("at").dt.epoch("us") - first) * points + pl.col("point")
    keys = rows.select(key).to_series()
    return None if keys.n_unique() == rows.height else keys.is_duplicated()


def _winners(plan: Plan, new: pl.DataFrame, held: pl.DataFrame) -> tuple[pl.DataFrame, int, pl.DataFrame, bool]:
    """New samples that change what holds for their (point, at), as ROWS plus `decided`; count of duplicates; REWRITTEN;
    whether nothing at all was held for any of them.

    The winner at any tick is the greatest (device revision, received_at, message hash) known by then.
    """
    key = ["point", "at"]
    rows = new.select(
        "point",
        "window_at",
        "at",
        "tick",
        "decided",
        "device_revision",
        "received_at",
        "message",
        sum=pl.when("valid").then("value").otherwise(0).cast(pl.Int128),
        n=pl.col("valid").cast(pl.UInt32),
        present=pl.lit(1, pl.UInt32),
        over=pl.col("over").cast(pl.UInt32),
        low="value",
        high="value",
        until=pl.lit(None, INSTANT),
    )
    known = still_held(held, new)
    contested = _is_given_twice(rows, plan)
    if known.is_empty() and contested is None:
        return _as_rows(rows), 0, empty(REWRITTEN), True
    if contested is None:
        contested = pl.repeat(False, rows.height, eager=True)
    if known.height:
        marked = known.select(*key, is_held=pl.lit(True))
        contested |= rows.join(marked, on=key, how="left", maintain_order="left")["is_held"].is_not_null()
    alone = _as_rows(rows.filter(~contested))
    rows = rows.filter(contested).drop("until").with_columns(is_new=pl.lit(True))
    claims = _of_devices(rows, plan)
    old = known.select(*key, "window_at", "tick", "device_revision", "sum", "n", "present", "over", "low", "high")
    both = pl.concat([old.with_columns(is_new=pl.lit(False)), rows], how="diagonal")
    both = both.sort(*key, "is_new", "tick", "device_revision", "received_at", "message", "sum", "n", nulls_last=False)
    both = both.filter(pl.col("device_revision") >= pl.col("device_revision").cum_max().over(key))
    before = [pl.col(name).shift(1).over(key) for name in ("low", "n")]
    same = (pl.col("low") == before[0]) & (pl.col("n") == before[1])
    both = both.with_columns(same=same.fill_null(False), again=before[0].is_not_null())
    is_device = plan.is_measured[both["point"]]
    replaces = pl.col("is_new") & pl.col("again") & ~pl.col("same")
    told = both.with_columns(value_before=before[0], valid_before=before[1] > 0).filter(replaces & is_device)
    rewritten = told.select(
        "point", "at", "received_at", "message", "value_before", "valid_before", value="low", valid=pl.col("n") > 0
    ).match_to_schema(REWRITTEN)
    firsts = _of_devices(both.filter(pl.col("is_new") & ~pl.col("again")), plan)
    # an equal value of a greater device revision changes nothing but what may replace it
    raised = pl.col("device_revision") > pl.col("device_revision").shift(1).over(key)
    changing = both.filter(~pl.col("same") | raised)
    # of several in one tick the last holds; the others held for no decision
    changing = changing.with_columns(until=pl.col("tick").shift(-1).over(key))
    changing = changing.filter(pl.col("is_new") & (pl.col("until").is_null() | (pl.col("until") > pl.col("tick"))))
    return pl.concat([alone, _as_rows(changing)]), claims - rewritten.height - firsts, rewritten, False


def _as_rows(rows: pl.DataFrame) -> pl.DataFrame:
    rows = rows.with_columns(
        revision=pl.lit(None, pl.UInt32),
        reason=pl.lit(None, pl.String),
        expected=pl.lit(None, pl.UInt32),
        excused=pl.lit(None, pl.String),
    )
    return rows.select(*ROWS.names(), "decided")


def _decide(
    plan: Plan,
    state: WindowState,
    period: str,
    arrived: list[pl.DataFrame],
    again: pl.DataFrame,
    from_tick: datetime,
    to: datetime,
    grid_to: datetime | None,
) -> pl.DataFrame:
    """DECISIONS of windows that are due, of those something late came for, and of those in `again`: marked.AGAIN."""
    levels = plan.levels_of[period]
    hold, longest = plan.hold[period], LONGEST[period]
    held_longest = plan.hold_longest(period)
    came = pl.concat(arrived) if arrived else None
    none_due = period != "instant" and to < next_boundary(from_tick - hold, period, plan.zone) + hold
    none_due = none_due and held_longest == hold  # where it was longer once, the turn is not told from here
    none_late = came is None or not came.select((pl.col("tick") > pl.col("decided")).any()).item()
    again = again.join(levels, on="point", how="semi")
    if levels.is_empty() or (none_due and none_late and again.is_empty()):
        return empty(DECISIONS)
    due = (pl.col("decided") > instant(from_tick)) & (pl.col("decided") <= instant(to))
    window = ["point", "window_at"]

    earliest, latest = from_tick - held_longest - longest, to - hold
    if period != "instant":  # a window that starts at it was due before; what is packed need not be unpacked for it
        earliest = next_boundary(earliest, period, plan.zone)
    held = state.store.between(period, epoch_us(earliest), epoch_us(latest))
    rows = (
        held.lazy()
        .filter(
            pl.col("window_at").is_between(instant(earliest), instant(latest))
        )  # of a bucket the few that may be due
        .with_columns(decided=plan.decided_at(period))
        .filter(due & (pl.col("tick") <= pl.col("decided")))
        .filter(pl.col("until").is_null() | (pl.col("until") > pl.col("decided")))
    )
    if plan.carried is not None:  # parts may be remembered of what has no such windows any more
        rows = rows.filter(pl.col("point").is_in(levels["point"].implode()))

    def counted(some: pl.LazyFrame) -> pl.LazyFrame:
        counts = parts(*plan.pooling[period])
        return uncounted(some, "decided", state.effects).with_columns(counts)

    if period == "instant":  # a window of one reading is that reading
        on_time = counted(rows).select(*window, *ALONE, tick="decided").collect()
    else:
        portions = -(-held.height // ROWS_AT_ONCE) or 1
        some = (rows.filter(pl.col("point") % portions == n) for n in range(portions)) if portions > 1 else (rows,)
        on_time = pl.concat([counted(one).group_by(*window, tick="decided").agg(SUMMED).collect() for one in some])
        due_anyway = grid(plan, state.start_at, period, from_tick, to, grid_to)
        on_time = due_anyway.join(on_time, on=[*window, "tick"], how="full", coalesce=True)

    late = on_time.clear()
    if came is not None:
        came_late = came.filter(pl.col("tick") > pl.col("decided")).select(again.columns)
        again = pl.concat([again, came_late]).unique()
    if not again.is_empty():
        known = (
            state.store.of_windows(period, again["window_at"], again["point"])
            .lazy()
            .rename({"tick": "from_tick"})
            .join(again.lazy(), on=window)
            .filter(pl.col("from_tick") <= pl.col("tick"))
            .filter(pl.col("until").is_null() | (pl.col("until") > pl.col("tick")))
        )
        late = (
            uncounted(known, "tick", state.effects)
            .with_columns(parts(*plan.pooling[period]))
            .group_by(*window, "tick")
            .agg(SUMMED)
            .select(on_time.columns)
            .collect()
        )
    made = pl.concat([on_time.with_columns(on_time=pl.lit(True)), late.with_columns(on_time=pl.lit(False))])
    return _number(plan, state, period, with_reason(made, levels, period, plan))


def _number(plan: Plan, state: WindowState, period: str, made: pl.DataFrame) -> pl.DataFrame:
    """DECISIONS: drops a decision that says what the one before it said, and numbers the rest."""
    if made.is_empty():
        return empty(DECISIONS)
    window = ["point", "window_at"]
    if (own_from := plan.own_from(period)) is not None:  # what had been decided before the point began, stays
        begins = own_from[made["point"]]
        made = made.filter(begins.is_null() | (made["window_at"] >= begins))
    columns = [name for name in DECISIONS.names() if name not in ("period", "revision", "excused")]
    made = excused(made.select(columns), period, state.effects).with_columns(period=pl.lit(period))
    if made["on_time"].all():  # on its own tick a window has no earlier decision
        return made.with_columns(revision=pl.lit(1, pl.UInt32)).select(DECISIONS.names())
    at = made["window_at"]
    asked = [(home, home_at(at, home, plan.zone)) for home in homes(period)]
    held = pl.concat([state.store.of_keys(home, its, made["point"]) for home, its in asked])
    before = (
        held.filter(pl.col("until").is_null() & pl.col("revision").is_not_null())
        .select("point", "tick", "revision", *_CONTENT, window_at="at")
        .join(made.select(window).unique(), on=window, how="semi")
        .unique(window)  # what is a part of two windows is kept with each
    )
    both = pl.concat([before, made], how="diagonal").sort(*window, "tick")
    changed = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(name).shift(1).over(window)) for name in _CONTENT
    ) | pl.int_range(pl.len()).over(window).eq(0)
    both = both.with_columns(changed=changed & pl.col("period").is_not_null())
    base = pl.col("revision").first().over(window).fill_null(0)
    numbered = both.with_columns(revision=(base + pl.col("changed").cum_sum().over(window)).cast(pl.UInt32))
    return numbered.filter("changed").select(DECISIONS.names())


def _pass_on(
    plan: Plan, state: WindowState, period: str, made: pl.DataFrame, arrived: dict[str, list[pl.DataFrame]]
) -> None:
    """Keeps decisions as parts of the windows above them, or on their own where there is none."""
    if made.is_empty():
        return
    window = ["point", "window_at"]
    first = bool(made["on_time"].all())  # on its own tick a window has no other decision, here or before
    until = pl.lit(None, INSTANT)
    if not first:
        made, until = made.sort(*window, "tick"), pl.col("tick").shift(-1).over(window)
    rows = made.with_columns(until=until, at="window_at", device_revision=pl.lit(0, pl.Int32))
    alone = None
    for parent in PARENTS.get(period, ()):
        if not (has_parts := plan.has_parts[period, parent]).any():
            continue
        has_above = has_parts[rows["point"]]
        alone = ~has_above if alone is None else alone & ~has_above
        parts = _with_window(rows.filter(has_above), parent, plan)
        state.store.put(parent, parts.select(ROWS.names()), first=first)
        arrived[parent].append(parts.select(*ROWS.names(), "decided"))
    state.store.put(f"{period}!", (rows if alone is None else rows.filter(alone)).select(ROWS.names()), first=first)


def put_away_before(plan: Plan, period: str, to: datetime) -> datetime:
    """Windows that start before it are revised after `to` only by what comes more than `lateness` late.

    The longest hold of all: a window waits for revisions of its parts, and a site may let parts wait longer than it.
    """
    longest = max(plan.hold_longest(its) for its in PERIODS)
    return to - plan.lateness - longest - LONGEST[period] - 2 * TICK


def dropped_before(plan: Plan, period: str, to: datetime) -> datetime:
    """Windows that start before it are neither revised after `to` nor looked at for the revision of another one."""
    lags = plan.inputs.select("period", "lag").unique()
    looked_back = max((LONGEST[its] * lag for its, lag in lags.iter_rows()), default=timedelta(0))
    return put_away_before(plan, period, to) - plan.reach - looked_back


def _dropped_before_us(plan: Plan, shelf: Shelf, target: str, period: str, to: datetime) -> int:
    """dropped_before, but nothing of which alerts are still folded: their fold begins at a border before it."""
    horizon = epoch_us(dropped_before(plan, period, to))
    for judged in plan.periods:
        if target in homes(judged):
            border = min(shelf.of(borders_of(judged)), default=None)
            if border is None or border > epoch_us(dropped_before(plan, judged, to)):
                return 0  # it still begins with the first window of all
            horizon = min(horizon, border - LONGEST[period] // timedelta(microseconds=1))
    return horizon


def _forget(plan: Plan, state: WindowState, to: datetime) -> None:
    for period in PERIODS:
        # of a year the days are put away while it is open
        horizon = epoch_us(put_away_before(plan, "day" if period in KEYED_BY_PART else period, to))
        for target in (period, f"{period}!"):
            if state.store.put_away(target, horizon):
                state.store.drop(target, _dropped_before_us(plan, state.store.shelf, target, period, to))
    state.store.compact()
    state.store.pack(epoch_us(to))
