"""What is too old to be held in memory, put away behind a port: which pieces there are, not where they lie.

A piece is never changed: its name holds the hash of what is in it. What is new of a bucket becomes a layer over the
layers that are there, so that a late row of one station does not cost the packing of all others.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contracts.ports import PutAway

_HASH_DIGITS = 32


@dataclass
class InMemory:
    """contracts.ports.PutAway for short feeds."""

    held: dict[str, bytes] = field(default_factory=dict)

    def put(self, name: str, content: bytes) -> None:
        self.held[name] = content

    def get(self, name: str) -> bytes:
        return self.held[name]

    def has(self, names: Collection[str]) -> bool:
        return self.held.keys() >= set(names)


@dataclass
class Shelf:
    """target -> bucket start (us) -> names of its layers, oldest first."""

    away: PutAway = field(default_factory=InMemory)
    layers: dict[str, dict[int, tuple[str, ...]]] = field(default_factory=dict)

    def of(self, target: str) -> dict[int, tuple[str, ...]]:
        return self.layers.get(target, {})

    def get(self, target: str, bucket: int) -> list[bytes]:
        return [self.away.get(name) for name in self.of(target).get(bucket, ())]

    def add(self, target: str, bucket: int, content: bytes) -> int:
        """Puts a layer over those that are there; returns how many there are."""
        its = self.layers.setdefault(target, {})
        its[bucket] = (*its.get(bucket, ()), self._put(target, bucket, content))
        return len(its[bucket])

    def replace(self, target: str, bucket: int, content: bytes) -> None:
        self.layers.setdefault(target, {})[bucket] = (self._put(target, bucket, content),)

    def drop(self, target: str, ended_before_us: int, size_us: int) -> None:
        its = self.of(target)
        for bucket in [b for b in its if b + size_us <= ended_before_us]:
            del its[bucket]

    def names(self) -> set[str]:
        return {name for its in self.layers.values() for names in its.values() for name in names}

    def _put(self, target: str, bucket: int, content: bytes) -> str:
        from_at = datetime.fromtimestamp(bucket / 1_000_000, UTC)
        digest = hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]
        name = f"{target.replace('!', '-own')}/{from_at:%Y%m%dT%H%M%SZ}-{digest}"
        self.away.put(name, content)
        return name
