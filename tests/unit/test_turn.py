"""The windows that are open, held back or late where another site takes over: each is decided once, and by whom."""

import json
from datetime import timedelta

import polars as pl
import pytest

from app.outputs import Outputs
from app.pipeline import PipelineState
from app.reloading import Sites
from app.site.kept import KeptSite
from app.site.record import activating
from contracts.frames import MESSAGES
from contracts.records import encode
from rules.spec import LimitRule
from rules.ticks import SiteClock, clock_payload
from tests.builders import START, minutes, site

SECOND = timedelta(seconds=1)
A, B = "a" * 64, "b" * 64
HOUR = LimitRule(id="hour", kind="limit", period="hour")
MINUTE = LimitRule(id="minute", kind="limit", period="minute", pending="3m")


def kept(name, rules=(HOUR,), points=({},), limit=50, **file):
    limits = [{"period": "hour", "limit": limit}, {"period": "minute", "limit": limit}]
    return KeptSite(name, site(list(points), limits=limits, **file), list(rules))


def reading(at, received_at, value=60.0):
    body = {"v": 1, "station": "S1", "at": at.isoformat(), "kind": "avg", "period_s": 60, "readings": {"a21026": value}}
    return received_at, "mqtt", "gi/S1/json", json.dumps(body).encode()


def clock(at):
    return at, "mqtt", "$clock/main", clock_payload(at)


def turn(at):
    return at, "app", "$site", encode(activating(B, "li", "cli", at))


def rows_of(n, every_s=5, value=60.0):
    """A reading a minute, received ten seconds after its end, and a clock row every few seconds."""
    rows = [reading(START + minutes(k), START + minutes(k + 1) + 10 * SECOND, value) for k in range(n)]
    return rows + [clock(START + k * SECOND) for k in range(0, 60 * (n + 20), every_s)]


def decided(rows, first, other, step_rows=400):
    feed = pl.DataFrame(rows, schema=MESSAGES, orient="row").sort(MESSAGES.names())
    sites, state, outputs, told = Sites(first, {B: other}.get), PipelineState(SiteClock(("main",))), Outputs(), []
    for messages in feed.iter_slices(step_rows):
        for section in sites.sections(state, messages):
            span = sites.step(state, section)
            outputs.add_span(span)
            told += span.transitions
    return outputs, told


def windows(outputs, period):
    found = pl.concat(outputs.aggregates).filter(period=period).sort("window_at", "revision")
    return found.select("window_at", "revision", "valid_n", "decided_at").rows()


@pytest.mark.parametrize("rules", [([HOUR], [HOUR, MINUTE]), ([HOUR, MINUTE], [HOUR])], ids=["asked for", "given up"])
@pytest.mark.parametrize("second", [5, 15, 35])  # before a value of the minute comes, before it is decided, after that
def test_the_minute_that_is_open_counts_once_in_its_hour(rules, second):
    again = [reading(START + minutes(k), START + minutes(61.5) + k * SECOND) for k in range(60)]
    corrected = [reading(START + minutes(29), START + minutes(63), 10.0)]
    first, other = kept(A, rules[0]), kept(B, rules[1])
    at = START + minutes(30) + second * SECOND + timedelta(microseconds=1)
    outputs, _ = decided([*rows_of(60), *again, *corrected, turn(at)], first, other)
    plain, _ = decided([*rows_of(60), *again, *corrected], first, other)
    assert [row[1:3] for row in windows(outputs, "hour")] == [(1, 60)]
    hour = [pl.concat(one.aggregates).filter(period="hour")["sum_scaled"].to_list() for one in (outputs, plain)]
    assert hour[0] == hour[1]
    assert [outputs.counts[name] for name in ("duplicates", "rewritten")] == [60, 1]


def test_a_shorter_hold_decides_at_once_what_is_overdue_by_it_and_a_longer_one_nothing_again():
    end = START + minutes(60)
    for before_s, after_s, at, decided_at in (
        (900, 60, end + 100 * SECOND + timedelta(microseconds=1), end + 101 * SECOND),  # overdue
        (900, 120, end + 100 * SECOND + timedelta(microseconds=1), end + 120 * SECOND),
        (60, 900, end + 100 * SECOND + timedelta(microseconds=1), end + 60 * SECOND),  # is decided already
        (60, 900, end + 30 * SECOND + timedelta(microseconds=1), end + 900 * SECOND),
    ):
        first, other = (kept(name, hold_s={"hour": s}) for name, s in ((A, before_s), (B, after_s)))
        outputs, _ = decided([*rows_of(60), turn(at)], first, other)
        assert windows(outputs, "hour") == [(START, 1, 60, decided_at)], (before_s, after_s)
        late = reading(START + minutes(5), end + minutes(17), 1.0)
        outputs, _ = decided([*rows_of(60), turn(at), late], first, other)
        assert [row[1] for row in windows(outputs, "hour")] == [1, 2]


def test_a_rule_judges_nothing_that_was_decided_before_it_held():
    """SO2 of 60 all along; the limit becomes 50 after half an hour. Late data of before then are judged by it alone."""
    first, other = (kept(name, [MINUTE], limit=limit) for name, limit in ((A, 100), (B, 50)))
    at = START + minutes(30) + timedelta(microseconds=1)
    _, told = decided([*rows_of(40), turn(at)], first, other)
    assert [(row["transition"], row["episode"]["opened_at"]) for row in told if row["transition"] != "data_lost"] == [
        ("fired", (START + minutes(29)).isoformat())  # the first minute that was still to be decided
    ]
    late = reading(START + minutes(10), START + minutes(36), 70.0)
    _, told = decided([*rows_of(40), turn(at), late], first, other)
    assert [(row["transition"], row["episode"]["opened_at"]) for row in told if row["transition"] != "data_lost"] == [
        ("fired", (START + minutes(29)).isoformat()),
        ("withdrawn", (START + minutes(29)).isoformat()),
        (
            "fired",
            (START + minutes(10)).isoformat(),
        ),  # by its own verdict, not by those of the nineteen minutes between
    ]


def test_windows_of_a_changed_point_that_were_decided_are_left_as_they_are():
    first, other = kept(A, points=[{}]), kept(B, points=[{"range_max": 65.0}])
    late = [reading(START + minutes(k), START + minutes(80) + k * SECOND, 1.0) for k in range(3)]
    at = START + minutes(70) + timedelta(microseconds=1)
    outputs, _ = decided([*rows_of(130), turn(at), *late], first, other)
    assert [row[:3] for row in windows(outputs, "hour")] == [(START, 1, 60), (START + minutes(60), 1, 51)]


def test_what_was_dropped_while_max_age_was_shorter_is_not_decided_anew():
    short, long = {"max_age": "1h", "lateness": "30m"}, {"max_age": "30d", "lateness": "30m"}
    first, other = kept(A, **short), kept(B, **long)
    late = [reading(START + minutes(5), START + timedelta(hours=hours), 1.0) for hours in (9,)]
    rows = [*rows_of(60), *(clock(START + minutes(k)) for k in range(80, 700, 5))]
    outputs, _ = decided([*rows, turn(START + timedelta(hours=8)), *late], first, other)
    assert [row[1:3] for row in windows(outputs, "hour") if row[0] == START] == [(1, 60)]
    assert outputs.counts["beyond_max_age"] == 1
