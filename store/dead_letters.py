"""Dead letters: lines a server refused, with its words, in a file that does not grow without end.

Promises: what is added is there whole and durable, or OSError is raised and nothing of it is; what the bound has no
room for is counted, durably, in a file beside it.
Does not promise that a line is there once only: a kill may make it added again.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from .parquet import fsync, replacing

BYTES_MAX = 64 * 1024 * 1024
OVERFLOW_SUFFIX = ".overflow.json"


class DeadLetters:
    """The one writer of a file of JSON lines."""

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX):
        self._path, self._bytes_max = path, bytes_max

    def add(self, letters: Sequence[dict[str, object]]) -> int:
        """Puts them aside. Returns how many were only counted, for want of room within the bound."""
        if not letters:
            return 0
        texts = [json.dumps(letter, ensure_ascii=False).encode() + b"\n" for letter in letters]
        with self._path.open("ab", buffering=0) as file:
            end = _whole_bytes(self._path)
            file.truncate(end)
            kept = _that_fit(texts, self._bytes_max - end)
            try:
                rest = memoryview(b"".join(texts[:kept]))
                while rest:  # a disk that becomes full takes a part first
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
        fsync(self._path.parent)
        self._count(letters[kept:])
        return len(letters) - kept

    def _count(self, letters: Sequence[dict[str, object]]) -> None:
        if letters:
            before = left_out(self._path)
            with replacing(overflow_file(self._path)) as temporary:
                about = {"lines": before + len(letters), "last": letters[-1]}
                temporary.write_text(json.dumps(about, ensure_ascii=False) + "\n", encoding="utf-8")


def overflow_file(path: Path) -> Path:
    return path.with_name(path.name + OVERFLOW_SUFFIX)


def left_out(path: Path) -> int:
    """How many lines were only counted."""
    overflow = overflow_file(path)
    return int(json.loads(overflow.read_text(encoding="utf-8"))["lines"]) if overflow.exists() else 0


def _whole_bytes(path: Path) -> int:
    """Where the last whole line ends: a kill may have left a half one."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while size:
            from_byte = max(0, size - 65_536)
            file.seek(from_byte)
            if (at := file.read(size - from_byte).rfind(b"\n")) >= 0:
                return from_byte + at + 1
            size = from_byte
    return 0


def _that_fit(texts: Sequence[bytes], room_bytes: int) -> int:
    for n, text in enumerate(texts):
        room_bytes -= len(text)
        if room_bytes < 0:
            return n
    return len(texts)
