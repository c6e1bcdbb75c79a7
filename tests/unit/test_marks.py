"""Marks: deadlines, caps of the shipped types, reviews and what the history shows, case by case."""

from datetime import timedelta

import polars as pl
import pytest

from contracts.facts import FACTS
from rules.facts.deadline import deadline_of, provisional
from rules.facts.effects import effects
from rules.facts.history import mark_history
from rules.facts.tables import DEADLINES, TYPES, compile_marking, deadline_table, shipped_tables
from tests.marked_site import china, compiled, fact, frame, marked_site

POWER = compiled(marked_site({"S1": "Coal power"}))
FURNACE = compiled(marked_site({"S1": "waste incineration"}))
ELSEWHERE = compiled(marked_site({"S1": "liquor"}, medium="waste_water"))


def mark(known_at, from_at, to_at, type_="maintenance", **body):
    known = china(known_at)
    return fact("mark", known, station="S1", type=type_, from_at=china(from_at), to_at=china(to_at), reason="r", **body)


def held(facts, on, tick=None):
    """{(from, to)} of SO2 as of a tick; the latest, if none is given."""
    points, marking = on
    made = effects(frame(*facts), points, marking).join(points.select("point", "factor"), on="point")
    made = made.filter(pl.col("factor") == "a21026")
    at = china("2099-01-01T00:00") if tick is None else china(tick)
    now = made.filter((pl.col("tick") <= at) & (pl.col("until").is_null() | (at < pl.col("until"))))
    return sorted(now.select("from_at", "to_at").iter_rows())


def hours(*pairs):
    return [(china(a), china(b)) for a, b in pairs]


def test_of_marks_at_11_59_and_12_01_of_the_next_day_the_first_takes_effect_and_both_are_visible():
    in_time = mark("2026-03-02T11:59", "2026-03-01T08:00", "2026-03-01T10:00")
    late = mark("2026-03-02T12:01", "2026-03-01T14:00", "2026-03-01T15:00")
    assert held([in_time, late], POWER) == hours(("2026-03-01T08:00", "2026-03-01T10:00"))
    assert held([in_time, late], POWER, "2026-03-02T11:58:59") == []
    first, second = mark_history(frame(in_time, late), POWER[1])
    assert (first["timing"], len(first["effects"])) == ("in_time", 1)
    assert (second["timing"], second["state"], second["effects"]) == ("late", "submitted", [])
    assert first["deadline_at"] == second["deadline_at"] == china("2026-03-02T12:00")


def test_a_mark_known_at_the_deadline_itself_is_in_time():
    span = ("2026-03-01T08:00", "2026-03-01T10:00")
    assert held([mark("2026-03-02T12:00", *span)], POWER) == hours(span)
    assert held([mark("2026-03-02T12:00:01", *span)], POWER) == []


def test_of_a_mark_over_several_days_only_those_count_whose_deadline_was_not_over():
    made = mark("2026-03-03T09:00", "2026-03-01T20:00", "2026-03-03T06:00")
    assert held([made], POWER) == hours(("2026-03-02T00:00", "2026-03-03T06:00"))
    (told,) = mark_history(frame(made), POWER[1])
    assert (told["timing"], told["in_time_from"]) == ("partly", china("2026-03-02T00:00"))


def test_waste_incineration_marks_within_an_hour_after_the_clock_hour():
    span = ("2026-03-01T08:10", "2026-03-01T08:50")
    assert held([mark("2026-03-01T10:00", *span, "fault")], FURNACE) == hours(span)
    assert held([mark("2026-03-01T10:00:01", *span, "fault")], FURNACE) == []


