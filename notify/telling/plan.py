"""A site's routing, ready to tell by: routes in order, what inhibits what, which channel speaks which language. Pure.

Without a routes.yaml there is one route: every channel, every alert, nothing held back or put together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from contracts.matching import matches
from contracts.reasons import LEVELS, Transition
from contracts.routing import Inhibition, Person, Quiet, Roster, Route, Routing
from contracts.site import Site

from .civil_duty import on_duty, span_at
from .labels import Labeller, Labels

RANK = {level: rank for rank, level in enumerate(LEVELS)}
EVERYONE = "everyone"  # the one route of a site without routes

# A station that is silent says so once: that its alerts have lost their data is no news then.
STATION_SILENT = Inhibition(
    inhibition="station_silent",
    source={"kind": ("missing",)},
    target={"transition": (Transition.DATA_LOST, Transition.DATA_BACK)},
    equal=("station",),
)
# Alerts on instruments and data, which an approved stop or maintenance of the station explains. What speaks of
# emissions or of treatment is told all the same, above all that something runs which is reported to stand still.
AT_REST = frozenset(
    {"missing", "rejects", "flat_line", "range", "over_range", "step", "deviation", "same", "together", "invalid"}
)


@dataclass(frozen=True)
class Sounding:
    """A channel as routes use it."""

    name: str
    language: str
    levels: frozenset[str]


@dataclass(frozen=True)
class TellPlan:
    zone: str
    routing: Routing
    routes: dict[str, Route]  # by name, in order
    channels: dict[str, Sounding]
    people: dict[str, Person]
    rosters: dict[str, Roster]
    inhibitions: tuple[Inhibition, ...]
    labeller: Labeller
    rests_hold: bool  # whether stops and maintenance hold back
    _found: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict, compare=False)

    def routes_of(self, labels: Labels) -> tuple[str, ...]:
        """Names of the routes an alert tells by: the first that matches, and further ones where it goes on."""
        key = tuple(labels[name] for name in labels if name != "episode") if self._by_labels_alone else None
        if key is not None and key in self._found:
            return self._found[key]
        found = []
        for name, route in self.routes.items():
            if matches(route.match, labels):
                found.append(name)
                if not route.goes_on:
                    break
        if key is not None:
            self._found[key] = tuple(found)
        return tuple(found)

    @property
    def _by_labels_alone(self) -> bool:
        return len(self._found) < 100_000 and not any("episode" in route.match for route in self.routes.values())

    def group_of(self, route: Route, labels: Labels) -> str:
        """The alerts it is told with; alone where it has no such label."""
        value = "" if route.group_by == "none" else labels[route.group_by]
        return "|".join((route.route, route.group_by, value) if value else (route.route, labels["episode"]))

    def who(self, people: tuple[str, ...], roster: str | None, at: datetime) -> tuple[str, ...]:
        """Names of people, each once: those who are named, and who is on duty."""
        on = on_duty(self.rosters[roster], at, self.zone) if roster is not None else ()
        return tuple(dict.fromkeys((*people, *on)))

    def quiet(self, route: Route, level: str, at: datetime) -> tuple[Quiet, datetime] | None:
        """The quiet hours the instant lies in for the level, and their end."""
        for quiet in route.quiet:
            if level in quiet.levels and (span := span_at(quiet, at, self.zone)) is not None:
                return quiet, span[1]
        return None


def compile_telling(site: Site) -> TellPlan:
    routing = site.routing
    channels = {
        channel.name: Sounding(channel.name, channel.language, frozenset(channel.levels))
        for channel in site.file.channels
    }
    if routing is None:
        everyone = [Route(route=EVERYONE, channels=tuple(channels))] if channels else []
        # not validated: a site without channels has no route at all
        routing = Routing.model_construct(version=1, routes=tuple(everyone), storm=None, flapping=None)
    own = {one.inhibition for one in routing.inhibit}
    shipped = (STATION_SILENT,) if site.routing is not None and STATION_SILENT.inhibition not in own else ()
    return TellPlan(
        zone=site.time_zone,
        routing=routing,
        routes={route.route: route for route in routing.routes},
        channels=channels,
        people={person.person: person for person in routing.people},
        rosters={roster.roster: roster for roster in routing.rosters},
        inhibitions=(*shipped, *routing.inhibit),
        labeller=Labeller(site),
        rests_hold=site.routing is not None,
    )


def place_of(inhibition: Inhibition, labels: Mapping[str, str]) -> str:
    """Where an inhibition acts: its name and the labels that must be equal."""
    return "|".join((inhibition.inhibition, *(labels[key] for key in inhibition.equal)))


def is_source(inhibition: Inhibition, labels: Mapping[str, str]) -> bool:
    return matches(inhibition.source, labels)


def is_target(inhibition: Inhibition, labels: Mapping[str, str], transition: str) -> bool:
    """An alert that fits both sides is never a target: two of them would keep each other quiet."""
    return matches(inhibition.target, {**labels, "transition": transition}) and not matches(inhibition.source, labels)
