"""What an explanation reads: the production pipeline run once more, its frames cut to one rule and one point.

Promises: every verdict, window and transition is a row that `Pipeline.step` made; nothing is judged here. This is the
only module of the explanation that reads the plan's tables.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from contracts.civil_time import PERIODS as CIVIL
from contracts.civil_time import next_boundary
from contracts.factors import CONVERTED_PREFIX
from contracts.facts import EFFECTS, FACTS
from contracts.frames import INSTANT, READINGS, REJECTS, VERDICTS, empty
from contracts.site import Limit, Site
from rules.facts.effects import effects
from rules.facts.tables import compile_marking
from rules.plan import Plan
from rules.spec import Rule
from rules.tables.validity import Completeness, completeness
from rules.ticks import SiteClock, stamp
from rules.windows.advance import start

from ..pipeline import Pipeline, PipelineState, Span
from ..replay import STEP_ROWS, cut

Row = dict[str, object]


# Decisions of the wanted points, in the names of AGGREGATES.
WINDOWS = pl.Schema(
    {
        "point": pl.UInt32,
        "period": pl.String,
        "window_at": INSTANT,
        "window_s": pl.Int64,
        "revision": pl.UInt32,
        "decided_at": INSTANT,
        "sum_scaled": pl.Int128,
        "valid_n": pl.UInt32,
        "present_n": pl.UInt32,
        "expected_n": pl.UInt32,
        "over_n": pl.UInt32,
        "min_scaled": pl.Int64,
        "max_scaled": pl.Int64,
        "reason": pl.String,
        "decimals": pl.UInt8,
        "unit": pl.String,
    }
)
_DECIDED = {
    "tick": "decided_at",
    "sum": "sum_scaled",
    "n": "valid_n",
    "present": "present_n",
    "expected": "expected_n",
    "over": "over_n",
    "low": "min_scaled",
    "high": "max_scaled",
}


_LONGEST = {"day": timedelta(hours=26), "month": timedelta(days=32), "year": timedelta(days=367)}
_LENGTH = _LONGEST | {
    "instant": timedelta(0),
    "minute": timedelta(minutes=1),
    "five_minute": timedelta(minutes=5),
    "hour": timedelta(hours=1),
}


class NotJudged(ValueError):
    """The rule does not judge the point; the text says what it judges instead."""


@dataclass(frozen=True)
class Input:
    """One of the windows another is computed from: `lag` windows before it."""

    role: str
    point: int
    lag: int


@dataclass(frozen=True)
class Derivation:
    """How a point's windows of a period are computed from those of others."""

    kind: str
    inputs: list[Input]
    parameters: dict[str, float]  # p, q, r, as formulas.FORMULAS names them


@dataclass(frozen=True)
class Subject:
    """One rule on one factor of a station, by every point it is judged by; or against one of its limits alone."""

    rule: str
    kind: str
    period: str
    points: tuple[int, ...]  # a limit with a condition has one of its own
    station: str
    factor: str  # what the verdicts speak of
    limit_id: str | None = None  # the one that was asked for; None: all

    @property
    def name(self) -> str:
        return f"{self.station}/{self.factor}" + (f"?{self.limit_id}" if self.limit_id else "")


def subject_of(plan: Plan, rule: str, point: str) -> Subject:
    """The rule's bindings to `station/factor` or `station/factor?limit_id`; a station alone will do where only one of
    its factors is bound. The factor is what verdicts speak of, or the point's own name.

    Raises NotJudged.
    """
    bound = plan.bindings.filter(rule=rule).join(plan.points.rename({"factor": "own"}), on="point")
    bound = bound.rename({"about": "factor"})
    if bound.is_empty():
        rules = ", ".join(plan.bindings["rule"].unique().sort()) or "none"
        raise NotJudged(f"rule {rule!r} judges nothing here; rules that are bound to points: {rules}")
    station, _, named = point.partition("/")
    mine = bound.filter(pl.col("station") == station)
    if mine.is_empty():
        raise NotJudged(f"rule {rule} judges no point of {station!r}; it judges {_some(bound)}")
    if named:
        mine = _of_factor(mine, rule, station, named)
    if mine["factor"].n_unique() > 1:
        raise NotJudged(f"say which point of {station}: {_some(mine)}")
    row = mine.row(0, named=True)
    factor, _, limit_id = named.partition("?")
    only = limit_id if factor == row["factor"] and limit_id else None
    points = tuple(mine["point"].unique().sort())
    return Subject(rule, row["kind"], row["period"], points, station, row["factor"], only)


