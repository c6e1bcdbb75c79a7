"""portal.db: people's accounts, tokens, sessions, log-ins, proposals and used links, in SQLite.

Promises: no secret is kept as it is (passwords by argon2id, tokens and sessions by SHA-256); tables that strangers can
fill are bounded. A link, a proposal and an idempotency key are used up once, whatever happens at the same time.
Does not promise evidence: what people did to alerts and data stands in the journal.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .sqlite_tables import open_tables, transaction

PORTAL_DB = "portal.db"  # in the state directory
OWNERS = 0o600  # password hashes: nobody else reads it
_BUSY_TIMEOUT_S = 10.0
_DAY_US = 86_400_000_000

LOGINS_MAX = 100_000  # rows kept of the log-in audit, the newest
FAILURES_MAX = 10_000  # names whose failures are counted
SESSIONS_MAX = 20  # of one person
TOKENS_MAX = 50  # of one person, revoked and expired ones included
REQUESTS_KEPT_US = _DAY_US  # how long an Idempotency-Key is remembered
REQUESTS_MAX = 100_000
OPEN_PROPOSALS_MAX = 200

FREE_FAILURES = 5  # so many wrong passwords cost nothing ...
DELAY_MAX_S = 300  # ... then 1 s, 2 s, 4 s, ... up to this

# A release that changes the tables appends a migration; those that have shipped are never edited.
# Instants are us since 1970 UTC; `scope` is a JSON list.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE users (
            name TEXT PRIMARY KEY, full_name TEXT NOT NULL, role TEXT NOT NULL, scope_kind TEXT NOT NULL,
            scope TEXT NOT NULL, password TEXT NOT NULL, made_at INTEGER NOT NULL, disabled_at INTEGER)""",
        """CREATE TABLE tokens (
            prefix TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, user TEXT NOT NULL, label TEXT NOT NULL,
            made_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, revoked_at INTEGER)""",
        "CREATE INDEX tokens_by_user ON tokens (user)",
        """CREATE TABLE sessions (
            digest TEXT PRIMARY KEY, user TEXT NOT NULL, made_at INTEGER NOT NULL, expires_at INTEGER NOT NULL)""",
        "CREATE INDEX sessions_by_user ON sessions (user)",
        """CREATE TABLE logins (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, user TEXT, address TEXT NOT NULL,
            outcome TEXT NOT NULL)""",
        """CREATE TABLE failures (
            name TEXT PRIMARY KEY, n INTEGER NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL)""",
        """CREATE TABLE requests (
            user TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, record BLOB NOT NULL, is_put INTEGER NOT NULL,
            at INTEGER NOT NULL, PRIMARY KEY (user, key))""",
        "CREATE INDEX requests_by_time ON requests (at)",
        "CREATE TABLE links (digest TEXT PRIMARY KEY, used_at INTEGER NOT NULL, expires_at INTEGER NOT NULL)",
        """CREATE TABLE proposals (
            id INTEGER PRIMARY KEY AUTOINCREMENT, made_at INTEGER NOT NULL, author TEXT NOT NULL, path TEXT NOT NULL,
            base TEXT, content TEXT NOT NULL, diff TEXT NOT NULL, reason TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'approved', 'rejected')),
            decided_at INTEGER, decided_by TEXT, decision_reason TEXT)""",
        """CREATE TABLE changes (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL, what TEXT NOT NULL,
            about TEXT NOT NULL)""",
    ),
    (
        "DELETE FROM failures WHERE name NOT IN (SELECT name FROM users)",
    ),  # it may be a password; see Centre.unknown_name
)


class PortalDbError(Exception):
    """portal.db cannot be used, or does not take what was asked; the message says why."""


@dataclass(frozen=True)
class Account:
    """A person who may come in, without the password."""

    name: str
    full_name: str
    role: str
    scope_kind: str
    scope: tuple[str, ...]
    made_at: int
    disabled_at: int | None

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None


@dataclass(frozen=True)
class Token:
    prefix: str
    user: str
    label: str
    made_at: int
    expires_at: int
    revoked_at: int | None


@dataclass(frozen=True)
class Kept:
    """What an Idempotency-Key stands for."""

    record: bytes
    is_put: bool  # the record is in the spool, or was


