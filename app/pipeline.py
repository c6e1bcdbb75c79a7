"""The one evaluation path: raw messages in, everything that is decided out. Live, replay and rule tests call it.

Promises: outputs depend on the set of messages alone, not on how it is cut into steps. No I/O; no wall clock. How
long a stage took is told beside what it made, and decides nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import itemgetter
from time import perf_counter
from typing import TypeVar

import polars as pl

from contracts.civil_time import next_boundary
from contracts.facts import FACTS
from contracts.frames import AGGREGATES, EVENTS, READINGS, REJECTS, VERDICTS, empty
from contracts.ports import Notification, PutAway
from contracts.reasons import Transition
from contracts.site import Site
from ingest.decode import Decoder, batch_of
from notify.cases.follow import Followed, follow
from notify.cases.state import CasesState
from notify.telling.action_records import actions_of
from notify.telling.adapt import adapt
from notify.telling.plan import compile_telling
from notify.telling.planned import Told
from notify.telling.rests import Rests, rests_of
from notify.telling.state import TellState
from notify.telling.tell import tell
from rules.alerts.update import AlertChange, AlertState, record, update
from rules.carried import Carried
from rules.carry import Over, carry_over, numbered
from rules.evaluate import evaluate, verdicts
from rules.facts.effects import effects
from rules.facts.records import facts_of, unique_facts
from rules.facts.tables import compile_marking
from rules.plan import Plan, compile_plan
from rules.spec import Rule
from rules.ticks import TICK, SiteClock, stamp
from rules.windows.advance import DECISIONS, WindowState, advance, latest_at, start
from rules.windows.due import PERIODS
from rules.windows.put_away import InMemory
from rules.windows.rewritten import rewritten_events
from rules.windows.samples import samples_of

from .texts.told import ToldTexts

_Made = TypeVar("_Made")


@dataclass
class PipelineState:
    """Everything carried from step to step."""

    clock: SiteClock
    windows: WindowState | None = None
    alerts: AlertState = field(default_factory=AlertState)
    before_clock: pl.DataFrame | None = None  # messages that came before every collector had spoken
    facts: pl.DataFrame = field(default_factory=lambda: empty(FACTS))  # everything people have said so far
    away: PutAway = field(default_factory=InMemory)  # where windows are put that only very late data ask for
    site: str | None = None  # name of the site that holds; None: the first one
    carried: Carried | None = None  # from the sites that held before it
    ended: list[dict[str, object]] = field(default_factory=list)  # transitions of what it gave up, not told yet
    telling: TellState = field(default_factory=TellState)
    cases: CasesState = field(default_factory=CasesState)


@dataclass(frozen=True)
class Span:
    """What one step made."""

    readings: pl.DataFrame
    rejects: pl.DataFrame
    events: pl.DataFrame
    aggregates: pl.DataFrame
    verdicts: pl.DataFrame
    transitions: list[dict[str, object]]  # tick, transition, episode record
    counts: dict[str, int]
    clock_from: datetime | None
    clock_to: datetime | None
    # every window decided, of points nobody sees as well: for whoever explains them
    decisions: pl.DataFrame = field(default_factory=lambda: empty(DECISIONS))
    notifications: list[Notification] = field(default_factory=list)  # in the order in which they are to be sent
    told: Told = field(default_factory=Told)  # how they were planned, what was held back, what operators did
    cases: Followed = field(default_factory=Followed)  # what became of cases, and what of it is told
    took_s: dict[str, float] = field(default_factory=dict, compare=False)  # by stage: decode, windows, rules, alerts


class Pipeline:
    def __init__(self, site: Site, rules: list[Rule], carried: Carried | None = None):
        """carried: of the state it is to go on with. Raises rules.carry.NotCarried where that is of another site."""
        self.site = site
        plan = compile_plan(site, rules)
        self.plan: Plan = plan if carried is None else numbered(plan, carried)
        self._decoder = Decoder(site)
        self._marking = compile_marking(site)
        self.telling = compile_telling(site)
        self.words = ToldTexts(site, self.telling)
        self._at_rest: tuple[pl.DataFrame, Rests] | None = None  # of these effects
        self._took_s: dict[str, float] = {}  # of the step under way

    def step(self, state: PipelineState, messages: pl.DataFrame) -> Span:
        """Takes MESSAGES in feed order; decides every tick the site's clock has reached."""
        if state.before_clock is not None:
            messages = pl.concat([state.before_clock, messages])
            state.before_clock = None
        clock_from = state.clock.now
        stamped, clock = stamp(messages, state.clock)
        if clock.now is None:
            state.before_clock = messages
            return self._span(None, empty(READINGS), empty(REJECTS), empty(EVENTS), None, [], {})
        if state.windows is None:
            assert clock.first_at is not None
            state.windows = start(clock.first_at, state.away)
        state.clock = clock
        unreadable = self._take_facts(state, stamped)
        batch = batch_of(stamped.drop("known_at"), stamped["known_at"])
        decoded = self._timed("decode", lambda: self._decoder.decode(batch))
        rejects = pl.concat([decoded.rejects, unreadable]) if unreadable.height else decoded.rejects
        return self._decide(state, clock_from, clock.now, None, decoded.readings, rejects, decoded.events, messages)

    def take_over(self, before: "Pipeline", state: PipelineState) -> Over | None:
        """Makes the state of another site's pipeline this one's, which must not have decided anything yet.

        None where nothing had been decided before: it begins as any first site does.
        """
        if state.windows is None:
            return None
        over = carry_over(before.plan, self.plan, state.windows, state.alerts)
        self.plan, state.carried = over.plan, over.plan.carried
        state.ended += over.ended
        state.windows.effects = effects(state.facts, self.plan.points, self._marking)
        adapt(self.telling, state.telling)
        return over

    def _take_facts(self, state: PipelineState, stamped: pl.DataFrame) -> pl.DataFrame:
        """Adds what people said to the state; returns records that cannot be read, as REJECTS."""
        state.telling.waiting += actions_of(stamped)
        said, unreadable = facts_of(stamped)
        if said.height:
            state.facts = unique_facts(pl.concat([state.facts, said]))
            assert state.windows is not None
            state.windows.effects = effects(state.facts, self.plan.points, self._marking)
        return unreadable

    def close(self, state: PipelineState) -> Span | None:
        """A feed's end closes every window that had begun. None where there was nothing at all."""
        if state.windows is None:
            return None
        ended_at = state.windows.tick + TICK
        last_at = max(ended_at, latest_at(state.windows) or ended_at)
        hold = max(self.plan.hold_longest(period) for period in PERIODS)
        far = next_boundary(last_at, "year", self.plan.zone) + hold + timedelta(minutes=1)
        nothing = (empty(READINGS), empty(REJECTS), empty(EVENTS), None)
        return self._decide(state, state.windows.tick, far, ended_at, *nothing)

    def _decide(
        self,
        state: PipelineState,
        clock_from: datetime | None,
        to: datetime,
        grid_to: datetime | None,
        readings: pl.DataFrame,
        rejects: pl.DataFrame,
        events: pl.DataFrame,
        messages: pl.DataFrame | None,
    ) -> Span:
        assert state.windows is not None
        windows = state.windows
        samples = self._timed("windows", lambda: samples_of(readings, rejects, self.plan))
        made = self._timed("windows", lambda: advance(self.plan, windows, samples, to, grid_to))
        judged = self._timed("rules", lambda: evaluate(self.plan, made.decisions))
        changes = self._timed("alerts", lambda: update(self.plan, state.alerts, judged, to, windows.store))
        ended = [row for row in state.ended if row["tick"] <= to]  # type: ignore[operator]
        state.ended = state.ended[len(ended) :]
        events = pl.concat([events, rewritten_events(self.plan, made.rewritten)])
        counts = {
            "messages": 0 if messages is None else messages.filter(~pl.col("topic").str.starts_with("$")).height,
            "readings": readings.height,
            "rejects": rejects.height,
            "events": events.height,
            "duplicates": made.duplicates,
            "rewritten": made.rewritten.height,
            "late": made.late,
            "from_archive": made.put_away,
            "beyond_max_age": made.beyond,
        }
        span = self._span((clock_from, to), readings, rejects, events, (made.decisions, judged), changes, counts)
        transitions = [*ended, *span.transitions]
        rests = self._rests(state.windows.effects)
        told = tell(self.telling, state.telling, transitions, (), rests, to, ended_at=grid_to)
        cases = follow(self.telling, state.cases, transitions, told.actions, to, ended_at=grid_to)
        of_alerts = [(one.tick, self.words.notification(one)) for one in told.planned]
        of_cases = [(one.tick, self.words.of_cases(one)) for one in cases.planned]
        # by tick, so that the order does not depend on how many ticks one step decides
        notifications = [one for _, one in sorted([*of_alerts, *of_cases], key=itemgetter(0))]
        took_s, self._took_s = self._took_s, {}
        return replace(
            span, transitions=transitions, notifications=notifications, told=told, cases=cases, took_s=took_s
        )

    def _timed(self, stage: str, work: Callable[[], _Made]) -> _Made:
        began_s = perf_counter()
        made = work()
        self._took_s[stage] = self._took_s.get(stage, 0.0) + perf_counter() - began_s
        return made

    def _rests(self, effects: pl.DataFrame) -> Rests:
        if self._at_rest is None or self._at_rest[0] is not effects:
            self._at_rest = (effects, rests_of(effects, self.plan.points))
        return self._at_rest[1]

    def _span(
        self,
        clock: tuple[datetime | None, datetime] | None,
        readings: pl.DataFrame,
        rejects: pl.DataFrame,
        events: pl.DataFrame,
        decided: tuple[pl.DataFrame, pl.DataFrame] | None,
        changes: list[AlertChange],
        counts: dict[str, int],
    ) -> Span:
        made, judged = decided or (None, None)
        return Span(
            readings=readings,
            rejects=rejects,
            events=events,
            aggregates=empty(AGGREGATES) if made is None else self._aggregates(made),
            verdicts=empty(VERDICTS) if judged is None else verdicts(self.plan, judged),
            transitions=[
                {
                    "tick": change.tick,
                    "transition": str(change.transition),
                    "episode": record(self.plan, change.binding, change.episode),
                }
                for change in changes
            ],
            counts=counts,
            clock_from=clock[0] if clock else None,
            clock_to=clock[1] if clock else None,
            decisions=empty(DECISIONS) if made is None else made,
        )

    def _aggregates(self, decisions: pl.DataFrame) -> pl.DataFrame:
        """AGGREGATES of points people see; instants stand in the readings, what one rule had made in its verdicts."""
        windows = decisions.filter(pl.col("period") != "instant")
        if windows.is_empty():
            return empty(AGGREGATES)
        published = self.plan.points.filter("is_published")
        named = published.select("point", "partition", "station", "factor", "decimals", "unit")
        return (
            windows.join(named, on="point")
            .rename(
                {
                    "tick": "decided_at",
                    "sum": "sum_scaled",
                    "n": "valid_n",
                    "present": "present_n",
                    "expected": "expected_n",
                    "low": "min_scaled",
                    "high": "max_scaled",
                }
            )
            .select(AGGREGATES.names())
            .match_to_schema(AGGREGATES)
        )


@dataclass
class Episodes:
    """The latest episodes, kept by applying transitions in order."""

    by_id: dict[str, dict[str, object]] = field(default_factory=dict)

    def apply(self, transitions: list[dict[str, object]]) -> None:
        for row in transitions:
            episode = row["episode"]
            assert isinstance(episode, dict)
            if row["transition"] == Transition.WITHDRAWN:
                self.by_id.pop(episode["id"], None)
            else:
                self.by_id[episode["id"]] = episode