def _of_factor(mine: pl.DataFrame, rule: str, station: str, named: str) -> pl.DataFrame:
    """Every binding of the factor; of a point's own name, those of that point."""
    factor, _, limit_id = named.partition("?")
    its = mine.filter(factor=factor)
    own = mine.filter(own=named)
    if its.is_empty() and not own.is_empty():
        return own
    if its.is_empty() and not mine.filter(factor=CONVERTED_PREFIX + factor).is_empty():
        converted = f"{station}/{CONVERTED_PREFIX}{factor}"
        raise NotJudged(f"{station}/{named} is judged after conversion to the reference O2: ask for {converted}")
    if its.is_empty():
        raise NotJudged(f"rule {rule} does not judge {station}/{named}; of this station it judges {_some(mine)}")
    if limit_id and its.filter(limit_id=limit_id).is_empty():
        limits = ", ".join(its["limit_id"].drop_nulls().unique().sort()) or "none"
        raise NotJudged(f"rule {rule} does not hold {station}/{factor} against {limit_id!r}; its limits are {limits}")
    return its


def _some(bound: pl.DataFrame) -> str:
    names = bound.select(pl.concat_str("station", pl.lit("/"), "factor")).to_series().unique().sort().to_list()
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def span_of(plan: Plan, subject: Subject, at: datetime) -> tuple[datetime, datetime]:
    """When messages may have been received that decide the subject's window at an instant, revisions included.

    A day earlier, so that what was pending then is seen, and as far as the window looks back; an event may be so much
    ahead of its receipt as the site lets.
    """
    from_at, to_at = at, at + timedelta(days=1)
    if subject.period in CIVIL:
        to_at = next_boundary(at, subject.period, plan.zone)
        from_at = at - _LONGEST.get(subject.period, timedelta(hours=1))
    from_at -= timedelta(days=1) + looks_back(plan, subject)
    return from_at, to_at + plan.lateness + max(plan.hold.values()) + timedelta(minutes=1)


def looks_back(plan: Plan, subject: Subject) -> timedelta:
    """How much earlier than a window those begin that it is computed from: the hours before it, the days before it."""
    of = pl.col("out").is_in(list(closure(plan, subject.points)))
    steps = plan.inputs.filter(of).group_by("out", "period").agg(pl.col("lag").max())
    return sum((lag * _LENGTH[period] for _, period, lag in steps.iter_rows()), timedelta(0))


