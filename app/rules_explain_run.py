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
from contracts.frames import AGGREGATES, READINGS, REJECTS, VERDICTS, empty
from contracts.site import Limit, Site
from rules.plan import Plan
from rules.spec import Rule
from rules.ticks import SiteClock
from rules.validity import Completeness, completeness

from .pipeline import Pipeline, PipelineState, Span
from .replay import STEP_ROWS, cut

Row = dict[str, object]


class NotJudged(ValueError):
    """The rule does not judge the point; the text says what it judges instead."""


@dataclass(frozen=True)
class Derivation:
    """How a point's windows of a period are computed from those of others."""

    kind: str
    inputs: dict[str, int]  # role -> point
    parameters: dict[str, float]


@dataclass(frozen=True)
class Subject:
    """One rule on one point."""

    rule: str
    kind: str
    period: str
    point: int
    station: str
    factor: str

    @property
    def name(self) -> str:
        return f"{self.station}/{self.factor}"


def subject_of(plan: Plan, rule: str, point: str) -> Subject:
    """The rule's bindings to `station/factor`; a station alone will do where only one of its points is bound.

    Raises NotJudged.
    """
    bound = plan.bindings.filter(rule=rule).join(plan.points.drop("factor").rename({"about": "factor"}), on="point")
    if bound.is_empty():
        rules = ", ".join(plan.bindings["rule"].unique().sort()) or "none"
        raise NotJudged(f"rule {rule!r} judges nothing here; rules that are bound to points: {rules}")
    station, _, factor = point.partition("/")
    mine = bound.filter(pl.col("station") == station)
    if mine.is_empty():
        raise NotJudged(f"rule {rule} judges no point of {station!r}; it judges {_some(bound)}")
    if factor:
        if mine.filter(factor=factor).is_empty() and not mine.filter(factor=CONVERTED_PREFIX + factor).is_empty():
            converted = f"{station}/{CONVERTED_PREFIX}{factor}"
            raise NotJudged(f"{point} is judged after conversion to the reference O2: ask for {converted}")
        if mine.filter(factor=factor).is_empty():
            raise NotJudged(f"rule {rule} does not judge {point}; of this station it judges {_some(mine)}")
        mine = mine.filter(factor=factor)
    if mine["point"].n_unique() > 1:
        raise NotJudged(f"say which point of {station}: {_some(mine)}")
    row = mine.row(0, named=True)
    return Subject(rule, row["kind"], row["period"], row["point"], station, row["factor"])


def _some(bound: pl.DataFrame) -> str:
    names = bound.select(pl.concat_str("station", pl.lit("/"), "factor")).to_series().unique().sort().to_list()
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def span_of(plan: Plan, subject: Subject, at: datetime) -> tuple[datetime, datetime]:
    """When messages may have been received that decide the subject's window at an instant, revisions included.

    A day earlier, so that what was pending then is seen; an event may be so much ahead of its receipt as the site lets.
    """
    from_at, to_at = at, at + timedelta(days=1)
    if subject.period in CIVIL:
        to_at = next_boundary(at, subject.period, plan.zone)
        longest = {"day": timedelta(hours=26), "month": timedelta(days=32), "year": timedelta(days=367)}
        from_at = at - longest.get(subject.period, timedelta(hours=1))
    return from_at - timedelta(days=1), to_at + plan.lateness + max(plan.hold.values()) + timedelta(minutes=1)


