"""Notifications in words: what a title and a short message say, and how many alerts a body holds."""

import re

import pytest

from app.texts.told import RECORDS_MAX, ToldTexts
from contracts.channels import Alertmanager
from contracts.reasons import Telling
from notify.cases.follow import follow
from notify.cases.state import CasesState
from notify.telling.plan import compile_telling
from notify.telling.planned import Item, Planned
from tests.telling_site import START, act, change, minutes, told_site

ROUTING = {"routes": [{"route": "all", "channels": ["hook"], "escalate": [{"after": "30m", "channels": ["hook"]}]}]}


def told(kind, n=1, said="fired", alertmanager=False, **about):
    base = told_site(ROUTING)
    if alertmanager:
        channels = (Alertmanager(name="hook", url="http://127.0.0.1:9"),)
        base = base.model_copy(update={"file": base.file.model_copy(update={"channels": channels})})
    rows = [change(said, START, f"S{at % 4 + 1}", rule=f"r{at}", **about) for at in range(n)]
    items = tuple(Item(row["episode"], said, START) for row in rows)
    planned = Planned("k", "hook", START, kind, "all", 1, "zh", (), items)
    return ToldTexts(base, compile_telling(base)).notification(planned).body


def test_a_title_says_what_happened_where_and_to_what():
    assert told(Telling.CHANGE)["title"] == "【橙】发生:E1排口S1 二氧化硫"
    assert told(Telling.CHANGE, said="resolved")["title"] == "【橙】恢复:E1排口S1 二氧化硫"


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        (Telling.CHANGE, "发生(橙"),
        (Telling.FLAPPING, "发生(橙"),
        (Telling.GROUP, "(橙)3 条告警有变化(发生 3): 发生(橙"),
        (Telling.REPEAT, "(橙)第 1 次提醒,3 条告警尚未确认: 发生(橙"),
        (Telling.ESCALATION, "(橙)通知后30分钟无人确认,升级至第 1 级,共 3 条: 发生(橙"),
        (Telling.MISSED, "(橙)静默期间发生并已结束的告警 3 条: 发生(橙"),
        (Telling.STORM, "(橙)规则 r0 短时间内有 3 条告警(发生 3),涉及 3 个站点:E1排口S1"),
    ],
)
def test_a_short_message_begins_with_why_people_are_told_and_how_serious_it_is(kind, begins):
    short = told(kind, 1 if kind in (Telling.CHANGE, Telling.FLAPPING) else 3)["short"]
    assert short.replace(":发生", ": 发生").startswith(begins)
    assert "\n" not in short


@pytest.mark.parametrize(
    ("alertmanager", "kind", "held"),
    [
        (False, Telling.STORM, RECORDS_MAX),
        (True, Telling.STORM, RECORDS_MAX + 5),
        (True, Telling.REPEAT, RECORDS_MAX),
    ],
)
def test_alertmanager_is_told_of_every_alert_and_others_of_as_many_as_anybody_reads(alertmanager, kind, held):
    body = told(kind, RECORDS_MAX + 5, alertmanager=alertmanager)
    assert (len(body["alerts"]), body["count"]) == (held, RECORDS_MAX + 5)


def of_cases(event, n=1, language="zh"):
    """A notification about cases of plants side by side, a reply due after six hours."""
    terms = {"case": "beyond", "match": {"kind": ["limit"]}, "channels": ["hook"], "per": "station", "wait": "0s"}
    base = told_site({**ROUTING, "cases": [{**terms, "reply_within": "6h", "tells": [event], "language": language}]})
    plan = compile_telling(base)
    rows = [change("fired", START, f"S{at + 1}") for at in range(n)]
    state = CasesState()
    opened = follow(plan, state, rows, [], START)
    names = [row.record["id"] for row in opened.rows]
    deeds = [act("close_case", START + minutes(1), case=one, conclusion="remedied", reason="seen") for one in names]
    after = follow(plan, state, [], deeds if event == "closed" else [], START + minutes(400))
    (planned,) = [*opened.planned, *after.planned]
    return ToldTexts(base, plan).of_cases(planned).body


@pytest.mark.parametrize(
    ("event", "n", "language", "short"),
    [
        ("opened", 1, "zh", "督办生成(橙)E1排口S1,反馈时限 09-25 02:00"),
        ("opened", 3, "zh", "督办生成(橙)E1排口S1等 3 件,反馈时限 09-25 02:00"),
        ("reply_overdue", 1, "zh", "督办反馈逾期(橙)E1排口S1,反馈时限 09-25 02:00"),
        ("closed", 1, "zh", "督办办结(橙)E1排口S1"),
        ("opened", 1, "en", "case opened (orange) E1 outlet S1, reply due 09-25 02:00"),
    ],
)
def test_a_short_message_of_a_case_says_what_happened_where_and_by_when_what_is_due(event, n, language, short):
    body = of_cases(event, n, language)
    if n == 1:
        assert body["short"] == short
        assert body["case"]["state"] == ("closed" if event == "closed" else "awaiting_reply")
    else:  # which of equals comes first is a matter of names
        assert re.sub("E[12]排口S[123]", "E1排口S1", body["short"]) == short
        assert (body["case"], len(body["cases"])) == (None, 3)
    assert len(body["short"]) <= 70
    assert (body["kind"], body["alert"], body["transition"]) == ("case", None, event)
