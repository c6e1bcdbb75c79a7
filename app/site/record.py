"""The site a system runs is part of its evidence: its files are kept by hash, and a `$site` row says since when.

Promises: two directories with the same files have the same hash; a content file is written once and never changed.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path

from contracts import topics
from contracts.ports import RawMessage
from contracts.records import RECORD_VERSION, Record, decode, encode
from store.journal_reader import last_payload
from store.parquet import make_directory, replacing

from .rule_files import TEST_SUFFIX, library_files

READ = ("site.yaml", "routes.yaml", "registry/*.csv", "rules/*.yaml")
ACTIVATE = "activate_site"  # action of a `$site` row
LIBRARY = "library/"  # kept path of the library's rule files and of the program's own tables


def site_content(directory: Path, library: Sequence[str]) -> dict[str, str]:
    """Every file that decides, by its path: the site's own, the library files it names, the program's tables."""
    own = {
        path.relative_to(directory).as_posix(): path.read_text(encoding="utf-8")
        for pattern in READ
        for path in sorted(directory.glob(pattern))
        if not path.name.endswith(TEST_SUFFIX)
    }
    shipped = library_files()
    return (
        own | {LIBRARY + shipped[name].name: shipped[name].read_text(encoding="utf-8") for name in library} | tables()
    )


def tables() -> dict[str, str]:
    """The tables of this program that decide: validity, marks, factors."""
    with as_file(files("rules") / "library") as library, as_file(files("contracts") / "tables") as contracts:
        paths = sorted([*library.glob("*.csv"), contracts / "factors.csv"])
        return {LIBRARY + path.name: path.read_text(encoding="utf-8") for path in paths}


def keep(content: dict[str, str], state_dir: Path) -> str:
    """Writes the content under its hash, unless it is there, and returns the hash."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, indent=1).encode()
    digest = hashlib.sha256(text).hexdigest()
    path = state_dir / "sites" / f"{digest}.json"
    if not path.exists():
        make_directory(path.parent)
        with replacing(path) as temporary:
            temporary.write_bytes(text)
    return digest


def activation(digest: str, last: bytes | None, actor: str, origin: str, at: datetime) -> list[RawMessage]:
    """The `$site` row to journal; none where `last`, the payload of the last one, names the same site."""
    if last is not None and decode(last).body["sha256"] == digest:
        return []
    return [site_row(encode(activating(digest, actor, origin, at)))]


def activating(digest: str, actor: str, origin: str, at: datetime) -> Record:
    return Record(v=RECORD_VERSION, actor=actor, origin=origin, at=at, action=ACTIVATE, body={"sha256": digest})


def site_row(payload: bytes) -> RawMessage:
    """Of one instant it stands before every message, whose sources sort after it."""
    return RawMessage("app", topics.JOURNAL_SITE, payload)


def last_activated(state_dir: Path) -> Record | None:
    """The latest record of all journals that activated a site; None where there is none.

    Raises JournalFailure where a journal cannot be read.
    """
    journals = [path for path in (state_dir / "journal").glob("*") if path.is_dir()]
    payloads = [last_payload(path, topics.JOURNAL_SITE) for path in journals]
    return max((decode(one) for one in payloads if one is not None), key=lambda record: record.at, default=None)
