"""Compilation: a site and its rules become tables joined to frames.

Cost grows with readings, not with readings x rules: a rule exists only as rows of BINDINGS and as points made for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from contracts.factors import (
    CLOCK_LAG,
    FLOW_WEIGHTED_PREFIX,
    REJECT_COUNT,
    STATION_PRESENCE,
    TREATMENT_OFF,
    WASTE_WATER_FLOW,
)
from contracts.frames import INSTANT
from contracts.site import Site

from .base import RuleProblem, Select
from .bindings import BINDINGS, frame_of
from .carried import Carried
from .ground import DERIVED, INPUTS, Ground
from .kinds import BINDERS
from .made.conversions import Conversions, convert
from .made.depths import Depth, by_depth
from .made.formulas import FORMULAS, Formula
from .made.made_of import made_of
from .made.water import DISCHARGING_M3_H, FLOW_WEIGHTED, NOT_WEIGHTED
from .spec import Rule
from .tables.validity import completeness, marks
from .ticks import TICK
from .windows.due import OWN_S, PARENTS, PERIODS, decided_at, first_undecided

LEVELS = pl.Schema(
    {
        "point": pl.UInt32,
        "period": pl.String,
        "part_s": pl.Int64,  # length of one part: expected_n = window length // part_s
        "need": pl.Int64,  # judged with at least need/of of the expected parts valid
        "of": pl.Int64,
        "grid": pl.Boolean,  # decided for every window, data or none
        "below": pl.String,  # what its parts are: windows of this period, or null: readings
        "pools": pl.Boolean,  # sums and counts of its parts are added up; else every part is one value, its mean
    }
)

# point and period as one number: joining on it costs half of joining on both
ASKED = pl.col("point").cast(pl.Int64) * len(PERIODS) + pl.col("period").cast(pl.Enum(PERIODS)).to_physical()


@dataclass(frozen=True)
class Plan:
    site: Site
    points: pl.DataFrame  # contracts.points.POINTS; a point's number is its row
    marks: pl.DataFrame
    levels: pl.DataFrame
    derived: pl.DataFrame  # ground.DERIVED
    inputs: pl.DataFrame  # ground.INPUTS
    formulas: Mapping[str, Formula]
    bindings: pl.DataFrame  # bindings.BINDINGS
    hold: dict[str, timedelta]
    lateness: timedelta
    zone: str
    carried: Carried | None = None  # from the sites before; None: there was none, numbers are those of the ground
    number_of: pl.Series | None = None  # by the registry's number of a point, where the plan has others

    def decided_at(self, period: str) -> pl.Expr:
        """The tick that decides the window that starts at `window_at`: the first not before its end + hold.

        Where the hold was changed: what had been decided by then stays decided, all else is not due before the change.
        """
        return self._decided_at[period]

    @cached_property
    def _decided_at(self) -> dict[str, pl.Expr]:
        return {period: self._decided(period) for period in PERIODS}

    def _decided(self, period: str) -> pl.Expr:
        turns = self.carried.turns if self.carried is not None else ()
        holds = [*(turn.hold[period] for turn in turns), self.hold[period]]
        made = decided_at(period, {period: holds[0]}, self.zone)
        for turn, before, after in zip(turns, holds, holds[1:], strict=False):
            if before != after:
                due = decided_at(period, {period: after}, self.zone)
                due = pl.max_horizontal(due, pl.lit(turn.tick + TICK, INSTANT))
                made = pl.when(pl.col("window_at") < turn.undecided_from[period]).then(made).otherwise(due)
        return made

    def first_undecided(self, period: str, tick: datetime) -> datetime:
        """Windows that start before it have been decided at the tick, others not."""
        at = first_undecided(period, tick, self.hold[period], self.zone)
        if self.carried is None:
            return at
        last = self.carried.turns[-1]
        return last.undecided_from[period] if tick == last.tick else max(at, last.undecided_from[period])

    def hold_longest(self, period: str) -> timedelta:
        turns = self.carried.turns if self.carried is not None else ()
        return max(self.hold[period], *(turn.hold[period] for turn in turns)) if turns else self.hold[period]

    def is_kept(self, tick: pl.Expr, decided: pl.Expr) -> pl.Expr:
        """Whether a window of that decision is still there to be revised at the tick."""
        kept = tick <= decided + self.reach
        if self.carried is not None and self.carried.kept_from is not None:
            kept &= decided >= self.carried.kept_from
        return kept

    @cached_property
    def begun_at(self) -> pl.Series | None:
        """By binding number: the last tick whose verdicts are not its own, null: all are; None: of all of them."""
        return None if self.carried is None else self.carried.begun_at()

    def own_from(self, period: str) -> pl.Series | None:
        """By point number: start of its first window that nobody had decided before it, null: no matter."""
        return self._own_from.get(period)

    @cached_property
    def _own_from(self) -> dict[str, pl.Series]:
        if self.carried is None or not self.carried.points["follows"].any():
            return {}
        return {period: self.carried.points_from(period, decided=True) for period in PERIODS}

    @cached_property
    def levels_of(self) -> dict[str, pl.DataFrame]:
        """LEVELS by period."""
        return {period: self.levels.filter(pl.col("period") == period).drop("period") for period in PERIODS}

    @cached_property
    def reach(self) -> timedelta:
        """So long after its decision a window is still revised; a reading older than `max_age` is a reject before."""
        return self.site.file.max_age + self.lateness

    @cached_property
    def made_of(self) -> dict[int, dict[str, Any]]:
        """By number of a point made for a rule: what its text speaks of, see made_of.py."""
        return made_of(self.points, self.derived, self.inputs)

    @cached_property
    def asked_bindings(self) -> pl.DataFrame:
        """bindings, to be joined by ASKED; a column `asked` for point and period, `instant_s` for `window_s`."""
        return self.bindings.rename({"window_s": "instant_s"}).with_columns(asked=ASKED).drop("point", "period")

    @cached_property
    def statistics(self) -> list[str]:
        """Those that any binding is compared by."""
        return sorted(self.bindings["statistic"].unique())

    @cached_property
    def periods(self) -> list[str]:
        """Those of which any window is judged."""
        return sorted(self.bindings["period"].unique())

    @cached_property
    def period_of(self) -> list[str]:
        """By binding number."""
        return self.bindings["period"].to_list()

    @cached_property
    def is_measured(self) -> pl.Series:
        """By point number: whether a device speaks for it."""
        return self.points["kind"].is_not_null()

    @cached_property
    def scale(self) -> pl.Series:
        """By point number: 10^decimals."""
        return self.points.select(pl.lit(10.0).pow(pl.col("decimals").cast(pl.Float64))).to_series()

    @cached_property
    def own_points(self) -> dict[str, pl.DataFrame]:
        """station, point of what the pipeline counts itself, by its factor."""
        return {
            factor: self.points.filter(pl.col("factor") == factor).select("station", "point")
            for factor in (STATION_PRESENCE, REJECT_COUNT, CLOCK_LAG)
        }

    @cached_property
    def has_samples(self) -> dict[str, pl.Series]:
        """By period, by point number: whether the point's readings are parts of the period's windows."""
        return {period: self._is_in(rows.filter(pl.col("below").is_null())) for period, rows in self.levels_of.items()}

    @cached_property
    def has_parts(self) -> dict[tuple[str, str], pl.Series]:
        """By (period, longer one), by point number: whether the point's windows of the one are parts of the other's."""
        return {
            (period, parent): self._is_in(self.levels_of[parent].filter(pl.col("below") == period))
            for period, parents in PARENTS.items()
            for parent in parents
        }

    def _is_in(self, rows: pl.DataFrame) -> pl.Series:
        return self.points["point"].is_in(rows["point"].implode())

    @cached_property
    def grid_of(self) -> dict[str, pl.DataFrame]:
        """Points whose windows of the period are decided with or without data: point, valid_from, valid_to, from_at."""
        dated = self.points.select("point", "valid_from", "valid_to")

        def begins(period: str) -> pl.Series:
            if self.carried is None:
                return pl.repeat(None, dated.height, dtype=INSTANT, eager=True)
            return self.carried.points_from(period, decided=False)

        return {
            period: rows.filter("grid").select("point").join(dated.with_columns(from_at=begins(period)), on="point")
            for period, rows in self.levels_of.items()
        }

    @cached_property
    def pooling(self) -> dict[str, tuple[pl.Expr, pl.Expr]]:
        """By period, of a point: whether its windows pool their parts; how many of these there are in one that is
        pooled, 0: none is."""
        return {period: (self._pools(period), self._pooled_parts(period)) for period in PERIODS}

    def _pools(self, period: str) -> pl.Expr:
        pooled = self.levels_of[period].select("point", "pools")
        if pooled["pools"].n_unique() < 2:
            return pl.lit(bool(pooled["pools"].any()))
        return pl.col("point").is_in(pooled.filter("pools")["point"].implode())

    def _pooled_parts(self, period: str) -> pl.Expr:
        pooled = self.levels_of[period].filter(pl.col("pools") & pl.col("below").is_not_null())
        if pooled.is_empty():
            return pl.lit(0, pl.Int64)
        counts = [OWN_S[below] // part_s for below, part_s in pooled.select("below", "part_s").iter_rows()]
        return pl.col("point").replace_strict(pooled["point"], counts, default=0, return_dtype=pl.Int64)

    @cached_property
    def depths(self) -> dict[str, list[Depth]]:
        """By period, shallowest first: points made of this period's windows."""
        tables = (self.points, self.derived, self.inputs)
        return {period: by_depth(*tables, self.levels_of[period], period) for period in PERIODS}


