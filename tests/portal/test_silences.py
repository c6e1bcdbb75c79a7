"""Silences over HTTP: made, listed, ended; nobody silences what is not in their scope."""

from datetime import timedelta

import pytest

from app.operators import spool
from contracts.records import decode

SILENCES = "/api/v1/silences"


def make(own, person="duty", **more):
    at = own.clock.at
    times = {"from_at": at.isoformat(), "to_at": (at + timedelta(hours=2)).isoformat()}
    return own.client(person).post(SILENCES, json={"matchers": "station=XS-COAL-1", **times, "reason": "检修", **more})


def listed(own, person="duty", **query):
    return own.client(person).get(SILENCES, params=query).json()["items"]


def end(own, name, person="duty"):
    return own.client(person).post(f"{SILENCES}/{name}/end", json={"reason": "检修完成"})


def test_a_silence_is_made_listed_while_it_lasts_and_ended_once(own):
    name = make(own).json()["record"]
    assert listed(own) == []  # not journalled yet
    assert end(own, name).status_code == 404
    own.journal_and_decide()
    (one,) = listed(own)
    assert (one["silence"], one["state"], one["actor"], one["reason"]) == (name, "active", "duty", "检修")
    assert end(own, name).status_code == 202
    own.journal_and_decide()
    (one,) = listed(own)
    assert (one["state"], one["ended_by"], one["end_reason"]) == ("ended", "duty", "检修完成")
    assert end(own, name).status_code == 409
    assert listed(own, state="active") == []


def test_a_silence_that_is_planned_becomes_active_and_is_over_by_the_sites_clock(own):
    at = own.clock.at
    assert make(own, from_at=(at + timedelta(hours=1)).isoformat()).status_code == 202
    states = []
    for seconds in (5, 3600, 3600):
        own.journal_and_decide(seconds)
        states.append(listed(own)[0]["state"])
    assert states == ["planned", "active", "over"]


def test_pages_hold_every_silence_once(own):
    names = [make(own, reason=f"number {n}").json()["record"] for n in range(5)]
    own.journal_and_decide()
    found, cursor = [], {}
    while True:
        page = own.client("viewer").get(SILENCES, params={"limit": 2, **cursor}).json()
        found += [one["silence"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert sorted(found) == sorted(names)


@pytest.mark.parametrize(
    ("matchers", "status"),
    [
        ("station=XS-COAL-1", 202),
        ("enterprise=xs-a,xs-b kind=missing", 202),
        ("county=520330", 202),
        ("park=xishui level=yellow", 202),
        ("station=XS-*", 202),
        ("station=BZ-ALU-1", 404),
        ("station=NOWHERE", 404),
        ("county=520304", 404),
        ("county=520330,520304", 403),
        ("level=yellow", 403),
        ("station=*", 403),
        ("kind=missing", 403),
        ("episode=" + "0" * 20, 404),
    ],
)
def test_whoever_answers_for_a_county_silences_no_more_than_that(own, matchers, status):
    answer = make(own, "duty-xs", matchers=matchers)
    assert answer.status_code == status, answer.text
    assert len(spool.waiting(own.state_dir)) == (status == 202)
    assert make(own, "duty", matchers=matchers).status_code == 202  # of the city: anything


def test_silences_of_others_are_not_seen(own):
    make(own, matchers="station=BZ-ALU-1")
    make(own, matchers="level=yellow")
    own.journal_and_decide()
    assert [one["matchers"] for one in listed(own, "duty-xs")] == ["level=yellow"]
    (hidden,) = [one["silence"] for one in listed(own) if one["matchers"] == "station=BZ-ALU-1"]
    assert end(own, hidden, "duty-xs").status_code == 404
    (wide,) = [one["silence"] for one in listed(own, "duty-xs")]
    assert end(own, wide, "duty-xs").status_code == 403


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"matchers": "colour=red"}, "'colour' is nothing alerts are matched by"),
        ({"matchers": "red"}, "write key=value"),
        ({"to_at": "2026-02-01T00:00:00Z"}, "is not after its beginning"),
        ({"to_at": "2027-02-01T00:00:00Z"}, "at most 31 days"),
        ({"reason": ""}, "reason"),
    ],
)
def test_what_is_no_silence_is_refused_in_words(own, change, told):
    answer = make(own, **change)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert spool.waiting(own.state_dir) == []


def test_a_silence_is_recorded_as_whose_it_is(own):
    make(own, "duty-xs")
    (record,) = [decode(path.read_bytes()) for path in spool.waiting(own.state_dir)]
    assert (record.actor, record.action, record.body["matchers"]) == ("duty-xs", "silence", "station=XS-COAL-1")
