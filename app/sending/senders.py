"""Senders: work off the outbox, record every receipt. A process of its own, or a thread of one.

Promises: a channel that is slow or dead delays no other, for each has a thread of its own; on a full disk the receipt
waits for room, and nothing is sent again meanwhile. Only where the process ends before there is room is what every
channel had just sent sent a second time, under the same key.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from contracts.clock import Clock
from contracts.ports import Sent
from contracts.reasons import Receipt
from contracts.site import Site
from notify.outbox import next_attempt_at, settled
from notify.senders.pace import REST_MAX_S
from notify.senders.robot import RATE_LIMITED
from store.journal import EPOCH, epoch_us
from store.state_db import Pending, StateDb

from ..service.disk_room import NoRoom, when_there_is_room
from .channels import Outgoing, channels_of

log = logging.getLogger(__name__)

POLL_S = 0.2
UNKNOWN_POLL_S = 1.0
DUE_AT_ONCE = 100
NO_SUCH_CHANNEL = "no such channel is configured"


def send_due(db: StateDb, channels: dict[str, Outgoing], clock: Clock, stop: threading.Event) -> int:
    """One round over what is due on these channels, each as its pace allows. Returns how many attempts were made.

    Raises NoRoom: stopped on a full disk.
    """
    return sum(_send_due_of(db, name, channel, clock, stop) for name, channel in channels.items())


def _send_due_of(db: StateDb, name: str, channel: Outgoing, clock: Clock, stop: threading.Event) -> int:
    """Until nothing is due, the channel rests, or `stop` is set."""
    if channel.pace.opens_at(clock.now()) > clock.now():
        return 0
    at_once = 1 if channel.pace.failures else DUE_AT_ONCE  # one failure more, and it rests again
    due = when_there_is_room(
        lambda: db.due_notifications(epoch_us(clock.now()), at_once, name), stop, "notifications to be sent"
    )
    for n, pending in enumerate(due):
        if n and (stop.is_set() or channel.pace.opens_at(clock.now()) > clock.now()):
            return n
        sent = Sent(*channel.sender.send(pending.notification, pending.attempts + 1))
        at = clock.now()
        channel.pace.attempted(at, failed=sent.receipt == Receipt.FAILED, wait_s=sent.wait_s)
        _record(db, pending, sent, at, stop)
    return len(due)


def refuse_unknown(db: StateDb, known: set[str], clock: Clock, stop: threading.Event) -> int:
    """Refuses what is for a channel that the site does not name; `outbox retry` takes it up again. Returns how many."""
    n = 0
    for name in sorted(db.pending_channels() - known):
        for pending in db.due_notifications(epoch_us(clock.now()), DUE_AT_ONCE, name):
            _record(db, pending, Sent(Receipt.REFUSED, NO_SUCH_CHANNEL), clock.now(), stop)
            n += 1
    return n


def _record(db: StateDb, pending: Pending, sent: Sent, at: datetime, stop: threading.Event) -> None:
    notification, attempt = pending.notification, pending.attempts + 1
    again_at = next_attempt_at(sent.receipt, attempt, notification.key, at, sent.wait_s)
    record = partial(
        db.record_receipt,
        key=notification.key,
        channel=notification.channel,
        attempt=attempt,
        at_us=epoch_us(at),
        outcome=Receipt(settled(sent.receipt, attempt)),
        detail=sent.detail,
        next_at_us=None if again_at is None else epoch_us(again_at),
    )
    when_there_is_room(record, stop, f"the receipt of {notification.key}, and what is still to be sent,")


def take_up_paces(db: StateDb, channels: dict[str, Outgoing], now: datetime) -> None:
    """After a restart: the attempts of the last minute count, and who asked to be left alone is left alone."""
    for name, channel in channels.items():
        most = max((n for n, _ in channel.pace.bounds), default=1)
        after_us = epoch_us(now - timedelta(hours=1))
        for row in db.latest_attempts(name, after_us, most):
            at, failed = _at(row["at"]), row["outcome"] == Receipt.FAILED
            is_limited = failed and str(row["detail"]).startswith(RATE_LIMITED)
            asked_s = (_at(row["next_at"]) - at).total_seconds() if is_limited else 0.0
            channel.pace.attempted(at, failed=failed, wait_s=max(asked_s, REST_MAX_S) if is_limited else 0.0)


def _at(us: object) -> datetime:
    return EPOCH + timedelta(microseconds=int(str(us)))


def run_senders(site: Site, state_dir: Path, clock: Clock, stop: threading.Event) -> None:
    """A thread a channel until `stop` is set, or one of them fails; then raises what it failed of.

    Raises SiteErrors before anything is sent, where a channel's files are not as they must be.
    """
    ending, failed = threading.Event(), []

    def guarded(work: Callable[[StateDb], int], pause_s: float) -> None:
        try:
            with StateDb(state_dir / "state.db") as db:
                while not ending.is_set():
                    if work(db) == 0:
                        ending.wait(pause_s)
        except NoRoom as error:
            log.error("stopped before there was room: the next start sends it again (%s)", error)
        except BaseException as error:  # noqa: BLE001  # raised by whoever joins the threads
            failed.append(error)
            ending.set()

    with ExitStack() as stack:
        channels = channels_of(site, clock, stack, state_dir)
        with StateDb(state_dir / "state.db") as db:
            take_up_paces(db, channels, clock.now())
        threads = []
        for name, channel in channels.items():
            work = partial(_work_of, {name: channel}, clock, ending)
            threads.append(threading.Thread(target=guarded, args=(work, POLL_S), name=f"channel {name}"))
        for thread in threads:
            thread.start()
        unknown = threading.Thread(
            target=guarded,
            args=(lambda db: refuse_unknown(db, set(channels), clock, ending), UNKNOWN_POLL_S),
            name="unknown channels",
        )
        unknown.start()
        while not ending.is_set() and not stop.wait(POLL_S):
            pass
        ending.set()
        for thread in (*threads, unknown):
            thread.join()
    if failed:
        raise failed[0]


def _work_of(channels: dict[str, Outgoing], clock: Clock, stop: threading.Event, db: StateDb) -> int:
    return send_due(db, channels, clock, stop)