def compile_plan(site: Site, rules: list[Rule]) -> Plan:
    """A rule is bound to the points it selects that have its window. Raises RuleProblem for two rules of one id."""
    ground, converted = ground_of(site)
    bound = [(rule, BINDERS[type(rule)](rule, ground)) for rule in rules]
    bindings = frame_of(bound)
    converted.minutes(ground, _asked(ground, bindings)["minute"])
    derived, inputs = pl.DataFrame(ground.derived, schema=DERIVED), pl.DataFrame(ground.inputs, schema=INPUTS)
    levels = _levels(ground, bindings)
    hold = site.file.hold_s
    return Plan(
        site=site,
        points=ground.point_frame(),
        marks=marks(),
        levels=levels,
        derived=derived,
        inputs=inputs,
        formulas=ground.formulas,
        bindings=_with_window(bindings, levels, derived),
        hold={period: timedelta(seconds=getattr(hold, period)) for period in PERIODS},
        lateness=site.file.lateness,
        zone=site.time_zone,
    )


def ground_of(site: Site) -> tuple[Ground, Conversions]:
    """What the registry alone has made, before any rule: its points, their conversions, flow-weighted days, pairs."""
    ground = Ground(site)
    converted = convert(ground)
    _meaning(ground)
    return ground, converted


