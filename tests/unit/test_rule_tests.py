"""Rule tests are told in the user's words, run through the production pipeline, and every shipped rule has some.

Golden cases: a folder of tests/golden/rule_tests holds rules, tests, and what the command prints and how it exits.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
import typer
from rich.cells import cell_len
from typer.testing import CliRunner

from app.commands.rules_test import (
    SHOWN_LIBRARY,
    WIDTH,
    library_test_files,
    read_all,
    report,
    rules_test_command,
    untested_rules,
    without_test_file,
)
from app.pipeline import Pipeline
from app.rule_tests.cases import own_ground, read_cases
from app.rule_tests.facts import MarkRow, QcRow, ReviewRow, StopRow, WithdrawalRow
from app.rule_tests.run import feed_of, run_case
from app.rule_tests.spec import (
    AlertRow,
    Expect,
    LimitRow,
    PairRow,
    PointRow,
    RuleTest,
    SeriesRow,
    VerdictRow,
)
from app.site.rule_files import library_files
from app.site.yaml_lines import SiteErrors
from contracts.factors import standard_factors
from contracts.frames import MESSAGES
from rules.facts.records import facts_of
from rules.ticks import SiteClock, stamp

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "rule_tests"
GOLDEN_CASES = sorted(folder.name for folder in GOLDEN.iterdir())
ZUNYI = ROOT / "deploy" / "sites" / "zunyi"

RULES = """
version: 1
rules:
  - id: so2_hour
    kind: limit
    select: {medium: [flue_gas], factor: [a21026], outlet: [STACK]}
    period: hour
    levels: {orange: 1.0}
"""
HEAD = """
version: 1
tests:
  - name: one hour
    medium: flue_gas
    start: 2026-03-01T08:00:00+08:00
    outlets: {S1: STACK}
    points: [{factor: a21026}]
    limits: [{factor: a21026, period: hour, limit: 50, unit: mg/m3, basis: permit, status: verified}]
