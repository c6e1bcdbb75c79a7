"""Waiting for room on a full disk: the work is tried again until it succeeds, loudly and with a growing wait.

Promises: any other failure goes through at once.
Does not promise anything about the work: it must bear being tried again.
"""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from store.disk_full import WRITE_FAILURES, is_disk_full

log = logging.getLogger(__name__)

WAIT_S = (0.5, 60.0)  # the first wait and the longest; each is twice the one before

_Done = TypeVar("_Done")


class NoRoom(Exception):
    """Told to stop while there was still no room: what was to be written is not."""


def when_there_is_room(work: Callable[[], _Done], stop: threading.Event, what: str) -> _Done:
    """What `work` returns, as soon as the disk takes it. Raises NoRoom once `stop` is set, and all other failures."""
    wait_s, longest_s = WAIT_S
    waited = False
    while True:
        try:
            done = work()
        except WRITE_FAILURES as error:
            if not is_disk_full(error):
                raise
            log.error("the disk is full: %s wait (%s); make room, they go on by themselves", what, error)
            waited = True
            if stop.wait(wait_s):
                raise NoRoom(f"{what}: {error}") from error
            wait_s = min(wait_s * 2, longest_s)
        else:
            if waited:
                log.warning("there is room again: %s go on", what)
            return done
