"""The journal's own rows, few among millions: operators' records, and the clock as it stood when they came.

Promises: every `$` row that is no clock row; of the clock the first row, and the last one not later than each of these
rows and than each instant asked for. From them `rules.ticks.stamp` gives a record the tick it gives it among all rows.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from contracts.frames import INSTANT, MESSAGES, empty
from contracts.instants import epoch_us
from contracts.ports import JournalFailure
from contracts.topics import JOURNAL_CLOCK

from .journal import segment_paths
from .journal_reader import read_after
from .journal_segment import SegmentGone, reading
from .raw_files import RawFile, raw_directory, raw_files, read_about

ROWS_AT_ONCE = 200_000

UpTo = tuple[int, int]


def own_rows(directory: Path, collector: str, instants: Sequence[int] = (), rows: int = ROWS_AT_ONCE) -> pl.DataFrame:
    """MESSAGES of one collector's journal, in order. instants: us since 1970 UTC.

    Sealed files whose metadata name no record are passed over, so long as no instant lies in them.
    """
    clock_topic = JOURNAL_CLOCK.format(collector=collector)
    asked = pl.Series("received_at", sorted(instants), dtype=pl.Int64).cast(INSTANT).to_frame()
    kept, clock = [empty(MESSAGES)], empty(MESSAGES)  # clock: its last row so far
    for part in _parts(directory, clock_topic, asked, rows):
        is_clock = pl.col("topic") == clock_topic
        others = part.filter(~is_clock)
        clocks = pl.concat([clock, part.filter(is_clock)])
        if clock.is_empty():
            kept.append(clocks.head(1))
        wanted = pl.concat([asked, others.select("received_at")]).sort("received_at")
        before = wanted.join_asof(clocks.select("received_at", shown="received_at"), on="received_at")["shown"]
        kept += [others, clocks.filter(pl.col("received_at").is_in(before.drop_nulls().unique().implode()))]
        clock = clocks.tail(1)
    return pl.concat(kept).unique().sort("received_at", "source", "topic", "payload")


def own_up_to(directory: Path, topic: str) -> UpTo:
    """received_at (us) of the newest row of a `$` topic in the segments that are open, and of all that is sealed.

    Found by the journal's index and by names: while it stays the same there was no such row. Raises sqlite3.Error,
    JournalFailure.
    """
    sealed = raw_files(raw_directory(directory))
    sealed_us = sealed[-1].last_us if sealed else 0
    for path in reversed(segment_paths(directory)):
        try:
            with reading(path) as segment:
                if row := segment.last_of(topic):
                    return int(row[0]), sealed_us
        except SegmentGone:  # sealed meanwhile: the next look finds it so
            continue
    return 0, sealed_us


def _parts(directory: Path, clock_topic: str, asked: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    """`$` rows in order, in parts; of a file that is passed over its last clock row."""
    after_us = -1
    for file in raw_files(raw_directory(directory)):
        if file.last_us <= after_us:
            continue
        passed_over = _without_records(file, clock_topic, asked)
        if passed_over is None:
            continue  # its time had come while we looked
        if passed_over.is_empty():
            yield from _read(directory, after_us, file.last_us, rows)
        else:
            yield passed_over
        after_us = file.last_us
    yield from _read(directory, after_us, None, rows)


def _read(directory: Path, after_us: int, to_us: int | None, rows: int) -> Iterator[pl.DataFrame]:
    while True:
        part = read_after(directory, after_us, rows)
        if part.is_empty():
            return
        if to_us is not None:
            part = part.filter(pl.col("received_at").dt.epoch("us") <= to_us)
        yield part.filter(pl.col("topic").str.starts_with("$"))
        if part.height < rows:
            return
        after_us = epoch_us(part["received_at"][-1])


def _without_records(file: RawFile, clock_topic: str, asked: pl.DataFrame) -> pl.DataFrame | None:
    """Its last clock row as its metadata have it, where it may be passed over; no row where it must be read."""
    try:
        own = read_about(file.path).own
    except JournalFailure:
        if file.path.exists():
            raise
        return None
    at = asked["received_at"].dt.epoch("us")
    if set(own) != {clock_topic} or at.is_between(file.first_us, file.last_us).any():
        return empty(MESSAGES)
    row = {"received_at": file.last_us, "source": "mqtt", "topic": clock_topic, "payload": own[clock_topic]}
    return pl.DataFrame(row, schema={**MESSAGES, "received_at": pl.Int64}).with_columns(
        pl.col("received_at").cast(INSTANT)
    )
