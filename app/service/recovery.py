"""Recovery compared: what the journals give when they are decided again, against what was committed.

Promises: what differs is logged, the first of each part with its span and in words, and is kept for `status`.
Does not stop the engine for it: after an upgrade decisions may rightly differ, and a centre that stands still is worse.
Does not compare what another site or other rules decided, nor rows of spans whose files are pruned.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from contracts.instants import epoch_us
from store.archive import TABLES
from store.parquet import replacing
from store.spans import SpanDamaged, read_span
from store.state_db import SpanRow, StateDb

from ..evidence.link import Broken, short
from ..evidence.rows import Bags, difference
from ..pipeline import Span
from .committed import case_rows, counts_of, frames_of, held_rows, transition_rows

log = logging.getLogger(__name__)

DIFFERENCES = "recovery-differences.ndjson"
MESSAGES_AT_ONCE = 50_000  # spans are put together up to so many; what is decided does not depend on it
SPANS_AT_ONCE = 1_000
TOLD_EVERY_S = 1.0


@dataclass(frozen=True)
class Recovering:
    """How far a recovery has come."""

    messages: int  # of stations, read again
    of: int
    seconds: float  # since it began

    @property
    def share(self) -> float:
        return min(1.0, self.messages / self.of) if self.of else 1.0

    @property
    def left_s(self) -> float | None:
        """At the pace so far; None before there is one."""
        return self.seconds * (1 - self.share) / self.share if self.messages else None


def groups(db: StateDb, after_seq: int, deciders: Mapping[int, str]) -> Iterator[list[SpanRow]]:
    """Committed spans that follow each other, in pieces that fit into memory; a piece begins with each decider."""
    group: list[SpanRow] = []
    messages = 0
    while rows := db.spans_after(after_seq):
        for row in rows:
            its = row.counts.get("messages", 0)
            is_full = messages + its > MESSAGES_AT_ONCE or len(group) == SPANS_AT_ONCE
            if group and (is_full or row.seq in deciders):
                yield group
                group, messages = [], 0
            group.append(row)
            messages += its
        after_seq = rows[-1].seq
    if group:
        yield group


class Comparison:
    """Holds what comes out of a recovery against state.db and the span files."""

    def __init__(self, db: StateDb, state_dir: Path, deciders: Mapping[int, str]):
        """deciders: first span -> fingerprint of the site and rules that decided from there on."""
        self._db, self._state_dir, self._deciders = db, state_dir, deciders
        self._bags = Bags()
        self.found: Counter[str] = Counter()  # groups of spans that differ, by part
        self.lines: list[dict[str, object]] = []  # the first difference of each part
        self.spans = 0
        self.spans_without_rows = 0  # compared by counts and alerts alone: their files are pruned
        self.spans_of_others = 0

    def check(self, group: Sequence[SpanRow], made: Span, made_for: Collection[str]) -> None:
        """made: what all messages of the group gave, decided by these. A group had one decider, see `groups`."""
        if not self._is_compared(group, made_for):
            return
        self._check_counts(group, made)
        self._check_transitions(group, made)
        self._check_told(group, made)
        self._check_rows(group, made)

    def check_missing(self, group: Sequence[SpanRow], made_for: str) -> None:
        """The journals hold no row of the group."""
        if self._is_compared(group, {made_for}):
            self._differ("messages", group[0].seq, group[-1].seq, "the journals hold none of their rows any more")

    def do_without(self, broken: Broken) -> None:
        """A site the journals name cannot be had."""
        self.lines.append({"first_span": 0, "last_span": 0, "part": "site", "difference": str(broken)})

    def _is_compared(self, group: Sequence[SpanRow], made_for: Collection[str]) -> bool:
        since = max((seq for seq in self._deciders if seq <= group[0].seq), default=None)
        if since is None or set(made_for) != {self._deciders[since]}:
            self.spans_of_others += len(group)
            return False
        self.spans += len(group)
        return True

    def summary(self) -> None:
        """Says in the log what was not compared, and how much differed."""
        if self.spans_of_others:
            log.info("recovery: %d spans of another site or other rules are not compared", self.spans_of_others)
        if self.spans_without_rows:
            log.info("recovery: %d pruned spans are compared by counts and alerts alone", self.spans_without_rows)
        for part, groups_n in self.found.items():
            log.error("recovery: %s differ in %d places, the first is in %s", part, groups_n, DIFFERENCES)

    def _check_counts(self, group: Sequence[SpanRow], made: Span) -> None:
        committed: Counter[str] = Counter()
        for span in group:
            committed.update(span.counts)
        again = Counter(counts_of(made))
        for name in sorted({*committed, *again}):
            if committed[name] != again[name]:
                said = f"{committed[name]:,} {name} were committed, the journals give {again[name]:,}"
                self._differ("counts", group[0].seq, group[-1].seq, said)
                return

    def _check_transitions(self, group: Sequence[SpanRow], made: Span) -> None:
        if (ticks := _ticks(group)) is None:
            return
        committed = self._db.transitions_between(*ticks)
        again = transition_rows(made)
        mine, wanted = ({_text(row): row for row in rows} for rows in (again, committed))
        for text in [*wanted, *mine]:
            if text not in mine or text not in wanted:
                row = wanted.get(text) or mine[text]
                other = "the journals do not give it" if text in wanted else "it was not committed"
                at = _of_tick(group, row["tick"])
                said = f"{row['transition']} of alert {row['episode']}: {other}: {short(text, 400)}"
                self._differ("alerts", at, at, said)
                break

    def _check_told(self, group: Sequence[SpanRow], made: Span) -> None:
        """What was to be sent when, and what was held back."""
        if (ticks := _ticks(group)) is None:
            return
        planned = [*made.told.planned, *made.cases.planned]
        told = {(one.key, one.channel): epoch_us(one.tick) for one in planned}
        committed = self._db.telling.notified_between(*ticks)
        for key, channel in sorted(told.keys() ^ committed):
            other = "it was never put into the outbox" if (key, channel) in told else "the journals do not give it"
            at = _of_tick(group, told.get((key, channel), ticks[1]))
            self._differ("notifications", at, at, f"notification {key} to {channel}: {other}")
            break
        again, kept = (
            [_text(row) for row in rows] for rows in (held_rows(made), self._db.telling.held_between(*ticks))
        )
        if again != kept:
            odd = next(iter(set(again) ^ set(kept)), "the same rows in another order")
            self._differ("what was held back", group[0].seq, group[-1].seq, short(odd, 400))
        again, kept = (
            [_text(row) for row in rows] for rows in (case_rows(made), self._db.cases.events_between(*ticks))
        )
        if again != kept:
            odd = next(iter(set(again) ^ set(kept)), "the same rows in another order")
            self._differ("cases", group[0].seq, group[-1].seq, short(odd, 400))

    def _check_rows(self, group: Sequence[SpanRow], made: Span) -> None:
        again = frames_of(made)
        kept = {name: [frame.clear()] for name, frame in again.items()}
        first: SpanRow | None = None
        for span in reversed(group):  # files are pruned from the oldest on, also while this reads
            try:
                named = self._read(span)
            except (SpanDamaged, OSError) as error:
                self._differ("span files", span.seq, span.seq, f"{span.file} cannot be read: {error}")
                return
            if named is None:
                self.spans_without_rows += span.seq - group[0].seq + 1
                break
            first = span
            for name, frame in named.items():
                kept[name].append(frame)
        if first is None:
            return
        for name, frame in again.items():
            mine, committed = _since(name, frame, group, first), pl.concat(kept[name])
            if self._bags.of(mine) == self._bags.of(committed):
                continue
            said = difference(name, committed, mine)
            if said is not None:
                at = self._first_span(name, mine, committed, group)
                self._differ(name, at, at, f"what was committed is not what the journals give: {said}")

    def _read(self, span: SpanRow) -> dict[str, pl.DataFrame] | None:
        """None: its file is pruned, maybe only since the row was read."""
        if span.file is None:
            return None
        try:
            return read_span(self._state_dir / "spans" / span.file, TABLES, span.digest)
        except FileNotFoundError:
            (now,) = self._db.spans_after(span.seq - 1, 1)
            if now.file is not None:
                raise
            return None

    def _first_span(self, name: str, again: pl.DataFrame, committed: pl.DataFrame, group: Sequence[SpanRow]) -> int:
        """The first span that holds a row only one of the two has."""
        odd = pl.concat(
            [
                one.join(other, on=one.columns, how="anti", nulls_equal=True)
                for one, other in ((again, committed), (committed, again))
            ]
        )
        column, ends = _ends(name, group)
        first = odd[column].min()
        if not isinstance(first, datetime):
            return group[0].seq  # the same rows, some of them more often
        return next((seq for seq, end in ends if end is not None and epoch_us(first) <= end), group[-1].seq)

    def _differ(self, part: str, first: int, last: int, said: str) -> None:
        self.found[part] += 1
        if self.found[part] > 1:
            return
        where = f"span {first}" if first == last else f"spans {first} to {last}"
        log.error("recovery differs from what was committed: %s, %s: %s", where, part, said)
        self.lines.append({"first_span": first, "last_span": last, "part": part, "difference": said})


def logged(progress: Recovering) -> None:
    """A line in the log."""
    left = "" if progress.left_s is None else f", about {progress.left_s:.0f} s left"
    log.info("recovery: %.0f %%, %d of %d messages%s", 100 * progress.share, progress.messages, progress.of, left)


class Progress:
    """Tells how far a recovery has come, once a second and at its end."""

    def __init__(self, of: int, told: Callable[[Recovering], None], monotonic: Callable[[], float] = time.monotonic):
        self._of, self._told, self._monotonic = of, told, monotonic
        self._began_s = self._told_s = monotonic()
        self._messages = 0

    def add(self, messages: int) -> None:
        self._messages += messages
        now_s = self._monotonic()
        if now_s - self._told_s >= TOLD_EVERY_S:
            self._told_s = now_s
            self.tell()

    def tell(self) -> None:
        self._told(Recovering(self._messages, self._of, self._monotonic() - self._began_s))


def _ends(name: str, group: Sequence[SpanRow]) -> tuple[str, list[tuple[int, int | None]]]:
    """The column that says which span a row belongs to, and up to where each span reaches."""
    if name in ("readings", "rejects", "events"):
        return "received_at", [(span.seq, span.journal_to) for span in group if span.clock_to is not None]
    return "decided_at", [(span.seq, span.clock_to) for span in group]


def _since(name: str, rows: pl.DataFrame, group: Sequence[SpanRow], first: SpanRow) -> pl.DataFrame:
    """The rows of a group that belong to a span or to one after it."""
    if first is group[0]:
        return rows
    column, _ = _ends(name, group)
    after = first.journal_after if column == "received_at" else first.clock_from
    return rows if after is None or first.clock_from is None else rows.filter(pl.col(column).dt.epoch("us") > after)


def _ticks(group: Sequence[SpanRow]) -> tuple[int, int] | None:
    """The ticks of a group, after the first and up to the second; None before there were any."""
    if group[-1].clock_to is None:
        return None
    after = next((span.clock_from for span in group if span.clock_to is not None), None)
    return -(1 << 62) if after is None else after, group[-1].clock_to


def _of_tick(group: Sequence[SpanRow], tick: object) -> int:
    return next((s.seq for s in group if s.clock_to is not None and int(str(tick)) <= s.clock_to), group[-1].seq)


def _text(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


def write_down(state_dir: Path, lines: Sequence[dict[str, object]], now: datetime) -> None:
    """Adds lines to the file of differences, durably; none that is there already, as after one of several restarts."""
    path = state_dir / DIFFERENCES
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = [{key: value for key, value in json.loads(line).items() if key != "at"} for line in before]
    new = [json.dumps({"at": now.isoformat(), **line}, ensure_ascii=False) for line in lines if line not in known]
    if new:
        with replacing(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in [*before, *new]), encoding="utf-8")
