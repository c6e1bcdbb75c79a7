"""A copy of a state directory that a centre can go on from, taken while it runs; and putting it back.

Promises: a copy is complete (its manifest, written last, has every file's hash) or has no manifest; its journals reach
at least as far as its state.db, and every span file state.db names is in it; no file of it, and none that is put back,
may ever be read by more people than the one it is a copy of.
Does not promise: what was acknowledged after the copy was begun; the site's own directory, which lives elsewhere.
"""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from .journal import segment_paths
from .parquet import TEMPORARY, fsync, make_directory, replacing, unlink_durably
from .state_lock import ARCHIVE, UPKEEP, state_lock

MANIFEST = "backup.json"
VERSION = 1
STATE_DB = "state.db"
CHECKPOINTS, JOURNAL, SPANS = "checkpoints", "journal", "spans"
RESTORING = "restoring" + TEMPORARY  # what is put back, until all of it is there

_SKIPPED = {ARCHIVE, UPKEEP, "lock"}
_SQLITE_FILES = ("-wal", "-shm", "-journal")
_BLOCK_BYTES = 1 << 20


class BackupRefused(Exception):
    """Nothing was copied, or what was copied is no backup; the message says why and what to do."""


@dataclass(frozen=True)
class Copied:
    files: int
    bytes: int
    linked: int  # of the files: taken over from an earlier backup
    cursor_us: int  # received_at of the last journal row whose decisions are in it; 0: none yet


