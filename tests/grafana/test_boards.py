"""The boards' structure: what Grafana and the viewer rely on, checked on the committed JSON."""

import json
import re
from itertools import combinations

import pytest

from contracts.series import LABELS, MEASUREMENTS, PERIOD_BUCKET
from grafana.generate import DASHBOARDS, differing
from grafana.look import LEVELS, SEVERITIES, WELL
from grafana.query import Query, TagValues, from_json, has_zone, influxql, seconds

FILES = sorted(DASHBOARDS.glob("*/*.json"))
BOARDS = {path.relative_to(DASHBOARDS).as_posix(): json.loads(path.read_text(encoding="utf-8")) for path in FILES}
named = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)

# what 1.x, 2.x and 3 Core do not share, or understand differently
NOT_PORTABLE = re.compile(
    r"\bOVER\b|\bWINDOW\b|\bSLIMIT\b|\bSOFFSET\b|\bINTO\b|\bSAMPLE\(|HOLT_WINTERS|\(\s*SELECT\b|\"\.\"|\bSHOW SERIES\b",
    re.I,
)
UNITS = {"none", "short", "percent", "s", "kwatt", "kwatth", "suffix: kg/h", "suffix: kgce"}


def targets(board):
    """(whose, target, object) of every panel and annotation."""
    found = [(panel["title"], target) for panel in board["panels"] for target in panel["targets"]]
    found += [(one["name"], one["target"]) for one in board["annotations"]["list"]]
    return [(whose, target, from_json(target["greenisland"])) for whose, target in found]


def variables(board):
    return board["templating"]["list"]


def queries(board):
    return [asked for _, _, asked in targets(board)] + [from_json(one["greenisland"]) for one in variables(board)]


def test_the_committed_boards_are_what_the_source_makes():
    assert differing() == [], "run `make boards`"


def test_every_board_is_there_in_both_languages_with_its_own_uid_and_title():
    assert {name.split("/")[1] for name in BOARDS if name.startswith("zh/")} == {
        name.split("/")[1] for name in BOARDS if name.startswith("en/")
    }
    for key in ("uid", "title"):
        told = [board[key] for board in BOARDS.values()]
        assert len(set(told)) == len(told) == 16
    for name, board in BOARDS.items():
        language, _, file = name.partition("/")
        assert board["uid"] == f"gi-{file.removesuffix('.json')}-{language}"


def test_both_languages_ask_the_same_and_look_the_same():
    def shape(board):
        return [(one["id"], one["type"], one["gridPos"], len(one["targets"])) for one in board["panels"]]

    for name, board in BOARDS.items():
        if name.startswith("zh/"):
            other = BOARDS[name.replace("zh/", "en/")]
            assert shape(board) == shape(other)
            assert [one["name"] for one in variables(board)] == [one["name"] for one in variables(other)]
            for (_, one, _), (_, two, _) in zip(targets(board), targets(other), strict=True):
                assert re.sub("_zh", "_en", one["query"]) == two["query"]


@named
def test_panels_have_an_id_a_unit_and_words_for_what_they_show_and_for_being_empty(board):
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        assert panel["title"]
        about, _, empty = panel["description"].partition("\n\n")
        assert len(about) >= 6
        assert re.match(r"空|Empty|Blank", empty), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["datasource"]["uid"].startswith("gi-")
        assert panel["targets"]


@named
def test_panels_lie_on_the_grid_and_on_nobody_else(board):
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 and place["w"] > 0 and place["h"] > 0 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_wall_needs_no_scrolling(language):
    """Of 1080 pixels Grafana's kiosk leaves room for some 28 rows of 38 pixels."""
    places = [panel["gridPos"] for panel in BOARDS[f"{language}/overview.json"]["panels"]]
    assert max(place["y"] + place["h"] for place in places) <= 24


@named
def test_the_text_of_a_target_is_what_its_object_says(board):
    for whose, target, asked in targets(board):
        assert target["query"] == influxql(asked), whose
    for one in variables(board):
        assert one["query"] == influxql(from_json(one["greenisland"]))


