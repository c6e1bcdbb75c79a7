"""Scenarios: which incidents a simulation holds, where and when. YAML, strict.

Promises: an incident's place depends on the site, the seed and its slot of time only; slots never overlap on a station
while there is another one to choose. Does not promise that a site has a candidate for every kind.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from importlib.resources import files
from math import gcd
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from contracts.factors import CONVERTED_PREFIX, UNITS, ratio
from contracts.site import Duration, Identifier, Point, Site, Strict

from .noise import stream

APART_S = 300  # incidents of different kinds keep this far from each other on a station
Kind = Literal["exceedance", "stuck", "dropout", "malformed", "treatment_off"]
EXCEEDING = ("a21026",)
STICKING = ("a21002", "a34013", "a24088", "w01001")
TREATED = ("a24088", "a34013", "a21018")  # what rises at the stack when its treatment stands still


class Lane(Strict):
    """One kind of incident, once in every slot of `every`, `phase` after its start, moving from station to station."""

    incident: Kind
    every: Duration
    phase: Duration = timedelta(0)
    lasts: Duration
    size: Annotated[float, Field(gt=0)] = 2.4  # exceedance: times the limit; malformed: messages in the burst
    factors: tuple[str, ...] = ()  # empty: the kind's usual factors
    stations: tuple[Identifier, ...] = ()  # empty: wherever the kind can happen

    @model_validator(mode="after")
    def _fits(self) -> "Lane":
        if self.every <= timedelta(0) or self.lasts <= timedelta(0):
            raise ValueError("every and lasts must be longer than nothing")
        if self.phase >= self.every:
            raise ValueError("phase must be shorter than every")
        return self


class Network(Strict):
    """What lies between a logger and the centre, as shares of its messages."""

    late_share: Annotated[float, Field(ge=0, le=1)] = 0.001  # overtaken by the next one, up to 90 s late
    duplicate_share: Annotated[float, Field(ge=0, le=1)] = 0.002  # QoS 1: delivered a second time


class Scenario(Strict):
    version: Literal[1]
    network: Network = Network()
    incidents: tuple[Lane, ...] = ()


@dataclass(frozen=True)
class Incident:
    """One occurrence, in seconds since 1970: [from_s, to_s)."""

    kind: str
    station: str
    factor: str | None
    from_s: int
    to_s: int
    size: float
    stacks: tuple[tuple[str, str], ...] = ()  # (station, factor) that show a treatment's failure


@dataclass(frozen=True)
class _Candidate:
    station: str
    factor: str | None
    stacks: tuple[tuple[str, str], ...] = ()

    @property
    def stations(self) -> set[str]:
        return {self.station, *(station for station, _ in self.stacks)}


def scenario_names() -> list[str]:
    folder = files("simulators") / "scenarios"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_scenario(name: str) -> Scenario:
    """A shipped scenario by name, or a file by its path. Raises ValueError naming file, line and key."""
    if name.endswith((".yaml", ".yml")):
        text, place = Path(name).read_text(encoding="utf-8"), name
    elif name in scenario_names():
        text, place = (files("simulators") / "scenarios" / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml"
    else:
        raise ValueError(f"no scenario {name!r}; one of {', '.join(scenario_names())}, or a path ending in .yaml")
    try:
        tree = yaml.compose(text)
        return Scenario.model_validate(yaml.safe_load(text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"{place}:{line}: {error.problem}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}:{_line(tree, first['loc'])}: {key}: {first['msg']}") from error


def _line(node: yaml.Node | None, loc: tuple[int | str, ...]) -> int:
    """Line of the deepest node on the way to `loc`."""
    line = 1
    for step in loc:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


class Timetable:
    """When and where a scenario's incidents happen on a site."""

    def __init__(self, site: Site, seed: int, scenario: Scenario):
        self._site, self._seed = site, seed
        self._lanes = scenario.incidents
        self._memo: dict[tuple[int, int], Incident | None] = {}

    def between(self, from_s: int, to_s: int) -> list[Incident]:
        """Incidents that overlap [from_s, to_s), by start."""
        found = []
        for number, lane in enumerate(self._lanes):
            found += [one for one in self._overlapping(number, lane, from_s, to_s) if one is not None]
        return sorted(found, key=lambda one: (one.from_s, one.kind, one.station))

    def _overlapping(self, number: int, lane: Lane, from_s: int, to_s: int) -> list[Incident | None]:
        every, phase, lasts = (int(d.total_seconds()) for d in (lane.every, lane.phase, lane.lasts))
        slots = range((from_s - phase - lasts) // every, (to_s - phase) // every + 1)
        starts = [(slot, slot * every + phase) for slot in slots]
        return [self._occurrence(number, slot) for slot, start in starts if start < to_s and start + lasts > from_s]

    def _occurrence(self, number: int, slot: int) -> Incident | None:
        if (number, slot) not in self._memo:
            self._memo[number, slot] = self._place(number, slot)
        return self._memo[number, slot]

    def _place(self, number: int, slot: int) -> Incident | None:
        lane, order = self._lanes[number], self._orders[number]
        if not order:
            return None
        every, phase, lasts = (int(d.total_seconds()) for d in (lane.every, lane.phase, lane.lasts))
        from_s = slot * every + phase
        taken: set[str] = set()
        for earlier in range(number):
            for other in self._overlapping(earlier, self._lanes[earlier], from_s - APART_S, from_s + lasts + APART_S):
                if other is not None:
                    taken |= {other.station, *(station for station, _ in other.stacks)}
        # neighbours in time take turns on different classes of candidates, so one never runs into the next
        classes = min((lasts + APART_S) // every + 1, len(order))
        mine = order[slot % classes :: classes]
        stride = _stride(len(mine))  # so that passing over a busy one does not meet the same one in the next slot
        turn = [mine[(slot // classes + step) * stride % len(mine)] for step in range(len(mine))]
        chosen = next((candidate for candidate in turn if not candidate.stations & taken), turn[0])
        return Incident(lane.incident, chosen.station, chosen.factor, from_s, from_s + lasts, lane.size, chosen.stacks)

    @cached_property
    def _orders(self) -> list[list[_Candidate]]:
        """Candidates of each lane; those that earlier lanes want least come first, so each class has some of them."""
        orders: list[list[_Candidate]] = []
        wanted: Counter[str] = Counter()
        for number, lane in enumerate(self._lanes):
            order = [one for one in self._candidates(lane) if not lane.stations or one.station in lane.stations]
            stream(self._seed, "order", number, lane.incident).shuffle(order)
            order.sort(key=lambda one: max(wanted[station] for station in one.stations))
            wanted.update(station for one in order for station in one.stations)
            orders.append(order)
        return orders

    def _candidates(self, lane: Lane) -> list[_Candidate]:
        """Sorted, so that the registry's order does not matter; at most one factor of a station."""
        every_minute = sorted(
            (point for point in self._site.points if point.period_s == 60 and point.interval_s == 60),
            key=lambda point: (point.station, point.factor),
        )
        if lane.incident in ("dropout", "malformed"):
            return [_Candidate(station, None) for station in sorted({point.station for point in every_minute})]
        if lane.incident == "treatment_off":
            units = sorted({(pair.treatment_station, pair.treatment_factor) for pair in self._site.pairs})
            return [_Candidate(station, factor, self._stacks(station, every_minute)) for station, factor in units]
        factors = lane.factors or (EXCEEDING if lane.incident == "exceedance" else STICKING)
        limited = [point for point in every_minute if point.factor in factors and upper_limit(self._site, point)]
        by_station: dict[str, list[Point]] = {}
        for point in limited:
            by_station.setdefault(point.station, []).append(point)
        picked = []
        for number, (station, points) in enumerate(sorted(by_station.items())):
            picked.append(_Candidate(station, points[number % len(points)].factor))
        return picked

    def _stacks(self, treatment_station: str, points: list[Point]) -> tuple[tuple[str, str], ...]:
        """Limited stacks of the enterprise that runs the treatment."""
        outlet_of = {station.station: station.outlet for station in self._site.stations}
        enterprise_of = {outlet.outlet: outlet.enterprise for outlet in self._site.outlets}
        owner = enterprise_of[outlet_of[treatment_station]]
        return tuple(
            (point.station, point.factor)
            for point in points
            if owner is not None
            and enterprise_of[outlet_of[point.station]] == owner
            and point.factor in TREATED
            and upper_limit(self._site, point)
        )


def _stride(n: int) -> int:
    """A step of about 0.38 n that visits all n."""
    return next((step for step in range(max(1, round(0.38 * n)), n) if gcd(step, n) == 1), 1)


def upper_limit(site: Site, point: Point) -> float | None:
    """The strictest upper limit of the point's outlet, in the point's unit; the converted one where it converts."""
    factor = (CONVERTED_PREFIX if point.ref_o2_pct is not None else "") + point.factor
    return min(_bounds(site, point, factor, ("<=", "<")), default=None)


def lower_limit(site: Site, point: Point) -> float | None:
    return max(_bounds(site, point, point.factor, (">=", ">")), default=None)


def _bounds(site: Site, point: Point, factor: str, comparators: tuple[str, ...]) -> list[float]:
    outlet = next(station.outlet for station in site.stations if station.station == point.station)
    return [
        limit.limit * ratio(limit.unit, point.unit)
        for limit in site.limits
        if limit.outlet == outlet
        and limit.factor == factor
        and limit.comparator in comparators
        and UNITS[limit.unit][0] == UNITS[point.unit][0]  # a mass flow limits something else than a concentration
    ]
