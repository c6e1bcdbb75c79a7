"""How fast a state directory grows, and when its disk is full: from the files themselves, by what they hold of the last
24 hours of the site's clock.

Promises: no knob and no second reading later is needed. Files that straddle the beginning count by their share.
Does not promise: that tomorrow is like today; nor anything for a centre younger than an hour.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from contracts.instants import epoch_us
from store.archive import kept_parts
from store.journal import segment_paths
from store.raw_files import raw_directory, raw_files

DAY = timedelta(hours=24)
YOUNGEST = timedelta(hours=1)
SHOWN_MAX = timedelta(days=36_500)


@dataclass(frozen=True)
class LastDay:
    """What the forecast needs to know of the spans."""

    began_at: datetime  # receipt of the first row ever decided
    ends_at: datetime  # receipt of the last one
    first_seq: int  # first and last span of the last 24 hours of the site's clock
    last_seq: int

    @property
    def taken_over(self) -> timedelta:
        return min(DAY, self.ends_at - self.began_at)


@dataclass(frozen=True)
class Growth:
    """Bytes a day that stay: sealed and open journals, the archive, state.db. Spans and checkpoints come and go."""

    bytes_per_day: dict[str, int]
    taken_over: timedelta

    def full_in(self, free_bytes: int) -> timedelta | None:
        """None: not within any time that matters."""
        per_day = sum(self.bytes_per_day.values())
        days = free_bytes / per_day if per_day > 0 else float("inf")
        return timedelta(days=days) if days < SHOWN_MAX / timedelta(days=1) else None


def growth(state_dir: Path, journals: Iterable[Path], day: LastDay) -> Growth | None:
    """journals: their directories. None for a centre younger than an hour."""
    if day.taken_over < YOUNGEST:
        return None
    to_us = epoch_us(day.ends_at)
    from_us = to_us - DAY // timedelta(microseconds=1)
    held = {"journal": 0.0, "archive": 0.0, "state.db": 0.0}
    for journal in journals:
        sealed = raw_files(raw_directory(journal))
        held["journal"] += sum(_bytes(one.path) * _share(one.first_us, one.last_us, from_us, to_us) for one in sealed)
        # what is not sealed goes on where the sealed files end
        begins_us = sealed[-1].last_us if sealed else epoch_us(day.began_at)
        held["journal"] += sum(map(_bytes, segment_paths(journal))) * _share(begins_us, to_us, from_us, to_us)
    for part in kept_parts(state_dir / "archive"):
        held["archive"] += _bytes(part.path) * _share(part.first, part.last + 1, day.first_seq, day.last_seq + 1)
    # its rows are the spans' for the most part
    held["state.db"] += _bytes(state_dir / "state.db") * _share(1, day.last_seq + 1, day.first_seq, day.last_seq + 1)
    per_day = DAY / day.taken_over
    return Growth({name: round(n * per_day) for name, n in held.items()}, day.taken_over)


def _share(first: int, last: int, from_: int, to: int) -> float:
    """How much of [first, last] lies in [from, to]."""
    if last <= first:
        return float(from_ <= first <= to)
    return max(0, min(last, to) - max(first, from_)) / (last - first)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512  # what it takes, not what it holds
    except FileNotFoundError:  # sealed, merged or pruned meanwhile
        return 0
