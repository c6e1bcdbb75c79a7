"""SQLite files that are not what was written: told apart from every other failure, and named with their path.

Promises: whatever a statement or a fetch of a NamingConnection meets that only a damaged file gives is StateDamaged.
Does not promise that a damage is met: a changed byte inside a value is a value; `verify` finds that.
"""

import sqlite3
from typing import Any

_DAMAGE = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
)
_PRIMARY = 0xFF  # of an extended result code


class StateDamaged(sqlite3.DatabaseError):
    """state.db is not what was committed: names the file, and what to do."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether only a file that was changed from outside, or a disk that does not give it back, ends so."""
    code = getattr(error, "sqlite_errorcode", 0)  # errors of the module itself have none
    return code in _DAMAGE or code & _PRIMARY in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class _NamingCursor(sqlite3.Cursor):
    def execute(self, *args: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*args)
        except sqlite3.DatabaseError as error:
            self._name(error)
            raise

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        try:
            return super().executemany(*args)
        except sqlite3.DatabaseError as error:
            self._name(error)
            raise

    def fetchone(self) -> Any:
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            self._name(error)
            raise

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            self._name(error)
            raise

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except sqlite3.DatabaseError as error:
            self._name(error)
            raise

    def _name(self, error: sqlite3.DatabaseError) -> None:
        """Raises StateDamaged for what is a damage."""
        self.close()  # who keeps the error keeps this cursor, which would keep the file open
        if is_damage(error):
            raise StateDamaged(
                f"{self.connection.path} is damaged ({error}): stop everything, copy the state directory as it is,"
                " restore it from a backup"
            ) from error


class NamingConnection(sqlite3.Connection):
    """To be given to `sqlite3.connect` as its factory."""

    def __init__(self, database: Any, *args: Any, **kwargs: Any):
        self.path = database
        super().__init__(database, *args, **kwargs)

    def cursor(self, factory: type[sqlite3.Cursor] = _NamingCursor) -> sqlite3.Cursor:
        return super().cursor(factory)

    def execute(self, *args: Any) -> sqlite3.Cursor:
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        return self.cursor().executemany(*args)
