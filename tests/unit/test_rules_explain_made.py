"""Values a rule makes of others are explained as they were made: counted windows, conditions, cycles, expressions."""

from functools import partial

import pytest

from app.explain.run import NotJudged
from tests.explaining import TEST, explained_in, lines_of

RULES_MADE = """
version: 1
rules:
  - {id: cold, kind: occurrences, select: {factor: [a01901]}, period: five_minute, below: 850, per: day, more_than: 5}
  - {id: leap, kind: step, select: {factor: [a21026]}, more_than_pct: 60, clause: AN12}
  - {id: rolling, kind: limit, select: {factor: [a21026]}, period: hour, rolling: 3}
  - {id: hour, kind: limit, select: {factor: [a21026]}, period: hour}
  - {id: parts, kind: expression, inputs: {so2: a21026, o2: a19001}, sql: so2 / (o2 - 9), unit: mg/m3, above: {red: 4}}
  - {id: daily, kind: limit, select: {factor: [w01018]}, period: day}
"""
TEST_MADE = TEST.replace("start: 2026-03-01T08:00", "start: 2026-03-01T00:00")
HOURLY = "interval: 1h, period_s: 3600"


@pytest.fixture
def explained(tmp_path):
    """explained(series, at, rule=, point=, test=): what is said of a window of a test's own feed."""
    return partial(explained_in, tmp_path)


def made(points, *rules, limits="[]", medium="flue_gas"):
    head = TEST_MADE.replace("medium: flue_gas", f"medium: {medium}\n    rules: [{', '.join(rules)}]")
    head = head.replace("[{factor: a21026, range_max: 300}]", points)
    return head[: head.index("    limits:")] + f"    limits: {limits}\n    expect: {{alerts: []}}\n"


def test_windows_that_a_rule_counts_are_named_with_their_numbers(explained):
    found, _ = explained(
        ['{factor: a01901, values: "849x10 850x1390 849.5x40"}'],
        "12:00",
        rule="cold",
        point="S1/a01901",
        rules=RULES_MADE,
        test=made("[{factor: a01901}]", "cold"),
    )
    lines = lines_of(found, "Windows counted")
    assert lines[0] == "10 of the 288 5-minute windows that could be judged are below 850 degC"
    assert lines[1] == "00:00: S1/a01901 (Waste-incinerator furnace mean temperature): 849 degC"
    assert lines[5] == "... 3 more windows ..."
    assert lines_of(found, "Rounding")[0] == "how many were counted: 10"
    assert found.facts["verdicts"][0]["value"] == "10"


def test_an_earlier_window_that_is_looked_back_at_is_named_by_its_instant(explained):
    found, _ = explained(
        ['{factor: a21026, values: "10x60 20x60"}'],
        "01:00",
        rule="leap",
        rules=RULES_MADE,
        test=made("[{factor: a21026}]", "leap"),
    )
    assert lines_of(found, "Deviation") == [
        "deviation = 100 x |a - b| / |b|",
        "a, S1/a21026 (Sulfur dioxide): 20 mg/m3",
        "b, S1/a21026 of 2026-03-01 00:00: 10 mg/m3",
        "deviation = 100 x |20 - 10| / |10| = 100 % (rounded half to even at the last decimal)",
    ]


def test_several_windows_together_are_told_one_by_one(explained):
    found, _ = explained(
        ['{factor: a21026, values: "10 _ 40"}'],
        "02:00",
        rule="rolling",
        rules=RULES_MADE,
        test=made(
            f"[{{factor: a21026, {HOURLY}}}]",
            "rolling",
            limits="[{factor: a21026, period: hour, limit: 20, unit: mg/m3, basis: permit}]",
        ),
    )
    assert lines_of(found, "Several windows together") == [
        "all valid values of 3 windows together, the latest of them the one that is judged",
        "S1/a21026 (Sulfur dioxide): 40 mg/m3",
        "S1/a21026 of 2026-03-01 01:00: no usable value, nothing received",
        "S1/a21026 of 2026-03-01 00:00: 10 mg/m3",
        "2 of 3 can be used; it takes 3",
        "no value: nothing received",
    ]


