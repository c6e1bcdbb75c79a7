"""A collector's time: the wall clock, as far as the passing of time bears it out.

Promises: a wall clock that is set more than a day ahead while the collector runs is not believed: time goes on at its
own pace until the wall clock is put right or the collector started again.
Does not promise to know better than the wall clock at the start, nor to make up for one that is set back.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from contracts.clock import Clock

log = logging.getLogger(__name__)

STEP_MAX = timedelta(days=1)  # a machine that was suspended or moved may wake up so much later


class SteadyClock:
    """`contracts.clock.Clock`. A far-ahead instant in the journal would be there for good: `received_at` and the site's
    clock never go back, so the site would stand still until that instant has come."""

    def __init__(self, clock: Clock, last_at: datetime | None, monotonic: Callable[[], float] = time.monotonic):
        """last_at: the latest instant the journal knows; a wall clock behind it may catch up at any pace."""
        self._clock, self._monotonic = clock, monotonic
        now = clock.now()
        # The furthest instant reached and when that was: one tuple, for two threads ask.
        self._reached = (now if last_at is None else max(now, last_at), monotonic())
        self._is_held = False

    def now(self) -> datetime:
        (furthest_at, reached_s), wall_at, now_s = self._reached, self._clock.now(), self._monotonic()
        borne_out_at = furthest_at + timedelta(seconds=(now_s - reached_s) / self._clock.real_s(1.0))
        if wall_at - borne_out_at > STEP_MAX:
            self._tell_held(wall_at, borne_out_at)
            return borne_out_at
        self._tell_believed(wall_at)
        if wall_at > borne_out_at:
            self._reached = (wall_at, now_s)
        return wall_at

    def real_s(self, simulated_s: float) -> float:
        return self._clock.real_s(simulated_s)

    def _tell_held(self, wall_at: datetime, borne_out_at: datetime) -> None:
        if not self._is_held:
            self._is_held = True
            log.error(
                "the wall clock was set ahead to %s and is not believed: it is %s by what has passed. Put it right; if"
                " it is right, start the collector again",
                wall_at.isoformat(),
                borne_out_at.isoformat(),
            )

    def _tell_believed(self, wall_at: datetime) -> None:
        if self._is_held:
            self._is_held = False
            log.warning("the wall clock is believed again: %s", wall_at.isoformat())
