"""Sealed journal segments, `<state>/raw/<collector>/raw-<number>-<first us>-<last us>.parquet`, and reading them.

Promises: each is a feed file, and from it alone its part of the hash chain can be computed again; what was removed
after its time left its end of the chain in `removed.ndjson`, so that the rest still says what it continues.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.frames import INSTANT, MESSAGES
from contracts.instants import epoch_us
from contracts.ports import JournalFailure

from .journal_block import Row, chain_link, pack
from .journal_schema import OWN, ChainEnd
from .journal_segment import BrokenLink

RAW_VERSION = 1  # raised when a reader of this program could misread what a newer one writes
ABOUT_KEY = "greenisland_journal"  # key of the file's metadata; `About` as JSON
REMOVED = "removed.ndjson"
ROWS_AT_ONCE = 16_384

# A segment's columns. The last row of each batch has the batch's number and its link of the chain, the others null.
RAW_ARROW = pa.schema(
    [
        ("received_at", pa.timestamp("us", tz="UTC")),
        ("source", pa.string()),
        ("topic", pa.string()),
        ("payload", pa.binary()),
        ("wall_at", pa.timestamp("us", tz="UTC")),
        ("batch_seq", pa.int64()),
        ("batch_chain", pa.binary()),
    ]
)

_NAME = re.compile(r"raw-(\d+)-(\d+)-(\d+)\.parquet")


@dataclass(frozen=True)
class RawFile:
    """What a sealed file's name says."""

    number: int
    first_us: int
    last_us: int
    path: Path


@dataclass(frozen=True)
class About:
    """What a sealed file's metadata says."""

    collector: str
    number: int
    began: ChainEnd
    end: ChainEnd
    rows: int
    own: dict[str, bytes] = field(default_factory=dict)  # last payload of each of the journal's own ($) topics


@dataclass(frozen=True)
class Removed:
    """A line of removed.ndjson: a sealed file that is no longer there."""

    number: int
    began: ChainEnd
    end: ChainEnd


def raw_directory(journal_directory: Path) -> Path:
    """`<state>/raw/<collector>` of `<state>/journal/<collector>`."""
    return journal_directory.parent.with_name("raw") / journal_directory.name


def raw_file_name(number: int, first_us: int, last_us: int) -> str:
    return f"raw-{number:08d}-{first_us:016d}-{last_us:016d}.parquet"


def raw_files(directory: Path) -> list[RawFile]:
    """The sealed files of a raw directory, oldest first; none where there is no such directory."""
    found = ((_NAME.fullmatch(path.name), path) for path in directory.glob("raw-*.parquet"))
    return sorted(
        (RawFile(int(name[1]), int(name[2]), int(name[3]), path) for name, path in found if name),
        key=lambda file: file.number,
    )


def to_metadata(about: About) -> dict[str, str]:
    text = json.dumps(
        {
            "version": RAW_VERSION,
            "collector": about.collector,
            "number": about.number,
            "began": _end_to_json(about.began),
            "end": _end_to_json(about.end),
            "rows": about.rows,
            "own": {topic: base64.b64encode(payload).decode() for topic, payload in sorted(about.own.items())},
        },
        ensure_ascii=False,
    )
    return {ABOUT_KEY: text}