def test_a_late_mark_approved_by_somebody_else_with_a_reason_holds_from_then_on():
    late = mark("2026-03-05T09:00", "2026-03-01T08:00", "2026-03-01T10:00")
    own = fact("review", china("2026-03-06T09:00"), "plant", about=late["fact"], decision="approve_late", reason="r")
    assert held([late, own], POWER) == []
    word = fact("review", china("2026-03-07T09:00"), "wang", about=late["fact"], decision="approve_late", reason="r")
    assert held([late, own, word], POWER, "2026-03-07T08:59:59") == []
    assert held([late, own, word], POWER, "2026-03-07T09:00") == hours(("2026-03-01T08:00", "2026-03-01T10:00"))
    (told,) = mark_history(frame(late, own, word), POWER[1])
    assert [step["outcome"] for step in told["steps"]] == ["no_effect_own_mark", "late_approved"]
    assert [step["actor"] for step in told["steps"]] == ["plant", "wang"]


def test_acceptance_does_not_approve_what_was_late():
    late = mark("2026-03-05T09:00", "2026-03-01T08:00", "2026-03-01T10:00")
    word = fact("review", china("2026-03-07T09:00"), "wang", about=late["fact"], decision="accept", reason="r")
    assert held([late, word], POWER) == []


def test_a_returned_mark_had_its_effect_until_then():
    made = mark("2026-03-01T12:00", "2026-03-01T08:00", "2026-03-01T10:00")
    word = fact("review", china("2026-03-02T09:00"), "wang", about=made["fact"], decision="return", reason="r")
    assert held([made, word], POWER, "2026-03-02T08:59:59") == hours(("2026-03-01T08:00", "2026-03-01T10:00"))
    assert held([made, word], POWER, "2026-03-02T09:00") == []


def test_a_mark_is_withdrawn_before_its_review_or_not_at_all():
    made = mark("2026-03-01T12:00", "2026-03-01T08:00", "2026-03-01T10:00")
    word = fact("review", china("2026-03-02T09:00"), "wang", about=made["fact"], decision="accept", reason="r")
    before = fact("withdrawal", china("2026-03-02T08:00"), about=made["fact"], reason="r")
    after = fact("withdrawal", china("2026-03-02T10:00"), about=made["fact"], reason="r")
    assert held([made, word, before], POWER) == []
    assert held([made, word, after], POWER) == hours(("2026-03-01T08:00", "2026-03-01T10:00"))


def test_force_majeure_has_no_effect_before_it_is_accepted():
    made = mark("2026-03-01T09:30", "2026-03-01T08:00", "2026-03-01T09:00", "furnace_temperature")
    word = fact("review", china("2026-03-02T09:00"), "wang", about=made["fact"], decision="accept", reason="r")
    assert held([made], FURNACE) == []
    assert held([made, word], FURNACE) == hours(("2026-03-01T08:00", "2026-03-01T09:00"))


def test_a_start_up_counts_four_hours_however_many_marks_it_is_cut_into():
    one = mark("2026-03-01T10:00", "2026-03-01T08:00", "2026-03-01T11:00", "start_up")
    other = mark("2026-03-01T11:30", "2026-03-01T11:00", "2026-03-01T14:00", "start_up")
    expected = hours(("2026-03-01T08:00", "2026-03-01T11:00"), ("2026-03-01T11:00", "2026-03-01T12:00"))
    assert held([one, other], FURNACE) == expected
    told = mark_history(frame(one, other), FURNACE[1])
    assert [cap["used_h"] for cap in told[0]["caps"]] == [6, 4]  # of an event; of the year what the event leaves
    assert [cap["cap_h"] for cap in told[0]["caps"]] == [4, 60]


def test_faults_and_starts_share_sixty_hours_a_year():
    days = [f"2026-03-{day:02d}" for day in range(1, 18)]
    kinds = ["start_up", "fault", "accident"]
    marks = [mark(f"{d}T09:00", f"{d}T08:00", f"{d}T12:00", kinds[n % 3]) for n, d in enumerate(days)]
    assert len(held(marks, FURNACE)) == 15
    assert held(marks[:15], FURNACE) == held(marks, FURNACE)
    withdrawn = fact("withdrawal", china("2026-04-01T09:00"), about=marks[0]["fact"], reason="r")
    assert held([*marks, withdrawn], FURNACE)[-1] == hours(("2026-03-16T08:00", "2026-03-16T12:00"))[0]
    assert held([*marks, withdrawn], FURNACE, "2026-03-31T09:00") == held(marks, FURNACE)


