"""A logger's clock is judged by the least lag of an hour's messages, by their receipt, however the feed is cut."""

import json
from collections import defaultdict
from datetime import timedelta
from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from app.pipeline import Pipeline, PipelineState
from contracts.frames import MESSAGES
from rules.kinds.instruments import ClockSkewRule
from rules.ticks import SiteClock, clock_payload
from tests.builders import START, minutes, site

RULE = ClockSkewRule(id="skew", kind="clock_skew", behind_s=300, ahead_s=30)
PIPELINE = Pipeline(site([{}, {"factor": "a21002"}]), [RULE])
lags = st.lists(st.sampled_from([-90, -31, -30, -1, 0, 2, 299, 300, 301, 4000]), min_size=1, max_size=40)


@settings(max_examples=25)
@given(lags, st.lists(st.integers(0, 400), max_size=3))
def test_the_least_lag_of_an_hour_is_held_against_both_bounds(lags_s, cuts):
    rows, least = [], defaultdict(list)
    for n, lag_s in enumerate(lags_s):
        at = START + minutes(6 * n + 60)
        received_at = at + minutes(1) + timedelta(seconds=lag_s, microseconds=n)
        body = {"v": 1, "station": "S1", "at": at.isoformat(), "kind": "avg", "period_s": 60}
        payload = json.dumps({**body, "readings": {"a21026": 1, "a21002": 2}}).encode()
        rows.append((received_at, "main", "gi/S1/json", payload))
        least[received_at.replace(minute=0, second=0, microsecond=0)].append(lag_s)
    end = max(max(row[0] for row in rows), START) + minutes(90)
    clocks = [START + minutes(n) for n in range(int((end - START) / minutes(1)))]
    rows += [(at, "main", "$clock/main", clock_payload(at)) for at in clocks]
    feed = pl.DataFrame(rows, schema=MESSAGES, orient="row").sort("received_at", "source", "topic", "payload")
    state, made = PipelineState(SiteClock(("main",))), []
    edges = [0, *sorted(min(cut, feed.height) for cut in cuts), feed.height]
    for a, b in pairwise(edges):
        if b > a:
            made.append(PIPELINE.step(state, feed[a:b]).verdicts)
    found = {(row["window_at"], row["limit_id"]): row for row in pl.concat(made).to_dicts()}
    assert {window for window, _ in found} == set(least)
    for window, its in least.items():
        assert found[window, "behind"]["value_scaled"] == min(its)
        assert found[window, "behind"]["state"] == ("exceedance" if min(its) > 300 else "within")
        assert found[window, "ahead"]["state"] == ("exceedance" if min(its) < -30 else "within")
