"""The commands of operators: what they spool, what they refuse and in which words, what their lists show."""

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.operators.spool import drain, waiting
from app.service.collector import journal_directory
from contracts.clock import ScaledClock
from contracts.ports import RawMessage
from rules.ticks import clock_payload
from store.journal import Journal
from tests.marked_site import china

ROOT = Path(__file__).resolve().parents[2]
STATION = "XS-COAL-1"
SPAN = ["--from", "2026-03-01T08:00:00+08:00", "--to", "2026-03-01T10:00:00+08:00"]


class Centre:
    def __init__(self, folder):
        self.state, self.site = folder / "state", folder / "site"
        self.state.mkdir()
        shutil.copytree(ROOT / "deploy" / "sites" / "zunyi", self.site)

    def run(self, *words, site=True):
        """The command's result; everything it printed, in one line."""
        options = ["--site", str(self.site)] if site else []
        result = CliRunner().invoke(app, [*words, "--state", str(self.state), *options], env={"COLUMNS": "400"})
        text = " ".join(result.output.replace("│", " ").split())
        return result.exit_code, text

    def json(self, *words):
        code, text = self.run(*words, "--json")
        assert code == 0, text
        return json.loads(text)

    def collect(self, at: datetime):
        """A collector's clock shows the instant, and takes what waits."""
        with Journal(journal_directory(self.state, "main")) as journal:
            journal.append([RawMessage("mqtt", "$clock/main", clock_payload(at))], at)
            drain(self.state, journal, ScaledClock(at, 1))

    def mark(self, at, *words, by="zhang"):
        common = ["--station", STATION, "--reason", "检修", "--by", by, "--wait", "0s"]
        made = self.json("mark", "add", *common, *words)
        self.collect(china(at))
        return made["fact"]


@pytest.fixture
def centre(tmp_path):
    return Centre(tmp_path)


def test_marks_of_11_59_and_12_01_are_both_listed_and_one_takes_effect(centre):
    first = centre.mark("2026-03-02T11:59:00", "--type", "维护", *SPAN)
    second = centre.mark("2026-03-02T12:01:00", "--type", "calibration", "--factor", "a21026", *SPAN)
    told = centre.json("mark", "list")
    assert [one["fact"] for one in told["marks"]] == [first, second]
    assert [one["timing"] for one in told["marks"]] == ["in_time", "late"]
    assert [len(one["effects"]) for one in told["marks"]] == [1, 0]
    assert told["marks"][0]["effects"][0]["tick"] == "2026-03-02T11:59:01+08:00"
    assert told["marks"][0]["deadline_at"] == "2026-03-02T12:00:00+08:00"
    code, text = centre.run("mark", "list")
    assert code == 0
    assert "in time (deadline of its beginning 2026-03-02T12:00:00+08:00)" in text
    assert "late (deadline of its beginning 2026-03-02T12:00:00+08:00)" in text
    assert "unverified: 公告2022年第21号" in text


def test_a_late_mark_is_approved_by_a_reviewer_and_the_list_shows_what_held_as_of_when(centre):
    name = centre.mark("2026-03-05T09:00:00", "--type", "start_up", *SPAN)
    assert [one["fact"] for one in centre.json("review")["marks"]] == [name]
    common = ["--reason", "现场核实", "--reviewer", "wang", "--wait", "0s"]
    code, text = centre.run("mark", "review", name[:8], "--accept", *common)
    assert (code, "--approve-late or --return it" in text) == (2, True)
    assert centre.run("mark", "review", name[:8], "--approve-late", *common)[0] == 0
    centre.collect(china("2026-03-06T09:00:00"))
    assert centre.json("review")["marks"] == []
    (now,) = centre.json("mark", "list", "--station", STATION)["marks"]
    assert [one["tick"] for one in now["effects"]] == ["2026-03-06T09:00:01+08:00"]
    assert now["steps"][0]["reason"] == "现场核实"
    assert now["caps"] == [{"of": "event", "used_h": 2.0, "cap_h": 4.0}]
    (then,) = centre.json("mark", "list", "--as-of", "2026-03-06T09:00:00+08:00")["marks"]
    assert (then["state"], then["effects"]) == ("submitted", [])
    assert centre.json("mark", "list", "--as-of", "2026-03-05T09:00:00+08:00")["marks"] == []


