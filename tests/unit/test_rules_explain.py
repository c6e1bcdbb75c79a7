"""An explanation is made of what the production path decided: every list of inputs adds up, every step is in words."""

import json
import shutil
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from app.cli import app
from app.commands.rules_explain import as_data, as_text
from app.commands.rules_test import WIDTH, library_test_files, read_all
from app.explain.derived import BY_KIND, DerivedWindow, InputWindow, told
from app.explain.explanation import explain
from app.explain.run import NotJudged, run_again, subject_of
from app.explain.source import Explained
from app.explain.words import WHY
from app.pipeline import Pipeline
from app.rule_tests.cases import own_ground, read_cases
from app.rule_tests.run import feed_of
from app.service.collector import journal_directory
from app.service.engine import Engine
from app.site.kept import from_directory
from app.site.record import activation, keep, site_content
from contracts.clock import ScaledClock
from contracts.frames import MESSAGES
from contracts.ports import RawMessage
from contracts.reasons import NoJudgement
from rules.made.formulas import FORMULAS
from rules.ticks import clock_payload, collectors_of
from store.feed import write_feed
from store.journal import Journal
from tests.explaining import RULES, TEST, explained_in, lines_of, run_of

ROOT = Path(__file__).resolve().parents[2]
ZUNYI = ROOT / "deploy" / "sites" / "zunyi"
SHIPPED = read_all(library_test_files(), own_ground())


@pytest.fixture
def explained(tmp_path):
    """explained(series, at, rule=, point=, test=): what is said of a window of a test's own feed."""
    return partial(explained_in, tmp_path)


@pytest.mark.parametrize(
    "case", [case for one in SHIPPED for case in one.cases], ids=lambda case: f"{case.path.stem}:{case.number}"
)
def test_of_every_shipped_rule_every_kind_of_window_is_explained_and_its_inputs_add_up(case):
    pipeline = Pipeline(case.site, [one.rule for one in case.rules])
    feed = feed_of(case, pipeline)
    bound = pipeline.plan.bindings.join(pipeline.plan.points, on="point").select("rule", "station", "about").unique()
    for rule, station, factor in bound.sort("rule", "station", "about").iter_rows():
        subject = subject_of(pipeline.plan, rule, f"{station}/{factor}")
        placed = next(one.rule for one in case.rules if one.rule.id == rule)
        run = run_again(pipeline, placed, subject, feed, collectors_of(feed), close=False)
        kinds = run.verdicts.unique(["state", "reason", "level", "revision"], keep="first", maintain_order=True)
        for window_at, unit_state in kinds.select("window_at", "state").unique(maintain_order=True).head(6).iter_rows():
            found = explain(run, window_at, show_all=True)
            assert found.steps, (subject.name, window_at, unit_state)
            wrong = [step.facts["disagreement"] for step in found.steps if step.facts.get("disagreement")]
            assert wrong == [], (subject.name, window_at)
            lines = list(as_text(found, Explained(run, "a test"), 0.0))
            assert max(map(cell_len, lines)) <= WIDTH
            json.dumps(as_data(found, Explained(run, "a test"), 0.0), default=str)


def test_inputs_that_are_not_all_the_decision_rests_on_are_told(tmp_path):
    (tmp_path / "it.yaml").write_text(RULES, encoding="utf-8")
    (tmp_path / "it.test.yaml").write_text(TEST + '    series: [{factor: a21026, values: "58x60"}]', encoding="utf-8")
    case = read_cases(tmp_path / "it.test.yaml", own_ground()).cases[0]
    run = run_of(case, "hour", "S1/a21026")
    run.readings = run.readings.head(10)
    inputs = explain(run, case.instant("08:00")).steps[0]
    assert inputs.lines[-1].startswith(
        "note: the parts listed give a sum of 580000000 over 10, the decision 3480000000 over 60 (in 10^-6)"
    )


def test_stretches_of_inputs_say_whether_they_count_and_why_not(explained):
    found, text = explained(['{factor: a21026, values: "58x46 900x3@M 400x2 20x2@Q7 _x7"}'])
    assert lines_of(found, "Inputs: readings (avg, period 60 s)") == [
        "08:00 to 08:45: 46 values, 58 mg/m3: count",
        "08:46 to 08:48: 3 values, 900 mg/m3: do not count, mark M (maintenance, HJ 212-2017 Table 8)",
        "08:49 to 08:50: 2 values, 400 mg/m3: do not count, outside the instrument's range (to 300)",
        "08:51 to 08:52: 2 values, 20 mg/m3: do not count, mark Q7 (not in the table of marks)",
        "08:53 up to 09:00: nothing received",
    ]
    completeness = lines_of(found, "Completeness")
    assert completeness[0].startswith("60 expected (one in 60 s), 53 present, 46 valid, ")
    assert completeness[1:2] == [
        "flue_gas, hour: needs 45 of 60, that is 45 of 60: HJ 76-2017 App. B: a valid hour has at least 45 valid "
        "minutes (verified_weak)",
    ]
    assert "exceedance, level orange (limit L1); revision 1, decided 2026-03-01 09:05" in text
    assert lines_of(found, "Limit")[:3] == [
        "the rule rests on: HJ 75-2017",
        "L1: must be <= 50 mg/m3",
        "basis: the permit; test Table 1",
    ]


