"""`greenisland case` on a state directory: what is entered goes through spool, journal and engine, and shows."""

import json

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.health.status import status_of
from tests.builders import START

from .evidence import SITE, site_at
from .test_alert_commands import decide, journal_of, taken

TERMS = """cases:
  - {case: beyond, match: {level: [orange, red]}, channels: [duty], wait: 0s, close_within: 10m}
  - {case: warnings, match: {level: [yellow]}, per: station, channels: [duty]}
"""
runner = CliRunner()


@pytest.fixture
def centre(tmp_path):
    """A site's directory, and a state directory in which a case is open."""
    routes = SITE["routes.yaml"].split("cases:")[0] + TERMS
    site_dir, state = site_at(tmp_path / "site", routes=routes), tmp_path / "state"
    journal_of(state)
    decide(site_dir, state)
    return site_dir, state


def run(*words, code=0):
    done = runner.invoke(app, ["case", *map(str, words)], env={"COLUMNS": "80"})
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())  # errors come in a box, broken at its edge


def listed(centre, *words):
    site_dir, state = centre
    return json.loads(run("list", "--state", state, "--site", site_dir, "--json", *words))


def do(centre, deed, name, *words, code=0):
    return run(deed, name, "--state", centre[1], "--wait", "0s", *words, code=code)


def test_a_case_is_listed_with_what_is_due_shown_with_its_history_and_closed_by_a_person(centre):
    site_dir, state = centre
    (row,) = listed(centre)
    name = row["id"][:6]
    shown = run("list", "--state", state, "--site", site_dir)
    assert f"{row['id'][:8]} orange open to be closed by 03-01 08:1" in shown
    assert "beyond, 1 alert 1 cases" in shown
    do(centre, "reply", name, "--text", "bag changed", "--by", "plant")
    taken(site_dir, state, 10)
    do(centre, "return", name, "--reason", "which bag?", "--by", "chen")
    do(centre, "note", name, "--text", "called", "--by", "chen")
    taken(site_dir, state, 15)
    assert [one["id"] for one in listed(centre, "--overdue")] == [row["id"]]
    assert "(overdue)" in run("list", "--state", state, "--site", site_dir)
    assert status_of(state, START).decided.open_cases == {"open": 1, "overdue": 1}
    told = do(centre, "close", name, "--conclusion", "remedied", "--reason", "seen on site", "--by", "chen")
    assert "1 alert of it still open, and told of as ever" in told
    taken(site_dir, state, 20)
    assert listed(centre) == []
    assert [one["conclusion"] for one in listed(centre, "--all")] == ["remedied"]
    shown = run("show", name, "--state", state, "--site", site_dir)
    for said in (
        "已反馈:bag changed (plant)",
        "反馈被退回:which bag?",
        "备注:called",
        "尚未办结",
        "已整改;seen on site",
    ):
        assert said in shown
    history = json.loads(run("show", name, "--state", state, "--site", site_dir, "--json"))
    events = ["opened", "replied", "noted", "returned", "close_overdue", "closed"]
    assert sorted(one["event"] for one in history["events"]) == sorted(events)
    assert len(history["alerts"]) == 1
    do(centre, "reopen", name, "--reason", "the same again")
    taken(site_dir, state, 25)
    assert [one["state"] for one in listed(centre)] == ["open"]


def test_what_does_not_fit_is_refused_in_words_before_anything_is_written(centre):
    site_dir, state = centre
    (row,) = listed(centre)
    name = row["id"][:6]
    assert "there is no reply that could be returned" in do(centre, "return", name, "--reason", "x", code=2)
    assert "the case is not closed" in do(centre, "reopen", name, "--reason", "x", code=2)
    wrong = do(centre, "close", name, "--conclusion", "remedy", "--reason", "x", code=2)
    assert "'remedy' is no conclusion; did you mean 'remedied'?" in wrong.replace("│ ", "")
    assert "no case is named beef" in do(centre, "note", "beef", "--text", "x", code=2)
    assert "give at least 4 characters" in do(centre, "note", "be", "--text", "x", code=2)
    alert = json.loads(run("show", name, "--state", state, "--site", site_dir, "--json"))["alerts"][0]["id"]
    opening = ("open", alert, "--state", state, "--site", site_dir, "--reason", "x", "--wait", "0s")
    assert f"the alert belongs to the case {row['id'][:8]}" in run(*opening, "--terms", "beyond", code=2)
    assert "none of this site's terms" in run(*opening, "--terms", "beyont", code=2)
    assert not list((state / "operator").glob("*.json"))


def test_a_case_is_opened_by_hand_on_other_terms_once_the_first_is_closed(centre):
    site_dir, state = centre
    (row,) = listed(centre)
    do(centre, "close", row["id"], "--conclusion", "not_confirmed", "--reason", "a wrong span gas")
    taken(site_dir, state, 10)
    alert = json.loads(run("show", row["id"], "--state", state, "--site", site_dir, "--json"))["alerts"][0]["id"]
    opening = ("open", alert[:6], "--terms", "warnings", "--reason", "third time", "--by", "chen", "--wait", "0s")
    run(*opening, "--state", state, "--site", site_dir)
    taken(site_dir, state, 15)
    (found,) = listed(centre)
    assert (found["terms"], found["place"], found["opened_by"]) == ("warnings", "station=S1", "chen")
    assert "at its place" not in do(centre, "note", found["id"], "--text", "x")
    refused = do(centre, "reopen", row["id"], "--reason", "x", code=2)
    assert f"the alert belongs to the case {found['id'][:8]}" in refused