def idle(plan: Plan, rules: list[Rule]) -> list[RuleProblem]:
    """Rules that are bound to no point: a shipped one may be, in a site's own file it is a slip."""
    bound = set(plan.bindings["rule"])
    return [RuleProblem(rule.id, "select", _why_idle(plan.site, rule)) for rule in rules if rule.id not in bound]


def _why_idle(site: Site, rule: Rule) -> str:
    points = [row for row in Ground(site).registered if not row["factor"].startswith("$")]
    if any(map(rule.select.fits, points)):
        needs = "such a window, and where it needs them a second factor, a limit, a pair, a range"
        return f"selects no point of this site that has what kind {rule.kind} judges: {needs}"
    given = {key: values for key in Select.model_fields if (values := getattr(rule.select, key))}
    if len(given) == 1:
        return "".join(f"selects no point: this site has none of {key} {' '.join(its)}" for key, its in given.items())
    without = {key: sum(map(rule.select.model_copy(update={key: ()}).fits, points)) for key in given}
    hints = [f"; without {key} it would select {n}" for key, n in without.items() if n]
    return "selects no point of this site" + "".join(hints)


def _with_window(bindings: pl.DataFrame, levels: pl.DataFrame, derived: pl.DataFrame) -> pl.DataFrame:
    """Bindings whose point has such a window: an analyser that gives a value in two hours has no hours."""
    made = derived.select("period", point="out")
    there = pl.concat([levels.select("point", "period"), made.select("point", "period")]).unique()
    bound = bindings.join(there, on=["point", "period"], how="semi", maintain_order="left")
    return bound.drop("binding").with_row_index("binding").match_to_schema(BINDINGS)


def _meaning(ground: Ground) -> None:
    """What the registry's own made points are made of, whatever the rules."""
    _weigh_by_flow(ground)
    for pair in ground.site.pairs:
        ground.feed(
            ground.number[pair.treatment_station, f"{TREATMENT_OFF}:{pair.pair}"],
            "treatment_off",
            "minute",
            {
                "a": [ground.number[pair.production_station, pair.production_factor]],
                "b": [ground.number[pair.treatment_station, pair.treatment_factor]],
            },
            p=pair.production_on_kw,
            q=pair.treatment_on_kw,
        )


def _weigh_by_flow(ground: Ground) -> None:
    """Waste water's daily means, where the station measures its flow."""
    for point in ground.registered:
        station, factor = point["station"], point["factor"]
        flow = ground.find(station, WASTE_WATER_FLOW)
        if point["medium"] != "waste_water" or flow is None or factor[:1] != "w" or factor in NOT_WEIGHTED:
            continue
        ground.make(
            station,
            FLOW_WEIGHTED_PREFIX + factor,
            FLOW_WEIGHTED,
            "day",
            {"a": [ground.judged(station, factor, "hour")], "b": [flow]},
            about=factor,
            unit=point["unit"],
            decimals=point["decimals"],
            like=point,
            q=DISCHARGING_M3_H,
            published=True,
        )