def test_a_mark_is_withdrawn_before_its_review_only(centre):
    name = centre.mark("2026-03-01T12:00:00", "--type", "maintenance", *SPAN)
    withdraw = ["mark", "withdraw", name, "--reason", "误标", "--wait", "0s"]
    assert centre.run("mark", "review", name, "--return", "--reason", "x", "--reviewer", "wang", "--wait", "0s")[0] == 0
    centre.collect(china("2026-03-01T13:00:00"))
    code, text = centre.run(*withdraw)
    assert (code, "returned already" in text) == (2, True)
    other = centre.mark("2026-03-01T14:00:00", "--type", "calibration", *SPAN)
    assert centre.run("mark", "withdraw", other[:6], "--reason", "误标", "--wait", "0s")[0] == 0
    centre.collect(china("2026-03-01T15:00:00"))
    states = {one["fact"]: one["state"] for one in centre.json("mark", "list")["marks"]}
    assert states == {name: "returned", other: "withdrawn"}
    assert (
        "there is nothing to review"
        in centre.run("mark", "review", other, "--return", "--reason", "x", "--reviewer", "wang")[1]
    )


def test_nobody_reviews_a_mark_of_his_own(centre):
    name = centre.mark("2026-03-01T12:00:00", "--type", "maintenance", *SPAN)
    code, text = centre.run("mark", "review", name, "--accept", "--reason", "x", "--reviewer", "zhang")
    assert (code, "zhang made the mark; somebody else reviews it" in text) == (2, True)


def test_without_a_collector_it_says_that_it_waits_and_does_not_count_yet(centre):
    add = ["mark", "add", "--station", STATION, "--type", "启动", *SPAN, "--reason", "r", "--wait", "0s"]
    code, text = centre.run(*add)
    assert code == 0
    assert "it waits in the spool: no collector took it within 0s" in text
    assert "late: the deadline of its beginning was 2026-03-02T12:00:00+08:00" in text
    assert "caps: at most 4h an event" in text
    assert "verified_weak: this rests on permit techniques: power 4 h" in text
    assert len(waiting(centre.state)) == 1
    assert "1 records wait in the spool" in centre.run("mark", "list")[1]


def test_what_was_refused_or_cannot_be_read_is_shown(centre):
    centre.mark("2026-03-01T12:00:00", "--type", "maintenance", *SPAN)
    (centre.state / "operator" / "x.json").write_bytes(b"nonsense")
    with Journal(journal_directory(centre.state, "main")) as journal:
        at = china("2026-03-01T13:00:00")
        journal.append([RawMessage("x", "$operator", b"nonsense too")], at)
    centre.collect(china("2026-03-01T14:00:00"))
    for words in (["mark", "list"], ["review"], ["fact", "list"]):
        code, text = centre.run(*words)
        assert code == 0
        assert "refused: " in text
        assert "x.json: JSON is malformed" in text
        assert "unreadable in the journal, received 2026-03-01T13:00:00+08:00: JSON is malformed" in text


def test_types_are_listed_with_caps_and_deadlines(centre):
    shown = CliRunner().invoke(app, ["mark", "types", "--site", str(centre.site)]).output
    assert "start_up_cold 冷窑点火 cold ignition of the kiln: excused; at most 36h an event [verified_weak]" in shown
    assert "until 12:00 of the next day (verified" in shown
    told = json.loads(CliRunner().invoke(app, ["mark", "types", "--site", str(centre.site), "--json"]).output)
    assert {"station", "deadline", "types"} == set(told[0])


