"""The engine: journals in, span files and state.db out. The only process that writes decisions.

Promises: a journal row is decided once; a kill at any point leaves state.db and span files that a restart goes on from.
Recovery goes on from the latest usable checkpoint, decides the journal from there to the cursor again and compares.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from contracts.clock import Clock
from contracts.frames import MESSAGES
from contracts.instants import epoch_us
from contracts.ports import JournalFailure
from contracts.site import Site
from rules.carry import NotCarried
from rules.spec import Rule
from rules.ticks import CLOCK_PREFIX, SiteClock
from store.disk_full import is_disk_full
from store.journal_reader import bytes_between, read_some
from store.put_away import PENDING_BYTES_MAX, Folder
from store.spans import span_name, write_span
from store.state_db import SpanRow, StateDb

from ..evidence.link import Broken
from ..pipeline import PipelineState, Span
from ..reloading import Sites, together
from ..site.kept import KeptSite, from_kept
from .checkpoint import fingerprint, names_put_away, read_checkpoint, remove_unfinished, write_checkpoint
from .collector import journal_directory
from .committed import case_rows, counts_of, episodes_after, frames_of, telling_rows, transition_rows, withdrawn
from .disk_room import NoRoom, when_there_is_room
from .recovery import Comparison, Progress, Recovering, groups, write_down

log = logging.getLogger(__name__)

BATCH_ROWS = 50_000  # messages read at once, of each journal, or more for one clock row's worth
BATCH_BYTES = 64 << 20  # of them in memory, but for one commit or sealed file; a message may be a megabyte
POLL_S = 0.1
CHECKPOINT_EVERY = timedelta(minutes=5)
CHECKPOINT_AGAIN = timedelta(minutes=1)  # after one there was no room for


def from_us(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1_000_000, UTC)


class RecoveryFailure(RuntimeError):
    """The journals do not lead to what was committed: going on would decide windows a second time, or without data."""


class JournalFeed:
    """The collectors' journals as one feed, in order, up to where no earlier row can still come."""

    def __init__(self, state_dir: Path, collectors: tuple[str, ...]):
        self._journals = {name: journal_directory(state_dir, name) for name in collectors}

    def read(self, after_us: int, rows: int = BATCH_ROWS) -> pl.DataFrame:
        """MESSAGES after the cursor up to a clock row of the slowest collector; empty where there is none yet.

        Where too many bytes are waiting before it they end earlier: cuts change no decision.
        """
        parts, frontier = [], None
        for name, directory in self._journals.items():
            part = _to_last_clock(directory, f"{CLOCK_PREFIX}{name}", after_us, rows)
            if part is None:
                return pl.DataFrame(schema=MESSAGES)
            parts.append(part)
            last = part["received_at"][-1]
            frontier = last if frontier is None else min(frontier, last)
        feed = pl.concat(parts).filter(pl.col("received_at") <= frontier)
        return feed.sort("received_at", "source", "topic", "payload")

    def between(self, after_us: int, to_us: int) -> pl.DataFrame:
        """All MESSAGES after one row and up to another, in feed order; what is missing is not there."""
        parts = [pl.DataFrame(schema=MESSAGES)]
        for directory in self._journals.values():
            parts += _all_between(directory, after_us, to_us) if directory.is_dir() else ()
        return pl.concat(parts).sort("received_at", "source", "topic", "payload")

    def in_pieces(self, groups: Iterable[list[SpanRow]]) -> Iterator[list[SpanRow]]:
        """The same spans in order; what would take too much memory is divided, down to a span."""
        for group in groups:
            half = len(group) // 2
            if half and self._bytes_of(group) > BATCH_BYTES:
                yield from self.in_pieces([group[:half], group[half:]])
            else:
                yield group

    def _bytes_of(self, group: list[SpanRow]) -> int:
        journals = (directory for directory in self._journals.values() if directory.is_dir())
        return sum(bytes_between(journal, group[0].journal_after, group[-1].journal_to) for journal in journals)


def _all_between(directory: Path, after_us: int, to_us: int) -> Iterator[pl.DataFrame]:
    is_cut = True
    while is_cut and after_us < to_us:
        part, is_cut = read_some(directory, after_us, BATCH_ROWS, BATCH_BYTES)
        if part.height:
            after_us = epoch_us(part["received_at"][-1])
        yield part if after_us <= to_us else part.filter(pl.col("received_at") <= from_us(to_us))


def _to_last_clock(directory: Path, clock_topic: str, after_us: int, rows: int) -> pl.DataFrame | None:
    """None: no clock row yet. Where even the memory for one reading holds none, what it holds."""
    if not directory.is_dir():
        return None
    while True:
        part, is_cut = read_some(directory, after_us, rows, BATCH_BYTES)
        clocks = part.with_row_index("n").filter(pl.col("topic") == clock_topic)["n"]
        if len(clocks):
            return part[: int(clocks[-1]) + 1]
        if not is_cut:
            return None
        if part.height < rows:
            return part
        rows *= 2


