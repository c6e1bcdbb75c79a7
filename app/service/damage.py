"""Damaged files under a part that runs: it waits and tries again, and what it met is written down for `status`.

Promises: nothing is passed over; the file is named with every try; a part goes on by itself when the file is right.
Does not promise anything about the work: it must bear being tried again from its beginning.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from contracts.ports import JournalFailure
from store.parquet import make_directory, replacing
from store.spans import SpanDamaged

from ..evidence.link import Broken

log = logging.getLogger(__name__)

DIRECTORY = "damage"  # of the state directory, a text a part
WAIT_S = (1.0, 60.0)  # the first wait and the longest; each is twice the one before
UNREADABLE = (JournalFailure, SpanDamaged, Broken)  # each names its file

_Done = TypeVar("_Done")


@dataclass(frozen=True)
class Damage:
    """What a part waits for, or has stopped for."""

    part: str
    what: str  # names the file, and says what to do
    since: datetime


class DamageNote:
    """What one part has met since it was started."""

    def __init__(self, state_dir: Path, part: str):
        self.part = part
        self._path = state_dir / DIRECTORY / f"{part}.txt"
        self._path.unlink(missing_ok=True)
        self._is_written = False

    def write(self, what: str) -> None:
        """Dated when it is met first. That there is no room for the note must not end who writes it."""
        self._is_written = True
        try:
            if self._path.exists() and self._path.read_text(encoding="utf-8") == what:
                return
            make_directory(self._path.parent)
            with replacing(self._path) as temporary:
                temporary.write_text(what, encoding="utf-8")
        except OSError as error:
            log.error("%s: what it waits for cannot be written down: %s", self.part, error)

    def over(self) -> None:
        """The part goes on: nothing is left of what it met."""
        if self._is_written:
            self._is_written = False
            self._path.unlink(missing_ok=True)
            log.warning("%s goes on: what it waited for can be read", self.part)


def read_damage(state_dir: Path) -> list[Damage]:
    """What parts wait for or have stopped for, by part."""
    found = []
    for path in sorted((state_dir / DIRECTORY).glob("*.txt")):
        try:
            what, since_s = path.read_text(encoding="utf-8"), path.stat().st_mtime
        except FileNotFoundError:  # over meanwhile
            continue
        found.append(Damage(path.stem, what, datetime.fromtimestamp(since_s, UTC)))
    return found


def when_readable(work: Callable[[], _Done], stop: threading.Event, note: DamageNote) -> _Done | None:
    """What `work` returns, as soon as every file it needs can be read; None once `stop` is set while one cannot."""
    wait_s, longest_s = WAIT_S
    while True:
        try:
            done = work()
        except UNREADABLE as error:
            log.error("%s waits: %s; it goes on by itself when this can be read", note.part, error)
            note.write(str(error))
            if stop.wait(wait_s):
                return None
            wait_s = min(wait_s * 2, longest_s)
        else:
            note.over()
            return done
