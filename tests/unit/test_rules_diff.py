"""`rules diff`: verdicts and alerts that appear, vanish or change with the rules; `rules list`: what there is."""

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from app.cli import app
from app.commands.rules_test import WIDTH
from app.site.yaml_lines import SiteErrors
from contracts.frames import MESSAGES
from store.feed import write_feed

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "tests" / "golden" / "site_errors" / "base"
ZUNYI = ROOT / "deploy" / "sites" / "zunyi"
START = datetime.fromisoformat("2026-03-01T08:00:00+08:00")

RULES = """
version: 1
rules:
  - id: so2_hour
    kind: limit
    select: {factor: [zs_a21026]}
    period: hour
    levels: {orange: 1.0}
"""


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The current folder: site/, old/ and new/ with the same rule, it.feed with three hours of 20, 30 and 40 mg/m3."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(BASE, tmp_path / "site")
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "so2.yaml").write_text(RULES, encoding="utf-8")
    rows = []
    for n in range(180):
        at, value = START + timedelta(minutes=n), 20 + 10 * (n // 60)
        payload = f'{{"v":1,"station":"gas1","at":"{at.isoformat()}","readings":{{"a21026":{value},"a19001":9}}}}'
        rows.append((at + timedelta(seconds=1), "mqtt", "gi/gas1/json", payload.encode()))
    write_feed(pl.DataFrame(rows, schema=MESSAGES, orient="row"), tmp_path / "it.feed")
    return tmp_path


def diff(*arguments):
    """(exit code, output)"""
    given = ["rules", "diff", "old", "new", "--feed", "it.feed", "--site", "site", *arguments]
    result = CliRunner().invoke(app, given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.mark.usefixtures("there")
def test_the_same_rules_differ_in_nothing():
    code, text = diff()
    assert (code, text) == (0, "nothing changes: 3 verdicts and 1 alerts are the same\n")


def test_a_lower_level_makes_an_alert_and_changes_verdicts(there):
    (there / "new" / "so2.yaml").write_text(RULES.replace("orange: 1.0", "yellow: 0.7, orange: 1.0"), encoding="utf-8")
    code, text = diff()
    assert code == 1
    lines = text.splitlines()
    assert lines[2].split() == ["gas1", "so2_hour", ".", ".", "1", "1", "1", "."]
    assert lines[3].startswith("2 verdicts and 0 alerts are the same")
    flat = " ".join(text.split())
    # 20 x 1.25 = 25 is 0.71 times the limit of 35
    assert "~ 2026-03-01 08:00 gas1/zs_a21026 so2_hour so2-hour: within (25 mg/m3, limit 35, 60/60 valid)" in flat
    assert "-> within yellow (25 mg/m3, limit 35, 60/60 valid)" in flat
    assert "+ 2026-03-01 08:00 gas1/zs_a21026 so2_hour so2-hour: orange, peak orange 37.5 mg/m3" in flat
    assert "- 2026-03-01 09:00 gas1/zs_a21026 so2_hour so2-hour: orange, peak orange 37.5 mg/m3" in flat
    assert max(map(cell_len, lines)) <= WIDTH


def test_a_rule_that_is_gone_takes_its_verdicts_and_alerts_with_it(there):
    (there / "new" / "so2.yaml").write_text(RULES.replace("so2_hour", "renamed"), encoding="utf-8")
    code, text = diff("--json")
    found = json.loads(text)
    assert code == 1
    assert [(one["rule"], one["verdicts_appears"], one["verdicts_vanishes"]) for one in found["counts"]] == [
        ("renamed", 3, 0),
        ("so2_hour", 0, 3),
    ]
    assert [(one["what"], one["old"] is None, one["new"] is None) for one in found["alerts"]] == [
        ("appears", True, False),
        ("vanishes", False, True),
    ]
    assert len(found["verdicts"]) == 6


def test_the_list_is_bounded_unless_all_is_asked_for(there):
    (there / "new" / "so2.yaml").write_text(
        RULES + "  - {id: still, kind: flat_line, period: minute, select: {factor: [a21026]}}\n", encoding="utf-8"
    )
    _, bounded = diff()
    assert "verdicts, 20 of 180 (--all shows every one)" in bounded
    _, whole = diff("--all")
    assert sum("gas1/a21026 still:" in line for line in whole.splitlines()) == 180


def test_two_sites_are_compared_with_their_own_limits(there):
    shutil.copytree(there / "site", there / "other")
    for name in ("site", "other"):
        (there / name / "rules").mkdir()
        shutil.copy(there / "old" / "so2.yaml", there / name / "rules")
    limits = there / "other" / "registry" / "limits.csv"
    limits.write_text(limits.read_text(encoding="utf-8").replace("hour,35,", "hour,38,"), encoding="utf-8")
    result = CliRunner().invoke(app, ["rules", "diff", "site", "other", "--feed", "it.feed"])
    assert result.exit_code == 1
    assert "exceedance orange (37.5 mg/m3, limit 35, 60/60 valid) -> within" in " ".join(result.output.split())


def test_a_folder_without_rules_or_without_a_site_is_told(there):
    (there / "new" / "so2.yaml").unlink()
    with pytest.raises(SiteErrors, match="new: is neither a site nor a folder of rules"):
        diff()
    result = CliRunner().invoke(app, ["rules", "diff", "old", "old", "--feed", "it.feed"])
    assert "old: is no site (no site.yaml in it); name one with --site" in str(result.exception)


def test_a_file_named_like_one_of_the_library_replaces_it(there):
    site = there / "site" / "site.yaml"
    site.write_text(site.read_text(encoding="utf-8") + "library: [flue_gas]\n", encoding="utf-8")
    for name in ("old", "new"):
        (there / name / "so2.yaml").unlink()
        shutil.copy(ROOT / "rules" / "library" / "flue_gas.yaml", there / name)
    changed = there / "new" / "flue_gas.yaml"
    changed.write_text(changed.read_text(encoding="utf-8").replace("orange: 1.0", "orange: 1.1"), encoding="utf-8")
    code, text = diff("--json")
    assert code == 1
    assert {one["rule"] for one in json.loads(text)["counts"]} == {"flue_gas_hour"}


def listed(*arguments):
    result = CliRunner().invoke(app, ["rules", "list", "--site", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_list_names_every_rule_with_its_file_points_levels_clause_and_test():
    text = listed(ZUNYI)
    assert max(map(cell_len, text.splitlines())) <= WIDTH
    rows = json.loads(listed(ZUNYI, "--json"))
    assert [row["id"] for row in rows if row["id"] not in text] == []
    row = next(row for row in rows if row["id"] == "flue_gas_hour")
    assert (row["kind"], row["file"]) == ("limit", "rules/library/flue_gas.yaml")
    assert row["levels"] == {"yellow": 0.9, "orange": 1.0, "red": 2.0}
    assert row["select"]["medium"] == ["flue_gas"]
    assert row["points"] > 0
    assert row["clause"].startswith("HJ 75-2017")
    assert row["tested_by"] == "rules/library/flue_gas.test.yaml"
    assert [row["id"] for row in rows if row["tested_by"] is None] == []


def test_a_rule_of_the_site_that_no_test_names_says_so(there):
    (there / "site" / "rules").mkdir()
    (there / "site" / "rules" / "so2.yaml").write_text(RULES, encoding="utf-8")
    text = listed("site")
    assert "  tested by nothing: no test names it" in text
    assert text.endswith("1 rules, 1 without a test\n")