def test_maintenance_of_the_cems_counts_thirty_hours_a_quarter():
    first = mark("2026-03-31T01:00", "2026-03-31T00:00", "2026-04-01T12:00", "cems_maintenance")
    expected = hours(("2026-03-31T00:00", "2026-04-01T12:00"))
    assert held([first], FURNACE) == expected  # 24 h of the one quarter, 12 of the next
    second = mark("2026-04-02T01:00", "2026-04-02T00:00", "2026-04-03T00:00", "cems_maintenance")
    assert held([first, second], FURNACE) == [*expected, *hours(("2026-04-02T00:00", "2026-04-02T18:00"))]


def test_an_industry_with_capped_types_has_no_general_type_to_go_round_them():
    assert "maintenance" not in FURNACE[1].types["S1"]
    assert "maintenance" in ELSEWHERE[1].types["S1"]
    span = ("2026-03-01T08:00", "2026-03-01T08:30")
    assert held([mark("2026-03-01T09:00", *span, "maintenance")], FURNACE) == []
    (told,) = mark_history(frame(mark("2026-03-01T09:00", *span, "maintenance")), FURNACE[1])
    assert told["why"] == "'maintenance' is no type of its industry"


def test_a_type_for_nox_excuses_nox_alone():
    points, marking = compiled(marked_site({"S1": "sinter"}))
    made = mark("2026-03-01T09:00", "2026-03-01T08:00", "2026-03-01T10:00", "start_up")
    found = effects(frame(made), points, marking).join(points.select("point", "factor"), on="point")
    assert found["factor"].to_list() == ["a21002"]


def test_every_effect_says_how_sure_its_rows_are():
    points, marking = ELSEWHERE
    made = mark("2026-03-01T09:00", "2026-03-01T08:00", "2026-03-01T10:00")
    assert set(effects(frame(made), points, marking)["status"]) == {"unverified"}
    points, marking = FURNACE
    made = mark("2026-03-01T09:00", "2026-03-01T08:00", "2026-03-01T10:00", "fault")
    assert set(effects(frame(made), points, marking)["status"]) == {"verified"}


def test_a_failed_check_reaches_back_to_the_last_passed_and_on_to_the_next():
    def check(known_at, at, passed, kind="zero_drift"):
        body = {"station": "S1", "factor": "a21026", "check": kind, "values": "v"}
        return fact("qc", china(known_at), at=china(at), passed=passed, **body)

    good = check("2026-03-01T09:00", "2026-03-01T08:00", True)
    bad = check("2026-03-02T09:00", "2026-03-02T08:00", False)
    other = check("2026-03-02T11:00", "2026-03-02T10:00", True, "span_drift")
    again = check("2026-03-03T09:00", "2026-03-03T08:00", True)
    facts = [good, bad, other, again]
    assert held(facts, POWER, "2026-03-02T08:59:59") == []
    assert held(facts, POWER, "2026-03-02T12:00") == [(china("2026-03-01T08:00"), None)]
    assert held(facts, POWER, "2026-03-03T09:00") == hours(("2026-03-01T08:00", "2026-03-03T08:00"))
    assert held([bad], POWER) == [(china("2026-03-02T08:00"), None)]


def test_a_manual_reading_changes_nothing():
    body = {"station": "S1", "factor": "a21026", "at": china("2026-03-01T08:00"), "value": "12.50", "unit": "mg/m3"}
    row = fact("manual", china("2026-03-02T08:00"), laboratory="L", **body)
    assert (row["value"], row["unit"], row["detail"]) == (12.5, "mg/m3", "12.50; L")
    assert held([row], POWER) == []


