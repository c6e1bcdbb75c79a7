"""Laws of the whole path, messages in and decisions out: a feed is a set, cuts and restarts do not matter, nor does a
re-timing ahead of the deciding clock row, and whatever the delay the outcome is the same.

The feed crosses the site's new year, so that hour, day and year windows end in it. Stand-alone, `python FILE` prints
the digest of one seeded feed.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from app.outputs import AGGREGATE_ORDER, VERDICT_ORDER, Outputs
from app.pipeline import Pipeline, PipelineState, Span
from app.replay import replay
from app.service.checkpoint import read_checkpoint, write_checkpoint
from contracts.frames import AGGREGATES, MESSAGES, VERDICTS
from rules.spec import FlatLineRule, LimitRule, MissingRule, RejectsRule, TreatmentOffRule
from rules.ticks import SiteClock, clock_payload, collectors_of
from tests.builders import minutes, site

START = datetime(2025, 12, 31, 14, 30, tzinfo=UTC)  # an hour and a half before the site's new year
SECOND = timedelta(seconds=1)
LATENESS = timedelta(hours=2)
POINTS = [
    {"factor": "a21026", "ref_o2_pct": 6.0, "range_max": 500.0},
    {"factor": "a19001", "unit": "%"},
    {
        "factor": "a21002",
        "kind": "rtd",
        "period_s": 0,
        "interval_s": 30,
        "ref_o2_pct": 6.0,
        "convert": "convert_then_mean",
    },
    {"station": "S2", "factor": "a21018", "kind": "rtd", "period_s": 0, "interval_s": 7200},
    {"station": "P1", "factor": "p01001", "kind": "rtd", "period_s": 0, "unit": "kW"},
    {"station": "T1", "factor": "p01002", "kind": "rtd", "period_s": 0, "unit": "kW"},
]
LIMITS = [
    {"factor": "a21026", "period": "minute"},
    {"factor": "zs_a21026", "period": "hour"},
    {"factor": "zs_a21026", "period": "hour", "limit": 60, "valid_from": "2026-01-01"},
    {"factor": "zs_a21002", "period": "minute"},
    {"factor": "zs_a21002", "period": "day"},
    {"factor": "a21026", "period": "year"},
    {"outlet": "O-S2", "factor": "a21018", "period": "instant"},
    {"outlet": "O-S2", "factor": "a21018", "period": "day"},
]
PAIR = {
    "pair": "X",
    "production_station": "P1",
    "production_factor": "p01001",
    "production_on_kw": 10,
    "treatment_station": "T1",
    "treatment_factor": "p01002",
    "treatment_on_kw": 5,
    "name_zh": "一",
    "name_en": "one",
}
EASY = [  # sparse data are enough to judge by
    {"medium": "flue_gas", "period": period, "need": 1, "of": of, "clause": "test"}
    for period, of in (("minute", 2), ("hour", 60), ("day", 24), ("year", 9000))
]
LEVELS = {"yellow": 0.9, "orange": 1.0, "red": 2.0}
RULES = [
    LimitRule(id="instant", kind="limit", period="instant", levels=LEVELS),
    LimitRule(id="minute", kind="limit", period="minute", levels=LEVELS, pending="3m", recovery="2m"),
    LimitRule(id="hour", kind="limit", period="hour", levels=LEVELS),
    LimitRule(id="day", kind="limit", period="day", levels=LEVELS),
    LimitRule(id="year", kind="limit", period="year", levels=LEVELS),
    FlatLineRule(id="flat", kind="flat_line", period="hour"),
    MissingRule(id="silent", kind="missing"),
    TreatmentOffRule(id="off", kind="treatment_off", pending="2m", recovery="2m"),
]
REJECTS = RejectsRule(id="rejects", kind="rejects", at_least=2, recovery="2m")  # by receive time, as it must be
ALL_RULES = [*RULES, REJECTS]


def small_site(**file):
    given = {"lateness": "2h", "validity": EASY, **file}
    return site(POINTS, limits=LIMITS, pairs=[PAIR], **given)


PIPELINE = Pipeline(small_site(), ALL_RULES)


@dataclass(frozen=True)
class Sent:
    """A message and the instant it would be sent without any delay."""

    due_at: datetime
    event_at: datetime
    topic: str
    payload: bytes


def sent(due_at: datetime, at: datetime, station: str, readings: dict[str, object], **more: object) -> Sent:
    body = {"v": 1, "station": station, "at": at.isoformat(), "readings": readings, **more}
    return Sent(due_at, at, f"gi/{station}/json", json.dumps(body).encode())


def plants(moods: list[tuple[int, str]], rng: Random) -> list[Sent]:
    """What four stations send while their values are low, near, high, mixed or missing, so many minutes each."""
    made, n = [], 0
    for length, mood in moods:
        for n in range(n, n + length):  # noqa: B020
            if mood == "missing":
                continue
            at = START + minutes(n)

            def value(mood: str = mood) -> float:
                kind = rng.choice(["low", "near", "high"]) if mood == "mixed" else mood
                return rng.choice({"low": [1.0, 3.25], "near": [45.0, 46.5, 50.0], "high": [50.1, 77.3, 600.0]}[kind])

            if rng.random() < 0.8:
                so2 = {"value": value(), "mark": "M"} if rng.random() < 0.1 else value()
                both = {"a21026": so2, "a19001": rng.choice([5.0, 10.5, 19.99, 20.5])}
                if rng.random() < 0.2:
                    del both[rng.choice(sorted(both))]
                made.append(sent(at + minutes(1), at, "S1", both, kind="avg", period_s=60))
            for second in (0, 30):
                if rng.random() < 0.5:
                    made.append(sent(at + second * SECOND, at + second * SECOND, "S1", {"a21002": value()}))
            if n % 20 == 0:
                made.append(sent(at, at, "S2", {"a21018": value()}))
            for station, factor in (("P1", "p01001"), ("T1", "p01002")):
                if rng.random() < 0.6:
                    made.append(sent(at, at, station, {factor: rng.choice([2.0, 50.0])}))
        n += 1
    return made


def rejected(rng: Random, length: int) -> list[tuple[object, ...]]:
    return [
        (START + rng.randrange(length * 60) * SECOND, "mqtt", "gi/S1/json", b"nonsense" + b" " * rng.randrange(9))
        for _ in range(length // 2)
    ]


def clock_rows(length: int, every_s: int, rng: Random, name: str = "main", from_s: int = 0, back_s: int = 0):
    """A collector's clock rows; now and then it steps back."""
    return [
        (
            START + second * SECOND,
            "mqtt",
            f"$clock/{name}",
            clock_payload(START + (second - rng.choice([0, 0, back_s])) * SECOND),
        )
        for second in range(from_s, length * 60 + 1, every_s)
    ]


