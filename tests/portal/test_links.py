"""Signed links: one person, one alert, once, until it ends; whatever is changed in them is refused in words."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from app.operators import spool
from app.portal.links import acknowledge_link, read_key
from contracts.records import decode
from store.portal_db import PortalDb
from store.state_db import StateDb

from .centre import KEY


@pytest.fixture
def alert(own):
    with StateDb(own.state_dir / "state.db") as db:
        return next(one["id"] for one in db.episodes() if str(one["station"]).startswith("XS-COAL"))


def link_to(own, alert, person="duty", hours=4, key=KEY):
    made = acknowledge_link("https://portal.example.cn/", key, alert, person, own.clock.at + timedelta(hours=hours))
    assert made.startswith("https://portal.example.cn/link/acknowledge?")
    return made.removeprefix("https://portal.example.cn")


def press(own, link, **more):
    """What the page's button sends."""
    fields = dict(parse_qsl(urlsplit(link).query)) | more
    return own.client().post("/link/acknowledge", data=fields)


def records(own):
    return [decode(path.read_bytes()) for path in spool.waiting(own.state_dir)]


def test_opening_a_link_shows_the_alert_and_changes_nothing(own, alert):
    for _ in range(3):  # scanners of mail follow links
        page = own.client().get(link_to(own, alert))
        assert page.status_code == 200
        assert "习水甲电厂" in page.text
        assert "<p>duty</p>" in page.text
        assert '<form method="post"' in page.text
    assert records(own) == []
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"


def test_the_button_acknowledges_once_as_the_person_the_link_was_sent_to(own, alert):
    link = link_to(own, alert)
    done = press(own, link, reason="已通知企业")
    assert done.status_code == 202
    assert "duty 确认了该告警" in done.text
    (record,) = records(own)
    assert (record.actor, record.origin, record.action) == ("duty", "link", "acknowledge")
    assert record.body["episode"] == alert
    assert record.body["reason"].startswith("已通知企业")
    for again in (press(own, link), own.client().get(link)):
        assert again.status_code == 410
        assert "不能再次使用" in again.text
    assert len(records(own)) == 1


@pytest.mark.parametrize("part", ["alert", "person", "until", "sig"])
def test_a_link_that_was_changed_anywhere_is_refused(own, alert, part):
    path, _, query = link_to(own, alert).partition("?")
    fields = dict(parse_qsl(query))
    changed = {"alert": "f" * 20, "person": "somebody else", "until": str(int(fields["until"]) + 1), "sig": "0" * 64}
    forged = f"{path}?{urlencode(fields | {part: changed[part]})}"
    for answer in (own.client().get(forged), press(own, forged)):
        assert answer.status_code == 403
        assert "不符" in answer.text
    assert records(own) == []


@pytest.mark.parametrize("until", ["", "-1", "9" * 40, "１２３", "1e9", "soon"])
def test_an_instant_that_is_none_is_refused_as_forged(own, alert, until):
    assert press(own, link_to(own, alert), until=until).status_code == 403


def test_a_link_signed_with_another_key_is_refused(own, alert):
    assert press(own, link_to(own, alert, key=b"x" * 32)).status_code == 403


def test_parts_cannot_be_moved_from_one_field_to_the_next(own, alert):
    link = link_to(own, alert, person="ab")
    fields = dict(parse_qsl(urlsplit(link).query))
    assert press(own, link, alert=fields["alert"] + "a", person="b").status_code == 403


def test_a_link_ends(own, alert):
    link = link_to(own, alert, hours=4)
    own.clock.at += timedelta(hours=4)
    for answer in (own.client().get(link), press(own, link)):
        assert answer.status_code == 410
        assert "已过期" in answer.text
    assert records(own) == []


def test_a_link_to_an_alert_there_is_not_is_refused(own):
    assert press(own, link_to(own, "f" * 20)).status_code == 404


@pytest.mark.parametrize("person", ["enterprise", "viewer", "duty", "nobody"])
def test_a_link_does_no_more_than_the_persons_account_and_nothing_without_one(own, alert, person):
    if person == "duty":
        with PortalDb(own.state_dir / "portal.db") as db:
            db.set_enabled("duty", False, 1, "test")
    link = link_to(own, alert, person=person)
    for answer in (own.client().get(link), press(own, link)):
        assert answer.status_code == 403
        assert "没有此账户,或此账户已停用或不能确认该告警" in answer.text
    assert records(own) == []
    assert press(own, link_to(own, alert, person="duty-xs")).status_code == 202


def test_a_link_whose_record_cannot_be_spooled_can_be_used_again(own, alert):
    link = link_to(own, alert)
    (own.state_dir / "operator").write_text("in the way")
    assert press(own, link).status_code == 503
    (own.state_dir / "operator").unlink()
    assert press(own, link).status_code == 202


def test_what_a_person_is_called_is_shown_as_text(own, alert):
    name = "<script>alert(1)</script>"
    with PortalDb(own.state_dir / "portal.db") as db:
        db.add_user(replace(db.user("duty"), name=name), "no password", "test")
    page = own.client().get(link_to(own, alert, person=name))
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


def test_without_a_key_there_are_no_links(own, alert):
    own.app.state.centre.link_key = None
    assert own.client().get(link_to(own, alert)).status_code == 404


def test_a_key_that_is_too_short_is_refused_in_words(tmp_path):
    (tmp_path / "key").write_text("short")
    with pytest.raises(ValueError, match="openssl rand -hex 32"):
        read_key(tmp_path / "key")
    (tmp_path / "key").write_text("k" * 32 + "\n")
    assert read_key(tmp_path / "key") == KEY
