"""What people say about data changes decisions from the tick on at which it holds, and nothing before it."""

import json
from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.pipeline import Pipeline, PipelineState
from app.service.checkpoint import read_checkpoint, write_checkpoint
from contracts.facts import fact_name
from contracts.frames import MESSAGES
from contracts.points import point_table
from contracts.records import encode
from contracts.topics import JOURNAL_OPERATOR
from rules.facts.effects import effects
from rules.facts.records import facts_of
from rules.facts.tables import compile_marking
from rules.kinds.plausibility import ActiveWhileStoppedRule
from rules.spec import LimitRule
from rules.ticks import SiteClock, clock_payload, stamp
from tests.builders import site
from tests.marked_site import china, record_of

START = china("2026-03-01T08:00:00")
MINUTE, HOUR, SECOND = timedelta(minutes=1), timedelta(hours=1), timedelta(seconds=1)
SITE = site(
    [{}, {"factor": "a00000", "unit": "m3/h"}],
    limits=[{"limit": 35}, {"limit": 35, "period": "day"}],
    lateness="40h",
    validity=[{"medium": "flue_gas", "period": "day", "need": 1, "of": 24, "clause": "test"}],
)
RULES = [
    LimitRule(id="hour", kind="limit", period="hour", select={"factor": ["a21026"]}),
    LimitRule(id="day", kind="limit", period="day", select={"factor": ["a21026"]}),
    ActiveWhileStoppedRule(id="active", kind="active_while_stopped", select={"factor": ["a00000"]}, above=100),
]
PIPELINE = Pipeline(SITE, RULES)


def reading(at: datetime, so2: float, flow: float) -> tuple:
    body = {"v": 1, "station": "S1", "at": at.isoformat(), "kind": "avg", "period_s": 60}
    payload = json.dumps({**body, "readings": {"a21026": so2, "a00000": flow}}).encode()
    return (at + MINUTE + SECOND, "mqtt", "gi/S1/json", payload)


def said(at_: datetime, kind: str, actor: str = "plant", **body) -> tuple:
    return (at_, "main", JOURNAL_OPERATOR, encode(record_of(kind, at_, actor, **body)))


def hours(*values: tuple[float, float]) -> list[tuple]:
    return [
        reading(START + n * HOUR + m * MINUTE, so2, flow) for n, (so2, flow) in enumerate(values) for m in range(60)
    ]


