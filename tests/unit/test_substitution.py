"""Known answers of the substitution of missing hours, worked by hand from the rules' text (VR10 to VR13, VR25)."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from rules.accounts.masses import grid, mass_series, totals
from rules.accounts.substitution import HOURS, gaps, rests_on
from tests.builders import site
from tests.mass_hours import FEW, HOUR, Q1, Q4, account, effect, stack

FLOW = 1_000_000  # m3/h: a concentration of 1 mg/m3 is 1 kg/h
KG = 10**6  # of mg
BEFORE = 2208 + 100  # hours of history before the gap: it begins on the fifth day of the quarter
GAP_AT = Q4 + BEFORE * HOUR


def history():
    """10 mg/m3 throughout, but for one hour just inside and one just outside each stretch that is looked at."""
    values = [10] * (2208 + 2160)
    for hours, inside, outside in ((180, 50, 60), (720, 70, 80), (2160, 90, 99)):
        values[BEFORE - hours], values[BEFORE - hours - 1] = inside, outside
    return values


def with_gap(length, missing):
    """A gap of so many hours, and in all so many missing in the quarter: every second hour of what follows."""
    values = history()
    values[BEFORE : BEFORE + length] = [None] * length
    later = range(BEFORE + length + 1, len(values), 2)
    for hour in list(later)[: missing - length]:
        values[hour] = None
    return values


# of 2,160 hours 216 are a tenth, 540 a quarter
KNOWN = {
    "capture 98.9 %, a gap of 24 hours": (24, 24, "VR11", 50, 180),
    "capture 98.8 %, a gap of 25 hours": (25, 25, "VR11", 70, 720),
    "capture of 90 % exactly": (24, 216, "VR11", 50, 180),
    "an hour less than 90 %": (24, 217, "VR12", 90, 2160),
    "a long gap makes no difference there": (25, 217, "VR12", 90, 2160),
    "capture of 75 % exactly": (24, 540, "VR12", 90, 2160),
}


@pytest.mark.parametrize("what", KNOWN)
def test_a_missing_hour_takes_the_greatest_mass_of_the_valid_hours_before_its_gap(what):
    length, missing, rule, kg_h, of_n = KNOWN[what]
    hours = account(stack(), with_gap(length, missing), [FLOW] * (2208 + 2160))
    gap = hours[BEFORE : BEFORE + length]
    assert {(h["state"], h["what"], h["rule"], h["rate"], h["of_n"]) for h in gap} == {
        ("substituted", "mass", rule, kg_h * KG, of_n)
    }
    assert {(h["of_from"], h["of_to"]) for h in gap} == {(GAP_AT - of_n * HOUR, GAP_AT)}
    assert {h["reason"] for h in gap} == {"no_data"}
    assert hours[BEFORE - 1]["state"] == hours[BEFORE + length]["state"] == "measured"


def test_an_hour_less_than_75_percent_and_nothing_is_substituted():
    hours = account(stack(), with_gap(24, 541), [FLOW] * (2208 + 2160))
    missing = [h for h in hours if h["state"] != "measured"]
    assert len(missing) == 541
    assert {(h["state"], h["rate"], h["unknown"], h["rule"]) for h in missing} == {
        ("unknown", None, "capture_too_low", "VR10")
    }
    assert (hours[-1]["valid_s"], hours[-1]["due_s"]) == (1619 * 3600, 2160 * 3600)


def test_capture_is_of_each_quarter_by_itself_though_a_gap_may_lie_in_two():
    values = history()
    values[2208 - 2 : 2208 + 541] = [None] * 543  # two hours of the one, a quarter and an hour of the next
    hours = account(stack(), values, [FLOW] * len(values))
    assert [h["state"] for h in hours[2205:2210]] == ["measured", "substituted", "substituted", "unknown", "unknown"]
    assert hours[2206]["of_wanted"] == 720  # the gap is 543 hours long, on both sides of the border


@pytest.mark.parametrize(("first", "greatest", "of_n"), [(0, None, None), (10, 19, 10)])
def test_where_history_begins_there_are_fewer_hours_or_none(first, greatest, of_n):
    values = [10 + n for n in range(first)] + [None] * 3 + [99] * 997
    hours = account(stack(), values, [FLOW] * len(values), Q1)
    gap = hours[first : first + 3]
    assert {h["rate"] for h in gap} == {None if greatest is None else greatest * KG}
    assert {(h["of_n"], h["of_wanted"]) for h in gap} == {(of_n, 180)}
    assert {h["unknown"] for h in gap} == {"nothing_before" if greatest is None else None}
    assert {h["of_from"] for h in gap} == {None if greatest is None else Q1}


def test_a_mass_is_missing_without_its_flow_and_with_too_few_valid_minutes():
    hours = account(stack(), [10, 20, FEW, 12, 12] + [1] * 95, [FLOW, FLOW, FLOW, None, FLOW] + [FLOW] * 95, Q1)
    assert [(h["state"], h["rate"], h["reason"]) for h in hours[:5]] == [
        ("measured", 10 * KG, None),
        ("measured", 20 * KG, None),
        ("substituted", 20 * KG, "too_few_valid"),
        ("substituted", 20 * KG, "flow_missing"),
        ("measured", 12 * KG, None),
    ]


def test_a_stop_is_neither_due_nor_missing_nor_looked_at_and_divides_no_gap():
    """20 hours missing, a stop of 30, 5 hours missing: a gap of 25. The stop's own hours have data in part."""
    values = history()
    values[BEFORE : BEFORE + 20] = [None] * 20
    values[BEFORE + 20 : BEFORE + 50] = [500] * 2 + [None] * 28
    values[BEFORE + 50 : BEFORE + 55] = [None] * 5
    values[BEFORE + 60 : BEFORE + 62] = [None] * 2  # 180 hours before it: five, and 175 before the first gap
    values[BEFORE - 175], values[BEFORE - 176] = 65, 69
    stop = effect(GAP_AT + 20 * HOUR, GAP_AT + 50 * HOUR)
    hours = account(stack(), values, [FLOW] * len(values), effects=[stop])
    assert {h["rate"] for h in (*hours[BEFORE : BEFORE + 20], *hours[BEFORE + 50 : BEFORE + 55])} == {70 * KG}
    assert {h["rate"] for h in hours[BEFORE + 60 : BEFORE + 62]} == {65 * KG}  # not the 500 of the stop
    assert [(h["state"], h["rate"]) for h in hours[BEFORE + 20 : BEFORE + 23]] == [
        ("stopped", 500 * KG),
        ("stopped", 500 * KG),
        ("stopped", None),
    ]
    assert (hours[-1]["valid_s"], hours[-1]["due_s"]) == ((2160 - 57) * 3600, (2160 - 30) * 3600)
    whole_quarter = totals(pl.DataFrame(hours, schema=HOURS), "quarter", "Asia/Shanghai").row(1, named=True)
    assert whole_quarter["in_stops_mg"] == 1000 * KG
    assert whole_quarter["substituted_mg"] == (25 * 70 + 2 * 65) * KG
    assert whole_quarter["stopped_s"] == 30 * 3600


