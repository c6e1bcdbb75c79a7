"""Which site the journals say holds, for the parts that read beside the engine: portal and InfluxDB writer.

Promises: a site that is activated while they run is theirs within seconds; looking costs a few index reads. What cannot
be read changes nothing and is said in the log. Does not decide: for every row the engine looks at the rows themselves.
"""

import logging
import sqlite3
import time
from pathlib import Path

from contracts.ports import JournalFailure
from contracts.topics import JOURNAL_SITE
from store.operator_rows import UpTo, own_up_to

from ..evidence.link import Broken
from .kept import KeptSite, from_kept
from .record import last_activated

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0


class InForce:
    def __init__(self, state_dir: Path, name: str | None, part: str, *, look_every_s: float = LOOK_EVERY_S):
        """name: of the site the part was started with; None: not known. part: as the log is to call it."""
        self._state_dir, self._part, self._name, self._look_every_s = state_dir, part, name, look_every_s
        self._up_to: dict[str, UpTo] | None = None  # None: it could not be read yet
        self._before: str | None = None  # holds until the part's own site, or another one, is activated
        self._said = ""
        self._looked_s = float("-inf")
        self.changed()

    def changed(self) -> KeptSite | None:
        """The site that was activated since the last one this gave; None: there is none."""
        if time.monotonic() - self._looked_s < self._look_every_s:
            return None
        self._looked_s = time.monotonic()
        try:
            up_to = self._looked()
            if up_to == self._up_to:
                return None
            last = last_activated(self._state_dir)
        except (sqlite3.Error, JournalFailure, ValueError) as error:  # it is looked again
            self._tell(f"{self._part} cannot see which site holds, and goes on with the one it has: {error}")
            return None
        is_first, self._up_to, self._said = self._up_to is None, up_to, ""
        name = None if last is None else last.body["sha256"]
        if is_first:
            self._before = name
        if name is None or name == self._before:
            return None
        self._before = None
        return None if name == self._name else self._follow(name)

    def _follow(self, name: str) -> KeptSite | None:
        self._name = name
        try:
            kept = from_kept(self._state_dir, name)
        except Broken as broken:
            log.error("%s goes on with the site it has until another one is activated: %s", self._part, broken)
            return None
        log.info("%s goes on with %s", self._part, kept.shown)
        return kept

    def _looked(self) -> dict[str, UpTo]:
        journals = sorted(path for path in (self._state_dir / "journal").glob("*") if path.is_dir())
        return {path.name: own_up_to(path, JOURNAL_SITE) for path in journals}

    def _tell(self, said: str) -> None:
        """Once, however often it is looked."""
        if said != self._said:
            log.error("%s", said)
        self._said = said
