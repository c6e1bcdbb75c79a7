"""Notifications in words: what a title and a short message say, and how many alerts a body holds."""

import pytest

from app.texts.told import RECORDS_MAX, ToldTexts
from contracts.channels import Alertmanager
from contracts.reasons import Telling
from notify.telling.plan import compile_telling
from notify.telling.planned import Item, Planned
from tests.telling_site import START, change, told_site

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
