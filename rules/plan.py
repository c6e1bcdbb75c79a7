"""Compilation: a site and its rules become tables joined to frames.

Cost grows with readings, not with readings x rules: a rule exists only as rows of BINDINGS.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import polars as pl

from contracts.factors import CONVERTED_PREFIX, REJECT_COUNT, STATION_PRESENCE, TREATMENT_OFF
from contracts.points import O2, point_table
from contracts.site import Site

from .bindings import BINDINGS, RuleProblem, bind
from .spec import Rule
from .validity import completeness, marks

PERIODS = ("instant", "minute", "hour", "day", "year")  # ascending: a window's parts come from one before it
PARENT = {"minute": "hour", "hour": "day", "day": "year"}

LEVELS = pl.Schema(
    {
        "point": pl.UInt32,
        "period": pl.String,
        "part_s": pl.Int64,  # length of one part: expected_n = window length // part_s
        "need": pl.Int64,  # judged with at least need/of of the expected parts valid
        "of": pl.Int64,
        "grid": pl.Boolean,  # decided for every window, data or none
        "from_samples": pl.Boolean,  # parts are readings, not windows of the period below
    }
)

DERIVED = pl.Schema(
    {
        "out": pl.UInt32,
        "a": pl.UInt32,
        "b": pl.UInt32,
        "period": pl.String,
        "kind": pl.String,  # "convert_o2": a is the measured value, b the O2; "treatment_off": production, treatment
        "p": pl.Float64,  # convert_o2: reference O2, %; treatment_off: production is on from so many kW
        "q": pl.Float64,  # treatment_off: treatment is on from so many kW
    }
)


@dataclass(frozen=True)
class Plan:
    site: Site
    points: pl.DataFrame  # contracts.points.POINTS
    marks: pl.DataFrame
    levels: pl.DataFrame
    derived: pl.DataFrame
    bindings: pl.DataFrame  # bindings.BINDINGS
    hold: dict[str, timedelta]
    lateness: timedelta
    zone: str

    @cached_property
    def levels_of(self) -> dict[str, pl.DataFrame]:
        """LEVELS by period."""
        return {period: self.levels.filter(pl.col("period") == period).drop("period") for period in PERIODS}

    @cached_property
    def measured(self) -> pl.DataFrame:
        """Points a device speaks for."""
        return self.points.filter(pl.col("kind").is_not_null()).select("point")

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
            for factor in (STATION_PRESENCE, REJECT_COUNT)
        }

    @cached_property
    def derived_of(self) -> dict[tuple[str, str], pl.DataFrame]:
        """DERIVED by period and kind; what is not there is empty."""
        return self.derived.partition_by("period", "kind", as_dict=True)  # type: ignore[return-value]

    @cached_property
    def has_samples(self) -> dict[str, pl.Series]:
        """By period, by point number: whether the point's readings are parts of the period's windows."""
        return {period: self._is_in(rows.filter("from_samples")) for period, rows in self.levels_of.items()}

    @cached_property
    def has_parts(self) -> dict[str, pl.Series]:
        """By period, by point number: whether the point's smaller windows are parts of the period's windows."""
        return {period: self._is_in(rows.filter(~pl.col("from_samples"))) for period, rows in self.levels_of.items()}

    def _is_in(self, rows: pl.DataFrame) -> pl.Series:
        return self.points["point"].is_in(rows["point"].implode())

    @cached_property
    def grid_of(self) -> dict[str, pl.DataFrame]:
        """Points whose windows of the period are decided with or without data: point, valid_from, valid_to."""
        dated = self.points.select("point", "valid_from", "valid_to")
        return {
            period: rows.filter("grid").select("point").join(dated, on="point")
            for period, rows in self.levels_of.items()
        }


def compile_plan(site: Site, rules: list[Rule]) -> Plan:
    """A rule is bound to the points it selects that have its window. Raises RuleProblem for two rules of one id."""
    points = point_table(site)
    number = {(station, factor): n for n, station, factor in points.select("point", "station", "factor").iter_rows()}
    bindings = bind(site, rules, points)
    asked_by_minute = set(bindings.filter(pl.col("period") == "minute")["point"])
    derived = _derived(site, number, asked_by_minute)
    by_minute = asked_by_minute | set(
        derived.filter(pl.col("period") == "minute").select(pl.concat_list("a", "b").explode()).to_series()
    )
    instants = set(bindings.filter(pl.col("period") == "instant")["point"])
    hold = site.file.hold_s
    levels = _levels(site, points, derived, by_minute, instants)
    return Plan(
        site=site,
        points=points,
        marks=marks(),
        levels=levels,
        derived=derived,
        bindings=_with_window(bindings, levels, derived),
        hold={period: timedelta(seconds=getattr(hold, period)) for period in PERIODS},
        lateness=site.file.lateness,
        zone=site.time_zone,
    )


def idle(plan: Plan, rules: list[Rule]) -> list[RuleProblem]:
    """Rules that are bound to no point: a shipped one may be, in a site's own file it is a slip."""
    bound = set(plan.bindings["rule"])
    what = "selects no point of this site that has such a window"
    return [RuleProblem(rule.id, "select", what) for rule in rules if rule.id not in bound]


