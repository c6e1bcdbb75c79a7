"""Cases (督办) as the fold makes them: opened by alerts, answered and closed by people, overdue by the clock."""

from datetime import timedelta

from contracts.reasons import Conclusion
from notify.cases.follow import Followed, follow
from notify.cases.state import CasesState, from_json, to_json
from tests.telling_site import START, act, change, episode_of, minutes, planned_by

RED = {
    "case": "exceedance",
    "match": {"level": ["orange", "red"], "kind": ["limit"]},
    "channels": ["hook"],
    "people": ["li"],
    "reply_within": "6h",
    "close_within": "5d",
    "wait": "0s",
}
ROUTES = [{"route": "all", "channels": ["hook"]}]


def plan_of(*cases: dict, **more):
    return planned_by({"routes": ROUTES, "cases": [dict(one, **more) for one in cases or (RED,)]})


def followed(plan, rows=(), actions=(), to=START + timedelta(days=10), ended_at=None) -> Followed:
    return follow(plan, CasesState(), rows, actions, to, ended_at=ended_at)


def said(of: Followed) -> list[str]:
    """`0m opened orange`: minutes after START, event, level of the case by then."""
    return [f"{(row.tick - START).total_seconds() / 60:g}m {row.event} {row.record['level']}" for row in of.rows]


def told(of: Followed) -> list[str]:
    return [
        f"{(one.tick - START).total_seconds() / 60:g}m {one.channel} {one.event} x{len(one.items)}"
        + (f" for {' '.join(one.people)}" if one.people else "")
        for one in of.planned
    ]


def name_of(of: Followed) -> str:
    return of.rows[0].record["id"]


def test_an_alert_opens_a_case_and_its_end_does_not_close_it():
    rows = [change("fired", START), change("resolved", START + minutes(50))]
    its = followed(plan_of(reply_within=None, close_within=None), rows)
    assert said(its) == ["0m opened orange"]
    record = its.rows[-1].record
    assert (record["state"], record["alerts"], record["place"]) == ("open", 1, "outlet=O-S1")
    assert record["episode"] == rows[0]["episode"]["id"]
    assert told(its) == ["0m hook opened x1 for li"]


def test_the_reply_and_the_closing_are_due_from_the_opening_on():
    record = followed(plan_of(), [change("fired", START)]).rows[0].record
    assert record["state"] == "awaiting_reply"
    assert record["reply_due_at"] == (START + timedelta(hours=6)).isoformat()
    assert record["close_due_at"] == (START + timedelta(days=5)).isoformat()


def test_what_does_not_match_opens_none():
    rows = [change("fired", START, level="yellow"), change("fired", START, "S2", kind="missing", level="red")]
    assert followed(plan_of(), rows).rows == []


def test_an_alert_that_rises_into_the_match_opens_one():
    rows = [change("fired", START, level="yellow"), change("level_changed", START + minutes(5), level="orange")]
    assert said(followed(plan_of(), rows))[0] == "5m opened orange"


def test_further_alerts_of_the_place_join_it_and_raise_it():
    rows = [
        change("fired", START),
        change("fired", START + minutes(2), rule="nox"),
        change("level_changed", START + minutes(4), rule="nox", level="red"),
        change("fired", START + minutes(5), "S2"),
    ]
    its = followed(plan_of(), rows, to=START + minutes(10))
    assert said(its) == ["0m opened orange", "2m joined orange", "4m raised red", "5m opened orange"]
    assert [row.record["alerts"] for row in its.rows] == [1, 2, 2, 1]
    assert told(its) == ["0m hook opened x1 for li", "5m hook opened x1 for li"]


def test_a_case_may_be_of_an_enterprise_and_alerts_without_one_stand_for_themselves():
    rows = [change("fired", START), change("fired", START + minutes(1), "S3"), change("fired", START, "park:P")]
    its = followed(plan_of(per="enterprise", match={"kind": ["limit"]}), rows, to=START + minutes(2))
    assert {(row.event, row.record["place"]) for row in its.rows} == {
        ("opened", "enterprise=E1"),
        ("opened", "station=park:P"),
        ("joined", "enterprise=E1"),
    }
    park = next(row.record for row in its.rows if row.record["station"] == "park:P")
    assert (park["state"], park["reply_due_at"]) == ("open", None)  # there is no enterprise to reply


def test_an_alert_that_was_withdrawn_leaves_a_case_that_stays():
    rows = [change("fired", START), change("withdrawn", START + minutes(5), is_open=False)]
    its = followed(plan_of(), rows, to=START + minutes(10))
    assert said(its) == ["0m opened orange", "5m left orange"]
    assert (its.rows[-1].record["alerts"], its.rows[-1].record["closed_at"]) == (0, None)


