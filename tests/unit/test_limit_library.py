"""The limit library: every row of the research table taken over, with what it lacked; and how rows are assigned."""

import csv
import itertools
import json
from collections import Counter
from datetime import date

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from app.cli import app
from app.site.limit_rows import LimitRow, assigned, library_of
from contracts.factors import CONVERTED_PREFIX, REMOVAL_PREFIX, standard_factors, units_of
from contracts.site import Limit
from rules.tables.limit_library import OUTLETS_OF, find_limits, limit_library, parse_library
from tests.conftest import ROOT

LIBRARY = limit_library()
FILE = ROOT / "rules" / "library" / "limits.csv"
ROWS = list(LIBRARY.values())
ASSIGNABLE = [row for row in ROWS if row.why_unassignable is None]
EFFICIENCIES = [row for row in ASSIGNABLE if (row.factor or "").startswith(REMOVAL_PREFIX)]
SITES_OWN = {"w01002"}  # factors the standard table lacks: a site that measures them gives them a row of its own
PERIOD_OF = {
    "1h_mean": "hour",
    "day_mean": "day",
    "24h_mean": "day",
    "month_mean": "month",
    "year_mean": "year",
    "instant": "instant",
    "5min_mean": "five_minute",
}


@pytest.fixture(scope="module")
def research(data_folder):
    with (data_folder / "limits" / "limits.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_all_483_rows_are_there_by_role_and_status():
    assert len(LIBRARY) == 483
    assert Counter(row.status for row in ROWS) == {"verified": 177, "verified_weak": 164, "unverified": 142}
    assert Counter(row.role for row in ROWS) == {
        "limit": 475,
        "trigger": 3,
        "warning_band": 2,
        "conversion_base": 2,
        "exemption_condition": 1,
    }
    assert Counter(row.basis for row in ROWS) == {"standard": 446, "ultra_low": 37}


def test_nothing_of_the_research_table_was_lost_or_changed_without_saying_so(research):
    kept = ("role", "standard", "clause", "industry", "process", "medium", "pollutant_en", "pollutant_zh", "comparator")
    kept += ("tier", "status", "source")
    assert [row["id"] for row in research] == list(LIBRARY)
    for was in research:
        row = LIBRARY[was["id"]]
        assert [getattr(row, name) for name in kept] == [was[name] for name in kept], row.id
        assert [str(day or "") for day in (row.valid_from, row.valid_to)] == [was["valid_from"], was["valid_to"]]
        assert row.ref_o2_pct == (float(was["ref_o2_pct"]) if was["ref_o2_pct"] else None)
        assert row.limit == (float(was["limit"]) if was["limit"] != "ND" else None)
        if row.period is not None and row.role == "limit":
            assert row.period == PERIOD_OF.get(was["averaging"], "month"), row.id
        if (row.factor or "") != was["factor_code"]:
            assert "factor" in row.changed, row.id


def test_the_unit_is_the_research_tables_or_the_same_under_the_projects_name(research):
    renamed = {"umol/mol": "ppm", "ratio": "1", "倍": "1", "dimensionless": "1", "": "1"}
    assert [LIBRARY[was["id"]].unit for was in research] == [renamed.get(was["unit"], was["unit"]) for was in research]


def test_every_limit_that_can_be_assigned_has_a_factor_whose_unit_fits():
    factors = standard_factors()
    of_values = [row for row in ASSIGNABLE if row not in EFFICIENCIES]
    lacking = {row.factor for row in of_values if row.factor not in factors}
    assert lacking == SITES_OWN
    unfit = [
        row.id for row in of_values if row.factor in factors and row.unit not in units_of(factors[row.factor or ""])
    ]
    assert unfit == []
    assert len(of_values) == 403


def test_removal_efficiencies_are_limits_on_the_removal_of_a_factor_from_a_rate_on_where_the_clause_says_so():
    assert {row.id: (row.limit, row.when_value) for row in EFFICIENCIES} == {
        "L0202": (80, 3),
        "L0218": (80, 3),
        "L0243": (95, None),
        "L0252": (80, 3),
        "L0278": (95, None),
        "L0291": (95, None),
    }
    assert {(row.factor, row.unit, row.comparator, row.period) for row in EFFICIENCIES} == {
        ("removal_a24088", "%", ">=", "hour")
    }
    triggers = {row.limit for row in ROWS if row.role == "trigger" and row.tier == "general" and row.unit == "kg/h"}
    assert {row.when_value for row in EFFICIENCIES} - {None} == triggers
    assert {(row.when_factor, row.when_comparator) for row in EFFICIENCIES if row.when_value} == {("kg_a24088", ">=")}


def test_carbon_monoxide_is_a21005():
    assert {row.factor for row in ROWS if row.pollutant_en == "carbon monoxide"} == {"a21005"}


@pytest.mark.parametrize("name", ["总铊", "TVOC", "苯系物", "总锑", "氟化氢"])
def test_pollutants_without_a_known_code_stay_without_and_say_why(name):
    rows = [row for row in ROWS if row.pollutant_zh == name]
    assert rows
    for row in rows:
        assert row.factor is None
        assert name in (row.why_unassignable or "")


def test_a_number_for_an_averaging_is_given_once_unless_a_condition_or_dates_tell_the_rows_apart():
    """The flaw of the research table: ammonia 10 and 15 for one outlet, the 12 degC only in a remark."""
    names = ("role", "standard", "clause", "industry", "process", "medium", "pollutant_en", "comparator", "unit")
    names += ("period", "tier")
    for a, b in itertools.combinations(ROWS, 2):
        if any(getattr(a, name) != getattr(b, name) for name in names) or a.not_judged:
            continue
        assert a.when_factor is not None, (a.id, b.id)
        assert (a.when_factor, a.when_value) == (b.when_factor, b.when_value), (a.id, b.id)
        assert {a.when_comparator, b.when_comparator} == {"<=", ">"}, (a.id, b.id)


def test_the_bracketed_ammonia_limits_hold_at_or_below_12_degrees():
    of_values = [row for row in ROWS if row not in EFFICIENCIES]
    conditional = {row.id: (row.limit, row.when_comparator, row.period) for row in of_values if row.when_factor}
    assert conditional == {
        "L0369": (5, ">", "day"),
        "L0370": (8, "<=", "day"),
        "L0376": (10, ">", "instant"),
        "L0377": (15, "<=", "instant"),
        "L0378": (15, ">", "instant"),
        "L0379": (20, "<=", "instant"),
    }
    assert {(row.when_factor, row.when_value) for row in of_values if row.when_factor} == {("w01010", 12.0)}
    assert not any("temperature" in row.remarks for row in ROWS if row.factor == "w21003")


def test_the_cement_dryer_converts_to_18_percent_from_april_2026():
    dryer = [row for row in ROWS if row.process == "dryer with independent heat source"]
    assert {(row.ref_o2_pct, row.valid_from) for row in dryer} == {(18.0, date(2026, 4, 1))}
    assert {row.factor: row.limit for row in dryer} == {"a34013": 10, "a21026": 50, "a21002": 80, "a21001": 8}


def test_standards_without_an_oxygen_base_convert_nothing():
    for row in ROWS:
        if row.standard in ("GB 16297-1996", "GB 25465-2010"):
            assert row.ref_o2_pct is None
            assert row.judged_factor == row.factor


def test_a_rounding_place_stands_only_where_a_clause_prescribes_rounding():
    assert {(row.comparison, row.decimals) for row in ROWS} == {("full_value", None)}  # none that was read does


def test_every_row_that_is_not_judged_says_why_and_every_other_has_its_averaging(research):
    for was in research:
        row = LIBRARY[was["id"]]
        if was["averaging"] in ("manual_or_grab", "per_event", "8h_max_mean", "month_stat") or was["role"] != "limit":
            assert row.not_judged, row.id
        assert row.period or row.not_judged, row.id
    assert not any(row.not_judged for row in ASSIGNABLE)


@pytest.mark.parametrize(
    ("of", "cells", "told"),
    [
        ("L0376", {"when_value": ""}, "go together"),
        ("L0001", {"period": ""}, "not_judged why"),
        ("L0001", {"limit": "ND"}, "limit"),
        ("L0001", {"comparison": "rounded"}, "decimals"),
        ("L0001", {"factor_code_status": ""}, "factor_code_status"),
        ("L0200", {"not_judged": ""}, "is no limit"),
        ("L0001", {"status": "sure"}, "status"),
    ],
)
def test_a_row_that_is_not_whole_is_refused(of, cells, told):
    with FILE.open(encoding="utf-8", newline="") as lines:
        row = next(row for row in csv.DictReader(lines) if row["id"] == of)
    header = ",".join(row)
    line = ",".join(f'"{text}"' for text in {**row, **cells}.values())
    with pytest.raises(ValidationError, match=told):
        parse_library(f"{header}\n{line}\n")


def test_an_id_that_is_there_twice_is_refused():
    text = FILE.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="L0001 is there twice"):
        parse_library(text + text.splitlines()[1] + "\n")


