"""Verdicts of windows that were decided before, and where the episodes' fold stood then, for whatever comes late.

Promises: a verdict is made again from the decision the windows remember, as it stood at any tick of this call or at its
beginning. The fold's machines are kept at borders of event time, so that what is late is folded from the border before
it and not from the beginning.
"""

import zlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

import msgspec
import polars as pl

from contracts.instants import epoch_us
from contracts.reasons import NoJudgement

from ..bindings import THRESHOLD_EXTRA
from ..evaluate import evaluate
from ..plan import Plan
from ..windows.advance import DECISIONS, dropped_before, put_away_before
from ..windows.due import borders_of, end_of, homes
from ..windows.parts import LONGEST
from ..windows.put_away import Shelf
from ..windows.store import KEYED_BY_PART, WindowStore
from .episodes import Machine, Window

IDLE = Machine()

_VALUE = pl.col("value_scaled").cast(pl.Int128) * 10**THRESHOLD_EXTRA
# Of a verdict and its binding: within, and not so far that an open alert may end. By the value as it is reported: an
# episode follows from the verdicts people see.
NEAR = (
    (pl.col("state") == "within")
    & pl.col("level").is_null()
    & (
        pl.when("above").then(_VALUE.gt(pl.col("clear"))).otherwise(_VALUE.lt(pl.col("clear")))
        | (pl.col("inclusive") & _VALUE.eq(pl.col("clear")))
    )
).fill_null(False)
_EVERY = {
    **dict.fromkeys(("instant", "minute", "five_minute"), timedelta(hours=1)),
    "hour": timedelta(hours=12),
    **dict.fromkeys(("day", "month", "year"), timedelta(days=8)),
}
_PUT_AWAY_EVERY = timedelta(hours=6)  # of old ones fewer are kept
_MICROSECOND = timedelta(microseconds=1)


@dataclass
class Borders:
    """period -> instant (us) -> the machines, where not idle, of all windows that start before it.

    The young ones are held, the old ones are put away on the windows' shelf.
    """

    held: dict[str, dict[int, dict[int, Machine]]] = field(default_factory=dict)

    def add(self, plan: Plan, shelf: Shelf, machines: dict[int, Machine], to: datetime) -> None:
        """Where enough time has passed since the last one: `machines` as they stand when `to` is decided."""
        for period in plan.periods:
            held = self.held.setdefault(period, {})
            border = epoch_us(plan.first_undecided(period, to))
            if held and border - max(held) < _EVERY[period] // _MICROSECOND:
                continue
            held[border] = {b: machine for b, machine in machines.items() if plan.period_of[b] == period}
            horizon = epoch_us(put_away_before(plan, period, to))
            last = max(shelf.of(borders_of(period)), default=None)
            for old in [at for at in sorted(held)[:-1] if at < horizon]:
                machines_then = held.pop(old)
                if last is None or old - last >= _PUT_AWAY_EVERY // _MICROSECOND:
                    shelf.replace(borders_of(period), old, packed(machines_then))
                    last = old
            # the last one before what may still be asked for is where its fold begins
            before = [at for at in shelf.of(borders_of(period)) if at <= epoch_us(dropped_before(plan, period, to))]
            shelf.drop(borders_of(period), max(before, default=0) - 1, 0)


def packed(machines: dict[int, Machine]) -> bytes:
    return zlib.compress(msgspec.json.encode(machines), 1)


def unpacked(content: bytes) -> dict[int, Machine]:
    return msgspec.json.decode(zlib.decompress(content), type=dict[int, Machine])


@dataclass(frozen=True)
class Run:
    """Windows that follow each other in one segment: one of this call, with its verdicts by tick; or any number of
    settled ones, of which the fold need not look at each, since they are alike."""

    first_at: datetime
    rows: pl.DataFrame
    start: int
    count: int
    verdicts: list[tuple[datetime, Window]] | None  # from which tick on; None: settled

    def window(self, n: int) -> Window:
        return window_of(self.rows.row(self.start + n, named=True))

    def as_of(self, tick: datetime, *, before: bool) -> Window | None:
        """The window of this call as it was known at a tick, or before it."""
        assert self.verdicts is not None
        cut = bisect_left if before else bisect_right
        known = cut(self.verdicts, tick, key=lambda verdict: verdict[0])
        return self.verdicts[known - 1][1] if known else None


