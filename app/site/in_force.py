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
        self._before = self._last()  # holds until the part's own site, or another one, is activated
        self._up_to: dict[str, UpTo] = self._looked()
        self._looked_s = time.monotonic()

    def changed(self) -> KeptSite | None:
        """The site that was activated since the last one this gave; None: there is none."""
        if time.monotonic() - self._looked_s < self._look_every_s:
            return None
        self._looked_s = time.monotonic()
        up_to = self._looked()
        if up_to == self._up_to:
            return None
        self._up_to = up_to
        name = self._last()
        if name is None or name == self._before:
            return None
        self._before = None
        if name == self._name:
            return None
        self._name = name
        try:
            kept = from_kept(self._state_dir, name)
        except Broken as broken:
            log.error("%s goes on with the site it has until another one is activated: %s", self._part, broken)
            return None
        log.info("%s goes on with %s", self._part, kept.shown)
        return kept

    def _looked(self) -> dict[str, UpTo]:
        found = {}
        for directory in sorted((self._state_dir / "journal").glob("*")):
            try:
                found[directory.name] = own_up_to(directory, JOURNAL_SITE)
            except (sqlite3.Error, JournalFailure):
                continue  # whoever writes it tells
        return found

    def _last(self) -> str | None:
        try:
            last = last_activated(self._state_dir)
        except (sqlite3.Error, JournalFailure, ValueError):
            return None
        return None if last is None else last.body["sha256"]
