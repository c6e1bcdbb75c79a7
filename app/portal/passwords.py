"""Passwords by argon2id, tokens by SHA-256.

Promises: what is kept tells nothing of what was typed; a name there is not takes as long as one there is; no more than
two passwords are worked on at once (64 MiB each).
"""

import hashlib
import secrets
import threading
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

PASSWORD_MIN, PASSWORD_MAX = 10, 256  # characters
TOKEN_MARK = "gi_"  # begins every token, so that scanners of secrets find one that leaked
PREFIX_CHARACTERS = 8  # of a token that are shown
_HASHER = PasswordHasher()  # argon2id with the parameters of RFC 9106, low memory
_AT_ONCE = threading.BoundedSemaphore(2)


def check_password(name: str, password: str) -> None:
    """Raises ValueError in the user's words."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise ValueError(f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters; this one has {len(password)}")
    if name.casefold() in password.casefold():
        raise ValueError("the password holds the user's name; take another")
    if len(set(password)) < 4:
        raise ValueError("the password repeats the same few characters; take another")


def hash_password(password: str) -> str:
    with _AT_ONCE:
        return _HASHER.hash(_normal(password))


def is_password(kept: str | None, password: str) -> bool:
    """kept: None where there is no such user; it takes as long."""
    with _AT_ONCE:
        try:
            return _HASHER.verify(_nobody() if kept is None else kept, _normal(password)) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(kept: str) -> bool:
    """Whether it was hashed with weaker parameters than those of today."""
    return _HASHER.check_needs_rehash(kept)


def new_token() -> tuple[str, str]:
    """(token, the part of it that may be shown)."""
    token = TOKEN_MARK + secrets.token_urlsafe(32)
    return token, token[len(TOKEN_MARK) : len(TOKEN_MARK) + PREFIX_CHARACTERS]


def digest(secret: str) -> str:
    """What is kept of a token or session: it is random, so that one round of SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def csrf_of(session: str) -> str:
    """The token a page sends along with the session's cookie; only who has the session can make it."""
    return hashlib.sha256(b"csrf\0" + session.encode()).hexdigest()


@cache
def _nobody() -> str:
    return _HASHER.hash(secrets.token_urlsafe())


def _normal(password: str) -> str:
    """The same text however the keyboard composed it."""
    return unicodedata.normalize("NFKC", password)
