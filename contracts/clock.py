"""The one port to the wall clock. Everything below `app` takes time as an argument."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Instant, UTC, microseconds."""
        ...

    def real_s(self, simulated_s: float) -> float:
        """How long to wait, in real seconds, for so many seconds of this clock to pass."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def real_s(self, simulated_s: float) -> float:
        return simulated_s


class ScaledClock:
    """Starts at `start_at` and runs `speed` times as fast as real time."""

    def __init__(self, start_at: datetime, speed: float, monotonic: Callable[[], float] = time.monotonic):
        self._start_at, self._speed, self._monotonic = start_at, speed, monotonic
        self._zero = monotonic()

    def now(self) -> datetime:
        return self._start_at + timedelta(seconds=(self._monotonic() - self._zero) * self._speed)

    def real_s(self, simulated_s: float) -> float:
        return simulated_s / self._speed
