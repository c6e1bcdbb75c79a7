"""Tries routes out: one made-up alert at an instant, told by the production fold, with nothing sent.

Promises: what is shown is what a running system would plan, were this the only alert. Does not promise: that a rule
would ever raise it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from contracts.actions import Action
from contracts.matching import ALERT_KEYS, matches
from contracts.reasons import LEVELS, Telling, Transition
from contracts.site import Site
from notify.cases.follow import Followed, follow
from notify.cases.state import CasesState
from notify.telling.labels import Labeller, Labels
from notify.telling.plan import TellPlan, compile_telling
from notify.telling.planned import Told
from notify.telling.rests import Rests
from notify.telling.state import TellState
from notify.telling.tell import tell

UNKNOWN = "any"  # a label nobody gave
LOOKED_AT = timedelta(days=1)


@dataclass(frozen=True)
class Trial:
    """labels: of contracts.matching.ALERT_KEYS; what is not given follows from the station, or is none."""

    labels: Mapping[str, str]
    at: datetime
    transition: str = Transition.FIRED
    lasts: timedelta | None = None  # None: it stays open
    rises: tuple[timedelta, str] | None = None  # after so long its level is another one
    acknowledged: timedelta | None = None  # after so long somebody acknowledges it
    silences: Sequence[tuple[str, timedelta]] = ()  # matchers, for so long from `at` on
    until: timedelta = LOOKED_AT


@dataclass(frozen=True)
class Said:
    """A notification that would go out."""

    at: datetime
    channel: str
    kind: str
    step: int
    transition: str  # of a case its event
    people: tuple[str, ...]
    route: str  # of a case the name of its terms


@dataclass(frozen=True)
class Tried:
    plan: TellPlan
    labels: Labels
    told: Told
    cases: Followed
    routes: list["RouteSaid"] = field(default_factory=list)

    @property
    def said(self) -> list[Said]:
        """Of the alert and of its case, in the order of time."""
        of_alerts = [
            Said(one.tick, one.channel, str(one.kind), one.step, one.items[0].transition, one.people, one.route)
            for one in self.told.planned
        ]
        of_cases = [
            Said(one.tick, one.channel, str(Telling.CASE), 0, one.event, one.people, one.terms)
            for one in self.cases.planned
        ]
        return sorted([*of_alerts, *of_cases], key=lambda one: one.at)


@dataclass(frozen=True)
class RouteSaid:
    """What a route made of it."""

    route: str
    takes: bool
    why: str


class _Given(Labeller):
    """Labels as they were given, over those of the registry."""

    def __init__(self, site: Site, given: Mapping[str, str]):
        super().__init__(site)
        self._given = dict(given)

    def of(self, record: Mapping[str, Any]) -> Labels:
        return super().of(record) | self._given | {"level": str(record["level"])}


def try_out(site: Site, trial: Trial) -> Tried:
    """Raises ValueError in words for a label that is none of this site's."""
    given = _completed(site, trial.labels, trial.at)
    plan = replace(compile_telling(site), labeller=_Given(site, given))
    record = _record(given, trial.at)
    labels = plan.labeller.of(record)
    rows = [_row(record, trial.transition, trial.at)]
    if trial.rises is not None:
        after, level = trial.rises
        rows.append(_row(record | {"level": level}, Transition.LEVEL_CHANGED, trial.at + after))
    if trial.lasts is not None and rows[0]["episode"]["open"]:
        last = rows[-1]["episode"]
        rows.append(_row(last, Transition.RESOLVED, trial.at + trial.lasts))
    known_at = trial.at - timedelta(seconds=1)
    actions = [
        _action("silence", known_at, matchers=text, from_at=trial.at.isoformat(), to_at=(trial.at + for_).isoformat())
        for text, for_ in trial.silences
    ]
    if trial.acknowledged is not None:
        actions.append(_action("acknowledge", trial.at + trial.acknowledged, episode=str(record["id"])))
    rows = [row for row in rows if row["tick"] <= trial.at + trial.until]
    told = tell(plan, TellState(), rows, actions, Rests(), trial.at + trial.until)
    cases = follow(plan, CasesState(), rows, told.actions, trial.at + trial.until)
    return Tried(plan, labels, told, cases, _routes(plan, labels))


def _completed(site: Site, given: Mapping[str, str], at: datetime) -> dict[str, str]:
    """With a station, which decides where it stands, and the station's own first factor."""
    labels = dict(given)
    stations = {station.station: station for station in site.stations}
    if "station" not in labels:
        labeller = Labeller(site)
        for name in stations:
            its = labeller.of(_record({"station": name}, at))
            if all(
                its[key] == labels[key] for key in ("outlet", "enterprise", "park", "county", "medium") if key in labels
            ):
                labels["station"] = name
                break
        else:
            raise ValueError("no station of this site stands there; name one: station=...")
    elif labels["station"] not in stations and ":" not in labels["station"]:
        raise ValueError(f"{labels['station']!r} is no station of this site")
    if labels.setdefault("level", "orange") not in LEVELS:
        raise ValueError(f"{labels['level']!r} is no level; one of {', '.join(LEVELS)}")
    labels.setdefault("kind", "limit")
    points = [point.factor for point in site.points if point.station == labels["station"]]
    labels.setdefault("factor", points[0] if points else UNKNOWN)
    return labels


def _record(labels: Mapping[str, str], at: datetime) -> dict[str, Any]:
    """An episode's record, as far as telling reads it."""
    text = "\x1f".join(f"{key}={labels.get(key, '')}" for key in ALERT_KEYS)
    return {
        "id": hashlib.sha256(text.encode()).hexdigest()[:20],
        "rule": labels.get("rule", UNKNOWN),
        "kind": labels.get("kind", "limit"),
        "station": labels["station"],
        "factor": labels.get("factor", UNKNOWN),
        "period": labels.get("period", "hour"),
        "limit_id": labels.get("limit_id"),
        "level": labels.get("level", "orange"),
        "opened_at": at.isoformat(),
        "open": True,
    }


def _row(record: dict[str, Any], said: str, at: datetime) -> dict[str, Any]:
    over = said in (Transition.RESOLVED, Transition.FIRED_IN_RETROSPECT, Transition.WITHDRAWN, Transition.SUPERSEDED)
    return {"tick": at, "transition": said, "episode": record | {"open": not over}}


def _action(kind: str, known_at: datetime, **body: str) -> Action:
    name = hashlib.sha256(f"{kind}{sorted(body.items())}".encode()).hexdigest()[:32]
    body["reason"] = "tried out"
    return Action(
        name=name, kind=kind, actor="somebody", origin="trial", made_at=known_at, known_at=known_at, body=body
    )


def _routes(plan: TellPlan, labels: Labels) -> list[RouteSaid]:
    """Every route in order: whether it takes the alert, or by what it does not."""
    found, is_over = [], False
    for name, route in plan.routes.items():
        takes = matches(route.match, labels)
        odd = [key for key, values in route.match.items() if not matches({key: values}, labels)]
        if is_over:
            why = "not looked at: a route before it has taken the alert"
        elif takes:
            why = "takes it, and later routes are looked at as well" if route.goes_on else "takes it"
        else:
            key = odd[0]
            why = f"does not: {key} is {labels[key] or 'none'}, not {' or '.join(route.match[key])}"
        found.append(RouteSaid(name, takes and not is_over, why))
        is_over = is_over or (takes and not route.goes_on)
    return found
