"""Alerts derived again whatever became of them: late data, facts said long before or after, several windows together,
another site meanwhile. Each comes out equal."""

import json
import shutil
from datetime import timedelta

import pytest

from app.explain.of_alert import explain_alert
from app.service.collector import journal_directory
from app.site.record import activation, keep, site_content
from contracts.facts import fact_name
from store.alert_reads import reading
from store.journal import Journal
from store.raw_files import REMOVED, raw_directory
from tests.builders import START, minutes
from tests.said import said

from .evidence import decide, site_at
from .test_engine import clock_row, message, payload
from .test_reload import CHANGED, END, SITE, TURN, Centre

HOURS = 7 * 24
POINTS = """station,factor,unit,kind,period_s,interval_s
S1,a21026,mg/m3,avg,3600,3600
S1,a21002,mg/m3,avg,3600,3600
"""
LIMITS = """limit_id,outlet,factor,period,limit,unit,basis,standard,status
L1,O1,a21026,hour,50,mg/m3,permit,permit,verified
L2,O1,a21002,hour,50,mg/m3,permit,permit,verified
"""
RULES = """version: 1
rules:
  - {id: hour, kind: limit, select: {factor: [a21026]}, period: hour, levels: {orange: 1.0, red: 2.0}}
  - {id: day_long, kind: limit, select: {factor: [a21002]}, period: hour, rolling: 24, levels: {orange: 1.0, red: 1.9}}
  - id: often
    kind: occurrences
    select: {factor: [a21002]}
    period: hour
    above: 50
    days: 3
    more_than: 30
    level: red
"""
HIGH = {20, 21, 80, 90, 100, 109, 110, 111, 112, 120, *range(30, 70)}
# (hour of the value, value, hour in which it comes): after others of its time
LATE = [(12, 70.0, 33), (21, 60.0, 26), (81, 60.0, 82.3), (90, 10.0, 95)]
LATER = {"fired_in_retrospect", "amended", "reopened", "withdrawn"}
NOT_YET = {12, 21}  # nothing else came of these


def hour(n: float):
    return START + timedelta(hours=n)


def rows():
    """(received_at, row), ten minutes after each hour its values, and now and then what people say."""
    made = []
    for n in range(HOURS):
        values = {"a21002": 100.0 if 40 <= n < 80 else 10.0}
        if n not in NOT_YET:
            values["a21026"] = 120.0 if n == 31 else 60.0 if n in HIGH else 10.0
        made.append((hour(n + 1.1), message(payload(hour(n), values, period_s=3600))))
        made += [(hour(n + 1.1 + step), clock_row(hour(n + 1.1 + step))) for step in (0.05, 0.5)]
    made += [(hour(at), message(payload(hour(n), {"a21026": value}, period_s=3600))) for n, value, at in LATE]
    planned = mark(1.15, 110, 113)
    late = mark(160.15, 120, 121)
    made += [(hour(1.15), planned), (hour(103.15), mark(103.15, 100, 101)), (hour(160.15), late)]
    about = fact_name(late.payload)
    approved = said(hour(165.15), "review", by="chen", about=about, decision="approve_late", reason="checked")
    return sorted([*made, (hour(165.15), approved)], key=lambda row: row[0])


def mark(at: float, from_n: int, to_n: int):
    between = {"from_at": hour(from_n).isoformat(), "to_at": hour(to_n).isoformat()}
    return said(hour(at), "mark", station="S1", factor="a21026", type="calibration", reason="span", **between)


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("again")
    site_dir = site_at(folder / "site", points=POINTS, limits=LIMITS, own=RULES)
    digest = keep(site_content(site_dir, ()), folder / "state")
    with Journal(journal_directory(folder / "state", "main")) as journal:
        began_at = hour(0) - minutes(1)
        journal.append([*activation(digest, None, "chen", "cli", began_at), clock_row(began_at)], began_at)
        for at, row in rows():
            journal.append([row], at)
    decide(folder / "state", site_dir, rows=2_000)
    return folder / "state"


def history(state_dir):
    """Of every alert there is or was: its name, what happened to it, and its record."""
    with reading(state_dir) as db:
        names = dict.fromkeys(row["episode"] for row in db.transitions_after(0, 10_000))
        return [
            (name, [row["transition"] for row in db.transitions_of(name, 0, 100)], db.episode(name)) for name in names
        ]


def test_whatever_became_of_an_alert_all_of_it_is_derived_again_and_equal(state_dir):
    happened = set()
    for name, transitions, alert in history(state_dir):
        found = explain_alert(state_dir, name, compare=True)
        assert found.differences == [], (alert["rule"], alert["opened_at"])
        assert found.compared[1] == f"{len(transitions)} transitions"  # none is left out
        assert found.window.steps
        happened |= {(alert["rule"], one) for one in transitions}
    assert {one for _, one in happened} >= LATER
    assert {("day_long", "resolved"), ("often", "resolved"), ("hour", "data_lost")} <= happened


def test_what_was_approved_days_later_is_among_the_revisions(state_dir):
    name = next(name for name, _, alert in history(state_dir) if alert["opened_at"] == hour(120).isoformat())
    (step,) = [one for one in explain_alert(state_dir, name).window.steps if one.title == "Revisions"]
    assert any(line.startswith("revision 2 at 2026-03-08 05:") for line in step.lines)  # hour 165, in civil time


def test_an_alert_that_another_site_ended_is_derived_by_each_for_its_time(tmp_path):
    centre = Centre(tmp_path)
    centre.collect(0, TURN)
    centre.write(CHANGED)
    centre.collect(TURN, END)
    centre.write(SITE)
    centre.decide()
    centre.write(CHANGED)
    ended = [row for row in history(centre.state_dir) if "superseded" in row[1]]
    assert len(ended) == 1
    for name, transitions, alert in history(centre.state_dir):
        if alert["factor"] == "a21002":  # the one that ended, and the one that began then
            found = explain_alert(centre.state_dir, name, compare=True)
            assert (found.differences, found.compared[1]) == ([], f"{len(transitions)} transitions")
    explained = explain_alert(centre.state_dir, ended[0][0])
    assert any(f"site {centre.sha256[:12]} was activated" in note for note in explained.found.notes)
    assert explained.window.facts["verdicts"][0]["limit"] == "50"  # of then


def test_what_can_no_longer_be_derived_is_not_said_to_differ(state_dir, tmp_path):
    copy = shutil.copytree(state_dir, tmp_path / "state")
    raw = raw_directory(journal_directory(copy, "main"))
    raw.mkdir(parents=True, exist_ok=True)
    chain = {"chain": "00" * 32, "seq": 1}
    told = {"number": 1, "last": hour(2).isoformat(), "previous": {"received_us": 0, **chain}, **chain}
    (raw / REMOVED).write_text(json.dumps(told) + "\n")
    found = explain_alert(copy, history(copy)[0][0], compare=True)
    assert found.compared == []
    assert "were removed after their time" in found.differences[0]
