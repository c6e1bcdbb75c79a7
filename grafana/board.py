"""Boards as classic Grafana JSON (schema 42), from a few kinds of panels. Pure.

Promises: the same source gives the same bytes; every panel says what it shows and what it means when it is empty; every
target carries its query as an object beside the text.
Does not promise: to cover what Grafana can do; a panel the built-in viewer cannot draw has no kind here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.factors import standard_factors

from .look import PLAIN_STEPS, Language, Say, say_in, thresholds
from .query import ZONE, Query, TagValues, Where, as_json, influxql

SCHEMA_VERSION = 42
COLUMNS = 24
LABEL = r"/^(?<text>.*) \[(?<value>[^\]]*)\]$/"  # "name [identifier]"
UNIT = "$tag_unit"  # a series whose name ends in it is drawn on its unit's axis, where the panel has no unit
# values are kept in these, and mass rates in kg/h; a number without a unit has the panel's own axis
_UNITS = sorted({one.unit for one in standard_factors().values()} - {"1"} | {"kg/h"})
SOURCES = {bucket: {"type": "influxdb", "uid": f"gi-{bucket}"} for bucket in ("raw", "minute", "hour", "day", "events")}

Json = dict[str, Any]


@dataclass(frozen=True)
class Target:
    query: Query
    alias: str = ""  # of series, with $tag_<name> and $col; see UNIT
    is_dashed: bool = False  # drawn as a limit


@dataclass(frozen=True)
class Panel:
    """`about` says what it shows, `empty` what it means that nothing is there."""

    id: int
    kind: str  # timeseries, stat, bargauge, table, state-timeline, status-history
    title: str
    about: str
    empty: str
    targets: tuple[Target, ...]
    unit: str = "none"  # Grafana's name of a unit, or "short", "suffix: ..."
    steps: tuple[tuple[float | None, str], ...] = PLAIN_STEPS
    mappings: Sequence[Json] = ()
    decimals: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    no_value: str = ""  # what a stat says where nothing is there
    is_bars: bool = False
    colours: dict[str, str] = field(default_factory=dict)  # series by its name
    sort_by: str | None = None  # column of a table or bar gauge, descending
    limit: int | None = None  # rows of it
    columns: tuple[tuple[str, str], ...] = ()  # of a table: column, heading; in order; others are hidden
    mapped: dict[str, Sequence[Json]] = field(default_factory=dict)  # of a table: column -> value mappings
    units: dict[str, str] = field(default_factory=dict)  # of a table: column -> unit
    link: tuple[str, str] | None = None  # of a table's rows: title, address


@dataclass(frozen=True)
class Variable:
    name: str
    label: str
    query: TagValues
    is_multi: bool = True
    default: tuple[str, str] | None = None  # value, text: chosen at first where it is offered; None: all


@dataclass(frozen=True)
class Annotation:
    name: str
    query: Query
    colour: str
    text: str  # columns of the answer
    tags: str = ""
    until: str = ""  # column with the end in ms


@dataclass(frozen=True)
class Board:
    uid: str  # without the language
    title: str
    about: str
    rows: tuple[tuple[int, tuple[tuple[int, Panel], ...]], ...]  # (height, ((width, panel), ...)), ...
    variables: tuple[Variable, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    range: tuple[str, str] = ("now-24h", "now")
    refresh: str = "30s"


def words(language: Language) -> Say:
    return say_in(language)


def uid_of(uid: str, language: Language) -> str:
    return f"gi-{uid}-{language}"


def render(board: Board, language: Language) -> Json:
    """The board's JSON."""
    say = say_in(language)
    panels, y = [], 0
    for height, row in board.rows:
        x = 0
        for width, panel in row:
            panels.append(_panel(panel, {"x": x, "y": y, "w": width, "h": height}))
            x += width
        y += height
    return {
        "uid": uid_of(board.uid, language),
        "title": board.title,
        "description": board.about,
        "tags": ["greenisland", f"greenisland-{language}"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": ZONE,
        "time": {"from": board.range[0], "to": board.range[1]},
        "refresh": board.refresh,
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
        "weekStart": "monday",
        "fiscalYearStartMonth": 0,
        "links": [
            {
                "type": "dashboards",
                "title": say("相关看板", "Boards"),
                "tags": [f"greenisland-{language}"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "templating": {"list": [_variable(one, say) for one in board.variables]},
        "annotations": {"list": [_annotation(one) for one in board.annotations]},
        "panels": panels,
    }


def _variable(one: Variable, say: Say) -> Json:
    everything = {"text": say("全部", "All"), "value": "$__all"}
    first = everything if one.default is None else dict(zip(("value", "text"), one.default, strict=True))
    current = {key: [value] for key, value in first.items()} if one.is_multi else {}
    return {
        "type": "query",
        "name": one.name,
        "label": one.label,
        "datasource": SOURCES[one.query.bucket],
        "query": influxql(one.query),
        "definition": influxql(one.query),
        "regex": LABEL,
        "refresh": 1,
        "sort": 1,
        "multi": one.is_multi,
        "includeAll": one.is_multi,
        **({"allValue": ".*"} if one.is_multi else {}),
        "current": current,
        "options": [],
        "hide": 0,
        "greenisland": as_json(one.query),
    }


def _annotation(one: Annotation) -> Json:
    return {
        "name": one.name,
        "datasource": SOURCES[one.query.bucket],
        "enable": True,
        "hide": False,
        "iconColor": one.colour,
        "target": {  # what InfluxDB's own editor of annotations writes
            "refId": "Anno",
            "query": influxql(one.query),
            "rawQuery": True,
            "queryType": "tags",
            "fromAnnotations": True,
            "textEditor": True,
            "textColumn": one.text,
            "tagsColumn": one.tags,
            "timeEndColumn": one.until,
            "titleColumn": "",
            "greenisland": as_json(one.query),
        },
    }


def _panel(one: Panel, place: Json) -> Json:
    return {
        "id": one.id,
        "type": one.kind,
        "title": one.title,
        "description": f"{one.about}\n\n{one.empty}",
        "gridPos": place,
        "datasource": SOURCES[one.targets[0].query.bucket],
        "targets": [_target(target, "ABCDEFGH"[n], one.kind) for n, target in enumerate(one.targets)],
        "fieldConfig": {"defaults": _defaults(one), "overrides": _overrides(one)},
        "options": _OPTIONS[one.kind](one),
        "transformations": _transformations(one),
    }


def _target(one: Target, ref: str, kind: str) -> Json:
    is_table = kind in ("table", "bargauge")
    return {
        "refId": ref,
        "datasource": SOURCES[one.query.bucket],
        "query": influxql(one.query),
        "rawQuery": True,
        "resultFormat": "table" if is_table else "time_series",
        **({"alias": one.alias} if one.alias else {}),
        "greenisland": as_json(one.query),
    }


def _defaults(one: Panel) -> Json:
    custom: Json = {}
    if one.kind == "timeseries":
        custom = {
            "drawStyle": "bars" if one.is_bars else "line",
            "lineWidth": 1,
            "fillOpacity": 60 if one.is_bars else 0,
            "showPoints": "auto",
            "spanNulls": False,  # a gap is a gap
            "axisPlacement": "auto",
            "thresholdsStyle": {"mode": "off"},
        }
    elif one.kind in ("state-timeline", "status-history"):
        custom = {"fillOpacity": 80, "lineWidth": 0}
    elif one.kind == "table":
        custom = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}
    made: Json = {
        "unit": one.unit,
        "mappings": list(one.mappings),
        "thresholds": thresholds(one.steps),
        "color": {"mode": "thresholds" if one.kind != "timeseries" else "palette-classic"},
        "custom": custom,
    }
    given = {"decimals": one.decimals, "min": one.minimum, "max": one.maximum, "noValue": one.no_value or None}
    return made | {key: value for key, value in given.items() if value is not None}


def _overrides(one: Panel) -> list[Json]:
    made = [
        {
            "matcher": {"id": "byFrameRefID", "options": "ABCDEFGH"[n]},
            "properties": [
                {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
                {"id": "custom.lineWidth", "value": 2},
                {"id": "custom.lineInterpolation", "value": "stepAfter"},
            ],
        }
        for n, target in enumerate(one.targets)
        if target.is_dashed
    ]
    for name, colour in one.colours.items():
        made.append(
            {
                "matcher": {"id": "byName", "options": name},
                "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
            }
        )
    if one.unit == "short" and any(target.alias.endswith(UNIT) for target in one.targets):
        for unit in _UNITS:
            pattern = "/ " + unit.replace("/", "\\/") + "$/"
            value = "percent" if unit == "%" else f"suffix: {unit}"
            made.append(
                {
                    "matcher": {"id": "byRegexp", "options": pattern},
                    "properties": [{"id": "unit", "value": value}],
                }
            )
    for column, table in one.mapped.items():
        made.append(
            {
                "matcher": {"id": "byName", "options": dict(one.columns).get(column, column)},
                "properties": [
                    {"id": "mappings", "value": list(table)},
                    {"id": "custom.cellOptions", "value": {"type": "color-text"}},
                ],
            }
        )
    for column, unit in one.units.items():
        made.append(
            {
                "matcher": {"id": "byName", "options": dict(one.columns).get(column, column)},
                "properties": [{"id": "unit", "value": unit}],
            }
        )
    if one.link is not None:
        title, address = one.link
        made.append(
            {
                "matcher": {"id": "byName", "options": one.columns[1][1]},
                "properties": [{"id": "links", "value": [{"title": title, "url": address, "targetBlank": False}]}],
            }
        )
    return made


def _transformations(one: Panel) -> list[Json]:
    made: list[Json] = []
    if one.sort_by is not None:
        made.append({"id": "sortBy", "options": {"fields": {}, "sort": [{"field": one.sort_by, "desc": True}]}})
    if one.limit is not None:
        made.append({"id": "limit", "options": {"limitField": one.limit}})
    if one.columns:
        shown = [name for name, _ in one.columns]
        there = [column for target in one.targets for column in answered(target.query)]
        made.append(
            {
                "id": "organize",
                "options": {
                    "indexByName": {name: n for n, name in enumerate(shown)},
                    "renameByName": dict(one.columns),
                    "excludeByName": {name: True for name in dict.fromkeys(there) if name not in shown},
                },
            }
        )
    return made


def answered(query: Query) -> tuple[str, ...]:
    """The columns of a table: Grafana calls the instant Time."""
    return ("Time", *query.group, *(one.called for one in query.columns))


_REDUCE: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}

_OPTIONS = {
    "timeseries": lambda one: {  # noqa: ARG005
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": lambda one: {  # noqa: ARG005
        "reduceOptions": _REDUCE,
        "colorMode": "background",
        "graphMode": "none",
        "textMode": "auto",
        "justifyMode": "center",
        "orientation": "auto",
    },
    "bargauge": lambda one: {
        "reduceOptions": {**_REDUCE, "values": True, "limit": one.limit or 25},
        "displayMode": "basic",
        "orientation": "horizontal",
        "valueMode": "color",
        "showUnfilled": True,
        "namePlacement": "left",
        "sizing": "auto",
    },
    "table": lambda one: {"showHeader": True, "cellHeight": "sm"},  # noqa: ARG005
    "state-timeline": lambda one: {  # noqa: ARG005
        "mergeValues": True,
        "showValue": "never",
        "alignValue": "left",
        "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    },
    "status-history": lambda one: {  # noqa: ARG005
        "showValue": "never",
        "rowHeight": 0.9,
        "colWidth": 0.95,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    },
}

# -- what most boards choose from

CHOSEN = tuple(Where(name, "=~", name) for name in ("county", "park", "enterprise", "station"))
OF_STATION = (Where("station", "=~", "station"),)
OF_FACTOR = (Where("factor", "=~", "factor"),)


def to_station(say: Say, language: Language) -> tuple[str, str]:
    """The link of a table's rows whose second column is a station."""
    return say("站点详情", "Station"), _of_station("station", language)


def to_limits(say: Say, language: Language) -> tuple[str, str]:
    """Likewise, to all factors of it."""
    return say("限值与趋势", "Limits and trends"), f"{_of_station('limits', language)}&var-factor=$__all"


def _of_station(uid: str, language: Language) -> str:
    return f"/d/{uid_of(uid, language)}?var-station=${{__value.raw}}&${{__url_time_range}}"


def variables(
    say: Say, language: Language, *names: str, single: str = "", factor: tuple[str, str] | None = None
) -> tuple[Variable, ...]:
    """County, park, enterprise, station, factor, those named; each offers what those before it leave.

    single: of which one is chosen, not several; factor: the one chosen at first, value and text.
    """
    labels = {
        "county": say("区县", "County"),
        "park": say("园区", "Park"),
        "enterprise": say("企业", "Enterprise"),
        "station": say("站点", "Station"),
        "factor": say("因子", "Factor"),
    }
    made = []
    for n, name in enumerate(names):
        where = tuple(Where(before, "=~", before) for before in names[:n])
        query = TagValues("events", "registry", f"{name}_{language}", where)
        default = factor if name == "factor" else None
        made.append(Variable(name, labels[name], query, is_multi=name != single, default=default))
    return tuple(made)