def _with_window(bindings: pl.DataFrame, levels: pl.DataFrame, derived: pl.DataFrame) -> pl.DataFrame:
    """Bindings whose point has such a window: an analyser that gives a value in two hours has no hours."""
    made = derived.select("period", point="out")
    there = pl.concat([levels.select("point", "period"), made.select("point", "period")]).unique()
    bound = bindings.join(there, on=["point", "period"], how="semi", maintain_order="left")
    return bound.drop("binding").with_row_index("binding").match_to_schema(BINDINGS)


def _derived(site: Site, number: dict[tuple[str, str], int], asked_by_minute: set[int]) -> pl.DataFrame:
    """DERIVED. A point converted by the hour is converted by the minute as well where a rule asks for its minutes."""
    rows: list[dict[str, object]] = []
    for point in site.points:
        if point.ref_o2_pct is None:
            continue
        out = number[point.station, CONVERTED_PREFIX + point.factor]
        base = "hour" if point.convert == "mean_then_convert" else "minute"
        for period in dict.fromkeys([base, *(["minute"] if out in asked_by_minute else [])]):
            rows.append(
                {
                    "out": out,
                    "a": number[point.station, point.factor],
                    "b": number[point.station, O2],
                    "period": period,
                    "kind": "convert_o2",
                    "p": point.ref_o2_pct,
                }
            )
    for pair in site.pairs:
        rows.append(
            {
                "out": number[pair.treatment_station, f"{TREATMENT_OFF}:{pair.pair}"],
                "a": number[pair.production_station, pair.production_factor],
                "b": number[pair.treatment_station, pair.treatment_factor],
                "period": "minute",
                "kind": "treatment_off",
                "p": pair.production_on_kw,
                "q": pair.treatment_on_kw,
            }
        )
    return pl.DataFrame(rows, schema=DERIVED)


def _levels(
    site: Site, points: pl.DataFrame, derived: pl.DataFrame, by_minute: set[int], instants: set[int]
) -> pl.DataFrame:
    complete = completeness(site)
    base = dict(derived.sort("period", descending=True).select("out", "period").iter_rows())  # hour, where there is one
    rows = []
    for point in points.iter_rows(named=True):
        n, interval_s = point["point"], point["interval_s"]

        def add(
            period: str,
            part_s: int,
            *,
            grid: bool = True,
            from_samples: bool = False,
            n: int = n,
            medium: str = point["medium"],
        ) -> None:
            rule = complete.get((medium, period))
            rows.append(
                {
                    "point": n,
                    "period": period,
                    "part_s": part_s,
                    "need": rule.need if rule else 1,
                    "of": rule.of if rule else 1,
                    "grid": grid,
                    "from_samples": from_samples,
                }
            )

        if n in instants:
            add("instant", 1, grid=False, from_samples=True)
        if point["factor"] in (STATION_PRESENCE, REJECT_COUNT):
            if n in by_minute:
                add("minute", 60, from_samples=True)
        elif point["factor"].startswith(TREATMENT_OFF):
            continue
        elif n in base:
            if base[n] == "minute":  # convert then mean
                add("hour", 60)
            add("day", 3600)
            add("year", 3600)
        else:
            # a minute mean of one value a minute is that value: the window is made only where somebody asks for it
            whole_minutes = interval_s == 60 and point["period_s"] == 60 and n not in by_minute
            if interval_s <= 60 and not whole_minutes:
                add("minute", interval_s, grid=n in by_minute, from_samples=True)
                add("hour", 60)
            elif interval_s <= 3600:
                add("hour", interval_s, from_samples=True)
            if interval_s <= 3600:
                add("day", 3600)
                add("year", 3600)
            else:
                add("day", interval_s, from_samples=True)
                add("year", interval_s)
    return pl.DataFrame(rows, schema=LEVELS)
