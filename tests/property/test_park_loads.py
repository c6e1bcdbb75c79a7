"""Shares, loads and contracts: collection, facility load, member contract, monthly shares, each against a naive oracle
that looks at one window's samples."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.site import Facility, Member, Pair
from rules.evaluate import evaluate, verdicts
from rules.kinds.efficiency import CollectionRule
from rules.kinds.park import FacilityLoadRule, MemberContractRule
from rules.kinds.plausibility import OccurrencesRule
from rules.kinds.treatment import SynchronousRateRule
from rules.plan import compile_plan
from rules.windows.advance import advance, start
from tests.builders import START, minutes, sample, samples, site
from tests.park_site import latest, park_site, point_of

NMHC, FLOW = "a24088", "a00000"
DELAYS = st.sampled_from([0, 0, 7, 90])
# minute values in turn, how many minutes of the hour have one, how late they come
concentrations = st.tuples(
    st.lists(st.integers(0, 200), min_size=1, max_size=3), st.sampled_from([0, 44, 45, 60]), DELAYS
)
flows = st.tuples(
    st.lists(st.sampled_from([0, 20_000, 29_999, 30_000, 30_001, 54_000]), min_size=1, max_size=3),
    st.sampled_from([0, 44, 45, 60]),
    DELAYS,
)


def value_of(series, minute):
    values, n, _ = series
    return values[minute % len(values)] if minute < n else None


def rows_of(plan, station, factor, series, decimals):
    point, late = point_of(plan, station, factor), series[2]
    return [
        sample(point, START + minutes(m), START + minutes(m + 1 + late), value_of(series, m) * 10**decimals)
        for m in range(series[1])
    ]


def mean(series):
    """Of the hour's minutes, where there are 45."""
    there = [v for m in range(60) if (v := value_of(series, m)) is not None]
    return sum(there) / len(there) if len(there) >= 45 else None


def mass(concentration, flow):
    c, q = mean(concentration), mean(flow)
    if q is None:
        return None
    return 0.0 if q == 0 else None if c is None else c * q * 1e-6


def island(**more):
    return Facility(facility="F", park="P", name_zh="f", name_en="f", kind="coating", **more)


@settings(max_examples=12)
@given(concentrations, flows, concentrations, flows)
def test_collection_is_what_goes_in_of_that_and_what_escapes(c_in, q_in, c_out, q_out):
    """Judged where both are known; 90 % is the indicator's."""
    factors = ("voc_stack", [NMHC, FLOW])
    whole = park_site({"IN": factors, "OUT": factors, "ESC": factors})
    facility = island(inlet_stations=("IN",), outlet_stations=("OUT",), fugitive_stations=("ESC",))
    plan = compile_plan(
        whole.model_copy(update={"facilities": (facility,)}),
        [CollectionRule(id="collected", kind="collection", per="hour")],
    )
    rows = [
        row
        for station, c, q in (("IN", c_in, q_in), ("ESC", c_out, q_out))
        for row in (*rows_of(plan, station, NMHC, c, 6), *rows_of(plan, station, FLOW, q, 4))
    ]
    row = latest(plan, rows)["facility:F", "GI04", START]
    collected, escaped = mass(c_in, q_in), mass(c_out, q_out)
    if collected is None or escaped is None:
        assert (row["state"], row["reason"]) == ("no_judgement", "signal_missing")
    elif collected + escaped == 0:
        assert (row["state"], row["reason"]) == ("no_judgement", "not_computable")
    else:
        # each mass is kept to the milligram
        share = 100 * round(collected, 6) / (round(collected, 6) + round(escaped, 6))
        assert abs(row["value_scaled"] - share * 100) <= 1
        assert row["state"] == ("exceedance" if row["value_scaled"] < 9000 else "within")


@settings(max_examples=12)
@given(flows, flows)
def test_a_facilitys_load_is_the_sum_of_its_inlets_and_a_lower_bound_where_one_is_missing(q_a, q_b):
    whole = park_site({"A": ("voc_stack", [FLOW]), "B": ("voc_stack", [FLOW])})
    facility = island(inlet_stations=("A", "B"), capacity=60_000, capacity_unit="m3/h")
    plan = compile_plan(
        whole.model_copy(update={"facilities": (facility,)}),
        [FacilityLoadRule(id="load", kind="facility_load", levels={"yellow": 0.9, "orange": 1.0})],
    )
    rows = [row for station, q in (("A", q_a), ("B", q_b)) for row in rows_of(plan, station, FLOW, q, 4)]
    made = latest(plan, rows)
    known = [m for q in (q_a, q_b) if (m := mean(q)) is not None]
    row = made["facility:F", "capacity", START]
    assert (row["valid_n"], row["expected_n"]) == (len(known), 2)
    if known:
        assert abs(row["value_scaled"] - sum(known) * 10**4) <= 1
    if known and row["value_scaled"] > 60_000 * 10**4:
        assert (row["state"], row["level"]) == ("exceedance", "orange")
    elif len(known) < 2:
        assert (row["state"], row["reason"], row["level"]) == ("no_judgement", "members_missing", None)
    else:
        is_near = row["value_scaled"] > 54_000 * 10**4
        assert (row["state"], row["level"]) == ("within", "yellow" if is_near else None)


