"""Means that are weighted, counted in minutes, or made of days: a naive oracle agrees with every revision."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from rules.kinds.plausibility import OccurrencesRule, RangeRule
from rules.plan import compile_plan
from rules.windows.advance import advance, start
from tests.builders import sample, samples, site

MIDNIGHT = datetime(2026, 2, 28, 16, tzinfo=UTC)  # 2026-03-01 in Shanghai
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
few = settings(max_examples=max(4, settings().max_examples // 3))


def made_of(plan, factor, period, rows, cuts=(), days=1):
    """Every revision of one point's windows, the rows given in one call or cut at these hours."""
    point = plan.points.filter(pl.col("factor") == factor)["point"].item()
    state, made, before = start(MIDNIGHT), [], MIDNIGHT - timedelta(seconds=1)
    for tick in [*sorted(MIDNIGHT + cut * HOUR for cut in set(cuts)), MIDNIGHT + (days + 2) * DAY]:
        inside = [row for row in rows if before < row["tick"] <= tick]
        made.append(advance(plan, state, samples(inside), tick).decisions)
        before = tick
    mine = pl.concat(made).filter((pl.col("point") == point) & (pl.col("period") == period))
    return mine.sort("window_at", "revision")


# -- waste water by the day


@cache
def water_plan(cycle_h):
    cod = {"factor": "w01018", "unit": "mg/L", "kind": "rtd", "period_s": 0, "interval_s": cycle_h * 3600}
    flow = {"factor": "w00000", "unit": "m3/h", "interval_s": 3600, "period_s": 3600}
    return compile_plan(site([cod, flow], medium="waste_water"), [])


late_h = st.sampled_from([0, 0, 0, 0, 3, 30])
value = st.sampled_from([None, 10_000_000, 40_000_000, 40_000_001, 90_000_000])
flow = st.sampled_from([None, 0, 0, 100_000, 300_001])


def runs(of, length):
    """(value, valid, late) of so many windows: runs of one value, and here and there another."""
    run = st.tuples(of, st.integers(1, 16), st.sampled_from([True] * 5 + [False]), late_h)
    return st.lists(run, min_size=1, max_size=5).map(
        lambda found: ([(v, ok, late) for v, n, ok, late in found for _ in range(n)] * length)[:length]
    )


def water_rows(plan, cycle_h, cod, flows):
    number = dict(plan.points.select("factor", "point").iter_rows())
    rows = []
    for factor, its, hours in (("w01018", cod, cycle_h), ("w00000", flows, 1)):
        for n, (scaled, valid, late) in enumerate(its):
            if scaled is not None:
                at = MIDNIGHT + n * hours * HOUR
                rows.append(sample(number[factor], at, at + (hours + late) * HOUR + MINUTE, scaled, valid))
    return rows


