"""Who is told what, when: life cycles whose every message is known beforehand."""

from datetime import timedelta

import pytest

from app.texts.told import ToldTexts
from contracts.portal import Portal
from notify.telling.adapt import adapt
from notify.telling.plan import compile_telling
from notify.telling.rests import Rest, Rests
from notify.telling.state import TellState, from_json, to_json
from notify.telling.tell import tell
from tests.telling_site import (
    START,
    acknowledge,
    act,
    change,
    episode_of,
    held,
    lines,
    minutes,
    planned_by,
    seconds,
    silence,
    told,
    told_site,
)

ONE = {"route": "all", "channels": ["hook"]}


def routes(*rows, **more):
    return planned_by({"routes": [{**ONE, **row} for row in rows], **more})


def test_without_routes_every_channel_is_told_of_everything_at_once():
    rows = [change("fired", START), change("data_lost", START + minutes(5)), change("resolved", START + minutes(9))]
    found = told(planned_by(), rows)
    assert lines(found, "hook") == [
        "0m hook change fired S1",
        "5m hook change data_lost S1",
        "9m hook change resolved S1",
    ]
    assert len(found.planned) == 4 * 3
    assert found.held == []


def test_the_first_route_that_matches_tells_and_a_later_one_where_it_goes_on():
    one = {"match": {"level": "red"}, "continue": True, "channels": ["boss"], "route": "red"}
    plan = routes(one, {"match": {"station": "S*"}}, {"route": "rest", "channels": ["night"]})
    rows = [change("fired", START, "S1", level="red"), change("fired", START, "S2")]
    assert sorted(lines(told(plan, rows))) == [
        "0m boss change fired S1",
        "0m hook change fired S1",
        "0m hook change fired S2",
    ]


def test_whoever_was_told_of_an_alert_is_told_of_its_end_though_another_route_has_it_by_then():
    plan = routes({"match": {"level": "red"}, "channels": ["boss"]}, {"route": "rest"})
    rows = [
        change("fired", START),
        change("level_changed", START + minutes(1), level="red"),
        change("resolved", START + minutes(2), level="red"),
    ]
    found = told(plan, rows)
    assert lines(found, "hook") == [
        "0m hook change fired S1",
        "1m hook change level_changed S1",
        "2m hook change resolved S1",
    ]
    assert lines(found, "boss") == ["1m boss change level_changed S1", "2m boss change resolved S1"]


def test_a_group_waits_for_what_belongs_to_it_and_is_told_as_one():
    plan = routes({"group_by": "enterprise", "wait": "30s"})
    rows = [
        change("fired", START, "S1"),
        change("fired", START + seconds(20), "S3", level="red"),
        change("fired", START + seconds(20), "S2"),
        change("resolved", START + minutes(3), "S1"),
    ]
    assert lines(told(plan, rows)) == [
        "0.5m hook group fired S3, fired S1",
        "0.833333m hook change fired S2",
        "3.5m hook change resolved S1",
    ]


def test_what_opens_and_ends_within_the_wait_is_told_once_as_over():
    plan = routes({"group_by": "station", "wait": "60s"})
    found = told(plan, [change("fired", START), change("resolved", START + seconds(30))])
    assert lines(found) == ["1m hook change resolved S1"]
    assert "0.5m fired overtaken" in held(found)


def test_an_alert_is_repeated_until_somebody_acknowledges_it():
    plan = routes({"repeat_every": "10m"})
    rows = [change("fired", START), change("resolved", START + minutes(55))]
    found = told(plan, rows, actions=[acknowledge(START + minutes(25))])
    assert lines(found) == [
        "0m hook change fired S1",
        "10m hook repeat 1 fired S1",
        "20m hook repeat 2 fired S1",
        "55m hook change resolved S1",
    ]
    assert held(found) == ["30m repeat acknowledged"]
    assert len({one.key for one in found.planned}) == 4
    (care,) = found.care
    assert care.columns["acknowledged_by"] == "wang"


