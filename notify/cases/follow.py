"""Cases (督办): opened and joined by alerts, replied to and closed by people, overdue by the clock. Pure, in ticks.

Promises: what becomes of a case follows from transitions, actions and the clock alone, however the feed is cut; no
alert's end closes a case; an alert belongs to one open case at most. Judges nothing and silences nothing.
"""

import hashlib
import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.actions import Action, CloseCase, NoteCase, OpenCase, ReopenCase, ReplyCase, ReturnCase, body_of
from contracts.matching import matches
from contracts.reasons import LEVELS, CaseEvent, CaseState, Telling, Transition
from contracts.routing import CaseTerms, Informed

from ..telling.civil_duty import next_within
from ..telling.plan import RANK, TellPlan
from ..telling.planned import key_of
from .state import KEPT, Case, CasesState, Happened, Member

# Transitions by which an alert that belongs to no open case may open or join one.
_BEGINS = (Transition.FIRED, Transition.LEVEL_CHANGED, Transition.REOPENED, Transition.FIRED_IN_RETROSPECT)
_LABELS = ("station", "outlet", "enterprise", "park", "county")
_OVERDUE = (CaseEvent.REPLY_OVERDUE, CaseEvent.CLOSE_OVERDUE)


@dataclass(frozen=True)
class CaseRow:
    """One event of one case."""

    tick: datetime
    event: CaseEvent
    record: dict[str, Any]  # the case after it: `record_of`
    actor: str = ""  # empty: an alert or the clock
    text: str = ""  # reason, reply, note; what an action without effect was
    episode: str | None = None  # the alert it is about


@dataclass(frozen=True)
class CasePlanned:
    """A notification about cases for one channel, before it is put into words."""

    key: str
    channel: str
    tick: datetime
    event: str
    terms: str
    language: str
    people: tuple[str, ...]
    items: tuple[Happened, ...]  # the most serious first

    @property
    def level(self) -> str:
        return str(self.items[0].record["level"])


@dataclass
class Followed:
    """What a span of ticks gave, in order."""

    rows: list[CaseRow] = field(default_factory=list)
    planned: list[CasePlanned] = field(default_factory=list)


def record_of(case: Case) -> dict[str, Any]:
    """JSON-able, instants ISO 8601 in UTC."""
    instants = ("opened_at", "reply_due_at", "close_due_at", "replied_at", "closed_at")
    told = {key: None if (at := getattr(case, key)) is None else at.isoformat() for key in instants}
    return {
        "id": case.case,
        "terms": case.terms,
        "place": case.place,
        **case.labels,
        "level": case.level,
        "state": str(_state(case)),
        "opened_by": case.opened_by,
        "episode": case.alerts[0] if case.alerts else None,
        "alerts": len(case.alerts),
        "conclusion": case.conclusion,
        **told,
    }


