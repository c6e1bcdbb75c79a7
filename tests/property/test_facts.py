"""Laws of effects: a naive oracle agrees sample by sample, copies and order do not matter, the past stays as it was."""

from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from contracts.civil_time import local
from rules.facts.deadline import deadline_at, deadline_of, in_time_from
from rules.facts.effects import effects
from rules.facts.tables import DEADLINES, TYPES, compile_marking, deadline_table
from tests.marked_site import china, compiled, fact, frame, marked_site

HALF = timedelta(minutes=30)
BEGIN = china("2026-12-30T20:00")  # a quarter and a year end within the samples
SLOTS = 100  # half hours
TYPE_ROWS = """\
type,name_zh,name_en,class,media,industries,factors,effect,event_cap_h,quarter_cap_h,year_cap_h,cap_group,needs_review,condition,source,status
open,开,open,device,,,,invalid,,,,,no,,test,verified
short,短,short,condition,,,,excused,2,,,,no,,test,verified
year_a,甲,year a,condition,,,,excused,,,3,year,no,,test,verified
year_b,乙,year b,condition,,,a21002,excused,1,,3,year,no,,test,verified_weak
quarter,季,quarter,device,,,,invalid,3,2,,,no,,test,verified
asked,审,asked,condition,,,,excused,,,,,yes,,test,unverified
"""
DEADLINE_ROWS = """\
industries,per,deadline,rule,source,status
,day,12:00,noon,test,verified
quick,hour,1h,an hour,test,verified
"""
SITE = marked_site({"S1": "any", "S2": "quick"})
POINTS, MARKING = compiled(SITE, **{TYPES: TYPE_ROWS, DEADLINES: DEADLINE_ROWS})
CAPS = {"short": (2, None, None), "year_a": (None, None, 3), "year_b": (1, None, 3), "quarter": (3, 2, None)}
GROUP = {"year_a": "year", "year_b": "year"}

CHECKS = ("checks",)

slots = st.integers(0, SLOTS - 1)
ticks = st.integers(0, 2 * SLOTS).map(lambda n: BEGIN + HALF * n + timedelta(seconds=n % 3))
stations = st.sampled_from(["S1", "S2"])


@st.composite
def histories(draw):
    """Facts of two stations: marks, what was said about them, checks, stops and what was taken back."""
    made = []
    for _ in range(draw(st.integers(0, 6))):
        a, n = draw(slots), draw(st.integers(1, 14))
        body = {"station": draw(stations), "from_at": BEGIN + HALF * a, "to_at": BEGIN + HALF * (a + n), "reason": "r"}
        body |= {"factor": draw(st.sampled_from([None, None, "a21026", "a21002"]))}
        body |= {"type": draw(st.sampled_from(["open", "short", "year_a", "year_b", "quarter", "asked", "unknown"]))}
        # most marks are made in time
        at = draw(st.one_of(ticks, st.just(body["to_at"] + timedelta(minutes=20))))
        made.append(fact("mark", at, draw(st.sampled_from(["plant", "wang"])), **body))
    for _ in range(draw(st.integers(0, 4))):
        body = {"station": draw(stations), "factor": draw(st.sampled_from(["a21026", "a19001"])), "values": "v"}
        body |= {"check": draw(st.sampled_from(["zero_drift", "comparison"])), "at": BEGIN + HALF * draw(slots)}
        made.append(fact("qc", draw(ticks), passed=draw(st.booleans()), **body))
    for _ in range(draw(st.integers(0, 2))):
        a, n = draw(slots), draw(st.integers(1, 14))
        where = draw(st.sampled_from([{"station": "S1"}, {"outlet": "O-S2"}]))
        body = {"from_at": BEGIN + HALF * a, "to_at": BEGIN + HALF * (a + n), "number": "1", "reason": "r"}
        made.append(fact("stop", draw(ticks), **where, **body))
    about = list(made)
    for _ in range(draw(st.integers(0, 5)) if about else 0):
        one = draw(st.sampled_from(about))
        who, at = draw(st.sampled_from(["li", "wang"])), draw(ticks)
        decision = draw(st.sampled_from(["accept", "return", "approve_late", None]))
        if decision is None or one["kind"] != "mark":
            made.append(fact("withdrawal", at, who, about=one["fact"], reason="r"))
        else:
            made.append(fact("review", at, who, about=one["fact"], decision=decision, reason="r"))
    return made


