"""What telling remembers from tick to tick. Plain data: as JSON and back it is the same state.

Promises: bounded by what is open, held, or was told within KEPT. Decides nothing; `tell` does.
"""

import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from contracts.actions import Action
from contracts.reasons import HeldBack

KEPT = timedelta(days=35)  # so long it is known of an alert that ended whom it was told; later corrections go by route
_SECOND = timedelta(seconds=1)


def tick_from(at: datetime) -> datetime:
    """The first tick that is not before the instant: people may give a silence or a stop a fraction of a second."""
    return at if at.microsecond == 0 else at.replace(microsecond=0) + _SECOND


@dataclass
class Entry:
    """One alert on one route."""

    pending: str | None = None  # transition that is not told yet
    pending_at: datetime | None = None  # tick of its decision
    why: HeldBack | None = None  # why it was not told when it was due
    told: str | None = None  # last transition told
    told_at: datetime | None = None  # first told since it opened, reopened or rose: steps count from here
    rank: int = -1  # of the highest level it was to be told at: to rise is to rise above it
    steps: int = 0  # so many are done
    step_why: HeldBack | None = None
    repeat_why: HeldBack | None = None


@dataclass
class Alert:
    """An alert that is open, or has something to tell still."""

    record: dict[str, Any]
    labels: dict[str, str]
    is_open: bool
    acknowledged: int | None = None  # rank of the level at which somebody acknowledged it
    entries: dict[str, Entry] = field(default_factory=dict)  # by route


@dataclass
class Group:
    """Alerts of a route that are told together."""

    route: str
    members: dict[str, bool] = field(default_factory=dict)  # episodes, in the order in which they came
    due_at: datetime | None = None
    repeat_at: datetime | None = None
    repeats: int = 0


@dataclass
class Surge:
    """How much of one rule a route has told lately."""

    told: list[tuple[datetime, int]] = field(default_factory=list)
    until: datetime | None = None  # a storm: what comes is gathered until then


@dataclass
class Flap:
    """When one subject changed lately."""

    changed_at: list[datetime] = field(default_factory=list)
    since: datetime | None = None  # it is flapping since
    rank: int = -1  # ... and the highest level it was told at meanwhile
    latest: str = ""  # its latest episode


@dataclass
class Hush:
    """A silence that is known and not over."""

    matchers: dict[str, tuple[str, ...]]
    from_at: datetime
    to_at: datetime


@dataclass
class TellState:
    """JSON-able."""

    at: datetime | None = None  # everything up to here is done
    alerts: dict[str, Alert] = field(default_factory=dict)  # by episode
    groups: dict[str, Group] = field(default_factory=dict)
    surges: dict[str, Surge] = field(default_factory=dict)
    flaps: dict[str, Flap] = field(default_factory=dict)
    silences: dict[str, Hush] = field(default_factory=dict)
    sources: dict[str, dict[str, bool]] = field(default_factory=dict)  # what inhibits: place -> open episodes
    ended: dict[str, list[str]] = field(default_factory=dict)  # episode that is over -> routes that told of it
    seen: dict[str, bool] = field(default_factory=dict)  # actions that took effect: a copy has none
    waiting: list[Action] = field(default_factory=list)  # known at a later tick
    timers: list[tuple[datetime, str, str]] = field(default_factory=list)  # a heap: when, what, of what

    def wake(self, at: datetime, what: str, of: str) -> None:
        heapq.heappush(self.timers, (tick_from(at), what, of))


def to_json(state: TellState) -> bytes:
    return msgspec.json.encode(state)


def from_json(text: bytes) -> TellState:
    """Raises msgspec.DecodeError."""
    return msgspec.json.decode(text, type=TellState)