def test_with_all_every_input_has_its_line_and_its_message(explained):
    found, _ = explained(['{factor: a21026, values: "58x50 900@M"}'], show_all=True)
    lines = lines_of(found, "Inputs")
    assert len(lines) == 52  # and one for what is missing
    assert lines[0].startswith("08:00: 58 mg/m3, counts; received 08:01:01, message ")
    message = lines[0].rsplit(" ", 1)[1]
    assert len(bytes.fromhex(message)) == 16
    assert "does not count, mark M" in lines[50]


def test_a_mean_that_does_not_end_is_cut_visibly_and_compared_in_full(explained):
    found, _ = explained(['{factor: a21026, values: "50x59 50.00006"}'])
    assert lines_of(found, "Mean")[0] == "sum of the 60 valid 3000.00006 / 60 = 50.000001 mg/m3"
    assert "orange above 50 mg/m3: reached" in lines_of(found, "Rounding")
    found, _ = explained(['{factor: a21026, values: "50x52 51"}'])
    assert lines_of(found, "Mean")[0] == "sum of the 53 valid 2651 / 53 = 50.018867924528... mg/m3"


def test_a_rounded_comparison_says_so(explained):
    test = TEST.replace("limit: 50,", "limit: 50, comparison: rounded, decimals: 0,")
    found, _ = explained(['{factor: a21026, values: "50.04x60"}'], test=test)
    assert lines_of(found, "Rounding")[0] == "rounded to 0 decimals (GB/T 8170, half to even), then compared: 50 mg/m3"
    assert "orange above 50 mg/m3: not reached" in lines_of(found, "Rounding")


CONVERTED = TEST.replace("{factor: a21026, range_max: 300}", "{factor: a21026, ref_o2_pct: 6}, {factor: a19001}")
CONVERTED = CONVERTED.replace("[{factor: a21026, period", "[{factor: zs_a21026, period")


def test_a_conversion_shows_its_formula_with_both_inputs(explained):
    series = ['{factor: a21026, values: "45x60"}', '{factor: a19001, values: "9x60"}']
    found, text = explained(series, point="S1/zs_a21026", test=CONVERTED)
    assert [step.title for step in found.steps[:4]] == [
        "Inputs of S1/a21026: readings (avg, period 60 s)",
        "Completeness of S1/a21026",
        "Mean of S1/a21026",
        "Inputs of S1/a19001: readings (avg, period 60 s)",
    ]
    lines = lines_of(found, "Conversion")
    assert lines[1:3] == ["S1/a21026 (Sulfur dioxide): 45 mg/m3", "S1/a19001 (Oxygen content): 9 %"]
    assert lines[4].startswith("C = 45 x (21 - 6) / (21 - 9) = 56.25 mg/m3")
    assert found.facts["verdicts"][0]["value"] == "56.25"
    assert "(converted)" in text


def test_a_conversion_without_oxygen_says_what_is_missing(explained):
    found, _ = explained(['{factor: a21026, values: "45x60"}'], point="S1/zs_a21026", test=CONVERTED)
    lines = lines_of(found, "Conversion")
    assert lines[2] == "S1/a19001 (Oxygen content): no usable value, nothing received"
    assert lines[-1] == "no value: no valid O2 for the same window, so it cannot be converted"


def test_the_measured_value_of_a_converted_point_leads_to_the_converted_one(explained):
    with pytest.raises(NotJudged, match="after conversion to the reference O2: ask for S1/zs_a21026"):
        explained(['{factor: a21026, values: "45x60"}'], test=CONVERTED)