STOPS = {
    "an hour it covers in part is due": ({"to_at": Q1 + 90 * HOUR / 60}, ["stopped", "unknown"]),
    "two that meet are one": ({"to_at": Q1 + HOUR / 2}, ["stopped", "unknown"]),
    "a mark that says nothing was produced": ({"kind": "mark", "type": "no_production"}, ["stopped", "stopped"]),
    "any other mark": ({"kind": "mark", "type": "start_up"}, ["unknown", "unknown"]),
    "one without an end": ({"to_at": None}, ["stopped", "stopped"]),
    "one that was taken back": ({"until": Q4 + HOUR}, ["unknown", "unknown"]),
    "one that is not known yet": ({"tick": Q1 + 9999 * HOUR}, ["unknown", "unknown"]),
}


@pytest.mark.parametrize("what", STOPS)
def test_what_counts_as_a_stop(what):
    more, states = STOPS[what]
    effects = [effect(Q1, **{"to_at": Q1 + 2 * HOUR, **more})]
    if what == "two that meet are one":
        effects.append(effect(Q1 + HOUR / 2, Q1 + HOUR))
    hours = account(stack(), [None, None], [None, None], Q1, effects=effects)
    assert [h["state"] for h in hours] == states


def test_hours_on_days_without_the_point_are_none():
    whole = stack(valid_from=date(2026, 1, 2), valid_to=date(2026, 1, 3))
    hours = account(whole, [None] * 96, [FLOW] * 96, Q1)
    assert [hours[0]["window_at"], hours[-1]["window_at"]] == [Q1 + 24 * HOUR, Q1 + 71 * HOUR]
    assert hours[0]["due_s"] == 48 * 3600


