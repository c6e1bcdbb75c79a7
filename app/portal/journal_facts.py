"""People's facts for readers: the marks of the journals with their history.

Promises: the journals are read again when somebody has said something since, and otherwise not, however often it is
asked; what is told is at most a little old.
"""

import sqlite3
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from contracts.clock import Clock
from contracts.ports import JournalFailure
from contracts.site import Site
from rules.facts.history import mark_history
from rules.facts.tables import Marking
from store.operator_rows import UpTo

from ..operators import spool
from ..operators.facts_read import read_facts, said_up_to
from .problems import Problem

FRESH = timedelta(seconds=2)


class JournalFacts:
    def __init__(self, state_dir: Path, site: Site, marking: Marking, clock: Clock):
        self._state_dir, self._site, self._marking, self._clock = state_dir, site, marking, clock
        self._lock = threading.Lock()
        self._looked_at: datetime | None = None
        self._said: tuple[UpTo, ...] | None = None
        self._marks: list[dict[str, Any]] = []

    def marks(self) -> tuple[list[dict[str, Any]], list[str]]:
        """(rules.facts.history.mark_history, what is not among them yet). Raises Problem."""
        with self._lock:
            now = self._clock.now()
            if self._looked_at is None or not timedelta(0) <= now - self._looked_at < FRESH:
                try:
                    self._look()
                except (sqlite3.Error, JournalFailure, OSError) as error:
                    raise Problem("not-ready", what=f"a journal cannot be read: {error}") from error
                self._looked_at = now
            n = len(spool.waiting(self._state_dir))
            return self._marks, [f"{n} records wait to be journalled"] if n else []

    def _look(self) -> None:
        said = said_up_to(self._state_dir, self._site)
        if said != self._said:
            facts, _ = read_facts(self._state_dir, self._site)
            self._marks, self._said = mark_history(facts, self._marking), said
