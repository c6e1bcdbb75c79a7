"""The bench runs: every case gives finite, positive figures in the shape scripts read. Nothing here asserts speed."""

import json
import math

import pytest
from typer.testing import CliRunner

from app.bench.cases import CASES
from app.bench.generator import rounds_of
from app.bench.harness import WIDTH, Figure, Size, Skipped, alternate, figure, ratios, table
from app.bench.workload import FACTORS, site_of
from app.cli import app

FIGURE_KEYS = {"figure", "unit", "min", "median", "max", "wanted", "met"}


LONG = ("latency", "memory", "recovery-hour")  # however quick they are made


@pytest.mark.parametrize("case", [pytest.param(one, marks=[pytest.mark.long] if one in LONG else []) for one in CASES])
def test_a_case_gives_finite_positive_figures_as_json(case, tmp_path, require_program):
    if case in ("ingest", "latency"):
        require_program("mosquitto")
    result = CliRunner().invoke(app, ["bench", case, "--quick", "--json", "--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found) == {"machine", "folder", "quick", "cases", "skipped"}
    assert found["skipped"] == {}
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


@pytest.mark.long
def test_an_hour_of_readings_a_second_is_made_and_recovered(tmp_path):
    """Two stations for twelve seconds: the last checkpoint is a second old, and without any all twelve are read."""
    found = {(one.name, one.unit): one for one in CASES["recovery-hour"](Size(0.001, 1, tmp_path))}
    assert {"recovery, checkpoint 1 s old", "recovery without a checkpoint"} <= {name for name, _ in found}
    assert all(0 < one.low <= one.median <= one.high < math.inf for one in found.values())


def test_what_takes_too_long_is_measured_only_when_it_is_named(monkeypatch):
    measured = []
    for name in CASES:
        monkeypatch.setitem(CASES, name, lambda _size, name=name: measured.append(name) or [figure("f", "s", [1])])
    assert CliRunner().invoke(app, ["bench", "--quick", "--json"]).exit_code == 0
    assert set(CASES) - set(measured) == {"recovery-hour"}


def test_a_case_this_machine_lacks_something_for_is_skipped_and_says_what(monkeypatch):
    def lacking(_size):
        raise Skipped("there is no broker")

    monkeypatch.setitem(CASES, "lacking", lacking)
    result = CliRunner().invoke(app, ["bench", "lacking", "--quick", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["cases"], found["skipped"]) == ({}, {"lacking": "there is no broker"})
    assert "skipped lacking: there is no broker" in result.stderr


def test_a_load_round_is_whole_publish_packets_of_which_none_is_the_identifier_of_another():
    site = site_of(outlets=2, stations=3)
    first, second = (packets_of(b"".join(made)) for made in rounds_of(site, parts=4)[:2])
    assert [packet["topic"] for packet in first] == [f"gi/{station.station}/json" for station in site.stations]
    assert {packet["qos"] for packet in first} == {1}
    identifiers = [packet["identifier"] for packet in first + second]  # both may be unacknowledged at once
    assert len(set(identifiers)) == len(identifiers)
    assert all(len(json.loads(packet["payload"])["readings"]) == FACTORS for packet in first)


def packets_of(data):
    """PUBLISH packets read back as MQTT 3.1.1 (3.3) has them."""
    found, at = [], 0
    while at < len(data):
        header, length, shift, at = data[at], 0, 0, at + 1
        while True:
            length |= (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 128:
                break
        body, at = data[at : at + length], at + length
        end = 2 + int.from_bytes(body[:2], "big")
        about = {"qos": header >> 1 & 3, "identifier": int.from_bytes(body[end : end + 2], "big")}
        found.append({**about, "topic": body[2:end].decode(), "payload": body[end + 2 :]})
    return found


def test_an_unknown_case_is_refused_with_the_cases_there_are():
    result = CliRunner().invoke(app, ["bench", "speed"])
    assert result.exit_code == 2
    assert "speed" in result.stderr
    assert "decode" in result.stderr


def test_days_of_archive_are_for_the_case_that_makes_one(tmp_path):
    result = CliRunner().invoke(app, ["bench", "rules", "--days", "365"])
    assert result.exit_code == 2
    assert "rejudge" in result.stderr
    quick = ["bench", "rejudge", "--quick", "--json", "--folder", str(tmp_path), "--days", "3"]
    assert CliRunner().invoke(app, quick).exit_code == 0


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
