"""Alerts over HTTP: lists, filters, pages, one with its history; what people do becomes journalled records."""

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from app.operators import spool
from app.portal.paging import cursor_of
from contracts.reasons import Receipt
from contracts.records import decode
from store.state_db import StateDb

from .centre import every

ALERTS = "/api/v1/alerts"


@pytest.fixture(scope="module")
def kept(centre):
    """What state.db has, by id."""
    with StateDb(centre.state_dir / "state.db") as db:
        return {one["id"]: one for one in db.episodes()}


def ids(client, **query):
    return {one["id"] for one in every(client, ALERTS, **query)}


def test_alerts_are_listed_latest_first_with_names_words_and_limits(centre, kept):
    items = every(centre.client("duty"), ALERTS)
    assert {one["id"] for one in items} == set(kept)
    assert len(items) >= 5
    opened = [datetime.fromisoformat(one["opened_at"]) for one in items]
    assert opened == sorted(opened, reverse=True)
    assert all(one["opened_at"].endswith("+08:00") for one in items)
    limited = next(one for one in items if one["limit_id"])
    assert limited["text_zh"].startswith(limited["place_zh"])
    assert (
        float(limited["peak"])
        == kept[limited["id"]]["body"]["peak_scaled"] / 10 ** kept[limited["id"]]["body"]["decimals"]
    )
    assert limited["clause"]


def test_filters_leave_what_they_say(centre, kept):
    client = centre.client("duty")
    resolved = {name for name, one in kept.items() if one["state"] == "resolved"}
    assert ids(client, state="resolved") == resolved == ids(client, open="false")
    assert ids(client, open="true") == set(kept) - resolved
    assert resolved
    assert set(kept) - resolved
    one = next(iter(kept.values()))
    for column in ("rule", "level", "station"):
        its = {name for name, other in kept.items() if other[column] == one[column]}
        assert ids(client, **{column: one[column]}) == its
    xs = {
        name
        for name, other in kept.items()
        if str(other["station"]).startswith("XS-") or other["station"] == "park:xishui"
    }
    assert ids(client, county="520330") == xs
    assert ids(client, enterprise="xs-a") == {n for n in xs if str(kept[n]["station"]).startswith("XS-COAL")}
    middle = sorted(int(other["opened_at"]) for other in kept.values())[len(kept) // 2]
    at = (datetime.fromisoformat("1970-01-01T00:00:00+00:00") + timedelta(microseconds=middle)).isoformat()
    assert ids(client, until=at) == {name for name, other in kept.items() if other["opened_at"] < middle}
    assert ids(client, since=at) == {
        name for name, other in kept.items() if other["resolved_at"] is None or other["resolved_at"] >= middle
    }


def test_what_was_told_to_nobody_is_found(own, kept):
    client = own.client("duty")
    assert ids(client, told_to_nobody=True) == set()
    name = next(iter(sorted(ids(client, open=True))))
    with closing(sqlite3.connect(own.state_dir / "state.db")) as db, db:  # as if no route had taken it
        db.execute("DELETE FROM told WHERE episode = ?", (name,))
        about = (kept[name]["opened_at"], "", name, "fired", "no_route", "")
        columns = "tick, route, episode, transition, why, detail"
        db.execute(f"INSERT INTO held_back ({columns}) VALUES (?, ?, ?, ?, ?, ?)", about)
    assert ids(client, told_to_nobody=True) == {name}
    assert ids(client, told_to_nobody=True, open=False) == set()


@pytest.mark.parametrize("limit", [1, 3, 500])
def test_pages_hold_every_alert_once_and_no_more_than_asked_for(centre, kept, limit):
    client = centre.client("viewer")
    first = client.get(ALERTS, params={"limit": limit}).json()
    assert len(first["items"]) == min(limit, len(kept))
    found = [one["id"] for one in every(client, ALERTS, limit=limit)]
    assert sorted(found) == sorted(kept)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"limit": 501}, "query limit"),
        ({"cursor": "abc"}, "cursor: it is none that a page before gave"),
        ({"cursor": cursor_of(5, "\ud800")}, "cursor: it is none that a page before gave"),  # half a character
        ({"cursor": cursor_of(2**63, "a")}, "cursor: it is none that a page before gave"),
        ({"since": "yesterday"}, "write one like 2026-03-01T08:00:00+08:00"),
        ({"since": "2026-03-01T08:00:00"}, "write one like 2026-03-01T08:00:00+08:00"),
        ({"level": "purple"}, "query level"),
    ],
)
def test_what_is_wrong_with_a_question_is_told_in_words(centre, query, told):
    answer = centre.client("viewer").get(ALERTS, params=query)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


