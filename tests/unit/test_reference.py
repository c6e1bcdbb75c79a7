"""Reference tables: their rows, and numbers that say what the words beside them say."""

import csv
import re
from collections import Counter
from decimal import Decimal

import pytest

from rules.tables.reference import AnomalyRule, anomaly_rules, green_island_metrics, validity_rules
from rules.tables.validity import _table
from tests.conftest import ROOT

TABLES = {
    "validity_rules.csv": (validity_rules(), ("rule", "formula_or_parameters", "standard_clause")),
    "anomaly_rules.csv": (anomaly_rules(), ("condition", "window")),
    "green_island_metrics.csv": (
        green_island_metrics(),
        ("formula", "default_threshold", "threshold_nature"),
    ),
}


@pytest.mark.parametrize(
    ("name", "rows"), [("validity_rules", 43), ("anomaly_rules", 27), ("green_island_metrics", 16)]
)
def test_every_row_is_there(name, rows):
    assert len(TABLES[f"{name}.csv"][0]) == rows


@pytest.mark.parametrize("name", TABLES)
def test_words_status_and_source_are_those_of_the_research_table(name, data_folder):
    with (data_folder / "limits" / name).open(encoding="utf-8", newline="") as lines:
        research = list(csv.DictReader(lines))
    with (ROOT / "rules" / "library" / name).open(encoding="utf-8", newline="") as lines:
        ours = list(csv.DictReader(lines))
    assert [{key: row[key] for key in was} for was, row in zip(research, ours, strict=True)] == research


@pytest.mark.parametrize("name", TABLES)
def test_every_number_stands_in_the_words_beside_it(name):
    rows, columns = TABLES[name]
    assert sum(len(row.numbers) for row in rows.values()) > 15
    for row in rows.values():
        words = " ".join(getattr(row, column) for column in columns)
        written = {Decimal(found) for found in re.findall(r"\d+(?:\.\d+)?", words)}
        assert set(row.numbers.values()) <= written, row.id


def test_a_number_is_asked_for_by_name_and_a_wrong_name_says_which_there_are():
    assert anomaly_rules()["AN13"].number("low_share") == Decimal("0.85")
    with pytest.raises(KeyError, match="AN04 has no number 'minutes'; there are hours, range_pct"):
        anomaly_rules()["AN04"].number("minutes")
    with pytest.raises(KeyError, match="there are none"):
        anomaly_rules()["AN05"].number("minutes")


@pytest.mark.parametrize(("text", "told"), [("hours", "name=number"), ("hours=x", "name=number"), ("h=1 h=2", "twice")])
def test_numbers_that_are_not_numbers_are_refused(text, told):
    cells = anomaly_rules()["AN04"].model_dump() | {"numbers": text}
    with pytest.raises(ValueError, match=told):
        AnomalyRule.model_validate(cells)


def test_thresholds_say_whether_they_are_law_practice_or_the_projects_own():
    assert Counter(row.threshold_basis for row in green_island_metrics().values()) == {
        "law": 7,
        "practice": 5,
        "project_default": 3,
        "draft": 1,
    }
    assert green_island_metrics()["GI03"].threshold_basis == "law"
    for row in green_island_metrics().values():
        if row.threshold_basis == "law":
            assert row.status == "verified", row.id


def test_the_rules_of_completeness_are_those_of_the_reference():
    need = {(row["medium"], row["period"]): int(row["need"]) for row in _table("validity.csv")}
    rules = validity_rules()
    assert need["flue_gas", "hour"] == rules["VR02"].number("minutes")
    assert need["flue_gas", "day"] == rules["VR03"].number("hours")
    assert need["flue_gas", "month"] == rules["VR03"].number("days")
    assert need["voc_stack", "hour"] == rules["VR20"].number("minutes")
    assert need["voc_stack", "day"] == rules["VR20"].number("hours")
    assert need["ambient_air", "hour"] == rules["VR40"].number("minutes")
    assert need["ambient_air", "day"] == rules["VR40"].number("hours")
    assert need["ambient_air", "month"] == rules["VR40"].number("days")