def received(one: Sent, rng: Random, delay: timedelta = timedelta(0)) -> tuple[object, ...]:
    return (one.due_at + delay + timedelta(microseconds=rng.randrange(1, 999_999)), "mqtt", one.topic, one.payload)


def feed_of(rows) -> pl.DataFrame:
    feed = pl.DataFrame(list(rows), schema=MESSAGES, orient="row")
    return feed.unique().sort("received_at", "source", "topic", "payload")


def run(feed: pl.DataFrame, cuts=(), restart: int | None = None, pipeline: Pipeline = PIPELINE) -> list[Span]:
    """Every span, with cuts before these rows; at one of them the state goes through a checkpoint."""
    state = PipelineState(SiteClock(collectors_of(feed)))
    ends = [*sorted({cut % (feed.height + 1) for cut in cuts}), feed.height]
    spans, begin = [], 0
    for n, end in enumerate(ends):
        spans.append(pipeline.step(state, feed[begin:end]))
        begin = end
        if n == restart:
            state = stored(state)
    last = pipeline.close(state)
    return spans if last is None else [*spans, last]


def stored(state: PipelineState) -> PipelineState:
    with tempfile.TemporaryDirectory() as directory:
        write_checkpoint(Path(directory), "test", 1, state)
        read = read_checkpoint(Path(directory), "test", 1, state.away)
    assert read is not None
    return read.state


