"""Rejudging: what is done so far, on disk, so that one that was killed goes on where it stood.

Promises: a unit is there whole or not at all; a file that is not as it was written is made again; what was done for
other rules, another range or another state of the archive is not gone on with.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from store.parquet import make_directory, replacing

UNFINISHED = "unfinished"  # folder of --out; gone when all is done


@dataclass
class Parts:
    """Files of units, unit by unit in order, and what is to be remembered of each."""

    directory: Path
    made_for: str
    done: list[dict[str, object]] = field(default_factory=list)  # of a unit: `files` with their SHA-256, and notes

    @classmethod
    def open(cls, directory: Path, made_for: str) -> "Parts":
        """What is there already and whole; anything else is removed."""
        made = cls(directory, made_for)
        try:
            said = json.loads(made._manifest.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            said = {}
        if said.get("made_for") != made_for:
            shutil.rmtree(directory, ignore_errors=True)
            make_directory(directory)
            return made
        for one in said["done"]:
            if any(made._digest(name) != digest for name, digest in one["files"].items()):
                break
            made.done.append(one)
        return made

    @property
    def _manifest(self) -> Path:
        return self.directory / "done.json"

    def _digest(self, name: str) -> str | None:
        path = self.directory / name
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None

    def cut(self, units: int) -> None:
        """Forgets all but the first so many."""
        del self.done[units:]

    def frame(self, name: str, rows: pl.DataFrame) -> str:
        """Writes rows as they are, to be read once again: Arrow costs half of Parquet. Returns the name."""
        with replacing(self.directory / name) as temporary:
            rows.write_ipc(temporary, compression="lz4")
        return name

    def text(self, name: str, text: str) -> str:
        with replacing(self.directory / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return name

    def add(self, names: list[str], **notes: object) -> None:
        """A unit is done: its files are there."""
        self.done.append({"files": {name: self._digest(name) for name in names}, **notes})
        said = {"made_for": self.made_for, "done": self.done}
        with replacing(self._manifest) as temporary:
            temporary.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")

    def named(self, pattern: str) -> list[Path]:
        """Files of units that are done."""
        its = {str(name) for one in self.done for name in one["files"]}  # type: ignore[attr-defined]
        return sorted(path for path in self.directory.glob(pattern) if path.name in its)
