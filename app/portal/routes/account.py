"""/api/v1/session, /me, /password, /tokens: the own account. /users, /logins, /changes: the administrator's view."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from store.journal import epoch_us
from store.portal_db import Account, PortalDbError
from store.portal_db import Token as KeptToken

from .. import passwords
from ..auth import COOKIE, User, centre_of, needs, sign_in, sign_out
from ..centre import Centre
from ..paging import PAGE, Cursor, Limit, Page, cursor_of, read_cursor
from ..problems import DOCUMENTED, Problem
from ..roles import MAY

router = APIRouter(tags=["account"], responses=DOCUMENTED)

Own = Annotated[User, Depends(needs("own.account"))]
Administrator = Annotated[User, Depends(needs("users.read"))]
TOKEN_DAYS_MAX = 400
Typed = Annotated[str, Field(min_length=1, max_length=256)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Credentials(Strict):
    name: Typed
    password: Typed


class NewPassword(Strict):
    old: Typed
    new: Typed


class NewToken(Strict):
    label: Annotated[str, Field(min_length=1, max_length=100, pattern=r"\S", description="What it is for")]
    days: Annotated[int, Field(ge=1, le=TOKEN_DAYS_MAX)] = 90


class Me(BaseModel):
    name: str
    full_name: str
    role: str
    scope_kind: str
    scope: list[str]
    permissions: list[str]
    csrf: str | None = Field(None, description="To be sent as X-CSRF-Token with changes; null with a token")


class Token(BaseModel):
    prefix: str
    label: str
    user: str
    made_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    token: str | None = Field(None, description="The whole of it, shown once")


class Person(BaseModel):
    name: str
    full_name: str
    role: str
    scope_kind: str
    scope: list[str]
    made_at: datetime
    disabled_at: datetime | None


class Login(BaseModel):
    seq: int
    at: datetime
    user: str | None = Field(description="null: there is no such user")
    address: str
    outcome: str


class Change(BaseModel):
    seq: int
    at: datetime
    actor: str
    what: str
    about: str


@router.post("/session", summary="Sign in")
def open_session(request: Request, response: Response, body: Credentials) -> Me:
    user, csrf = sign_in(request, response, body.name, body.password)
    return _me(user, csrf)


@router.get("/session", summary="Who is signed in, and the token changes need")
def session(request: Request, user: Own) -> Me:
    return _me(user, passwords.csrf_of(request.cookies[COOKIE]) if user.by == "session" else None)


@router.delete("/session", status_code=204, summary="Sign out")
def close_session(request: Request, response: Response, user: Own) -> None:  # noqa: ARG001
    sign_out(request, response)


@router.post("/password", status_code=204, summary="Change the own password; every session ends")
def change_password(request: Request, user: Own, body: NewPassword) -> None:
    centre = centre_of(request)
    now_us = epoch_us(centre.clock.now())
    if wait_s := centre.db.begin_login(user.name, now_us):
        raise Problem("locked", seconds=wait_s)
    if not passwords.is_password(centre.db.password_of(user.name), body.old):
        raise Problem("wrong-input", what="old: this is not the password")
    centre.db.end_login(user.name)
    try:
        passwords.check_password(user.name, body.new)
    except ValueError as error:
        raise Problem("wrong-input", what=f"new: {error}") from error
    centre.db.set_password(user.name, passwords.hash_password(body.new), now_us, user.name)


@router.get("/tokens", summary="The own tokens")
def tokens(request: Request, user: Own) -> Page[Token]:
    centre = centre_of(request)
    return Page(items=[_token(centre, one) for one in centre.db.tokens(user.name)])


@router.post("/tokens", status_code=201, summary="Make a token; it is shown this once")
def make_token(request: Request, user: Own, body: NewToken) -> Token:
    centre = centre_of(request)
    now = centre.clock.now()
    token, prefix = passwords.new_token()
    expires_at = epoch_us(now + timedelta(days=body.days))
    made = KeptToken(prefix, user.name, body.label.strip(), epoch_us(now), expires_at, None)
    try:
        centre.db.add_token(made, passwords.digest(token), user.name)
    except PortalDbError as error:
        raise Problem("conflict", what_zh="令牌过多,请先撤销不用的", what_en=str(error)) from error
    return _token(centre, made).model_copy(update={"token": token})


@router.delete("/tokens/{prefix}", status_code=204, summary="Revoke a token of one's own")
def revoke_token(request: Request, user: Own, prefix: Annotated[str, Path(max_length=20)]) -> None:
    centre = centre_of(request)
    try:
        centre.db.revoke_token(prefix, user.name, epoch_us(centre.clock.now()), user.name)
    except PortalDbError as error:
        raise Problem("not-found", what_zh="令牌", what_en="token") from error


@router.get("/users", summary="Everybody who may come in, or might")
def users(request: Request, user: Administrator) -> Page[Person]:  # noqa: ARG001
    centre = centre_of(request)
    return Page(items=[_person(centre, one) for one in centre.db.users()])


@router.get("/logins", summary="Who signed in, or tried to; the newest first")
def logins(request: Request, user: Administrator, limit: Limit = PAGE, cursor: Cursor = None) -> Page[Login]:  # noqa: ARG001
    centre = centre_of(request)
    (before,) = read_cursor(cursor, (int,)) or (None,)
    rows = centre.db.logins(before, limit + 1)
    items = [Login(**{**row, "at": centre.civil(row["at"])}) for row in rows[:limit]]
    return Page(items=items, next=cursor_of(items[-1].seq) if len(rows) > limit else None)


@router.get("/changes", summary="Who changed accounts, tokens and proposals; the newest first")
def changes(request: Request, user: Administrator, limit: Limit = PAGE, cursor: Cursor = None) -> Page[Change]:  # noqa: ARG001
    centre = centre_of(request)
    (before,) = read_cursor(cursor, (int,)) or (None,)
    rows = centre.db.changes(before, limit + 1)
    items = [Change(**{**row, "at": centre.civil(row["at"])}) for row in rows[:limit]]
    return Page(items=items, next=cursor_of(items[-1].seq) if len(rows) > limit else None)


def _me(user: User, csrf: str | None) -> Me:
    return Me(
        name=user.name,
        full_name=user.full_name,
        role=user.role,
        scope_kind=user.scope_kind,
        scope=list(user.scope),
        permissions=sorted(permission for permission, roles in MAY.items() if user.role in roles),
        csrf=csrf,
    )


def _token(centre: Centre, token: KeptToken) -> Token:
    made_at, expires_at = centre.civil(token.made_at), centre.civil(token.expires_at)
    revoked_at = centre.civil_or_none(token.revoked_at)
    about = {"prefix": token.prefix, "label": token.label, "user": token.user}
    return Token(**about, made_at=made_at, expires_at=expires_at, revoked_at=revoked_at)


def _person(centre: Centre, one: Account) -> Person:
    return Person(
        name=one.name,
        full_name=one.full_name,
        role=one.role,
        scope_kind=one.scope_kind,
        scope=list(one.scope),
        made_at=centre.civil(one.made_at),
        disabled_at=centre.civil_or_none(one.disabled_at),
    )
