"""The folder of what the windows have put away: pieces that are never changed, each named by the hash of its content.

Promises: what `flush` has written is there whole and durable; a piece that does not match its hash raises and is never
used. Nothing is written before `flush`, so that a full disk stops no decision half-way. One process uses a folder.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from .parquet import TEMPORARY, fsync, make_directory, unlink_durably

_DAMAGED = ".damaged"
PENDING_BYTES_MAX = 32 * 1024 * 1024  # then `flush` is due, whether there is a checkpoint or not


class PieceDamaged(RuntimeError):
    """A piece is not what was put away. It is moved aside, so that no checkpoint that names it is used again."""


@dataclass
class Folder:
    """contracts.ports.PutAway."""

    directory: Path
    is_kept: bool = True  # false: pieces are written at once and need not survive a power failure
    pending: dict[str, bytes] = field(default_factory=dict)
    pending_bytes: int = 0

    def put(self, name: str, content: bytes) -> None:
        path = self._path(name)
        if name in self.pending or (path.exists() and path.read_bytes() == content):
            return  # decided again; a file that was damaged meanwhile is replaced
        if not self.is_kept:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(path.name + TEMPORARY).write_bytes(content)
            path.with_name(path.name + TEMPORARY).replace(path)
            return
        self.pending[name] = content
        self.pending_bytes += len(content)

    def get(self, name: str) -> bytes:
        if name in self.pending:
            return self.pending[name]
        path = self._path(name)
        content = path.read_bytes()
        if not hashlib.sha256(content).hexdigest().startswith(name.rsplit("-", 1)[1]):
            path.rename(path.with_name(path.name + _DAMAGED))
            raise PieceDamaged(
                f"{path} is not what was put away there: it is moved aside as {path.name}{_DAMAGED}; start again, and "
                "the engine decides the journal from the latest checkpoint that does without it, or from its beginning"
            )
        return content

    def has(self, names: Collection[str]) -> bool:
        return not set(names) - self._there() - self.pending.keys()

    def flush(self, named: Collection[str] | None = None) -> None:
        """Writes what is pending and still named (None: all of it), durably, and lets go of the rest.

        Raises OSError, as on a full disk: then all of it stays pending.
        """
        folders = set()
        for name in self.pending if named is None else self.pending.keys() & set(named):
            path = self._path(name)
            make_directory(path.parent)
            temporary = path.with_name(path.name + TEMPORARY)
            temporary.write_bytes(self.pending[name])
            fsync(temporary)
            temporary.replace(path)
            folders.add(path.parent)
        for folder in folders:
            fsync(folder)
        self.pending, self.pending_bytes = {}, 0

    def sweep(self, named: Collection[str]) -> int:
        """Removes every file but those of the names. Returns how many."""
        unnamed = self._there() - set(named)
        unlink_durably(self._path(name) for name in unnamed)
        return len(unnamed)

    def __deepcopy__(self, memo: dict) -> "Folder":
        return self  # pieces never change: a copy of a state may share them

    def _there(self) -> set[str]:
        return {f"{path.parent.name}/{path.name}" for path in self.directory.glob("*/*")}

    def _path(self, name: str) -> Path:
        return self.directory / name