@st.composite
def rivals(draw, groups=(("year_a", "year_b"), ("short",), ("quarter",))):
    """Marks of one cap group, or checks of one kind, that compete; each may be taken back or returned."""
    made, kinds = [], draw(st.sampled_from(groups))
    for _ in range(draw(st.integers(3, 7))):
        a, n = draw(st.integers(40, 70)), draw(st.integers(1, 7))
        span = {"from_at": at_of(a), "to_at": at_of(a + n)}
        at = span["to_at"] + HALF * draw(st.integers(0, 20))
        if kinds == CHECKS:
            body = {"factor": "a21026", "values": "v", "check": "zero_drift", "at": at_of(a)}
            made.append(fact("qc", at, station="S1", passed=draw(st.integers(0, 3)) > 0, **body))
        else:
            made.append(fact("mark", at, station="S1", type=draw(st.sampled_from(kinds)), reason="r", **span))
    for one in draw(st.lists(st.sampled_from(made), max_size=4)):
        at = one["known_at"] + HALF * draw(st.integers(0, 30))
        if one["kind"] == "qc" or draw(st.booleans()):
            made.append(fact("withdrawal", at, about=one["fact"], reason="r"))
        else:
            decision = draw(st.sampled_from(["accept", "return"]))
            made.append(fact("review", at, "li", about=one["fact"], decision=decision, reason="r"))
    return made


def oracle(facts, tick):
    """(station, factor, slot) -> {(effect, review, fact)} as of a tick, one sample at a time."""
    known = [one for one in facts if one["known_at"] <= tick]
    found: dict[tuple, set] = {}
    reach = {}  # (station, mark type) -> slot -> [(mark, review)]
    for mark in (one for one in known if one["kind"] == "mark" and one["type"] != "unknown"):
        for slot in range(SLOTS + 14):
            at = BEGIN + HALF * slot
            if mark["from_at"] <= at < mark["to_at"] and (review := standing(mark, known, at)):
                reach.setdefault((mark["station"], mark["type"]), {}).setdefault(slot, []).append((mark, review))
    after_event = {
        key: {slot: its for slot, its in by_slot.items() if in_event(key[1], by_slot, slot)}
        for key, by_slot in reach.items()
    }
    for (station, kind), by_slot in after_event.items():
        group = [
            its for (s, k), its in after_event.items() if s == station and GROUP.get(k, k) == GROUP.get(kind, kind)
        ]
        covered = sorted(set().union(*group))
        for slot, its in by_slot.items():
            if not in_period(kind, covered, slot):
                continue
            for mark, review in its:
                factors = ["a21026", "zs_a21026", "a21002", "a19001"]
                if mark["factor"] is not None:
                    factors = [mark["factor"], "zs_" + mark["factor"]]
                if kind == "year_b":
                    factors = [one for one in factors if one == "a21002"]
                effect = "invalid" if kind in ("open", "quarter") else "excused"
                for factor in factors:
                    found.setdefault((station, factor, slot), set()).add((effect, review, mark["fact"]))
    gone = {one["about"] for one in known if one["kind"] == "withdrawal"}
    alive = [one for one in known if one["fact"] not in gone]
    for failed in (one for one in alive if one["kind"] == "qc" and not one["passed"]):
        same = [
            one["from_at"]
            for one in alive
            if one["kind"] == "qc" and one["passed"]
            if (one["station"], one["factor"], one["type"]) == (failed["station"], failed["factor"], failed["type"])
        ]
        begin = max((at for at in same if at < failed["from_at"]), default=failed["from_at"])
        end = min((at for at in same if at > failed["from_at"]), default=None)
        for slot in range(SLOTS + 14):
            at = BEGIN + HALF * slot
            if begin <= at and (end is None or at < end):
                for factor in (failed["factor"], "zs_" + failed["factor"]):
                    key = (failed["station"], factor, slot)
                    found.setdefault(key, set()).add(("invalid", None, failed["fact"]))
    for stop in (one for one in alive if one["kind"] == "stop"):
        station = stop["station"] or stop["outlet"][2:]
        for slot in range(SLOTS + 14):
            if stop["from_at"] <= BEGIN + HALF * slot < stop["to_at"]:
                for factor in ("a21026", "zs_a21026", "a21002", "a19001", "$station", "$rejects", "$clock_lag"):
                    found.setdefault((station, factor, slot), set()).add(("excused", None, stop["fact"]))
    return found


def standing(mark, known, at):
    """How a mark stands for the data of one instant; None: without effect."""
    deadline = deadline_at(at, MARKING.deadlines[mark["station"]], MARKING.zone)
    in_time = mark["known_at"] <= deadline
    word = "submitted"
    approved = False
    about = [one for one in known if one["about"] == mark["fact"]]
    for one in sorted(about, key=lambda one: (max(one["known_at"], mark["known_at"]), one["made_at"], one["fact"])):
        if one["kind"] == "withdrawal":
            if word == "submitted":
                return None
        elif one["actor"] != mark["actor"]:
            word = "returned" if one["type"] == "return" else "accepted"
            approved = (approved or one["type"] == "approve_late") and word == "accepted"
    if word == "returned" or (mark["type"] == "asked" and word == "submitted"):
        return None
    return word if in_time or approved else None