def case_name(where: str, episode: str, opened_at: datetime) -> str:
    """where: `terms|place`. episode: the alert that opened it."""
    text = json.dumps([where, episode, opened_at.isoformat()], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _state(case: Case) -> CaseState:
    if case.closed_at is not None:
        return CaseState.CLOSED
    if case.replied_at is not None:
        return CaseState.REPLIED
    return CaseState.OPEN if case.reply_due_at is None else CaseState.AWAITING_REPLY


def follow(
    plan: TellPlan,
    state: CasesState,
    transitions: Iterable[Mapping[str, Any]],
    actions: Iterable[Action],
    to: datetime,
    *,
    ended_at: datetime | None = None,
) -> Followed:
    """Everything up to the tick `to`; the state goes on from where it stood and is changed.

    transitions and actions: those of every tick since the last call, as `telling.tell` took and gave them.
    ended_at: of a feed that is over: nothing becomes overdue after it.
    """
    fold = _Fold(plan, state, ended_at)
    at_tick: dict[datetime, tuple[list[Action], list[Mapping[str, Any]]]] = {}
    for action in actions:
        at_tick.setdefault(action.known_at, ([], []))[0].append(action)
    for row in sorted(transitions, key=_order):
        at_tick.setdefault(row["tick"], ([], []))[1].append(row)
    for at in sorted(at_tick):
        fold.wake_until(at, before=True)
        fold.at = at
        its_actions, its_rows = at_tick[at]
        for action in its_actions:
            fold.act(action)
        for row in its_rows:
            fold.change(row)
        fold.wake_until(at)
    fold.wake_until(to)
    return fold.followed


def _order(row: Mapping[str, Any]) -> tuple[datetime, str, str, str]:
    return row["tick"], row["episode"]["opened_at"], row["episode"]["id"], row["transition"]


class _Fold:
    def __init__(self, plan: TellPlan, state: CasesState, ended_at: datetime | None):
        self._plan, self._state, self._ended_at = plan, state, ended_at
        self._terms = {terms.case: terms for terms in plan.routing.cases}
        self.followed = Followed()
        self.at: datetime  # the tick that is followed

    # -- what comes in

    def change(self, row: Mapping[str, Any]) -> None:
        record, said = row["episode"], str(row["transition"])
        episode, rank = str(record["id"]), RANK[str(record["level"])]
        member = self._state.members.get(episode)
        case = None if member is None else self._state.cases.get(member.case)
        if member is not None and case is not None and case.closed_at is None:
            self._change_member(case, member, record, said)
            return
        is_known = member is not None and said != Transition.REOPENED and rank <= member.rank
        if said not in _BEGINS or is_known:  # the case it belonged to was closed with it as it is
            return
        labels = self._plan.labeller.of(record)
        for terms in self._terms.values():
            if matches(terms.match, labels):
                self._begin(terms.case, terms, labels, record, "", "")
                return

    def _change_member(self, case: Case, member: Member, record: dict[str, Any], said: str) -> None:
        episode, level = str(record["id"]), str(record["level"])
        if said == Transition.WITHDRAWN:
            case.alerts.remove(episode)
            del self._state.members[episode]
            self._tell(case, CaseEvent.LEFT, episode=episode, alert=record)
            return
        member.rank = RANK[level]
        if member.rank > RANK[case.level]:
            case.level = level
            self._tell(case, CaseEvent.RAISED, episode=episode, alert=record)

    def act(self, action: Action) -> None:
        match body_of(action):
            case OpenCase(episode=episode, station=station, level=level, terms=name, reason=reason):
                member = self._state.members.get(episode)
                known = None if member is None else self._state.cases.get(member.case)
                if known is not None and known.closed_at is None:
                    self._no_effect(known, action)
                    return
                labels = self._plan.labeller.of({"id": episode, "station": station, "level": level})
                record = {"id": episode, "level": level}
                self._begin(name, self._terms.get(name), labels, record, action.actor, reason)
            case NoteCase(case=name, text=text) if (found := self._state.cases.get(name)) is not None:
                self._tell(found, CaseEvent.NOTED, action.actor, text)
            case ReplyCase(case=name, text=text) if (found := self._state.cases.get(name)) is not None:
                if found.closed_at is not None:
                    self._no_effect(found, action)
                    return
                found.replied_at = self.at
                self._tell(found, CaseEvent.REPLIED, action.actor, text)
            case ReturnCase(case=name, reason=reason) if (found := self._state.cases.get(name)) is not None:
                if found.closed_at is not None or found.replied_at is None:
                    self._no_effect(found, action)
                    return
                found.replied_at = None
                self._ask(found)
                self._tell(found, CaseEvent.RETURNED, action.actor, reason)
            case CloseCase(case=name, conclusion=conclusion, reason=reason) if name in self._state.cases:
                self._close(self._state.cases[name], action, str(conclusion), reason)
            case ReopenCase(case=name, reason=reason) if (found := self._state.cases.get(name)) is not None:
                self._reopen(found, action, reason)

    def _begin(
        self,
        name: str,
        terms: CaseTerms | None,
        labels: Mapping[str, str],
        record: dict[str, Any],
        actor: str,
        reason: str,
    ) -> None:
        """Joins the case that is open at the alert's place, or opens one."""
        per = "outlet" if terms is None else terms.per
        place = f"{per}={labels[per]}" if labels[per] else f"station={labels['station']}"
        where, episode, level = f"{name}|{place}", str(record["id"]), str(record["level"])
        alert = record if "station" in record else None  # of one opened by hand only name and level are known
        if (known := self._state.places.get(where)) is not None:
            case = self._state.cases[known]
            case.alerts.append(episode)
            case.level = LEVELS[max(RANK[case.level], RANK[level])]
            event = CaseEvent.JOINED
        else:
            case = Case(
                case_name(where, episode, self.at),
                name,
                place,
                {key: labels[key] for key in _LABELS},
                level,
                self.at,
                actor,
                [episode],
            )
            self._state.cases[case.case] = case
            self._state.places[where] = case.case
            self._begin_times(case)
            event = CaseEvent.OPENED
        self._state.members[episode] = Member(case.case, RANK[level])
        self._tell(case, event, actor, reason, episode, alert)

    def _close(self, case: Case, action: Action, conclusion: str, reason: str) -> None:
        if case.closed_at is not None:
            self._no_effect(case, action)
            return
        case.closed_at, case.conclusion = self.at, conclusion
        self._state.places.pop(f"{case.terms}|{case.place}", None)
        self._state.wake(self.at + KEPT, "forget", case.case)
        self._tell(case, CaseEvent.CLOSED, action.actor, reason)

    def _reopen(self, case: Case, action: Action, reason: str) -> None:
        where, members = f"{case.terms}|{case.place}", self._state.members
        others = {member.case for episode in case.alerts if (member := members.get(episode)) is not None}
        is_elsewhere = where in self._state.places or any(self._is_open(other) for other in others)
        if case.closed_at is None or is_elsewhere:  # another one has been opened about it since
            self._no_effect(case, action)
            return
        case.closed_at = case.conclusion = case.replied_at = None
        self._state.places[where] = case.case
        for episode in case.alerts:
            members.setdefault(episode, Member(case.case, RANK[case.level])).case = case.case
        self._begin_times(case)
        self._tell(case, CaseEvent.REOPENED, action.actor, reason)

    def _is_open(self, name: str) -> bool:
        return (case := self._state.cases.get(name)) is not None and case.closed_at is None

    def _begin_times(self, case: Case) -> None:
        terms = self._terms.get(case.terms)
        self._ask(case)
        case.close_due_at = None if terms is None or terms.close_within is None else self.at + terms.close_within
        if case.close_due_at is not None:
            self._state.wake(case.close_due_at, "close", case.case)

    def _ask(self, case: Case) -> None:
        """The enterprise has its time to reply from now on; a river section has no enterprise."""
        terms = self._terms.get(case.terms)
        is_asked = terms is not None and terms.reply_within is not None and case.labels["enterprise"]
        case.reply_due_at = self.at + terms.reply_within if is_asked else None  # type: ignore[union-attr,operator]
        if case.reply_due_at is not None:
            self._state.wake(case.reply_due_at, "reply", case.case)

    def _no_effect(self, case: Case, action: Action) -> None:
        self._tell(case, CaseEvent.NO_EFFECT, action.actor, action.kind)

    # -- what the time brings

    def wake_until(self, to: datetime, *, before: bool = False) -> None:
        """Timers up to `to`; before: without its own tick."""
        timers = self._state.timers
        while timers and (timers[0][0] < to if before else timers[0][0] <= to):
            self.at, what, of = heapq.heappop(timers)
            if what == "told":
                self._plan_told(of)
            elif (case := self._state.cases.get(of)) is not None:
                self._wake_case(case, what)

    def _wake_case(self, case: Case, what: str) -> None:
        if what == "forget":
            if case.closed_at is not None and case.closed_at + KEPT <= self.at:
                self._forget(case)
        elif case.closed_at is not None or (self._ended_at is not None and self.at > self._ended_at):
            return
        elif what == "reply" and case.reply_due_at == self.at and case.replied_at is None:
            self._tell(case, CaseEvent.REPLY_OVERDUE)
        elif what == "close" and case.close_due_at == self.at:
            self._tell(case, CaseEvent.CLOSE_OVERDUE)

    def _forget(self, case: Case) -> None:
        del self._state.cases[case.case]
        for episode in case.alerts:
            if (member := self._state.members.get(episode)) is not None and member.case == case.case:
                del self._state.members[episode]

    # -- what goes out

    def _tell(
        self,
        case: Case,
        event: CaseEvent,
        actor: str = "",
        text: str = "",
        episode: str | None = None,
        alert: dict[str, Any] | None = None,
    ) -> None:
        record = record_of(case)
        self.followed.rows.append(CaseRow(self.at, event, record, actor, text, episode))
        terms = self._terms.get(case.terms)
        if terms is None or event not in terms.tells:
            return
        waiting = self._state.pending.setdefault(terms.case, [])
        if not waiting:
            due_at = self.at + terms.wait
            if terms.told_in is not None:
                due_at = next_within(terms.told_in, due_at, self._plan.zone)
            self._state.wake(due_at, "told", terms.case)
        waiting.append(Happened(str(event), actor, text, record, alert))

    def _plan_told(self, name: str) -> None:
        happened, terms = self._state.pending.pop(name, []), self._terms.get(name)
        if terms is None:
            return  # the terms are gone since; the cases' history has it
        by_event: dict[str, list[Happened]] = {}
        for one in happened:
            by_event.setdefault(one.event, []).append(one)
        for event in CaseEvent:
            if its := by_event.get(event):
                its.sort(key=lambda one: (-RANK[str(one.record["level"])], str(one.record["id"])))
                told: Sequence[Informed] = (terms,)
                if event in _OVERDUE and terms.overdue is not None:
                    told = (terms, terms.overdue)
                self._plan_event(terms, event, told, its)

    def _plan_event(self, terms: CaseTerms, event: CaseEvent, told: Sequence[Informed], its: list[Happened]) -> None:
        people: dict[str, dict[str, None]] = {}  # by channel
        for who in told:
            for channel in who.channels:
                names = self._plan.who(who.people, who.roster, self.at)
                people.setdefault(channel, {}).update(dict.fromkeys(names))
        for name, names in people.items():
            channel = self._plan.channels[name]
            taken = tuple(one for one in its if one.record["level"] in channel.levels)
            if taken:
                about = {str(one.record["id"]): str(event) for one in taken}
                key = key_of(Telling.CASE, self.at, name, 0, about.items())
                language = terms.language or channel.language
                one = CasePlanned(key, name, self.at, str(event), terms.case, language, tuple(names), taken)
                self.followed.planned.append(one)
