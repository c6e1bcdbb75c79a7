"""Senders: work off the outbox, record every receipt. A process of its own, or a thread of one.

Promises: on a full disk the receipt waits for room, and nothing is sent again meanwhile. Only where the process ends
before there is room is that one notification sent a second time, under the same key.
"""

import logging
import threading
from functools import partial
from pathlib import Path

import httpx

from contracts.clock import Clock
from contracts.ports import Sender
from contracts.reasons import Receipt
from contracts.site import Site
from notify.outbox import next_attempt_at, settled
from notify.webhook import WebhookSender
from store.journal import epoch_us
from store.state_db import StateDb

from .disk_room import NoRoom, when_there_is_room

log = logging.getLogger(__name__)

POLL_S = 0.2
DUE_AT_ONCE = 100


def webhook_senders(site: Site, client: httpx.Client) -> dict[str, Sender]:
    """One sender a webhook. Raises OSError for a secret file that cannot be read."""
    made: dict[str, Sender] = {}
    for webhook in site.file.webhooks:
        secret = Path(webhook.secret_file).read_bytes().strip() if webhook.secret_file else None
        made[webhook.name] = WebhookSender(webhook, secret, client)
    return made


def send_due(db: StateDb, senders: dict[str, Sender], clock: Clock, stop: threading.Event) -> int:
    """One round over what is due. Returns how many attempts were made. Raises NoRoom: stopped on a full disk."""
    due = when_there_is_room(
        lambda: db.due_notifications(epoch_us(clock.now()), DUE_AT_ONCE), stop, "notifications to be sent"
    )
    for pending in due:
        notification, attempt = pending.notification, pending.attempts + 1
        sender = senders.get(notification.channel)
        if sender is None:
            outcome, detail = Receipt.REFUSED, "no such channel is configured"
        else:
            outcome, detail = sender.send(notification, attempt)
        at = clock.now()
        again_at = next_attempt_at(outcome, attempt, notification.key, at)
        record = partial(
            db.record_receipt,
            key=notification.key,
            channel=notification.channel,
            attempt=attempt,
            at_us=epoch_us(at),
            outcome=Receipt(settled(outcome, attempt)),
            detail=detail,
            next_at_us=None if again_at is None else epoch_us(again_at),
        )
        when_there_is_room(record, stop, f"the receipt of {notification.key}, and what is still to be sent,")
    return len(due)


def run_senders(site: Site, state_dir: Path, clock: Clock, stop: threading.Event) -> None:
    with httpx.Client() as client, StateDb(state_dir / "state.db") as db:
        senders = webhook_senders(site, client)
        try:
            while not stop.is_set():
                if send_due(db, senders, clock, stop) == 0:
                    stop.wait(POLL_S)
        except NoRoom as error:
            log.error("stopped before there was room: the next start sends it again (%s)", error)