def test_late_rewritten_and_marked_data_are_told_revision_by_revision(explained):
    found, text = explained(
        [
            '{factor: a21026, values: "58x50"}',
            '{factor: a21026, values: "48 58@M", late: 95m}',
            '{factor: a21026, values: "_x50 70", late: 2h}',
        ]
    )
    lines = lines_of(found, "Revisions")
    assert lines == [
        "revision 1 at 2026-03-01 09:05: exceedance, orange, value 58, 50 of 60 valid",
        "revision 2 at 2026-03-01 09:36:01: exceedance, orange, value 57.8, 50 of 60 valid",
        "  a21026: 1 value rewritten: 08:00 58 -> 48",
        "revision 3 at 2026-03-01 09:37:01: exceedance, orange, value 57.795918, 49 of 60 valid",
        "  a21026: 1 value marked otherwise: 08:01 mark none -> M",
        "revision 4 at 2026-03-01 10:51:01: exceedance, orange, value 58.04, 50 of 60 valid",
        "  a21026: 1 value came late (08:50, received 10:51:01)",
    ]
    assert "2 more were replaced by another of the same instant" in text
    assert "at 09:36:01 amended:" not in text  # between the first and the last
    assert "... 2 more changes ..." in text


def test_the_alert_is_told_with_its_pending_and_recovery(explained):
    rules = RULES.replace("recovery: 2h", "pending: 2h\n    recovery: 2h")
    series = ['{factor: a21026, values: "58x120 20x120"}']
    _, first = explained(series, "08:00", rules=rules)
    assert "beyond a level for 1h of the 2h it takes: no alert yet" in first
    _, second = explained(series, "09:00", rules=rules)
    assert "beyond a level: an alert fires after 2h of it and stands while it lasts" in second
    assert "at 10:05 fired:" in second
    assert "later: resolved 12:05" in second
    _, third = explained(series, "10:00", rules=rules)
    assert "good for 1h of the 2h it takes: the alert stays open" in third
    _, fourth = explained(series, "11:00", rules=rules)
    assert "good for 2h: the alert ends" in fourth
    rules = RULES.replace("recovery: 2h", "hysteresis_pct: 10")
    _, near = explained(['{factor: a21026, values: "58x60 43x60"}'], "09:00", rules=rules)
    assert "within, but nearer to the level than the rule's hysteresis: the alert stays open" in " ".join(near.split())


def test_an_hour_without_data_neither_raises_nor_clears(explained):
    _, text = explained(['{factor: a21026, values: "58x60 _x60 58x60"}'], "09:00")
    assert "no judgement (limit L1): nothing received" in text
    assert "not judged: neither raises nor clears an alert" in text
    assert "the alert stays open, without data" in " ".join(text.split())
    assert "at 10:05 data lost:" in text


def test_editions_of_a_limit_say_why_one_holds_and_the_other_does_not(explained):
    limit = "{factor: a21026, period: hour, limit: 50, unit: mg/m3, basis: permit, status: verified, clause: Table 1}"
    assert limit in TEST
    both = (
        "{factor: a21026, period: hour, limit: 100, unit: mg/m3, basis: permit, valid_to: 2026-02-28}, "
        "{factor: a21026, period: hour, limit: 35, unit: mg/m3, basis: permit, valid_from: 2026-03-01}"
    )
    found, _ = explained(['{factor: a21026, values: "58x60"}'], test=TEST.replace(limit, both))
    assert lines_of(found, "Limit")[-2:] == [
        "it holds on 2026-03-01: valid from 2026-03-01",
        "L1 (<= 100 mg/m3) is not judged: it does not hold on this date (valid to 2026-02-28)",
    ]


def test_an_instant_in_no_decided_window_is_told_with_its_neighbours(explained):
    found, text = explained(['{factor: a21026, values: "58x60"}'], "12:00")
    assert found.steps == []
    assert found.notes == [
        "2026-03-01 12:00 is in no decided window of rule hour on S1/a21026; the one before begins 2026-03-01 08:00"
    ]
    assert found.notes[0] in " ".join(text.replace("note: ", "").split())


def test_a_kind_of_derived_point_without_words_of_its_own_is_told_by_inputs_and_result():
    row = {"sum_scaled": 300, "valid_n": 2, "decimals": 1, "reason": None, "max_scaled": 77}
    inputs = [InputWindow("S1/a00000 (flow)", "m3/s", row), InputWindow("S1/a21026", "mg/m3", None, "b")]
    step = told(DerivedWindow("new_kind", inputs, {"p": 2.5}, "kg/h", row))
    assert step.title == "Computed value (new_kind)"
    assert step.lines == [
        "S1/a00000 (flow): 15 m3/s",
        "S1/a21026: no usable value, not decided by then",
        "p = 2.5",
        "result: 15 kg/h",
    ]


def test_every_formula_and_every_reason_has_words_of_its_own():
    assert [kind for kind in FORMULAS if kind not in BY_KIND] == []
    assert [reason for reason in NoJudgement if reason not in WHY] == []


START = datetime.fromisoformat("2026-03-01T08:00:00+08:00")