def gathered(spans: list[Span]) -> Outputs:
    outputs = Outputs()
    for span in spans:
        outputs.add_span(span)
    return outputs


def made(outputs: Outputs, name: str) -> pl.DataFrame:
    schema = {"aggregates": AGGREGATES, "verdicts": VERDICTS}[name]
    return pl.concat([pl.DataFrame(schema=schema), *getattr(outputs, name)])


def assert_same(one: Outputs, other: Outputs) -> None:
    for name, order in (("aggregates", AGGREGATE_ORDER), ("verdicts", VERDICT_ORDER)):
        a, b = (made(outputs, name).sort(order) for outputs in (one, other))
        assert_frame_equal(a, b)
        assert not a.select(pl.struct(order).is_duplicated().any()).item(), f"a key of {name} is there twice"
    assert list(one.alerts()) == list(other.alerts())
    assert (+one.counts, one.rejects) == (+other.counts, other.rejects)


def assert_same_outcome(one: Outputs, other: Outputs) -> None:
    """Latest revisions and episodes; by receive time nothing is promised."""
    for name, order in (("aggregates", AGGREGATE_ORDER), ("verdicts", VERDICT_ORDER)):
        a, b = (
            made(outputs, name).sort(order).unique(order[:-1], keep="last", maintain_order=True)
            for outputs in (one, other)
        )
        assert_frame_equal(a.drop("revision", "decided_at"), b.drop("revision", "decided_at"))
    assert list(one.alerts()) == list(other.alerts())