def water(concentrations, flows, **point):
    more = [100] * 20
    return account(stack("w01018", "waste_water", interval_s=3600, **point), concentrations, flows + more, Q1)


def test_waste_water_takes_the_mean_of_the_preceding_period_of_equal_length():
    """Three hours are missing: (10 + 20 + 31) / 3 mg/L at 100, 200, 300 m3/h are 2.033333, 4.066667 and 6.1 kg/h."""
    hours = water([99, 10, 20, 31, None, None, None, 12], [100, 100, 100, 100, 100, 200, 300, 100])
    assert [h["rate"] for h in hours[4:7]] == [2_033_333, 4_066_667, 6_100_000]
    assert {(h["state"], h["what"], h["rule"], h["of_n"]) for h in hours[4:7]} == {
        ("substituted", "concentration", "VR25", 3)
    }
    assert {(h["of_from"], h["of_to"]) for h in hours[4:7]} == {(Q1 + HOUR, Q1 + 4 * HOUR)}


def test_where_the_period_before_has_gaps_itself_it_reaches_further_back():
    hours = water([40, 10, FEW, 20, None, None, 12], [100] * 7)
    assert hours[2]["rate"] == 10 * 100_000  # one hour: the one before it
    assert {h["rate"] for h in hours[4:6]} == {
        15 * 100_000
    }  # two hours: the 10 and the 20, nothing that was substituted
    assert {h["of_from"] for h in hours[4:6]} == {Q1 + HOUR}


def test_hours_without_discharge_need_no_concentration_and_give_none():
    hours = water([10, 70, None, 20, None, None, None, 5], [100, 0, 0, 100, 100, 0, 100, 100])
    assert [(h["state"], h["rate"]) for h in hours[1:3]] == [("measured", 0), ("measured", 0)]
    assert [(h["state"], h["rate"]) for h in hours[4:7]] == [
        ("substituted", 15 * 100_000),  # two hours of discharge are missing, and two before them are 10 and 20
        ("measured", 0),
        ("substituted", 15 * 100_000),
    ]


def test_a_missing_flow_takes_the_mean_flow_before_and_both_may_be_missing():
    """Flow (100 + 300) / 2 = 200 m3/h; 20 mg/L measured, then 20 substituted: 4 kg/h each."""
    hours = water([10, 20, 20, None, 5], [100, 300, None, None, 100])
    assert [(h["what"], h["rate"]) for h in hours[2:4]] == [
        ("flow", 4_000_000),
        ("concentration_and_flow", 4_000_000),
    ]
    assert {(h["flow_of_n"], h["flow_of_from"], h["flow_of_to"]) for h in hours[2:4]} == {(2, Q1, Q1 + 2 * HOUR)}
    assert [h["of_n"] for h in hours[2:4]] == [None, 1]


def test_with_nothing_before_it_waste_water_stays_unknown_however_much_is_valid_later():
    hours = water([None, 10, 10], [100] * 3)
    assert (hours[0]["state"], hours[0]["unknown"], hours[0]["rate"]) == ("unknown", "nothing_before", None)
    assert water([10, 10, 10], [None, 100, 100])[0]["state"] == "unknown"


def test_a_slow_analysers_mass_is_one_of_days_and_so_is_what_stands_in():
    """Days: 10 and 20 mg/L at 100 m3/h are 24 and 48 kg; two days are missing at 200 m3/h: 15 mg/L are 3 kg/h."""
    whole = stack("w01018", "waste_water", interval_s=7200, kind="rtd", period_s=0)
    hours = account(whole, [10, 20, None, None, 5], [100, 100, 200, 200, 100], Q1, period="day")
    assert [h["rate"] for h in hours[:4]] == [1_000_000, 2_000_000, 3_000_000, 3_000_000]
    made = totals(pl.DataFrame(hours, schema=HOURS), "quarter", "Asia/Shanghai").row(0, named=True)
    assert (made["measured_mg"], made["substituted_mg"]) == ((24 + 48 + 12) * KG, 144 * KG)
    assert made["substituted_s"] == 48 * 3600


def test_a_rule_of_hours_says_nothing_of_a_stack_whose_analyser_gives_days():
    whole = stack("a24088", "voc_stack", interval_s=7200, kind="rtd", period_s=0)
    hours = account(whole, [10, 10, 10, 10, None], [FLOW] * 5, Q1, period="day")
    assert (hours[4]["state"], hours[4]["unknown"]) == ("unknown", "by_the_day")