@dataclass
class _Copy:
    """A copy in the making."""

    state: Path
    out: Path
    previous: Path | None
    known: dict[str, dict]  # files of the previous backup
    told: Callable[[int], None]
    files: dict[str, dict]
    linked: int = 0

    def add(self, path: Path) -> None:
        """A file that is never changed in place."""
        name = path.relative_to(self.state).as_posix()
        target, status = self.out / name, path.stat()
        made_at, known = status.st_mtime_ns, self.known.get(name)
        make_directory(target.parent)
        if known and self.previous and (known["bytes"], known.get("mtime_ns")) == (status.st_size, made_at):
            with suppress(OSError):  # it is not there, or on another file system: copied then
                os.link(self.previous / name, target)
                self.files[name] = known
                self.linked += 1
                self.told(status.st_size)
                return
        digest = _copy(path, target, self.told)
        self.files[name] = {"bytes": target.stat().st_size, "sha256": digest, "mtime_ns": made_at}

    def add_database(self, path: Path) -> None:
        """A database that may be written meanwhile: all of it as it stood at one moment."""
        name = path.relative_to(self.state).as_posix()
        target = self.out / name
        make_directory(target.parent)
        _make_private(target)
        with closing(_read_only(path)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file; whoever opens it to write chooses for itself
        shutil.copymode(path, target)
        fsync(target)
        self.files[name] = {"bytes": target.stat().st_size, "sha256": _sha256(target)}
        self.told(self.files[name]["bytes"])


def back_up(
    state_dir: Path,
    out: Path,
    now: datetime,
    *,
    previous: Path | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> Copied:
    """Copies the state directory to `out`, which must be absent or empty. Stops nobody: sealing and pruning wait.

    previous: a complete backup on the same file system; files that did not change since are linked from it, not copied.
    told: how many bytes were copied, again and again. Raises BackupRefused.
    """
    if not (state_dir / STATE_DB).is_file():
        raise BackupRefused(f"{state_dir} is not a state directory: there is no {STATE_DB} in it")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BackupRefused(f"{out} is not an empty directory; a backup goes into one of its own")
    if out.resolve().is_relative_to(state_dir.resolve()) or state_dir.resolve().is_relative_to(out.resolve()):
        raise BackupRefused(f"{out} and {state_dir}: one lies inside the other")
    known = {} if previous is None else read_manifest(previous)["files"]
    make_directory(out)
    with state_lock(state_dir, UPKEEP):  # nothing is sealed, pruned, merged or expired until the copy is there
        copy = _Copy(state_dir, out, previous, known, told, {})
        _copy_vanishing(copy, state_dir / CHECKPOINTS)  # before state.db: a later checkpoint would not be used with it
        copy.add_database(state_dir / STATE_DB)
        cursor_us = _copy_spans(copy)
        # After state.db: a journal only grows, so the copy reaches what was decided. Segments listed now hold all that.
        for collector in sorted(path for path in (state_dir / JOURNAL).glob("*") if path.is_dir()):
            for segment in segment_paths(collector):
                copy.add_database(segment)
        for path in sorted(state_dir.iterdir()):
            if path.name in (CHECKPOINTS, STATE_DB, JOURNAL, SPANS):
                continue
            _copy_vanishing(copy, path)
    _fsync_folders(out)
    _write_manifest(copy, now, cursor_us)
    return Copied(len(copy.files), sum(file["bytes"] for file in copy.files.values()), copy.linked, cursor_us)


def restore(source: Path, state_dir: Path, *, told: Callable[[int], None] = lambda _: None) -> Copied:
    """Puts a backup into a state directory that is absent or empty, every file checked against its hash.

    Until all is there nothing of it stands under its own name, state.db comes last. Raises BackupRefused.
    """
    manifest = read_manifest(source)
    if state_dir.exists() and (not state_dir.is_dir() or {path.name for path in state_dir.iterdir()} - {RESTORING}):
        raise BackupRefused(f"{state_dir} is not an empty directory; move away what is there first, do not mix them")
    made = state_dir / RESTORING
    if made.exists():  # an earlier one that was cut short
        shutil.rmtree(made)
    make_directory(made)
    for name, file in sorted(manifest["files"].items()):
        target = made / name
        make_directory(target.parent)
        try:
            digest = _copy(source / name, target, told)
        except OSError as error:
            raise BackupRefused(f"{source / name}: cannot be copied: {error}") from error
        if digest != file["sha256"]:
            raise BackupRefused(f"{source / name} is not what was backed up: its hash differs; use another backup")
    _fsync_folders(made)
    for path in sorted(made.iterdir(), key=lambda path: (path.name == STATE_DB, path.name)):
        path.replace(state_dir / path.name)
    made.rmdir()
    unlink_durably([made])
    size = sum(file["bytes"] for file in manifest["files"].values())
    return Copied(len(manifest["files"]), size, 0, manifest["cursor_us"])


def read_manifest(backup: Path) -> dict:
    """Raises BackupRefused where there is none, which is so of every copy that was cut short."""
    path = backup / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["version"]
    except FileNotFoundError:
        raise BackupRefused(f"{backup} is not a complete backup: there is no {MANIFEST} in it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BackupRefused(f"{path} is damaged: {error}") from error
    if version != VERSION:
        raise BackupRefused(f"{path}: its version is {version}; this program reads {VERSION}")
    return manifest


def _copy_spans(copy: _Copy) -> int:
    """The span files the copied state.db names; those of later spans are not part of it. Returns its cursor."""
    with closing(_read_only(copy.out / STATE_DB)) as connection:
        named = connection.execute("SELECT file FROM spans WHERE file IS NOT NULL ORDER BY seq").fetchall()
        last = connection.execute("SELECT journal_to FROM spans ORDER BY seq DESC LIMIT 1").fetchone()
    for (name,) in named:
        path = copy.state / SPANS / name
        if not path.is_file():
            raise BackupRefused(f"{path} is gone, though {STATE_DB} names it; `greenisland status` has more")
        copy.add(path)
    return 0 if last is None else last[0]


def _copy_vanishing(copy: _Copy, path: Path) -> None:
    """Everything below; what goes meanwhile was an old checkpoint or what an unfinished compaction left."""
    for file in _files(path):
        try:
            if file.suffix == ".db":
                copy.add_database(file)
            else:
                copy.add(file)
        except FileNotFoundError:
            continue


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in sorted(names):
                yield from _files(Path(folder) / name)
    elif path.is_file() and path.name not in _SKIPPED and not path.name.endswith((TEMPORARY, *_SQLITE_FILES)):
        yield path


def _write_manifest(copy: _Copy, now: datetime, cursor_us: int) -> None:
    manifest = {"version": VERSION, "taken_at": now.isoformat(), "cursor_us": cursor_us, "files": copy.files}
    with replacing(copy.out / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")


def _copy(path: Path, target: Path, told: Callable[[int], None]) -> str:
    """Durably, with its time of change; returns the SHA-256 of what was written."""
    digest = hashlib.sha256()
    _make_private(target)
    with path.open("rb") as source, target.open("wb") as copy:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            copy.write(block)
            told(len(block))
        copy.flush()
        os.fsync(copy.fileno())
    shutil.copystat(path, target)
    return digest.hexdigest()


def _make_private(path: Path) -> None:
    """Nobody else reads what is not all there yet; who may read it then is as it is for what it is a copy of."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)


def _fsync_folders(root: Path) -> None:
    """The names in them survive a power failure only after this."""
    for folder, _, _ in os.walk(root):
        fsync(Path(folder))
