"""What goes out at a tick: groups that are due, steps of an escalation, repeats; many of one rule together. Pure.

Promises: of one rule a route tells within `storm.within` at most `storm.more_than` notifications and one of all others.
"""

from collections.abc import Iterable
from datetime import datetime

from contracts.reasons import HeldBack, Telling
from contracts.routing import Route, Step

from .hold import EXPLAINED, Hold, channels_at, subject_of, why_held
from .plan import TellPlan
from .planned import Held, Item, Planned, Told, joined, plan_for
from .rests import Rests
from .state import KEPT, Alert, Entry, Group, Surge, TellState

_Ready = tuple[str, str, tuple[str, ...]]  # group, episode, channels
_OF_CHANGES = (Telling.GROUP, Telling.MISSED)  # they tell what is pending; repeats and steps what was told


class Outgoing:
    """What is due at one tick, over one state."""

    def __init__(self, plan: TellPlan, state: TellState, rests: Rests, ended_at: datetime | None):
        self.plan, self.state, self.rests, self.ended_at = plan, state, rests, ended_at
        self.told = Told()

    def begin(self, at: datetime) -> None:
        self.at = at
        self._due: dict[str, bool] = {}  # groups
        self._steps: dict[tuple[str, str, int], bool] = {}  # route, episode, step
        self._repeats: dict[str, bool] = {}  # groups
        self._touched: dict[str, bool] = {}  # episodes that may be over
        self._planned: list[Planned] = []

    def end(self) -> None:
        """Plans what is due, and lets go of what is over."""
        self._flush()
        self._escalate()
        self._repeat()
        for episode in self._touched:
            self.retire(episode)
        self.told.planned += joined(self._planned)

    def _schedule(self, place: str, group: Group, due_at: datetime) -> None:
        if due_at <= self.at:
            self._due[place] = True
        elif group.due_at is None or due_at < group.due_at:
            group.due_at = due_at
            self.state.wake(due_at, "group", place)

    def _overtaken(self, route: Route, episode: str, entry: Entry) -> bool:
        assert entry.pending is not None
        self.told.held.append(Held(self.at, route.route, episode, entry.pending, HeldBack.OVERTAKEN))
        entry.pending = entry.why = None
        return False

    def _flush(self) -> None:
        for route in self.plan.routes.values():
            ready: list[_Ready] = []
            missed: list[_Ready] = []
            for place in self._due:
                group = self.state.groups.get(place)
                if group is not None and group.route == route.route:
                    group.due_at = None
                    for episode, channels in self._ready(route, place, group):
                        (missed if self._is_missed(route, episode) else ready).append((place, episode, channels))
            if missed:
                self._send(route, Telling.MISSED, 0, missed, route)
            if ready:
                ready += self._still_gathering(route, ready)
                self._send(route, Telling.GROUP, 0, self._through_storms(route, ready), route)

    def _is_missed(self, route: Route, episode: str) -> bool:
        """Whether it came and went while it was silenced: all of them together are one message, however many."""
        alert = self.state.alerts[episode]
        entry = alert.entries[route.route]
        return entry.told is None and entry.why == HeldBack.SILENCED and not alert.is_open

    def _ready(self, route: Route, place: str, group: Group) -> Iterable[tuple[str, tuple[str, ...]]]:
        for episode in list(group.members):
            alert = self.state.alerts[episode]
            entry = alert.entries[route.route]
            if entry.pending is None:
                continue
            hold = why_held(self.plan, self.state, self.rests, route, alert, entry.pending, self.at)
            if hold is None:
                yield episode, channels_at(self.plan, route, alert, self.at)
                continue
            self._touched[episode] = True
            self._hold(route, episode, entry, hold)
            if hold.why in EXPLAINED and entry.told is None and not alert.is_open:
                self._overtaken(route, episode, entry)
            elif hold.until is not None:
                self._schedule(place, group, hold.until)

    def _still_gathering(self, route: Route, ready: list[_Ready]) -> list[_Ready]:
        """Those of a storm whose groups wait still: told with the first of them, they are one message."""
        storm, by_rule = self.plan.routing.storm, self._by_rule(ready)
        if storm is None or not route.wait:
            return []
        found: dict[str, list[_Ready]] = {}
        known = {episode for _, episode, _ in ready}  # a group may wait again for those that are held back
        for place, group in self.state.groups.items():
            if group.route != route.route or group.due_at is None:
                continue
            for episode in group.members:
                if episode in known:
                    continue
                alert = self.state.alerts[episode]
                entry, rule = alert.entries[route.route], alert.labels["rule"]
                surge = self.state.surges.get(f"{route.route}|{rule}")
                if entry.pending is None or entry.why or rule not in by_rule or (surge is not None and surge.until):
                    continue
                if why_held(self.plan, self.state, self.rests, route, alert, entry.pending, self.at) is None:
                    channels = channels_at(self.plan, route, alert, self.at)
                    found.setdefault(rule, []).append((place, episode, channels))
        return [one for rule, its in found.items() if len(its) + len(by_rule[rule]) > storm.more_than for one in its]

    def _hold(self, route: Route, episode: str, entry: Entry, hold: Hold) -> None:
        if entry.why != hold.why:
            entry.why = hold.why
            self._held(route, episode, str(entry.pending), hold)

    def _held(self, route: Route, episode: str, said: str, hold: Hold) -> None:
        self.told.held.append(Held(self.at, route.route, episode, said, hold.why, hold.until, hold.detail))

    def _through_storms(self, route: Route, ready: list[_Ready]) -> list[_Ready]:
        """Without those of a rule that has told of many just now: they are gathered until its time is over."""
        storm, by_rule = self.plan.routing.storm, self._by_rule(ready)
        if storm is None:
            return ready
        through: list[_Ready] = []
        for rule, its in by_rule.items():
            name = f"{route.route}|{rule}"
            surge = self.state.surges.setdefault(name, Surge())
            if surge.until is not None:
                for _, episode, _ in its:
                    entry = self.state.alerts[episode].entries[route.route]
                    self._hold(route, episode, entry, Hold(HeldBack.STORM, surge.until, rule))
                continue
            surge.told = [(at, n) for at, n in surge.told if at > self.at - storm.within]
            if sum(n for _, n in surge.told) + len(its) > storm.more_than:
                surge.until = self.at + storm.within
                self.state.wake(surge.until, "storm", name)
            surge.told.append((self.at, len(its)))
            through += its
        return through

    def _by_rule(self, ready: Iterable[_Ready]) -> dict[str, list[_Ready]]:
        found: dict[str, list[_Ready]] = {}
        for one in ready:
            found.setdefault(self.state.alerts[one[1]].labels["rule"], []).append(one)
        return found

    def _send(self, route: Route, kind: Telling, step: int, ready: list[_Ready], who: Route | Step) -> None:
        """who: what names `people` and `roster`, a route or a step of it. Many of one rule go together."""
        storm = self.plan.routing.storm
        people = self.plan.who(who.people, who.roster, self.at)
        together: dict[tuple[Telling, str, tuple[str, ...]], list[Item]] = {}
        for rule, its in self._by_rule(ready).items():
            surge = self.state.surges.get(f"{route.route}|{rule}")
            is_storm = storm is not None and (len(its) > storm.more_than or self._breaks_out(kind, surge, its))
            for place, episode, channels in its:
                key = (Telling.STORM if is_storm and kind == Telling.GROUP else kind, rule if is_storm else place)
                key = (kind, "") if kind == Telling.MISSED else key
                together.setdefault((*key, channels), []).append(self._item(route, episode, kind))
        for (told, _, channels), items in together.items():
            self._planned += plan_for(
                self.plan,
                kind=told,
                tick=self.at,
                route=route.route,
                step=step,
                channels=channels,
                people=people,
                items=items,
            )
            if kind in _OF_CHANGES:
                self._name_untaken(route, channels, items)
        if kind in _OF_CHANGES:
            for place, episode, _ in ready:
                self._tell(route, place, episode)

    def _name_untaken(self, route: Route, channels: tuple[str, ...], items: Iterable[Item]) -> None:
        taken = frozenset[str]().union(*(self.plan.channels[name].levels for name in channels))
        for item in items:
            if str(item.record["level"]) not in taken:
                self._held(route, str(item.record["id"]), item.transition, Hold(HeldBack.NO_CHANNEL))

    def _breaks_out(self, kind: Telling, surge: Surge | None, its: list[_Ready]) -> bool:
        return kind == Telling.GROUP and surge is not None and surge.until is not None and len(its) > 1

    def _item(self, route: Route, episode: str, kind: Telling) -> Item:
        alert = self.state.alerts[episode]
        entry = alert.entries[route.route]
        said = entry.pending if kind in _OF_CHANGES else entry.told
        return Item(alert.record, str(said), entry.pending_at or self.at)

    def _tell(self, route: Route, place: str, episode: str) -> None:
        alert = self.state.alerts[episode]
        entry = alert.entries[route.route]
        entry.told, entry.pending, entry.why, entry.repeat_why = entry.pending, None, None, None
        self._touched[episode] = True
        if not alert.is_open:
            return
        if entry.told_at is None:
            self._count_from_now(route, place, episode, entry)
        else:
            self._repeat_later(route, place)

    def _count_from_now(self, route: Route, place: str, episode: str, entry: Entry) -> None:
        """Steps from the first, and repeats."""
        entry.told_at, entry.steps, entry.step_why = self.at, 0, None
        self._arm(route, episode, entry)
        self._repeat_later(route, place)

    def _repeat_later(self, route: Route, place: str) -> None:
        if route.repeat_every is not None:
            repeat_at = self.state.groups[place].repeat_at = self.at + route.repeat_every
            self.state.wake(repeat_at, "repeat", place)

    def _arm(self, route: Route, episode: str, entry: Entry) -> None:
        if entry.told_at is not None and entry.steps < len(route.escalate):
            due_at = entry.told_at + route.escalate[entry.steps].after
            self.state.wake(max(due_at, self.at), "step", f"{route.route}|{episode}|{entry.steps}")

    def _escalate(self) -> None:
        if self._is_over:
            return
        ready: dict[tuple[str, int], list[_Ready]] = {}
        for name, episode, step in self._steps:
            route, alert = self.plan.routes.get(name), self.state.alerts.get(episode)
            entry = None if alert is None else alert.entries.get(name)
            if route is None or alert is None or entry is None or not self._still_tells(route, alert):
                continue
            if entry.steps != step or entry.told_at is None or step >= len(route.escalate):
                continue
            if entry.told_at + route.escalate[step].after > self.at:
                continue
            hold = self._why_not(route, alert, Telling.ESCALATION)
            if hold is not None:
                if entry.step_why != hold.why:
                    self._held(route, episode, Telling.ESCALATION, hold)
                entry.step_why = hold.why
                if hold.until is not None:
                    self.state.wake(hold.until, "step", f"{name}|{episode}|{step}")
                continue
            place = self.plan.group_of(route, alert.labels)
            ready.setdefault((name, step), []).append((place, episode, route.escalate[step].channels))
        for (name, step), its in ready.items():
            route = self.plan.routes[name]
            self._send(route, Telling.ESCALATION, step + 1, its, route.escalate[step])
            for _, episode, _ in its:
                entry = self.state.alerts[episode].entries[name]
                entry.steps, entry.step_why = step + 1, None
                self._arm(route, episode, entry)

    def _repeat(self) -> None:
        if self._is_over:
            return
        ready: dict[tuple[str, int], list[_Ready]] = {}
        for place in self._repeats:
            group = self.state.groups[place]
            if group.repeat_at != self.at:
                continue  # it was told at this very tick
            group.repeat_at, route = None, self.plan.routes.get(group.route)
            if route is None or route.repeat_every is None:
                continue
            its: list[_Ready] = []
            for episode in group.members:
                alert = self.state.alerts[episode]
                entry = alert.entries[route.route]
                if entry.told is None or not self._still_tells(route, alert):
                    continue
                hold = self._why_not(route, alert, Telling.REPEAT)
                if hold is None:
                    its.append((place, episode, channels_at(self.plan, route, alert, self.at)))
                elif entry.repeat_why != hold.why:
                    self._held(route, episode, Telling.REPEAT, hold)
                entry.repeat_why = None if hold is None else hold.why
                if hold is None or hold.why != HeldBack.ACKNOWLEDGED:
                    group.repeat_at = self.at + route.repeat_every
            if group.repeat_at is not None:
                self.state.wake(group.repeat_at, "repeat", place)
            if its:
                group.repeats += 1
                ready.setdefault((route.route, group.repeats), []).extend(its)
        for (name, repeats), those in ready.items():
            self._send(self.plan.routes[name], Telling.REPEAT, repeats, those, self.plan.routes[name])

    @property
    def _is_over(self) -> bool:
        return self.ended_at is not None and self.at > self.ended_at

    def _still_tells(self, route: Route, alert: Alert) -> bool:
        return alert.is_open and route.route in self.plan.routes_of(alert.labels)

    def _why_not(self, route: Route, alert: Alert, said: str) -> Hold | None:
        if alert.acknowledged is not None:
            return Hold(HeldBack.ACKNOWLEDGED)
        return why_held(self.plan, self.state, self.rests, route, alert, said, self.at)

    def retire(self, episode: str) -> None:
        """Lets go of an alert that is over and has nothing to tell any more."""
        alert = self.state.alerts.get(episode)
        if alert is None or alert.is_open or any(entry.pending for entry in alert.entries.values()):
            return
        flap = self.state.flaps.get(subject_of(alert.labels))
        if flap is not None and flap.since is not None and flap.latest == episode:
            return
        for name in alert.entries:
            if name in self.plan.routes:
                place = self.plan.group_of(self.plan.routes[name], alert.labels)
                group = self.state.groups.get(place)
                if group is not None:
                    group.members.pop(episode, None)
                    if not group.members:
                        del self.state.groups[place]
        del self.state.alerts[episode]
        self.state.ended[episode] = [name for name, entry in alert.entries.items() if entry.told]
        self.state.wake(self.at + KEPT, "ended", episode)