CONDITIONAL = (
    "[{limit_id: cold, factor: a21026, period: hour, limit: 15, unit: mg/m3, basis: permit, when_factor: a19001,"
    ' when_comparator: "<=", when_value: 12}, {limit_id: warm, factor: a21026, period: hour, limit: 10, unit: mg/m3,'
    ' basis: permit, when_factor: a19001, when_comparator: ">", when_value: 12}]'
)


def test_limits_with_conditions_are_told_together_or_one_alone(explained):
    given = {
        "rule": "hour",
        "rules": RULES_MADE,
        "test": made(f"[{{factor: a21026, {HOURLY}}}, {{factor: a19001, {HOURLY}}}]", "hour", limits=CONDITIONAL),
    }
    series = ['{factor: a21026, values: "12"}', '{factor: a19001, values: "12"}']
    both, text = explained(series, "00:00", **given)
    assert [verdict["state"] for verdict in both.facts["verdicts"]] == ["within", "not_applicable"]
    assert lines_of(both, "Condition of the limit of S1/a21026?cold") == [
        "the limit holds for windows in which S1/a19001 (Oxygen content) is below or at 12 %",
        "S1/a19001 (Oxygen content): 12 %",
        "it holds: S1/a21026 (Sulfur dioxide): 12 mg/m3, which is judged as it is",
    ]
    assert "warm (<= 10 mg/m3) is not applicable to this window: see there" in " ".join(text.split())
    assert len([step for step in both.steps if step.title.startswith("Inputs of S1/a19001")]) == 1
    alone, _ = explained(series, "00:00", point="S1/a21026?cold", **given)
    assert [verdict["limit_id"] for verdict in alone.facts["verdicts"]] == ["cold"]
    with pytest.raises(NotJudged, match="does not hold S1/a21026 against 'hot'; its limits are cold, warm"):
        explained(series, "00:00", point="S1/a21026?hot", **given)


def test_an_expression_is_told_with_its_numbers(explained):
    found, _ = explained(
        ['{factor: a21026, values: "10"}', '{factor: a19001, values: "11"}'],
        "00:00",
        rule="parts",
        rules=RULES_MADE,
        test=made(f"[{{factor: a21026, {HOURLY}}}, {{factor: a19001, {HOURLY}}}]", "parts"),
    )
    lines = lines_of(found, "Expression")
    assert lines[0] == "expression: so2 / (o2 - 9)"
    assert lines[-1] == "it = 10 / (11 - 9) = 5 mg/m3 (rounded half to even at the last decimal)"


def test_a_flow_weighted_day_is_told_cycle_by_cycle(explained):
    found, _ = explained(
        ['{factor: w01018, values: "40x9 60 _x2"}', '{factor: w00000, values: "10x18 _x2 10x2 0x2"}'],
        "00:00",
        rule="daily",
        point="S1/w01018",
        rules=RULES_MADE,
        test=made(
            f"[{{factor: w01018, kind: rtd, interval: 2h}}, {{factor: w00000, {HOURLY}}}]",
            "daily",
            medium="waste_water",
            limits="[{factor: w01018, period: day, limit: 50, unit: mg/L, basis: permit}]",
        ),
    )
    lines = lines_of(found, "Flow-weighted")
    assert lines[1] == "00:00: 40 mg/L, flow 20 (of m3/h, its hours added up): counts"
    assert lines[10] == "18:00: 60 mg/L, flow not known: does not count, its flow is not known"
    assert lines[11] == "20:00: no value, flow 20 (of m3/h, its hours added up): does not count, no valid value"
    assert (
        lines[12] == "22:00: no value, flow 0 (of m3/h, its hours added up): does not count, no discharge, not expected"
    )
    assert lines[13:] == ["flow-weighted mean: 40 mg/L", "11 cycles with discharge expected, 9 valid"]
