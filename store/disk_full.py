"""A full disk, told apart from every other failure: it passes when somebody makes room, so whoever meets it may wait.

Promises: what this calls a full disk was refused whole by the file system or by SQLite.
Does not promise that nothing half-written is left: that is for whoever wrote.
"""

import errno
import sqlite3

_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_SQLITE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)  # the second: no room for the index of its log
WRITE_FAILURES = (OSError, sqlite3.Error)  # what a writer of ours may raise, for any reason


def is_disk_full(error: BaseException) -> bool:
    """Whether the failure says that there is no room. A failed fsync for any other reason is no such thing."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in _SQLITE
    return isinstance(error, OSError) and error.errno in _ERRNOS
