"""Reads `routes.yaml`: people, rosters, routes, inhibitions, terms of cases.

Promises: what came back names only people, rosters, channels and places there are; every mistake is told with line and
key. Does not know the rules: `greenisland rules check` says which rule of a match there is not.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from contracts.matching import Matchers
from contracts.reasons import LEVELS
from contracts.routing import Informed, Route, Routing
from contracts.site import FACILITY_SUBJECT, PARK_SUBJECT, LimitBasis, Medium

from .yaml_lines import Loc, SiteError, SiteErrors, read_yaml_with_lines, suggestion, validate

FILE = "routes.yaml"
NAMED_MAX = 12  # names that are listed where none is near


@dataclass(frozen=True)
class Named:
    """What a route may name: key of a match -> what there is; empty: it is not checked."""

    channels: Collection[str]
    places: Mapping[str, Collection[str]]


def named_by(channels: Collection[str], tables: Mapping[str, Collection[str]], factors: Collection[str]) -> Named:
    """tables: names by table of the registry."""
    subjects = [
        *(f"{PARK_SUBJECT}{name}" for name in tables["parks"]),
        *(f"{FACILITY_SUBJECT}{name}" for name in tables["facilities"]),
    ]
    places = {
        "station": [*tables["stations"], *subjects],
        "outlet": tables["outlets"],
        "enterprise": tables["enterprises"],
        "park": tables["parks"],
        "county": tables["counties"],
        "factor": factors,
        "level": LEVELS,
        "basis": get_args(LimitBasis),
        "medium": get_args(Medium),
    }
    return Named(channels, places)


def read_routing(path: Path, named: Named) -> tuple[Routing | None, list[SiteError]]:
    """(none, []) where there is no such file."""
    if not path.is_file():
        return None, []
    try:
        data, line_of = read_yaml_with_lines(path)
    except SiteErrors as unreadable:
        return None, unreadable.errors
    routing, errors = validate(Routing, data, path, line_of)
    if routing is None:
        return None, errors
    found = [SiteError(path, line_of(loc), _key(loc), said) for loc, said in _mistakes(routing, named)]
    return routing, found


def _mistakes(routing: Routing, named: Named) -> Iterator[tuple[Loc, str]]:
    people, rosters = [one.person for one in routing.people], [one.roster for one in routing.rosters]
    yield from _twice("people", people)
    yield from _twice("rosters", rosters)
    yield from _twice("routes", [one.route for one in routing.routes])
    yield from _twice("inhibit", [one.inhibition for one in routing.inhibit])
    yield from _twice("cases", [one.case for one in routing.cases])
    for n, roster in enumerate(routing.rosters):
        yield from _unknown(("rosters", n, "otherwise"), roster.otherwise, people, "none of the people")
        for at, turn in enumerate(roster.turns):
            yield from _unknown(("rosters", n, "turns", at, "who"), turn.who, people, "none of the people")
    for loc, one in _informing(routing):
        yield from _unknown((*loc, "people"), one.people, people, "none of the people")
        yield from _unknown((*loc, "roster"), [one.roster] if one.roster else [], rosters, "no roster")
        yield from _unknown((*loc, "channels"), one.channels, named.channels, "no channel of site.yaml")
    for n, terms in enumerate(routing.cases):
        yield from _places(("cases", n, "match"), terms.match, named)
    for n, route in enumerate(routing.routes):
        for at, quiet in enumerate(route.quiet):
            yield from _unknown(
                ("routes", n, "quiet", at, "channels"), quiet.channels, named.channels, "no channel of site.yaml"
            )
        yield from _places(("routes", n, "match"), route.match, named)
    for n, inhibition in enumerate(routing.inhibit):
        yield from _places(("inhibit", n, "source"), inhibition.source, named)
        yield from _places(("inhibit", n, "target"), inhibition.target, named)
    for n, route in enumerate(routing.routes[:-1]):
        if not route.match and not route.goes_on:
            later = routing.routes[n + 1].route
            yield ("routes", n + 1), f"{later!r} is never reached: {route.route!r} before it takes every alert"
            return


def _informing(routing: Routing) -> Iterator[tuple[Loc, Route | Informed]]:
    """Everything that names channels, people and a roster."""
    for n, route in enumerate(routing.routes):
        yield ("routes", n), route
        yield from ((("routes", n, "escalate", at), step) for at, step in enumerate(route.escalate))
    for n, terms in enumerate(routing.cases):
        yield ("cases", n), terms
        if terms.overdue is not None:
            yield ("cases", n, "overdue"), terms.overdue


def _twice(key: str, names: list[str]) -> Iterator[tuple[Loc, str]]:
    for at, name in enumerate(names):
        if name in names[:at]:
            yield (key, at), f"{name!r} is named twice"


def _unknown(loc: Loc, names: Collection[str], known: Collection[str], what: str) -> Iterator[tuple[Loc, str]]:
    for name in names:
        if name not in known:
            listed = ", ".join(sorted(set(known))[:NAMED_MAX]) or "none"
            yield loc, f"{name!r} is {what}{suggestion(name, known) or f'; there are {listed}'}"


def _places(loc: Loc, match: Matchers, named: Named) -> Iterator[tuple[Loc, str]]:
    for key, values in match.items():
        if known := named.places.get(key):
            exact = [value for value in values if "*" not in value]
            yield from _unknown((*loc, key), exact, known, f"no {key} of this site and would match nothing")


def _key(loc: Loc) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")
