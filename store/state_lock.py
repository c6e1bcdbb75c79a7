"""Locks on parts of a state directory, between threads and between processes.

Promises: one holder at a time; a holder that is gone, however it went, holds nothing any more.
Does not promise fairness, nor anything to those that do not ask: writers of new files never need to.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UPKEEP = "upkeep.lock"  # held by whoever removes or replaces files of the directory, and by a backup against it
ARCHIVE = "archive.lock"  # held by whoever changes the archive


class Held(Exception):
    """Somebody else holds the lock, and the caller did not want to wait."""


@contextmanager
def state_lock(state_dir: Path, name: str, *, wait: bool = True) -> Iterator[None]:
    """Holds the lock for the block. Raises Held where it is taken and `wait` is false."""
    with (state_dir / name).open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Held(f"{state_dir / name} is held") from error
        yield
