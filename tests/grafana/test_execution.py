"""Every query of every board on a real InfluxDB that the real pipeline filled: something is there, the archive's own.

The centre is a civil day of the example site; what rightly finds nothing there is listed with the reason.
"""

import json
import re

import pytest

from contracts.series import MEASUREMENTS
from grafana.board import LABEL
from grafana.generate import DASHBOARDS
from grafana.query import Bindings, Query, from_json, influxql
from store.influx import query

from .answers import assert_same
from .centre import FROM_AT, SHOWN_TO_AT

pytestmark = pytest.mark.server

EMPTY = {  # (board, panel): why nothing is right
    ("park", 9): "no member of the example is metered",
}
NOT_ARCHIVED = {"health": "the writer's pulse is nowhere but in InfluxDB"}
ONE = {"station": ["XS-COAL-1"]}  # of boards of a single station
BOARDS = {
    path.relative_to(DASHBOARDS).as_posix(): json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(DASHBOARDS.glob("*/*.json"))
}


def bindings(board) -> Bindings:
    single = {one["name"] for one in board["templating"]["list"] if not one["multi"]}
    return Bindings(FROM_AT, SHOWN_TO_AT, {name: chosen for name, chosen in ONE.items() if name in single})


def panel_queries(board):
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield (board["uid"][3:-3], panel["id"]), panel["title"], from_json(target["greenisland"])
    for one in board["annotations"]["list"]:
        yield (board["uid"][3:-3], one["name"]), one["name"], from_json(one["target"]["greenisland"])


def served(centre, asked, bound):
    return query(centre.site.file.influxdb, influxql(asked, bound), bucket=asked.bucket)


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_finds_what_the_archive_holds(centre, name):
    bound, wrong = bindings(BOARDS[name]), []
    for key, title, asked in panel_queries(BOARDS[name]):
        found = served(centre, asked, bound)
        names = [one.called for one in asked.columns]
        is_empty = found.is_empty() or found.select(names).null_count().row(0) == (found.height,) * len(names)
        if is_empty != (key in EMPTY):
            wrong.append(f"{title}: {'nothing' if is_empty else 'something'} is there: {influxql(asked, bound)}")
        # the languages differ by their names' tags alone
        if asked.measurement not in NOT_ARCHIVED and name.startswith("zh/"):
            assert_same(asked, found, centre.rows.answer(asked, bound))
    assert wrong == []


@pytest.mark.parametrize("name", BOARDS)
def test_every_variable_offers_the_sites_own(centre, name):
    bound = bindings(BOARDS[name])
    label = re.compile(LABEL.strip("/").replace("(?<", "(?P<"))
    known = {
        "county": {one.county for one in (*centre.site.outlets, *centre.site.parks)},
        "park": {one.park for one in centre.site.parks} | {"-"},
        "enterprise": {one.enterprise or "-" for one in centre.site.outlets} | {"-"},
        "station": {one.station for one in centre.site.stations}
        | {f"park:{one.park}" for one in centre.site.parks}
        | {f"facility:{one.facility}" for one in centre.site.facilities},
    }
    for one in BOARDS[name]["templating"]["list"]:
        asked = from_json(one["greenisland"])
        offered = sorted(served(centre, asked, bound)["value"].to_list())
        assert offered == centre.rows.values(asked, bound)
        parts = [label.match(text) for text in offered]
        assert all(part and part["text"] for part in parts)
        found = {part["value"] for part in parts}
        if one["name"] == "factor":
            assert {"a21026", "zs_a21026"} <= found
        else:
            assert found == known[one["name"]]


def test_a_chosen_park_leaves_its_own_stations(centre):
    board = BOARDS["zh/overview.json"]
    [station] = [one for one in board["templating"]["list"] if one["name"] == "station"]
    bound = Bindings(FROM_AT, SHOWN_TO_AT, {"park": ["zhengan"]})
    offered = served(centre, from_json(station["greenisland"]), bound)["value"].to_list()
    assert {text.rpartition("[")[2][:-1] for text in offered} == {
        *(one.station for one in centre.site.stations if one.station.startswith("ZA-")),
        "park:zhengan",
        "facility:za-island",
        "facility:za-sewage",
    }


def test_a_chosen_station_narrows_every_panel_that_can_be(centre):
    board = BOARDS["en/limits.json"]
    bound = Bindings(FROM_AT, SHOWN_TO_AT, {"station": ["XS-CEMENT-1"], "factor": ["zs_a21002"]})
    for _, _, asked in panel_queries(board):
        found = served(centre, asked, bound)
        assert_same(asked, found, centre.rows.answer(asked, bound))
        if "place_en" in asked.group:
            assert set(found["place_en"]) == {"Xishui Works B (cement) Kiln-tail stack (DA001)"}


def test_the_limit_is_a_series_of_the_numbers_that_were_compared(centre):
    asked = next(
        asked
        for _, _, asked in panel_queries(BOARDS["zh/limits.json"])
        if isinstance(asked, Query) and asked.columns[0].field == "limit"
    )
    bound = Bindings(FROM_AT, SHOWN_TO_AT, {"station": ["XS-COAL-1"], "factor": ["zs_a21026"]})
    found = served(centre, asked, bound).drop_nulls("limit")
    by_name = {name: set(rows["limit"]) for (name,), rows in found.group_by("limit_id")}
    assigned = {
        one.limit_id: {one.limit}
        for one in centre.site.limits
        if one.outlet == "XS-A-DA001" and one.factor.removeprefix("zs_") == "a21026" and one.period == "hour"
    }
    assert by_name == assigned
    assert len(assigned) == 2


def test_nothing_written_was_refused_and_every_measurement_is_there(centre):
    assert not (centre.state_dir / "deadletter.ndjson").exists()
    for name, about in MEASUREMENTS.items():
        buckets = {"minute", "hour", "day"} if about.bucket is None else {about.bucket}
        for bucket in buckets:
            kinds = query(centre.site.file.influxdb, f'SHOW FIELD KEYS FROM "{name}"', bucket=bucket)
            found = dict(kinds.select("fieldKey", "fieldType").iter_rows())
            assert set(found.values()) <= {"float", "string"}
            assert found.keys() <= about.fields.keys()
            assert found, (name, bucket)