@named
def test_queries_use_only_what_every_server_knows(board):
    for _, target, _ in targets(board):
        assert not NOT_PORTABLE.search(target["query"])
    for asked in queries(board):
        if isinstance(asked, Query) and asked.every not in (None, "auto"):
            assert (seconds(asked.every) >= 3600) == has_zone(asked)
            assert has_zone(asked) == influxql(asked).endswith(" tz('Asia/Shanghai')")


@named
def test_queries_name_measurements_tags_and_fields_there_are(board):
    for asked in queries(board):
        about = MEASUREMENTS[asked.measurement]
        buckets = set(PERIOD_BUCKET.values()) if about.bucket is None else {about.bucket}
        assert asked.bucket in buckets
        assert set(asked.names) <= {*about.tags, *about.fields}
        if isinstance(asked, TagValues):
            assert asked.tag in LABELS
            continue
        assert set(asked.group) <= set(about.tags)
        for one in asked.columns:
            if one.aggregation:
                assert one.field in about.fields
            if one.aggregation in ("mean", "min", "max", "sum"):
                assert about.fields[one.field] == "float"


@named
def test_a_last_value_is_one_of_one_series(board):
    """Of several points of one instant `last` may be any."""
    one_of = {"reading": {"kind", "period_s"}, "aggregate": set(), "verdict": {"rule", "limit_id"}, "health": set()}
    for whose, _, asked in targets(board):
        if any(one.aggregation == "last" for one in asked.columns) and asked.measurement != "health":
            assert {"station", "factor", *one_of[asked.measurement]} <= set(asked.group), whose


@named
def test_every_variable_used_exists_and_offers_what_those_before_it_leave(board):
    defined = [one["name"] for one in variables(board)]
    assert len(set(defined)) == len(defined)
    used = {str(where.value) for asked in queries(board) for where in asked.where if where.operator == "=~"}
    assert used <= set(defined)
    for n, one in enumerate(variables(board)):
        asked = from_json(one["greenisland"])
        assert {where.value for where in asked.where} <= set(defined[:n])
        assert one["allValue"] == ".*" if one["multi"] else "allValue" not in one


@named
def test_every_link_leads_to_a_board_of_the_same_language_and_carries_the_choice(board):
    uids = {one["uid"] for one in BOARDS.values()}
    text = json.dumps(board, ensure_ascii=False)
    for uid in re.findall(r'"/d/([a-z-]+)\?', text):
        assert uid in uids
        assert uid[-3:] == board["uid"][-3:]
    [link] = board["links"]
    assert link["includeVars"] and link["keepTime"] and link["tags"] == [board["tags"][1]]  # noqa: PT018


@named
def test_headings_of_a_table_are_columns_of_its_answer(board):
    for panel in board["panels"]:
        for made in panel["transformations"]:
            there = {"Time"} | {
                name
                for target in panel["targets"]
                for name in (*from_json(target["greenisland"]).group, *map_names(target))
            }
            if made["id"] == "organize":
                assert set(made["options"]["renameByName"]) <= there
                assert set(made["options"]["excludeByName"]) <= there
                headings = list(made["options"]["renameByName"].values())
                assert len(set(headings)) == len(headings), panel["title"]
            if made["id"] == "sortBy":
                assert {one["field"] for one in made["options"]["sort"]} <= there


def map_names(target):
    return [one.called for one in from_json(target["greenisland"]).columns]


def test_a_colour_of_a_level_is_never_that_of_what_is_well():
    assert {colour for colour, _, _ in LEVELS.values()} & {WELL} == set()
    assert SEVERITIES[-1][0] not in (WELL, *(colour for colour, _, _ in LEVELS.values()))


@named
def test_every_alias_names_tags_of_its_group(board):
    for _, target, asked in targets(board):
        for tag in re.findall(r"\$tag_(\w+)", target.get("alias", "")):
            assert tag in asked.group
