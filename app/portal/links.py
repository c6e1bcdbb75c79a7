"""Signed links: one person may acknowledge one alert, once, until a certain instant.

Promises: pure; a link that was changed anywhere does not verify, and it does nothing that the person's account may not.
Does not promise that whoever follows it is that person: a link is as good as the mailbox it was sent to, so it lasts
for hours and does one thing only.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from store.portal_db import Account

from .places import Places
from .roles import has

KEY_BYTES_MIN = 32
PATH = "/link/acknowledge"
ACKNOWLEDGE = "acknowledge"


@dataclass(frozen=True)
class Link:
    """What a link says. `signature` as it came, not yet verified."""

    episode: str
    action: str
    person: str
    expires_s: int  # since 1970 UTC
    signature: str

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.expires_s, UTC)

    def is_genuine(self, key: bytes) -> bool:
        expected = signature(key, self.episode, self.action, self.person, self.expires_s)
        return hmac.compare_digest(expected.encode(), self.signature.encode())


def acknowledge_link(base_url: str, key: bytes, episode: str, person: str, expires_at: datetime) -> str:
    """The address for a notification. base_url: the portal's, without a path; person: the name of their account."""
    expires_s = int(expires_at.timestamp())
    signed = signature(key, episode, ACKNOWLEDGE, person, expires_s)
    query = urlencode({"alert": episode, "person": person, "until": expires_s, "sig": signed})
    return f"{base_url.rstrip('/')}{PATH}?{query}"


def may_acknowledge(account: Account | None, places: Places, subject: str) -> bool:
    """Whether a link of theirs does anything: there is such an account, enabled, whose role and scope allow it."""
    if account is None or not account.is_enabled or not has(account.role, "alerts.acknowledge"):
        return False
    subjects = places.scope(account.scope_kind, account.scope)
    return subjects is None or subject in subjects


def signature(key: bytes, episode: str, action: str, person: str, expires_s: int) -> str:
    """HMAC-SHA256 over the parts, each with its length before it, so that no two links are signed as one text."""
    parts = (episode, action, person, str(expires_s))
    text = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return hmac.new(key, b"greenisland link 1\0" + text, hashlib.sha256).hexdigest()


def read_key(path: Path) -> bytes:
    """Raises OSError; ValueError for a key that is too short to sign with."""
    key = path.read_bytes().strip()
    if len(key) < KEY_BYTES_MIN:
        raise ValueError(
            f"{path}: a key has at least {KEY_BYTES_MIN} characters; make one with `openssl rand -hex 32 > {path.name}`"
        )
    return key
