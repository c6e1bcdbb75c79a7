"""A site's routes changed: what telling remembers goes on under the new ones. Pure.

Promises: what was told is not told again; what waited on a route that is gone, or is open and had no route, is told by
those that match now; timers count from where they did, or from the tick of the change. Silences, and what is known to
flap, stay as they are.
"""

from datetime import datetime, timedelta

from contracts.reasons import Transition

from .outgoing import Outgoing
from .plan import TellPlan, is_source, place_of
from .planned import Told
from .rests import Rests
from .state import Alert, Entry, Group, TellState

_NEXT = timedelta(seconds=1)  # a tick


def adapt(plan: TellPlan, state: TellState) -> Told:
    """Makes a state of other routes one of these. Call it where the site changes, before the next tick is told."""
    if state.at is None:
        return Told()
    out = Outgoing(plan, state, Rests(), None)
    out.begin(state.at)
    state.groups, state.sources = {}, {}
    for episode, alert in state.alerts.items():
        alert.labels = plan.labeller.of(alert.record)
        _take_over(plan, alert, state.at)
        for inhibition in plan.inhibitions:
            if alert.is_open and is_source(inhibition, alert.labels):
                state.sources.setdefault(place_of(inhibition, alert.labels), {})[episode] = True
        for name, entry in alert.entries.items():
            _join(plan, state, name, episode, alert, entry)
    for episode in list(state.alerts):
        out.retire(episode)
    return out.told


def _take_over(plan: TellPlan, alert: Alert, at: datetime) -> None:
    """Only routes that are; what waited on others waits on those that match."""
    lost = [entry for name, entry in alert.entries.items() if name not in plan.routes and entry.pending]
    is_new = not alert.entries  # no route had it: nobody was told, and now somebody is to be
    was_told = any(entry.told for name, entry in alert.entries.items() if name not in plan.routes)
    alert.entries = {name: entry for name, entry in alert.entries.items() if name in plan.routes}
    for name in plan.routes_of(alert.labels) if alert.is_open or lost else ():
        if name in alert.entries:
            continue
        if lost:
            alert.entries[name] = Entry(pending=lost[0].pending, pending_at=lost[0].pending_at)
        elif was_told:  # the route that has it now goes on with it
            alert.entries[name] = Entry(told=Transition.FIRED, told_at=at)
        elif is_new:
            alert.entries[name] = Entry(pending=Transition.FIRED, pending_at=at)


def _join(plan: TellPlan, state: TellState, name: str, episode: str, alert: Alert, entry: Entry) -> None:
    """Its group, and its timers."""
    assert state.at is not None
    route, next_at = plan.routes[name], state.at + _NEXT
    place = plan.group_of(route, alert.labels)
    group = state.groups.setdefault(place, Group(name))
    group.members[episode] = True
    if entry.pending and group.due_at is None:
        group.due_at = next_at
        state.wake(next_at, "group", place)
    if not alert.is_open or entry.told is None:
        return
    if route.repeat_every is not None and group.repeat_at is None:
        group.repeat_at = state.at + route.repeat_every
        state.wake(group.repeat_at, "repeat", place)
    if entry.told_at is not None and entry.steps < len(route.escalate):
        due_at: datetime = entry.told_at + route.escalate[entry.steps].after
        state.wake(max(due_at, next_at), "step", f"{name}|{episode}|{entry.steps}")
