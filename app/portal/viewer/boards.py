"""The committed dashboards as the viewer reads them: panels with their queries as objects, variables, annotations.

Promises: what is drawn is what Grafana is given, the same files. Does not promise to draw panels of other origin.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from grafana.generate import DASHBOARDS
from grafana.query import Query, TagValues, from_json

Language = Literal["zh", "en"]
Json = Mapping[str, Any]
ALL = "$__all"  # of a variable's values
# as people go through them; a board that is not named here comes after these
ORDER = ("overview", "exceedances", "limits", "validity", "park", "energy", "station", "pipeline")


@dataclass(frozen=True)
class Target:
    ref: str
    query: Query
    alias: str


@dataclass(frozen=True)
class Panel:
    id: int
    kind: str
    title: str
    about: str
    empty: str  # what it means that nothing is there
    x: int
    y: int
    width: int
    height: int
    targets: tuple[Target, ...]
    defaults: Json
    overrides: tuple[Json, ...]
    options: Json
    transformations: tuple[Json, ...]


@dataclass(frozen=True)
class Variable:
    name: str
    label: str
    is_multi: bool
    default: tuple[str, ...]  # chosen at first, where they are offered; (): all
    query: TagValues
    pattern: re.Pattern[str]  # takes "name [identifier]" apart

    def parted(self, label: str) -> tuple[str, str]:
        """(value, text)"""
        found = self.pattern.match(label)
        return (found["value"], found["text"]) if found else (label, label)


@dataclass(frozen=True)
class Annotation:
    name: str
    query: Query
    colour: str
    text: str
    tags: str
    until: str


@dataclass(frozen=True)
class Board:
    uid: str
    name: str  # without the prefix and the language
    language: Language
    title: str
    about: str
    range: tuple[str, str]
    refresh_s: float
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...]
    annotations: tuple[Annotation, ...]

    @property
    def rows(self) -> int:
        return max(one.y + one.height for one in self.panels)


@cache
def boards(language: Language) -> tuple[Board, ...]:
    found = [
        _board(json.loads(path.read_text(encoding="utf-8")), path.stem, language)
        for path in sorted((DASHBOARDS / language).glob("*.json"))
    ]
    return tuple(sorted(found, key=lambda one: (one.name not in ORDER, (*ORDER, one.name).index(one.name))))


def board(uid: str) -> Board | None:
    return next((one for language in ("zh", "en") for one in boards(language) if one.uid == uid), None)  # type: ignore[arg-type]


def in_language(one: Board, language: Language) -> Board:
    """The same board in the other language; itself where there is none."""
    return next((other for other in boards(language) if other.name == one.name), one)


def _board(written: Json, name: str, language: Language) -> Board:
    return Board(
        uid=written["uid"],
        name=name,
        language=language,
        title=written["title"],
        about=written["description"],
        range=(written["time"]["from"], written["time"]["to"]),
        refresh_s=_seconds(written["refresh"]),
        panels=tuple(_panel(one) for one in written["panels"]),
        variables=tuple(_variable(one) for one in written["templating"]["list"]),
        annotations=tuple(_annotation(one) for one in written["annotations"]["list"]),
    )


def _panel(written: Json) -> Panel:
    about, _, empty = written["description"].partition("\n\n")
    place = written["gridPos"]
    return Panel(
        id=written["id"],
        kind=written["type"],
        title=written["title"],
        about=about,
        empty=empty,
        x=place["x"],
        y=place["y"],
        width=place["w"],
        height=place["h"],
        targets=tuple(_target(one) for one in written.get("targets", ())),
        defaults=written["fieldConfig"]["defaults"],
        overrides=tuple(written["fieldConfig"]["overrides"]),
        options=written["options"],
        transformations=tuple(written.get("transformations", ())),
    )


def _target(written: Json) -> Target:
    query = from_json(written["greenisland"])
    assert isinstance(query, Query)
    return Target(written["refId"], query, written.get("alias", ""))


def _variable(written: Json) -> Variable:
    query = from_json(written["greenisland"])
    assert isinstance(query, TagValues)
    pattern = re.compile(written["regex"].strip("/").replace("(?<", "(?P<"))
    default = tuple(one for one in written["current"].get("value", ()) if one != ALL)
    return Variable(written["name"], written["label"], written["multi"], default, query, pattern)


def _annotation(written: Json) -> Annotation:
    target = written["target"]
    query = from_json(target["greenisland"])
    assert isinstance(query, Query)
    columns = (target["textColumn"], target["tagsColumn"], target["timeEndColumn"])
    return Annotation(written["name"], query, written["iconColor"], *columns)


def _seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]