def read_about(path: Path) -> About:
    """Raises JournalFailure where the file is none of ours, damaged, or of a newer program."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
        return _about(path, metadata[ABOUT_KEY.encode()])
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise JournalFailure(f"{path}: is not a sealed journal segment: {error}") from error


def _about(path: Path, text: bytes) -> About:
    said = json.loads(text)
    if said["version"] > RAW_VERSION:
        raise JournalFailure(f"{path}: its version {said['version']} is newer than this program's {RAW_VERSION}")
    own = {topic: base64.b64decode(payload) for topic, payload in said["own"].items()}
    began, end = _end_from_json(said["began"]), _end_from_json(said["end"])
    return About(said["collector"], said["number"], began, end, said["rows"], own)


def _end_to_json(end: ChainEnd) -> dict[str, object]:
    return {"chain": end.chain.hex(), "seq": end.seq, "received_us": end.received_us}


def _end_from_json(said: dict) -> ChainEnd:
    return ChainEnd(bytes.fromhex(said["chain"]), int(said["seq"]), int(said["received_us"]))


def raw_batches(path: Path) -> Iterator[tuple[int | None, list[Row], bytes | None]]:
    """(number, rows, link) of every batch, one in memory at a time; rows after the last batch come with nulls."""
    rows: list[Row] = []
    with pq.ParquetFile(path) as file:
        for part in file.iter_batches(ROWS_AT_ONCE, columns=RAW_ARROW.names):
            received, source, topic, payload, wall, seq, chain = (
                (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
                for column in (part.column(name) for name in RAW_ARROW.names)
            )
            for *row, its_seq, its_chain in zip(received, wall, source, topic, payload, seq, chain, strict=True):
                rows.append(tuple(row))
                if its_seq is not None or its_chain is not None:
                    yield its_seq, rows, its_chain
                    rows = []
    if rows:
        yield None, rows, None


def verify_raw_file(path: Path) -> BrokenLink | About:
    """Computes the chain again from the file alone: the broken link, or what its metadata says, which then holds."""
    try:
        about = read_about(path)
        at, n, own = about.began, 0, {}
        for seq, rows, chain in raw_batches(path):
            if seq is None or chain is None:
                return BrokenLink(path, at.seq + 1, "messages follow that no batch committed")
            if seq != at.seq + 1:
                return BrokenLink(path, at.seq + 1, "the batch is missing")
            instants = [at.received_us, *(row[0] for row in rows)]
            if any(later <= earlier for earlier, later in pairwise(instants)):
                return BrokenLink(path, seq, "its messages are not in the order they were committed in")
            if chain_link(at.chain, pack(rows)) != chain:
                return BrokenLink(path, seq, "its hash does not follow from its messages and the batch before")
            at, n = ChainEnd(chain, seq, rows[-1][0]), n + len(rows)
            own |= {row[3]: row[4] for row in rows if row[3].startswith(OWN)}
    except (JournalFailure, pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        return BrokenLink(path, None, f"cannot be read: {error}")
    if (at, n, own) != (about.end, about.rows, about.own):
        return BrokenLink(path, None, "its metadata say something else than its rows")
    return about


def raw_bytes(path: Path) -> int:
    """What all of a file takes when it is unpacked, about; 0 where its time had come."""
    try:
        about = pq.read_metadata(path)
    except FileNotFoundError:
        return 0
    return sum(about.row_group(n).total_byte_size for n in range(about.num_row_groups))


def read_raw_after(path: Path, after_us: int, limit: int) -> pl.DataFrame:
    """At most `limit` MESSAGES of one file with received_at later than `after_us`, the earliest first."""
    later = pl.col("received_at") > pl.lit(after_us, pl.Int64).cast(INSTANT)
    return pl.scan_parquet(path).select(list(MESSAGES)).filter(later).head(limit).collect()


def last_raw_payload(path: Path, topic: str) -> bytes | None:
    """The journal's own topics are found in the metadata alone."""
    if topic.startswith(OWN):
        return read_about(path).own.get(topic)
    found = pl.scan_parquet(path).filter(pl.col("topic") == topic).select("payload").tail(1).collect()
    return None if found.is_empty() else found["payload"][0]


def read_removed(directory: Path) -> list[Removed]:
    """What was removed from a raw directory, oldest first."""
    path = directory / REMOVED
    if not path.exists():
        return []
    return [_removed(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _removed(said: dict) -> Removed:
    last_us = epoch_us(datetime.fromisoformat(said["last"]))
    return Removed(
        said["number"],
        _end_from_json(said["previous"]),
        ChainEnd(bytes.fromhex(said["chain"]), said["seq"], last_us),
    )