def row_of(**columns) -> LimitRow:
    return LimitRow(limit_id="L", outlet="O", **columns)


def test_a_row_that_names_a_library_row_takes_everything_from_it():
    for known in ASSIGNABLE:
        limit, wrong = assigned(row_of(library=known.id), LIBRARY, OUTLETS_OF[known.medium][0])
        assert wrong == []
        assert isinstance(limit, Limit)
        same = ("period", "comparator", "limit", "unit", "ref_o2_pct", "comparison", "basis", "standard", "clause")
        same += (
            "source",
            "status",
            "valid_from",
            "valid_to",
            "when_factor",
            "when_comparator",
            "when_value",
            "industry",
        )
        assert [getattr(limit, name) for name in same] == [getattr(known, name) for name in same]
        assert limit.factor == (CONVERTED_PREFIX if known.ref_o2_pct is not None else "") + (known.factor or "")


def test_every_other_row_cannot_be_assigned_and_says_why():
    for known in ROWS:
        if known.why_unassignable is None:
            continue
        limit, wrong = assigned(row_of(library=known.id), LIBRARY, None)
        assert limit is None
        assert [column for column, _ in wrong] == ["library"]
        assert known.why_unassignable in wrong[0][1]


def test_what_a_row_restates_in_another_unit_is_no_contradiction():
    limit, wrong = assigned(row_of(library="L0331", limit=100, unit="ug/L"), LIBRARY, "waste_water")
    assert wrong == []
    assert (limit.limit, limit.unit) == (100, "ug/L")


