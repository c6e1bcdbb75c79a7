"""The engine over real journals and a real receiver: bad input, several collectors, notifications, restarts."""

import json
import threading
from contextlib import ExitStack, closing
from datetime import timedelta

import pytest

from app.sending.channels import channels_of
from app.sending.senders import send_due
from app.service.collector import journal_directory
from app.service.engine import Engine, RecoveryFailure
from contracts.channels import Webhook
from contracts.clock import ScaledClock
from contracts.ports import RawMessage
from contracts.reasons import Reject
from rules.spec import LimitRule, RejectsRule
from rules.ticks import clock_payload
from store.journal import Journal
from store.spans import SpanFiles
from store.state_db import StateDb
from tests.answering import Answer, Answering
from tests.builders import START, minutes, site

RULES = [
    LimitRule(id="so2", kind="limit", period="minute", levels={"orange": 1.0}),
    RejectsRule(id="rejected", kind="rejects", at_least=3),
]
POINT = {"factor": "a21026", "interval_s": 60}


def payload(at, readings, station="S1", **more):
    return json.dumps(
        {"v": 1, "station": station, "at": at.isoformat(), "period_s": 60, "kind": "avg", "readings": readings, **more}
    ).encode()


def message(body, topic="gi/S1/json"):
    return RawMessage("mqtt", topic, body)


def clock_row(at, collector="main"):
    return RawMessage("mqtt", f"$clock/{collector}", clock_payload(at))


def write(state_dir, rows, collector="main"):
    """rows: (wall_at, RawMessage)."""
    with Journal(journal_directory(state_dir, collector)) as journal:
        for at, row in rows:
            journal.append([row], at)


def decide(site_, state_dir, rules=RULES):
    with closing(Engine(site_, rules, state_dir, ScaledClock(START, 1))) as engine:
        engine.recover()
        return list(iter(engine.step, None))


BAD = {
    Reject.EMPTY_PAYLOAD: b"",
    Reject.NOT_UTF8: b'{"v":1,"station":"S1\xff"}',
    Reject.NOT_JSON: b'{"v":1},{"v":1}',
    Reject.WRONG_SHAPE: b'{"v":1,"station":"S1"}',
    Reject.VALUE_IS_TEXT: payload(START, {"a21026": "35.2"}),
    Reject.VALUE_IS_BOOLEAN: payload(START, {"a21026": True}),
    Reject.VALUE_MISSING: payload(START, {"a21026": None}),
    Reject.NOT_FINITE: payload(START, {"a21026": 0}).replace(b": 0}", b": 1e999}"),
    Reject.UNKNOWN_FACTOR: payload(START, {"a99999": 1.0}),
    Reject.STATION_TOPIC_MISMATCH: payload(START, {"a21026": 1.0}, station="S2"),
    Reject.TIME_IN_FUTURE: payload(START + timedelta(days=2), {"a21026": 1.0}),
    Reject.TIME_TOO_OLD: payload(START - timedelta(days=900), {"a21026": 1.0}),
    Reject.TOO_LARGE: b"x" * 10_000_000,
}


def test_every_kind_of_bad_input_is_a_reject_with_its_reason_and_harms_nothing_else(tmp_path):
    rows = [(START, clock_row(START))]
    for n, body in enumerate(BAD.values()):
        rows.append((START + minutes(1) + timedelta(seconds=n), message(body)))
        good = payload(START + timedelta(minutes=n), {"a21026": 10.0 + n, "a21002": 5.0})
        rows.append((START + minutes(30) + timedelta(seconds=n), message(good)))
    rows.append((START + minutes(31), message(payload(START, {"a21026": 1.0}, station="S9"), "gi/S9/json")))
    rows.append((START + minutes(31), message(b"{}", "gi/S1/xml")))
    rows.append((START + minutes(60), clock_row(START + minutes(60))))
    write(tmp_path, sorted(rows, key=lambda row: row[0]))
    spans = decide(site([POINT, {"factor": "a21002"}], limits=[{"period": "minute"}]), tmp_path)
    reasons = [reason for span in spans for reason in span.rejects["reason"]]
    assert sorted(reasons) == sorted([*BAD, Reject.UNKNOWN_STATION, Reject.UNKNOWN_TOPIC])
    values = [value for span in spans for value in span.readings.filter(factor="a21026")["value"]]
    assert sorted(values) == [10.0 + n for n in range(len(BAD))]
    with StateDb(tmp_path / "state.db") as db:
        counted = [row.counts for row in db.spans_after(0)]
    assert sum(row.get(f"reject:{Reject.NOT_JSON}", 0) for row in counted) == 1