def test_a_reply_is_returned_replied_to_again_and_the_case_closed():
    opened = followed(plan_of(), [change("fired", START)], to=START)
    case = name_of(opened)
    actions = [
        act("reply_case", START + minutes(60), "plant", case=case, text="bag changed"),
        act("return_case", START + minutes(90), "chen", case=case, reason="which bag?"),
        act("note_case", START + minutes(95), "chen", case=case, text="called"),
        act("reply_case", START + minutes(120), "plant", case=case, text="bag 3"),
        act("close_case", START + minutes(150), "chen", case=case, conclusion="remedied", reason="seen on site"),
    ]
    its = followed(plan_of(), [change("fired", START)], actions)
    assert said(its) == [
        *("0m opened orange", "60m replied orange", "90m returned orange", "95m noted orange"),
        *("120m replied orange", "150m closed orange"),
    ]
    states = [row.record["state"] for row in its.rows]
    assert states == ["awaiting_reply", "replied", "awaiting_reply", "awaiting_reply", "replied", "closed"]
    assert its.rows[2].record["reply_due_at"] == (START + minutes(90 + 360)).isoformat()
    assert [(row.actor, row.text) for row in its.rows[1:3]] == [("plant", "bag changed"), ("chen", "which bag?")]
    assert its.rows[-1].record["conclusion"] == Conclusion.REMEDIED
    assert told(its) == [f"{m}m hook {said} x1 for li" for m, said in ((0, "opened"), (60, "replied"), (90, "returned"),
                                                                     (120, "replied"), (150, "closed"))]  # fmt: skip


def test_what_is_overdue_is_told_once_and_to_those_who_are_told_of_it_alone():
    plan = plan_of(overdue={"channels": ["boss", "hook"], "people": ["zhao"]})
    its = followed(plan, [change("fired", START)])
    assert said(its) == ["0m opened orange", "360m reply_overdue orange", "7200m close_overdue orange"]
    assert told(its) == [
        "0m hook opened x1 for li",
        *("360m hook reply_overdue x1 for li zhao", "360m boss reply_overdue x1 for zhao"),
        *("7200m hook close_overdue x1 for li zhao", "7200m boss close_overdue x1 for zhao"),
    ]


def test_a_reply_in_time_is_not_overdue():
    case = name_of(followed(plan_of(), [change("fired", START)], to=START))
    reply = act("reply_case", START + minutes(360), case=case, text="at the last moment")
    its = followed(plan_of(), [change("fired", START)], [reply], to=START + minutes(400))
    assert said(its) == ["0m opened orange", "360m replied orange"]


def test_nothing_becomes_overdue_after_a_feed_has_ended():
    its = followed(plan_of(), [change("fired", START)], ended_at=START + minutes(1))
    assert said(its) == ["0m opened orange"]


def test_what_does_not_fit_the_case_is_kept_as_without_effect():
    rows, plan = [change("fired", START)], plan_of()
    case = name_of(followed(plan, rows, to=START))
    actions = [
        act("return_case", START + minutes(1), case=case, reason="no reply yet"),
        act("reopen_case", START + minutes(2), case=case, reason="it is open"),
        act("close_case", START + minutes(3), case=case, conclusion="excused", reason="start-up"),
        act("close_case", START + minutes(4), case=case, conclusion="remedied", reason="again"),
        act("reply_case", START + minutes(5), case=case, text="too late"),
        act("note_case", START + minutes(6), case=case, text="a note is always taken"),
        act("reply_case", START + minutes(7), case="0" * 20, text="of a case there is not"),
    ]
    its = followed(plan, rows, actions, to=START + minutes(10))
    assert [(row.event, row.text) for row in its.rows[1:]] == [
        ("no_effect", "return_case"),
        ("no_effect", "reopen_case"),
        ("closed", "start-up"),
        ("no_effect", "close_case"),
        ("no_effect", "reply_case"),
        ("noted", "a note is always taken"),
    ]
    assert its.rows[-1].record["conclusion"] == "excused"


def test_after_the_closing_only_a_rise_or_a_reopened_alert_opens_another_case():
    rows, plan = [change("fired", START)], plan_of(close_within=None)
    case = name_of(followed(plan, rows, to=START))
    close = act("close_case", START + minutes(1), case=case, conclusion="remedied", reason="done")
    rows += [
        change("data_lost", START + minutes(2)),
        change("level_changed", START + minutes(3), level="yellow"),
        change("level_changed", START + minutes(4), level="orange"),
        change("level_changed", START + minutes(5), level="red"),
    ]
    its = followed(plan, rows, [close], to=START + minutes(6))
    assert said(its) == ["0m opened orange", "1m closed orange", "5m opened red"]
    rows = [rows[0], change("resolved", START + minutes(2)), change("reopened", START + minutes(3))]
    again = followed(plan, rows, [close], to=START + minutes(6))
    assert said(again) == ["0m opened orange", "1m closed orange", "3m opened orange"]
    assert again.rows[2].record["id"] != case