def feed(rows: list[tuple], until: datetime, step: timedelta = 30 * MINUTE) -> pl.DataFrame:
    """With a clock row now and then, and one right before and after everything people say."""
    clocks = [START + n * step for n in range(1, (until - START) // step + 1)]
    clocks += [row[0] + after for row in rows if row[2] == JOURNAL_OPERATOR for after in (-SECOND, SECOND)]
    rows = [*rows, *((at, "main", "$clock/main", clock_payload(at)) for at in sorted({START, *clocks, until}))]
    return pl.DataFrame(rows, schema=MESSAGES, orient="row").sort("received_at", "source", "topic", "payload")


def decide(messages: pl.DataFrame, cuts: tuple[int, ...] = (), checkpoints=None) -> pl.DataFrame:
    state = PipelineState(SiteClock(("main",)))
    made = []
    edges = [0, *sorted(cuts), messages.height]
    for n, (a, b) in enumerate(pairwise(edges)):
        if b > a:
            made.append(PIPELINE.step(state, messages[a:b]).verdicts)
        if checkpoints is not None and a < b < messages.height:
            write_checkpoint(checkpoints, "test", n + 1, state)
            found = read_checkpoint(checkpoints, "test", n + 1)
            assert found is not None
            state = found.state
    return pl.concat(made).sort("rule", "factor", "window_at", "revision")


def history(verdicts: pl.DataFrame, rule: str, window: datetime) -> list[tuple]:
    rows = verdicts.filter((pl.col("rule") == rule) & (pl.col("window_at") == window))
    return [(row["state"], row["reason"], row["decided_at"]) for row in rows.sort("revision").iter_rows(named=True)]


def test_of_marks_at_11_59_and_12_01_only_the_first_takes_effect():
    in_time, too_late = china("2026-03-02T11:59:00"), china("2026-03-02T12:01:00")
    rows = hours((60, 1), (60, 1), (20, 1))
    for at, hour in ((in_time, START), (too_late, START + HOUR)):
        mark = {"station": "S1", "factor": "a21026", "type": "maintenance", "reason": "analyser was cleaned"}
        rows.append(said(at, "mark", **mark, from_at=hour, to_at=hour + HOUR))
    verdicts = decide(feed(rows, too_late + HOUR))
    first = history(verdicts, "hour", START)
    assert [row[:2] for row in first] == [("exceedance", None), ("no_judgement", "all_marked")]
    assert in_time <= first[1][2] <= in_time + 2 * SECOND
    assert [row[:2] for row in history(verdicts, "hour", START + HOUR)] == [("exceedance", None)]


def test_what_a_working_condition_excuses_keeps_its_value_and_is_held_against_nobody():
    at = START + 2 * HOUR
    rows = hours((60, 1), (20, 1))
    stop = {"station": "S1", "from_at": START, "to_at": START + HOUR, "number": "T-1", "reason": "overhaul"}
    rows.append(said(at, "stop", **stop))
    verdicts = decide(feed(rows, at + HOUR))
    hour = verdicts.filter((pl.col("rule") == "hour") & (pl.col("window_at") == START)).sort("revision")
    assert hour["state"].to_list() == ["exceedance", "not_applicable"]
    assert hour["reason"].to_list() == [None, "excused_by_stop"]
    assert hour["value_scaled"].n_unique() == 1


def test_flow_in_an_approved_stop_is_looked_at_and_flow_at_any_other_time_is_not():
    rows = hours((1, 500), (1, 500), (1, 50))
    stop = {"station": "S1", "from_at": START + HOUR, "to_at": START + 3 * HOUR, "number": "T-1", "reason": "overhaul"}
    rows.append(said(START + SECOND, "stop", **stop))
    verdicts = decide(feed(rows, START + 4 * HOUR))
    found = [history(verdicts, "active", START + n * HOUR)[-1][0] for n in range(3)]
    assert found == ["not_applicable", "exceedance", "within"]


def test_a_mark_withdrawn_before_its_review_stops_having_effect_and_the_history_keeps_it():
    at = START + 2 * HOUR
    mark = {"station": "S1", "type": "maintenance", "reason": "x", "from_at": START, "to_at": START + HOUR}
    first = said(at, "mark", **mark)
    rows = [*hours((60, 1), (20, 1)), first]
    rows.append(said(at + HOUR, "withdrawal", about=fact_name(first[3]), reason="a slip"))
    verdicts = decide(feed(rows, at + 2 * HOUR))
    assert [row[0] for row in history(verdicts, "hour", START)] == ["exceedance", "no_judgement", "exceedance"]


@st.composite
def remarks(draw):
    """Marks, stops and failed checks at any time about any time."""
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        at = START + draw(st.integers(5, 40 * 60)) * MINUTE
        begin = START + draw(st.integers(-30, 200)) * MINUTE
        end = begin + draw(st.integers(1, 150)) * MINUTE
        kind = draw(st.sampled_from(["mark", "stop", "qc"]))
        if kind == "mark":
            type_ = draw(st.sampled_from(["maintenance", "instrument_fault", "remark"]))
            factor = draw(st.sampled_from([None, "a21026", "a00000"]))
            body = {"station": "S1", "factor": factor, "type": type_, "from_at": begin, "to_at": end, "reason": "x"}
        elif kind == "stop":
            body = {"station": "S1", "from_at": begin, "to_at": end, "number": "1", "reason": "x"}
        else:
            passed = draw(st.booleans())
            check = {"check": "zero_drift", "passed": passed, "values": "v"}
            body = {"station": "S1", "factor": "a21026", "at": begin, **check}
        rows.append(said(at, kind, **body))
    return rows


@settings(max_examples=12, deadline=None)
@given(remarks(), st.lists(st.integers(0, 400), max_size=3), st.booleans())
def test_cuts_and_restarts_do_not_change_what_marks_do(tmp_path_factory, rows, cuts, restart):
    messages = feed([*hours((60, 500), (20, 50), (60, 500), (20, 1)), *rows], START + 42 * HOUR)
    whole = decide(messages)
    folder = tmp_path_factory.mktemp("checkpoints") if restart else None
    cut = decide(messages, tuple(min(c, messages.height) for c in cuts), folder)
    assert whole.equals(cut)


@settings(max_examples=12, deadline=None)
@given(remarks())
def test_a_latest_verdict_is_what_a_naive_look_at_the_marks_says(rows):
    values = (60.0, 20.0, 60.0)
    end = START + 42 * HOUR
    messages = feed([*hours(*((v, 1) for v in values)), *rows], end)
    latest = decide(messages).filter(pl.col("rule") == "hour").group_by("window_at").agg(pl.all().last())
    facts, _ = facts_of(stamp(messages, SiteClock(("main",)))[0])
    held = effects(facts, point_table(SITE), compile_marking(SITE)).filter(pl.col("until").is_null())
    mine = point_table(SITE).filter(pl.col("factor") == "a21026")["point"].item()
    held = held.filter((pl.col("point") == mine) & (pl.col("tick") <= end)).to_dicts()

    def is_hit(effect: str, begin: datetime, finish: datetime) -> bool:
        return any(
            e["effect"] == effect and e["from_at"] < finish and (e["to_at"] is None or begin < e["to_at"]) for e in held
        )

    for n, value in enumerate(values):
        window = START + n * HOUR
        marks = [is_hit("invalid", window + m * MINUTE, window + m * MINUTE + SECOND) for m in range(60)]
        row = latest.filter(pl.col("window_at") == window).row(0, named=True)
        if sum(marks) == 60:
            expected = ("no_judgement", "all_marked")
        elif 60 - sum(marks) < 45:
            expected = ("no_judgement", "too_few_valid")
        elif value > 35 and is_hit("excused", window, window + HOUR):
            expected = ("not_applicable", None)
        else:
            expected = ("exceedance" if value > 35 else "within", None)
        assert row["state"] == expected[0]
        assert expected[1] is None or row["reason"] == expected[1]


@pytest.mark.parametrize("kind", ["mark", "stop"])
def test_a_fact_about_another_station_changes_nothing(kind):
    rows = hours((60, 1))
    about = {"station": "S9", "from_at": START, "to_at": START + HOUR, "reason": "x"}
    more = {"type": "maintenance"} if kind == "mark" else {"number": "1"}
    other = decide(feed([*rows, said(START + 2 * HOUR, kind, **about, **more)], START + 3 * HOUR))
    assert other.equals(decide(feed(rows, START + 3 * HOUR)))
