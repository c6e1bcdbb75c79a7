"""Why something that is due is not told now: silence, rest, another alert, flapping, a daily time, quiet hours. Pure.

Promises: the answer follows from the state and the instant alone. Changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime

from contracts.matching import matches
from contracts.reasons import HeldBack, Telling, Transition
from contracts.routing import REVISIONS, Route, parse_time

from .civil_duty import next_time
from .labels import Labels
from .plan import AT_REST, TellPlan, is_target, place_of
from .rests import Rests
from .state import Alert, TellState

# What holds back explains it: an alert that ends meanwhile tells nothing at all.
EXPLAINED = frozenset({HeldBack.INHIBITED, HeldBack.AT_REST})


@dataclass(frozen=True)
class Hold:
    why: HeldBack
    until: datetime | None = None  # None: until something else happens
    detail: str = ""


def subject_of(labels: Labels) -> str:
    """What comes and goes when an alert flaps: each time it is another episode."""
    return "|".join(labels[key] for key in ("rule", "station", "factor", "limit_id"))


def why_held(
    plan: TellPlan, state: TellState, rests: Rests, route: Route, alert: Alert, said: str, at: datetime
) -> Hold | None:
    """said: the transition, or a contracts.reasons.Telling for a notice, a repeat or a step."""
    labels = alert.labels
    for name, hush in state.silences.items():
        if hush.from_at <= at < hush.to_at and matches(hush.matchers, labels):
            return Hold(HeldBack.SILENCED, hush.to_at, name)
    of_data = said in (Transition.DATA_LOST, Transition.DATA_BACK)
    may_rest = plan.rests_hold and (of_data or labels["kind"] in AT_REST)
    if may_rest and rests.hold(labels["station"], labels["factor"], at):
        return Hold(HeldBack.AT_REST)
    for inhibition in plan.inhibitions:
        others = state.sources.get(place_of(inhibition, labels))
        if others and is_target(inhibition, labels, said):
            return Hold(HeldBack.INHIBITED, None, inhibition.inhibition)
    changes = said not in (Telling.FLAPPING, Telling.REPEAT, Telling.ESCALATION)  # who is to act is told again as ever
    if changes and (flap := state.flaps.get(subject_of(labels))) is not None and flap.since:
        return Hold(HeldBack.FLAPPING)
    if said in REVISIONS and route.revisions_at is not None:
        due_at = next_time(at, parse_time(route.revisions_at), plan.zone)
        if due_at > at:
            return Hold(HeldBack.REVISION, due_at)
    quiet = plan.quiet(route, labels["level"], at)
    if quiet is not None and not quiet[0].channels:
        return Hold(HeldBack.QUIET_HOURS, quiet[1])
    return None


def channels_at(plan: TellPlan, route: Route, alert: Alert, at: datetime) -> tuple[str, ...]:
    """The route's channels, or those of its quiet hours."""
    quiet = plan.quiet(route, alert.labels["level"], at)
    return quiet[0].channels if quiet is not None and quiet[0].channels else route.channels
