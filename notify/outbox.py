"""When an undelivered notification is tried again, and when it is given up. Pure: time is an argument.

Promises: the same key and attempt give the same wait, so a restart changes no schedule. Does not promise delivery:
after `ATTEMPTS_MAX` attempts, more than a day, the row stays in the outbox as given up, for people to see and to send
again: then it has as many attempts once more, and its attempts go on being counted.
"""

from datetime import datetime, timedelta
from hashlib import sha256

from contracts.reasons import Receipt

FIRST_WAIT_S = 5.0
WAIT_MAX_S = 3600.0
ATTEMPTS_MAX = 64  # with the waits below, 27 to 54 hours after the first: a receiver may be down for a day


def retry_after_s(attempt: int, key: str) -> float:
    """Seconds to wait after failed attempt `attempt` (1, 2, ...): doubling, bounded, spread over its upper half by key.

    Many notifications fail together when a receiver goes down; the spread keeps them from returning together.
    """
    bound = min(WAIT_MAX_S, FIRST_WAIT_S * 2.0 ** min((attempt - 1) % ATTEMPTS_MAX, 32))
    spread = int.from_bytes(sha256(f"{key}:{attempt}".encode()).digest()[:8], "big") / 2**64
    return bound * (0.5 + spread / 2)


def settled(receipt: str, attempt: int) -> str:
    """The receipt to record: a failure of the last attempt of a round is GAVE_UP."""
    return Receipt.GAVE_UP if receipt == Receipt.FAILED and attempt % ATTEMPTS_MAX == 0 else receipt


def next_attempt_at(receipt: str, attempt: int, key: str, at: datetime, wait_s: float = 0.0) -> datetime | None:
    """When to try again after an attempt that ended at `at`; None when nothing is left to do.

    wait_s: the receiver asked for so long.
    """
    if settled(receipt, attempt) != Receipt.FAILED:
        return None
    return at + timedelta(seconds=max(min(wait_s, WAIT_MAX_S), retry_after_s(attempt, key)))
