"""Routes as people write and try them: the example site's tests, the commands, what the guide says."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.commands.rules import routing_lines
from app.route_tests import spec
from contracts import routing
from contracts.matching import ALERT_KEYS, format_matchers, matches, parse_matchers
from contracts.reasons import HeldBack, Telling
from contracts.strict import Strict
from notify.telling.civil_duty import is_workday
from rules.spec import MissingRule
from tests.telling_site import told_site

ROOT = Path(__file__).resolve().parents[2]
ZUNYI = ROOT / "deploy" / "sites" / "zunyi"
GUIDE = (ROOT / "docs" / "guide" / "routes.md").read_text(encoding="utf-8")
ALERTS = (ROOT / "docs" / "guide" / "alerts.md").read_text(encoding="utf-8")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
runner = CliRunner()


def greenisland(*arguments: object):
    return runner.invoke(app, [str(one) for one in arguments])


@pytest.fixture
def zunyi(tmp_path) -> Path:
    return Path(shutil.copytree(ZUNYI, tmp_path / "zunyi"))


def test_the_example_sites_routes_do_what_its_tests_say():
    done = greenisland("rules", "test", ZUNYI / "routes.test.yaml")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "9 tests, 0 failed")


def test_a_route_test_that_fails_shows_what_was_told_instead(zunyi):
    path = zunyi / "routes.test.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("people: [sun]", "people: [wu]"), encoding="utf-8")
    done = greenisland("rules", "test", "--site", zunyi)
    assert done.exit_code == 1
    shown = [line.split() for line in done.stdout.splitlines()]
    assert ["*", "people", "wu", "sun"] in shown
    assert "9 tests, 1 failed" in done.stdout


def test_a_mistake_in_a_route_test_is_told_with_its_line(zunyi):
    (zunyi / "routes.test.yaml").write_text(
        "version: 1\ntests:\n  - name: a\n    alert: {station: NOWHERE}\n    at: 2026-03-01T03:00+08:00\n"
        "    expect:\n      - {channel: duty-sms, at: soon}\n",
        encoding="utf-8",
    )
    done = greenisland("rules", "test", "--site", zunyi)
    assert done.exit_code != 0
    told = str(done.exception)
    assert "routes.test.yaml:4: tests[0].alert: 'NOWHERE' is no station of this site" in told


def test_route_says_who_is_told_when_and_why_and_why_others_are_not():
    at = "2026-10-01T03:00+08:00"
    alert = "station=XS-COAL-1 level=red basis=permit"
    asked = ("alerts", "route", "--site", ZUNYI, "--test", alert, "--at", at, "--acknowledged", "40m")
    text = greenisland(*asked).stdout
    assert "route instruments does not: kind is limit" in text
    assert "2026-10-01 03:00:30 (+30s)  duty-sms: change, fired; 赵科长 (zhao); route exceedances" in text
    assert "2026-10-01 03:30:30 (+30m30s)  duty-sms: escalation 1" in text
    assert "escalation 2" not in text
    told = json.loads(greenisland(*asked, "--json").stdout)
    assert [(one["kind"], one["people"]) for one in told["told"]] == [
        *(("change", ["zhao"]), ("escalation", ["zhao"])),
        *(("case", ["zhao"]), ("case", ["zhao", "sun"])),  # opened, and its reply overdue
    ]
    assert "2026-10-01 08:30:00 (+5h30m)  duty-sms: case, opened; 赵科长 (zhao); case exceedance" in text
    assert {one["why"] for one in told["held_back"]} == {"grouped", "acknowledged"}


@pytest.mark.parametrize(
    ("alert", "said"),
    [
        ("plant=x", "nothing alerts are matched by"),
        ("station=XS-COAL-9", "is no station of this site"),
        ("level=purple", "is no level"),
        ("station=XS-*", "an alert has one value of it"),
        ("red", "is no matcher"),
        ("park=xishui enterprise=za-island", "no station of this site stands there"),
    ],
)
def test_an_alert_that_cannot_be_is_refused_in_words(alert, said):
    done = greenisland("alerts", "route", "--site", ZUNYI, "--test", alert, "--at", "2026-10-01T03:00+08:00")
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())


def test_rules_check_says_what_matches_nothing_and_where_the_calendar_ends():
    site = told_site({"routes": [{"route": "a", "match": {"rule": "so3", "kind": "missing"}, "channels": ["hook"]}]})
    rule = MissingRule(id="so2", kind="missing", intervals=3, level="yellow")
    assert list(routing_lines(site, [rule], NOW)) == [
        "1 routes, 3 people, 0 rosters",
        "  route a: no rule of this site is 'so3': it matches nothing",
    ]
    quiet = {"route": "a", "channels": ["hook"], "quiet": [{"levels": ["red"], "days": "workdays"}]}
    site = told_site({"routes": [quiet]})
    assert list(routing_lines(site, [], NOW)) == ["1 routes, 3 people, 0 rosters"]
    assert "ends with 2026" in list(routing_lines(site, [], datetime(2026, 12, 1, tzinfo=UTC)))[1]
    assert "no routes.yaml" in next(iter(routing_lines(told_site(), [], NOW)))


def test_beyond_the_calendar_plain_weekdays_hold():
    assert not is_workday(datetime(2026, 10, 1, tzinfo=UTC).date())
    assert is_workday(datetime(2026, 10, 10, tzinfo=UTC).date())  # a Saturday that makes up
    assert is_workday(datetime(2031, 10, 1, tzinfo=UTC).date())  # nobody has said yet
    assert not is_workday(datetime(2031, 10, 4, tzinfo=UTC).date())


@pytest.mark.parametrize("text", ["station=S1", "level=red,orange kind=miss*", "industry='coal power' park=*"])
def test_matchers_are_read_as_they_are_written(text):
    matchers = parse_matchers(text)
    assert parse_matchers(format_matchers(matchers)) == matchers
    labels = dict.fromkeys(ALERT_KEYS, "") | {key: values[0].replace("*", "ing") for key, values in matchers.items()}
    assert matches(matchers, labels)
    assert not matches(matchers, dict.fromkeys(ALERT_KEYS, "other"))


def documented() -> list[type[Strict]]:
    found = [one for module in (routing, spec) for one in vars(module).values() if isinstance(one, type)]
    return [one for one in found if issubclass(one, Strict) and one is not Strict]


@pytest.mark.parametrize("model", documented(), ids=lambda model: model.__name__)
def test_every_key_of_routes_and_their_tests_is_in_the_guide(model):
    names = [field.alias or name for name, field in model.model_fields.items()]
    assert [name for name in names if f"`{name}`" not in GUIDE and f"{name}:" not in GUIDE] == []


def test_every_kind_of_notification_and_every_reason_is_in_the_guide():
    assert [one for one in (*Telling, *HeldBack) if f"`{one}`" not in ALERTS] == []
    assert [key for key in ALERT_KEYS if f"`{key}`" not in GUIDE] == []
