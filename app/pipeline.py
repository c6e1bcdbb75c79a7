"""The one evaluation path: raw messages in, everything that is decided out. Live, replay and rule tests call it.

Promises: outputs depend on the set of messages alone, not on how it is cut into steps. No I/O; no wall clock.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from contracts.civil_time import next_boundary
from contracts.facts import FACTS
from contracts.frames import AGGREGATES, EVENTS, READINGS, REJECTS, VERDICTS, empty
from contracts.ports import PutAway
from contracts.reasons import Transition
from contracts.site import Site
from ingest.decode import Decoder, batch_of
from rules.alerts import AlertChange, AlertState, record, update
from rules.evaluate import evaluate, verdicts
from rules.fact_records import facts_of, unique_facts
from rules.facts import effects
from rules.mark_tables import compile_marking
from rules.plan import Plan, compile_plan
from rules.put_away import InMemory
from rules.rewritten import rewritten_events
from rules.samples import samples_of
from rules.spec import Rule
from rules.ticks import TICK, SiteClock, stamp
from rules.windows import DECISIONS, WindowState, advance, latest_at, start


@dataclass
class PipelineState:
    """Everything carried from step to step."""

    clock: SiteClock
    windows: WindowState | None = None
    alerts: AlertState = field(default_factory=AlertState)
    before_clock: pl.DataFrame | None = None  # messages that came before every collector had spoken
    facts: pl.DataFrame = field(default_factory=lambda: empty(FACTS))  # everything people have said so far
    away: PutAway = field(default_factory=InMemory)  # where windows are put that only very late data ask for


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


class Pipeline:
    def __init__(self, site: Site, rules: list[Rule]):
        self.site = site
        self.plan: Plan = compile_plan(site, rules)
        self._decoder = Decoder(site)
        self._marking = compile_marking(site)

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
        decoded = self._decoder.decode(batch_of(stamped.drop("known_at"), stamped["known_at"]))
        rejects = pl.concat([decoded.rejects, unreadable]) if unreadable.height else decoded.rejects
        return self._decide(state, clock_from, clock.now, None, decoded.readings, rejects, decoded.events, messages)

    def _take_facts(self, state: PipelineState, stamped: pl.DataFrame) -> pl.DataFrame:
        """Adds what people said to the state; returns records that cannot be read, as REJECTS."""
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
        far = next_boundary(last_at, "year", self.plan.zone) + max(self.plan.hold.values()) + timedelta(minutes=1)
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
        made = advance(self.plan, state.windows, samples_of(readings, rejects, self.plan), to, grid_to)
        judged = evaluate(self.plan, made.decisions)
        changes = update(self.plan, state.alerts, judged, to, state.windows.store)
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
        return self._span((clock_from, to), readings, rejects, events, (made.decisions, judged), changes, counts)

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
