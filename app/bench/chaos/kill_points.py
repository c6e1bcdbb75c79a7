"""Where a process can be made to kill itself. Production code knows nothing of it: functions are wrapped from outside.

Promises: SIGKILL at the n-th arrival, from within, so that nothing after the point happens. A name that production
code no longer has is an error here, not a point that is silently never reached.
"""

import inspect
import itertools
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from importlib import import_module
from typing import Any

# What one process of the centre runs. Archive and housekeeping share files and a lock, so they die together.
ROLES = {
    "collector": ("collector",),
    "engine": ("engine",),
    "keeper": ("archive", "housekeeping"),
    "senders": ("senders",),
    "influxdb": ("influxdb",),
}


class When(StrEnum):
    BEFORE = "before"  # the function is called; of a block (context manager): it has run, its end has not
    AFTER = "after"  # the function, or the end of the block, has returned
    COMMIT = "commit"  # a connection made by the function has done all of a transaction but COMMIT


@dataclass(frozen=True)
class KillPoint:
    name: str
    role: str
    module: str  # where the name is looked up when it is called
    attribute: str
    when: When
    within: int  # the arrival to die at is drawn from 1 to this


ENGINE, CHECKPOINT = "app.service.engine", "app.service.checkpoint"

KILL_POINTS = tuple(
    KillPoint(*row)
    for row in (
        ("messages received, none in the journal", "collector", "store.journal", "Journal.append", When.BEFORE, 30),
        ("messages in the journal, not committed", "collector", "sqlite3", "connect", When.COMMIT, 30),
        ("journal committed, nothing acknowledged", "collector", "store.journal", "Journal.append", When.AFTER, 30),
        ("acknowledgements made, not sent", "collector", "paho.mqtt.client", "Client._packet_queue", When.AFTER, 30),
        ("segment closed, the next one not made", "collector", "store.journal", "_make_segment", When.BEFORE, 1),
        ("a span decided, nothing written", "engine", ENGINE, "write_span", When.BEFORE, 12),
        ("span written, without its name yet", "engine", "store.spans", "replacing", When.BEFORE, 12),
        ("span file there, transaction not begun", "engine", ENGINE, "StateDb.commit_span", When.BEFORE, 12),
        ("span in state.db, not committed", "engine", "sqlite3", "connect", When.COMMIT, 12),
        ("span committed", "engine", ENGINE, "StateDb.commit_span", When.AFTER, 12),
        ("checkpoint due, not written", "engine", CHECKPOINT, "write_span", When.BEFORE, 2),
        ("checkpoint there, older ones not removed", "engine", CHECKPOINT, "unlink_durably", When.BEFORE, 2),
        ("windows recovered, not gone on", "engine", ENGINE, "Engine.recover", When.AFTER, 1),
        ("some parts of a compaction written", "keeper", "store.archive", "write_parquet", When.AFTER, 8),
        ("compacted, cursor not moved", "keeper", "store.state_db", "StateDb.set_cursor", When.BEFORE, 5),
        ("compacted, cursor moved", "keeper", "store.state_db", "StateDb.set_cursor", When.AFTER, 5),
        ("segment sealed, file without its name", "keeper", "store.seal", "replacing", When.BEFORE, 2),
        ("sealed file there, segment not unlinked", "keeper", "store.seal", "replacing", When.AFTER, 2),
        ("spans given up, files not removed", "keeper", "store.state_db", "unlink_durably", When.BEFORE, 3),
        ("notification due, not sent", "senders", "notify.senders.webhook", "WebhookSender.send", When.BEFORE, 6),
        ("notification sent, no receipt", "senders", "notify.senders.webhook", "WebhookSender.send", When.AFTER, 6),
        ("receipt in state.db, not committed", "senders", "sqlite3", "connect", When.COMMIT, 6),
        ("receipt committed", "senders", "store.state_db", "StateDb.record_receipt", When.AFTER, 6),
        ("lines written, cursor not moved", "influxdb", "store.influx", "InfluxWriter._write_span", When.AFTER, 10),
        ("cursor of InfluxDB moved", "influxdb", "store.state_db", "StateDb.set_cursor", When.AFTER, 10),
    )
)


def named(name: str) -> KillPoint:
    """Raises KeyError."""
    return {point.name: point for point in KILL_POINTS}[name]


def resolve(point: KillPoint) -> tuple[Any, str, Callable[..., Any]]:
    """(owner, attribute of it, what is there). Raises ImportError or AttributeError where there is no such thing."""
    owner: Any = import_module(point.module)
    *path, name = point.attribute.split(".")
    for part in path:
        owner = getattr(owner, part)
    return owner, name, getattr(owner, name)


def arm(point: KillPoint, nth: int, die: Callable[[], None] | None = None) -> None:
    """Wraps the point so that this process ends at its n-th arrival; `die` instead of SIGKILL is for tests."""
    owner, name, original = resolve(point)
    arrivals = itertools.count(1)  # its steps are atomic: any thread may arrive

    def arrive() -> None:
        if next(arrivals) == nth:
            (die or _die)()

    setattr(owner, name, _wrapped(original, point.when, arrive))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wrapped(original: Callable[..., Any], when: When, arrive: Callable[[], None]) -> Callable[..., Any]:
    if when == When.COMMIT:
        return _committing(original, arrive)
    if inspect.isgeneratorfunction(inspect.unwrap(original)):
        return _block(original, when, arrive)

    @wraps(original)
    def call(*args: Any, **options: Any) -> Any:
        if when == When.BEFORE:
            arrive()
        answer = original(*args, **options)
        if when == When.AFTER:
            arrive()
        return answer

    return call


def _block(original: Callable[..., Any], when: When, arrive: Callable[[], None]) -> Callable[..., Any]:
    @contextmanager
    @wraps(original)
    def block(*args: Any, **options: Any) -> Iterator[Any]:
        with original(*args, **options) as value:
            yield value
            if when == When.BEFORE:
                arrive()
        if when == When.AFTER:
            arrive()

    return block


def _committing(connect: Callable[..., Any], arrive: Callable[[], None]) -> Callable[..., Any]:
    def connected(*args: Any, factory: type[sqlite3.Connection] = sqlite3.Connection, **options: Any) -> Any:
        class Connection(factory):  # type: ignore[misc, valid-type]
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                if sql == "COMMIT":
                    arrive()
                return super().execute(sql, *parameters)

        return connect(*args, factory=Connection, **options)

    return connected
