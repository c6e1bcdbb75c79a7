"""`greenisland user`: who may come in to the portal, as whom, and for what. No password is ever an argument."""

import getpass
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from contracts.clock import SystemClock
from contracts.durations import parse_duration
from contracts.instants import EPOCH, MICROSECOND, epoch_us
from contracts.site import Site
from contracts.topics import IDENTIFIER
from store.portal_db import PORTAL_DB, Account, PortalDb, PortalDbError, Token

from ..operators.record import one_of
from ..portal import passwords
from ..portal.places import Places
from ..portal.roles import ROLES, SCOPES
from ..site.files import load_site

NAME = Annotated[str, typer.Argument(help="The account's name; it stands in every record of what they do.")]
STATE = Annotated[Path, typer.Option(help="The state directory of `greenisland run`.")]
PASSWORD_FILE = Annotated[
    Path | None, typer.Option(help="A file whose first line is the password; without it you are asked.")
]
JSON = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
TOKEN_LASTS_MAX = timedelta(days=400)


def add_command(
    name: NAME,
    state: STATE,
    site: Annotated[Path, typer.Option(help="The site's directory: the scope must be of its registry.")],
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")],
    scope: Annotated[
        str,
        typer.Option(help="city, or KIND:NAME[,NAME]: county:520330, park:zhengan, stations:S1,S2."),
    ] = "city",
    full_name: Annotated[str, typer.Option(help="As people are called.")] = "",
    password_file: PASSWORD_FILE = None,
) -> None:
    """Add an account. There is no default password, and none is taken as an argument."""
    _check_name(name)
    one_of(role, list(ROLES), "--role", "no role")
    kind, names = _scope(load_site(site), role, scope)
    with _db(state) as db:
        if db.user(name) is not None:
            raise typer.BadParameter(f"there is a user {name!r} already", param_hint="NAME")
        kept = passwords.hash_password(_password(name, password_file))
        account = Account(name, full_name.strip() or name, role, kind, names, _now_us(), None)
        _done(lambda: db.add_user(account, kept, _actor()))
    typer.echo(f"{name}: {ROLES[role].en}, {kind} {' '.join(names)}".rstrip())


def list_command(state: STATE, as_json: JSON = False) -> None:
    """Show accounts with role, scope and the tokens that still hold."""
    with _db(state) as db:
        users, tokens = db.users(), db.tokens()
    now_us = _now_us()
    held = [one for one in tokens if one.revoked_at is None and one.expires_at > now_us]
    if as_json:
        told = [
            {
                "name": one.name,
                "full_name": one.full_name,
                "role": one.role,
                "scope_kind": one.scope_kind,
                "scope": list(one.scope),
                "enabled": one.is_enabled,
                "tokens": [
                    {"prefix": its.prefix, "label": its.label, "expires_at": _iso(its.expires_at)}
                    for its in held
                    if its.user == one.name
                ],
            }
            for one in users
        ]
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    for one in users:
        disabled = "" if one.is_enabled else "  disabled"
        scope = " ".join((one.scope_kind, *one.scope))
        typer.echo(f"{one.name}  {one.full_name}  {one.role}  {scope}{disabled}")
        for its in (its for its in held if its.user == one.name):
            typer.echo(f"  token {its.prefix}...  {its.label}  until {_iso(its.expires_at)}")
    if not users:
        typer.echo("no users")


def passwd_command(name: NAME, state: STATE, password_file: PASSWORD_FILE = None) -> None:
    """Set a password anew: sessions end, and a lock after wrong passwords is lifted."""
    with _db(state) as db:
        _known(db, name)
        kept = passwords.hash_password(_password(name, password_file))
        _done(lambda: db.set_password(name, kept, _now_us(), _actor()))
    typer.echo(f"{name}: password set, sessions ended")


def disable_command(name: NAME, state: STATE) -> None:
    """Let somebody in no more: sessions end now, tokens are revoked for good. What they did keeps their name."""
    with _db(state) as db:
        _done(lambda: db.set_enabled(name, False, _now_us(), _actor()))
    typer.echo(f"{name}: disabled")


def enable_command(name: NAME, state: STATE) -> None:
    """Let a disabled account in again, with the password it had."""
    with _db(state) as db:
        _done(lambda: db.set_enabled(name, True, _now_us(), _actor()))
    typer.echo(f"{name}: enabled")


