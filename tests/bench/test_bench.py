"""The bench runs: every case gives finite, positive figures in the shape scripts read. Nothing here asserts speed."""

import json
import math

import pytest
from typer.testing import CliRunner

from app.bench import CASES
from app.bench.harness import WIDTH, Figure, Size, alternate, figure, ratios, table
from app.cli import app

FIGURE_KEYS = {"figure", "unit", "min", "median", "max", "wanted", "met"}


@pytest.mark.parametrize("case", CASES)
def test_a_case_gives_finite_positive_figures_as_json(case, tmp_path):
    result = CliRunner().invoke(app, ["bench", case, "--quick", "--json", "--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found) == {"machine", "folder", "quick", "cases"}
    assert found["machine"]["polars_threads"] >= 1
    assert list(found["cases"]) == [case]
    for one in found["cases"][case]:
        assert set(one) == FIGURE_KEYS
        assert one["unit"]
        assert len(one["figure"]) < 38  # a column of the table
        assert 0 < one["min"] <= one["median"] <= one["max"] < math.inf, one
        assert (one["wanted"] is None) == (one["met"] is None)
    names = [(one["figure"], one["unit"]) for one in found["cases"][case]]
    assert len(set(names)) == len(names)
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_an_unknown_case_is_refused_with_the_cases_there_are():
    result = CliRunner().invoke(app, ["bench", "speed"])
    assert result.exit_code == 2
    assert "speed" in result.stderr
    assert "decode" in result.stderr


def test_sides_are_measured_in_turn_and_the_first_turn_is_not_counted():
    turns = []
    a, b = alternate(3, lambda: turns.append("A"), lambda: turns.append("B"))
    assert "".join(turns) == "ABABABAB"
    assert [len(side) for side in (a.wall, a.cpu, b.wall, b.cpu)] == [3, 3, 3, 3]


def test_a_ratio_is_of_neighbours_in_time():
    assert ratios([2, 12], [1, 4]) == [2, 3]


@pytest.mark.parametrize(("wanted", "met"), [(("<=", 2), True), (("<=", 1.9), False), ((">=", 2), True), (None, None)])
def test_what_is_wanted_is_held_against_the_median(wanted, met):
    assert figure("f", "ratio", [1, 2, 9], wanted).met is met


def test_the_table_fits_eighty_columns():
    figures = [Figure("n" * 38, "readings/s", 0.001234, 123_456.7, 12_345_678.9, ("<=", 1.3))]
    assert max(map(len, table("replay", figures).splitlines())) <= WIDTH


def test_a_size_never_shrinks_work_to_nothing(tmp_path):
    assert Size(0.001, 1, tmp_path).of(50) == 1
