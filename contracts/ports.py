"""Ports between rooms: what `app` hands to whom."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import polars as pl


@dataclass(frozen=True)
class RawMessage:
    """One message as it came in, before the journal has given it its `received_at`."""

    source: str
    topic: str
    payload: bytes


class JournalFailure(RuntimeError):
    """The journal cannot be opened, written, read or trusted. Whoever writes it must exit: after a failed fsync the
    kernel may have dropped the pages, and a second fsync that succeeds proves nothing."""


class JournalFull(JournalFailure):
    """The disk has no room: nothing of the call is in the journal, and the same call may be made again later."""


class JournalWriter(Protocol):
    """One collector's append-only journal."""

    def append(self, messages: Sequence[RawMessage], wall_at: datetime) -> Sequence[datetime]:
        """Makes the messages durable (fsync) and returns their received_at, strictly increasing.

        When this returns, the messages may be acknowledged. Raises JournalFull where the disk has no room for them, and
        may then be called again; any other JournalFailure is final: the process must exit and recover, never go on.
        """
        ...


@dataclass(frozen=True)
class Decoded:
    """What the decoder makes of a batch."""

    readings: pl.DataFrame  # frames.READINGS
    rejects: pl.DataFrame  # frames.REJECTS
    events: pl.DataFrame  # frames.EVENTS


@dataclass(frozen=True)
class CodecResult:
    """What one codec makes of its messages; every row cites its message by `row`."""

    readings: pl.DataFrame  # frames.DECODED
    rejects: pl.DataFrame  # frames.DECODE_REJECTS
    events: pl.DataFrame  # frames.DECODE_EVENTS


class Codec(Protocol):
    """Pure: bytes in, frames out; nothing raises, nothing is dropped."""

    def __call__(self, batch: pl.DataFrame, time_zone: str) -> CodecResult:
        """batch: frames.BATCH, only messages of this codec; `time_zone` for protocols that send civil time."""
        ...


@dataclass(frozen=True)
class Notification:
    """A row of the outbox: everything a sender needs, texts included."""

    key: str  # the same decision has the same key; receivers may drop a second one
    channel: str  # name of one of the site's channels
    body: dict[str, object]  # JSON-able


class Sent(NamedTuple):
    """What became of one attempt to notify."""

    receipt: str  # reasons.Receipt: delivered; failed is worth another attempt, refused is not
    detail: str  # for people; neither an address that is a secret nor any other secret is in it
    wait_s: float = 0.0  # the receiver asked to be left alone for so long; 0: it did not


class Sender(Protocol):
    def send(self, notification: Notification, attempt: int) -> Sent:
        """Never raises for what the network or the receiver does."""
        ...


class SpanSource(Protocol):
    """Span files in order, for consumers with their own cursor (archive, InfluxDB)."""

    def spans_after(self, cursor: int) -> Iterable[tuple[int, dict[str, pl.DataFrame]]]: ...


class PutAway(Protocol):
    """What the rules put away for as long as something may still come for it: pieces that are never changed."""

    def put(self, name: str, content: bytes) -> None:
        """Keeps a piece. The name (`kind/from-hash`) holds the hash of the content: the same again changes nothing."""
        ...

    def get(self, name: str) -> bytes: ...

    def has(self, names: Collection[str]) -> bool:
        """Whether all of them are there."""
        ...