@dataclass
class Run:
    """What the pipeline decided about the subject and everything it is computed from."""

    site: Site
    plan: Plan
    subject: Subject
    clause: str  # what the rule rests on, as its file says
    readings: pl.DataFrame = field(default_factory=lambda: empty(READINGS))
    rejects: pl.DataFrame = field(default_factory=lambda: empty(REJECTS))  # of the subject's station
    aggregates: pl.DataFrame = field(default_factory=lambda: empty(AGGREGATES))
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
        made_of = self.plan.inputs.filter(
            (pl.col("out") == point) & (pl.col("period") == period) & (pl.col("lag") == 0)
        )
        return Derivation(row["kind"], dict(made_of.select("role", "point").iter_rows()), numbers)

    def inputs_from(self, point: int, period: str) -> str | None:
        """The period whose windows are parts of this one's; None: readings are."""
        level = self.plan.levels.filter((pl.col("point") == point) & (pl.col("period") == period))
        return None if level.is_empty() else level["below"].item()

    def part_s(self, point: int, period: str) -> int:
        level = self.plan.levels.filter((pl.col("point") == point) & (pl.col("period") == period))
        return 60 if level.is_empty() else int(level["part_s"].item())

    def completeness(self, point: int, period: str) -> Completeness | None:
        return completeness(self.site).get((str(self.point(point)["medium"]), period))

    def bindings(self) -> list[Row]:
        rows = self.plan.bindings.filter(
            (pl.col("rule") == self.subject.rule) & (pl.col("point") == self.subject.point)
        )
        return rows.to_dicts()

    def limits(self) -> dict[str, Limit]:
        return {limit.limit_id: limit for limit in self.site.limits}

    def window_at(self, at: datetime) -> datetime | None:
        """Start of the decided window that holds the instant."""
        holds = (pl.col("window_at") <= at) & (pl.col("window_at") + pl.duration(seconds="window_s") > at)
        found = self.verdicts.filter(holds)["window_at"].max()
        return found if isinstance(found, datetime) else None

    def window(self, point: int, period: str, window_at: datetime, tick: datetime) -> Row | None:
        """AGGREGATES as they stood at a tick."""
        about = self.point(point)
        rows = self.aggregates.filter(
            (pl.col("station") == about["station"])
            & (pl.col("factor") == about["factor"])
            & (pl.col("period") == period)
            & (pl.col("window_at") == window_at)
            & (pl.col("decided_at") <= tick)
        ).sort("revision")
        return None if rows.is_empty() else rows.row(-1, named=True)


def closure(plan: Plan, point: int) -> set[int]:
    """The point, everything its values are computed from, and what its limits hold under."""
    about = plan.points.row(point, named=True)
    conditions = {
        row.when_factor for row in plan.site.limits if (row.outlet, row.factor) == (about["outlet"], about["factor"])
    }
    under = plan.points.filter(
        (pl.col("station") == about["station"]) & pl.col("factor").is_in(list(conditions - {None}))
    )
    found, todo = set(), [point, *under["point"]]
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
    run = Run(pipeline.site, pipeline.plan, subject, rule.clause, messages=ordered.height)
    wanted = closure(pipeline.plan, subject.point)
    state = PipelineState(SiteClock(collectors))
    spans: list[Span] = []
    done = 0
    for messages in cut(ordered, STEP_ROWS):
        spans.append(_cut(pipeline.step(state, messages), run, wanted))
        done += messages.height
        progress(done)
    if close and (last := pipeline.close(state)) is not None:
        spans.append(_cut(last, run, wanted))
    run.readings = _all(READINGS, (span.readings for span in spans))
    run.rejects = _all(REJECTS, (span.rejects for span in spans))
    run.aggregates = _all(AGGREGATES, (span.aggregates for span in spans))
    run.verdicts = _all(VERDICTS, (span.verdicts for span in spans)).sort("window_at", "limit_id", "revision")
    run.transitions = [row for span in spans for row in span.transitions]
    run.clock_from = None if state.windows is None else state.windows.start_at
    run.clock_to = state.clock.now
    return run


def _all(schema: pl.Schema, frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([empty(schema), *frames])


def _cut(span: Span, run: Run, wanted: set[int]) -> Span:
    """The span with only what the subject needs."""
    subject = run.subject
    named = run.plan.points.filter(pl.col("point").is_in(list(wanted))).select("station", "factor")
    its = (pl.col("station") == subject.station) & (pl.col("factor") == subject.factor)
    of_station = pl.col("station") == subject.station
    is_own = subject.factor.startswith("$")
    return Span(
        readings=span.readings.filter(pl.col("point").is_in(list(wanted)) | (of_station & is_own)),
        rejects=span.rejects.filter(of_station),
        events=span.events.clear(),
        aggregates=span.aggregates.join(named, on=["station", "factor"], how="semi"),
        verdicts=span.verdicts.filter((pl.col("rule") == subject.rule) & its),
        transitions=[row for row in span.transitions if _is_about(row, subject)],
        counts=span.counts,
        clock_from=span.clock_from,
        clock_to=span.clock_to,
    )


def _is_about(row: Row, subject: Subject) -> bool:
    episode = row["episode"]
    assert isinstance(episode, dict)
    told = (episode["rule"], episode["station"], episode["factor"])
    return told == (subject.rule, subject.station, subject.factor)