class PortalDb:
    """One connection for all threads of a process, which take turns. Instants are us since 1970 UTC."""

    def __init__(self, path: Path):
        self._lock = threading.RLock()
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, OWNERS))
        path.chmod(OWNERS)  # also where it was copied by whoever did not mind; what SQLite puts beside it follows it
        self._connection = open_tables(
            path, MIGRATIONS, PortalDbError, busy_timeout_s=_BUSY_TIMEOUT_S, check_same_thread=False
        )

    def __enter__(self) -> "PortalDb":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # -- accounts

    def add_user(self, account: Account, password: str, actor: str) -> None:
        """password: its argon2 hash. Raises PortalDbError where the name is taken."""
        row = (*_columns(account), password)
        with self.transaction() as connection:
            try:
                connection.execute(
                    "INSERT INTO users (name, full_name, role, scope_kind, scope, made_at, disabled_at, password)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
            except sqlite3.IntegrityError as error:
                raise PortalDbError(f"there is a user {account.name!r} already") from error
            about = f"{account.name}: {account.role}, {account.scope_kind} {' '.join(account.scope)}".strip()
            self._note(connection, account.made_at, actor, "user added", about)

    def users(self) -> list[Account]:
        return [_account(row) for row in self._all("SELECT * FROM users ORDER BY name")]

    def user(self, name: str) -> Account | None:
        row = self._one("SELECT * FROM users WHERE name = ?", name)
        return None if row is None else _account(row)

    def password_of(self, name: str) -> str | None:
        """The argon2 hash of a user who is enabled."""
        row = self._one("SELECT password FROM users WHERE name = ? AND disabled_at IS NULL", name)
        return None if row is None else row["password"]

    def set_password(self, name: str, password: str, now_us: int, actor: str) -> None:
        """Ends the user's sessions and forgets the failures; tokens stay. Raises PortalDbError."""
        with self.transaction() as connection:
            done = connection.execute("UPDATE users SET password = ? WHERE name = ?", (password, name))
            if not done.rowcount:
                raise PortalDbError(f"there is no user {name!r}")
            connection.execute("DELETE FROM sessions WHERE user = ?", (name,))
            connection.execute("DELETE FROM failures WHERE name = ?", (name,))
            self._note(connection, now_us, actor, "password set", name)

    def renew_hash(self, name: str, old: str, new: str) -> None:
        """The same password by a stronger hash."""
        with self.transaction() as connection:
            connection.execute("UPDATE users SET password = ? WHERE name = ? AND password = ?", (new, name, old))

    def set_enabled(self, name: str, enabled: bool, now_us: int, actor: str) -> None:
        """Disabling ends the user's sessions and revokes the tokens for good. Raises PortalDbError."""
        with self.transaction() as connection:
            at = None if enabled else now_us
            done = connection.execute("UPDATE users SET disabled_at = ? WHERE name = ?", (at, name))
            if not done.rowcount:
                raise PortalDbError(f"there is no user {name!r}")
            if not enabled:
                connection.execute("DELETE FROM sessions WHERE user = ?", (name,))
                connection.execute(
                    "UPDATE tokens SET revoked_at = ? WHERE user = ? AND revoked_at IS NULL", (now_us, name)
                )
            self._note(connection, now_us, actor, "user enabled" if enabled else "user disabled", name)

    # -- tokens

    def add_token(self, token: Token, digest: str, actor: str) -> None:
        """digest: SHA-256 of the token. Raises PortalDbError for a user with too many."""
        with self.transaction() as connection:
            self._purge_tokens(connection, token)
            (n,) = connection.execute("SELECT count(*) FROM tokens WHERE user = ?", (token.user,)).fetchone()
            if n >= TOKENS_MAX:
                raise PortalDbError(f"{token.user} has {n} tokens; revoke one that is no longer used")
            connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (token.prefix, digest, token.user, token.label, token.made_at, token.expires_at),
            )
            self._note(connection, token.made_at, actor, "token made", f"{token.prefix} of {token.user}: {token.label}")

    def tokens(self, user: str | None = None) -> list[Token]:
        """Of one user, or of all."""
        rows = self._all(
            "SELECT prefix, user, label, made_at, expires_at, revoked_at FROM tokens"
            " WHERE ? IS NULL OR user = ? ORDER BY user, made_at",
            user,
            user,
        )
        return [Token(**row) for row in rows]

    def revoke_token(self, prefix: str, user: str | None, now_us: int, actor: str) -> None:
        """user: whose it must be; None: anybody's. Raises PortalDbError where there is none that holds."""
        with self.transaction() as connection:
            done = connection.execute(
                "UPDATE tokens SET revoked_at = ? WHERE prefix = ? AND revoked_at IS NULL AND (? IS NULL OR user = ?)",
                (now_us, prefix, user, user),
            )
            if not done.rowcount:
                raise PortalDbError(f"there is no token {prefix!r} that could be revoked")
            self._note(connection, now_us, actor, "token revoked", prefix)

    def user_of_token(self, digest: str, now_us: int) -> Account | None:
        row = self._one(
            "SELECT users.* FROM tokens JOIN users ON users.name = tokens.user"
            " WHERE digest = ? AND expires_at > ? AND revoked_at IS NULL AND disabled_at IS NULL",
            digest,
            now_us,
        )
        return None if row is None else _account(row)

    def _purge_tokens(self, connection: sqlite3.Connection, token: Token) -> None:
        """What ended a year ago is no longer shown."""
        old = token.made_at - 365 * _DAY_US
        connection.execute("DELETE FROM tokens WHERE coalesce(revoked_at, expires_at) < ?", (old,))

    # -- sessions

    def add_session(self, digest: str, user: str, now_us: int, expires_at: int) -> None:
        with self.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE expires_at <= ?", (now_us,))
            connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", (digest, user, now_us, expires_at))
            connection.execute(
                "DELETE FROM sessions WHERE user = ? AND digest NOT IN"
                " (SELECT digest FROM sessions WHERE user = ? ORDER BY made_at DESC, rowid DESC LIMIT ?)",
                (user, user, SESSIONS_MAX),
            )

    def user_of_session(self, digest: str, now_us: int) -> Account | None:
        row = self._one(
            "SELECT users.* FROM sessions JOIN users ON users.name = sessions.user"
            " WHERE digest = ? AND expires_at > ? AND disabled_at IS NULL",
            digest,
            now_us,
        )
        return None if row is None else _account(row)

    def end_session(self, digest: str) -> None:
        with self.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE digest = ?", (digest,))

    # -- log-ins

    def begin_login(self, name: str, now_us: int) -> int:
        """Counts the attempt as failed until `end_login` says otherwise. Seconds to wait; 0: try the password now.

        Counted first, so that many guesses at once are not all free. name: a user's; of others nothing readable, for it
        is kept.
        """
        with self.transaction() as connection:
            row = connection.execute("SELECT n, until FROM failures WHERE name = ?", (name,)).fetchone()
            if row is not None and row["until"] > now_us:
                return -(-(row["until"] - now_us) // 1_000_000)
            n = 1 if row is None else row["n"] + 1
            connection.execute(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)",
                (name, n, now_us, now_us + delay_s(n) * 1_000_000),
            )
            connection.execute(
                "DELETE FROM failures WHERE name IN"
                " (SELECT name FROM failures ORDER BY at DESC, rowid DESC LIMIT -1 OFFSET ?)",
                (FAILURES_MAX,),
            )
            return 0

    def end_login(self, name: str) -> None:
        """The password was right."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM failures WHERE name = ?", (name,))

    def note_login(self, now_us: int, user: str | None, address: str, outcome: str) -> None:
        """user: None where there is no such user: what was typed may have been a password."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO logins (at, user, address, outcome) VALUES (?, ?, ?, ?)", (now_us, user, address, outcome)
            )
            connection.execute("DELETE FROM logins WHERE seq <= (SELECT max(seq) FROM logins) - ?", (LOGINS_MAX,))

    def logins(self, before_seq: int | None, limit: int) -> list[dict[str, Any]]:
        """The newest first."""
        rows = self._all(
            "SELECT * FROM logins WHERE ? IS NULL OR seq < ? ORDER BY seq DESC LIMIT ?", before_seq, before_seq, limit
        )
        return [dict(row) for row in rows]

    # -- requests with an Idempotency-Key

    def keep_request(self, user: str, key: str, digest: str, record: bytes, now_us: int) -> Kept | None:
        """Keeps what the key stands for from now on, or says what it stood for already.

        Raises PortalDbError where it stood for another request.
        """
        with self.transaction() as connection:
            connection.execute("DELETE FROM requests WHERE at < ?", (now_us - REQUESTS_KEPT_US,))
            row = connection.execute("SELECT * FROM requests WHERE user = ? AND key = ?", (user, key)).fetchone()
            if row is not None:
                if row["digest"] != digest:
                    raise PortalDbError("this Idempotency-Key was used for another request")
                return Kept(row["record"], bool(row["is_put"]))
            (n,) = connection.execute("SELECT count(*) FROM requests").fetchone()
            if n >= REQUESTS_MAX:
                raise PortalDbError("too many requests with an Idempotency-Key within a day")
            connection.execute("INSERT INTO requests VALUES (?, ?, ?, ?, 0, ?)", (user, key, digest, record, now_us))
            return None

    def request_put(self, user: str, key: str) -> None:
        with self.transaction() as connection:
            connection.execute("UPDATE requests SET is_put = 1 WHERE user = ? AND key = ?", (user, key))

    # -- signed links

    @contextmanager
    def using_link(self, digest: str, now_us: int, expires_at: int) -> Iterator[bool]:
        """Whether the link is used for the first time; it is used up when the block ends without an exception."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM links WHERE expires_at < ?", (now_us - _DAY_US,))
            done = connection.execute("INSERT OR IGNORE INTO links VALUES (?, ?, ?)", (digest, now_us, expires_at))
            yield bool(done.rowcount)

    def link_used_at(self, digest: str) -> int | None:
        row = self._one("SELECT used_at FROM links WHERE digest = ?", digest)
        return None if row is None else row["used_at"]

    # -- proposals

    def add_proposal(
        self, *, author: str, path: str, base: str | None, content: str, diff: str, reason: str, now_us: int
    ) -> int:
        """Raises PortalDbError where too many are open."""
        with self.transaction() as connection:
            (n,) = connection.execute("SELECT count(*) FROM proposals WHERE state = 'open'").fetchone()
            if n >= OPEN_PROPOSALS_MAX:
                raise PortalDbError(f"{n} proposals are open; decide some of them first")
            done = connection.execute(
                "INSERT INTO proposals (made_at, author, path, base, content, diff, reason, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'open')",
                (now_us, author, path, base, content, diff, reason),
            )
            self._note(connection, now_us, author, "proposal made", f"{done.lastrowid}: {path}")
            return int(str(done.lastrowid))

    def proposals(self, state: str | None, before: int | None, limit: int) -> list[dict[str, Any]]:
        """Without their contents; the newest first."""
        rows = self._all(
            "SELECT id, made_at, author, path, reason, state, decided_at, decided_by, decision_reason FROM proposals"
            " WHERE (? IS NULL OR state = ?) AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?",
            state,
            state,
            before,
            before,
            limit,
        )
        return [dict(row) for row in rows]

    def proposal(self, number: int) -> dict[str, Any] | None:
        row = self._one("SELECT * FROM proposals WHERE id = ?", number)
        return None if row is None else dict(row)

    def decide_proposal(self, number: int, state: str, actor: str, reason: str, now_us: int) -> bool:
        """False: it is no longer open."""
        with self.transaction() as connection:
            done = connection.execute(
                "UPDATE proposals SET state = ?, decided_at = ?, decided_by = ?, decision_reason = ?"
                " WHERE id = ? AND state = 'open'",
                (state, now_us, actor, reason, number),
            )
            if done.rowcount:
                self._note(connection, now_us, actor, f"proposal {state}", str(number))
            return bool(done.rowcount)

    def changes(self, before_seq: int | None, limit: int) -> list[dict[str, Any]]:
        """Who changed accounts, tokens and proposals; the newest first."""
        rows = self._all(
            "SELECT * FROM changes WHERE ? IS NULL OR seq < ? ORDER BY seq DESC LIMIT ?", before_seq, before_seq, limit
        )
        return [dict(row) for row in rows]

    # -- inside

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """BEGIN IMMEDIATE; nothing of it stays when an exception leaves the block."""
        with self._lock, transaction(self._connection):
            yield self._connection

    def _note(self, connection: sqlite3.Connection, at_us: int, actor: str, what: str, about: str) -> None:
        connection.execute(
            "INSERT INTO changes (at, actor, what, about) VALUES (?, ?, ?, ?)", (at_us, actor, what, about)
        )

    def _one(self, statement: str, *values: object) -> sqlite3.Row | None:
        with self._lock:
            return self._connection.execute(statement, values).fetchone()

    def _all(self, statement: str, *values: object) -> Sequence[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()


def delay_s(failures: int) -> int:
    """How long a name is locked after so many failures in a row."""
    return 0 if failures < FREE_FAILURES else min(DELAY_MAX_S, 2 ** min(failures - FREE_FAILURES, 20))


def _columns(account: Account) -> tuple[object, ...]:
    scope = json.dumps(list(account.scope), ensure_ascii=False)
    about = (account.name, account.full_name, account.role, account.scope_kind, scope)
    return (*about, account.made_at, account.disabled_at)


def _account(row: sqlite3.Row) -> Account:
    own = {key: row[key] for key in ("name", "full_name", "role", "scope_kind", "made_at", "disabled_at")}
    return Account(**own, scope=tuple(json.loads(row["scope"])))
