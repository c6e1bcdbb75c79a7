"""A database of this program: opened so that what is committed is durable, its tables brought to this release's.

Promises: a migration is whole or changes nothing; a file of a newer release is not touched.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .sqlite_damage import NamingConnection


def open_tables(
    path: Path,
    migrations: Sequence[Sequence[str]],
    failure: type[Exception],
    *,
    busy_timeout_s: float,
    check_same_thread: bool = True,
) -> sqlite3.Connection:
    """In write-ahead mode, every commit synced, rows by name, transactions begun by `transaction` alone.

    migrations: statements by version; those that have shipped are never edited. Raises sqlite3.Error, and `failure`
    for a file of a newer release.
    """
    connection = sqlite3.connect(
        path,
        timeout=busy_timeout_s,
        isolation_level=None,
        factory=NamingConnection,
        check_same_thread=check_same_thread,
    )
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, path, migrations, failure)
    except (sqlite3.Error, failure):
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """BEGIN IMMEDIATE: waits for the lock here, so that nothing read inside is stale when it is written.

    Nothing of it stays when an exception leaves the block.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _migrate(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]], failure: type[Exception]
) -> None:
    if _version(connection) == len(migrations):
        return  # the usual case takes no lock
    with transaction(connection):
        version = _version(connection)  # again: another process may have migrated meanwhile
        if version > len(migrations):
            raise failure(
                f"{path}: has version {version}, this program knows {len(migrations)}: it was written by a newer"
                f" release. Install that release, or restore the {path.name} kept before the upgrade."
            )
        for statements in migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]
