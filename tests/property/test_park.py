"""Parks and shared treatment: what each operator makes is what a naive oracle makes, however late its inputs came."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.site import Facility, Pair, ParkThreshold
from rules.kinds.efficiency import RemovalRule
from rules.kinds.park import FenceLineRule, ParkTotalRule, SharedTreatmentOffRule
from rules.kinds.treatment import SynchronousRateRule, TreatmentLowLoadRule, TreatmentOrderRule
from rules.made.bearing import bearing
from rules.plan import compile_plan
from tests.builders import START, minutes, sample, site
from tests.park_site import hour_rows, judged, latest, park_site, point_of

DELAYS = st.sampled_from([0, 0, 7, 90])
NMHC, FLOW = "a24088", "a00000"


masses = st.lists(  # per hour, of each of two outlets: mg/m3, minutes of it, m3/h, minutes of that, how late
    st.tuples(
        *[
            st.tuples(
                st.integers(0, 200),
                st.sampled_from([0, 44, 45, 60]),
                st.sampled_from([0, 10_000, 40_000]),
                st.sampled_from([44, 60]),
                DELAYS,
            )
        ]
        * 2
    ),
    min_size=1,
    max_size=2,
)


def mass(concentration, n, flow, flow_n) -> float | None:
    if flow_n < 45:
        return None
    if flow == 0:
        return 0.0
    return None if n < 45 else concentration * flow * 1e-6


def mass_rows(plan, station, hour, row):
    concentration, n, flow, flow_n, late = row
    rows = hour_rows(plan, station, NMHC, hour, concentration * 10**6, n, late)
    return rows + hour_rows(plan, station, FLOW, hour, flow * 10**4, flow_n, late)


@settings(max_examples=12)
@given(masses)
def test_a_parks_total_is_the_sum_of_its_outlets_and_a_lower_bound_where_one_is_missing(series):
    whole = park_site({"A": ("voc_stack", [NMHC, FLOW]), "B": ("voc_stack", [NMHC, FLOW])})
    threshold = ParkThreshold(
        threshold="T", park="P", factor=NMHC, limit=4, unit="kg/h", basis="park_plan", source="test"
    )
    whole = whole.model_copy(update={"park_thresholds": (threshold,)})
    plan = compile_plan(whole, [ParkTotalRule(id="total", kind="park_total")])
    rows = [
        row
        for hour, two in enumerate(series)
        for n, one in zip("AB", two, strict=True)
        for row in mass_rows(plan, n, hour, one)
    ]
    made = latest(plan, rows)
    for hour, two in enumerate(series):
        row = made["park:P", "T", START + minutes(60 * hour)]
        known = [m for one in two if (m := mass(*one[:4])) is not None]
        assert (row["valid_n"], row["expected_n"]) == (len(known), 2)
        if known:
            assert abs(row["value_scaled"] - sum(known) * 10**6) <= 2
        if sum(known) > 4:
            assert (row["state"], row["reason"]) == ("exceedance", None)
        elif len(known) < 2:
            assert (row["state"], row["reason"]) == ("no_judgement", "members_missing")
        else:
            assert (row["state"], row["reason"]) == ("within", None)


@settings(max_examples=12)
@given(masses)
def test_removal_is_judged_by_the_mass_of_the_same_hour_from_three_kilograms_on(series):
    whole = park_site({"A": ("voc_stack", [NMHC, FLOW]), "B": ("voc_stack", [NMHC, FLOW])})
    facility = Facility(
        facility="F", park="P", name_zh="f", name_en="f", kind="coating", inlet_stations=("A",), outlet_stations=("B",)
    )
    whole = whole.model_copy(update={"facilities": (facility,)})
    plan = compile_plan(whole, [RemovalRule(id="removal", kind="removal")])
    rows = [
        row
        for hour, two in enumerate(series)
        for n, one in zip("AB", two, strict=True)
        for row in mass_rows(plan, n, hour, one)
    ]
    made = latest(plan, rows)
    for hour, (into, out) in enumerate(series):
        row = made["facility:F", "GI03", START + minutes(60 * hour)]
        m_in, m_out = mass(*into[:4]), mass(*out[:4])
        if m_in is None or m_out is None:
            assert (row["state"], row["reason"]) == ("no_judgement", "signal_missing")
        elif m_in < 3:
            assert row["state"] == "not_applicable"
        else:
            removed = 100 * (1 - m_out / m_in)
            assert abs(row["value_scaled"] - removed * 100) <= 1
            assert row["state"] == ("exceedance" if round(removed, 2) < 80 else "within")


powers = st.lists(  # production and treatment of a minute, in kW; nothing sent where null; how late each comes
    st.tuples(st.sampled_from([None, 0, 99, 100, 500]), st.sampled_from([None, 0, 9, 10, 59, 60]), DELAYS, DELAYS),
    min_size=1,
    max_size=130,
)
PAIR = Pair(
    pair="P",
    name_zh="p",
    name_en="p",
    production_on_kw=100,
    treatment_on_kw=10,
    production_station="S1",
    production_factor="p01001",
    treatment_station="S1",
    treatment_factor="p01002",
    rated_kw=100,
    start_before_s=120,
    stop_after_s=180,
)


def power_plan(*rules):
    points = [{"factor": "p01001", "unit": "kW"}, {"factor": "p01002", "unit": "kW"}]
    whole = site(points, medium="power").model_copy(update={"pairs": (PAIR,)})
    return compile_plan(whole, list(rules))


def power_rows(plan, series):
    return [
        sample(point_of(plan, "S1", factor), START + minutes(n), START + minutes(n + 1 + late), kw * 1000)
        for n, (production, treatment, late_p, late_t) in enumerate(series)
        for factor, kw, late in (("p01001", production, late_p), ("p01002", treatment, late_t))
        if kw is not None
    ]


@settings(max_examples=12)
@given(powers)
@pytest.mark.parametrize("per", ["hour", "day"])
def test_the_synchronous_rate_is_a_share_of_the_minutes_in_which_production_runs_and_both_signals_count(per, series):
    plan = power_plan(SynchronousRateRule(id="sync", kind="synchronous_rate", per=per))
    made = latest(plan, power_rows(plan, series), {"hour": 600, "day": 1500}[per])
    known = [(p, t) for p, t, _, _ in series]
    windows = {0: known[:60], 60: known[60:120], 120: known[120:]} if per == "hour" else {None: known}
    for first, inside in windows.items():
        if not inside:
            continue
        window_at = START + minutes(first) if first is not None else None
        row = next(r for (_, _, at), r in made.items() if window_at in (None, at))
        on = [t >= 10 for p, t in inside if p is not None and t is not None and p >= 100]
        unknown = sum(p is None or t is None for p, t in inside)
        if per != "hour":  # the rest of the window has no signal either
            unknown = None
        if row["reason"] is None:
            assert row["valid_n"] == len(on)
            assert abs(row["value_scaled"] - 10_000 * sum(on) / len(on)) <= 1
            assert row["state"] == ("within" if all(on) else "exceedance")
        if unknown is not None and len(inside) == 60:
            assert row["expected_n"] == len(on) + unknown
            enough = 60 * len(on) >= 45 * (len(on) + unknown)
            judged = bool(on) and enough
            assert (row["reason"] is None) == judged


def test_a_pair_is_judged_to_the_end_of_the_day_on_which_a_meter_is_removed_and_not_after():
    points = [{"factor": "p01001", "unit": "kW", "valid_to": "2026-03-01"}, {"factor": "p01002", "unit": "kW"}]
    whole = site(points, medium="power").model_copy(update={"pairs": (PAIR,)})
    plan = compile_plan(whole, [SynchronousRateRule(id="sync", kind="synchronous_rate", per="hour")])
    made = latest(plan, power_rows(plan, [(500, 50, 0, 0)] * 960 + [(None, 50, 0, 0)] * 500), until=2000)
    # START is 08:00 in China: the sixteen hours up to midnight, and none of the next day, though treatment still speaks
    assert [row["state"] for row in made.values()] == ["within"] * 16


@settings(max_examples=12)
@given(powers)
def test_treatment_on_below_its_share_of_rated_power_is_low_load_while_production_runs(series):
    plan = power_plan(TreatmentLowLoadRule(id="low", kind="treatment_low_load"))
    made = latest(plan, power_rows(plan, series))
    for n, (p, t, _, _) in enumerate(series):
        row = made["S1", "GI02", START + minutes(n)]
        if p is None or t is None:
            assert (row["state"], row["reason"]) == ("no_judgement", "signal_missing")
        else:
            assert row["state"] == ("exceedance" if p >= 100 and 10 <= t < 60 else "within")


@settings(max_examples=12)
@given(powers)
def test_treatment_starts_before_production_and_stops_after_it(series):
    plan = power_plan(TreatmentOrderRule(id="order", kind="treatment_order"))
    made = latest(plan, power_rows(plan, series))

    def at(n, which):
        return series[n][which] if 0 <= n < len(series) else None

    for n in range(len(series)):
        for edge, on, off, treatment in (
            ("start", at(n, 0), at(n - 1, 0), at(n - 2, 1)),
            ("stop", at(n - 3, 0), at(n - 2, 0), at(n, 1)),
        ):
            row = made["S1", edge, START + minutes(n)]
            if on is None or off is None or treatment is None:
                assert (row["state"], row["reason"]) == ("no_judgement", "signal_missing")
            else:
                assert row["state"] == ("exceedance" if on >= 100 and off < 100 and treatment < 10 else "within")


winds = st.lists(  # degrees the wind blows from and m/s, minute by minute in turn
    st.tuples(st.sampled_from([0, 10, 90, 180, 270, 350, 355]), st.sampled_from([0.2, 0.5, 3])), min_size=1, max_size=4
)


@settings(max_examples=12)
@given(winds, st.tuples(*[st.one_of(st.none(), st.integers(0, 9))] * 4))
def test_a_fence_lines_value_is_the_highest_downwind_less_the_mean_upwind(wind, values):
    at = {"N": (28.01, 107.0), "E": (28.0, 107.01), "S": (27.99, 107.0), "W": (28.0, 106.99)}
    stations = {name: ("ambient_air", [NMHC]) for name in at} | {"MET": ("ambient_air", ["a01007", "a01008"])}
    whole = park_site(stations, at=at, wind_station="MET")
    threshold = ParkThreshold(
        threshold="T", park="P", measure="fence_line", factor=NMHC, limit=4, unit="mg/m3", basis="law", source="test"
    )
    whole = whole.model_copy(update={"park_thresholds": (threshold,)})
    plan = compile_plan(whole, [FenceLineRule(id="fence", kind="fence_line")])
    rows = []
    for name, value in zip(at, values, strict=True):
        if value is not None:
            rows += hour_rows(plan, name, NMHC, 0, value * 10**6, 60, 0)
    for minute in range(60):
        degrees, speed = wind[minute % len(wind)]
        when = START + minutes(minute)
        for factor, value in (("a01008", degrees), ("a01007", speed)):
            scale = 10 ** whole.factors[factor].decimals
            rows.append(sample(point_of(plan, "MET", factor), when, when + minutes(1), round(value * scale)))
    row = latest(plan, rows)["park:P", "T", START]
    blowing = [complex(*_unit(wind[m % len(wind)][0])) for m in range(60) if wind[m % len(wind)][1] >= 0.5]
    mean = sum(blowing) / len(blowing) if blowing else 0
    if len(blowing) < 45 or abs(mean) < 0.7 - 1e-9:
        assert (row["state"], row["reason"]) == ("no_judgement", "wind_unknown")
        return
    blows_from = _degrees(mean)
    down = [v for name, v in zip(at, values, strict=True) if v is not None and _near(_at(at[name]), blows_from + 180)]
    up = [v for name, v in zip(at, values, strict=True) if v is not None and _near(_at(at[name]), blows_from)]
    if not down or not up:
        assert row["state"] == "no_judgement"
        return
    assert row["value_scaled"] == round((max(down) - sum(up) / len(up)) * 10**6)
    assert row["state"] == ("exceedance" if max(down) - sum(up) / len(up) > 4 else "within")


def _unit(degrees):
    from math import cos, radians, sin

    return cos(radians(degrees)), sin(radians(degrees))


def _degrees(vector):
    from math import atan2, degrees

    return degrees(atan2(vector.imag, vector.real)) % 360


def _at(place):
    return bearing(28.0, 107.0, *place)


def _near(degrees, other):
    return abs((degrees - other + 540) % 360 - 180) <= 45


@settings(max_examples=12)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=10))
def test_a_shared_facility_that_stands_still_names_every_member_that_produces(series):
    names = ("A", "B")
    stations = {name: ("power", ["p01001"]) for name in names} | {"F": ("power", ["p01002"])}
    facility = Facility(
        facility="F", park="P", name_zh="f", name_en="f", kind="coating", power_station="F", power_factor="p01002"
    )
    pairs = tuple(
        PAIR.model_copy(update={"pair": name, "production_station": name, "treatment_station": "F"}) for name in names
    )
    whole = park_site(stations).model_copy(update={"facilities": (facility,), "pairs": pairs})
    plan = compile_plan(whole, [SharedTreatmentOffRule(id="shared", kind="shared_treatment_off")])
    rows = []
    for n, (a, b, treated) in enumerate(series):
        for station, factor, kw in (("A", "p01001", 500 * a), ("B", "p01001", 500 * b), ("F", "p01002", 50 * treated)):
            when = START + minutes(n)
            rows.append(sample(point_of(plan, station, factor), when, when + timedelta(seconds=60), kw * 1000))
    made = latest(plan, rows)
    which = dict(judged(plan, rows).select("window_at", "which").iter_rows())
    for n, (a, b, treated) in enumerate(series):
        row = made["facility:F", None, START + minutes(n)]
        count = 0 if treated else a + b
        assert (row["value_scaled"], row["decimals"]) == (count, 0)
        assert which[START + minutes(n)] == (0 if treated else a + 2 * b)
        assert row["state"] == ("exceedance" if count else "within")