def test_a_permit_sets_its_own_stricter_number_and_does_not_inherit_the_librarys_standing():
    own = row_of(library="L0008", basis="permit", limit=35, standard="DA001", comparison="rounded", decimals=0)
    limit, wrong = assigned(own, LIBRARY, "flue_gas")
    assert wrong == []
    assert (limit.limit, limit.basis, limit.standard, limit.clause, limit.source) == (35, "permit", "DA001", "", "")
    assert (limit.status, limit.period, limit.factor, limit.ref_o2_pct) == ("unverified", "hour", "zs_a21026", 6)
    assert (limit.comparison, limit.decimals) == ("rounded", 0)


def test_a_permit_with_the_librarys_number_keeps_where_it_comes_from():
    limit, _ = assigned(row_of(library="L0002", basis="permit"), LIBRARY, "flue_gas")
    assert (limit.basis, limit.limit, limit.status, limit.clause) == ("permit", 35, "verified_weak", "超低排放")


def test_a_lower_limit_may_only_be_raised_by_a_permit():
    for number, is_fine in ((900, True), (800, False)):
        _, wrong = assigned(row_of(library="L0306", basis="permit", limit=number, standard="p"), LIBRARY, "flue_gas")
        assert (wrong == []) is is_fine


def test_dates_may_be_narrowed_but_not_widened():
    inside = row_of(library="L0211", valid_from=date(2024, 7, 1))  # existing plants
    assert assigned(inside, LIBRARY, "voc_stack")[0].valid_from == date(2024, 7, 1)
    outside = row_of(library="L0211", valid_from=date(2022, 7, 1))
    assert [column for column, _ in assigned(outside, LIBRARY, "voc_stack")[1]] == ["valid_from"]