@dataclass
class Past:
    """One period's past, in segments between borders, for the bindings something late came for in this call."""

    plan: Plan
    store: WindowStore
    held: dict[int, dict[int, Machine]]
    period: str
    bindings: pl.Series
    from_at: datetime  # nobody asks what was known before it
    to: datetime
    _segments: dict[int, dict[int, pl.DataFrame]] = field(default_factory=dict)
    _runs: dict[tuple[int, int], list[Run]] = field(default_factory=dict)
    _machines: dict[int, dict[int, Machine]] = field(default_factory=dict)  # that had been put away
    _changed: set[int] = field(default_factory=set)

    @cached_property
    def borders(self) -> list[int]:
        return sorted({*self.held, *self.store.shelf.of(borders_of(self.period))})

    @property
    def last_segment(self) -> int:
        return len(self.borders)

    def segment_of(self, at: datetime) -> int:
        """The segment a window belongs to that starts at the instant; the one of the number ends with that border."""
        return bisect_right(self.borders, epoch_us(at))

    def machine(self, segment: int, binding: int) -> Machine:
        """Where the fold stands at the beginning of a segment."""
        return self._at(self.borders[segment - 1]).get(binding, IDLE) if segment else IDLE

    def set_machine(self, segment: int, binding: int, machine: Machine) -> None:
        border = self.borders[segment - 1]
        at = self._at(border)
        if at.get(binding, IDLE) == machine:
            return
        if machine.idle:
            at.pop(binding, None)
        else:
            at[binding] = machine
        if border in self._machines:
            self._changed.add(border)

    def _at(self, border: int) -> dict[int, Machine]:
        if border in self.held:
            return self.held[border]
        if border not in self._machines:
            (content,) = self.store.shelf.get(borders_of(self.period), border)
            self._machines[border] = unpacked(content)
        return self._machines[border]

    def close(self) -> None:
        """Puts away again what was changed."""
        for border in sorted(self._changed):
            self.store.shelf.replace(borders_of(self.period), border, packed(self._machines[border]))

    def restless(self, segment: int) -> set[int]:
        """The bindings that are not idle at the beginning of a segment, or were beyond a level in it at any tick."""
        found = {binding for binding, rows in self._rows(segment).items() if rows["level"].null_count() < rows.height}
        at_start = self._at(self.borders[segment - 1]) if segment else {}
        return found | set(at_start)

    def runs(self, segment: int, binding: int) -> list[Run]:
        """A segment's windows in event time."""
        key = segment, binding
        if key not in self._runs:
            rows = self._rows(segment).get(binding)
            self._runs[key] = [] if rows is None else _in_runs(rows, self.from_at)
        return self._runs[key]

    def _rows(self, segment: int) -> dict[int, pl.DataFrame]:
        if segment not in self._segments:
            self.read(segment, 1)
        return self._segments[segment]

    def read(self, segment: int, count: int) -> None:
        """Reads so many segments at once."""
        edges = [0, *self.borders, epoch_us(self.to) + 1]
        last = min(segment + count, len(edges) - 1)
        if segment >= last or segment in self._segments:
            return
        its = self._judged(edges[segment], edges[last])
        inner = pl.Series(edges[segment + 1 : last], dtype=pl.Int64)
        its = its.with_columns(
            segment=segment + inner.search_sorted(its["window_at"].dt.epoch("us"), side="right").cast(pl.Int64)
        )
        self._segments.update({n: {} for n in range(segment, last) if n not in self._segments})
        for (n, binding), rows in its.partition_by("segment", "binding", as_dict=True).items():
            self._segments[int(n)][int(binding)] = rows  # type: ignore[call-overload]

    def _judged(self, from_us: int, to_us: int) -> pl.DataFrame:
        plan, period = self.plan, self.period
        points = plan.bindings["point"][self.bindings].unique()
        parts = []
        for home in homes(period):
            # a window that is kept with a longer one may start before that one's end only
            ahead = 0 if home.endswith("!") or home in KEYED_BY_PART else LONGEST[home] // _MICROSECOND
            parts.append(self.store.between(home, max(0, from_us - ahead), to_us - 1, points))
        us = pl.col("at").dt.epoch("us")
        rows = pl.concat(parts).filter(
            pl.col("revision").is_not_null() & (us >= from_us) & (us < to_us) & pl.col("point").is_in(points.implode())
        )
        rows = rows.unique(["point", "at", "revision"])  # what is a part of two windows is kept with each
        rows = rows.with_columns(window_at="at", period=pl.lit(period), on_time=pl.lit(False))
        seconds = (end_of(period, plan.zone) - pl.col("window_at")).dt.total_seconds()
        judged = evaluate(
            plan, rows.with_columns(window_s=seconds).select(DECISIONS.names()).match_to_schema(DECISIONS)
        )
        judged = judged.filter(pl.col("binding").is_in(self.bindings.implode()))
        if plan.begun_at is not None:  # what was decided before a binding began is none of its verdicts
            begun_at = plan.begun_at[judged["binding"]]
            judged = judged.filter(begun_at.is_null() | (judged["decided_at"] > begun_at))
        return folded_columns(plan, judged).sort("binding", "window_at", "decided_at")


