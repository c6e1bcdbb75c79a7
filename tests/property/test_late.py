"""Law (d) far beyond `lateness`: what comes days or months late makes the revisions and the episodes it would have made
of windows still in memory, and in the end the same as if it had come in order.
"""

from datetime import timedelta
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.pipeline import Pipeline, PipelineState
from app.service.checkpoint import read_checkpoint, write_checkpoint
from rules.spec import FlatLineRule, LimitRule, MissingRule
from rules.ticks import SiteClock, clock_payload
from store.put_away import Folder
from tests.builders import minutes, site

from .test_pipeline_laws import (
    ALL_RULES,
    LEVELS,
    PIPELINE,
    SECOND,
    START,
    assert_same,
    assert_same_outcome,
    clock_rows,
    feed_of,
    gathered,
    plants,
    received,
    run,
    sent,
    small_site,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
UNLIMITED = Pipeline(small_site(lateness="400d"), ALL_RULES)
few = settings(max_examples=max(1, settings().max_examples // 20))
seeds = st.integers(0, 2**32 - 1).map(Random)
moods_of = st.lists(
    st.tuples(st.integers(10, 60), st.sampled_from(["low", "near", "high", "mixed", "missing"])), min_size=2, max_size=4
)


def spans_of(feed, pipeline, cuts, folder=None):
    """Every span, with cuts before these rows; with a folder the state goes through a checkpoint at every cut."""
    away = None if folder is None else Folder(folder / "windows")
    state = PipelineState(SiteClock(("main",)), **({} if away is None else {"away": away}))
    spans, begin = [], 0
    for n, end in enumerate([*sorted({cut % (feed.height + 1) for cut in cuts}), feed.height]):
        spans.append(pipeline.step(state, feed[begin:end]))
        begin = end
        if away is not None:
            away.flush(state.windows.store.shelf.names() if state.windows else ())
            write_checkpoint(folder / "checkpoints", "test", n + 1, state)
            found = read_checkpoint(folder / "checkpoints", "test", n + 1, away)
            assert found is not None
            assert found.journal_to_us == n + 1
            state = found.state
    last = pipeline.close(state)
    return [*spans, *([last] if last else [])]


def told(spans):
    return [row for span in spans for row in span.transitions]


def without_where(outputs):
    """Where a revision was made from may differ, and nothing else."""
    outputs.counts["from_archive"] = 0
    return outputs


def any_late(messages, clocks, rng, days):
    """(feed, the same in order): a part of it is so many days late; now and then late and again."""
    share = rng.choice([0.02, 0.3, 0.9])
    rows, again = [], []
    for one in messages:
        late = rng.random() < share
        rows.append(received(one, rng, days + timedelta(seconds=rng.randrange(3600)) if late else timedelta(0)))
        if late and rng.random() < 0.2:
            again.append((rows[-1][0] + rng.randrange(1, 90_000) * SECOND, *rows[-1][1:]))
    return feed_of([*rows, *again, *clocks]), feed_of([*(received(m, rng) for m in messages), *clocks])


def clocks_between(from_at, to_at, every):
    ats = [from_at + n * every for n in range((to_at - from_at) // every + 1)]
    return [(at, "mqtt", "$clock/main", clock_payload(at)) for at in ats]


@few
@given(moods_of, seeds, st.lists(st.integers(0, 10**6), min_size=3, max_size=12))
def test_three_days_late_is_as_if_everything_were_remembered_and_ends_as_if_nothing_had_been_late(
    tmp_path_factory, moods, rng, cuts
):
    end = sum(length for length, _ in moods) + 1
    clocks = [*clock_rows(end, 60, rng), *clocks_between(START + minutes(end + 30), START + 4.5 * DAY, HOUR / 2)]
    feed, in_order = any_late(plants(moods, rng), clocks, rng, 3 * DAY)
    cut = [*cuts, *range(0, feed.height, feed.height // 9 + 1), *range(feed.height - 30, feed.height, 7)]
    limited = spans_of(feed, PIPELINE, cut, tmp_path_factory.mktemp("late"))
    unlimited = spans_of(feed, UNLIMITED, ())
    assert_same(without_where(gathered(limited)), without_where(gathered(unlimited)))
    assert told(limited) == told(unlimited)
    assert_same_outcome(gathered(limited), gathered(run(in_order)))


SLOW_RULES = [
    LimitRule(id="hour", kind="limit", period="hour", levels=LEVELS, pending="2h", recovery="2h"),
    LimitRule(id="day", kind="limit", period="day", levels=LEVELS),
    LimitRule(id="rolling", kind="limit", period="hour", rolling=24, levels=LEVELS),
    LimitRule(id="month", kind="limit", period="month", levels=LEVELS),
    LimitRule(id="year", kind="limit", period="year", levels=LEVELS),
    FlatLineRule(id="flat", kind="flat_line", period="hour"),
    MissingRule(id="silent", kind="missing"),
]


def slow_site(**file):
    """One station of hours, days, months and a year; what nobody may ask for any more is dropped within the feed."""
    easy = [
        {"medium": "waste_water", "period": period, "need": 1, "of": of, "clause": "test"}
        for period, of in (("hour", 1), ("day", 12), ("month", 40), ("year", 9000))
    ]
    points = [{"factor": "w01018", "kind": "rtd", "period_s": 0, "interval_s": 3600, "unit": "mg/L"}]
    limits = [{"factor": "w01018", "unit": "mg/L", "period": period} for period in ("hour", "day", "month", "year")]
    return site(
        points, medium="waste_water", limits=limits, validity=easy, **{"lateness": "2h", "max_age": "37d", **file}
    )


@pytest.mark.long
@few
@given(seeds, st.lists(st.integers(0, 10**6), min_size=3, max_size=8))
def test_weeks_late_over_the_end_of_a_month_and_of_a_year(tmp_path_factory, rng, cuts):
    begin = START - 10 * DAY
    messages = [
        sent(at, at, "S1", {"w01018": rng.choice([1.0, 46.0, 60.0, 120.0])})
        for at in (begin + n * 6 * HOUR for n in range(4 * 15))
    ]
    clocks = clocks_between(begin, START + 45 * DAY, 6 * HOUR)
    feed, in_order = any_late(messages, clocks, rng, 35 * DAY)
    limited, unlimited = (Pipeline(slow_site(lateness=lateness), SLOW_RULES) for lateness in ("2h", "400d"))
    made = spans_of(feed, limited, [*cuts, *range(0, feed.height, feed.height // 9)], tmp_path_factory.mktemp("late"))
    assume(sum(span.counts.get("from_archive", 0) for span in made))  # a few draws are in time
    remembered = spans_of(feed, unlimited, [feed.height // 2])
    assert told(made) == told(remembered)
    assert_same(without_where(gathered(made)), without_where(gathered(remembered)))
    assert_same_outcome(gathered(made), gathered(run(in_order, pipeline=limited)))
