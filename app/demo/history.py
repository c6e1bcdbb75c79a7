"""A day of simulated history into the journal, as a collector would have journalled it.

Promises: rows keep the instant they would have been received at; the last one is the clock row at the history's end.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from contracts.instants import MICROSECOND
from contracts.ports import RawMessage
from contracts.site import Site
from ingest.mqtt import SOURCE
from simulators.simulate import LiveSimulator, Message, clock_rows
from store.journal import Journal

from ..service.collector import journal_directory

LENGTH = timedelta(hours=24)
AT_ONCE = timedelta(hours=3)  # appended as one batch; the engine decides about one batch a step
CLOCK_EVERY = timedelta(minutes=1)
LIVE_MINUTE = 28  # of the hour: an incident of every kind and the end of an hour then lie minutes inside the next sixty


def live_start(now: datetime) -> datetime:
    """The last instant at LIVE_MINUTE past the hour that is not in the future."""
    at = now.astimezone(UTC).replace(minute=LIVE_MINUTE, second=0, microsecond=0)
    return at if at <= now else at - timedelta(hours=1)


def write_history(
    site: Site,
    simulator: LiveSimulator,
    state_dir: Path,
    to_at: datetime,
    stop: threading.Event,
    told: Callable[[datetime], None] = lambda _: None,
) -> None:
    """Simulates LENGTH up to `to_at` and journals it, batch by batch; `told` how far. Ends early when `stop` is set."""
    at = last_at = to_at - LENGTH
    with Journal(journal_directory(state_dir, site.file.collectors[0])) as journal:
        while at < to_at and not stop.is_set():
            until = min(at + AT_ONCE, to_at)
            rows: list[Message] = []
            while at < until:  # by the hour, so that progress is seen and `stop` is not waited for
                part = min(at + timedelta(hours=1), until)
                rows += simulator.messages(at, part) + clock_rows(site, at, part, CLOCK_EVERY)
                at = part
                told(at)
            if until == to_at:
                rows += clock_rows(site, to_at, to_at + CLOCK_EVERY, CLOCK_EVERY)
            ordered = _in_order(rows, last_at)
            journal.append_history(ordered)
            last_at = ordered[-1][0]


def _in_order(rows: list[Message], after: datetime) -> list[tuple[datetime, RawMessage]]:
    """One after the other; of two at one instant the second comes a microsecond later, as from a collector."""
    ordered: list[tuple[datetime, RawMessage]] = []
    for row in sorted(rows):
        at = after = max(row.received_at, after + MICROSECOND)
        ordered.append((at, RawMessage(SOURCE, row.topic, row.payload)))
    return ordered
