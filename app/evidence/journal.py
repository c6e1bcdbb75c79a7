"""The journals as evidence: chains, heads, the sites they name, and their rows in the order the engine took them.

Promises: every journal is checked from its first batch to its last before a row of it is used; nothing is changed.
"""

import sqlite3
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from contracts import topics
from contracts.frames import MESSAGES, empty
from contracts.ports import JournalFailure
from contracts.records import decode
from store.journal import CHAIN_START, epoch_us, segment_number, segment_paths
from store.journal_reader import read_after, verify_chain
from store.journal_schema import ChainEnd
from store.journal_segment import reading
from store.raw_files import raw_batches, raw_directory, raw_files, read_about, read_removed

from .link import Broken, instant, short

LINK = "journal"
ROWS_AT_ONCE = 50_000

# what reading a file that SQLite takes for whole, and that is not, can end with
_UNREADABLE = (sqlite3.Error, JournalFailure, OverflowError, struct.error, TypeError, AttributeError, ValueError)


@dataclass(frozen=True)
class Head:
    """Where a journal's chain stood after a batch."""

    segment: str
    seq: int
    received_at: int  # us, of the batch's last row
    chain: str


@dataclass(frozen=True)
class Journal:
    collector: str
    directory: Path
    head: Head | None  # null: nothing was ever written
    rows: int
    sites: list[tuple[int, str]]  # received_at, sha256 of every $site row
    removed_to: int | None  # received_at of the last row that was removed after its time; null: all is there


def check_journals(state_dir: Path, progress: Callable[[int], None]) -> dict[str, Journal]:
    """Every collector's journal, its chain verified. Raises Broken.

    progress: told how many rows were read, again and again.
    """
    directories = sorted(path for path in (state_dir / "journal").glob("*") if path.is_dir())
    if not directories:
        raise Broken(LINK, "journal/", "no collector has kept a journal here; is --state a state directory?")
    return {directory.name: _check(directory, progress) for directory in directories}


def _check(directory: Path, progress: Callable[[int], None]) -> Journal:
    shown = f"journal/{directory.name}"
    if not segment_paths(directory):
        raise Broken(LINK, shown, "holds no segment (journal-*.db)")
    try:
        broken = verify_chain(directory)
        pieces = _pieces(directory)
        removed = read_removed(raw_directory(directory))
    except (TypeError, AttributeError, struct.error) as error:
        raise Broken(LINK, shown, f"a value in it is not of its column's kind: {error}") from error
    except _UNREADABLE as error:
        raise Broken(LINK, shown, f"cannot be read: {error}") from error
    if broken is not None:
        batch = "" if broken.seq is None else f", batch {broken.seq}"
        raise Broken(LINK, f"{_shown(broken.segment)}{batch}", broken.detail)
    for piece in pieces:
        if piece.collector != directory.name:
            said = f"is of collector {piece.collector!r}; this is the journal of {directory.name!r}"
            raise Broken(LINK, _shown(piece.path), said)
    before = removed[-1].end if removed else ChainEnd(CHAIN_START, 0, 0)
    if pieces[0].began.seq > before.seq or (not removed and pieces[0].began != before):
        said = f"continues batch {pieces[0].began.seq}, and what came before it is missing"
        raise Broken(LINK, _shown(pieces[0].path), said)
    sealed = [piece for piece in pieces if piece.sealed_rows is not None]
    sealed_us = sealed[-1].end.received_us if sealed else 0
    rows, sealed_n, sites, at_us = 0, 0, [], -1
    try:
        while (part := read_after(directory, at_us, ROWS_AT_ONCE)).height:
            rows, at_us = rows + part.height, epoch_us(part["received_at"][-1])
            sealed_n += int((part["received_at"].to_physical() <= sealed_us).sum())
            sites += _sites(part, shown)
            progress(part.height)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise Broken(LINK, f"raw/{directory.name}", f"a sealed segment cannot be read: {error}") from error
    # what was checked was read in another way: statistics in a file's end can hide rows from a query
    if sealed_n != (expected := sum(piece.sealed_rows or 0 for piece in sealed)):
        said = f"{sealed_n} rows can be found in the sealed segments, and {expected} are there"
        raise Broken(LINK, f"raw/{directory.name}", said)
    removed_to = pieces[0].began.received_us if pieces[0].began.seq else None
    return Journal(directory.name, directory, _head(pieces), rows, sites, removed_to)


@dataclass(frozen=True)
class _Piece:
    """A segment or a sealed file, and what no chain covers: whose it is."""

    path: Path
    collector: str
    began: ChainEnd
    end: ChainEnd
    sealed_rows: int | None  # null: a segment that is not sealed


