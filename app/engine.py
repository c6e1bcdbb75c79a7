"""The engine: journals in, span files and state.db out. The only process that writes decisions.

Promises: a journal row is decided once; a kill at any point leaves state.db and span files that a restart goes on from.
Recovery goes on from the latest usable checkpoint and reads the journal from there up to the cursor.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from contracts.clock import Clock
from contracts.frames import MESSAGES
from contracts.ports import Notification
from contracts.reasons import Transition
from contracts.site import Site
from rules.spec import Rule
from rules.ticks import CLOCK_PREFIX, SiteClock
from store.journal import epoch_us
from store.journal_reader import read_after
from store.spans import span_name, write_span
from store.state_db import SpanRow, StateDb

from .checkpoint import fingerprint, read_checkpoint, write_checkpoint
from .collector import journal_directory
from .pipeline import Pipeline, PipelineState, Span
from .texts import Texts

BATCH_ROWS = 50_000  # messages read at once; a span is at least one clock row's worth
POLL_S = 0.1
CHECKPOINT_EVERY = timedelta(minutes=5)

NOTIFIED = {
    Transition.FIRED,
    Transition.LEVEL_CHANGED,
    Transition.DATA_LOST,
    Transition.RESOLVED,
    Transition.WITHDRAWN,
    Transition.FIRED_IN_RETROSPECT,
    Transition.REOPENED,
}


def from_us(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1_000_000, UTC)


class RecoveryFailure(RuntimeError):
    """The journals do not lead to what was committed: going on would decide windows a second time, or without data."""


class JournalFeed:
    """The collectors' journals as one feed, in order, up to where no earlier row can still come."""

    def __init__(self, state_dir: Path, collectors: tuple[str, ...]):
        self._journals = {name: journal_directory(state_dir, name) for name in collectors}

    def read(self, after_us: int, rows: int = BATCH_ROWS) -> pl.DataFrame:
        """MESSAGES after the cursor up to a clock row of the slowest collector; empty where there is none yet."""
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


def _to_last_clock(directory: Path, clock_topic: str, after_us: int, rows: int) -> pl.DataFrame | None:
    if not directory.is_dir():
        return None
    while True:
        part = read_after(directory, after_us, rows)
        clocks = part.with_row_index("n").filter(pl.col("topic") == clock_topic)["n"]
        if len(clocks):
            return part[: int(clocks[-1]) + 1]
        if part.height < rows:
            return None  # no clock row yet: nothing of it may be decided
        rows *= 2


