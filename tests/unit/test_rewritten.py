"""A conflicting re-send is an event with both values, cites the message that replaced, and comes out once however the
feed is cut."""

import json
from datetime import timedelta

import polars as pl
import pytest

from app.pipeline import Pipeline, PipelineState
from contracts.frames import EVENTS, MESSAGES
from rules.ticks import SiteClock, clock_payload
from tests.builders import START, minutes, site

PIPELINE = Pipeline(site([{}, {"factor": "a21002"}]), [])


def sent(after_s: float, so2: object, *, minute: int = 0, **more: object) -> tuple[object, ...]:
    at = START + minutes(minute)
    body = {"v": 1, "station": "S1", "at": at.isoformat(), "period_s": 60, "kind": "avg", "readings": {"a21026": so2}}
    received_at = at + timedelta(seconds=60 + after_s)
    return received_at, "mqtt", "gi/S1/json", json.dumps(body | more).encode()


def run(*messages: tuple[object, ...], cut: int | None = None) -> tuple[pl.DataFrame, int]:
    """EVENTS and the count of rewritten readings; the feed is cut after so many rows."""
    clock = [(START + minutes(n / 2), "main", "$clock/main", clock_payload(START + minutes(n / 2))) for n in range(20)]
    feed = pl.DataFrame([*messages, *clock], schema=MESSAGES, orient="row").unique()
    feed = feed.sort("received_at", "source", "topic", "payload")
    state = PipelineState(SiteClock(("main",)))
    parts = [feed] if cut is None else [feed[:cut], feed[cut:]]
    spans = [PIPELINE.step(state, part) for part in parts if len(part)]
    spans.append(PIPELINE.close(state))
    assert all(span.counts["events"] == span.events.height for span in spans if span.counts)
    return pl.concat([span.events for span in spans]), sum(span.counts.get("rewritten", 0) for span in spans)


def test_a_conflicting_resend_is_an_event_with_both_values():
    events, rewritten = run(sent(1, 58), sent(9, 48))
    assert rewritten == 1
    (event,) = events.rows(named=True)
    assert events.schema == EVENTS
    assert (event["station"], event["event"], event["event_at"]) == ("S1", "rewritten", START)
    assert event["received_at"] == START + timedelta(seconds=69)
    assert json.loads(event["detail"]) == {
        "factor": "a21026",
        "kind": "avg",
        "period_s": 60,
        "unit": "mg/m3",
        "value": 48.0,
        "valid": True,
        "value_before": 58.0,
        "valid_before": True,
    }


def test_the_event_cites_the_message_that_replaced():
    first, second = sent(1, 58), sent(9, 48)
    (whole,) = (PIPELINE.step(PipelineState(SiteClock(("main",))), feed) for feed in [_feed(first, second)])
    winner = whole.readings.filter(pl.col("value") == 48)["message"]
    assert whole.events["message"].to_list() == winner.to_list()


def _feed(*messages):
    clock = [(START + minutes(n), "main", "$clock/main", clock_payload(START + minutes(n))) for n in range(5)]
    return pl.DataFrame([*messages, *clock], schema=MESSAGES, orient="row").sort("received_at", "source", "topic")


@pytest.mark.parametrize(
    "messages",
    [
        (sent(1, 58), sent(9, 58)),  # the same again: a duplicate
        (sent(1, 58), sent(9, 58.0)),
        (sent(1, 58, rev=2), sent(49, 48, rev=1)),  # of a lesser device revision: it replaces nothing
        (sent(1, 58), sent(1, 48, minute=1)),  # of another minute
    ],
)
def test_what_replaces_nothing_is_no_event(messages):
    events, rewritten = run(*messages)
    assert (events.height, rewritten) == (0, 0)


def test_another_mark_is_a_rewrite_as_well():
    events, _ = run(sent(1, {"value": 58, "mark": "N"}), sent(9, {"value": 58, "mark": "M"}))
    (detail,) = map(json.loads, events["detail"])
    assert (detail["value"], detail["valid_before"], detail["valid"]) == (58.0, True, False)


MANY = (sent(1, 58), sent(2, 48), sent(95, 38), sent(200, 58), sent(1, 20, minute=1), sent(1.5, 21, minute=1))


def test_it_comes_out_once_however_the_feed_is_cut():
    order = ["received_at", "event_at", "detail"]
    whole, rewritten = run(*MANY)
    assert [json.loads(one)["value"] for one in whole.sort(order)["detail"]] == [48.0, 21.0, 38.0, 58.0]
    assert rewritten == 4
    for cut in range(1, 26):
        cut_up, again = run(*MANY, cut=cut)
        assert cut_up.sort(order).equals(whole.sort(order)), cut
        assert again == 4


def test_of_two_within_one_tick_the_lesser_device_revision_is_the_one_replaced():
    events, rewritten = run(sent(1, 58, rev=2), sent(9, 48, rev=1))
    (detail,) = map(json.loads, events["detail"])
    assert (detail["value"], detail["value_before"], rewritten) == (58.0, 48.0, 1)
