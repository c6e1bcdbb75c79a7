"""Over to another site's plan: what means the same keeps its number, and with the number everything it remembers.

Promises: open windows, pending and recovery, episodes and everything that was put away go on untouched where the point
or binding means what it meant; where not, it ends, is named, and what takes its place begins empty. Nothing that was
decided is decided again. Does not promise anything about what the new site makes of what comes: that is its plan.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from contracts.civil_time import window_start
from contracts.frames import INSTANT
from contracts.points import POINTS
from contracts.reasons import Alert, Transition

from .alerts.update import AlertState, record
from .bindings import BINDINGS
from .carried import CARRIED_BINDINGS, CARRIED_POINTS, Carried, Turn
from .made.formulas import FORMULAS
from .plan import Plan
from .ticks import TICK
from .windows.advance import WindowState
from .windows.due import PERIODS

_NEVER = pl.lit(0, pl.Int64).cast(INSTANT)  # a binding that is no more holds from here to here
_NUMBERS = ("kind", "period_s", "interval_s", "sent_unit", "unit", "decimals", "range_min", "range_max")
_BINDING = tuple(name for name in BINDINGS.names() if name not in ("binding", "point"))
_LEVEL = ("part_s", "need", "of", "pools")

Key = tuple[str, str]  # station, factor


class NotCarried(ValueError):
    """The numbers that were kept are not those of this site's plan."""


@dataclass(frozen=True)
class Gone:
    """A point or binding that was given up, and why."""

    what: str  # "point", "rule"
    name: str
    why: str  # "is no more", or what of it changed
    episode: bool = False  # an open one ended with it


@dataclass(frozen=True)
class Over:
    """What became of the old plan's state."""

    plan: Plan  # the new one, with the old one's numbers
    ended: list[dict[str, Any]]  # tick, transition, episode: as Span has them
    gone: list[Gone]
    kept: int  # bindings that go on
    new: int  # bindings that begin


def carry_over(old: Plan, new: Plan, windows: WindowState, alerts: AlertState) -> Over:
    """Makes the state of the old plan, decided up to `windows.tick`, one of the new plan. Changes both states.

    old: the plan that decided it, with what it carries itself. new: as compiled. The caller makes the effects anew.
    """
    before = old.carried or _beginning(old)
    tick = windows.tick
    turn = Turn(tick, {period: old.first_undecided(period, tick) for period in PERIODS}, dict(old.hold))
    since = len(before.turns) + 1
    points, gone = _points(old, new, before, since)
    bindings, gone_bindings = _bindings(new, before, points, since)
    floors = [at for at in (before.kept_from, tick - old.reach if new.reach > old.reach else None) if at is not None]
    carried = Carried(points, bindings, (*before.turns, turn), max(floors, default=None))
    plan = numbered(new, carried)
    _minutes_of_hours(old, plan, windows, turn)
    ended, open_ones = [], set()
    for n in [n for n in sorted(alerts.machines) if not bindings["live"][n]]:
        machine = alerts.machines.pop(n)
        if machine.open is None:
            continue
        open_ones.add(n)
        episode = replace(machine.open, state=Alert.SUPERSEDED, resolved_at=tick + TICK)
        told = {"tick": tick + TICK, "transition": str(Transition.SUPERSEDED), "episode": record(old, n, episode)}
        ended.append(told)
    gone += [replace(one, episode=n in open_ones) for n, one in gone_bindings.items()]
    began = bindings.select((pl.col("live") & (pl.col("since") == since)).sum()).item()
    return Over(plan, ended, gone, int(bindings["live"].sum()) - began, began)