@settings(max_examples=12)
@given(concentrations, flows)
def test_a_members_contract_bounds_its_concentration_and_its_load_each_by_itself(c, q):
    whole = park_site({"A": ("voc_stack", [NMHC, FLOW]), "IN": ("voc_stack", [NMHC, FLOW])})
    bounds = {"limit": 100, "limit_unit": "mg/m3", "load": 30_000, "load_unit": "m3/h"}
    member = Member(member="M", facility="F", enterprise="E", station="A", factor=NMHC, **bounds)
    facility = island(inlet_stations=("IN",))
    plan = compile_plan(
        whole.model_copy(update={"facilities": (facility,), "members": (member,)}),
        [MemberContractRule(id="contract", kind="member_contract")],
    )
    made = latest(plan, [*rows_of(plan, "A", NMHC, c, 6), *rows_of(plan, "A", FLOW, q, 4)])
    for what, series, decimals, bound in (("limit", c, 6, 100), ("load", q, 4, 30_000)):
        row = made["facility:F", f"M.{what}", START]
        value = mean(series)
        if value is None:
            assert row["state"] == "no_judgement"
            assert row["reason"] == ("no_data" if series[1] == 0 else "too_few_valid")
        else:
            assert abs(row["value_scaled"] - value * 10**decimals) <= 0.5
            assert row["state"] == ("exceedance" if value > bound else "within")


MARCH = datetime(2026, 2, 28, 16, tzinfo=UTC)  # 2026-03-01 in China
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def in_march(plan, rows, rule):
    made = advance(plan, start(MARCH), samples(rows), MARCH + 31 * DAY + 3 * HOUR).decisions
    its = [row for row in verdicts(plan, evaluate(plan, made)).to_dicts() if row["rule"] == rule]
    return max(its, key=lambda row: row["revision"])


hours = st.lists(st.sampled_from([34, 35, 36, 90, None, "marked"]), min_size=1, max_size=30)


@settings(max_examples=6)
@given(hours, st.sampled_from([0, 0, 100]))
def test_the_ultra_low_share_is_one_of_the_months_valid_hours_however_few(pattern, late_h):
    limits = [{"basis": "ultra_low", "limit": 35, "limit_id": "ULTRA"}, {"basis": "standard", "limit": 1}]
    share = OccurrencesRule(
        id="share",
        kind="occurrences",
        period="hour",
        above=1.0,
        of_limit=True,
        basis=("ultra_low",),
        per="month",
        share_above_pct=5,
    )
    plan = compile_plan(site([{"interval_s": 3600, "period_s": 3600}], limits=limits, lateness="200h"), [share])
    point, rows, valid, above = point_of(plan, "S1", "a21026"), [], 0, 0
    for n in range(31 * 24):
        said = pattern[n % len(pattern)]
        if said is None:
            continue
        at, is_valid = MARCH + n * HOUR, said != "marked"
        late = late_h * HOUR if n % 5 == 0 and n < 600 else timedelta(0)
        rows.append(sample(point, at, at + HOUR + late, (said if is_valid else 999) * 10**6, is_valid))
        valid += is_valid
        above += is_valid and said > 35
    row = in_march(plan, rows, "share")
    assert (row["limit_id"], row["valid_n"]) == ("ULTRA", valid)
    if not valid:
        assert row["state"] == "no_judgement"
    else:
        assert abs(row["value_scaled"] - 10_000 * above / valid) <= 0.5
        assert row["state"] == ("exceedance" if 100 * above > 5 * valid else "within")


days = st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=4), min_size=1, max_size=5)


@settings(max_examples=4)
@given(days)
def test_a_months_synchronous_rate_is_a_share_of_its_minutes_not_of_its_days(pattern):
    pair = Pair(
        pair="P",
        name_zh="p",
        name_en="p",
        production_on_kw=100,
        treatment_on_kw=10,
        production_station="S1",
        production_factor="p01001",
        treatment_station="S1",
        treatment_factor="p01002",
    )
    whole = site([{"factor": "p01001", "unit": "kW"}, {"factor": "p01002", "unit": "kW"}], medium="power")
    rule = SynchronousRateRule(id="sync", kind="synchronous_rate", per="month")
    plan = compile_plan(whole.model_copy(update={"pairs": (pair,)}), [rule])
    rows, produced, treated = [], 0, 0
    for day, of_day in enumerate(pattern):
        for minute, (production, treatment) in enumerate(of_day):
            at = MARCH + day * DAY + 10 * HOUR + minutes(minute)
            for factor, kw in (("p01001", 500 * production), ("p01002", 50 * treatment)):
                rows.append(sample(point_of(plan, "S1", factor), at, at + minutes(1), kw * 1000))
            produced += production
            treated += production and treatment
    row = in_march(plan, rows, "sync")
    assert row["valid_n"] == produced
    if produced:
        assert abs(row["value_scaled"] - 10_000 * treated / produced) <= 0.5
    assert row["state"] == "no_judgement"  # the month's other minutes are unknown
