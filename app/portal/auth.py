"""Who asks, and whether they may: session cookie or token, roles x scopes.

Promises: no route answers anybody it does not know; a change made with a cookie carries the page's own token as well;
what lies outside a person's scope is not told apart from what does not exist.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import Request, Response

from store.journal import epoch_us
from store.portal_db import Account

from . import passwords
from .centre import Centre
from .problems import Problem
from .roles import ACTIONS, ROLES, has

COOKIE = "gi_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class User:
    """Somebody who is known. subjects: the names their scope holds; None: all."""

    name: str
    full_name: str
    role: str
    scope_kind: str
    scope: tuple[str, ...]
    subjects: frozenset[str] | None
    by: str  # "session" or "token"

    def sees(self, subject: str | None) -> bool:
        return self.subjects is None or subject in self.subjects


def centre_of(request: Request) -> Centre:
    centre = request.app.state.centre
    assert isinstance(centre, Centre)
    return centre


def current_user(request: Request) -> User:
    """Raises Problem (401) for nobody we know, (403) for a change with a cookie and without the page's token."""
    user = known_user(request)
    if user is None:
        raise Problem("not-signed-in")
    if user.by == "session" and request.method not in SAFE:
        sent = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(sent.encode(), passwords.csrf_of(request.cookies[COOKIE]).encode()):
            raise Problem("csrf")
    return user


def known_user(request: Request) -> User | None:
    """Whoever the token or the cookie names and who may still come in; a token goes before a cookie."""
    centre = centre_of(request)
    now_us = epoch_us(centre.clock.now())
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "bearer" or not token:
            return None
        account = centre.db.user_of_token(passwords.digest(token.strip()), now_us)
        return None if account is None else user_of(centre, account, "token")
    session = request.cookies.get(COOKIE)
    if not session:
        return None
    account = centre.db.user_of_session(passwords.digest(session), now_us)
    return None if account is None else user_of(centre, account, "session")


def user_of(centre: Centre, account: Account, by: str) -> User:
    return User(
        name=account.name,
        full_name=account.full_name,
        role=account.role,
        scope_kind=account.scope_kind,
        scope=account.scope,
        subjects=centre.places.scope(account.scope_kind, account.scope),
        by=by,
    )


def permitted(user: User, permission: str, subject: str | None = None) -> bool:
    """Whether the role has the permission and, where a subject (station, `park:...`) is given, the scope holds it."""
    return has(user.role, permission) and (subject is None or user.sees(subject))


def needs(permission: str) -> Callable[[Request], User]:
    """A route's dependency: the user, who has the permission. `permission` of it is read by tests and by the app."""

    def dependency(request: Request) -> User:
        user = current_user(request)
        check(user, permission)
        return user

    dependency.permission = permission  # type: ignore[attr-defined]
    return dependency


def check(user: User, permission: str) -> None:
    """Raises Problem (403)."""
    if not has(user.role, permission):
        zh, en = ACTIONS[permission]
        role = ROLES[user.role]
        raise Problem("not-permitted", role_zh=role.zh, role_en=role.en, action_zh=zh, action_en=en)


def seen(user: User, subject: str | None, zh: str, en: str) -> None:
    """Raises Problem (404) for what is not in the user's scope."""
    if not user.sees(subject):
        raise Problem("not-found", what_zh=zh, what_en=en)


# -- signing in


def sign_in(request: Request, response: Response, name: str, password: str) -> tuple[User, str]:
    """Sets the session's cookie. Returns the user and the page's own token. Raises Problem."""
    centre = centre_of(request)
    db, now = centre.db, centre.clock.now()
    now_us, address = epoch_us(now), _address(request)
    known = db.user(name)
    said = None if known is None else name
    if wait_s := centre.login_rate.wait_s(address):
        raise Problem("too-often", seconds=wait_s)
    counted = name if known is not None else centre.unknown_name(name)
    if wait_s := db.begin_login(counted, now_us):
        db.note_login(now_us, said, address, "locked")
        raise Problem("locked", seconds=wait_s)
    kept = db.password_of(name)
    if not passwords.is_password(kept, password):
        db.note_login(now_us, said, address, "refused")
        raise Problem("wrong-password")
    assert kept is not None
    assert known is not None
    db.end_login(name)
    if passwords.is_outdated(kept):
        db.renew_hash(name, kept, passwords.hash_password(password))
    session, _ = passwords.new_token()
    lasts = timedelta(hours=centre.settings.session_hours)
    db.add_session(passwords.digest(session), name, now_us, epoch_us(now + lasts))
    db.note_login(now_us, name, address, "success")
    set_cookie(request, response, session, int(lasts.total_seconds()))
    return user_of(centre, known, "session"), passwords.csrf_of(session)


def sign_out(request: Request, response: Response) -> None:
    session = request.cookies.get(COOKIE)
    if session:
        centre_of(request).db.end_session(passwords.digest(session))
    response.delete_cookie(COOKIE, **_cookie(request))


def set_cookie(request: Request, response: Response, session: str, max_age_s: int) -> None:
    response.set_cookie(COOKIE, session, max_age=max_age_s, **_cookie(request))


def _cookie(request: Request) -> dict[str, Any]:
    public = centre_of(request).settings.public_url or ""
    secure = request.url.scheme == "https" or public.startswith("https://")
    return {"path": "/", "httponly": True, "samesite": "lax", "secure": secure}


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"
