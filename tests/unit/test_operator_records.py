"""Operators' records: from the spool into the journal, back out as facts; nothing is lost, nothing is silent."""

import json
import os
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from app.health.status import attention, status_of
from app.operators.facts_read import read_facts
from app.operators.spool import AT_ONCE, RECORD_BYTES_MAX, drain, in_journal, put, refused, waiting
from app.service.collector import journal_directory
from contracts.clock import ScaledClock
from contracts.facts import KINDS, Manual, Mark, Qc, Review, Stop, Withdrawal, fact_name, from_body, to_body
from contracts.frames import MESSAGES
from contracts.instants import epoch_us
from contracts.ports import JournalFailure, RawMessage
from contracts.records import Record, encode
from rules.facts.records import facts_of
from rules.ticks import SiteClock, clock_payload, stamp
from store.journal import Journal
from store.journal_reader import read_after
from store.operator_rows import own_rows
from store.raw_files import raw_directory, raw_files
from store.seal import seal_segments
from tests.builders import site
from tests.marked_site import SECOND, record_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLOCK = ScaledClock(NOON, 1)
SPAN = {"from_at": NOON, "to_at": NOON + timedelta(hours=1)}
NAME = "0" * 32
BODIES = [
    Mark(station="S1", factor="a21026", type="maintenance", reason="因检修", **SPAN),
    Mark(station="S1", type="maintenance", reason="r", **SPAN),
    Review(about=NAME, decision="approve_late", reason="r"),
    Withdrawal(about=NAME, reason="r"),
    Stop(outlet="O-S1", number="环审〔2026〕1号", reason="r", **SPAN),
    Qc(station="S1", factor="a21026", check="zero_drift", at=NOON, passed=False, values="3.1 %"),
    Manual(station="S1", factor="a21026", at=NOON, value="12.50", unit="mg/m3", laboratory="L"),
]
KIND_OF = {kind: name for name, kind in KINDS.items()}


def record(n=0, **body):
    return record_of("mark", NOON + n * SECOND, station="S1", type="maintenance", reason="r", **{**SPAN, **body})


def journalled(state_dir, rows, collector="main"):
    """rows: (received_at, source, topic, payload)."""
    with Journal(journal_directory(state_dir, collector)) as journal:
        journal.append_history([(at, RawMessage(source, topic, payload)) for at, source, topic, payload in rows])


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_every_kind_goes_through_a_record_unchanged(body):
    assert from_body(KIND_OF[type(body)], to_body(body)) == body


def test_what_an_operator_spools_is_journalled_and_read_back_as_facts(tmp_path):
    journalled(tmp_path, [(NOON, "mqtt", "$clock/main", clock_payload(NOON))])
    names = []
    for n, body in enumerate(BODIES):
        made = record_of(KIND_OF[type(body)], NOON + n * SECOND, "wang", **{f: getattr(body, f) for f in fields(body)})
        names.append(put(tmp_path, made)[0])
    assert len(waiting(tmp_path)) == len(BODIES)
    with Journal(journal_directory(tmp_path, "main")) as journal:
        assert drain(tmp_path, journal, CLOCK) == len(BODIES)
        assert drain(tmp_path, journal, CLOCK) == 0
    facts, rejects = read_facts(tmp_path, site())
    assert rejects.is_empty()
    assert facts["fact"].to_list() == names
    assert facts["kind"].to_list() == [KIND_OF[type(body)] for body in BODIES]
    assert set(facts["known_at"]) == {NOON + SECOND}
    assert facts.row(0, named=True)["reason"] == "因检修"
    assert facts.row(5, named=True)["passed"] is False
    assert waiting(tmp_path) == refused(tmp_path) == []


def fields(body):
    return body.__struct_fields__


def test_a_kill_between_journal_and_removal_makes_two_rows_and_one_fact(tmp_path):
    name, path = put(tmp_path, record())
    payload = path.read_bytes()
    with Journal(journal_directory(tmp_path, "main")) as journal:
        journal.append([RawMessage("mqtt", "$clock/main", clock_payload(NOON))], NOON)
        drain(tmp_path, journal, CLOCK)
        path.write_bytes(payload)
        journal.append([RawMessage("mqtt", "$clock/main", clock_payload(NOON + 9 * SECOND))], NOON + 9 * SECOND)
        drain(tmp_path, journal, CLOCK)
    rows = read_after(journal_directory(tmp_path, "main"), 0, 100)
    assert rows.filter(pl.col("topic") == "$operator").height == 2
    facts, _ = read_facts(tmp_path, site())
    assert facts.select("fact", "known_at").rows() == [(name, NOON + SECOND)]


