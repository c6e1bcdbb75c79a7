"""The journal against the disk: groups committed by `Journal.append`, and the same bytes by write and fdatasync.

The folder decides what is measured: on a disk of memory an fsync costs nothing and the ratio says nothing.
"""

import os
import tempfile
from datetime import timedelta
from pathlib import Path

from contracts.ports import RawMessage
from store.journal import Journal

from .harness import Figure, Size, alternate, figure, rates, ratios
from .workload import START, messages_of, site_of

GROUPS = (1, 500)  # messages of a commit: one alone, and as many as the collector takes at once
COMMITS = 40


def measure(size: Size) -> list[Figure]:
    """Commits of messages of 14 readings; the folder's disk."""
    rows = messages_of(site_of(outlets=max(GROUPS), stations=1), 1)
    messages = [RawMessage(*row) for row in rows.select("source", "topic", "payload").iter_rows()]
    figures = []
    for group in GROUPS:
        with tempfile.TemporaryDirectory(prefix="greenisland-bench-", dir=size.folder) as folder:
            figures += _commits(messages[:group], size, Path(folder))
    return figures


def _commits(messages: list[RawMessage], size: Size, folder: Path) -> list[Figure]:
    commits = size.of(COMMITS, least=2)
    written = b"".join(m.source.encode() + m.topic.encode() + m.payload for m in messages)
    raw = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        with Journal(folder / "journal") as kept:
            at = START

            def append() -> None:
                nonlocal at
                for _ in range(commits):
                    at += timedelta(seconds=1)
                    kept.append(messages, at)

            def write() -> None:
                for _ in range(commits):
                    os.write(raw, written)
                    os.fdatasync(raw)

            journal_s, raw_s = (its.wall for its in alternate(size.rounds, append, write))
    finally:
        os.close(raw)
    said = f"{len(messages)} message{'s' if len(messages) > 1 else ''}"
    megabytes = commits * len(written) / 1e6
    return [
        figure(f"journal, {said} a commit", "commits/s", rates(commits, journal_s)),
        figure(f"journal, {said} a commit", "MB/s", rates(megabytes, journal_s)),
        figure(f"write and fdatasync, {said}", "commits/s", rates(commits, raw_s)),
        figure(f"write and fdatasync, {said}", "MB/s", rates(megabytes, raw_s)),
        figure(f"journal over write, {said}", "ratio", ratios(raw_s, journal_s), (">=", 0.4)),
    ]
