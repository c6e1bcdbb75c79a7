"""Cases (督办) over HTTP: seen by scope, opened by hand, replied to by the enterprise, closed by who may."""

from datetime import timedelta

import pytest

from contracts.reasons import Conclusion

from .centre import every

CASES = "/api/v1/cases"


def one_of(centre, **query):
    """The case that the example site's aluminium works have by then."""
    (found,) = every(centre.client("reviewer"), CASES, **query)
    assert found["enterprise"] == "bz-a"
    return found


@pytest.fixture
def mine(own):
    """The name of a case of the enterprise's own, opened by hand about an early warning."""
    (alert,) = every(own.client("duty"), "/api/v1/alerts", station="XS-COAL-2")
    body = {"alert": alert["id"], "terms": "exceedance", "reason": "本月第三次"}
    wrong = own.client("duty").post(CASES, json=body | {"terms": "exceedence"})
    assert (wrong.status_code, "none of `cases`" in wrong.json()["detail"]) == (422, True)
    assert own.client("duty").post(CASES, json=body).status_code == 202
    own.journal_and_decide()
    (case,) = every(own.client("enterprise"), CASES)
    again = own.client("duty").post(CASES, json=body)
    assert (again.status_code, case["id"][:8] in again.json()["detail"]) == (409, True)
    return case["id"]


def do(own, person, name, deed, **body):
    return own.client(person).post(f"{CASES}/{name}/{deed}", json=body)


def events(own, name, person="reviewer"):
    return every(own.client(person), f"{CASES}/{name}/events")


def alert_of(centre, row):
    return centre.client("reviewer").get(f"/api/v1/alerts/{row['alert']}").json()


def test_an_exceedance_has_opened_a_case_that_says_what_is_due_and_by_which_alert(centre):
    case = one_of(centre)
    client = centre.client("reviewer")
    assert client.get(f"{CASES}/{case['id']}").json() == case
    assert (case["terms"], case["state"], case["is_overdue"]) == ("exceedance", "awaiting_reply", False)
    assert case["place_zh"]
    (first, *_) = events(centre, case["id"])
    assert (first["event"], first["actor"]) == ("opened", "")
    assert case["place_zh"] in first["text_zh"]
    assert "反馈时限" in first["text_zh"]
    assert "追溯" not in first["text_zh"]  # the alert as it stood when it opened the case, not as it ended
    assert not alert_of(centre, first)["is_open"]
    alerts = every(client, f"{CASES}/{case['id']}/alerts")
    assert len(alerts) == case["alerts"] == 2
    assert alerts[0]["id"] == first["alert"]


def test_each_sees_the_cases_of_their_scope_and_no_others(own, mine):
    everything = {row["id"] for row in every(own.client("duty"), CASES)}
    (other,) = everything - {mine}
    assert [row["id"] for row in every(own.client("duty-xs"), CASES)] == [mine]
    assert every(own.client("maintenance"), CASES) == every(own.client("enforcement"), CASES) == []
    for path in ("", "/events", "/alerts"):
        assert own.client("enterprise").get(f"{CASES}/{other}{path}").status_code == 404
    assert do(own, "enterprise", other, "reply", text="?").status_code == 404
    assert do(own, "enforcement", mine, "close", conclusion="remedied", reason="?").status_code == 404


def test_filters_and_pages_hold_every_case_once(own, mine):
    client = own.client("viewer")
    everything = every(client, CASES)
    assert next(row["id"] for row in everything) == mine  # the latest opened first
    assert len(everything) == 2
    assert every(client, CASES, limit=1) == everything
    assert every(client, CASES, open=True, state=["awaiting_reply", "closed"]) == everything
    assert every(client, CASES, open=False) == every(client, CASES, overdue=True) == []
    assert [row["level"] for row in every(client, CASES, terms="exceedance", level="orange")] == ["orange"]
    assert [row["id"] for row in every(client, CASES, station="XS-COAL-2")] == [mine]
    assert [row["enterprise"] for row in every(client, CASES, enterprise="bz-a")] == ["bz-a"]


def test_a_case_goes_from_the_reply_over_its_return_to_its_closing_and_is_reopened(own, mine):
    name = mine
    assert do(own, "reviewer", name, "return", reason="?").status_code == 409  # there is no reply
    assert do(own, "enterprise", name, "reply", text="已更换滤袋").status_code == 202
    own.journal_and_decide()
    assert own.client("enterprise").get(f"{CASES}/{name}").json()["state"] == "replied"
    assert do(own, "reviewer", name, "return", reason="请说明位置").status_code == 202
    assert do(own, "duty", name, "note", text="已电话联系").status_code == 202
    own.journal_and_decide()
    assert do(own, "enterprise", name, "reply", text="3 号滤袋").status_code == 202
    own.journal_and_decide()
    assert do(own, "reviewer", name, "close", conclusion="remedied", reason="已现场核实").status_code == 202
    own.journal_and_decide()
    case = own.client("viewer").get(f"{CASES}/{name}").json()
    assert (case["state"], case["conclusion"]) == ("closed", "remedied")
    assert [(one["event"], one["actor"]) for one in events(own, name) if one["actor"]] == [
        *(("opened", "duty"), ("replied", "enterprise"), ("returned", "reviewer"), ("noted", "duty")),
        *(("replied", "enterprise"), ("closed", "reviewer")),
    ]
    for deed, body in (
        ("reply", {"text": "补充"}),
        ("close", {"conclusion": "remedied", "reason": "再次"}),
        ("return", {"reason": "?"}),
    ):
        person = "enterprise" if deed == "reply" else "reviewer"
        refused = do(own, person, name, deed, **body)
        assert (refused.status_code, "reopen it first" in refused.json()["detail"]) == (409, True)
    assert do(own, "reviewer", name, "reopen", reason="再次出现").status_code == 202
    own.journal_and_decide()
    case = own.client("viewer").get(f"{CASES}/{name}").json()
    assert (case["state"], case["conclusion"], case["replied_at"]) == ("awaiting_reply", None, None)


def test_what_is_overdue_is_found_by_the_sites_clock_until_a_reply_comes(own, mine):
    own.journal_and_decide(int(timedelta(hours=6).total_seconds()))
    assert {row["id"] for row in every(own.client("duty"), CASES, overdue=True)} >= {mine}
    assert own.client("enterprise").get(f"{CASES}/{mine}").json()["is_overdue"]
    (row,) = [one for one in events(own, mine, "enterprise") if one["event"] == "reply_overdue"]
    assert "尚未收到反馈" in row["text_zh"]
    assert do(own, "enterprise", mine, "reply", text="迟到").status_code == 202
    own.journal_and_decide()
    assert every(own.client("enterprise"), CASES, overdue=True) == []


@pytest.mark.parametrize(
    ("deed", "body"),
    [("close", {"conclusion": "fine", "reason": "x"}), ("close", {"reason": "x"}), ("note", {"text": " "})],
)
def test_what_a_deed_must_say_is_said_where_it_does_not(centre, deed, body):
    refused = do(centre, "reviewer", one_of(centre)["id"], deed, **body)
    assert refused.status_code == 422
    if body.get("conclusion"):
        assert all(one in refused.text for one in Conclusion)