def test_an_unknown_hour_adds_nothing_and_is_counted_and_its_gap_has_no_mass():
    hours = pl.DataFrame(account(stack(), [None, 10, None, 10, 10, 10], [FLOW] * 6, Q1), schema=HOURS)
    made = totals(hours, "day", "Asia/Shanghai").row(0, named=True)
    assert (made["measured_mg"], made["substituted_mg"]) == (40 * KG, 0)
    assert (made["measured_s"], made["unknown_s"]) == (4 * 3600, 2 * 3600)
    assert [(row["windows"], row["mass_mg"], row["unknown"]) for row in gaps(hours).to_dicts()] == [
        (1, None, "capture_too_low"),
        (1, None, "capture_too_low"),
    ]


def test_gaps_are_told_one_by_one_with_their_mass():
    hours = pl.DataFrame(account(stack(), [20, None, None, 10, None, *[1] * 95], [FLOW] * 100, Q1), schema=HOURS)
    assert [
        (row["from_at"], row["to_at"], row["mass_mg"], row["of_n"], row["rule"]) for row in gaps(hours).to_dicts()
    ] == [(Q1 + HOUR, Q1 + 3 * HOUR, 40 * KG, 1, "VR11"), (Q1 + 4 * HOUR, Q1 + 5 * HOUR, 20 * KG, 2, "VR11")]


@pytest.mark.parametrize(
    ("rule", "medium", "factor", "status"),
    [
        ("VR11", "flue_gas", "a21026", "verified_weak"),
        ("VR11", "flue_gas", "a21024", "unverified"),  # the table names SO2, NOx and PM
        ("VR12", "voc_stack", "a24088", "unverified"),
        ("VR25", "waste_water", "w01018", "verified_weak"),
    ],
)
def test_a_rule_is_as_sure_as_its_row_and_unverified_beyond_what_that_names(rule, medium, factor, status):
    assert rests_on(rule, medium, factor)[1] == status


def test_only_what_is_discharged_with_a_flow_has_a_mass_and_ph_has_none():
    points = [{"factor": f, "unit": unit} for f, unit in (("w01018", "mg/L"), ("w01001", "1"), ("w00000", "m3/h"))]
    assert mass_series(site(points, medium="waste_water"))["factor"].to_list() == ["w01018"]
    assert mass_series(site(points, medium="surface_water")).is_empty()
    assert mass_series(site(points[:2], medium="waste_water")).is_empty()


def test_a_wet_concentration_is_taken_dry_and_a_slow_one_by_its_flow_weighted_day():
    wet = stack(basis="wet")
    wet = wet.model_copy(update={"points": (*wet.points, *site([{"factor": "a01014", "unit": "%"}]).points)})
    assert mass_series(wet).select("concentration", "flow", "period").row(0) == ("ds_a21026", "a00000", "hour")
    slow = stack("w01018", "waste_water", interval_s=7200)
    assert mass_series(slow).select("concentration", "period").row(0) == ("fw_w01018", "day")


def test_the_shares_at_which_the_rules_turn_meet():
    assert rests_on("VR12", "flue_gas", "a21026")[0].number("capture_to_pct") == rests_on("VR11", "", "")[0].number(
        "capture_pct"
    )
    assert rests_on("VR10", "flue_gas", "a21026")[0].number("capture_pct") == rests_on("VR12", "", "")[0].number(
        "capture_from_pct"
    )


def test_days_begin_at_civil_midnight_wherever_what_is_read_begins_and_are_as_long_as_they_are():
    """Clocks go forward on 2026-03-08 in New York."""
    from_at, zone_name = datetime(2026, 3, 6, 12, tzinfo=UTC), "America/New_York"
    series = mass_series(stack("w01018", "waste_water", interval_s=7200))
    days = grid(series, from_at, {"day": from_at + timedelta(days=4)}, zone_name)
    at = days["window_at"].dt.convert_time_zone(zone_name).dt.to_string("%m-%d %H:%M").to_list()
    assert at == ["03-07 00:00", "03-08 00:00", "03-09 00:00", "03-10 00:00"]
    assert days["seconds"].to_list() == [86400, 82800, 86400, 86400]


def test_a_quarter_is_one_of_civil_time():
    hours = account(stack(), [1] * 4, [FLOW] * 4, Q1 - timedelta(hours=2))
    assert [h["quarter_at"] for h in hours] == [Q4, Q4, Q1, Q1]