def messages_of(values):
    """MESSAGES of station gas1 of the golden base site: one SO2 and one O2 value a minute, and the clock."""
    rows = []
    for n, value in enumerate(values):
        at = START + timedelta(minutes=n)
        payload = f'{{"v":1,"station":"gas1","at":"{at.isoformat()}","readings":{{"a21026":{value},"a19001":9}}}}'
        rows.append((at + timedelta(seconds=1), "mqtt", "gi/gas1/json", payload.encode()))
    for n in range(len(values) + 10):
        at = START + timedelta(minutes=n)
        rows.append((at, "main", "$clock/main", clock_payload(at)))
    return pl.DataFrame(rows, schema=MESSAGES, orient="row").sort("received_at")


@pytest.fixture
def site(tmp_path):
    shutil.copytree(ROOT / "tests" / "golden" / "site_errors" / "base", tmp_path / "site")
    (tmp_path / "site" / "rules").mkdir()
    (tmp_path / "site" / "rules" / "own.yaml").write_text(
        RULES.replace("recovery: 2h", "pending: 2h"), encoding="utf-8"
    )
    return tmp_path / "site"


def asked(site, *arguments, at="2026-03-01T08:30:00+08:00"):
    given = ["rules", "explain", "hour", "gas1/zs_a21026", "--site", str(site), "--at", at]
    return CliRunner().invoke(app, [*given, *map(str, arguments)])


def test_a_feed_and_the_journals_that_hold_it_give_the_same_steps(site, tmp_path):
    messages = messages_of([58] * 180)
    write_feed(messages, tmp_path / "it.feed")
    state = tmp_path / "state"
    digest = keep(site_content(site, ()), state)
    row = activation(digest, None, "tester", "cli", START)[0]
    history = [(START - timedelta(seconds=5), row)]
    history += [(at, RawMessage(source, topic, payload)) for at, source, topic, payload in messages.iter_rows()]
    with Journal(journal_directory(state, "main")) as journal:
        journal.append_history(history)

    of_feed = json.loads(asked(site, "--feed", tmp_path / "it.feed", "--json").output)
    of_state = json.loads(asked(site, "--state", state, "--json").output)
    assert of_feed["steps"] == of_state["steps"]
    assert of_feed["verdicts"][0]["value"] == "72.5"  # x (21 - 6) / (21 - 9)
    assert (of_state["notes"], of_state["is_decided"]) == ([], True)
    kept = asked(state / "sites" / f"{digest}.json", "--state", state, "--json")
    assert json.loads(kept.output)["steps"] == of_state["steps"]

    limits = site / "registry" / "limits.csv"
    limits.write_text(limits.read_text(encoding="utf-8").replace("hour,35,", "hour,70,"), encoding="utf-8")
    changed = json.loads(asked(site, "--state", state, "--json").output)
    assert changed["verdicts"][0]["limit"] == "70"
    assert f"is not that of the site the journals name ({digest[:12]})" in changed["notes"][0]


def test_an_alert_that_began_days_before_is_told_from_its_beginning(site, tmp_path):
    messages = messages_of([58] * 60 * 45)
    state = tmp_path / "state"
    with Journal(journal_directory(state, "main")) as journal:
        journal.append_history([(at, RawMessage(*rest)) for at, *rest in messages.iter_rows()])
    whole = from_directory(site)
    with closing(Engine(whole.site, whole.rules, state, ScaledClock(START, 1))) as engine:
        engine.recover()
        assert sum(1 for _ in iter(engine.step, None))
    found = json.loads(asked(site, "--state", state, "--json", at="2026-03-03T02:30:00+08:00").output)
    alert = next(step for step in found["steps"] if step["title"] == "Alert")
    assert alert["open_since"] == "2026-03-01T08:00:00+08:00"
    assert found["notes"][0].startswith("the journals name no site")


def test_an_instant_nothing_was_decided_of_exits_with_one(site, tmp_path):
    write_feed(messages_of([58] * 60), tmp_path / "it.feed")
    result = asked(site, "--feed", tmp_path / "it.feed", at="2026-03-02T08:30:00+08:00")
    assert result.exit_code == 1
    assert "is in no decided window of rule hour" in result.output


def refused(*arguments):
    result = CliRunner().invoke(app, ["rules", "explain", "hour", "S1/a21026", "--site", str(ZUNYI), *arguments])
    assert result.exit_code == 2
    return " ".join(result.output.replace("│", " ").split())


def test_the_command_wants_one_source_and_an_instant_with_an_offset():
    assert "give either --feed or --state" in refused("--at", "2026-03-01T08:00:00+08:00")
    assert "has no offset" in refused("--at", "2026-03-01T08:00:00", "--feed", "x")
    assert "is not an instant" in refused("--at", "yesterday", "--feed", "x")
    assert "'hour' is not a rule of this site" in refused("--at", "2026-03-01T08:00:00+08:00", "--feed", "x")