def in_event(kind, by_slot, slot):
    hours = CAPS.get(kind, (None,))[0]
    begin = slot
    while begin - 1 in by_slot:
        begin -= 1
    return hours is None or slot - begin < 2 * hours


def in_period(kind, covered, slot):
    _, quarter, year = CAPS.get(kind, (None, None, None))
    for hours, named in ((quarter, quarter_of), (year, lambda at: local(at, "Asia/Shanghai").year)):
        if hours is not None:
            before = [one for one in covered if one < slot and named(at_of(one)) == named(at_of(slot))]
            if len(before) >= 2 * hours:
                return False
    return True


def at_of(slot):
    return BEGIN + HALF * slot


def quarter_of(at):
    there = local(at, "Asia/Shanghai")
    return there.year, (there.month - 1) // 3


def seen(made, tick):
    """EFFECTS as of a tick, sample by sample, as the oracle gives them."""
    held = made.filter((pl.col("tick") <= tick) & (pl.col("until").is_null() | (tick < pl.col("until"))))
    found: dict[tuple, set] = {}
    for row in held.join(POINTS.select("point", "station", "factor"), on="point").iter_rows(named=True):
        for slot in range(SLOTS + 14):
            if row["from_at"] <= at_of(slot) and (row["to_at"] is None or at_of(slot) < row["to_at"]):
                key = (row["station"], row["factor"], slot)
                found.setdefault(key, set()).add((row["effect"], row["review"], row["fact"]))
    return found


def only_known(by_sample):
    return {key: value for key, value in by_sample.items() if key[1] in set(POINTS["factor"])}


@given(histories(), st.lists(ticks, min_size=1, max_size=4))
def test_a_naive_oracle_agrees_for_every_sample_as_of_every_tick(facts, at):
    made = effects(frame(*facts), POINTS, MARKING)
    for tick in at:
        assert seen(made, tick) == only_known(oracle(facts, tick))


@given(rivals())
def test_a_naive_oracle_agrees_where_marks_compete_for_a_cap(facts):
    agree_at_every_tick(facts)


@given(rivals([CHECKS]))
def test_a_naive_oracle_agrees_where_checks_compete_for_being_the_nearest_to_a_failed_one(facts):
    agree_at_every_tick(facts)


def agree_at_every_tick(facts):
    made = effects(frame(*facts), POINTS, MARKING)
    for tick in {one["known_at"] for one in facts}:
        assert seen(made, tick) == only_known(oracle(facts, tick))


@given(st.one_of(histories(), rivals(), rivals([CHECKS])), st.randoms(use_true_random=False))
def test_order_and_copies_of_facts_do_not_matter(facts, rng):
    copies = [*facts, *(one | {"known_at": one["known_at"] + timedelta(hours=2)} for one in facts)]
    rng.shuffle(copies)
    assert_frame_equal(effects(frame(*copies), POINTS, MARKING), effects(frame(*facts), POINTS, MARKING))


@given(st.one_of(histories(), rivals(), rivals([CHECKS])), ticks)
def test_what_becomes_known_later_changes_nothing_for_earlier_ticks(facts, tick):
    def until_then(rows):
        open_ended = pl.when(pl.col("until") <= tick).then("until")
        return rows.filter(pl.col("tick") <= tick).with_columns(until=open_ended)

    known = effects(frame(*(one for one in facts if one["known_at"] <= tick)), POINTS, MARKING)
    assert_frame_equal(until_then(effects(frame(*facts), POINTS, MARKING)), until_then(known))


ZONES = st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "Asia/Kathmandu", "America/New_York", "UTC"])


@given(st.integers(0, 366 * 86400), ZONES, stations)
def test_deadline_of_an_instant_agrees_with_the_scalar_and_with_what_is_in_time(second, zone, station):
    at = BEGIN + timedelta(seconds=second)
    marking = compile_marking(
        marked_site({"S1": "any", "S2": "quick"}, time_zone=zone), {TYPES: TYPE_ROWS, DEADLINES: DEADLINE_ROWS}
    )
    deadline = marking.deadlines[station]
    due = deadline_at(at, deadline, zone)
    window = pl.DataFrame({"window_at": [at]}, schema={"window_at": pl.Datetime("us", "UTC")}).with_columns(
        station=pl.lit(station)
    )
    joined = window.join(deadline_table(marking), on="station")
    assert joined.select(deadline_of(pl.col("window_at"), "instant", zone)).item() == due
    for known_at, is_in_time in ((due, True), (due + timedelta(seconds=1), False)):
        assert (at >= in_time_from(known_at, deadline, zone)) == is_in_time