moods_of = st.lists(
    st.tuples(st.integers(1, 40), st.sampled_from(["low", "near", "high", "mixed", "missing"])), min_size=1, max_size=5
)
seeds = st.integers(0, 2**32 - 1).map(Random)
few = settings(max_examples=settings().max_examples // 4)


def length_of(moods) -> int:
    return sum(length for length, _ in moods)


def any_feed(moods, clocks: str, rng: Random) -> pl.DataFrame:
    """Delays beyond lateness, copies, conflicting values with and without device revisions, rejects."""
    length = length_of(moods)
    delays = rng.choice([[0], [0, 0, 30, 400], [0, 3600, 7000, 9000]])
    rows = [received(one, rng, rng.choice(delays) * SECOND) for one in plants(moods, rng)]
    for row in rng.sample(rows, len(rows) // 10):
        body = json.loads(row[3])
        for factor in body["readings"]:
            body["readings"][factor] = rng.choice([9.0, 55.0, body["readings"][factor]])
        for revision in rng.choices([0, 1, 2], k=rng.choice([1, 3])):
            later = row[0] + rng.choice([0, 1, 20, 2000]) * SECOND
            rows.append((later, "hj212", row[2], json.dumps({**body, "rev": revision}).encode()))
    rows += [(row[0] + rng.randrange(1, 4000) * SECOND, *row[1:]) for row in rng.sample(rows, len(rows) // 10)]
    rows += rejected(rng, length)
    if clocks != "none":
        every_s = rng.choice([20, 60, 60, 1800])
        rows += clock_rows(length + 1, every_s, rng, from_s=rng.choice([0, 0, 1800]), back_s=rng.choice([0, 90]))
    if clocks == "two":
        rows += clock_rows(length + 1, 77, rng, "second", from_s=rng.choice([0, 600]), back_s=5)
    return feed_of(rows)


clocks_of = st.sampled_from(["one", "two", "none"])


@few
@given(moods_of, clocks_of, seeds)
def test_a_feed_is_a_set_and_step_sizes_do_not_matter(moods, clocks, rng):
    feed = any_feed(moods, clocks, rng)
    copies = feed.sample(fraction=0.3, seed=rng.randrange(1000))
    shuffled = pl.concat([feed, copies]).sample(fraction=1.0, shuffle=True, seed=rng.randrange(1000))
    assert_same(
        replay(feed, small_site(), ALL_RULES), replay(shuffled, small_site(), ALL_RULES, step_rows=feed.height // 3 + 1)
    )


@few
@given(moods_of, clocks_of, seeds, st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
def test_neither_cuts_nor_a_restart_matter(moods, clocks, rng, cuts):
    feed = any_feed(moods, clocks, rng)
    whole, cut = run(feed), run(feed, cuts, restart=0)
    assert_same(gathered(whole), gathered(cut))
    assert [row for span in whole for row in span.transitions] == [row for span in cut for row in span.transitions]


@few
@given(moods_of, seeds, st.integers(0, 10**6))
def test_a_message_may_come_at_any_time_ahead_of_the_clock_row_that_decides(moods, rng, cut):
    pipeline = Pipeline(small_site(hold_s={"instant": 120}), RULES)
    messages, clocks = plants(moods, rng), clock_rows(length_of(moods) + 1, 60, rng)
    prompt = [received(one, rng) for one in messages]
    early = []
    for one in messages:
        first = max(one.event_at - 290 * SECOND, START)  # an earlier one would be from the future
        seconds = (one.due_at - first) / SECOND
        early.append((first + rng.uniform(0, seconds) * SECOND, rng.choice(["mqtt", "hj212"]), one.topic, one.payload))
    one, other = (
        run(feed_of([*rows, *clocks]), cuts, pipeline=pipeline) for rows, cuts in ((prompt, ()), (early, [cut]))
    )
    assert sum(span.counts["late"] for span in one if span.counts) == 0
    assert_same(gathered(one), gathered(other))
    assert [row for span in one for row in span.transitions] == [row for span in other for row in span.transitions]


@few
@given(moods_of, seeds, st.sampled_from([[0, 30, 400], [0, 600, 3600, 7000], [0] * 20 + [7000]]), st.integers(0, 10**6))
def test_any_delay_converges(moods, rng, delays, cut):
    messages = plants(moods, rng)
    others = [*rejected(rng, length_of(moods)), *clock_rows(length_of(moods) + rng.choice([1, 150]), 60, rng)]
    prompt = [received(one, rng) for one in messages]
    late = [received(one, rng, rng.choice(delays) * SECOND) for one in messages]
    one, other = (
        gathered(run(feed_of([*rows, *others]), cuts)) for rows, cuts in ((prompt, ()), (late, [cut, cut // 2]))
    )
    assert_same_outcome(one, other)


@settings(few, max_examples=max(1, few.max_examples // 2))
@given(seeds, st.sampled_from([[0, 600, 3600, 7000], [0] * 20 + [7000]]))
def test_forgetting_changes_nothing_before_lateness_has_passed(rng, delays):
    moods = [(rng.randrange(5, 60), rng.choice(["high", "mixed", "low", "missing"])) for _ in range(12)]
    messages = [one for one in plants(moods, rng) if rng.random() < 0.2]
    rows = [received(one, rng, rng.choice(delays) * SECOND) for one in messages]
    feed = feed_of([*rows, *rejected(rng, length_of(moods)), *clock_rows(length_of(moods), 60, rng)])
    every = range(0, feed.height, max(1, feed.height // 8))
    remembering = Pipeline(small_site(lateness="40d"), ALL_RULES)
    assert_same(gathered(run(feed, pipeline=remembering)), gathered(run(feed, every)))


def seeded_digest() -> str:
    rng = Random(20260101)
    feed = any_feed([(40, "mixed"), (30, "high"), (10, "missing"), (40, "near")], "two", rng)
    with tempfile.TemporaryDirectory() as out:
        return str(replay(feed, small_site(), ALL_RULES).write(Path(out))["digest"])


def test_one_thread_decides_what_many_decide():
    root = Path(__file__).resolve().parents[2]
    threads = 1 if pl.thread_pool_size() > 1 else 4  # the other way about than here
    other = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "POLARS_MAX_THREADS": str(threads), "PYTHONPATH": str(root), "PYTHONHASHSEED": "7"},
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == seeded_digest()


if __name__ == "__main__":
    print(seeded_digest())