def _asked(ground: Ground, bindings: pl.DataFrame) -> dict[str, set[int]]:
    """By period the points somebody asks for: a rule, or a point made of them. Five minutes are made of minutes."""
    asked: dict[str, set[int]] = {period: set() for period in PERIODS}
    for point, period in bindings.select("point", "period").iter_rows():
        asked[period].add(point)
    for row in ground.inputs:
        asked[row["period"]].add(row["point"])
    asked["minute"] |= asked["five_minute"]
    return asked


def _levels(ground: Ground, bindings: pl.DataFrame) -> pl.DataFrame:
    complete, asked = completeness(ground.site), _asked(ground, bindings)
    rank = {period: n for n, period in enumerate(PERIODS)}
    base: dict[int, str] = {}  # of a made point its longest own windows: longer ones are made of those
    for row in ground.derived:
        if row["out"] not in base or rank[row["period"]] > rank[base[row["out"]]]:
            base[row["out"]] = row["period"]
    counted = {row["out"] for row in ground.derived if row["kind"] in FORMULAS and FORMULAS[row["kind"]].is_counted}
    cycle_s = {row["point"]: row["interval_s"] for row in ground.registered}
    slow: dict[int, int] = {}  # of what a slow analyser gives by the day the year counts its cycles
    for row in ground.inputs:
        made_of_s = slow.get(row["point"], cycle_s.get(row["point"], 0))
        if row["period"] == "day" and row["role"] == "a" and made_of_s > 3600:
            slow.setdefault(row["out"], made_of_s)
    rows = []
    for point in ground.rows:
        n, interval_s = point["point"], point["interval_s"]

        def add(
            period: str,
            part_s: int,
            *,
            grid: bool = True,
            below: str | None = None,
            pools: bool = False,
            point: dict[str, Any] = point,
        ) -> None:
            rule = complete.get((point["medium"], period))
            need, of = ground.complete.get(point["point"], (rule.need, rule.of) if rule else (1, 1))
            rows.append(
                {
                    "point": point["point"],
                    "period": period,
                    "part_s": part_s,
                    "need": need,
                    "of": of,
                    "grid": grid,
                    "below": below,
                    "pools": pools or period == "year",
                }
            )

        if point["factor"] in (STATION_PRESENCE, REJECT_COUNT):
            if n in asked["minute"]:
                add("minute", 60)
            continue
        if point["factor"] == CLOCK_LAG:
            if n in asked["hour"]:
                add("hour", 60, grid=False)  # where nothing is received there is no lag
            continue
        if n in base:
            # what has a name of its own in the registry is shown in every window
            wanted = (
                ("hour", "day", "month", "year") if not point["factor"].startswith("$") else ground.above.get(n, ())
            )
            asked_for = [period for period in PERIODS if n in asked[period]]
            for period, below in _chain(base[n], (*wanted, *asked_for)):
                # a count or a share is one of the windows that are counted, not of days
                pools = (n in counted and below != base[n]) or (period == "month" and point["factor"].startswith("$"))
                part_s = slow.get(n, 3600) if period == "year" or pools else OWN_S[below]
                part_s = OWN_S[base[n]] if n in counted else part_s
                add(period, part_s, below=below, pools=pools)
            continue
        if n in asked["instant"]:
            add("instant", 1, grid=False)
        # a minute mean of one value a minute is that value: the window is made only where somebody asks for it
        whole_minutes = interval_s == 60 and point["period_s"] == 60 and n not in asked["minute"]
        if interval_s <= 60 and not whole_minutes:
            add("minute", interval_s, grid=n in asked["minute"])
            if n in asked["five_minute"]:
                add("five_minute", 60, below="minute")
            add("hour", 60, below="minute")
        elif interval_s <= 3600:
            add("hour", interval_s)
        if interval_s <= 3600:
            add("day", 3600, below="hour")
        else:
            add("day", interval_s)
        add("month", 86400, below="day")
        add("year", 3600 if interval_s <= 3600 else interval_s, below="day")
    return pl.DataFrame(rows, schema=LEVELS)


def _chain(base: str, wanted: Iterable[str]) -> list[tuple[str, str]]:
    """The periods longer than `base` that are wanted or lie between, each with the one it is made of; ascending."""
    below = {"five_minute": "minute", "hour": "minute", "day": "hour", "month": "day", "year": "day"}
    if base == "five_minute":
        below["day"] = base
    found: dict[str, str] = {}
    for period in wanted:
        steps = [period]
        while steps[-1] != base and steps[-1] in below:
            steps.append(below[steps[-1]])
        if steps[-1] == base:
            found |= {step: below[step] for step in steps[:-1]}
    return [(period, found[period]) for period in PERIODS if period in found]
