"""What every request needs: the site, its words, the state directory and who may come in.

Promises: opened once, closed once; nothing here writes but portal.db and the operators' spool.
"""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from contracts.civil_time import local
from contracts.clock import Clock
from contracts.instants import EPOCH, MICROSECOND
from contracts.portal import Portal
from contracts.site import Site
from rules.facts.tables import Marking, compile_marking
from rules.spec import Rule
from store.alert_reads import NotReadable, Reading, reading
from store.portal_db import PortalDb
from store.sqlite_damage import StateDamaged

from ..texts.texts import Texts
from .decided import Decided
from .journal_facts import JournalFacts
from .last_seen import LastSeen
from .places import Places
from .problems import Problem
from .rate import Rate

LOGINS_A_MINUTE = 30  # from one address
EVENT_CLIENTS_MAX = 200


@dataclass
class Centre:
    """Kept in `app.state.centre`."""

    site: Site
    rules: list[Rule]
    state_dir: Path
    site_dir: Path | None  # None: nothing can be proposed or explained
    clock: Clock
    db: PortalDb
    settings: Portal
    link_key: bytes | None
    places: Places = field(init=False)
    texts: Texts = field(init=False)
    marking: Marking = field(init=False)
    decided: Decided = field(init=False)
    last_seen: LastSeen = field(init=False)
    facts: JournalFacts = field(init=False)
    login_rate: Rate = field(init=False)
    stop: threading.Event = field(default_factory=threading.Event)  # set: streams end
    clients: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(EVENT_CLIENTS_MAX))
    explaining: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(1))
    reads: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(2))
    proposing: threading.Lock = field(default_factory=threading.Lock)
    _typed_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def __post_init__(self) -> None:
        self.places = Places(self.site)
        self.texts = Texts(self.site)
        self.marking = compile_marking(self.site)
        self.decided = Decided(self.state_dir, self.site.time_zone)
        self.last_seen = LastSeen(self.state_dir, self.site.time_zone)
        self.facts = JournalFacts(self.state_dir, self.site, self.marking, self.clock)
        self.login_rate = Rate(LOGINS_A_MINUTE, 60.0, self.clock)

    @contextmanager
    def state(self) -> Iterator[Reading]:
        """One snapshot of state.db. Raises Problem where there is none, or it is damaged."""
        try:
            with reading(self.state_dir) as one:
                yield one
        except (NotReadable, StateDamaged) as error:
            raise Problem("not-ready", what=str(error)) from error

    def civil(self, at: datetime | int) -> datetime:
        """In the site's civil time; of microseconds since 1970 UTC as well."""
        return local(EPOCH + at * MICROSECOND if isinstance(at, int) else at, self.site.time_zone)

    def civil_or_none(self, at: datetime | int | str | None) -> datetime | None:
        if isinstance(at, str):
            at = datetime.fromisoformat(at)
        return None if at is None else self.civil(at)

    def unknown_name(self, typed: str) -> str:
        """What failures are counted under of a name there is not: it may have been a password, so nothing can be read
        from it, nor guessed once this process has ended."""
        return "?" + hmac.new(self._typed_key, typed.encode(), hashlib.sha256).hexdigest()

    def close(self) -> None:
        self.stop.set()
        self.db.close()