@dataclass
class _Uncommitted:
    """A decided span. The windows are past it already, so it must be committed before anything else is decided."""

    span: Span
    journal_to: int
    digest: str | None = None  # of its file, once that is durable


class Engine:
    """One step reads what the journals hold, decides it and commits it."""

    def __init__(self, site: Site, rules: list[Rule], state_dir: Path, clock: Clock, site_sha256: str | None = None):
        """site: decides until the journal names another one. site_sha256: its name there; None: it has none."""
        self.site, self.clock = site, clock
        self._state_dir, self.span_dir = state_dir, state_dir / "spans"
        self.span_dir.mkdir(parents=True, exist_ok=True)
        self._given = KeptSite(site_sha256 or fingerprint(site, rules), site, rules)
        self._sites = Sites(self._given, self._load)
        self._stood_in: dict[str, Broken] = {}  # sites that a recovery had to do without
        self.db = StateDb(state_dir / "state.db")
        self.db.delete_unreferenced(self.span_dir)
        self._feed = JournalFeed(state_dir, site.file.collectors)
        self._away = Folder(state_dir / "windows")
        self._state = PipelineState(SiteClock(site.file.collectors), away=self._away)
        self._checkpoints = state_dir / "checkpoints"
        remove_unfinished(self._checkpoints)
        self._checkpoint_at = clock.now()
        self._uncommitted: _Uncommitted | None = None
        self._differences: list[dict[str, object]] = []  # found by the recovery, not yet written down
        self._is_whole = True  # the windows hold all that is committed: not while a recovery is under way
        last = self.db.last_span()
        self._seq = 0 if last is None else last.seq
        self._cursor = 0 if last is None else last.journal_to

    def recover(
        self,
        progress: Callable[[Recovering], None] = lambda _: None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> int:
        """Rebuilds the windows: a checkpoint, then the journal up to the cursor, decided again and compared.

        progress is told once a second. Returns the number of journal rows read again. Raises RecoveryFailure where the
        site's clock does not come out as it was committed; any other difference is logged and written down.
        """
        at, done = 0, 0
        self._is_whole = False
        found = read_checkpoint(self._checkpoints, self._made_for_of, self._cursor, self._away)
        if found is not None and self._goes_on(found.state):
            at, self._state = found.journal_to_us, found.state
        seq, deciders = self.db.last_seq_upto(at), self.db.deciders()
        comparison = Comparison(self.db, self._state_dir, deciders)
        pace = Progress(self.db.messages_after(seq), progress)
        for group in self._feed.in_pieces(groups(self.db, seq, deciders)):
            if is_stopping():
                return done
            messages = self._feed.between(at, group[-1].journal_to)
            at = group[-1].journal_to
            if messages.is_empty():
                comparison.check_missing(group, self._made_for)
                continue
            spans, made_for = [], set()
            for section in self._sites.sections(self._state, messages):
                spans.append(self._sites.step(self._state, section))
                made_for.add(self._made_for)
            span = together(spans)
            comparison.check(group, span, made_for)
            self._put_away()
            done += messages.height
            pace.add(span.counts.get("messages", 0))
        self._is_whole = True
        self._sites.forget(name for name in self._stood_in if name != self._state.site)
        for broken in self._stood_in.values():
            comparison.do_without(broken)
        if done:
            pace.tell()
        comparison.summary()
        self._differences = comparison.lines
        try:
            self._write_down_differences()
        except OSError as error:
            if not is_disk_full(error):
                raise
            log.error("the disk is full: differences are written down with the next span (%s)", error)
        self._check_recovered()
        return done

    @property
    def _made_for(self) -> str:
        """Fingerprint of the site that holds."""
        found = self._sites.made_for(self._state.site)
        assert found is not None
        return found

    def _made_for_of(self, name: str | None) -> str | None:
        """Of a site a checkpoint names: the given one, or one that is kept; None: nothing is known of it."""
        is_kept = name is None or name == self._given.name or (self._state_dir / "sites" / f"{name}.json").exists()
        return self._sites.made_for(name) if is_kept else None

    def _load(self, name: str) -> KeptSite | None:
        """In a recovery the given site stands in for one that cannot be had, for a centre that stands still is worse;
        decisions that are still to be made wait for it."""
        try:
            return from_kept(self._state_dir, name)
        except Broken as broken:
            if self._is_whole:
                said = f"{broken.what}: put it back from a backup, nothing is decided after the row that names it"
                raise Broken(broken.link, broken.place, said) from broken
            log.error("recovery goes on with %s in place of a site the journal names: %s", self._given.shown, broken)
            self._stood_in[name] = broken
            return replace(self._given, name=name)

    def _goes_on(self, state: PipelineState) -> bool:
        try:
            self._sites.pipeline(state)
        except NotCarried as error:
            log.error("the checkpoint numbers other %s than this program does: the journal is read", error)
            return False
        return True

    def _write_down_differences(self) -> None:
        if self._differences:
            write_down(self._state_dir, self._differences, self.clock.now())
            self._differences = []

    def _check_recovered(self) -> None:
        last = self.db.last_span()
        stands_at = self._state.clock.now
        if last is None or (None if stands_at is None else epoch_us(stands_at)) == last.clock_to:
            return
        committed = "nowhere" if last.clock_to is None else from_us(last.clock_to).isoformat()
        raise RecoveryFailure(
            f"span {last.seq} was committed with the site's clock at {committed}; read again, the journals lead to "
            f"{stands_at.isoformat() if stands_at else 'no clock at all'}. Is a journal missing, or were the site's "
            f"collectors ({', '.join(self.site.file.collectors)}) changed? A site with other collectors needs a state "
            "directory of its own"
        )

    def step(self, rows: int = BATCH_ROWS) -> Span | None:
        """Decides and commits the next span; None where the journals hold nothing new to decide.

        Where it cannot be committed the decided span is kept, and the next call commits it: nothing is decided twice.
        """
        self._write_down_differences()
        if self._uncommitted is None:
            messages = self._feed.read(self._cursor, rows)
            if messages.is_empty():
                return None
            section = next(self._sites.sections(self._state, messages))
            span = self._sites.step(self._state, section)
            self._uncommitted = _Uncommitted(span, epoch_us(section["received_at"][-1]))
        self._commit(self._uncommitted)
        span, self._uncommitted = self._uncommitted.span, None
        self._put_away()
        if self.clock.now() - self._checkpoint_at >= CHECKPOINT_EVERY:
            self.checkpoint()
        return span

    def _commit(self, decided: "_Uncommitted") -> None:
        span, seq = decided.span, self._seq + 1
        path = self.span_dir / span_name(seq)
        if decided.digest is None:
            decided.digest = write_span(path, frames_of(span))
        self.db.commit_span(
            SpanRow(
                seq=seq,
                file=path.name,
                digest=decided.digest,
                journal_after=self._cursor,
                journal_to=decided.journal_to,
                clock_from=None if span.clock_from is None else epoch_us(span.clock_from),
                clock_to=None if span.clock_to is None else epoch_us(span.clock_to),
                counts=counts_of(span),
            ),
            episodes=list(episodes_after(span).values()),
            withdrawn=withdrawn(span),
            transitions=transition_rows(span),
            notifications=span.notifications,
            telling=telling_rows(span),
            cases=case_rows(span),
            now_us=epoch_us(self.clock.now()),
            made_for=self._made_for,
        )
        self._seq, self._cursor = seq, decided.journal_to

    def _named(self) -> set[str]:
        return set() if self._state.windows is None else self._state.windows.store.shelf.names()

    def _put_away(self) -> None:
        """Between two checkpoints: what is put away must not fill the memory instead of the disk."""
        if self._away.pending_bytes < PENDING_BYTES_MAX:
            return
        try:
            self._away.flush(self._named())
        except OSError as error:
            if not is_disk_full(error):
                raise
            log.error("the disk is full: old windows stay in memory for now (%s)", error)

    def checkpoint(self) -> None:
        """Writes down what the windows remember, as of the last committed span; not while there is more in them.

        On a full disk it is left out and tried again a minute later: without it a recovery only takes longer.
        """
        self._checkpoint_at = self.clock.now()
        if not self._cursor or not self._is_whole or self._uncommitted is not None:
            return
        try:
            self._away.flush(self._named())  # what a checkpoint names is there before it
            write_checkpoint(self._checkpoints, self._made_for, self._cursor, self._state)
            self._away.sweep(names_put_away(self._checkpoints))
        except OSError as error:
            if not is_disk_full(error):
                raise
            log.error("the disk is full: no checkpoint for now (%s)", error)
            self._checkpoint_at += CHECKPOINT_AGAIN - CHECKPOINT_EVERY

    def close(self) -> None:
        self.db.close()


def run_engine(
    engine: Engine,
    stop: threading.Event,
    told: Callable[[Span], None] = lambda _: None,
    progress: Callable[[Recovering], None] = lambda _: None,
) -> None:
    """Recovers, then steps until told to stop. On a full disk it waits with what it has decided, and goes on.

    Raises JournalFailure where a journal cannot be read, Broken where a site it names cannot be: then nothing after
    that is decided.
    """
    engine.recover(progress, stop.is_set)
    try:
        while not stop.is_set():
            span = when_there_is_room(engine.step, stop, "decisions")
            if span is None:
                stop.wait(POLL_S)
            else:
                told(span)
    except NoRoom as error:
        log.error("stopped before there was room: the next start decides it again (%s)", error)
    except (JournalFailure, Broken):
        engine.checkpoint()  # of what was decided before: the next try begins there
        raise
    engine.checkpoint()
