"""A site is read whole, or every mistake in it is told with file, line, key and what would be right.

Golden cases: a folder of tests/golden/site_errors holds the files that differ from `base/` (absent.txt
lists those taken away) and the text expected.
"""

import csv
import re
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from app.site.files import TABLES, load_site
from app.site.yaml_lines import SiteErrors, _FastLoader, _Loader, _read, read_yaml_with_lines, validate
from contracts import site as contract
from contracts.channels import CHANNELS

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "site_errors"
CASES = sorted(folder.name for folder in GOLDEN.iterdir() if folder.name != "base")


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    """A copy of the base site, which is also the current folder."""
    shutil.copytree(GOLDEN / "base", tmp_path / "site")
    monkeypatch.chdir(tmp_path / "site")
    return tmp_path / "site"


@pytest.mark.parametrize("case", CASES)
def test_golden_mistakes_are_told_in_the_users_words(case, base):
    shutil.copytree(GOLDEN / case, base, dirs_exist_ok=True)
    for line in (GOLDEN / case / "absent.txt").read_text().split() if (GOLDEN / case / "absent.txt").exists() else ():
        (base / line).unlink()
    with pytest.raises(SiteErrors) as refused:
        load_site(Path())
    assert str(refused.value) == (GOLDEN / case / "expected.txt").read_text(encoding="utf-8").rstrip("\n")


def test_every_golden_case_expects_something():
    assert CASES
    for case in CASES:
        assert (GOLDEN / case / "expected.txt").read_text(encoding="utf-8").strip(), case


def test_a_whole_site_is_read_with_its_types(base):
    site = load_site(base)
    assert site.time_zone == "Asia/Shanghai"
    assert site.file.lateness == timedelta(hours=26)
    assert [row.station for row in site.stations] == ["gas1", "water1", "power1"]
    so2 = site.points[1]
    assert (so2.unit, so2.ref_o2_pct, so2.valid_from, so2.kind, so2.period_s) == (
        "mg/m3",
        6.0,
        date(2024, 1, 1),
        "rtd",
        0,
    )
    assert site.points[2].period_s == 3600
    assert site.limits[0].comparison == "full_value"
    assert site.limits[1].decimals == 0
    assert site.factors["w01018"].unit == "mg/L"
    assert site.parks == ()


def test_a_factor_row_of_the_site_replaces_the_standards(base):
    rows = "code,name_zh,name_en,unit,decimals\na21028,,,ppm,6\nx90001,新因子,New factor,mg/m3,3\n"
    (base / "registry" / "factors.csv").write_text(rows, encoding="utf-8")
    factors = load_site(base).factors
    assert (factors["a21028"].unit, factors["a21028"].name_en) == ("ppm", "Hydrogen sulfide")
    assert factors["x90001"].decimals == 3


def test_a_spreadsheets_byte_order_mark_crlf_spaces_and_empty_lines_are_no_mistakes(base):
    path = base / "registry" / "stations.csv"
    lines = [line.replace(",", " , ") for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_bytes(("﻿" + "\r\n".join([*lines, "", ",,,,"]) + "\r\n").encode())
    assert [row.outlet for row in load_site(base).stations] == ["stack1", "sewer1", "meter1"]


def test_a_line_number_counts_lines_inside_quoted_cells(base):
    path = base / "registry" / "outlets.csv"
    text = path.read_text(encoding="utf-8").replace("Stack 1", '"Stack 1\nnorth"').replace("waste_water", "wastewater")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SiteErrors, match=re.escape("registry/outlets.csv:4: medium: 'wastewater' is not one of")):
        load_site(base)


def test_a_file_that_is_not_utf8_is_told_and_not_blamed_on_its_neighbours(base):
    path = base / "registry" / "stations.csv"
    path.write_bytes(path.read_text(encoding="utf-8").encode("gbk"))
    with pytest.raises(SiteErrors) as refused:
        load_site(base)
    assert [error.message for error in refused.value.errors] == ["is not UTF-8 text; save it as 'CSV UTF-8'"]


def test_a_directory_without_a_site_file_is_no_site(tmp_path):
    with pytest.raises(SiteErrors, match="is not a site"):
        load_site(tmp_path)


