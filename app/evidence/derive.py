"""Deriving the decisions again: the journal through the production pipeline, held against every span.

Promises: what passes is what the spans hold, row for row, transition for transition. Spans are worked off in groups,
which changes nothing that is decided; where a group differs, its spans are taken one by one and the first that differs
is named.
"""

import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from contracts.instants import epoch_us
from contracts.ports import Notification
from rules.ticks import TICK, SiteClock, stamp
from store.archive import TABLES
from store.state_db import SpanRow
from store.telling_rows import TellingRows

from ..pipeline import PipelineState, Span
from ..reloading import Sites, together
from ..service.collector import journal_directory
from ..service.committed import case_rows, telling_rows
from ..site.kept import KeptSite
from .journal import Rows
from .link import Broken, instant, short
from .rows import Bags, difference
from .state import FILE, Row

LINK = "derivation"
SPAN = "span"  # column: the number of the span a row belongs to
_BY_RECEIPT = ("readings", "rejects", "events")  # rows of the other tables belong to the tick of their decision
_REJECT = "reject:"  # counts by reason, where there are any
Frames = dict[str, pl.DataFrame]


@dataclass
class Group:
    """Spans that follow each other, and what their files hold; of a pruned one there are no frames."""

    spans: list[SpanRow]
    frames: dict[int, Frames] = field(default_factory=dict)

    def table(self, name: str) -> pl.DataFrame:
        """The rows of all files, each with its span."""
        empty = pl.DataFrame(schema={**TABLES[name].schema, SPAN: pl.Int64})
        parts = [held[name].with_columns(pl.lit(seq, pl.Int64).alias(SPAN)) for seq, held in self.frames.items()]
        return pl.concat([empty, *parts])


class Derivation:
    def __init__(self, state_dir: Path, sites: Sequence[KeptSite], transitions: Sequence[Row], bags: Bags):
        """sites: all that the journals name, the first one first, or the one that decides whatever they name.

        transitions: as committed.
        """
        self._transitions, self._bags = transitions, bags
        self._sites = Sites(sites[0], {kept.name: kept for kept in sites}.get)
        collectors = sites[0].site.file.collectors
        self._rows = Rows(journal_directory(state_dir, name) for name in collectors)
        self._state = PipelineState(SiteClock(collectors))
        self._derived_n = 0  # so many of the transitions
        self.notifications: dict[tuple[object, object], Notification] = {}  # by key and channel
        self.told: list[TellingRows] = []  # span by span
        self.cases: list[Row] = []  # events, in order
        self.used: list[tuple[int, KeptSite]] = [(1, sites[0])]  # from which span on

    @property
    def site(self) -> KeptSite:
        return self._sites.site(self._state)

    def check(self, group: Group) -> Frames:
        """The rows of the group's pruned spans, derived, with their spans. Raises Broken."""
        messages = self._rows.upto(group.spans[-1].journal_to)
        before = copy.deepcopy(self._state)
        try:
            return self._together(group, messages)
        except GroupDiffers:
            self._state = before
        pruned: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
        at = messages["received_at"].to_physical()
        for span in group.spans:
            mine = messages.filter((at > span.journal_after) & (at <= span.journal_to))
            made = self._one(span, mine, group.frames.get(span.seq))
            if span.seq not in group.frames:
                for name, frame in _frames(made).items():
                    pruned[name].append(frame.with_columns(pl.lit(span.seq, pl.Int64).alias(SPAN)))
        return {name: pl.concat([group.table(name).clear(), *parts]) for name, parts in pruned.items()}

    def finish(self) -> None:
        if self._derived_n < len(self._transitions):
            row = self._transitions[self._derived_n]
            said = f"{row['transition']} of episode {row['episode']} at {instant(_int(row['tick']))}"
            raise Broken(LINK, f"{FILE}, transition {row['seq']}", f"{said}: no span decides it")

    # -- many spans at once

    def _together(self, group: Group, messages: pl.DataFrame) -> Frames:
        """Raises GroupDiffers where one step over all of them does not give what they hold together."""
        spans, state = group.spans, self._state
        ends = pl.Series([span.journal_to for span in spans], dtype=pl.Int64)
        if not ends.is_in(messages["received_at"].to_physical().implode()).all():
            raise GroupDiffers
        clocks = _clocks(state, messages, ends)
        if clocks != [span.clock_to for span in spans]:
            raise GroupDiffers
        made, since = self._step(state, messages)
        counted: Counter[str] = Counter()
        for span in spans:
            counted.update(span.counts)
            names = {name for name in span.counts if not (name.startswith(_REJECT) and span.counts[name])}
            if names != (set(made.counts) if span.clock_to is not None else set()):
                raise GroupDiffers
            held = group.frames.get(span.seq)
            if held and any(span.counts.get(name, 0) != held[name].height for name in _BY_RECEIPT):
                raise GroupDiffers
        if +counted != +Counter(_counts(made)) or self._wrong_transition(made) is not None:
            raise GroupDiffers
        pruned = {}
        for name, frame in _frames(made).items():
            rows = _with_spans(name, frame, spans, clocks)
            has_file = rows[SPAN].is_in(list(group.frames))
            if self._bags.of(rows.filter(has_file)) != self._bags.of(group.table(name)):
                raise GroupDiffers
            pruned[name] = rows.filter(~has_file)
        self._go_on(made, spans, since)
        return pruned

    # -- one span

    def _one(self, span: SpanRow, messages: pl.DataFrame, held: Frames | None) -> Span:
        try:
            return self._derive(span, messages, held)
        except Broken as broken:
            told = f"{broken.what} (derived with {self.site.shown})"
            raise Broken(broken.link, broken.place, told) from broken

    def _derive(self, span: SpanRow, messages: pl.DataFrame, held: Frames | None) -> Span:
        place = f"{FILE}, span {span.seq}"
        if messages.is_empty() or epoch_us(messages["received_at"][-1]) != span.journal_to:
            at = instant(span.journal_to)
            raise Broken(LINK, place, f"ends with the journal row of {at}; the journals hold no such row")
        state = copy.deepcopy(self._state)
        made, since = self._step(state, messages)
        clock = None if made.clock_to is None else epoch_us(made.clock_to)
        if clock != span.clock_to:
            said = f"leaves the clock at {instant(span.clock_to)}; the journals leave it at {instant(clock)}"
            raise Broken(LINK, place, said)
        for name, frame in _frames(made).items():
            if held is not None and (found := difference(name, held[name], frame)) is not None:
                raise Broken(LINK, f"spans/{span.file} (span {span.seq}), {name}", found)
        counts = _counts(made)
        for name in sorted({*counts, *span.counts}):
            if counts.get(name) != span.counts.get(name):
                said = f"counts {span.counts.get(name)} {name}; the journals give {counts.get(name)}"
                raise Broken(LINK, place, said)
        if (wrong := self._wrong_transition(made)) is not None:
            raise wrong
        self._state = state
        self._go_on(made, [span], since)
        return made

    def _step(self, state: PipelineState, messages: pl.DataFrame) -> tuple[Span, list[tuple[int, KeptSite]]]:
        """What the messages make of the state, and from which row on which site decided them."""
        spans, since = [], []
        for section in self._sites.sections(state, messages):
            spans.append(self._sites.step(state, section))
            since.append((epoch_us(section["received_at"][0]), self._sites.site(state)))
        return together(spans), since

    # -- transitions

    def _go_on(self, made: Span, spans: Sequence[SpanRow], since: Sequence[tuple[int, KeptSite]]) -> None:
        for at, kept in since:
            if kept is not self.used[-1][1]:
                self.used.append((next(span.seq for span in spans if at <= span.journal_to), kept))
        self._derived_n += len(made.transitions)
        for item in made.notifications:
            self.notifications.setdefault((item.key, item.channel), item)
        self.told.append(telling_rows(made))
        self.cases += case_rows(made)

    def _wrong_transition(self, made: Span) -> Broken | None:
        """The first transition of the span that was not committed so."""
        for n, row in enumerate(made.transitions, self._derived_n):
            episode, tick = row["episode"], epoch_us(row["tick"])  # type: ignore[arg-type]
            assert isinstance(episode, dict)
            expected = {
                "tick": tick,
                "episode": episode["id"],
                "transition": row["transition"],
                "body": json.dumps(episode, ensure_ascii=False, sort_keys=True, allow_nan=False),
            }
            said = f"{row['transition']} of episode {episode['id']} at {instant(tick)}"
            if n >= len(self._transitions):
                return Broken(LINK, f"{FILE}, transition {n + 1}", f"is missing; the journals give {said}")
            found = self._transitions[n]
            for name, value in expected.items():
                if found[name] != value:
                    what = f"its {name} is {short(found[name])}; the journals give {short(value)} ({said})"
                    return Broken(LINK, f"{FILE}, transition {found['seq']}", what)
        return None