def test_a_closed_case_is_reopened_with_its_times_unless_another_is_open_there():
    rows, plan = [change("fired", START)], plan_of()
    case = name_of(followed(plan, rows, to=START))
    close = act("close_case", START + minutes(1), case=case, conclusion="remedied", reason="done")
    reopen = act("reopen_case", START + minutes(30), case=case, reason="it was not")
    its = followed(plan, rows, [close, reopen], to=START + minutes(400))
    assert said(its) == [
        *("0m opened orange", "1m closed orange"),
        *("30m reopened orange", "390m reply_overdue orange"),
    ]
    assert (its.rows[2].record["state"], its.rows[2].record["conclusion"]) == ("awaiting_reply", None)
    rows.append(change("fired", START + minutes(20), rule="nox"))
    its = followed(plan, rows, [close, reopen], to=START + minutes(40))
    assert [row.event for row in its.rows] == ["opened", "closed", "opened", "no_effect"]


def test_a_case_is_forgotten_35_days_after_its_closing():
    rows, plan, state = [change("fired", START)], plan_of(), CasesState()
    case = follow(plan, state, rows, [], START).rows[0].record["id"]
    close = act("close_case", START + minutes(1), case=case, conclusion="remedied", reason="done")
    follow(plan, state, [], [close], START + timedelta(days=35))
    assert case in state.cases
    follow(plan, state, [], [], START + timedelta(days=36))
    assert (state.cases, state.members, state.places) == ({}, {}, {})


def test_a_case_is_opened_by_hand_on_terms_about_an_alert_that_does_not_match():
    plan = plan_of()
    body = {"episode": episode_of("S1", "so2", START), "station": "S1", "level": "yellow", "terms": "exceedance"}
    actions = [act("open_case", START + minutes(at), "chen", **body, reason="third time") for at in (3, 4)]
    rows = [change("fired", START, level="yellow"), change("fired", START + minutes(9), rule="nox")]
    its = followed(plan, rows, actions, to=START + minutes(10))
    assert [(row.event, row.text) for row in its.rows] == [
        ("opened", "third time"),
        ("no_effect", "open_case"),
        ("joined", ""),
    ]
    record = its.rows[0].record
    assert (record["opened_by"], record["state"], record["enterprise"]) == ("chen", "awaiting_reply", "E1")


def test_what_happens_within_wait_is_told_in_one_message_an_event():
    rows = [change("fired", START + timedelta(seconds=n), f"S{n}") for n in (1, 2, 3)]
    rows.append(change("fired", START + minutes(3), "S4", level="red"))
    its = followed(plan_of(wait="1m"), rows, to=START + minutes(10))
    assert told(its) == ["1.01667m hook opened x3 for li", "4m hook opened x1 for li"]


def test_what_happens_outside_of_the_terms_hours_is_told_when_they_begin():
    plan = plan_of(told_in={"days": "workdays", "hours": "08:30-18:00"}, reply_within="20h")
    its = followed(plan, [change("fired", START)], to=START + timedelta(days=4))  # Thursday 20:00
    assert said(its) == ["0m opened orange", "1200m reply_overdue orange"]
    monday = (3 * 24 + 12.5) * 60  # 08:30; the Friday is mid-autumn
    assert told(its) == [f"{monday:g}m hook opened x1 for li", f"{monday:g}m hook reply_overdue x1 for li"]
    at_once = followed(plan_of(told_in={"hours": "19:00-21:00"}), [change("fired", START)], to=START)
    assert told(at_once) == ["0m hook opened x1 for li"]


def test_a_channel_takes_the_levels_it_names():
    plan = plan_of(channels=["hook", "boss"])
    levels = {**plan.channels, "boss": plan.channels["boss"].__class__("boss", "zh", frozenset({"red"}))}
    plan = plan.__class__(**{**vars(plan), "channels": levels})
    its = followed(plan, [change("fired", START), change("fired", START, "S2", level="red")], to=START)
    assert told(its) == ["0m hook opened x2 for li", "0m boss opened x1 for li"]


def test_terms_that_are_gone_tell_nobody_and_the_case_goes_on():
    state, rows = CasesState(), [change("fired", START)]
    case = follow(plan_of(wait="1m"), state, rows, [], START).rows[0].record["id"]
    state = from_json(to_json(state))
    bare = planned_by({"routes": ROUTES})
    close = act("close_case", START + minutes(9), case=case, conclusion="remedied", reason="done")
    its = follow(bare, state, [], [close], START + timedelta(days=1))
    assert (said(its), told(its)) == (["9m closed orange"], [])
