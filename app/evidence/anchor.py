"""Anchors: the state of the evidence in a few lines that can be printed, signed and kept elsewhere.

Promises: evidence that extends an anchor has everything it had then, unchanged. This is what finds a history that was
rewritten as a whole, with all its hashes computed anew.
Does not promise anything of what came after the anchor was written.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from contracts.frames import SCHEMA_VERSION
from store.state_db import SpanRow

from .journal import Journal, chain_at
from .link import Broken
from .state import FILE, Row

ANCHOR_VERSION = 1
LINK = "anchor"


class AnchorUnusable(Exception):
    """The file is no anchor, or not the one that was written; the message says why."""


@dataclass(frozen=True)
class Count:
    """So many of something, and SHA-256 over all of them."""

    n: int
    sha256: str


class RunningDigest:
    """SHA-256 over lines; remembers what it was after one of them."""

    def __init__(self, mark: int | None = None):
        self._digest, self._mark = hashlib.sha256(), mark
        self.n = 0
        self.at_mark = Count(0, self._digest.hexdigest()) if mark == 0 else None

    def add(self, values: Iterable[object]) -> None:
        text = json.dumps(list(values), ensure_ascii=False, sort_keys=True)
        self._digest.update(text.encode() + b"\n")
        self.n += 1
        if self.n == self._mark:
            self.at_mark = Count(self.n, self._digest.hexdigest())

    @property
    def count(self) -> Count:
        return Count(self.n, self._digest.hexdigest())


def add_span(digest: RunningDigest, span: SpanRow) -> None:
    """All but the file's name, which goes when the file is pruned."""
    digest.add(
        (span.seq, span.digest, span.journal_after, span.journal_to, span.clock_from, span.clock_to, dict(span.counts))
    )


def digest_rows(rows: Iterable[Row], names: Iterable[str], mark: int | None = None) -> RunningDigest:
    digest, wanted = RunningDigest(mark), list(names)
    for row in rows:
        digest.add(row[name] for name in wanted)
    return digest


TRANSITION = ("seq", "tick", "episode", "transition", "body")
RECEIPT = ("seq", "key", "channel", "attempt", "at", "outcome", "detail")


def anchor_of(
    written_at: str, journals: Mapping[str, Journal], counts: Mapping[str, Count], *, derived: bool
) -> dict[str, object]:
    """derived: the decisions were derived again before it was written."""
    anchor: dict[str, object] = {
        "greenisland_anchor": ANCHOR_VERSION,
        "written_at": written_at,
        "program": version("greenisland"),
        "schema": SCHEMA_VERSION,
        "derived": derived,
        "journals": {
            name: {
                "segment": one.head.segment,
                "batch": one.head.seq,
                "received_at": one.head.received_at,
                "chain": one.head.chain,
            }
            for name, one in sorted(journals.items())
            if one.head is not None
        },
        **{name: {"n": count.n, "sha256": count.sha256} for name, count in counts.items()},
    }
    return {**anchor, "check": _check_of(anchor)}


def write_anchor(path: Path, anchor: Mapping[str, object]) -> None:
    path.write_text(json.dumps(anchor, indent=2) + "\n", encoding="ascii")


@dataclass(frozen=True)
class Anchor:
    written_at: str
    program: str
    journals: Mapping[str, tuple[int, str]]  # collector -> batch, chain
    counts: Mapping[str, Count]  # spans, transitions, receipts


def read_anchor(path: Path) -> Anchor:
    """Raises AnchorUnusable."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["greenisland_anchor"] != ANCHOR_VERSION:
            raise AnchorUnusable(f"{path}: its version is {said['greenisland_anchor']}; this program reads 1")
        check = said.pop("check")
        if check != _check_of(said):
            raise AnchorUnusable(
                f"{path}: is not as it was written: it says check {check}, its content gives {_check_of(said)};"
                " was it typed in with a mistake?"
            )
        return Anchor(
            written_at=said["written_at"],
            program=said["program"],
            journals={name: (int(one["batch"]), one["chain"]) for name, one in said["journals"].items()},
            counts={
                name: Count(int(said[name]["n"]), said[name]["sha256"]) for name in ("spans", "transitions", "receipts")
            },
        )
    except OSError as error:
        raise AnchorUnusable(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AnchorUnusable(f"{path}: is not an anchor of `greenisland verify --write-anchor` ({error!r})") from error


def check_journal_heads(anchor: Anchor, journals: Mapping[str, Journal]) -> None:
    """Raises Broken where a journal does not go on from where it stood."""
    for name, (seq, chain) in anchor.journals.items():
        place = f"journal/{name}, batch {seq}"
        if name not in journals:
            raise Broken(LINK, f"journal/{name}", f"is missing; the anchor of {anchor.written_at} knows it")
        head = chain_at(journals[name].directory, seq)
        if head is None:
            last = journals[name].head
            ends = f"the journal ends with batch {last.seq}" if last else "the journal is empty"
            raise Broken(LINK, place, f"is missing; the anchor of {anchor.written_at} knows it, {ends}")
        if head.chain != chain:
            said = f"its chain is {head.chain}; the anchor of {anchor.written_at} says {chain}"
            raise Broken(LINK, place, f"{said}: it, or what came before it, was changed since")


def check_count(anchor: Anchor, name: str, digest: RunningDigest) -> None:
    """Raises Broken where the first so many are not those of the anchor."""
    wanted = anchor.counts[name]
    if digest.at_mark is None:
        said = f"there are {digest.n}; the anchor of {anchor.written_at} counts {wanted.n}: some were removed"
        raise Broken(LINK, f"{FILE}, {name}", said)
    if digest.at_mark != wanted:
        said = f"the first {wanted.n} are not those of the anchor of {anchor.written_at}: some were changed since"
        raise Broken(LINK, f"{FILE}, {name}", said)


def _check_of(anchor: Mapping[str, object]) -> str:
    """A few digits over everything else, so that a slip in typing is not taken for a broken chain."""
    return hashlib.sha256(json.dumps(anchor, sort_keys=True).encode()).hexdigest()[:12]
