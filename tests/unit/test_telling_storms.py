"""What becomes of alerts that change while they are held back, of storms and of what comes and goes: never silence."""

import polars as pl
import pytest

from contracts.reasons import LEVELS
from notify.telling.rests import rests_of
from tests.telling_site import START, acknowledge, change, lines, minutes, planned_by, seconds, silence, told

ONE = {"route": "all", "channels": ["hook"]}
QUIET = {"levels": ["yellow"], "hours": "22:00-07:00"}  # START is 20:00 there; 22:00 is 120m, 07:00 is 660m


def routes(*rows, **more):
    return planned_by({"routes": [{**ONE, **row} for row in rows], **more})


def rising(at=130):
    """A yellow alert that is red ten minutes later."""
    return [
        change("fired", START + minutes(at), level="yellow"),
        change("level_changed", START + minutes(at + 10), level="red"),
    ]


@pytest.mark.parametrize(
    ("routing", "actions"),
    [
        ({"quiet": [QUIET]}, []),
        ({}, [silence(START, "level=yellow", START, START + minutes(600))]),
    ],
    ids=["quiet hours", "a silence"],
)
def test_what_was_held_back_at_a_low_level_is_told_when_it_rises_above_it(routing, actions):
    found = told(routes({**routing, "wait": "30s"}), rising(), actions=actions)
    assert lines(found) == ["140.5m hook change fired S1"]
    assert found.planned[0].level == "red"


def test_an_inhibition_of_a_level_ends_where_the_level_rises_above_it():
    own = {"inhibition": "plant", "source": {"rule": "so2"}, "target": {"rule": "nox", "level": "yellow"}}
    rows = [
        change("fired", START),
        change("fired", START, "S2", rule="nox", level="yellow"),
        change("level_changed", START + minutes(5), "S2", rule="nox", level="red"),
    ]
    assert lines(told(routes({}, inhibit=[own]), rows)) == ["0m hook change fired S1", "5m hook change fired S2"]


def test_what_rises_and_is_held_back_at_its_new_level_as_well_waits_as_before():
    rows = [*rising(), change("resolved", START + minutes(150), level="red")]
    found = told(routes({"quiet": [{**QUIET, "levels": list(LEVELS)}]}), rows)
    assert lines(found) == ["660m hook change resolved S1"]


def flapping_levels(low, high, upto):
    """Every two minutes from the one level to the other and back."""
    return [
        change("level_changed" if n else "fired", START + minutes(n), level=high if n % 4 else low)
        for n in range(0, upto, 2)
    ]


def test_a_flapping_alert_that_becomes_worse_than_was_told_is_told_again():
    rows = flapping_levels("yellow", "orange", 60)
    rows += [change("level_changed", START + minutes(61), level="red")]
    found = told(routes({}, flapping={"changes": 6, "within": "30m"}), rows, to=START + minutes(80))
    assert [line for line in lines(found) if "flapping" in line] == [
        "10m hook flapping flapping S1",
        "61m hook flapping flapping S1",
    ]
    assert [one.level for one in found.planned][-1] == "red"


def test_whoever_is_to_act_is_told_again_of_an_alert_that_flaps_and_so_are_those_above_him():
    steps = [{"after": "30m", "channels": ["boss"]}, {"after": "50m", "channels": ["night"]}]
    plan = routes({"repeat_every": "25m", "escalate": steps}, flapping={"changes": 6, "within": "30m"})
    found = told(plan, flapping_levels("orange", "red", 100), to=START + minutes(100))
    assert [line for line in lines(found) if "change" not in line] == [
        "10m hook flapping flapping S1",
        "32m boss escalation 1 flapping S1",  # since it turned red, once
        "35m hook repeat 1 flapping S1",
        "52m night escalation 2 flapping S1",
        "60m hook repeat 2 flapping S1",
        "85m hook repeat 3 flapping S1",
    ]


def test_what_changes_faster_than_its_group_gathers_is_told_as_flapping_all_the_same():
    rows = []
    for n in range(30):
        opened_at = START + minutes(2 * n)
        rows += [change("fired", opened_at, opened_at=opened_at)]
        rows += [change("resolved", opened_at + minutes(1), opened_at=opened_at)]
    plan = routes({"group_by": "enterprise", "wait": "3m"}, flapping={"changes": 6, "within": "30m"})
    found = told(plan, rows, to=START + minutes(120))
    (one,) = [one for one in found.planned if "flapping" in {item.transition for item in one.items}]
    assert one.tick <= START + minutes(8)
    assert lines(found)[-1] == "89m hook change resolved S1"  # when it is quiet


def test_an_alert_that_falls_and_rises_again_is_taken_further_all_the_same():
    """Steps begin anew above the highest level it was told at, or one that changes every hour would reach nobody."""
    plan = routes({"escalate": [{"after": "90m", "channels": ["boss"]}]}, flapping=None)
    rows = [
        change("level_changed" if n else "fired", START + minutes(60 * n), level=("orange", "red")[n % 2])
        for n in range(6)
    ]
    found = told(plan, rows, to=START + minutes(400))
    assert lines(found, "boss") == ["150m boss escalation 1 level_changed S1"]