@dataclass
class Run:
    """What the pipeline decided about the subject and everything it is computed from."""

    site: Site
    plan: Plan
    subject: Subject
    rule: Rule
    readings: pl.DataFrame = field(default_factory=lambda: empty(READINGS))
    rejects: pl.DataFrame = field(default_factory=lambda: empty(REJECTS))  # of the subject's station
    windows: pl.DataFrame = field(default_factory=lambda: empty(WINDOWS))
    effects: pl.DataFrame = field(default_factory=lambda: empty(EFFECTS))  # of what people said, on wanted points
    verdicts: pl.DataFrame = field(default_factory=lambda: empty(VERDICTS))
    transitions: list[Row] = field(default_factory=list)  # tick, transition, episode
    messages: int = 0
    clock_from: datetime | None = None
    clock_to: datetime | None = None

    def point(self, number: int) -> Row:
        return self.plan.points.row(number, named=True)

    def number_of(self, station: str, factor: str) -> int | None:
        found = self.plan.points.filter((pl.col("station") == station) & (pl.col("factor") == factor))["point"]
        return None if found.is_empty() else int(found.item())

    def derivation(self, point: int, period: str) -> Derivation | None:
        found = self.plan.derived.filter((pl.col("out") == point) & (pl.col("period") == period))
        if found.is_empty():
            return None
        row = found.row(0, named=True)
        numbers = {name: row[name] for name in ("p", "q", "r") if row[name] is not None}
        made_of = self.plan.inputs.filter((pl.col("out") == point) & (pl.col("period") == period))
        inputs = [Input(*one) for one in made_of.select("role", "point", "lag").sort("role", "lag").iter_rows()]
        return Derivation(row["kind"], inputs, numbers)

    def inputs_from(self, point: int, period: str) -> str | None:
        """The period whose windows are parts of this one's; None: readings are."""
        level = self.plan.levels.filter((pl.col("point") == point) & (pl.col("period") == period))
        return None if level.is_empty() else level["below"].item()

    def part_s(self, point: int, period: str) -> int:
        level = self.plan.levels.filter((pl.col("point") == point) & (pl.col("period") == period))
        return 60 if level.is_empty() else int(level["part_s"].item())

    def completeness(self, point: int, period: str) -> Completeness | None:
        return completeness(self.site).get((str(self.point(point)["medium"]), period))

    def pools(self, point: int, period: str) -> bool:
        """Whether a window adds up the sums and counts of its parts, not their means."""
        level = self.plan.levels.filter((pl.col("point") == point) & (pl.col("period") == period))
        return not level.is_empty() and bool(level["pools"].item())

    def bindings(self) -> list[Row]:
        points = list(self.subject.points)
        rows = self.plan.bindings.filter((pl.col("rule") == self.subject.rule) & pl.col("point").is_in(points))
        return rows.to_dicts()

    def earlier(self, window_at: datetime, period: str, lag: int) -> datetime:
        """Start of the window so many windows before, in civil time."""
        every, unit = int(CIVIL[period][0]), CIVIL[period][1:]
        there = pl.lit(window_at, INSTANT).dt.convert_time_zone(self.plan.zone)
        found = pl.select(there.dt.offset_by(f"-{lag * every}{unit}").dt.convert_time_zone("UTC")).item()
        assert isinstance(found, datetime)
        return found

    def end_at(self, window_at: datetime, period: str) -> datetime:
        """An instant ends when it begins."""
        return window_at if period == "instant" else next_boundary(window_at, period, self.plan.zone)

    def limits(self) -> dict[str, Limit]:
        return {limit.limit_id: limit for limit in self.site.limits}

    def window_at(self, at: datetime) -> datetime | None:
        """Start of the decided window that holds the instant."""
        holds = (pl.col("window_at") <= at) & (pl.col("window_at") + pl.duration(seconds="window_s") > at)
        found = self.verdicts.filter(holds)["window_at"].max()
        return found if isinstance(found, datetime) else None

    def window(self, point: int, period: str, window_at: datetime, tick: datetime) -> Row | None:
        """WINDOWS as they stood at a tick."""
        rows = self.windows.filter(
            (pl.col("point") == point)
            & (pl.col("period") == period)
            & (pl.col("window_at") == window_at)
            & (pl.col("decided_at") <= tick)
        ).sort("revision")
        return None if rows.is_empty() else rows.row(-1, named=True)


def closure(plan: Plan, points: Iterable[int]) -> set[int]:
    """The points, everything their values are computed from, and what their limits hold under."""
    todo = list(points)
    about = plan.points.filter(pl.col("point").is_in(todo)).row(0, named=True)
    conditions = {
        row.when_factor for row in plan.site.limits if (row.outlet, row.factor) == (about["outlet"], about["about"])
    }
    under = plan.points.filter(
        (pl.col("station") == about["station"]) & pl.col("factor").is_in(list(conditions - {None}))
    )
    found: set[int] = set()
    todo += under["point"].to_list()
    while todo:
        if (one := todo.pop()) not in found:
            found.add(one)
            todo += plan.inputs.filter(out=one)["point"].to_list()
    return found