def test_stops_checks_and_manual_readings_are_entered_listed_and_taken_back(centre):
    where = ["--station", STATION, "--factor", "a21026", "--at", "2026-03-01T08:00:00+08:00", "--wait", "0s"]
    stop = ["--outlet", "XS-A-DA001", *SPAN, "--number", "环停〔2026〕3号", "--reason", "大修", "--wait", "0s"]
    made = [
        centre.json("fact", "stop", *stop),
        centre.json("fact", "qc", *where, "--check", "zero_drift", "--fail", "--values", "3.1 %, allowed 2.5 %"),
        centre.json("fact", "manual", *where, "--value", "12.50", "--unit", "mg/m3", "--laboratory", "省站"),
    ]
    centre.collect(china("2026-03-01T12:00:00"))
    assert centre.run("fact", "withdraw", made[1]["fact"][:7], "--reason", "录错", "--wait", "0s")[0] == 0
    centre.collect(china("2026-03-01T13:00:00"))
    rows = centre.json("fact", "list")["facts"]
    assert [one["kind"] for one in rows] == ["stop", "qc", "manual", "withdrawal"]
    assert [one["withdrawn_at"] for one in rows] == [None, "2026-03-01T13:00:01+08:00", None, None]
    assert rows[2]["value"] == 12.5
    assert [one["kind"] for one in centre.json("fact", "list", "--kind", "qc")["facts"]] == ["qc"]
    early = centre.json("fact", "list", "--as-of", "2026-03-01T12:30:00+08:00")["facts"]
    assert early[1]["withdrawn_at"] is None
    code, text = centre.run("fact", "withdraw", made[1]["fact"], "--reason", "r", "--wait", "0s")
    assert (code, "taken back before" in text) == (2, True)
    assert "zero_drift failed" in centre.run("fact", "list")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mark", "add", "--station", "XS-COAL-9"], "'XS-COAL-9' is no station of this site; did you mean 'XS-COAL-"),
        (["mark", "add", "--type", "start"], "'start' is no type of mark at XS-COAL-1"),
        (["mark", "add", "--factor", "a2102"], "'a2102' is not measured at XS-COAL-1; did you mean 'a2102"),
        (["mark", "add", "--from", "yesterday"], "'yesterday' is not an instant; write one like 2026-03-01T08:00"),
        (["mark", "add", "--from", "2026-03-01T08:00:00"], "has no offset"),
        (["mark", "add", "--to", "2026-03-01T07:00:00+08:00"], "is not before"),
        (["mark", "add", "--reason", " "], "it is empty; it will be read by whoever reviews"),
        (["mark", "add", "--wait", "soon"], "'soon' is not a duration"),
        (["mark", "add", "--by", ""], "it is empty"),
        (["fact", "qc", "--check", "drift"], "'drift' is no check; did you mean 'zero_drift'"),
        (["fact", "manual", "--value", "12,5"], "'12,5' is not a number like 12.5"),
        (["fact", "manual", "--unit", "mg"], "'mg' is no unit of a21026"),
        (["fact", "stop", "--station", STATION], "give one of them"),
        (["fact", "stop", "--outlet", "XS"], "'XS' is no outlet of this site"),
        (["mark", "withdraw", "abc"], "'abc': give at least 6 characters"),
        (["mark", "withdraw", "abcdef"], "no mark in the journal is named abcdef"),
        (["mark", "review", "abcdef"], "give one of them"),
        (["fact", "list", "--kind", "marks"], "'marks' is no kind of fact; did you mean 'mark'"),
        (["mark", "list", "--as-of", "now"], "'now' is not an instant"),
    ],
)
def test_a_wrong_option_is_told_in_words_and_nothing_is_spooled(centre, words, said):
    where = ["--station", STATION, "--factor", "a21026"]
    at = ["--at", "2026-03-01T08:00:00+08:00"]
    rest = {
        ("mark", "add"): [*where, "--type", "start_up", *SPAN, "--reason", "r"],
        ("fact", "qc"): [*where, *at, "--check", "zero_drift", "--values", "v", "--pass"],
        ("fact", "manual"): [*where, *at, "--value", "1", "--unit", "mg/m3", "--laboratory", "L"],
        ("fact", "stop"): ["--outlet", "XS-A-DA001", *SPAN, "--number", "1", "--reason", "r"],
        ("mark", "withdraw"): ["--reason", "r"],
        ("mark", "review"): ["--reason", "r", "--reviewer", "w"],
    }.get(tuple(words[:2]), [])
    code, text = centre.run(*words[:2], *rest, *words[2:])
    assert (code, said in text) == (2, True), text
    assert waiting(centre.state) == []


def test_a_state_directory_that_is_none_is_told(centre):
    centre.state.rmdir()
    code, text = centre.run("mark", "list")
    assert (code, "is not a folder; give the --state of" in text) == (2, True)


def test_a_damaged_journal_is_told(centre):
    centre.mark("2026-03-01T12:00:00", "--type", "maintenance", *SPAN)
    (segment,) = journal_directory(centre.state, "main").glob("journal-*.db")
    segment.write_bytes(b"x" * 4096)
    code, text = centre.run("mark", "list")
    assert (code, "a journal cannot be read" in text) == (1, True)


def test_an_early_review_of_a_mark_in_time_needs_no_approval(centre):
    name = centre.mark("2026-03-01T12:00:00", "--type", "maintenance", *SPAN)
    code, text = centre.run("mark", "review", name, "--approve-late", "--reason", "x", "--reviewer", "wang")
    assert (code, "the mark was in time" in text) == (2, True)