def test_an_acknowledgement_holds_until_the_level_rises():
    plan = routes({"repeat_every": "10m", "escalate": [{"after": "15m", "channels": ["boss"], "people": ["li"]}]})
    rows = [change("fired", START), change("level_changed", START + minutes(30), level="red")]
    found = told(plan, rows, actions=[acknowledge(START + minutes(5))], to=START + minutes(50))
    assert lines(found) == [
        "0m hook change fired S1",
        "30m hook change level_changed S1",
        "40m hook repeat 1 level_changed S1",
        "45m boss escalation 1 level_changed S1",
        "50m hook repeat 2 level_changed S1",
    ]
    assert [one.columns["acknowledged_by"] for one in found.care] == ["wang", None]


def test_an_alert_that_reopens_is_to_be_acknowledged_again():
    plan = routes({"repeat_every": "1h"})
    rows = [
        change("fired", START),
        change("resolved", START + minutes(70)),
        change("reopened", START + minutes(90)),
    ]
    found = told(plan, rows, actions=[acknowledge(START + minutes(5))], to=START + minutes(160))
    assert lines(found)[1:] == [
        "70m hook change resolved S1",
        "90m hook change reopened S1",
        "150m hook repeat 1 reopened S1",
    ]


def test_steps_go_up_one_after_the_other_and_end_with_the_alert():
    steps = [
        {"after": "15m", "channels": ["boss"], "people": ["li"]},
        {"after": "1h", "channels": ["boss", "english"], "people": ["zhao"]},
        {"after": "2h", "channels": ["night"]},
    ]
    found = told(
        routes({"escalate": steps, "people": ["wang"]}),
        [change("fired", START), change("resolved", START + minutes(90))],
    )
    assert lines(found) == [
        "0m hook change fired S1",
        "15m boss escalation 1 fired S1",
        "60m boss escalation 2 fired S1",
        "60m english escalation 2 fired S1",
        "90m hook change resolved S1",
    ]
    assert [one.people for one in found.planned] == [("wang",), ("li",), ("zhao",), ("zhao",), ("wang",)]


def test_missing_data_end_nothing_and_repeats_go_on():
    plan = routes({"repeat_every": "10m", "tells": ["fired", "resolved"]})
    rows = [change("fired", START), change("data_lost", START + minutes(5), state="no_data")]
    assert lines(told(plan, rows, to=START + minutes(25))) == [
        "0m hook change fired S1",
        "10m hook repeat 1 fired S1",
        "20m hook repeat 2 fired S1",
    ]


def test_a_silence_stops_messages_and_what_is_still_open_at_its_end_is_told_then():
    quiet = silence(START, "station=S1", START, START + minutes(60))
    rows = [
        change("fired", START + minutes(5), "S1", rule="a"),
        change("fired", START + minutes(6), "S1", rule="b", opened_at=START),
        change("resolved", START + minutes(20), "S1", rule="b", opened_at=START),
        change("fired", START + minutes(7), "S2"),
    ]
    found = told(routes({}), rows, actions=[quiet])
    assert lines(found) == ["7m hook change fired S2", "60m hook change fired S1", "60m hook missed resolved S1"]
    assert held(found) == [
        "5m fired silenced until 60m",
        "6m fired silenced until 60m",
        "20m fired overtaken",
        "20m resolved silenced until 60m",
    ]


def test_all_that_came_and_went_while_silenced_is_one_message_when_the_silence_is_over():
    """Also for a route that tells of no ends, whatever its groups, and however often one station came and went."""
    plan = routes({"tells": ["fired"], "group_by": "station", "wait": "30s"}, flapping=None)
    rows = []
    for n in range(1, 31):
        rows += [change("fired", START + minutes(n), f"S{n % 4 + 1}", opened_at=START + minutes(n))]
        rows += [change("resolved", START + minutes(n + 1), f"S{n % 4 + 1}", opened_at=START + minutes(n))]
    rows += [change("withdrawn", START + minutes(40), "S2", opened_at=START + minutes(1), is_open=False)]
    quiet = silence(START, "kind=limit", START, START + minutes(60))
    found = told(plan, rows, actions=[quiet])
    (one,) = found.planned
    assert (one.kind, one.tick) == ("missed", START + minutes(60))
    assert len(one.items) == 29  # without what late data took back: nothing had happened
    cut = told(plan, rows, actions=[quiet], cuts=(START + minutes(10), START + minutes(59)))
    assert (cut.planned, cut.held) == (found.planned, found.held)
    body = ToldTexts(told_site(), plan).notification(one).body
    assert body["text"].startswith("静默期间发生并已结束的告警 29 条:\n")
    assert len(body["text"].split("\n")) == 12


