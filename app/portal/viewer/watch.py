"""What changes while pages are open: one look at state.db for all of them, at most twice a second.

Promises: a page learns of a transition of its scope once, within about a second of its commit. Reads only.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from store.alert_reads import NotReadable

from ..auth import User
from ..centre import Centre
from ..problems import Problem

LOOK_EVERY_S = 0.5
NEW_MAX = 200


@dataclass(frozen=True)
class Position:
    """How far the engine is. `why`: state.db cannot be read."""

    span: int = 0
    transition: int = 0
    clock_at: datetime | None = None
    open_levels: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    why: str = ""

    def levels(self, user: User) -> Counter[str]:
        """Open alerts of the user's scope, by level."""
        return Counter(level for station, level in self.open_levels if user.sees(station))


class Watch:
    def __init__(self, centre: Centre):
        self._centre, self._lock = centre, threading.Lock()
        self._last, self._at_s = Position(), float("-inf")

    def look(self) -> Position:
        """In a thread: it waits for the disk."""
        with self._lock:
            if time.monotonic() - self._at_s >= LOOK_EVERY_S:
                self._last, self._at_s = self._now(), time.monotonic()
            return self._last

    def _now(self) -> Position:
        try:
            with self._centre.state() as db:
                last, transition = db.last_span(), db.last_transition()
                seq = last.seq if last else 0
                known = self._last
                levels = known.open_levels if known.transition == transition else tuple(db.open_levels())
        except (Problem, NotReadable) as error:
            return Position(why=str(error))
        clock = last.clock_to if last else None
        return Position(seq, transition, None if clock is None else self._centre.civil(clock), levels)

    def transitions_after(self, seq: int, user: User) -> list[dict[str, Any]]:
        """Rows of state.db in the user's scope, in order. Raises Problem."""
        with self._centre.state() as db:
            rows = db.transitions_after(seq, NEW_MAX)
        return [row for row in rows if user.sees(row["body"]["station"])]
