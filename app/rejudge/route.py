"""Rejudging: which verdicts can be had from archived windows, and which need the readings again.

Promises: what is judged from archived windows is what the production path would have judged; where that is not sure,
the readings are gone through again. Every rule says which way it went, and why. Knows no files.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from contracts.civil_time import window_start
from contracts.facts import EFFECTS
from contracts.frames import INSTANT
from contracts.points import point_table
from contracts.site import Site
from rules.plan import Plan
from rules.windows.due import PERIODS, end_of
from rules.windows.parts import LONGEST

ARCHIVED = ("hour", "day", "month", "year")  # windows of the registry's own points: the archive has them all
LOST = ("over_n",)  # statistics of what AGGREGATES does not keep

# Why a series is judged from its readings; the first that holds.
WHY = ("other_registry", "short_window", "made_for_a_rule", "not_kept", "fact")


@dataclass(frozen=True)
class Routes:
    """Three plans with the same numbers of points and bindings."""

    plan: Plan  # of the new rules, whole
    by_aggregates: Plan
    by_readings: Plan  # with what its windows are made of, and nothing else
    table: pl.DataFrame  # rule, aggregates, readings (series each), why (of WHY, those that occur)


def routes(old: Plan, new: Plan, effects: pl.DataFrame, from_at: datetime, to_at: datetime) -> Routes:
    """old: the plan of the site that the archive was made by. effects: of people's facts, contracts.facts.EFFECTS."""
    known = pl.concat(
        [old.levels.select("point", "period"), old.derived.select(pl.col("out").alias("point"), "period")]
    )
    there = known.join(old.points.filter("is_published"), on="point").select("station", "factor", "period").unique()
    touched = effects.match_to_schema(EFFECTS).filter(
        (pl.col("from_at") < to_at) & (pl.col("to_at").is_null() | (pl.col("to_at") > from_at))
    )["point"]
    named = new.points.select("point", "station", "factor", "is_published")
    routed = (
        new.bindings.select("binding", "rule", "point", "period", "statistic")
        .join(named, on="point", how="left", maintain_order="left")
        .join(there.with_columns(is_there=pl.lit(True)), on=["station", "factor", "period"], how="left")
        .select(
            "binding",
            "rule",
            why=pl.when(pl.col("station").is_in(sorted(changed_stations(old.site, new.site))))
            .then(pl.lit("other_registry"))
            .when(~pl.col("period").is_in(ARCHIVED))
            .then(pl.lit("short_window"))
            .when(~(pl.col("is_published") & pl.col("is_there").fill_null(False)))
            .then(pl.lit("made_for_a_rule"))
            .when(pl.col("statistic").is_in(LOST))
            .then(pl.lit("not_kept"))
            .when(pl.col("point").is_in(touched.implode()))
            .then(pl.lit("fact")),
        )
        .sort("binding")
    )
    again = routed["why"].is_not_null()
    table = (
        routed.group_by("rule")
        .agg(
            aggregates=pl.col("why").is_null().sum(),
            readings=pl.col("why").is_not_null().sum(),
            why=pl.col("why").drop_nulls().unique().sort(),
        )
        .sort("rule")
    )
    return Routes(
        plan=new,
        by_aggregates=replace(new, bindings=new.bindings.filter(~again)),
        by_readings=_only(new, new.bindings.filter(again)),
        table=table,
    )


def changed_stations(old: Site, new: Site) -> set[str]:
    """Stations whose windows the other registry would make in another way; all of them where time itself differs."""
    stations = {station.station for station in new.stations}
    if (old.time_zone, old.file.validity) != (new.time_zone, new.file.validity):
        return stations
    if all(getattr(old, name) == getattr(new, name) for name in ("points", "stations", "outlets", "pairs", "factors")):
        return set()
    entries = [_entries(site) for site in (old, new)]
    return {station for station in stations if entries[0].get(station) != entries[1].get(station)}


def _entries(site: Site) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    columns = pl.all().exclude("point", "partition", "outlet")
    for row in point_table(site).select(columns).iter_rows(named=True):
        found.setdefault(row["station"], []).append(sorted(row.items()))
    for point in site.points:
        found[point.station].append(point)
    for pair in site.pairs:
        found[pair.treatment_station].append(pair)
    return found


def _only(plan: Plan, bindings: pl.DataFrame) -> Plan:
    """The plan with these bindings alone, the points they are about and what those are made of."""
    made_of: dict[int, set[int]] = {}
    for out, point in plan.inputs.select("out", "point").iter_rows():
        made_of.setdefault(out, set()).add(point)
    needed: set[int] = set()
    more = set(bindings["point"])
    while more:
        needed |= more
        more = {point for out in more for point in made_of.get(out, ())} - needed
    numbers = pl.Series(sorted(needed), dtype=pl.UInt32).implode()
    return replace(
        plan,
        bindings=bindings,
        levels=plan.levels.filter(pl.col("point").is_in(numbers)),
        derived=plan.derived.filter(pl.col("out").is_in(numbers)),
        inputs=plan.inputs.filter(pl.col("out").is_in(numbers)),
    )


def longest_period(plan: Plan) -> str:
    """The longest window anything of it is judged by or made of."""
    periods = {*plan.bindings["period"], *plan.inputs["period"]}
    return max(periods, key=PERIODS.index, default="instant")


def read_from(plan: Plan, from_at: datetime) -> datetime:
    """Start of the earliest window that a window from `from_at` on needs: its own, or one it looks back to."""
    period = longest_period(plan)
    lags = plan.inputs["lag"].max()
    back = LONGEST[period] * (lags if isinstance(lags, int) else 0)
    return _start(from_at - back, period, plan.zone)


def read_to(plan: Plan, to_at: datetime) -> datetime:
    """End of the last window that begins before `to_at`."""
    period = longest_period(plan)
    start = _start(to_at - timedelta(microseconds=1), period, plan.zone)
    end = pl.select(window_at=pl.lit(start, INSTANT)).select(end_of(period, plan.zone)).item()
    return max(to_at, end)


def _start(at: datetime, period: str, zone: str) -> datetime:
    if period == "instant":
        return at
    return pl.select(window_start(pl.lit(at, INSTANT), period, zone)).item()