def test_a_silence_that_is_taken_back_ends_at_once():
    quiet = silence(START, "kind=limit", START, START + minutes(600))
    back = act("unsilence", START + minutes(30), about=quiet.name, reason="done")
    found = told(routes({}), [change("fired", START + minutes(5))], actions=[quiet, back])
    assert lines(found) == ["30m hook change fired S1"]


def test_a_silent_station_keeps_its_lost_data_quiet_until_it_speaks_again():
    rows = [
        change("fired", START),
        change("fired", START + minutes(30), rule="silent", kind="missing"),
        change("data_lost", START + minutes(40), state="no_data"),
        change("data_lost", START + minutes(40), "S2", state="no_data"),
        change("resolved", START + minutes(50), rule="silent", kind="missing"),
    ]
    found = told(routes({}), rows)
    assert lines(found) == [
        "0m hook change fired S1",
        "30m hook change fired S1",
        "40m hook change data_lost S2",
        "50m hook change data_lost S1",
        "50m hook change resolved S1",
    ]
    assert held(found) == ["40m data_lost inhibited"]


def test_a_rule_of_the_site_inhibits_where_labels_are_equal():
    own = {"inhibition": "plant", "source": {"rule": "so2"}, "target": {"rule": "nox"}, "equal": ["enterprise"]}
    rows = [
        change("fired", START, "S1"),
        change("fired", START, "S3", rule="nox"),
        change("fired", START, "S2", rule="nox"),
        change("resolved", START + minutes(9), "S3", rule="nox"),
        change("resolved", START + minutes(10), "S1"),
    ]
    found = told(routes({}, inhibit=[own]), rows)
    assert lines(found) == [
        "0m hook change fired S1",
        "0m hook change fired S2",
        "10m hook change resolved S1",
    ]
    assert held(found) == ["0m fired inhibited", "9m fired overtaken"]


def test_two_alerts_that_would_inhibit_each_other_are_both_told():
    own = {"inhibition": "any", "source": {"kind": "limit"}, "target": {"kind": "limit"}, "equal": ["station"]}
    rows = [change("fired", START, rule="a"), change("fired", START, rule="b")]
    assert len(told(routes({}, inhibit=[own]), rows).planned) == 2


def test_an_approved_stop_explains_a_frozen_instrument_and_not_an_exceedance():
    stop = Rest(START - minutes(60), START + minutes(60), START - minutes(60), None)
    rests = Rests({("S1", "a21026"): (stop,)}, (START + minutes(60),))
    rows = [change("fired", START, rule="flat", kind="flat_line"), change("fired", START, rule="so2")]
    found = told(routes({}), rows, rests=rests)
    assert lines(found) == ["0m hook change fired S1", "60m hook change fired S1"]
    assert [item.record["rule"] for one in found.planned for item in one.items] == ["so2", "flat"]
    assert held(found) == ["0m fired at_rest"]


QUIET = {"levels": ["yellow"], "hours": "22:00-07:00"}  # START is 20:00 there; 22:00 is 120m, 07:00 is 660m


def test_a_yellow_alert_of_the_night_waits_for_the_morning_and_a_red_one_does_not():
    rows = [
        change("fired", START + minutes(130), "S1", level="yellow"),
        change("fired", START + minutes(130), "S2", level="red"),
        change("fired", START + minutes(140), "S3", level="yellow"),
        change("resolved", START + minutes(200), "S3", level="yellow"),
    ]
    found = told(routes({"quiet": [QUIET]}), rows)
    assert lines(found) == ["130m hook change fired S2", "660m hook change fired S1", "660m hook change resolved S3"]
    assert "130m fired quiet_hours until 660m" in held(found)


def test_quiet_hours_may_send_to_another_channel_instead():
    plan = routes({"quiet": [{**QUIET, "channels": ["night"]}]})
    rows = [change("fired", START + minutes(130), level="yellow")]
    assert lines(told(plan, rows)) == ["130m night change fired S1"]