def token_command(
    name: NAME,
    state: STATE,
    label: Annotated[str, typer.Option(help="What it is for.")],
    lasts: Annotated[str, typer.Option(help="How long it holds, at most 400d.")] = "90d",
) -> None:
    """Make a token for a script. It is printed this once; what is kept is its hash."""
    try:
        how_long = parse_duration(lasts)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--lasts") from error
    if not timedelta(0) < how_long <= TOKEN_LASTS_MAX:
        raise typer.BadParameter(f"{lasts} is not between 1s and 400d", param_hint="--lasts")
    if not label.strip() or len(label) > 100:
        raise typer.BadParameter("say in at most 100 characters what it is for", param_hint="--label")
    now = SystemClock().now()
    with _db(state) as db:
        if not _known(db, name).is_enabled:
            raise typer.BadParameter(f"{name} is disabled", param_hint="NAME")
        token, prefix = passwords.new_token()
        made = Token(prefix, name, label.strip(), epoch_us(now), epoch_us(now + how_long), None)
        _done(lambda: db.add_token(made, passwords.digest(token), _actor()))
    typer.echo(token)
    typer.echo(f"of {name}, until {_iso(made.expires_at)}; keep it as you keep a password", err=True)


def revoke_command(prefix: Annotated[str, typer.Argument(help="The token's first characters.")], state: STATE) -> None:
    """Revoke a token: it lets nobody in from now on."""
    shown = prefix.removeprefix(passwords.TOKEN_MARK)[: passwords.PREFIX_CHARACTERS]
    with _db(state) as db:
        _done(lambda: db.revoke_token(shown, None, _now_us(), _actor()))
    typer.echo(f"{shown}: revoked")


def _check_name(name: str) -> None:
    if not IDENTIFIER.fullmatch(name):
        message = f"{name!r}: a name has 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter or digit"
        raise typer.BadParameter(message, param_hint="NAME")


def _scope(site: Site, role: str, text: str) -> tuple[str, tuple[str, ...]]:
    """(kind, names). Raises BadParameter."""
    kind, _, given = text.partition(":")
    one_of(kind, list(SCOPES), "--scope", "no kind of scope")
    if kind not in ROLES[role].scopes:
        message = f"the role {role} has a scope of {' or '.join(ROLES[role].scopes)}"
        raise typer.BadParameter(message, param_hint="--scope")
    names = tuple(dict.fromkeys(name for name in given.split(",") if name))
    if (kind == "city") == bool(names):
        message = "city names nothing" if names else f"name what it holds: {kind}:NAME"
        raise typer.BadParameter(message, param_hint="--scope")
    known = Places(site).known
    for name in names:
        one_of(name, sorted(known[kind]), "--scope", f"none of this site's {kind}")
    return kind, names


def _password(name: str, file: Path | None) -> str:
    """From the file's first line, or asked for twice. Raises BadParameter."""
    if file is None:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        try:
            password = (file.read_text(encoding="utf-8").splitlines() or [""])[0]
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"{file}: cannot be read: {error}", param_hint="--password-file") from error
    try:
        passwords.check_password(name, password)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="password") from error
    return password


def _known(db: PortalDb, name: str) -> Account:
    user = db.user(name)
    if user is None:
        names = [one.name for one in db.users()]
        one_of(name, names, "NAME", "no user")
        raise AssertionError("one_of has refused it")
    return user


def _done(work: Callable[[], None]) -> None:
    try:
        work()
    except PortalDbError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from error


def _db(state: Path) -> PortalDb:
    if not state.is_dir():
        raise typer.BadParameter(
            f"{state} is not a folder; give the --state of `greenisland run`", param_hint="--state"
        )
    try:
        return PortalDb(state / PORTAL_DB)
    except PortalDbError as error:
        raise typer.BadParameter(str(error), param_hint="--state") from error


def _now_us() -> int:
    return epoch_us(SystemClock().now())


def _iso(at_us: int) -> str:
    return (EPOCH + at_us * MICROSECOND).isoformat(timespec="seconds")


def _actor() -> str:
    return f"{getpass.getuser()} (command line)"
