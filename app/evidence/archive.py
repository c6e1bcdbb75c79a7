"""The archive as evidence: every part holds the rows of the spans it says it covers, of its date, and no others.

Promises: parts are compared by the content of their rows; memory is in the number of parts, not of rows.
Does not promise: to look at parts that a merged part supersedes, nor at those of a compaction that was cut short:
nobody reads them, and the next compaction removes them.
"""

import re
import tempfile
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from contracts import frames
from store.archive import TABLES, Part, uncovered
from store.parquet import write_parquet

from .derive import SPAN, Frames
from .link import Broken
from .rows import Bag, Bags, difference

LINK = "archive"
DAY = "_day"  # column: the civil date a row lies under
_PART = re.compile(r"part-(\d{12,})-(\d{12,})\.parquet")
_UNREADABLE = (
    pa.ArrowException,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    MemoryError,
)


@dataclass
class _Held:
    """A part that is read, and what it should hold."""

    table: str
    day: date
    part: Part
    expected: Bag = field(default_factory=Bag)

    @property
    def shown(self) -> str:
        return f"archive/{self.table}/{self.part.path.parent.name}/{self.part.path.name}"


class ArchiveEvidence:
    def __init__(self, directory: Path, archived_to: int, last_seq: int, bags: Bags):
        """archived_to: the last span that is in the archive; last_seq: the last one committed."""
        self._archived_to, self._bags = archived_to, bags
        self._unknown: set[int] = set()
        self._leftovers = 0
        self.notes: list[str] = []
        self._parts: dict[tuple[str, date], list[_Held]] = {}
        if archived_to > last_seq:
            raise Broken(LINK, "state.db", f"the archive goes to span {archived_to}, the last span is {last_seq}")
        for table in TABLES:
            for day in sorted((directory / table).glob("date=*")):
                self._add_day(table, day, last_seq)

    def _add_day(self, table: str, day: Path, last_seq: int) -> None:
        shown = f"archive/{table}/{day.name}"
        try:
            at = date.fromisoformat(day.name.removeprefix("date="))
        except ValueError as error:
            raise Broken(LINK, shown, "is not a date") from error
        named = ((_PART.fullmatch(path.name), path) for path in sorted(day.glob("*.parquet")))
        parts = []
        for name, path in named:
            if name is None:
                raise Broken(LINK, f"{shown}/{path.name}", "is not named like a part of the archive")
            parts.append(Part(int(name[1]), int(name[2]), path))
        for part in parts:
            if part.last > last_seq or part.first > part.last:
                said = f"says it covers spans {part.first} to {part.last}; the last span is {last_seq}"
                raise Broken(LINK, f"{shown}/{part.path.name}", said)
            if part.first <= self._archived_to < part.last:
                said = f"covers spans {part.first} to {part.last}; by state.db the archive goes to {self._archived_to}"
                raise Broken(LINK, f"{shown}/{part.path.name}", said)
        for part in (part for part in parts if part.first > self._archived_to):
            self._leftovers += 1
            if part.first != self._archived_to + 1:  # only the next compaction can have been cut short
                said = f"begins with span {part.first}; by state.db the archive goes to span {self._archived_to}"
                raise Broken(LINK, f"{shown}/{part.path.name}", said)
        read = sorted(
            (part for part in uncovered(parts) if part.first <= self._archived_to), key=lambda part: part.first
        )
        for one, other in pairwise(read):
            if other.first <= one.last:
                said = f"covers spans that {one.path.name} covers too: their rows are there twice"
                raise Broken(LINK, f"{shown}/{other.path.name}", said)
        self._parts[table, at] = [_Held(table, at, part) for part in read]

    def expect(self, rows: Frames, time_zone: str) -> None:
        """rows: of whole spans, each with its span. Raises Broken where a row belongs to no part."""
        for table, frame in rows.items():
            archived = with_day(table, frame.filter(pl.col(SPAN) <= self._archived_to), time_zone)
            for (day,), of_day in archived.partition_by(DAY, as_dict=True, include_key=False).items():
                self._expect_day(table, day, of_day)

    def _expect_day(self, table: str, day: object, rows: pl.DataFrame) -> None:
        assert isinstance(day, date)
        for (seq,), bag in self._bags.by(rows, [SPAN]).items():
            assert isinstance(seq, int)
            parts = self._parts.get((table, day), [])
            n = bisect_right(parts, seq, key=lambda one: one.part.first) - 1
            if n < 0 or parts[n].part.last < seq:
                said = f"no part covers span {seq}, which has {bag.rows} rows of that date"
                raise Broken(LINK, f"archive/{table}/date={day.isoformat()}", said)
            parts[n].expected += bag

    def skip(self, seq: int) -> None:
        """Nothing is known of the span's rows: its file was pruned, and nothing is derived."""
        self._unknown.add(seq)

    def finish(self, reread: Callable[[str, int, int], pl.DataFrame | None]) -> int:
        """Compares every part; returns how many. Raises Broken.

        reread: the rows a table has in a range of spans, with SPAN and DAY; None where they are not at hand.
        """
        compared, other_bytes, unknown = 0, [], sorted(self._unknown)
        left_out = 0
        for held in (one for parts in self._parts.values() for one in parts):
            if any(held.part.first <= seq <= held.part.last for seq in unknown):
                left_out += 1
                continue
            rows = _read(held)
            if self._bags.of(rows) != held.expected:
                raise Broken(LINK, held.shown, _said(held, rows, reread))
            if not _has_our_bytes(held, rows):
                _check_readable(held, rows)
                other_bytes.append(held.shown)
            compared += 1
        if self._leftovers:
            said = f"{self._leftovers} archive files after span {self._archived_to} were not compared"
            self.notes.append(f"{said}: a compaction is running, or was cut short")
        if left_out:
            self.notes.append(f"{left_out} archive files were not compared: span files they were made of were pruned")
        if other_bytes:
            self.notes.append(
                f"{len(other_bytes)} archive files hold the right rows in other bytes than this program writes: "
                f"another release wrote them, or their metadata were changed; first {other_bytes[0]}"
            )
        return compared