def _in_runs(rows: pl.DataFrame, from_at: datetime) -> list[Run]:
    """rows: one binding's verdicts, by window and tick; settled are those decided up to `from_at`."""
    at, ticks = rows["window_at"].to_list(), rows["decided_at"].to_list()
    said = rows.select("level", "judged", "applies", "near").rows()
    runs, n = [], 0
    while n < rows.height:
        end = n + 1
        while end < rows.height and at[end] == at[n]:
            end += 1
        if ticks[end - 1] > from_at:
            verdicts = [(ticks[k], window_of(rows.row(k, named=True))) for k in range(n, end)]
            runs.append(Run(at[n], rows, n, 1, verdicts))
        else:  # of a window the last
            start, n = end - 1, end - 1
            while (
                end < rows.height
                and ticks[end] <= from_at
                and at[end + 1 : end + 2] != [at[end]]
                and said[end] == said[n]
            ):
                end += 1
            runs.append(Run(at[n], rows, start, end - start, None))
        n = end
    return runs


def folded_columns(plan: Plan, judged: pl.DataFrame) -> pl.DataFrame:
    """What the fold needs of evaluate.JUDGED."""
    # what may only be said of a stop is over when the stop is
    is_over = pl.col("reason").eq_missing(str(NoJudgement.NOT_STOPPED))
    bounds = plan.bindings.select(pl.col("above", "inclusive", "clear").gather(judged["binding"]))
    return judged.hstack(bounds).select(
        "binding",
        "window_at",
        "window_s",
        "revision",
        "decided_at",
        "on_time",
        "level",
        "value_scaled",
        "valid_n",
        "expected_n",
        "which",
        judged=pl.col("state").is_in(["exceedance", "within"]) | is_over,
        applies=(pl.col("state") != "not_applicable") | is_over,
        exceeds=pl.col("state") == "exceedance",
        near=NEAR,
    )


def window_of(row: dict) -> Window:
    return Window(
        at=row["window_at"],
        seconds=row["window_s"],
        level=row["level"],
        judged=row["judged"],
        applies=row["applies"],
        value_scaled=row["value_scaled"],
        exceeds=row["exceeds"],
        valid_n=row["valid_n"],
        expected_n=row["expected_n"],
        near=row["near"],
        which=row["which"],
    )