def weighted(plan, cycle_h, rows, tick):
    """(value, valid cycles, cycles with discharge, reason), in whole scaled units."""
    number = dict(plan.points.select("factor", "point").iter_rows())
    known = {(r["point"], (r["at"] - MIDNIGHT) // HOUR): r for r in rows if r["tick"] <= tick}
    counted, discharging, present, without_flow = [], 0, 0, 0
    for cycle in range(24 // cycle_h):
        hours = range(cycle * cycle_h, (cycle + 1) * cycle_h)
        cod = [known.get((number["w01018"], h)) for h in hours]
        flows = [known.get((number["w00000"], h)) for h in hours]
        good = [r["value"] for r in cod if r is not None and r["valid"]]
        its_flow = None
        if all(r is not None and r["valid"] for r in flows):
            its_flow = sum(r["value"] for r in flows)
        discharging += its_flow is None or its_flow > 0
        present += any(r is not None for r in cod)
        if good and its_flow is None:
            without_flow += 1
        elif good and its_flow:
            counted.append((round(Fraction(sum(good), len(good))), its_flow))
    n, reason = len(counted), None
    if discharging == 0:
        reason = "no_discharge"
    elif present == 0:
        reason = "no_data"
    elif n == 0 or n * 4 < 3 * discharging:
        reason = "flow_missing" if (n + without_flow) * 4 >= 3 * discharging else "too_few_valid"
    if reason is not None:
        return None, 0, discharging, reason
    return round(Fraction(sum(v * q for v, q in counted), sum(q for _, q in counted))), n, discharging, None


@few
@given(st.sampled_from([1, 2]), st.data())
def test_a_flow_weighted_day_is_what_the_oracle_says_at_every_revision(cycle_h, data):
    plan = water_plan(cycle_h)
    rows = water_rows(plan, cycle_h, data.draw(runs(value, 24 // cycle_h)), data.draw(runs(flow, 24)))
    made = made_of(plan, "fw_w01018", "day", rows).filter(pl.col("window_at") == MIDNIGHT)
    assert made.height
    for row in made.iter_rows(named=True):
        mean, n, discharging, reason = weighted(plan, cycle_h, rows, row["tick"])
        assert (row["n"], row["expected"], row["reason"]) == (n, discharging, reason), row
        assert row["sum"] == (0 if mean is None else mean * n), row


@few
@given(st.sampled_from([1, 2]), st.data(), st.lists(st.integers(1, 60), max_size=4), st.randoms(use_true_random=False))
def test_neither_order_nor_cuts_nor_delay_change_the_flow_weighted_day(cycle_h, data, cuts, rng):
    plan = water_plan(cycle_h)
    cod, flows = data.draw(runs(value, 24 // cycle_h)), data.draw(runs(flow, 24))
    rows = water_rows(plan, cycle_h, cod, flows)
    whole = made_of(plan, "fw_w01018", "day", rows)
    assert_frame_equal(whole, made_of(plan, "fw_w01018", "day", rng.sample(rows, len(rows)), cuts))
    on_time = water_rows(plan, cycle_h, *([(v, ok, 0) for v, ok, _ in its] for its in (cod, flows)))
    prompt = made_of(plan, "fw_w01018", "day", on_time)
    last = [made.unique("window_at", keep="last", maintain_order=True) for made in (whole, prompt)]
    assert_frame_equal(*(made.drop("revision", "tick", "on_time") for made in last))


def test_two_hours_corrected_to_each_others_value_weigh_otherwise_though_their_day_says_the_same():
    plan = water_plan(1)
    cod, swapped = (
        [(v, True, 0) for v in (one, *[40_000_000] * 22, other)]
        for one, other in ((10**7, 9 * 10**7), (9 * 10**7, 10**7))
    )
    flows = [(100_000, True, 0)] * 23 + [(300_000, True, 0)]
    rows, prompt = (water_rows(plan, 1, its, flows) for its in (cod, swapped))
    number = plan.points.filter(pl.col("factor") == "w01018")["point"].item()
    tick = MIDNIGHT + 30 * HOUR
    again = [sample(number, MIDNIGHT + hour * HOUR, tick, value) for hour, value in ((0, 9 * 10**7), (23, 10**7))]
    late = made_of(plan, "fw_w01018", "day", [*rows, *again]).filter(pl.col("window_at") == MIDNIGHT)
    assert late["revision"].to_list() == [1, 2]
    in_order = made_of(plan, "fw_w01018", "day", prompt).filter(pl.col("window_at") == MIDNIGHT)
    assert late["sum"].to_list()[-1] == in_order["sum"].item()


# -- five minutes, and how many of them


@cache
def furnace_plan():
    rules = [
        RangeRule(id="cold", kind="range", period="five_minute", low=850),
        OccurrencesRule(id="colds", kind="occurrences", period="five_minute", below=850, per="day", more_than=5),
        OccurrencesRule(id="minutes", kind="occurrences", period="minute", below=850, per="day", more_than=5),
    ]
    return compile_plan(site([{"factor": "a01901", "unit": "degC"}]), rules)


# of each five minutes: how many minutes are there, their value, of how many the value is over range
fives = st.lists(
    st.tuples(
        st.sampled_from([5, 5, 5, 4, 3, 0]), st.sampled_from([849_999, 850_000, 900_000]), st.sampled_from([0, 0, 1, 5])
    ),
    min_size=1,
    max_size=6,
)


@few
@given(fives)
def test_five_minute_means_need_three_quarters_and_the_day_counts_those_below(pattern):
    plan = furnace_plan()
    number = plan.points.filter(pl.col("factor") == "a01901")["point"].item()
    rows, expected, cold_minutes, minutes = [], [], 0, 0
    for five in range(288):
        there, scaled, over = pattern[five % len(pattern)]
        for n in range(there):
            at = MIDNIGHT + (5 * five + n) * MINUTE
            row = sample(number, at, at + MINUTE, scaled, valid=n >= over)
            rows.append({**row, "over": n < over})
        good = max(0, there - over)
        reason = None
        if there == 0:
            reason = "no_data"
        elif good < 4 and min(there, over) > 0 and there >= 4:
            reason = "over_range"
        elif good == 0:
            reason = "all_marked"
        elif good < 4:
            reason = "too_few_valid"
        expected.append((scaled * good, good, min(there, over), reason))
        minutes += good
        cold_minutes += good * (scaled < 850_000)
    made = made_of(plan, "a01901", "five_minute", rows).filter(pl.col("window_at") < MIDNIGHT + DAY)
    got = made.sort("window_at").select("sum", "n", "over", "reason").rows()
    assert got == expected
    judged = [total for total, n, _, reason in expected if reason is None and n]
    day = made_of(plan, "$colds:a01901", "day", rows).row(0, named=True)
    assert day["n"] == len(judged)
    assert day["sum"] == sum(total / n < 850_000 for total, n, _, reason in expected if reason is None and n)
    assert (day["reason"] is None) == (len(judged) * 24 >= 20 * 288)
    by_minute = made_of(plan, "$minutes:a01901", "day", rows).row(0, named=True)
    assert (by_minute["sum"], by_minute["n"], by_minute["expected"]) == (cold_minutes, minutes, 1440)


# -- days of a month


@cache
def month_plan():
    rules = [
        OccurrencesRule(id="hours", kind="occurrences", period="hour", above=50, per="month", more_than=1),
        OccurrencesRule(id="days", kind="occurrences", period="day", above=50, per="month", more_than=1),
        OccurrencesRule(id="ten", kind="occurrences", period="day", above=50, days=10, more_than=1),
    ]
    return compile_plan(site([{"interval_s": 3600, "period_s": 3600}]), rules)


days = st.lists(
    st.tuples(st.sampled_from([24, 24, 24, 20, 19, 0]), st.sampled_from([50_000_000, 50_000_001])),
    min_size=1,
    max_size=9,
)


@settings(few, max_examples=4)
@given(days)
def test_a_month_is_the_mean_of_its_valid_days_and_counts_hours_or_days_as_the_rule_says(pattern):
    plan = month_plan()
    number = plan.points.filter(pl.col("factor") == "a21026")["point"].item()
    of_day = [pattern[n % len(pattern)] for n in range(31)]
    rows = []
    for day, (there, scaled) in enumerate(of_day):
        for hour in range(there):
            at = MIDNIGHT + day * DAY + hour * HOUR
            rows.append(sample(number, at, at + HOUR, scaled))
    valid = [scaled for there, scaled in of_day if there >= 20]
    month = made_of(plan, "a21026", "month", rows, days=31).row(0, named=True)
    assert (month["sum"], month["n"], month["expected"]) == (sum(valid), len(valid), 31)
    enough = len(valid) * 30 >= 25 * 31
    assert (month["reason"] is None) == enough
    beyond = [there for there, scaled in of_day if scaled > 50_000_000]
    hours = made_of(plan, "$hours:a21026", "month", rows, days=31).row(0, named=True)
    assert (hours["sum"], hours["n"], hours["expected"]) == (sum(beyond), sum(n for n, _ in of_day), 31 * 24)
    above = [int(scaled > 50_000_000) for there, scaled in of_day if there >= 20]
    by_day = made_of(plan, "$days:a21026", "month", rows, days=31).row(0, named=True)
    assert (by_day["sum"], by_day["n"], by_day["expected"]) == (sum(above), len(above), 31)
    assert (by_day["reason"] is None) == enough
    for row in made_of(plan, "$ten:a21026~10d", "day", rows, days=31).iter_rows(named=True):
        last = (row["window_at"] - MIDNIGHT) // DAY
        its = [int(scaled > 50_000_000) for there, scaled in of_day[max(0, last - 9) : last + 1] if there >= 20]
        if last < 31:
            assert (row["sum"], row["n"]) == (sum(its), len(its)), row


@pytest.mark.parametrize(
    ("limit", "scaled", "counted"), [(1.7, 1_445_000, 1), (1.7, 1_444_999, 0), (0.3, 255_000, 1), (0.3, 254_999, 0)]
)
def test_a_multiple_of_a_limit_is_taken_as_it_is_written(limit, scaled, counted):
    rule = OccurrencesRule(id="hug", kind="occurrences", period="hour", between=(0.85, 1), of_limit=True, more_than=1)
    plan = compile_plan(
        site([{"interval_s": 3600, "period_s": 3600}], limits=[{"limit_id": "L", "limit": limit}]), [rule]
    )
    number = plan.points.filter(pl.col("factor") == "a21026")["point"].item()
    made = made_of(plan, "$hug:a21026?L", "hour", [sample(number, MIDNIGHT, MIDNIGHT + HOUR, scaled)])
    assert made.row(0, named=True)["sum"] == counted