def test_a_kept_library_is_used_in_place_of_the_shipped_one(tmp_path):
    assert library_of(tmp_path) is LIBRARY
    text = FILE.read_text(encoding="utf-8").replace("L0001,", "L0999,", 1)
    (tmp_path / "limits.csv").write_text(text, encoding="utf-8")
    assert "L0999" in library_of(tmp_path)


def test_limits_are_found_by_industry_factor_and_medium():
    assert {row.factor for row in find_limits(ROWS, factor="zs_a21026")} == {"a21026"}
    assert len(find_limits(ROWS, factor="氨氮")) == len(find_limits(ROWS, factor="ammonia nitrogen")) == 14
    found = find_limits(ROWS, industry="Cement", factor="a21002", medium="flue_gas")
    assert [row.limit for row in found] == [50, 400, 320, 80]
    assert find_limits(ROWS, medium="fence_line", industry="kiln") == []


def test_the_command_prints_lines_of_at_most_80_columns():
    from rich.cells import cell_len

    for words in ([], ["L0377", "L0108"]):
        answer = CliRunner().invoke(app, ["rules", "limits", *words])
        assert answer.exit_code == 0
        wide = [line for line in answer.output.splitlines() if cell_len(line) > 80]
        assert wide == []


def test_the_command_prints_json_with_what_a_value_is_called():
    answer = CliRunner().invoke(app, ["rules", "limits", "--factor", "w21003", "--industry", "WWTP", "--json"])
    rows = {row["id"]: row for row in json.loads(answer.output)}
    assert set(rows) == {"L0369", "L0370", "L0376", "L0377", "L0378", "L0379"}
    assert rows["L0377"]["called"] == "exceedance"
    assert "unassignable" in json.loads(CliRunner().invoke(app, ["rules", "limits", "L0355", "--json"]).output)[0]


def test_the_command_says_what_it_does_not_know():
    from app.site.yaml_lines import SiteErrors

    answer = CliRunner().invoke(app, ["rules", "limits", "L9999"])
    assert isinstance(answer.exception, SiteErrors)
    assert "has no row 'L9999'" in str(answer.exception)
    assert CliRunner().invoke(app, ["rules", "limits", "--medium", "water"]).exit_code == 2


def test_a_rule_test_may_name_a_library_row(tmp_path):
    from app.rule_tests.cases import own_ground, read_cases
    from app.rule_tests.run import run_case

    (tmp_path / "so2.yaml").write_text(
        "version: 1\nrules:\n  - {id: so2, kind: limit, select: {factor: [zs_a21026]}, period: hour}\n",
        encoding="utf-8",
    )
    (tmp_path / "so2.test.yaml").write_text(
        """
version: 1
tests:
  - name: an hour above the table's 200 mg/m3 at 6 % O2 is an exceedance
    medium: flue_gas
    start: 2026-03-01T08:00:00+08:00
    points: [{factor: a21026, ref_o2_pct: 6}, {factor: a19001}]
    limits: [{library: L0008}]
    series: [{factor: a21026, values: "201x60"}, {factor: a19001, values: "6x60"}]
    expect:
      verdicts: [{rule: so2, factor: zs_a21026, window: "08:00", state: exceedance, limit: 200}]
""",
        encoding="utf-8",
    )
    (case,) = read_cases(tmp_path / "so2.test.yaml", own_ground()).cases
    assert case.site.limits[0].industry == "coal power"
    assert run_case(case).is_ok