def test_no_facts_have_no_effects():
    assert effects(pl.DataFrame(schema=FACTS), *POWER).is_empty()
    unknown = mark("2026-03-01T09:00", "2026-03-01T08:00", "2026-03-01T10:00") | {"known_at": None}
    assert effects(frame(unknown), *POWER).is_empty()
    elsewhere = mark("2026-03-01T09:00", "2026-03-01T08:00", "2026-03-01T10:00") | {"station": "S9"}
    assert held([elsewhere], POWER) == []


def test_a_verdict_is_provisional_up_to_the_deadline_and_final_after_it():
    rows = pl.DataFrame({"station": ["S1"] * 2, "window_at": [china("2026-03-01T23:00"), china("2026-03-01T00:00")]})
    rows = rows.with_columns(pl.col("window_at").dt.cast_time_unit("us")).join(deadline_table(POWER[1]), on="station")
    due = rows.select(
        hour=deadline_of(pl.col("window_at"), "hour", "Asia/Shanghai"),
        day=deadline_of(pl.col("window_at"), "day", "Asia/Shanghai"),
        month=deadline_of(pl.col("window_at"), "month", "Asia/Shanghai"),
    )
    assert due["hour"].to_list() == [china("2026-03-02T12:00")] * 2
    assert due["day"][1] == china("2026-03-02T12:00")
    assert due["month"][1] == china("2026-04-01T12:00")
    at = pl.DataFrame({"tick": [china("2026-03-02T12:00"), china("2026-03-02T12:00:01")]})
    said = at.select(provisional(pl.col("tick"), pl.lit(china("2026-03-02T12:00"))))
    assert said.to_series().to_list() == [True, False]
    hourly = pl.DataFrame({"station": ["S1"], "window_at": [china("2026-03-01T08:00")]}).with_columns(
        pl.col("window_at").dt.cast_time_unit("us")
    )
    hourly = hourly.join(deadline_table(FURNACE[1]), on="station")
    assert hourly.select(deadline_of(pl.col("window_at"), "hour", "Asia/Shanghai")).item() == china("2026-03-01T10:00")


def test_a_day_with_a_change_of_clocks_still_has_its_deadline_at_noon():
    points, marking = compiled(marked_site({"S1": "coal power"}, time_zone="Europe/Berlin"))
    rows = pl.DataFrame({"station": ["S1"], "window_at": [china("2026-03-28T12:00")]}).with_columns(
        pl.col("window_at").dt.cast_time_unit("us")
    )
    due = rows.join(deadline_table(marking), on="station").select(
        deadline_of(pl.col("window_at"), "instant", "Europe/Berlin")
    )
    assert due.item().isoformat() == "2026-03-29T10:00:00+00:00"  # 12:00 there; clocks went from +1 to +2 at 02:00
    assert points.height


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        (TYPES, ",excused,12,", ",excused,12h,", "mark_types.csv:2: event_cap_h: '12h' is not a number of whole hours"),
        (TYPES, ",excused,12,", ",pardoned,12,", "mark_types.csv:2: effect: 'pardoned' is none of invalid"),
        (TYPES, ",12,,700,", ",12,,800,", "baking_after_repair and baking share 'baking_cooling' and have other caps"),
        (DEADLINES, ",hour,1h,", ",hour,soon,", "marking_deadlines.csv:6: 'soon' is not a duration"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_with_line_and_column(table, old, new, message):
    tables = shipped_tables()
    assert old in tables[table]
    with pytest.raises(ValueError, match=message):
        compile_marking(marked_site({"S1": "cement"}), tables | {table: tables[table].replace(old, new, 1)})


def test_a_mark_in_the_future_of_its_data_is_in_time():
    planned = mark("2026-03-01T09:00", "2026-03-05T08:00", "2026-03-05T10:00", "start_up")
    assert held([planned], POWER) == hours(("2026-03-05T08:00", "2026-03-05T10:00"))
    assert planned["known_at"] < planned["from_at"] - timedelta(days=1)