def test_one_alert_has_its_transitions_in_order(centre, kept):
    client = centre.client("viewer")
    name = next(name for name, one in kept.items() if one["state"] == "resolved")
    assert client.get(f"{ALERTS}/{name}").json()["id"] == name
    rows = every(client, f"{ALERTS}/{name}/transitions", limit=1)
    assert rows[0]["transition"] in ("fired", "fired_in_retrospect")
    assert [one["seq"] for one in rows] == sorted(one["seq"] for one in rows)
    assert all(one["alert"] == name and one["text_zh"] for one in rows)


def records(own):
    return [decode(path.read_bytes()) for path in spool.waiting(own.state_dir)]


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("acknowledge", {"reason": "已联系企业"}),
        ("assign", {"to": "li.wei", "reason": "on site"}),
        ("comment", {"text": "the plant is informed"}),
    ],
)
def test_what_people_do_is_a_record_of_theirs_in_the_spool(own, kept, action, body):
    name = next(iter(kept))
    answer = own.client("duty").post(f"{ALERTS}/{name}/{action}", json=body)
    assert answer.status_code == 202, answer.text
    (record,) = records(own)
    assert (record.actor, record.origin, record.action) == ("duty", "api", action)
    assert record.body == {"episode": name, **body}
    assert spool.waiting(own.state_dir)[0].name.endswith(f"{answer.json()['record']}.json")


def test_what_people_did_is_shown_with_the_alert_once_it_is_decided(own, kept):
    name = next(name for name, one in kept.items() if one["state"] == "firing")
    client = own.client("duty")
    assert client.get(f"{ALERTS}/{name}").json()["attention"] is None
    record = client.post(f"{ALERTS}/{name}/acknowledge", json={"reason": "已联系企业"}).json()["record"]
    own.clock.at += timedelta(seconds=1)
    client.post(f"{ALERTS}/{name}/assign", json={"to": "li.wei", "reason": "on site"})
    own.journal_and_decide()
    care = client.get(f"{ALERTS}/{name}").json()["attention"]
    assert (care["acknowledged_by"], care["acknowledge_reason"]) == ("duty", "已联系企业")
    assert (care["assigned_to"], care["assigned_by"]) == ("li.wei", "duty")
    done = every(client, f"{ALERTS}/{name}/actions", limit=1)
    assert [(one["action"], one["actor"], one["origin"]) for one in done] == [
        ("acknowledge", "duty", "api"),
        ("assign", "duty", "api"),
    ]
    assert done[0]["record"] == record
    assert ids(client, acknowledged="true") == {name}
    assert name not in ids(client, acknowledged="false")


def test_who_was_told_is_shown_with_receipts_to_whom_may_see_it(own, kept):
    with StateDb(own.state_dir / "state.db") as db:
        name, told = next((name, rows) for name in kept if (rows := db.telling.told_of(name)))
        about = {"key": told[0]["key"], "channel": told[0]["channel"]}
        db.record_receipt(**about, attempt=1, at_us=2, outcome=Receipt.DELIVERED, detail="204")
    items = own.client("duty").get(f"{ALERTS}/{name}/notifications").json()["items"]
    assert [(one["key"], one["channel"]) for one in items] == [(one["key"], one["channel"]) for one in told]
    assert items[0]["state"] == "delivered"
    assert [(one["outcome"], one["detail"]) for one in items[0]["receipts"]] == [("delivered", "204")]
    assert own.client("enterprise").get(f"{ALERTS}/{name}/notifications").status_code == 403