class GroupDiffers(Exception):
    """Somewhere in a group; where, is found span by span."""


def _frames(made: Span) -> Frames:
    return {name: getattr(made, name) for name in TABLES}


def _counts(made: Span) -> dict[str, int]:
    """As the engine commits them."""
    rejects = {f"{_REJECT}{reason}": n for reason, n in made.rejects["reason"].value_counts().iter_rows()}
    return {**made.counts, **rejects}


def _clocks(state: PipelineState, messages: pl.DataFrame, ends: pl.Series) -> list[int | None]:
    """Where the site's clock stands after the journal row of each instant."""
    taken = messages if state.before_clock is None else pl.concat([state.before_clock, messages])
    stamped, clock = stamp(taken, state.clock)
    # a row is known one tick after what the clock showed before it; where it showed nothing yet, at its first tick
    shown = pl.when(pl.col("known_at") > pl.lit(clock.first_at)).then(pl.col("known_at") - TICK)
    before = stamped.select(shown.dt.epoch("us")).to_series().to_list()
    next_row = stamped["received_at"].to_physical().search_sorted(ends, side="right").to_list()
    now = None if clock.now is None else epoch_us(clock.now)
    return [before[n] if n < len(before) else now for n in next_row]


def _with_spans(name: str, rows: pl.DataFrame, spans: Sequence[SpanRow], clocks: Sequence[int | None]) -> pl.DataFrame:
    """Each row with the span that holds it: the first that ended with its receipt, or with its tick, and a clock."""
    ticking = [(span, clock) for span, clock in zip(spans, clocks, strict=True) if clock is not None]
    if rows.is_empty() or not ticking:
        return rows.clear().with_columns(pl.lit(0, pl.Int64).alias(SPAN))
    if name in _BY_RECEIPT:
        ends, at = [span.journal_to for span, _ in ticking], rows["received_at"]
    else:
        ends, at = [clock for _, clock in ticking], rows["decided_at"]
    found = pl.Series(ends, dtype=pl.Int64).search_sorted(at.to_physical(), side="left")
    seqs = pl.Series(SPAN, [*(span.seq for span, _ in ticking), 0], dtype=pl.Int64)
    return rows.with_columns(seqs.gather(found).alias(SPAN))


def _int(value: object) -> int:
    return int(str(value))


def about_of(row: Mapping[str, object]) -> tuple[object, object]:
    return row["key"], row["channel"]
