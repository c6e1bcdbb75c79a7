"""Room for the journal: where the disk is full a collector waits, instead of ending or acknowledging what is not kept.

Promises: nothing is written below the reserve; one line is logged on entering and one on leaving; the wait ends by
itself when there is room again. Does not promise that others leave the reserve alone: then the write itself fails.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from contracts.ports import JournalFull, JournalWriter, RawMessage
from ingest.mqtt import CollectorMetrics
from store.journal import SEGMENT_MAX_BYTES

log = logging.getLogger(__name__)

# What the others need while the collector waits: room to seal a segment, which frees more than it takes, and to commit
# what is journalled already. Of a small disk a twentieth, from which on `status` calls it nearly full.
RESERVE_BYTES = SEGMENT_MAX_BYTES
RESERVE_SHARE = 0.05
RESUME_SHARE = 1.25  # of the reserve: else every file that is pruned would let one commit through
WAIT_S = (0.5, 10.0)  # the first wait and the longest; each is twice the one before

_Written = TypeVar("_Written")


class JournalRoom:
    """The room on the disk of one journal."""

    def __init__(self, directory: Path, stop: threading.Event, metrics: CollectorMetrics):
        """directory: on the journal's file system."""
        self._directory, self._stop, self._metrics = directory, stop, metrics
        self._telling = threading.Lock()  # operators' records are journalled by a thread of their own

    def waiting(self, write: Callable[[], _Written]) -> _Written:
        """What `write` returns, as soon as there is room for it. Raises JournalFull once `stop` is set."""
        wait_s, longest_s = WAIT_S
        while True:
            try:
                self._check()
                written = write()
            except JournalFull as error:
                self._enter(error)
                if self._stop.wait(wait_s):
                    raise
                wait_s = min(wait_s * 2, longest_s)
            else:
                self._leave()
                return written

    def _check(self) -> None:
        disk = shutil.disk_usage(self._directory)
        reserve = reserve_bytes(self._directory)
        needed = int(reserve * RESUME_SHARE) if self._metrics.journal_full else reserve
        if disk.free < needed:
            raise JournalFull(
                f"{self._directory}: {_mib(disk.free)} are free; {_mib(reserve)} are kept for sealing and decisions,"
                f" {_mib(reserve * RESUME_SHARE)} are needed to go on"
            )

    def _enter(self, error: JournalFull) -> None:
        with self._telling:
            if self._metrics.journal_full:
                return
            self._metrics.journal_full = True
            self._metrics.journal_full_times += 1
        log.error(
            "the disk is full: %s. Nothing more is acknowledged, the broker keeps what comes. Make room; the collector"
            " goes on by itself",
            error,
        )

    def _leave(self) -> None:
        if not self._metrics.journal_full:
            return
        with self._telling:
            if not self._metrics.journal_full:
                return
            self._metrics.journal_full = False
        free = _mib(shutil.disk_usage(self._directory).free)
        log.warning("there is room for the journal again (%s free): acknowledging goes on", free)


def reserve_bytes(directory: Path) -> int:
    """What is kept free on the disk of a directory: with less nothing is journalled."""
    return min(RESERVE_BYTES, int(shutil.disk_usage(directory).total * RESERVE_SHARE))


class WaitingJournal:
    """`contracts.ports.JournalWriter` that waits for room. A message keeps the time at which it came."""

    def __init__(self, journal: JournalWriter, room: JournalRoom):
        self._journal, self._room = journal, room

    def append(self, messages: Sequence[RawMessage], wall_at: datetime) -> Sequence[datetime]:
        """As the journal's own; raises JournalFull only once the collector is told to stop."""
        return self._room.waiting(lambda: self._journal.append(messages, wall_at))


def _mib(n: float) -> str:
    return f"{n / 2**20:,.1f} MiB"
