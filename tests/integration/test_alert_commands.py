"""`greenisland alerts` on a state directory: what is entered goes through spool, journal and engine, and shows."""

import json
from contextlib import closing
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.health.status import attention, status_of
from app.operators.spool import drain
from app.service.collector import journal_directory
from app.service.engine import Engine
from app.site.files import load_site
from app.site.rule_files import load_rules
from contracts.clock import ScaledClock
from store.alert_reads import Wanted, reading
from store.journal import Journal
from tests.builders import START, minutes

from .evidence import site_at
from .test_engine import clock_row, message, payload

runner = CliRunner()


@pytest.fixture
def centre(tmp_path):
    """A site's directory, and a state directory in which an alert is open."""
    site_dir, state = site_at(tmp_path / "site"), tmp_path / "state"
    journal_of(state)
    decide(site_dir, state)
    return site_dir, state


def journal_of(state):
    """Five minutes beyond the limit."""
    rows = [(START + minutes(n + 1), message(payload(START + minutes(n), {"a21026": 60.0}))) for n in range(5)]
    rows += [(START + minutes(n), clock_row(START + minutes(n))) for n in range(7)]
    with Journal(journal_directory(state, "main")) as journal:
        for at, row in sorted(rows, key=lambda row: row[0]):
            journal.append([row], at)


def decide(site_dir, state):
    site = load_site(site_dir)
    rules = [one.rule for one in load_rules(site_dir, site)]
    with closing(Engine(site, rules, state, ScaledClock(START, 1))) as engine:
        engine.recover()
        while engine.step() is not None:
            pass


def taken(site_dir, state, minute: int):
    """The collector takes what waits, the clock goes on, the engine decides."""
    at = START + minutes(minute)
    with Journal(journal_directory(state, "main")) as journal:
        drain(state, journal, ScaledClock(at, 1))
        journal.append([clock_row(at + minutes(1))], at + minutes(1))
    decide(site_dir, state)


def greenisland(*arguments: object):
    return runner.invoke(app, ["alerts", *[str(one) for one in arguments]])


def entered(*arguments: object) -> dict:
    done = greenisland(*arguments, "--wait", "0s", "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def shown(site_dir, state, name: str) -> dict:
    return json.loads(greenisland("show", name, "--state", state, "--site", site_dir, "--json").stdout)


def test_an_operator_acknowledges_assigns_and_comments_and_the_alert_shows_it(centre):
    site_dir, state = centre
    (alert,) = json.loads(greenisland("list", "--state", state, "--site", site_dir, "--json").stdout)
    name = alert["id"][:6]
    assert alert["attention"] is None
    entered("acknowledge", name, "--state", state, "--reason", "plant called", "--by", "wang")
    entered("assign", name, "--state", state, "--to", "li", "--reason", "his district", "--by", "wang")
    entered("comment", name, "--state", state, "--text", "inspected", "--by", "li")
    taken(site_dir, state, 10)
    found = shown(site_dir, state, name)
    assert {found["attention"][key] for key in ("acknowledged_by", "assigned_to")} == {"wang", "li"}
    assert sorted(one["kind"] for one in found["actions"]) == ["acknowledge", "assign", "comment"]
    assert [one["body"]["transition"] for one in found["notifications"]] == ["fired", "opened", "data_lost"]
    assert {one["why"] for one in found["held_back"]} == {"grouped"}
    text = greenisland("show", name, "--state", state, "--site", site_dir).stdout
    assert "acknowledged by wang" in text
    assert "comment by li: inspected" in text
    assert "change to duty: pending" in text
    assert "acknowledged by wang" in greenisland("list", "--state", state, "--site", site_dir).stdout


def test_a_silence_is_listed_until_it_is_over_or_taken_back(centre):
    site_dir, state = centre
    where = ("--state", state, "--site", site_dir)
    about = ("--match", "station=S1", "--reason", "line repaired", "--by", "wang")
    made = entered("silence", *where, *about, "--from", START.isoformat(), "--for", "2h")
    assert "1 of 1 open alerts fall under it" in made["lines"]
    taken(site_dir, state, 10)
    (row,) = json.loads(greenisland("silences", *where, "--json").stdout)
    assert (row["state"], row["matchers"], row["name"]) == ("active", "station=S1", made["fact"])
    entered("unsilence", made["fact"][:8], "--state", state, "--reason", "done", "--by", "wang")
    taken(site_dir, state, 20)
    assert json.loads(greenisland("silences", *where, "--json").stdout) == []
    assert "over  station=S1" in greenisland("silences", *where, "--all").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("acknowledge", "abc", "--reason", "r"), "at least 4 characters"),
        (("acknowledge", "0123456789", "--reason", "r"), "no alert is named"),
        (("unsilence", "0123456789", "--reason", "r"), "no silence is named"),
    ],
)
def test_what_is_not_there_is_said_in_words(centre, arguments, said):
    _, state = centre
    done = greenisland(*arguments, "--state", state)
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())


def test_a_silence_that_could_not_be_meant_is_refused(centre):
    site_dir, state = centre
    where = ("silence", "--state", state, "--site", site_dir, "--reason", "r")
    later = (START + timedelta(hours=1)).isoformat()
    for wrong in (
        ("--match", "plant=x", "--for", "2h"),
        ("--match", "station=S1"),
        ("--match", "station=S1", "--for", "2h", "--to", later),
        ("--match", "station=S1", "--from", later, "--to", START.isoformat()),
    ):
        assert greenisland(*where, *wrong).exit_code == 2
    done = greenisland(*where, "--match", "station=S1", "--for", "32d")
    assert (done.exit_code, "at most 31 days" in done.output) == (2, True)


def test_a_folder_in_which_nothing_was_decided_says_so(tmp_path):
    done = greenisland("silences", "--state", tmp_path, "--site", site_at(tmp_path / "site"))
    assert done.exit_code == 1
    assert "nothing was decided here yet" in done.output


def test_an_open_alert_that_no_route_takes_is_named_wherever_somebody_looks(centre, tmp_path):
    site_dir, told = centre
    routes = "version: 1\nroutes: [{route: red, match: {level: red}, channels: [duty]}]\n"
    (site_dir / "routes.yaml").write_text(routes, encoding="utf-8")
    state = tmp_path / "other"
    journal_of(state)
    decide(site_dir, state)
    (alert,) = json.loads(greenisland("list", "--state", state, "--site", site_dir, "--json").stdout)
    assert alert["told_to_nobody"] is True
    for folder, names in ((state, [alert["id"]]), (told, [])):
        with reading(folder) as found:
            assert [row["id"] for row in found.episodes(Wanted(told_to_nobody=True), None, 10)] == names
    assert (
        "told to nobody: no route, or no channel of its route, takes it"
        in greenisland("list", "--state", state, "--site", site_dir).stdout
    )
    (line,) = [line for line in attention(status_of(state, START)) if "told to nobody" in line]
    assert line.startswith("1 open alerts were told to nobody")
    assert not [line for line in attention(status_of(told, START)) if "told to nobody" in line]