def run_again(
    pipeline: Pipeline,
    rule: Rule,
    subject: Subject,
    ordered: pl.DataFrame,
    collectors: tuple[str, ...],
    *,
    close: bool,
    progress: Callable[[int], None] = lambda _: None,
) -> Run:
    """Takes MESSAGES in feed order. close: a feed's end ends every window that had begun.

    progress: told the number of messages done.
    """
    parts = cut(ordered, STEP_ROWS)
    return run_through(pipeline, rule, subject, parts, collectors, empty(FACTS), close=close, progress=progress)


def run_through(
    pipeline: Pipeline,
    rule: Rule,
    subject: Subject,
    parts: Iterable[pl.DataFrame],
    collectors: tuple[str, ...],
    facts: pl.DataFrame,
    *,
    close: bool,
    progress: Callable[[int], None] = lambda _: None,
) -> Run:
    """As run_again, of MESSAGES that come in parts. facts: FACTS that were known before them."""
    run = Run(pipeline.site, pipeline.plan, subject, rule)
    wanted = closure(pipeline.plan, subject.points)
    state = PipelineState(SiteClock(collectors))
    spans: list[Span] = []
    windows: list[pl.DataFrame] = []

    def take(span: Span) -> None:
        spans.append(_cut(span, run, wanted))
        windows.append(_windows_of(span, run, wanted))

    for messages in parts:
        remember(state, pipeline.plan, messages, facts)
        take(pipeline.step(state, messages))
        run.messages += messages.height
        progress(run.messages)
    if close and (last := pipeline.close(state)) is not None:
        take(last)
    run.readings = _all(READINGS, (span.readings for span in spans))
    run.rejects = _all(REJECTS, (span.rejects for span in spans))
    run.windows = _all(WINDOWS, windows)
    run.verdicts = _all(VERDICTS, (span.verdicts for span in spans)).sort("window_at", "limit_id", "revision")
    run.transitions = [row for span in spans for row in span.transitions]
    if state.windows is not None:
        run.effects = state.windows.effects.filter(pl.col("point").is_in(list(wanted)))
        run.clock_from = state.windows.start_at
    run.clock_to = state.clock.now
    return run


def remember(state: PipelineState, plan: Plan, messages: pl.DataFrame, facts: pl.DataFrame) -> None:
    """Gives a state that is about to begin what people had said before: MESSAGES are those of its first step."""
    if state.windows is not None or facts.is_empty():
        return
    waited = messages if state.before_clock is None else pl.concat([state.before_clock, messages])
    _, clock = stamp(waited, state.clock)
    if clock.now is not None and clock.first_at is not None:
        state.windows = start(clock.first_at, state.away)
        state.facts = facts.filter(pl.col("known_at") <= pl.lit(clock.first_at))
        state.windows.effects = effects(state.facts, plan.points, compile_marking(plan.site))


def _windows_of(span: Span, run: Run, wanted: set[int]) -> pl.DataFrame:
    mine = span.decisions.filter(pl.col("point").is_in(list(wanted))).rename(_DECIDED)
    return mine.join(run.plan.points.select("point", "decimals", "unit"), on="point").select(WINDOWS.names())


def _all(schema: pl.Schema, frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([empty(schema), *frames])


def _cut(span: Span, run: Run, wanted: set[int]) -> Span:
    """The span with only what the subject needs."""
    subject = run.subject
    its = (pl.col("station") == subject.station) & (pl.col("factor") == subject.factor)
    of_station = pl.col("station") == subject.station
    is_own = subject.factor.startswith("$")
    return Span(
        readings=span.readings.filter(pl.col("point").is_in(list(wanted)) | (of_station & is_own)),
        rejects=span.rejects.filter(of_station),
        events=span.events.clear(),
        aggregates=span.aggregates.clear(),
        verdicts=span.verdicts.filter((pl.col("rule") == subject.rule) & its),
        transitions=[row for row in span.transitions if is_about(row, subject)],
        counts=span.counts,
        clock_from=span.clock_from,
        clock_to=span.clock_to,
    )


def is_about(row: Row, subject: Subject) -> bool:
    episode = row["episode"]
    assert isinstance(episode, dict)
    told = (episode["rule"], episode["station"], episode["factor"])
    return told == (subject.rule, subject.station, subject.factor)
