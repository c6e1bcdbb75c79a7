"""What the journals of a state directory hold, as one frame for a feed file.

Promises: every row of every collector's journal in the span asked for, the journal's own `$` rows included; nothing is
changed, and a collector may go on writing. Rows of sealed segments are read from `raw/`.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl

from contracts.frames import MESSAGES, empty
from contracts.instants import epoch_us
from store.journal_reader import read_after

ROWS_AT_ONCE = 100_000


class NoJournal(Exception):
    """The directory is no state directory, or no collector has run there."""


def collectors_in(state_dir: Path) -> dict[str, Path]:
    """Collector -> its journal's directory, by name. Raises NoJournal."""
    found = {path.name: path for path in sorted((state_dir / "journal").glob("*")) if path.is_dir()}
    if not found:
        raise NoJournal(f"{state_dir}: no collector has kept a journal here; give the --state of `greenisland run`")
    return found


def record(
    state_dir: Path,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, pl.DataFrame]:
    """MESSAGES by collector, received in [from_at, to_at). progress: told how many rows were read, again and again."""
    return {name: _rows(directory, from_at, to_at, progress) for name, directory in collectors_in(state_dir).items()}


def _rows(
    directory: Path, from_at: datetime | None, to_at: datetime | None, progress: Callable[[int], None]
) -> pl.DataFrame:
    after_us = -1 if from_at is None else epoch_us(from_at) - 1
    parts = [empty(MESSAGES)]
    while True:
        part = read_after(directory, after_us, ROWS_AT_ONCE)
        progress(part.height)
        kept = part if to_at is None else part.filter(pl.col("received_at") < to_at)
        parts.append(kept)
        if part.height < ROWS_AT_ONCE or kept.height < part.height:
            return pl.concat(parts)
        after_us = epoch_us(part["received_at"][-1])
