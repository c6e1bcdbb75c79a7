"""What a reading costs the rules with few and with many rows in the limit table.

Points, readings and matching (reading, limit) pairs are the same on all sides; every reading is judged once, as an
instant value. The rows that make the table longer belong to outlets without stations, or are earlier editions.
And the rate: the same readings through windows, verdicts and episodes, under as many rules as there are limits.
"""

from datetime import date, timedelta

import polars as pl

from contracts.site import Limit, Site
from rules.alerts.update import AlertState, update
from rules.evaluate import evaluate
from rules.plan import Plan, compile_plan
from rules.spec import LimitRule, Rule, Select
from rules.windows.advance import advance, start
from rules.windows.samples import SAMPLES

from .harness import Figure, Size, alternate, figure, rates, ratios
from .workload import IN_ALARM_EVERY, INSTANT_RULE, MINUTE, START, limit, site_of

OUTLETS, STATIONS, FACTORS = 50, 20, 20  # 20,000 points under 1,000 limits
LONG = 100  # times as many limit rows
EDITIONS = 4  # earlier ones of every limit that holds
MINUTES = 5
KNOWN_AFTER = timedelta(seconds=1)  # within the hold of instant values: a later one is a revision, judged row by row
RATIO_MAX = 1.3
RATE_MIN = 500_000


def measure(size: Size) -> list[Figure]:
    """20,000 points, one reading a minute each, judged against their limits."""
    site = site_of(size.of(OUTLETS), STATIONS, FACTORS, period="instant")
    held = len(site.limits)
    elsewhere = _elsewhere(held * (LONG - 1), held)
    earlier = [
        limit(n, one.outlet, one.factor, "instant", valid_from=date(2000 + n, 1, 1), valid_to=date(2000 + n, 12, 31))
        for one in site.limits
        for n in range(EDITIONS)
    ]
    few = compile_plan(site, INSTANT_RULE)
    many = compile_plan(_with(site, elsewhere), INSTANT_RULE)
    dated = compile_plan(_with(site, [*elsewhere[len(earlier) :], *earlier]), INSTANT_RULE)
    minutes = [_minute(few, minute) for minute in range(MINUTES)]
    decided = _decisions(few, minutes)
    judged = evaluate(few, decided).height
    assert judged == evaluate(many, decided).height == evaluate(dated, decided).height == decided.height

    readings = sum(minute.height for minute in minutes)
    judging = [lambda plan=plan: _judge(plan, decided) for plan in (few, many, dated)]
    together, apart = pl.concat(minutes), compile_plan(site, _a_rule_each(site))
    assert apart.bindings["rule"].n_unique() == held
    assert _decide(apart, together) == decided.height
    sides = [*judging, lambda: _decisions(few, minutes), lambda: _decide(apart, together)]
    *judged_s, windows, whole = alternate(size.rounds, *sides)
    few_s, many_s, dated_s = (its.cpu for its in judged_s)
    long = held * LONG

    def cost(name: str, seconds: list[float]) -> Figure:
        return figure(name, "CPU us each", [s * 1e6 / readings for s in seconds])

    return [
        cost(f"a reading, {held:,} limit rows", few_s),
        cost(f"a reading, {long:,} rows", many_s),
        cost(f"a reading, {long:,} with editions", dated_s),
        figure(f"{long:,} rows over {held:,}", "ratio", ratios(many_s, few_s), ("<=", RATIO_MAX)),
        figure(f"{long:,} with editions over {held:,}", "ratio", ratios(dated_s, few_s), ("<=", RATIO_MAX)),
        cost("a reading's windows, before judging", windows.cpu),
        figure(f"windows and {held:,} rules", "readings/s", rates(readings, whole.wall), (">=", RATE_MIN)),
        figure(f"windows and {held:,} rules", "per CPU s", rates(readings, whole.cpu)),
    ]


def _elsewhere(count: int, first: int) -> list[Limit]:
    return [limit(first + n, f"X{n // FACTORS}", f"a{n % FACTORS:05d}", "instant") for n in range(count)]


def _with(site: Site, limits: list[Limit]) -> Site:
    return site.model_copy(update={"limits": (*site.limits, *limits)})


def _a_rule_each(site: Site) -> list[Rule]:
    """One for every limit, each on the points it is a limit of."""
    return [
        LimitRule(
            id=one.limit_id, kind="limit", period="instant", select=Select(outlet=(one.outlet,), factor=(one.factor,))
        )
        for one in site.limits
    ]


def _minute(plan: Plan, minute: int) -> pl.DataFrame:
    """SAMPLES: one of every measured point."""
    at = START + minute * MINUTE
    number = pl.int_range(pl.len(), dtype=pl.Int64)
    decimals = plan.points.filter(pl.col("kind").is_not_null()).select("point", "decimals", "station")
    is_in_alarm = pl.col("station").rank("dense") % IN_ALARM_EVERY == 0
    tenths = (number + 7 * minute) % 300 + pl.when(is_in_alarm).then(600).otherwise(100)
    return decimals.select(
        "point",
        at=pl.lit(at),
        tick=pl.lit(at + KNOWN_AFTER),
        value=tenths * pl.lit(10).pow(pl.col("decimals").cast(pl.Int64) - 1).cast(pl.Int64),
        valid=pl.lit(True),
        over=pl.lit(False),
        device_revision=pl.lit(0, pl.Int32),
        received_at=pl.lit(at + KNOWN_AFTER),
        message=pl.lit(b"m", pl.Binary),
    ).cast(dict(SAMPLES))


def _decisions(plan: Plan, minutes: list[pl.DataFrame]) -> pl.DataFrame:
    state = start(START)
    made = [advance(plan, state, samples, samples["at"][0] + MINUTE / 2).decisions for samples in minutes]
    return pl.concat(made).filter(pl.col("period") == "instant")


def _decide(plan: Plan, samples: pl.DataFrame) -> int:
    """All of them in one step, as an engine that catches up; how many were judged."""
    to, state = samples["at"].max() + MINUTE / 2, start(START)
    judged = evaluate(plan, advance(plan, state, samples, to).decisions)
    update(plan, AlertState(), judged, to)
    return judged.height


def _judge(plan: Plan, decided: pl.DataFrame) -> None:
    judged = evaluate(plan, decided)
    update(plan, AlertState(), judged, decided["tick"].max())