def _pieces(directory: Path) -> list[_Piece]:
    """Oldest first; of a segment whose sealing was cut short, the segment."""
    pieces = {}
    for file in raw_files(raw_directory(directory)):
        about = read_about(file.path)
        pieces[file.number] = _Piece(file.path, about.collector, about.began, about.end, about.rows)
    for path in segment_paths(directory):
        with reading(path) as segment:
            piece = _Piece(path, segment.collector, segment.began, segment.end, None)
        pieces[segment_number(path)] = piece
    return [pieces[number] for number in sorted(pieces)]


def _shown(path: Path) -> str:
    """Below the state directory: journal/<collector>/<file> or raw/<collector>/<file>."""
    return path.relative_to(path.parents[2]).as_posix()


def _sites(part: pl.DataFrame, shown: str) -> list[tuple[int, str]]:
    found = []
    for at, payload in part.filter(topic=topics.JOURNAL_SITE).select("received_at", "payload").iter_rows():
        try:
            found.append((epoch_us(at), decode(payload).body["sha256"]))
        except (msgspec.DecodeError, KeyError) as error:
            raise Broken(LINK, shown, f"the $site row of {instant(epoch_us(at))} cannot be read: {error}") from error
    return found


def _head(pieces: list[_Piece]) -> Head | None:
    for piece in reversed(pieces):
        if piece.end.seq > piece.began.seq:
            return Head(piece.path.name, piece.end.seq, piece.end.received_us, piece.end.chain.hex())
    return None


def chain_at(directory: Path, seq: int) -> Head | None:
    """The chain after a batch; None where the journal has no such batch, or no more."""
    for piece in _pieces(directory):
        if piece.began.seq < seq <= piece.end.seq:
            return _chain_in(piece, seq)
    for row in read_removed(raw_directory(directory)):
        if row.end.seq == seq:
            return Head(f"segment {row.number}", seq, row.end.received_us, row.end.chain.hex())
    return None


def _chain_in(piece: _Piece, seq: int) -> Head | None:
    if piece.path.suffix == ".parquet":
        found = ((rows[-1][0], chain) for its, rows, chain in raw_batches(piece.path) if its == seq)
        row = next(found, None)
    else:
        with reading(piece.path) as segment:
            end = segment.chain_after(seq)
        row = end and (end.received_us, end.chain)
    return Head(piece.path.name, seq, row[0], (row[1] or b"").hex()) if row else None


def activated(journals: Iterable[Journal]) -> list[tuple[int, str]]:
    """Sites in the order they were activated; one that is named again, by another collector or after a restart, once
    for as long as it stays."""
    rows = sorted(row for journal in journals for row in journal.sites)
    return [row for n, row in enumerate(rows) if n == 0 or rows[n - 1][1] != row[1]]


class Rows:
    """The rows of several journals in the engine's order, each read once: those received after an instant (us)."""

    def __init__(self, directories: Iterable[Path], after_us: int = 0):
        self._held = {directory: empty(MESSAGES) for directory in directories}
        self._read_to = dict.fromkeys(self._held, after_us)
        self._ended: set[Path] = set()

    def some(self, to_us: int) -> pl.DataFrame:
        """The next MESSAGES, as many as are at hand, none after the instant; empty at the end."""
        for directory, held in self._held.items():
            if held.is_empty() and directory not in self._ended:
                self._read_more(directory)
        at_hand = [at for directory, at in self._read_to.items() if directory not in self._ended]
        return self.upto(min([to_us, *at_hand]))

    def upto(self, to_us: int) -> pl.DataFrame:
        """MESSAGES after those given before, up to an instant and with it."""
        parts = [empty(MESSAGES)]
        for directory in self._held:
            while self._read_to[directory] < to_us and directory not in self._ended:
                self._read_more(directory)
            held = self._held[directory]
            n = int(held["received_at"].to_physical().search_sorted(to_us, side="right"))  # type: ignore[arg-type]
            parts.append(held[:n])
            self._held[directory] = held[n:]
        return pl.concat(parts).sort("received_at", "source", "topic", "payload")

    def _read_more(self, directory: Path) -> None:
        part = read_after(directory, self._read_to[directory], ROWS_AT_ONCE) if directory.is_dir() else empty(MESSAGES)
        if part.height:
            self._held[directory] = pl.concat([self._held[directory], part])
            self._read_to[directory] = epoch_us(part["received_at"][-1])
        if part.height < ROWS_AT_ONCE:
            self._ended.add(directory)  # a collector may go on writing: what is decided does not lie there


def last_rows(journals: Iterable[Journal]) -> str:
    """Where every journal ends, for people."""
    return ", ".join(
        f"{one.collector} to {instant(one.head.received_at)}" if one.head else f"{one.collector} is empty"
        for one in journals
    )


def shown_sites(sites: list[tuple[int, str]]) -> str:
    return short(", ".join(f"{sha256[:12]} since {instant(at)}" for at, sha256 in sites), 300)