def with_day(table: str, rows: pl.DataFrame, time_zone: str) -> pl.DataFrame:
    civil = pl.coalesce(TABLES[table].at).dt.convert_time_zone(time_zone).dt.date()
    return rows.with_columns(civil.alias(DAY))


def _read(held: _Held) -> pl.DataFrame:
    """Through Arrow: its reader is hardened against damaged files."""
    schema = TABLES[held.table].schema
    sums = [name for name, dtype in schema.items() if dtype == pl.Int128]
    try:
        with pq.ParquetFile(held.part.path) as file:
            rows = pl.from_arrow(file.read())
        assert isinstance(rows, pl.DataFrame)
        return frames.check(rows.with_columns(pl.col(sums).cast(pl.Int128)), schema)
    except FileNotFoundError:
        raise Broken(LINK, held.shown, "is gone since this began; is the archive being merged? Verify again") from None
    except _UNREADABLE as error:
        raise Broken(LINK, held.shown, f"cannot be read: {error}") from error


def _has_our_bytes(held: _Held, rows: pl.DataFrame) -> bool:
    table = TABLES[held.table]
    with tempfile.TemporaryDirectory(prefix="greenisland-part-") as made:
        again = Path(made) / held.part.path.name
        write_parquet(rows, again, table.sort_by, table.schema)
        return again.read_bytes() == held.part.path.read_bytes()


def _check_readable(held: _Held, rows: pl.DataFrame) -> None:
    """A file in other bytes than ours must give the same rows to those who read it the usual way."""
    schema = TABLES[held.table].schema
    sums = [name for name, dtype in schema.items() if dtype == pl.Int128]
    try:
        found = pl.read_parquet(held.part.path, hive_partitioning=False).with_columns(pl.col(sums).cast(pl.Int128))
        said = difference(held.table, frames.check(found, schema), rows)
    except _UNREADABLE as error:
        raise Broken(LINK, held.shown, f"cannot be read: {error}") from error
    if said is not None:
        raise Broken(LINK, held.shown, f"does not give its rows to every reader: {said}")


def _said(held: _Held, rows: pl.DataFrame, reread: Callable[[str, int, int], pl.DataFrame | None]) -> str:
    spans = f"spans {held.part.first} to {held.part.last}"
    of_spans = reread(held.table, held.part.first, held.part.last)
    if of_spans is not None:
        mine = of_spans.filter(pl.col(DAY) == held.day).drop(DAY, SPAN)
        if (found := difference(held.table, rows, mine)) is not None:
            return f"is not what {spans} hold: {found}"
    return f"its {rows.height} rows are not the {held.expected.rows} that {spans} hold"