"""

command = typer.Typer()
command.command()(rules_test_command)


def run(*arguments):
    """(exit code, output): what somebody sees who types it."""
    result = CliRunner().invoke(command, list(map(str, arguments)))
    if isinstance(result.exception, SiteErrors):
        return 2, f"{result.exception}\n"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def written(tmp_path, monkeypatch):
    """written(text): so2.test.yaml in the current folder, beside so2.yaml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "so2.yaml").write_text(RULES, encoding="utf-8")

    def write(text):
        path = Path("so2.test.yaml")
        path.write_text(HEAD + text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_golden_files_are_told_as_expected(case, monkeypatch):
    monkeypatch.chdir(GOLDEN / case)
    code, output = run("so2.test.yaml")
    expected = (GOLDEN / case / "expected.txt").read_text(encoding="utf-8")
    assert f"{output}exit {code}\n" == expected
    assert code in (1, 2)


@pytest.mark.parametrize("case", [case for case in GOLDEN_CASES if case.startswith("failing")])
def test_no_printed_line_of_a_failure_is_wider_than_a_terminal(case):
    lines = (GOLDEN / case / "expected.txt").read_text(encoding="utf-8").splitlines()
    assert max(map(cell_len, lines)) <= WIDTH


SHIPPED = read_all(library_test_files(), own_ground())


@pytest.mark.parametrize(
    "case", [case for one in SHIPPED for case in one.cases], ids=lambda case: f"{case.path.stem}:{case.number}"
)
def test_every_shipped_rule_does_what_its_tests_say(case):
    result = run_case(case)
    assert result.is_ok, "\n".join(report(result))


def test_every_shipped_rule_has_a_test_and_a_text_in_both_languages():
    assert without_test_file(library_files().values(), SHOWN_LIBRARY) == []
    assert [error for one in SHIPPED for error in untested_rules(one)] == []
    texts = {"text_zh": set(), "text_en": set()}
    for case in (case for one in SHIPPED for case in one.cases):
        for row in case.test.expect.alerts or ():
            for key in texts.keys() & row.model_fields_set:
                texts[key].add(row.rule)
    rules = {one.rule.id for file in SHIPPED for one in file.rules}
    assert texts == {"text_zh": rules, "text_en": rules}


def test_every_factor_a_shipped_rule_selects_is_in_the_table():
    known = standard_factors()
    selected = {code for file in SHIPPED for one in file.rules for code in one.rule.select.factor}
    assert sorted(code for code in selected if code.removeprefix("zs_") not in known) == []


def test_a_shipped_rule_that_no_test_names_is_an_error(tmp_path):
    (tmp_path / "so2.yaml").write_text(
        RULES.replace("STACK", "O-S1") + RULES[RULES.index("  - id") :].replace("so2_hour", "so2_again")
    )
    text = HEAD.replace("    outlets: {S1: STACK}\n", "")
    text += '    expect: {verdicts: [{rule: so2_hour, window: "08:00"}], alerts: []}\n'
    (tmp_path / "so2.test.yaml").write_text(text)
    read = read_cases(tmp_path / "so2.test.yaml", own_ground(), Path("rules/library/so2.test.yaml"))
    message = "rules/library/so2.yaml:9: rule so2_again has no test; so2.test.yaml expects nothing of it"
    assert [str(error) for error in untested_rules(read)] == [message]


def test_a_directory_stands_for_its_tests_and_a_rule_file_for_the_test_beside_it(written):
    path = written(
        '    series: [{factor: a21026, values: "60x60"}]\n    expect: {verdicts: [{rule: so2_hour, value: 60}]}\n'
    )
    as_file = run(path)
    assert as_file == (0, "so2.test.yaml\n  ok    one hour\n1 tests, 0 failed\n")
    assert run("so2.yaml") == as_file
    assert run(".") == as_file
    assert run("so2.yaml", path, ".") == as_file


def test_what_is_no_test_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, output = run("empty", "nox.test.yaml")
    assert code == 2
    assert output.splitlines() == [
        "empty: holds no test; tests are named like their rules, name.yaml and name.test.yaml",
        "nox.test.yaml: does not exist",
    ]


def test_results_as_json_and_junit_say_the_same_as_the_terminal(written, tmp_path):
    series = '    series: [{factor: a21026, values: "60x60"}]\n'
    path = written(series + "    expect: {verdicts: [{rule: so2_hour, state: within}]}\n")
    code, output = run(path, "--json", "--junit", tmp_path / "junit.xml")
    told = json.loads(output)
    assert code == 1
    assert told["failed"] == 1
    assert [(one["file"], one["line"], one["ok"]) for one in told["tests"]] == [("so2.test.yaml", 4, False)]
    lines = told["tests"][0]["problems"][0]["lines"]
    assert {"key": "state", "expected": "within", "found": "exceedance", "differs": True} in lines
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert "* state" in suite[0][0].text


def test_a_failed_test_explains_what_was_found_when_asked_to(monkeypatch):
    monkeypatch.chdir(GOLDEN / "failing_verdicts")
    code, output = run("so2.test.yaml", "--explain")
    plain = run("so2.test.yaml")[1]
    assert code == 1
    assert max(map(cell_len, output.splitlines())) <= WIDTH
    flat = " ".join(output.split())
    assert "09:44 up to 10:00: nothing received" in flat
    assert "60 expected (one in 60 s), 44 present, 44 valid" in flat
    steps = [line for line in output.splitlines() if line not in plain.splitlines()]
    assert steps
    assert [line for line in plain.splitlines() if line not in output.splitlines()] == []


def test_junit_counts_over_all_files_and_names_failures(monkeypatch, tmp_path):
    monkeypatch.chdir(GOLDEN / "failing_verdicts")
    run("so2.test.yaml", "--junit", tmp_path / "it.xml")
    root = ElementTree.parse(tmp_path / "it.xml").getroot()
    assert {name: root.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "2",
        "errors": "0",
    }
    assert [failure.get("type") for failure in root.iter("failure")] == ["expectation"] * 2


def test_a_sites_own_settings_and_factors_hold_with_site(written):
    text = """    series: [{factor: a21026, values: "60x30"}]
    expect: {verdicts: [{rule: so2_hour, valid_n: 30, state: %s}]}
"""
    assert run(written(text % "no_judgement"))[0] == 0
    registry = Path("site/registry")
    registry.mkdir(parents=True)
    for source in (ZUNYI / "registry").glob("*.csv"):
        (registry / source.name).write_bytes(source.read_bytes())
    validity = "validity: [{medium: flue_gas, period: hour, need: 1, of: 2, clause: own}]\n"
    (Path("site") / "site.yaml").write_text(
        (ZUNYI / "site.yaml").read_text(encoding="utf-8") + validity, encoding="utf-8"
    )
    test = written(text % "exceedance")
    assert run(test, "--site", "site")[0] == 0
    Path("site/rules").mkdir()
    for name in ("so2.yaml", "so2.test.yaml"):
        Path("site/rules", name).write_text(Path(name).read_text(encoding="utf-8"), encoding="utf-8")
    Path("site/rules/forgotten.yaml").write_text(RULES, encoding="utf-8")
    code, output = run("--site", "site")
    assert code == 0
    note = "note: site/rules/forgotten.yaml: has no forgotten.test.yaml beside it: none of its rules is tested"
    assert note in output.splitlines()


def test_the_feed_holds_real_messages_and_a_clock_row_every_minute(written):
    text = """    series:
      - {factor: a21026, values: "60.50 _ 61@D"}
      - {factor: a21026, values: "_ 7", late: 2m}
    malformed: [{at: 1m, count: 2}]
    until: 4m
    expect: {alerts: []}
"""
    case = read_cases(written(text), own_ground()).cases[0]
    feed = feed_of(case, Pipeline(case.site, [one.rule for one in case.rules]))
    assert feed.schema == MESSAGES
    start = datetime(2026, 3, 1, tzinfo=UTC)
    clock = feed.filter(pl.col("topic") == "$clock/test")
    assert clock["received_at"].to_list() == [start + timedelta(minutes=n) for n in range(5)]
    rows = feed.filter(pl.col("topic") == "gi/S1/json").select("received_at", "payload").rows()
    readable = [(at, json.loads(payload)) for at, payload in rows if b"station" in payload]
    seconds = [(at - start).total_seconds() for at, _ in readable]
    assert seconds == [61, 181]  # the late one would come at 241, after the end
    assert [message["readings"]["a21026"] for _, message in readable] == [60.5, {"value": 61, "mark": "D"}]
    assert any(b'"a21026":60.50' in payload for _, payload in rows)
    assert len(rows) - len(readable) == 2


def test_a_fact_is_known_at_the_tick_its_row_says(written):
    text = """    facts:
      - {kind: stop, from_at: "08:00", to_at: "09:00", known_at: "%s"}
    series: [{factor: a21026, values: "60x60"}]
    expect: {verdicts: [{rule: so2_hour, window: "08:00", revision: 1, state: %s}]}
"""
    # the hour is decided at 09:05:00: what is known then decides it, what is known a tick later revises it
    assert run(written(text % ("09:05:00", "not_applicable")))[0] == 0
    assert run(written(text % ("09:05:01", "exceedance")))[0] == 0
    case = read_cases(written(text % ("09:05:01", "exceedance")), own_ground()).cases[0]
    feed = feed_of(case, Pipeline(case.site, [one.rule for one in case.rules]))
    facts, _ = facts_of(stamp(feed, SiteClock(("test",)))[0])
    assert facts["known_at"].to_list() == [datetime(2026, 3, 1, 1, 5, 1, tzinfo=UTC)]


def test_an_unlisted_revision_means_the_latest(written):
    text = """    series: [{factor: a21026, values: "60x60", late: 2h}]
    until: 4h
    expect: {verdicts: [{rule: so2_hour, window: "08:00", state: %s}]}
"""
    assert run(written(text % "exceedance"))[0] == 0
    assert run(written(text % "no_judgement"))[0] == 1
    assert run(written((text % "no_judgement").replace("state:", "revision: 1, state:")))[0] == 0


@pytest.mark.parametrize(
    ("alerts", "code"),
    [
        ('[{rule: so2_hour, opened: "10:00"}, {rule: so2_hour}]', 0),
        ('[{rule: so2_hour}, {rule: so2_hour, opened: "08:00"}]', 0),
        ("[{rule: so2_hour}]", 1),
        ("[{rule: so2_hour}, {rule: so2_hour}, {rule: so2_hour}]", 1),
        ("[]", 1),
    ],
)
def test_alerts_are_the_complete_list_in_any_order(written, alerts, code):
    text = f'    series: [{{factor: a21026, values: "60x60 20x60 60x60"}}]\n    expect: {{alerts: {alerts}}}\n'
    assert run(written(text))[0] == code


def test_a_day_of_another_zone_begins_at_its_own_midnight(written):
    text = """    time_zone: Etc/GMT+5
    series: [{factor: a21026, values: "60x120"}]
    expect: {verdicts: [{rule: so2_hour, window: "20:00", state: exceedance}]}
"""
    written(text)
    path = Path("so2.test.yaml")
    path.write_text(path.read_text().replace("2026-03-01T08:00:00+08:00", "2026-03-01T20:00:00-05:00"))
    assert run(path)[0] == 0


MODELS = [RuleTest, PointRow, LimitRow, PairRow, SeriesRow, Expect, VerdictRow, AlertRow]


@pytest.mark.parametrize("model", [*MODELS, MarkRow, StopRow, QcRow, ReviewRow, WithdrawalRow])
def test_every_key_is_in_the_guide(model):
    guide = (ROOT / "docs" / "guide" / "rule-tests.md").read_text(encoding="utf-8")
    assert [name for name in model.model_fields if f"`{name}`" not in guide] == []


@pytest.mark.parametrize(("guide", "name"), [("rule-tests.md", "nox"), ("rules.md", "week")])
def test_the_guides_examples_hold(tmp_path, guide, name):
    text = (ROOT / "docs" / "guide" / guide).read_text(encoding="utf-8")
    for file in (f"{name}.yaml", f"{name}.test.yaml"):
        block = text.split(f"`{file}`:\n\n```yaml\n")[1].split("```")[0]
        (tmp_path / file).write_text(block, encoding="utf-8")
    code, output = run(tmp_path / f"{name}.test.yaml")
    assert code == 0, output
