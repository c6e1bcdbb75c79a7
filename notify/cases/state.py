"""What is remembered of cases from tick to tick. Plain data: as JSON and back it is the same state.

Promises: bounded by the cases that are open or were closed within KEPT, and their alerts.
"""

import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

KEPT = timedelta(days=35)  # so long a closed case can be reopened; then an alert needs a new one


@dataclass
class Case:
    """One case as it stands. `record` says it to everybody else."""

    case: str  # name: 20 hex digits
    terms: str  # name of its row of `cases:`
    place: str  # `outlet=XS-A-DA001`
    labels: dict[str, str]  # station, outlet, enterprise, park, county of the alert that opened it
    level: str  # the highest its alerts have had
    opened_at: datetime
    opened_by: str  # a person; empty: its first alert did
    alerts: list[str]  # episodes, in the order in which they came
    reply_due_at: datetime | None = None
    close_due_at: datetime | None = None
    replied_at: datetime | None = None
    closed_at: datetime | None = None
    conclusion: str | None = None


@dataclass
class Member:
    """An alert that belongs, or belonged, to a case."""

    case: str
    rank: int  # of its level; of a closed case as it was at the closing


@dataclass
class Happened:
    """Something that waits to be told with what happens to other cases of the same terms."""

    event: str
    actor: str
    text: str
    record: dict[str, Any]  # the case after it
    alert: dict[str, Any] | None  # the alert that caused it


@dataclass
class CasesState:
    """JSON-able."""

    cases: dict[str, Case] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)  # terms and place -> the case that is open there
    members: dict[str, Member] = field(default_factory=dict)  # by episode
    pending: dict[str, list[Happened]] = field(default_factory=dict)  # by terms
    timers: list[tuple[datetime, str, str]] = field(default_factory=list)  # a heap: when, what, of what

    def wake(self, at: datetime, what: str, of: str) -> None:
        heapq.heappush(self.timers, (at, what, of))


def to_json(state: CasesState) -> bytes:
    return msgspec.json.encode(state)


def from_json(text: bytes) -> CasesState:
    """Raises msgspec.DecodeError."""
    return msgspec.json.decode(text, type=CasesState)
