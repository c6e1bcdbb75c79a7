"""Telling: which notification goes out when, by what, to whom, and what is held back and why. Pure, in ticks.

Promises: what is told follows from transitions, actions, rests and the clock alone; cuts of the feed, restarts and the
order of what comes at one tick change nothing. Nothing is judged here, and nothing that is held back is forgotten:
it is told later, or a row says why not.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from contracts.actions import Acknowledge, Action, Assign, Silence, Unsilence, body_of
from contracts.matching import parse_matchers
from contracts.reasons import HeldBack, Telling, Transition
from contracts.routing import REVISIONS, Route

from .hold import EXPLAINED, Hold, subject_of
from .outgoing import Outgoing
from .plan import RANK, TellPlan, is_source, place_of
from .planned import Care, Held, Told
from .rests import Rests
from .state import KEPT, Alert, Entry, Flap, Group, Hush, TellState

# While an alert's opening waits to be told, these add nothing to it: it is told as it stands then.
_IN_IT = (Transition.LEVEL_CHANGED, Transition.DATA_LOST, Transition.DATA_BACK)
_OPENING = (Transition.FIRED, Transition.REOPENED, Transition.FIRED_IN_RETROSPECT)
_ENDING = (Transition.RESOLVED, Transition.SUPERSEDED)
_UNACKNOWLEDGED: dict[str, str | datetime | None] = {
    "acknowledged_by": None,
    "acknowledged_at": None,
    "acknowledge_reason": None,
}


def tell(
    plan: TellPlan,
    state: TellState,
    transitions: Iterable[Mapping[str, Any]],
    actions: Iterable[Action],
    rests: Rests,
    to: datetime,
    *,
    ended_at: datetime | None = None,
) -> Told:
    """Everything up to the tick `to`. The state goes on from where it stood and is changed.

    transitions: `tick`, `transition`, `episode` of every tick after `state.at` and up to `to`. actions: what became
    known since, each at its `known_at`, also later than `to`. rests: all that are known, also those of earlier calls.
    ended_at: of a feed that is over: nobody is there any more to be told again, or to be told as well, after it.
    """
    fold = _Fold(plan, state, rests, ended_at)
    rows = sorted(transitions, key=_order, reverse=True)  # the next one last
    state.waiting = sorted([*state.waiting, *actions], key=_known)
    ends = rests.ends_between(state.at, to)[::-1] if plan.rests_hold else []
    while True:
        nexts = [rows[-1]["tick"]] if rows else []
        nexts += [state.waiting[0].known_at] if state.waiting else []
        nexts += [state.timers[0][0]] if state.timers else []
        nexts += [ends[-1]] if ends else []
        if not nexts or (at := min(nexts)) > to:
            break
        its: list[Mapping[str, Any]] = []
        while rows and rows[-1]["tick"] == at:
            its.append(rows.pop())
        done: list[Action] = []
        while state.waiting and state.waiting[0].known_at <= at:
            action = state.waiting.pop(0)
            if action.name not in state.seen:  # a copy of its record changes nothing
                state.seen[action.name] = True
                done.append(action)
        is_end = bool(ends) and ends[-1] == at
        if is_end:
            ends.pop()
        fold.step(at, done, its, is_end)
    state.at = to
    return fold.told


def _order(row: Mapping[str, Any]) -> tuple[datetime, str, str, str]:
    return row["tick"], row["episode"]["opened_at"], row["episode"]["id"], row["transition"]


def _known(action: Action) -> tuple[datetime, datetime, str]:
    return action.known_at, action.made_at, action.name


class _Fold(Outgoing):
    """One tick after the other, over one state."""

    def step(self, at: datetime, actions: Sequence[Action], rows: Sequence[Mapping[str, Any]], rests_end: bool) -> None:
        self.begin(at)
        self._stirred = {HeldBack.AT_REST} if rests_end else set()  # whoever is held back by these is looked at again
        for action in actions:
            self._act(action)
        for row in rows:
            self._change(row)
        self._calm: dict[str, Flap] = {}  # subjects that were quiet for long enough
        while self.state.timers and self.state.timers[0][0] <= at:
            _, what, of = heapq.heappop(self.state.timers)
            self._wake(what, of)
        if self._calm:
            self._settle()
        if self._stirred:
            self._stir()
        self.end()

    # -- what comes in

    def _act(self, action: Action) -> None:
        state, by = self.state, action.actor
        state.wake(self.at + KEPT, "seen", action.name)
        self.told.actions.append(action)
        match body_of(action):
            case Acknowledge(episode=episode, reason=reason):
                if (alert := state.alerts.get(episode)) is not None and alert.is_open:
                    alert.acknowledged = RANK[alert.labels["level"]]
                columns = {"acknowledged_by": by, "acknowledged_at": self.at, "acknowledge_reason": reason}
                self.told.care.append(Care(episode, self.at, columns))
            case Assign(episode=episode, to=to):
                columns = {"assigned_to": to, "assigned_by": by, "assigned_at": self.at}
                self.told.care.append(Care(episode, self.at, columns))
            case Silence(matchers=text, from_at=from_at, to_at=to_at):
                if to_at > self.at:
                    state.silences[action.name] = Hush(parse_matchers(text), from_at, to_at)
                    state.wake(to_at, "silence", action.name)
            case Unsilence(about=about):
                if state.silences.pop(about, None) is not None:
                    self._stirred.add(HeldBack.SILENCED)

    def _change(self, row: Mapping[str, Any]) -> None:
        record, said = row["episode"], str(row["transition"])
        episode, labels = str(record["id"]), self.plan.labeller.of(record)
        alert = self.state.alerts.get(episode)
        told_by = self.state.ended.pop(episode, None) if alert is None else []
        is_known = alert is not None or told_by is not None
        is_open = said != Transition.WITHDRAWN and bool(record["open"])
        if alert is None:
            alert = Alert(record, labels, False)
            alert.entries = {route: Entry(told=Transition.RESOLVED) for route in told_by or ()}
            self.state.alerts[episode] = alert
        self._inhibit(episode, alert, labels, is_open)
        rank = RANK[labels["level"]]
        moves = is_open and labels["level"] != alert.labels["level"]
        alert.record, alert.labels, alert.is_open = record, labels, is_open
        anew = said == Transition.REOPENED or (alert.acknowledged is not None and rank > alert.acknowledged)
        if anew:
            alert.acknowledged = None
            self.told.care.append(Care(episode, self.at, dict(_UNACKNOWLEDGED)))
        self._touched[episode] = True
        if self._flaps(episode, labels, said):
            said = Telling.FLAPPING
        told_before = [route for route, entry in alert.entries.items() if entry.told or entry.pending]
        corrects = said in (Transition.WITHDRAWN, Transition.AMENDED) and is_known
        routes = told_before if corrects else dict.fromkeys((*self.plan.routes_of(labels), *told_before))
        if not routes and self.plan.routes:
            why = HeldBack.NOT_TOLD_BEFORE if corrects else HeldBack.NO_ROUTE
            self.told.held.append(Held(self.at, "", episode, said, why))
        for name in routes:
            if name not in self.plan.routes:
                alert.entries.pop(name, None)  # the route is gone since
                continue
            entry = alert.entries.setdefault(name, Entry())
            route = self.plan.routes[name]
            if self._pend(route, episode, alert, entry, said):
                if anew or rank > entry.rank:
                    entry.told_at = None  # steps begin anew
                entry.rank = max(entry.rank, rank)
                self._gather(route, episode, alert)
            elif moves and entry.pending and entry.why is not None:
                # what held it back at its old level (quiet hours, a silence) may say nothing of the new one
                self._gather(route, episode, alert)
            elif anew and entry.told and entry.told not in _ENDING and not entry.pending:
                self._count_from_now(route, self.plan.group_of(route, labels), episode, entry)

    def _pend(self, route: Route, episode: str, alert: Alert, entry: Entry, said: str) -> bool:
        """Whether there is something to tell now that was not there before."""
        is_first, waits = entry.told is None, entry.pending
        if said == Transition.WITHDRAWN and is_first and waits:
            return self._overtaken(route, episode, entry)
        if said == Transition.DATA_BACK and waits == Transition.DATA_LOST:
            return self._overtaken(route, episode, entry)
        if said == Transition.AMENDED and waits:
            return False  # what waits is told as it stands then
        if said in _ENDING and is_first and waits and entry.why in EXPLAINED:
            return self._overtaken(route, episode, entry)
        is_missed = said in _ENDING and is_first and waits and entry.why == HeldBack.SILENCED
        if said != Telling.FLAPPING and said not in route.tells and not is_missed:
            is_stale = alert.is_open == (waits in _ENDING)
            return self._overtaken(route, episode, entry) if waits and is_stale else False
        if waits in _OPENING and said in _IN_IT:
            return False
        if waits == Telling.FLAPPING:
            return False  # or nobody would learn of what changes faster than its group gathers
        if waits:
            self._overtaken(route, episode, entry)
        entry.pending, entry.pending_at = said, self.at
        return True

    def _gather(self, route: Route, episode: str, alert: Alert) -> None:
        place = self.plan.group_of(route, alert.labels)
        group = self.state.groups.setdefault(place, Group(route.route))
        group.members[episode] = True
        self._schedule(place, group, self.at + route.wait)
        if route.wait:
            entry = alert.entries[route.route]
            self._held(route, episode, str(entry.pending), Hold(HeldBack.GROUPED, group.due_at))

    def _inhibit(self, episode: str, alert: Alert, labels: dict[str, str], is_open: bool) -> None:
        """Keeps the open alerts that inhibit others, by where they do."""
        for inhibition in self.plan.inhibitions:
            was = place_of(inhibition, alert.labels) if alert.is_open and is_source(inhibition, alert.labels) else None
            now = place_of(inhibition, labels) if is_open and is_source(inhibition, labels) else None
            if was == now:
                continue
            if was is not None and (others := self.state.sources.get(was)) is not None:
                others.pop(episode, None)
                if not others:
                    del self.state.sources[was]
                    self._stirred.add(HeldBack.INHIBITED)
            if now is not None:
                self.state.sources.setdefault(now, {})[episode] = True

    def _flaps(self, episode: str, labels: dict[str, str], said: str) -> bool:
        """Counts a change; whether the subject begins to flap with it."""
        about = self.plan.routing.flapping
        if about is None or said in REVISIONS:
            return False
        subject = subject_of(labels)
        flap = self.state.flaps.setdefault(subject, Flap())
        lately = [at for at in flap.changed_at if at > self.at - about.within]
        flap.changed_at, flap.latest = [*lately, self.at][-about.changes :], episode
        self.state.wake(self.at + about.within, "flap", subject)
        rank = RANK[labels["level"]]
        if flap.since is None and len(flap.changed_at) == about.changes:
            flap.since, flap.rank = self.at, rank
            return True
        if flap.since is not None and rank > flap.rank:
            flap.rank = rank  # it is worse than what people were told of
            return True
        return False

    # -- what the time brings

    def _wake(self, what: str, of: str) -> None:
        state = self.state
        match what:
            case "group" if (group := state.groups.get(of)) is not None and group.due_at is not None:
                if group.due_at <= self.at:
                    self._due[of] = True
            case "repeat" if (group := state.groups.get(of)) is not None and group.repeat_at == self.at:
                self._repeats[of] = True
            case "step":
                route, episode, step = of.rsplit("|", 2)
                self._steps[route, episode, int(step)] = True
            case "silence" if state.silences.pop(of, None) is not None:
                self._stirred.add(HeldBack.SILENCED)
            case "storm" if (surge := state.surges.get(of)) is not None and surge.until == self.at:
                del state.surges[of]
                self._stirred.add(HeldBack.STORM)
            case "flap" if (flap := state.flaps.get(of)) is not None and self._is_calm(flap):
                del state.flaps[of]
                if flap.since is not None:
                    self._calm[of] = flap
            case "ended":
                state.ended.pop(of, None)
            case "seen":
                state.seen.pop(of, None)

    def _is_calm(self, flap: Flap) -> bool:
        about = self.plan.routing.flapping
        return about is None or flap.changed_at[-1] + about.within <= self.at

    def _settle(self) -> None:
        """Of all that came and went of a subject that flapped the last is told, as it stands."""
        self._stirred.add(HeldBack.FLAPPING)
        for episode, alert in self.state.alerts.items():
            if (flap := self._calm.get(subject_of(alert.labels))) is None:
                continue
            self._touched[episode] = True
            for name, entry in alert.entries.items():
                if name not in self.plan.routes:
                    continue
                if episode != flap.latest and entry.pending and entry.why == HeldBack.FLAPPING:
                    self._overtaken(self.plan.routes[name], episode, entry)
                elif episode == flap.latest and entry.told == Telling.FLAPPING and not entry.pending:
                    entry.pending = Transition.FIRED if alert.is_open else Transition.RESOLVED
                    entry.pending_at, entry.why = self.at, HeldBack.FLAPPING

    def _stir(self) -> None:
        for episode, alert in self.state.alerts.items():
            for name, entry in alert.entries.items():
                if name not in self.plan.routes:
                    continue
                if entry.pending and entry.why in self._stirred:
                    self._due[self.plan.group_of(self.plan.routes[name], alert.labels)] = True
                if entry.step_why in self._stirred:
                    self._steps[name, episode, entry.steps] = True
