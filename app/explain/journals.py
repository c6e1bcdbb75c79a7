"""What the journals of a state directory give an explanation: messages of a stretch, and which site held when.

Promises: reads only; messages come in parts, in the engine's order, and no more than a part is held.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from contracts import topics
from contracts.instants import epoch_us
from contracts.records import decode
from store.operator_rows import own_rows

from ..evidence.journal import Rows
from ..feeds.record import collectors_in
from ..service.collector import journal_directory
from ..site.record import ACTIVATE


@dataclass(frozen=True)
class Activation:
    at: datetime  # the row's received_at
    sha256: str


def activations(state_dir: Path) -> list[Activation]:
    """Every site that came to hold, in order. Raises NoJournal, JournalFailure."""
    rows = []
    for directory in collectors_in(state_dir).values():
        own = own_rows(directory, directory.name).filter(pl.col("topic") == topics.JOURNAL_SITE)
        rows += own.select("received_at", "payload").rows()
    found: list[Activation] = []
    for at, payload in sorted(rows):
        try:
            record = decode(payload)
        except msgspec.DecodeError:
            continue  # it changes nothing: app.reloading says so
        if record.action == ACTIVATE and (not found or found[-1].sha256 != record.body["sha256"]):
            found.append(Activation(at, record.body["sha256"]))
    return found


def held_at(activated: list[Activation], at: datetime) -> str | None:
    """The site that held then; before the first one, that. None: the journals name none."""
    before = [one for one in activated if one.at <= at]
    return (before or activated[:1])[-1].sha256 if activated else None


def kept_file(state_dir: Path, sha256: str) -> Path:
    return state_dir / "sites" / f"{sha256}.json"


def messages(
    state_dir: Path, collectors: tuple[str, ...], from_at: datetime, to_at: datetime
) -> Iterator[pl.DataFrame]:
    """MESSAGES received in [from_at, to_at), part by part."""
    rows = Rows((journal_directory(state_dir, name) for name in collectors), after_us=epoch_us(from_at) - 1)
    while (part := rows.some(epoch_us(to_at) - 1)).height:
        yield part