def test_what_was_held_back_is_shown_with_its_reason(centre, kept):
    with StateDb(centre.state_dir / "state.db") as db:
        name, held = next((name, rows) for name in kept if (rows := db.telling.held_back(name)))
    items = centre.client("duty").get(f"{ALERTS}/{name}/held-back").json()["items"]
    assert [(one["transition"], one["why"]) for one in items] == [(one["transition"], one["why"]) for one in held]


def test_the_same_idempotency_key_is_one_record_and_another_request_with_it_is_refused(own, kept):
    name, other = list(kept)[:2]
    client = own.client("duty")
    key = {"Idempotency-Key": "3f1c"}
    first = client.post(f"{ALERTS}/{name}/acknowledge", json={"reason": "seen"}, headers=key).json()
    own.clock.at += timedelta(seconds=9)
    again = client.post(f"{ALERTS}/{name}/acknowledge", json={"reason": "seen"}, headers=key).json()
    assert again == first
    assert len(records(own)) == 1
    refused = client.post(f"{ALERTS}/{other}/acknowledge", json={"reason": "seen"}, headers=key)
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:greenisland:problem:key-used")
    assert own.client("reviewer").post(f"{ALERTS}/{other}/comment", json={"text": "x"}, headers=key).status_code == 202
    own.clock.at += timedelta(days=1, seconds=1)
    assert client.post(f"{ALERTS}/{other}/acknowledge", json={"reason": "seen"}, headers=key).status_code == 202


def test_a_request_that_was_kept_and_not_spooled_is_spooled_when_it_is_sent_again(own, kept):
    """As after a crash between the two: the very same record, not a second one."""
    name, client = next(iter(kept)), own.client("duty")
    key = {"Idempotency-Key": "crash"}
    first = client.post(f"{ALERTS}/{name}/comment", json={"text": "x"}, headers=key).json()["record"]
    for path in spool.waiting(own.state_dir):
        path.unlink()
    with own.app.state.centre.db.transaction() as connection:
        connection.execute("UPDATE requests SET is_put = 0")
    assert client.post(f"{ALERTS}/{name}/comment", json={"text": "x"}, headers=key).json()["record"] == first
    assert len(records(own)) == 1


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 501}, {"reason": "x", "more": 1}]
)
def test_an_action_without_words_is_refused(own, kept, body):
    assert own.client("duty").post(f"{ALERTS}/{next(iter(kept))}/acknowledge", json=body).status_code == 422
    assert records(own) == []


def test_an_enterprise_may_comment_on_its_own_alert_and_not_acknowledge_it(own, kept):
    name = next(name for name, one in kept.items() if str(one["station"]).startswith("XS-COAL"))
    client = own.client("enterprise")
    assert client.post(f"{ALERTS}/{name}/comment", json={"text": "设备检修"}).status_code == 202
    assert client.post(f"{ALERTS}/{name}/acknowledge", json={"reason": "x"}).status_code == 403
    assert client.post("/api/v1/silences", json={}).status_code == 403


def test_a_body_beyond_the_bound_is_refused_before_it_is_read(own, kept):
    name = next(iter(kept))
    large = b'{"text": "' + b"x" * (4 * 1024 * 1024) + b'"}'

    async def in_pieces():
        for at in range(0, len(large), 65_536):
            yield large[at : at + 65_536]

    for content in (large, in_pieces()):
        answer = own.client("duty").post(f"{ALERTS}/{name}/comment", content=content)
        assert (answer.status_code, answer.json()["title"]) == (413, "Too large")


def test_browsers_are_told_to_be_careful(centre):
    headers = centre.client("viewer").get(ALERTS).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"
    secure = centre.client("viewer", base_url="https://portal.test").get(ALERTS).headers
    assert "Strict-Transport-Security" in secure
    assert "Strict-Transport-Security" not in headers


def test_errors_of_the_framework_are_problem_details_too(centre):
    client = centre.client("viewer")
    for method, path, status in (("GET", "/api/v1/nothing", 404), ("PUT", ALERTS, 405), ("GET", "/", 404)):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["detail"]
