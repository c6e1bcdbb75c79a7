"""When a channel may send again: so many in any window of time, and not while it rests. Pure: time is an argument.

Promises: no window holds more attempts than its bound, counted by when they ended; a clock that is set back holds
nothing up for longer than a window or the longest rest. Does not promise fairness: that is the outbox's order.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..outbox import retry_after_s

REST_MAX_S = 60.0  # of a channel whose last attempts all failed
ASKED_MAX_S = 3600.0  # a receiver that asks for more is asked again after this

Bound = tuple[int, float]  # at most so many in any window of so many seconds


def opens_at(ended: Sequence[datetime], bounds: Iterable[Bound], now: datetime) -> datetime:
    """The first instant from `now` on at which one more attempt breaks no bound.

    ended: when the attempts so far ended, in order. Those after `now` (the clock was set back) count as of now.
    """
    at = now
    for n, window_s in bounds:
        if len(ended) >= n:
            at = max(at, min(ended[-n], now) + timedelta(seconds=window_s))
    return at


@dataclass
class Pace:
    """One channel's schedule."""

    name: str
    bounds: tuple[Bound, ...] = ()
    ended: deque[datetime] = field(default_factory=deque)
    failures: int = 0  # one after another
    closed_at: datetime | None = None  # when it was closed ...
    closed_until: datetime | None = None  # ... and until when

    def opens_at(self, now: datetime) -> datetime:
        at = opens_at(self.ended, self.bounds, now)
        if self.closed_at is None or self.closed_until is None or now < self.closed_at:  # the clock was set back
            return at
        return max(at, self.closed_until)

    def attempted(self, ended_at: datetime, *, failed: bool, wait_s: float = 0.0) -> None:
        """Notes an attempt. A failed one closes the channel for a while, or for as long as its receiver asked for."""
        self.ended.append(ended_at)
        while len(self.ended) > max((n for n, _ in self.bounds), default=0):
            self.ended.popleft()
        self.failures = self.failures + 1 if failed else 0
        self.closed_at = self.closed_until = None
        if failed:
            self.close(ended_at, wait_s)

    def close(self, at: datetime, asked_s: float = 0.0) -> None:
        rest_s = min(REST_MAX_S, retry_after_s(max(self.failures, 1), self.name))
        self.closed_at = at
        self.closed_until = at + timedelta(seconds=min(ASKED_MAX_S, asked_s) or rest_s)