def test_corrections_of_history_wait_for_their_time_of_the_day():
    rows = [
        change("fired_in_retrospect", START + minutes(5), "S1"),
        change("fired", START + minutes(5), "S2"),
        change("withdrawn", START + minutes(6), "S2", is_open=False),
    ]
    found = told(routes({"revisions_at": "08:30", "group_by": "park"}), rows)
    assert lines(found) == ["5m hook change fired S2", "750m hook group withdrawn S2, fired_in_retrospect S1"]


def test_late_data_on_an_end_that_waits_neither_swallow_it_nor_let_it_be_told_when_it_is_none():
    plan = routes({"quiet": [{"levels": ["yellow"], "hours": "20:10-20:40"}], "tells": ["fired", "resolved"]})

    def lives(said, **more):
        rows = [change("fired", START, level="yellow"), change("resolved", START + minutes(15), level="yellow")]
        rows += [change(said, START + minutes(20), level="yellow", **more)]
        return [*rows, change("resolved", START + minutes(60), level="yellow")] if said == "reopened" else rows

    for said in ("amended", "withdrawn", "superseded"):  # of none of these is told here
        found = told(plan, lives(said, is_open=False))
        assert lines(found) == ["0m hook change fired S1", "40m hook change resolved S1"]
    assert lines(told(plan, lives("reopened"))) == ["0m hook change fired S1", "60m hook change resolved S1"]


def test_a_correction_of_what_nobody_was_told_tells_nobody():
    rows = [
        change("fired", START + minutes(5)),
        change("withdrawn", START + minutes(6), is_open=False),
        change("fired", START + minutes(5), "S2"),
        change("resolved", START + minutes(6), "S2"),
        change("withdrawn", START + minutes(30), "S2", is_open=False),
    ]
    found = told(routes({"match": {"level": "red"}}), rows)
    assert lines(found) == []
    assert {one.why for one in found.held} == {"no_route", "not_told_before"}
    quiet = silence(START, "level=orange", START, START + minutes(600))
    assert lines(told(routes({}), rows, actions=[quiet])) == []


def test_many_silent_stations_are_one_message_that_says_so():
    plan = planned_by({"routes": [ONE]}, stations=1000)
    rows = [change("fired", START, f"S{n}", rule="silent", kind="missing") for n in range(1, 1001)]
    rows += [change("resolved", START + minutes(30), f"S{n}", rule="silent", kind="missing") for n in range(1, 1001)]
    found = told(plan, rows)
    assert [(one.kind, len(one.items)) for one in found.planned] == [("storm", 1000), ("storm", 1000)]


def test_steps_and_repeats_of_a_storm_are_one_message_too():
    step = {"after": "15m", "channels": ["boss"]}
    plan = planned_by({"routes": [{**ONE, "repeat_every": "30m", "escalate": [step]}]}, stations=100)
    rows = [change("fired", START, f"S{n}", rule="silent", kind="missing") for n in range(1, 101)]
    found = told(plan, rows, to=START + minutes(40))
    assert [(one.kind, one.channel, len(one.items)) for one in found.planned] == [
        ("storm", "hook", 100),
        ("escalation", "boss", 100),
        ("repeat", "hook", 100),
    ]


def test_an_alert_that_comes_and_goes_is_told_once_as_flapping_and_once_when_it_is_quiet():
    rows = []
    for n in range(8):
        opened_at = START + minutes(4 * n)
        rows += [change("fired", opened_at, opened_at=opened_at)]
        rows += [change("resolved", opened_at + minutes(2), opened_at=opened_at)]
    found = told(routes({}, flapping={"changes": 6, "within": "30m"}), rows)
    assert lines(found) == [
        "0m hook change fired S1",
        "2m hook change resolved S1",
        "4m hook change fired S1",
        "6m hook change resolved S1",
        "8m hook change fired S1",
        "10m hook flapping flapping S1",
        "60m hook change resolved S1",
    ]


def test_a_flapping_alert_that_stays_open_is_told_as_it_stands_when_it_is_quiet():
    rows = []
    for n in range(3):
        opened_at = START + minutes(4 * n)
        rows.append(change("fired", opened_at, opened_at=opened_at))
        rows.append(change("resolved", opened_at + minutes(2), opened_at=opened_at))
    rows = rows[:-1]
    found = told(routes({}, flapping={"changes": 5, "within": "30m"}), rows)
    assert lines(found)[-2:] == ["8m hook flapping flapping S1", "38m hook change fired S1"]