class Engine:
    """One step reads what the journals hold, decides it and commits it."""

    def __init__(self, site: Site, rules: list[Rule], state_dir: Path, clock: Clock):
        self.site, self.clock = site, clock
        self.span_dir = state_dir / "spans"
        self.span_dir.mkdir(parents=True, exist_ok=True)
        self.pipeline = Pipeline(site, rules)
        self.db = StateDb(state_dir / "state.db")
        self.db.delete_unreferenced(self.span_dir)
        self._feed = JournalFeed(state_dir, site.file.collectors)
        self._texts = Texts(site)
        self._state = PipelineState(SiteClock(site.file.collectors))
        self._checkpoints = state_dir / "checkpoints"
        self._made_for = fingerprint(site, rules)
        self._checkpoint_at = clock.now()
        last = self.db.last_span()
        self._seq = 0 if last is None else last.seq
        self._cursor = 0 if last is None else last.journal_to

    def recover(self, progress: Callable[[float], None] = lambda _: None) -> int:
        """Rebuilds the windows: a checkpoint, then the journal up to the cursor, decided again and thrown away.

        progress is told the share done, 0 to 1. Returns the number of messages read again. Raises RecoveryFailure where
        the site's clock does not come out as it was committed.
        """
        at, done = 0, 0
        if (found := read_checkpoint(self._checkpoints, self._made_for, self._cursor)) is not None:
            at, self._state = found.journal_to_us, found.state
        while at < self._cursor:
            messages = self._feed.read(at).filter(pl.col("received_at") <= from_us(self._cursor))
            if messages.is_empty():
                break
            self.pipeline.step(self._state, messages)
            at = epoch_us(messages["received_at"][-1])
            done += messages.height
            progress(min(1.0, at / self._cursor))
        self._check_recovered()
        return done

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
        """Decides and commits the next span; None where the journals hold nothing new to decide."""
        messages = self._feed.read(self._cursor, rows)
        if messages.is_empty():
            return None
        span = self.pipeline.step(self._state, messages)
        seq, journal_to = self._seq + 1, epoch_us(messages["received_at"][-1])
        path = self.span_dir / span_name(seq)
        digest = write_span(
            path,
            {
                "readings": span.readings,
                "rejects": span.rejects,
                "events": span.events,
                "aggregates": span.aggregates,
                "verdicts": span.verdicts,
            },
        )
        rejects = {f"reject:{reason}": n for reason, n in span.rejects["reason"].value_counts().iter_rows()}
        self.db.commit_span(
            SpanRow(
                seq=seq,
                file=path.name,
                digest=digest,
                journal_after=self._cursor,
                journal_to=journal_to,
                clock_from=None if span.clock_from is None else epoch_us(span.clock_from),
                clock_to=None if span.clock_to is None else epoch_us(span.clock_to),
                counts={**span.counts, **rejects},
            ),
            episodes=list(_latest(span).values()),
            withdrawn=_withdrawn(span),
            transitions=[
                {
                    "tick": epoch_us(row["tick"]),
                    "episode": row["episode"]["id"],
                    "transition": row["transition"],
                    "body": row["episode"],
                }
                for row in span.transitions
            ],
            notifications=self.notifications(span),
            now_us=epoch_us(self.clock.now()),
        )
        self._seq, self._cursor = seq, journal_to
        if self.clock.now() - self._checkpoint_at >= CHECKPOINT_EVERY:
            self.checkpoint()
        return span

    def checkpoint(self) -> None:
        """Writes down what the windows remember, as of the last committed span."""
        if self._cursor:
            write_checkpoint(self._checkpoints, self._made_for, self._cursor, self._state)
        self._checkpoint_at = self.clock.now()

    def notifications(self, span: Span) -> list[Notification]:
        """What the span's transitions tell whom; the key says the decision, so a second one can be dropped."""
        made = []
        for row in span.transitions:
            if row["transition"] not in NOTIFIED:
                continue
            episode = row["episode"]
            for webhook in self.site.file.webhooks:
                if episode["level"] not in webhook.levels:
                    continue
                body = {
                    "text": self._texts.alert(row["transition"], episode, webhook.language),
                    "clause": self._texts.clause(episode),
                    "transition": row["transition"],
                    "tick": row["tick"].isoformat(),
                    "alert": episode,
                }
                key = f"{episode['id']}:{row['transition']}:{epoch_us(row['tick'])}"
                made.append(Notification(key, webhook.name, body))
        return made

    def close(self) -> None:
        self.db.close()


def _latest(span: Span) -> dict[str, dict[str, object]]:
    """Episode rows as they stand after the span."""
    rows: dict[str, dict[str, object]] = {}
    for row in span.transitions:
        episode = row["episode"]
        rows.pop(episode["id"], None)
        if row["transition"] != Transition.WITHDRAWN:
            rows[episode["id"]] = {
                **{key: episode[key] for key in ("id", "rule", "station", "factor", "level", "state")},
                "opened_at": _us_of(episode["opened_at"]),
                "resolved_at": _us_of(episode["resolved_at"]),
                "body": episode,
            }
    return rows


def _withdrawn(span: Span) -> list[str]:
    kept = _latest(span)
    gone = [str(row["episode"]["id"]) for row in span.transitions if row["transition"] == Transition.WITHDRAWN]
    return sorted(set(gone) - set(kept))


def _us_of(text: object) -> int | None:
    return None if text is None else epoch_us(datetime.fromisoformat(str(text)))


def run_engine(engine: Engine, stop: threading.Event, told: Callable[[Span], None] = lambda _: None) -> None:
    """Recovers, then steps until told to stop."""
    engine.recover()
    while not stop.is_set():
        span = engine.step()
        if span is None:
            stop.wait(POLL_S)
        else:
            told(span)
    engine.checkpoint()