def numbered(plan: Plan, carried: Carried) -> Plan:
    """The plan, as compiled, with the numbers kept for it. Raises NotCarried where they are of another one."""
    number = {key: n for n, key in _live(carried.points, "station", "factor")}
    to = [number.get(key) for key in plan.points.select("station", "factor").iter_rows()]
    if None in to or len(to) != len(number):
        raise NotCarried("points")
    numbers = pl.Series(to, dtype=pl.UInt32)
    waiting = defaultdict(list)
    for n, (content,) in _live(carried.bindings, "content"):
        waiting[content].append(n)
    found = [waiting[content].pop(0) if waiting[content] else None for content in contents(plan)]
    if None in found or any(waiting.values()):
        raise NotCarried("bindings")

    def moved(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
        return frame.with_columns(numbers.gather(frame[name]).alias(name) for name in columns)

    rows = moved(plan.bindings, "point").with_columns(pl.Series("binding", found, dtype=pl.UInt32))
    return replace(
        plan,
        points=_whole(moved(plan.points, "point"), carried.points.height, "point", POINTS),
        levels=moved(plan.levels, "point"),
        derived=moved(plan.derived, "out"),
        inputs=moved(plan.inputs, "out", "point"),
        bindings=_with_dead(rows, carried.bindings),
        carried=carried,
        number_of=numbers,
    )


def contents(plan: Plan) -> list[str]:
    """By row of the plan's bindings, a hash of all that decides what its verdicts are, but for what its point means."""
    names = dict(enumerate(plan.points.select("station", "factor").iter_rows()))
    levels = {row[:2]: row[2:] for row in plan.levels.select("point", "period", *_LEVEL).iter_rows()}
    found = []
    for point, *row in plan.bindings.select("point", *_BINDING).iter_rows():
        text = repr((names.get(point), levels.get((point, row[_BINDING.index("period")])), row))
        found.append(hashlib.sha256(text.encode()).hexdigest()[:32])
    return found


@dataclass(frozen=True)
class Meaning:
    """What the numbers of a point's windows depend on."""

    numbers: dict[str, object]  # of POINTS
    made: dict[str, str]  # period -> hash of the formula and of what its inputs mean; longer windows are of the longest

    def changes(self, other: "Meaning") -> list[str]:
        """The names of what is not the same; minutes beside its hours may be made or not."""
        found = [name for name, value in self.numbers.items() if other.numbers[name] != value]
        mine, its = (max(one.made, key=PERIODS.index, default=None) for one in (self, other))
        both = self.made.keys() & other.made.keys()
        if mine != its or any(self.made[period] != other.made[period] for period in both):
            found.append("what it is made of")
        return found


def meanings(plan: Plan) -> dict[Key, Meaning]:
    """By station and factor."""
    rows = plan.points.rows(named=True)
    made: dict[int, dict[str, list[str]]] = defaultdict(dict)
    fed = defaultdict(list)
    for row in plan.derived.iter_rows(named=True):
        kind = row["kind"]
        formula = None if kind in FORMULAS or kind not in plan.formulas else plan.formulas[kind]
        parts = () if formula is None else (formula.value, formula.reason, *formula.columns.values())
        own = (*map(str, parts), *(formula.columns if formula else ()))
        its = made[row["out"]].setdefault(row["period"], [])
        its.append(repr((kind, row["p"], row["q"], row["r"], *own)))
    for row in plan.inputs.iter_rows(named=True):
        fed[row["out"], row["period"]].append((row["role"], row["lag"], row["point"]))
    known: dict[tuple[int, str], str] = {}

    def numbers(n: int) -> dict[str, object]:
        return {name: rows[n][name] for name in _NUMBERS}

    def of(n: int, period: str) -> str:
        """Of its windows of a period; those longer than it is made by are of the longest."""
        shorter = [one for one in made.get(n, ()) if PERIODS.index(one) <= PERIODS.index(period)]
        own = max(shorter, key=PERIODS.index, default="")
        if (n, own) not in known:
            parts = [repr((role, lag, of(point, own))) for role, lag, point in fed[n, own]] if own else []
            text = repr((rows[n]["station"], rows[n]["factor"], numbers(n), own and made[n][own], sorted(parts)))
            known[n, own] = hashlib.sha256(text.encode()).hexdigest()
        return known[n, own]

    return {
        (row["station"], row["factor"]): Meaning(numbers(n), {period: of(n, period) for period in made.get(n, ())})
        for n, row in enumerate(rows)
        if row["station"]
    }


def _beginning(plan: Plan) -> Carried:
    """Of a plan nothing came before."""
    points = plan.points.select("station", "factor", since=0, follows=False, live=True)
    points = points.with_columns(pl.col("since").cast(pl.UInt32)).match_to_schema(CARRIED_POINTS)
    return Carried(points, _named(plan).with_columns(since=pl.lit(0, pl.UInt32)), (), None)


def _named(plan: Plan) -> pl.DataFrame:
    """CARRIED_BINDINGS of the plan's rows, all of them live, since nothing."""
    about = plan.points.select("station", "factor")
    named = plan.bindings.select("rule", "period", "limit_id", "point")
    names = about.select(pl.all().gather(named["point"]))
    return (
        named.hstack(names)
        .with_columns(content=pl.Series(contents(plan), dtype=pl.String), live=pl.lit(True), since=None)
        .with_columns(pl.col("since").cast(pl.UInt32))
        .select(CARRIED_BINDINGS.names())
        .match_to_schema(CARRIED_BINDINGS)
    )


def _points(old: Plan, new: Plan, before: Carried, since: int) -> tuple[pl.DataFrame, list[Gone]]:
    """CARRIED_POINTS, and those that were given up."""
    was, now = meanings(old), meanings(new)
    had = set(before.points.select("station", "factor").iter_rows())
    held = [key for _, key in _live(before.points, "station", "factor")]
    changed = {key: was[key].changes(now[key]) for key in held if key in now}
    kept = {key for key, its in changed.items() if not its}
    gone = []
    for key in [key for key in held if key not in kept]:
        why = f"{', '.join(changed[key])} changed" if key in changed else "is no more"
        gone.append(Gone("point", " ".join(key), why))
    live = [live and (station, factor) in kept for station, factor, *_, live in before.points.iter_rows()]
    rows = before.points.with_columns(live=pl.Series(live, dtype=pl.Boolean))
    begun = [
        (*key, since, key in had, True) for key in new.points.select("station", "factor").iter_rows() if key not in kept
    ]
    return pl.concat([rows, pl.DataFrame(begun, schema=CARRIED_POINTS, orient="row")]), gone


def _bindings(new: Plan, before: Carried, points: pl.DataFrame, since: int) -> tuple[pl.DataFrame, dict[int, Gone]]:
    """CARRIED_BINDINGS, and those that were given up by their number."""
    begun_points = set(
        points.filter(pl.col("live") & (pl.col("since") == since)).select("station", "factor").iter_rows()
    )
    new_rows = _named(new).with_columns(since=pl.lit(since, pl.UInt32))
    waiting = defaultdict(list)
    for n, (station, factor, content) in _live(before.bindings, "station", "factor", "content"):
        if (station, factor) not in begun_points:
            waiting[content].append(n)
    keeps, begins = set(), []
    for row, (station, factor, content) in enumerate(new_rows.select("station", "factor", "content").iter_rows()):
        if (station, factor) not in begun_points and waiting[content]:
            keeps.add(waiting[content].pop(0))
        else:
            begins.append(row)
    names = ("rule", "station", "factor", "period", "limit_id")
    there = set(new_rows.select(names).iter_rows())
    gone = {}
    for n, key in _live(before.bindings, *names):
        if n not in keeps:
            point_began = (key[1], key[2]) in begun_points
            why = "its point changed" if point_began else "changed" if key in there else "is no more"
            gone[n] = Gone("rule", " ".join(part for part in key if part), why)
    live = [n in keeps for n in range(before.bindings.height)]
    rows = before.bindings.with_columns(live=pl.Series(live, dtype=pl.Boolean))
    return pl.concat([rows, new_rows[begins]]), gone


def _live(frame: pl.DataFrame, *columns: str) -> list[tuple[int, tuple[Any, ...]]]:
    rows = frame.select("live", *columns).iter_rows()
    return [(n, tuple(row)) for n, (live, *row) in enumerate(rows) if live]


def _whole(rows: pl.DataFrame, height: int, number: str, schema: pl.Schema) -> pl.DataFrame:
    """Every number its row; one that was given up has no name, and nothing is fed by it."""
    every = pl.DataFrame({number: pl.int_range(height, dtype=pl.UInt32, eager=True)})
    texts = ("station", "factor", "medium", "outlet", "unit", "about")
    return (
        every.join(rows, on=number, how="left", maintain_order="left")
        .with_columns(pl.col(texts).fill_null(""), pl.col("is_published").fill_null(False))
        .with_columns(pl.col("decimals", "partition").fill_null(0), pl.col("interval_s").fill_null(60))
        .match_to_schema(schema)
    )


def _with_dead(rows: pl.DataFrame, named: pl.DataFrame) -> pl.DataFrame:
    """BINDINGS by number; one that was given up holds for no window."""
    every = named.select("rule", "period", "limit_id", "live").with_row_index("binding")
    dead = (
        every.filter(~pl.col("live")).drop("live").with_columns(statistic=pl.lit("mean"), from_at=_NEVER, to_at=_NEVER)
    )
    plain = {"above": True, "inclusive": False, "rounded": False, "except_zero": False, "while_stopped": False}
    dead = dead.with_columns(pl.lit(value).alias(name) for name, value in {**plain, "is_fallback": False}.items())
    return pl.concat([rows, dead], how="diagonal").sort("binding").match_to_schema(BINDINGS)


def _minutes_of_hours(old: Plan, new: Plan, windows: WindowState, turn: Turn) -> None:
    """One value a minute is a part of its hour as it came, unless somebody asks for minutes: then it is one of its
    minute, and the minute is the hour's. What no minute has been decided of yet changes its place with that."""
    store, n = windows.store, old.points.height

    def of(mask: pl.Series) -> pl.Expr:
        return pl.col("point").is_in(old.points["point"].filter(mask).implode()) & pl.col("revision").is_null()

    def placed(rows: pl.DataFrame, period: str) -> pl.DataFrame:
        return rows.with_columns(window_at=window_start(pl.col("at"), period, new.zone))

    direct, above = new.has_samples["hour"][:n], new.has_parts["minute", "hour"][:n]
    asked, given_up = old.has_samples["hour"] & above, old.has_parts["minute", "hour"] & direct
    undecided = pl.col("window_at") >= turn.undecided_from["minute"]
    if asked.any():
        rows = placed(store.take("hour", of(asked)), "minute")
        store.put("minute", rows, first=True)
        store.put("hour", placed(rows.filter(~undecided), "hour"), first=True)
    if given_up.any():
        rows = store.take("minute", of(given_up))
        store.put("hour", placed(rows.filter(undecided), "hour"), first=True)
