"""People's facts as the journals of a state directory hold them, each with the tick from which it may be used.

Promises: reads only; the same known_at as the engine gives (`rules.ticks.stamp`), for a record of any collector.
"""

from pathlib import Path

import polars as pl

from contracts.frames import MESSAGES, empty
from contracts.instants import epoch_us
from contracts.site import Site
from contracts.topics import JOURNAL_CLOCK, JOURNAL_OPERATOR
from rules.facts.records import facts_of
from rules.ticks import SiteClock, stamp
from store.operator_rows import UpTo, own_rows, own_up_to

from ..service.collector import journal_directory


def read_facts(state_dir: Path, site: Site) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(contracts.facts.FACTS, frames.REJECTS of records that cannot be read) of all the site's collectors."""
    directories = {
        name: directory for name in site.file.collectors if (directory := journal_directory(state_dir, name)).is_dir()
    }
    found = {name: own_rows(directory, name) for name, directory in directories.items()}
    if len(found) > 1:
        instants = _instants(found)  # where every collector's clock must be known
        found = {name: own_rows(directory, name, instants) for name, directory in directories.items()}
    rows = pl.concat([empty(MESSAGES), *found.values()]).sort("received_at", "source", "topic", "payload")
    stamped, _ = stamp(rows, SiteClock(site.file.collectors))
    return facts_of(stamped)


def said_up_to(state_dir: Path, site: Site) -> tuple[UpTo, ...]:
    """While it stays the same nobody has said anything, and `read_facts` gives the same.

    Raises sqlite3.Error, JournalFailure.
    """
    return tuple(own_up_to(journal_directory(state_dir, name), JOURNAL_OPERATOR) for name in site.file.collectors)


def _instants(found: dict[str, pl.DataFrame]) -> list[int]:
    """When records came, and when the last collector spoke for the first time."""
    clocks = [rows.filter(pl.col("topic") == JOURNAL_CLOCK.format(collector=name)) for name, rows in found.items()]
    first = [rows["received_at"][0] for rows in clocks if rows.height]
    records = pl.concat(found.values()).filter(~pl.col("topic").str.starts_with(JOURNAL_CLOCK.format(collector="")))
    return sorted({*map(epoch_us, records["received_at"]), *([epoch_us(max(first))] if first else [])})
