"""Marks over HTTP: an enterprise marks its own data, the centre reviews; each is a record, and has its effect."""

from datetime import timedelta

from app.operators import spool
from app.service.collector import journal_directory
from contracts.instants import epoch_us
from contracts.records import decode
from store.seal import seal_segments

MARKS = "/api/v1/marks"
STATION = "XS-COAL-1"


def kinds(own, person="enterprise"):
    return own.client(person).get(f"{MARKS}/types", params={"station": STATION}).json()["items"]


def new_mark(own, **more):
    at = own.clock.at
    about = {"station": STATION, "type": kinds(own)[0]["type"], "reason": "CEMS 校准"}
    return about | {"from_at": (at - timedelta(hours=1)).isoformat(), "to_at": at.isoformat()} | more


def make(own, person="enterprise", **more):
    return own.client(person).post(MARKS, json=new_mark(own, **more))


def test_a_mark_is_made_journalled_shown_reviewed_and_has_its_steps(own):
    made = make(own)
    assert made.status_code == 202, made.text
    assert any("in time until" in line for line in made.json()["lines"])
    waiting = own.client("reviewer").get(MARKS).json()
    assert (waiting["items"], waiting["notes"]) == ([], ["1 records wait to be journalled"])
    own.journal()
    (mark,) = own.client("reviewer").get(MARKS).json()["items"]
    assert (mark["fact"], mark["actor"], mark["state"]) == (made.json()["record"], "enterprise", "submitted")
    own_review = own.client("enterprise").post(
        f"{MARKS}/{mark['fact']}/review", json={"decision": "accept", "reason": "x"}
    )
    assert own_review.status_code == 403
    answer = own.client("reviewer").post(
        f"{MARKS}/{mark['fact']}/review", json={"decision": "accept", "reason": "属实"}
    )
    assert answer.status_code == 202, answer.text
    own.journal()
    told = own.client("enterprise").get(f"{MARKS}/{mark['fact']}").json()
    assert told["state"] == "accepted"
    assert [(one["outcome"], one["actor"]) for one in told["steps"]] == [("accepted", "reviewer")]
    late = own.client("enterprise").post(f"{MARKS}/{mark['fact']}/withdraw", json={"reason": "x"})
    assert (late.status_code, "accepted" in late.json()["detail"]) == (409, True)


def test_a_mark_is_taken_back_before_its_review(own):
    make(own)
    own.journal()
    (mark,) = own.client("enterprise").get(MARKS).json()["items"]
    assert own.client("enterprise").post(f"{MARKS}/{mark['fact']}/withdraw", json={"reason": "误标"}).status_code == 202
    own.journal()
    assert own.client("enterprise").get(f"{MARKS}/{mark['fact']}").json()["state"] == "withdrawn"
    refused = own.client("reviewer").post(f"{MARKS}/{mark['fact']}/review", json={"decision": "accept", "reason": "x"})
    assert refused.status_code == 409


def test_a_review_that_does_not_fit_the_deadline_is_refused(own):
    make(own)
    own.journal()
    (mark,) = own.client("reviewer").get(MARKS).json()["items"]
    review = f"{MARKS}/{mark['fact']}/review"
    answer = own.client("reviewer").post(review, json={"decision": "approve_late", "reason": "x"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "the mark was in time: accept or return it")


def test_nobody_marks_or_sees_marks_of_others(own):
    assert make(own, station="XS-CEMENT-1").status_code == 404
    assert make(own, "maintenance").status_code == 202
    own.journal()
    (mark,) = own.client("maintenance").get(MARKS).json()["items"]
    assert own.client("enforcement").get(MARKS).json()["items"] == []
    assert own.client("enforcement").get(f"{MARKS}/{mark['fact']}").status_code == 404


def test_what_is_no_mark_is_refused_in_words_and_nothing_is_spooled(own):
    wrong = [
        ({"type": "holiday"}, "is no type of mark at XS-COAL-1; one of"),
        ({"factor": "w01018"}, "is not measured at XS-COAL-1; one of"),
        ({"to_at": "2026-02-01T00:00:00Z"}, "is not after from_at"),
        ({"reason": " "}, "reason"),
    ]
    for change, told in wrong:
        answer = make(own, **change)
        assert (answer.status_code, told in answer.json()["detail"]) == (422, True), answer.text
    assert spool.waiting(own.state_dir) == []


def test_maintenance_enters_a_check_of_an_analyser(own):
    check = {"station": STATION, "factor": "a21026", "check": "zero_drift", "at": own.clock.at.isoformat()}
    body = {**check, "passed": False, "values": "zero 3.1 %, allowed 2 %"}
    assert own.client("maintenance").post("/api/v1/checks", json=body).status_code == 202
    (record,) = [decode(path.read_bytes()) for path in spool.waiting(own.state_dir)]
    assert (record.action, record.body["passed"]) == ("qc", "false")
    assert own.client("enterprise").post("/api/v1/checks", json=body).status_code == 403


def test_the_journals_are_read_again_when_somebody_said_something_and_otherwise_not(own):
    facts = own.app.state.centre.facts

    last, _ = facts.marks()

    def read(seconds):
        """How many marks there are, and whether they are those of the last reading."""
        nonlocal last
        own.clock.at += timedelta(seconds=seconds)
        before, (last, _) = last, facts.marks()
        return len(last), last is before

    assert [read(seconds) for seconds in (1, 60, 3600)] == [(0, True)] * 3
    own.journal()  # clock rows alone
    assert read(10) == (0, True)
    make(own)
    own.journal()
    assert read(10) == (1, False)
    own.clock.at += timedelta(days=2)
    make(own)
    own.journal()
    own.clock.at += timedelta(days=2)
    own.journal()  # the segment before this one is closed
    seal_segments(journal_directory(own.state_dir, "main"), epoch_us(own.clock.at))
    assert read(10) == (2, False)
    assert read(10) == (2, True)