@pytest.mark.parametrize(
    ("at", "who"),
    [
        (START - timedelta(hours=6), ("wang",)),  # Thursday 14:00
        (START, ("li",)),  # Thursday 20:00
        (START + timedelta(hours=7), ("li",)),  # Friday 03:00: the night that began on Thursday
        (START + timedelta(days=6, hours=18), ("zhao",)),  # 1 October 14:00: a holiday
        (START + timedelta(days=15, hours=18), ("wang",)),  # Saturday 10 October: a workday to make up
    ],
)
def test_whoever_is_on_duty_is_told(at, who):
    turns = [
        {"who": ["wang"], "days": "workdays", "hours": "08:00-18:00"},
        {"who": ["li"], "days": "workdays", "hours": "18:00-08:00"},
    ]
    roster = {"roster": "duty", "turns": turns, "otherwise": ["zhao"]}
    plan = routes({"roster": "duty"}, rosters=[roster])
    found = told(plan, [change("fired", at)], to=at)
    assert found.planned[0].people == who


def test_an_action_on_no_alert_is_kept_and_changes_nothing():
    quiet = act("acknowledge", START, episode=episode_of("S9", "x", START), reason="?")
    found = told(routes({}), [change("fired", START + minutes(1))], actions=[quiet, quiet])
    assert lines(found) == ["1m hook change fired S1"]
    assert [one.name for one in found.actions] == [quiet.name]


def test_new_routes_go_on_with_what_the_old_ones_told_and_held():
    old = routes({"group_by": "enterprise", "wait": "10m", "escalate": [{"after": "30m", "channels": ["boss"]}]})
    new = routes({"route": "other", "channels": ["english"], "group_by": "park", "repeat_every": "30m"})
    state = TellState()
    rows = [change("fired", START, "S1"), change("fired", START + minutes(15), "S3")]
    before = tell(old, state, rows, (), Rests(), START + minutes(20))
    adapt(new, state)
    more = [change("resolved", START + minutes(70), "S1")]
    after = tell(new, from_json(to_json(state)), more, (), Rests(), START + minutes(90))
    assert lines(before) == ["10m hook change fired S1"]
    assert lines(after) == [
        "20.0167m english change fired S3",  # it had waited
        "50.0167m english repeat 1 fired S3, fired S1",
        "70m english change resolved S1",
        "80.0167m english repeat 2 fired S3",
    ]


def test_what_no_channel_of_its_route_takes_leaves_a_row_and_is_told_when_it_rises():
    base = told_site({"routes": [ONE]})
    channels = tuple(one.model_copy(update={"levels": ("red",)}) for one in base.file.channels)
    plan = compile_telling(base.model_copy(update={"file": base.file.model_copy(update={"channels": channels})}))
    rows = [change("fired", START), change("level_changed", START + minutes(5), level="red")]
    found = told(plan, rows)
    assert held(found) == ["0m fired no_channel"]
    assert lines(found) == ["5m hook change level_changed S1"]


def test_a_new_route_tells_of_what_is_open_and_nobody_was_told():
    old = routes({"match": {"level": "red"}})
    rows = [change("fired", START, "S1"), change("fired", START + minutes(1), "S2", level="red")]
    rows += [change("fired", START + minutes(2), "S3"), change("resolved", START + minutes(3), "S3")]
    found = told(old, rows, then=(START + minutes(10), routes({})))
    assert lines(found) == ["1m hook change fired S2", "10.0167m hook change fired S1"]


def test_a_notification_leads_to_its_alerts_page_and_one_of_several_to_the_list():
    made = told_site({"routes": [{**ONE, "group_by": "enterprise", "wait": "30s"}]})
    portal = Portal(public_url="https://centre.example")
    site = made.model_copy(update={"file": made.file.model_copy(update={"portal": portal})})
    rows = [change("fired", START, station) for station in ("S1", "S2", "S3")]
    plan = compile_telling(site)
    links = {len(one.items): ToldTexts(site, plan).notification(one).body["link"] for one in told(plan, rows).planned}
    assert links == {
        1: f"https://centre.example/alerts/{episode_of('S2', 'so2', START)}",
        2: "https://centre.example/alerts",
    }
    without = ToldTexts(made, plan)
    assert {without.notification(one).body["link"] for one in told(plan, rows).planned} == {None}