class Inner(BaseModel, extra="forbid"):
    tick_s: int = 1


class Outer(BaseModel, extra="forbid"):
    name: str
    inner: list[Inner] = []


def read(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    data, line_of = read_yaml_with_lines(path)
    return path, data, line_of


def test_lines_are_those_of_the_keys_and_items(tmp_path):
    _, data, line_of = read(tmp_path, "name: a\ninner:\n  - tick_s: 1\n  - # two\n    tick_s: 2\n")
    assert data == {"name": "a", "inner": [{"tick_s": 1}, {"tick_s": 2}]}
    assert [line_of(loc) for loc in ((), ("inner",), ("inner", 1), ("inner", 1, "tick_s"))] == [1, 2, 5, 5]
    assert line_of(("inner", "a union's tag", 0, "tick_s", "int")) == 3


def test_unknown_keys_are_told_with_the_key_meant(tmp_path):
    path, data, line_of = read(tmp_path, "inner:\n  - tickk: 1\n")
    model, errors = validate(Outer, data, path, line_of)
    assert model is None
    assert [(error.line, error.key, error.message) for error in errors] == [
        (1, "name", "is missing"),
        (2, "inner[0]", "unknown key 'tickk'; did you mean 'tick_s'?"),
    ]


def test_yaml_is_read_as_1_2_reads_it(tmp_path):
    _, data, _ = read(tmp_path, "on: off\nat: 12:30\nday: 2026-01-31\nn: 010\nx: 1e3\nt: true\nnothing:\nd: -30m\n")
    expected = {"on": "off", "at": "12:30", "day": "2026-01-31", "n": 10, "x": 1000.0, "t": True, "nothing": None}
    assert data == {**expected, "d": "-30m"}


def test_anchors_and_merges_are_fine_and_keys_written_twice_are_not(tmp_path):
    text = "base: &b {x: 1}\ncopy: *b\nmerged:\n  <<: *b\n  y: 2\n"
    assert read(tmp_path, text)[1]["merged"] == {"x": 1, "y": 2}
    with pytest.raises(SiteErrors, match=r"file.yaml:3: a.b: the key is written twice; it stands on line 2 already"):
        read(tmp_path, "a:\n  b: 1\n  b: 2\n")
    with pytest.raises(SiteErrors, match="an anchor holds itself"):
        read(tmp_path, "a: &a [*a]\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", r"file.yaml:\d: is not YAML: "),
        ("", "file.yaml:1: is empty"),
        ("a: \x07", "is not text"),
        ("\ta: 1", "is not YAML"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(SiteErrors, match=told):
        read(tmp_path, text)


def documented_models():
    yaml_models = [contract.SiteFile, contract.Broker, contract.Influx, contract.Hold, contract.Portal]
    return [*yaml_models, *CHANNELS, contract.ValidityOverride, *(model for model, _ in TABLES.values())]


@pytest.mark.parametrize("model", documented_models(), ids=lambda model: model.__name__)
def test_every_key_and_column_is_in_the_guide(model):
    guide = (ROOT / "docs" / "guide" / "site.md").read_text(encoding="utf-8")
    assert [name for name in model.model_fields if f"`{name}`" not in guide] == []


def test_the_base_site_has_a_row_in_every_golden_table():
    for path in sorted((GOLDEN / "base" / "registry").glob("*.csv")):
        with path.open(encoding="utf-8") as lines:
            assert len(list(csv.reader(lines))) > 1, path.name


def test_what_is_read_fast_is_what_the_reader_that_explains_reads():
    folders = ("deploy/sites", "rules/library", "tests/golden")
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.yaml"))
    differing = []
    for path in paths:
        text = path.read_text(encoding="utf-8-sig")
        try:
            data, lines = _read(_Loader(text), path)
        except (yaml.YAMLError, SiteErrors):
            continue  # the goldens hold what it says
        fast, fast_lines = _read(_FastLoader(text), path)
        if (fast, vars(fast_lines)) != (data, vars(lines)):
            differing.append(path)
    assert len(paths) > 60
    assert differing == []