def test_a_record_that_could_not_be_removed_is_not_journalled_again(tmp_path):
    _, path = put(tmp_path, record())
    journalled = {path}
    with Journal(journal_directory(tmp_path, "main")) as journal:
        assert drain(tmp_path, journal, CLOCK, journalled) == 0
    assert (waiting(tmp_path), journalled) == ([], set())
    assert read_after(journal_directory(tmp_path, "main"), 0, 10).is_empty()


def test_nothing_leaves_the_spool_when_the_journal_fails(tmp_path):
    put(tmp_path, record())
    journal = Journal(journal_directory(tmp_path, "main"))
    journal.close()
    with pytest.raises(JournalFailure):
        drain(tmp_path, journal, CLOCK)
    assert len(waiting(tmp_path)) == 1


def spoilt(**changes):
    said = json.loads(encode(record()))
    said["body"] |= changes.pop("body", {})
    return json.dumps({**said, **changes}).encode()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"no json", "malformed"),
        (spoilt(v=2), "record version 2; this program knows 1"),
        (spoilt(action="pardon"), "'pardon' is no action this program knows"),
        (spoilt(actor=" "), "does not say who made it"),
        (spoilt(at="2026-03-01T08:00:00"), "has no offset"),
        (spoilt(at="0001-01-01T00:00:00+08:00"), "out of range"),
        (spoilt(body={"to_at": "2026-03-01T08:00:00+08:00"}), "is not after its beginning"),
        (spoilt(body={"from_at": "yesterday"}), "from_at"),
        (spoilt(body={"why": "x"}), "why"),
        (spoilt(body={"reason": ""}), "reason"),
        (b'"' + b"x" * RECORD_BYTES_MAX + b'"', "a record has at most 65536"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_record_that_cannot_be_read_is_moved_aside_with_its_reason_and_stops_no_other(tmp_path, payload, reason):
    _, good = put(tmp_path, record())
    bad = good.with_name("000-somebody.json")
    bad.write_bytes(payload)
    with Journal(journal_directory(tmp_path, "main")) as journal:
        assert drain(tmp_path, journal, CLOCK) == 1
    (aside,) = refused(tmp_path)
    assert aside.path.name == bad.name
    assert aside.path.read_bytes() == payload
    assert reason in aside.reason
    assert waiting(tmp_path) == []
    assert not in_journal(bad, 0)
    assert in_journal(good, 0)
    # the same bytes in a journal are a reject with the same words, not a fact
    rows = pl.DataFrame([(NOON, "x", "$operator", payload)], schema=MESSAGES, orient="row")
    if len(payload) < RECORD_BYTES_MAX:
        facts, rejects = facts_of(stamp(rows, SiteClock(()))[0])
        assert facts.is_empty()
        assert rejects["reason"].to_list() == ["unreadable_record"]
        assert reason in rejects["detail"][0]
        assert rejects["message"][0].hex() == fact_name(payload)


def test_a_file_nobody_may_read_is_moved_aside_as_well(tmp_path):
    folder = tmp_path / "operator" / "x.json"
    folder.mkdir(parents=True)
    with Journal(journal_directory(tmp_path, "main")) as journal:
        assert drain(tmp_path, journal, CLOCK) == 0
    assert "cannot be read" in refused(tmp_path)[0].reason


def test_a_file_that_is_still_written_is_left_alone(tmp_path):
    put(tmp_path, record())
    (tmp_path / "operator" / f"x.json.{os.getpid()}.tmp").write_bytes(b"{")
    with Journal(journal_directory(tmp_path, "main")) as journal:
        assert drain(tmp_path, journal, CLOCK) == 1
    assert refused(tmp_path) == []


def test_a_full_spool_is_taken_in_parts_the_oldest_first(tmp_path):
    folder = tmp_path / "operator"
    folder.mkdir()
    for n in range(AT_ONCE + 3):
        (folder / f"{n:06d}.json").write_bytes(encode(record(n)))
    with Journal(journal_directory(tmp_path, "main")) as journal:
        assert [drain(tmp_path, journal, CLOCK) for _ in range(3)] == [AT_ONCE, 3, 0]
    facts, _ = read_facts(tmp_path, site())
    assert facts["made_at"].to_list() == [NOON + n * SECOND for n in range(AT_ONCE + 3)]


def test_actions_that_are_no_facts_are_left_to_others():
    body = Record(v=1, actor="li", origin="api", at=NOON, action="command", body={"alert": "x"})
    rows = pl.DataFrame([(NOON, "x", "$operator", encode(body))], schema=MESSAGES, orient="row")
    facts, rejects = facts_of(stamp(rows, SiteClock(()))[0])
    assert (facts.height, rejects.height) == (0, 0)


@st.composite
def journals(draw):
    """Rows of two collectors: clocks that tick unevenly, stations' messages, operators' records."""
    collectors = {}
    for number, name in enumerate(("east", "main")):
        rows, us, shown = [], 0, 0
        for _ in range(draw(st.integers(0, 25))):
            us += draw(st.integers(1, 4)) * 500_000 + number
            at = NOON + timedelta(microseconds=us)
            kind = draw(st.sampled_from(["clock", "clock", "clock", "message", "record"]))
            if kind == "clock":
                shown = max(shown + 1, us // 1_000_000 - draw(st.integers(0, 3)))
                rows.append((at, "mqtt", f"$clock/{name}", clock_payload(NOON + shown * SECOND)))
            elif kind == "message":
                rows.append((at, "mqtt", "gi/S1/json", b"{}"))
            else:
                rows.append((at, "operator", "$operator", encode(record(us))))
        collectors[name] = rows
    return collectors


@given(journals(), st.integers(1, 7))
def test_facts_are_known_from_the_tick_the_whole_feed_gives_them(tmp_path_factory, collectors, portion):
    state_dir = tmp_path_factory.mktemp("state")
    for name, rows in collectors.items():
        journalled(state_dir, rows, name)
    whole = pl.DataFrame([row for rows in collectors.values() for row in rows], schema=MESSAGES, orient="row")
    stamped, _ = stamp(whole.sort("received_at", "source", "topic", "payload"), SiteClock(("east", "main")))
    expected, _ = facts_of(stamped)
    facts, _ = read_facts(state_dir, site(collectors=("east", "main")))
    assert_frame_equal(facts, expected)
    for name in collectors:
        directory = journal_directory(state_dir, name)
        assert_frame_equal(own_rows(directory, name, rows=portion), own_rows(directory, name))


def test_sealed_files_without_records_are_passed_over_and_nothing_changes(tmp_path):
    directory = journal_directory(tmp_path, "main")
    for n in range(6):
        with Journal(directory, segment_max_age=timedelta(minutes=30)) as journal:
            at = NOON + timedelta(hours=n)
            messages = [RawMessage("mqtt", "$clock/main", clock_payload(at)), RawMessage("mqtt", "gi/S1/json", b"{}")]
            if n in (2, 5):
                messages.append(RawMessage("operator", "$operator", encode(record(n))))
            journal.append(messages, at)
    before = read_facts(tmp_path, site())[0]
    seal_segments(directory, epoch_us(NOON + timedelta(hours=5)) - 1)
    files = raw_files(raw_directory(directory))
    assert len(files) >= 4
    assert_frame_equal(read_facts(tmp_path, site())[0], before)
    assert before["known_at"].to_list() == [NOON + timedelta(hours=2) + SECOND, NOON + timedelta(hours=5) + SECOND]
    # only what has a record is read: a file without one may even be unreadable behind its metadata
    passed_over = next(file for file in files if file.first_us < epoch_us(NOON + timedelta(hours=1)))
    content = bytearray(passed_over.path.read_bytes())
    content[4:40] = bytes(36)
    passed_over.path.write_bytes(content)
    assert_frame_equal(read_facts(tmp_path, site())[0], before)


def test_a_state_without_a_journal_has_no_facts(tmp_path):
    facts, rejects = read_facts(tmp_path, site())
    assert (facts.height, rejects.height) == (0, 0)


def test_status_says_that_records_wait_or_were_refused(tmp_path):
    put(tmp_path, record())
    assert said_of(tmp_path, NOON + timedelta(seconds=50)) == []
    (waits,) = said_of(tmp_path, NOON + timedelta(seconds=70))
    assert waits.startswith("1 operators' records wait to be journalled")
    (tmp_path / "operator" / "0.json").write_bytes(b"nonsense")
    with Journal(journal_directory(tmp_path, "main")) as journal:
        drain(tmp_path, journal, CLOCK)
    (refuses,) = said_of(tmp_path, NOON + timedelta(seconds=70))
    assert refuses.startswith("1 operators' records were refused; read operator/refused/")


def said_of(state_dir, now):
    return [line for line in attention(status_of(state_dir, now)) if "operators' records" in line]
