"""Every anomaly of the table is either seen by a shipped rule or the guide says why not."""

import re
from pathlib import Path

from app.site.rule_files import library_files, read_rule_file
from rules.tables.reference import anomaly_rules

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "anomalies.md"
ROWS = re.findall(r"^\| (AN\d\d) [^|]+\|([^|]+)\|([^|]*)\|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_row_of_the_table_is_in_the_guide_once():
    assert [row for row, _, _ in ROWS] == sorted(anomaly_rules())


def test_rules_the_guide_names_are_shipped_and_where_none_is_it_says_why():
    shipped = {one.rule.id for path in library_files().values() for one in read_rule_file(path)}
    for row, seen_by, how in ROWS:
        named = re.findall(r"`([a-z_]+)`", seen_by)
        assert set(named) <= shipped, row
        assert named or how.strip(), row