def test_nothing_is_decided_until_every_collector_has_said_what_time_it_is(tmp_path):
    two = site([POINT], limits=[{"period": "minute"}], collectors=("east", "west"))
    east = [(START, clock_row(START, "east")), (START + minutes(1), message(payload(START, {"a21026": 60.0})))]
    east += [(START + minutes(n), clock_row(START + minutes(n), "east")) for n in (4, 9)]
    write(tmp_path, east, "east")
    assert decide(two, tmp_path) == []
    write(tmp_path, [(START + minutes(0.5), clock_row(START, "west"))], "west")
    assert [span.verdicts.height for span in decide(two, tmp_path)] == [0]
    other = message(payload(START, {"a21026": 70.0}))  # of the same minute, through the other collector
    west = [(START + minutes(1.2), other), (START + minutes(5), clock_row(START + minutes(5), "west"))]
    write(tmp_path, west, "west")
    spans = decide(two, tmp_path)
    verdicts = [row for span in spans for row in span.verdicts.iter_rows(named=True) if row["rule"] == "so2"]
    judged = [(row["revision"], row["value_scaled"]) for row in verdicts if row["window_at"] == START]
    assert judged == [(1, 70_000_000)]
    assert max(row["decided_at"] for row in verdicts) <= START + minutes(4)  # the slower clock


def test_an_engine_refuses_to_go_on_with_other_collectors_or_without_its_journal(tmp_path):
    one = site([POINT], limits=[{"period": "minute"}], collectors=("east",))
    two = site([POINT], limits=[{"period": "minute"}], collectors=("east", "west"))
    rows = [(START, clock_row(START, "east")), (START + minutes(1), message(payload(START, {"a21026": 60.0})))]
    write(tmp_path, [*rows, (START + minutes(4), clock_row(START + minutes(4), "east"))], "east")
    decide(one, tmp_path)
    for later in (None, START + minutes(9)):  # the new collector has not spoken yet; it has
        if later is not None:
            write(tmp_path, [(later, clock_row(later, "west"))], "west")
        with pytest.raises(RecoveryFailure, match="collectors"):
            decide(two, tmp_path)
    assert decide(one, tmp_path) == []
    for segment in journal_directory(tmp_path, "east").glob("journal-*"):
        segment.unlink()
    with pytest.raises(RecoveryFailure, match="Is a journal missing"):
        decide(one, tmp_path)


@pytest.fixture
def receiver():
    """A real receiver: notes what it got, answers as told."""
    got, answers = [], []

    def answer(asked):
        got.append((asked.headers["X-GreenIsland-Key"], json.loads(asked.body)))
        return Answer(answers.pop(0) if answers else 204)

    with Answering(answer) as server:
        yield f"{server.url}/", got, answers


def test_an_exceedance_reaches_the_webhook_in_words_and_again_after_a_failure(tmp_path, receiver):
    url, got, answers = receiver
    answers.append(500)
    told = site([POINT], limits=[{"period": "minute", "status": "verified"}], channels=(Webhook(name="duty", url=url),))
    rows = [(START, clock_row(START))]
    rows += [(START + minutes(n + 1), message(payload(START + minutes(n), {"a21026": 58.2}))) for n in range(3)]
    write(tmp_path, [*rows, (START + minutes(9), clock_row(START + minutes(9)))])
    decide(told, tmp_path)
    decide(told, tmp_path)  # a restart tells nobody twice

    class At:
        def __init__(self, at):
            self.at = at

        def now(self):
            return self.at

    clock, stop = At(START + minutes(10)), threading.Event()
    with StateDb(tmp_path / "state.db") as db, ExitStack() as stack:
        channels = channels_of(told, clock, stack)
        assert send_due(db, channels, clock, stop) == 1  # then the channel rests
        assert send_due(db, channels, clock, stop) == 0
        clock.at += minutes(10)
        while send_due(db, channels, clock, stop):
            pass
        assert db.outbox_counts() == {"delivered": len(got) - 1}
        assert [row["outcome"] for row in db.receipts()][-1] == "delivered"
    fired = [body for _, body in got if body["transition"] == "fired"]
    assert "二氧化硫分钟均值58.2 mg/m³,高于许可值50(提示)" in fired[0]["text"]
    assert len({key for key, _ in got}) == len(got) - 1  # the repeat carries the same key


def test_a_span_file_left_by_a_kill_before_the_commit_is_replaced(tmp_path):
    rows = [(START, clock_row(START)), (START + minutes(1), message(payload(START, {"a21026": 60.0})))]
    write(tmp_path, [*rows, (START + minutes(2), clock_row(START + minutes(2)))])
    (tmp_path / "spans").mkdir()
    stray = tmp_path / "spans" / "span-000000000001.span"
    stray.write_bytes(b"half a span")
    decide(site([POINT], limits=[{"period": "minute"}]), tmp_path)
    with StateDb(tmp_path / "state.db") as db:
        spans = dict(SpanFiles(tmp_path / "spans", db).spans_after(0))
    assert sum(frames["readings"].height for frames in spans.values()) == 1