def test_repeats_and_steps_go_on_when_an_acknowledged_alert_rises_though_its_route_tells_of_no_rise():
    plan = routes(
        {"tells": ["fired", "resolved"], "repeat_every": "10m", "escalate": [{"after": "15m", "channels": ["boss"]}]}
    )
    rows = [change("fired", START), change("level_changed", START + minutes(30), level="red")]
    found = told(plan, rows, actions=[acknowledge(START + minutes(5))], to=START + minutes(50))
    assert lines(found) == [
        "0m hook change fired S1",
        "40m hook repeat 1 fired S1",
        "45m boss escalation 1 fired S1",
        "50m hook repeat 2 fired S1",
    ]


def test_an_alert_that_begins_before_a_silence_and_ends_after_it_is_told_twice_and_nobody_is_called_meanwhile():
    plan = routes({"repeat_every": "20m", "escalate": [{"after": "30m", "channels": ["boss"]}]})
    rows = [change("fired", START), change("resolved", START + minutes(100))]
    quiet = silence(START, "station=S1", START + minutes(10), START + minutes(70))
    assert lines(told(plan, rows, actions=[quiet])) == [
        "0m hook change fired S1",
        "70m boss escalation 1 fired S1",  # it was due
        "80m hook repeat 1 fired S1",
        "100m hook change resolved S1",
    ]
    rows[1] = change("resolved", START + minutes(50))
    assert lines(told(plan, rows, actions=[quiet])) == ["0m hook change fired S1", "70m hook change resolved S1"]


def test_a_silence_that_ends_within_a_second_ends_with_the_next_tick_and_a_stop_as_well():
    """What is told at no tick is found again by no recovery."""
    end = START + seconds(90.5)
    found = told(routes({}), [change("fired", START)], actions=[silence(START, "level=orange", START, end)])
    assert [one.tick for one in found.planned] == [START + seconds(91)]
    stop = {"kind": "stop", "type": "", "review": "", "point": 0, "from_at": START, "to_at": end, "tick": START}
    points = pl.DataFrame({"point": [0], "station": ["S1"], "about": ["a21026"]})
    rests = rests_of(pl.DataFrame([{**stop, "until": None}], schema_overrides={"until": pl.Datetime("us")}), points)
    found = told(routes({}), [change("fired", START, kind="missing")], rests=rests)
    assert [one.tick for one in found.planned] == [START + seconds(91)]


def silent(n, at, **more):
    return change("fired", at, f"S{n}", rule="silent", kind="missing", **more)


def test_a_thousand_stations_that_fall_silent_within_a_minute_are_one_message_to_a_route_that_waits():
    plan = planned_by({"routes": [{**ONE, "group_by": "station", "wait": "2m"}]}, stations=1000)
    rows = [silent(n, START + seconds(n % 60)) for n in range(1, 1001)]
    found = told(plan, rows)
    assert [(one.kind, len(one.items), one.tick) for one in found.planned] == [("storm", 1000, START + minutes(2))]


def test_without_a_wait_the_first_are_told_alone_and_all_others_together():
    plan = planned_by({"routes": [ONE]}, stations=1000)
    found = told(plan, [silent(n, START + seconds(n % 60)) for n in range(1, 1001)])
    kinds = [one.kind for one in found.planned]
    assert sum(len(one.items) for one in found.planned) == 1000
    assert (kinds.count("storm"), len(kinds) - kinds.count("storm") <= 20) == (2, True)


def test_a_storm_of_the_quiet_hours_is_one_message_in_the_morning_and_what_is_red_of_it_one_at_once():
    plan = planned_by({"routes": [{**ONE, "quiet": [QUIET], "wait": "1m"}]}, stations=200)
    rows = [
        silent(n, START + minutes(180) + seconds(n % 50), level="red" if n % 4 == 0 else "yellow")
        for n in range(1, 201)
    ]
    found = told(plan, rows)
    assert [(one.kind, len(one.items), one.level, one.tick) for one in found.planned] == [
        ("storm", 50, "red", START + minutes(181)),
        ("storm", 150, "yellow", START + minutes(660)),
    ]


def test_what_a_storm_gathers_is_taken_further_as_late_as_it_was_told_and_in_one_message():
    step = {"after": "15m", "channels": ["boss"]}
    plan = planned_by({"routes": [{**ONE, "escalate": [step]}], "storm": {"more_than": 5, "within": "10m"}}, 100)
    rows = [silent(n, START + seconds(n)) for n in range(1, 101)]
    found = told(plan, rows, actions=[acknowledge(START + minutes(2), "S100", "silent")], to=START + minutes(60))
    told_of = {item.record["id"]: one.tick for one in found.planned if one.channel == "hook" for item in one.items}
    taken = {item.record["id"]: one.tick for one in found.planned if one.channel == "boss" for item in one.items}
    assert (len(told_of), len(taken)) == (100, 99)  # one was acknowledged while it was gathered
    assert {taken[name] - told_of[name] for name in taken} == {minutes(15)}
    assert [len(one.items) for one in found.planned if one.channel == "boss"][-1] == 93
