"""The evidence chain, walked: raw messages, sites, spans, archive, alerts, receipts, anchors.

Promises: reads only; whatever passes is what the journal gives, decided again by this program; the first link that does
not hold is named. Does not promise to find a history that was rewritten as a whole, with every hash computed anew: an
anchor kept elsewhere does.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from contracts import frames as schemas
from store.archive import TABLES
from store.journal_reader import read_after
from store.spans import SUFFIX, SpanDamaged, read_span, span_name
from store.state_db import SpanRow
from store.state_lock import UPKEEP, state_lock

from ..site.kept import KeptSite, check_files, from_directory, from_kept
from . import alerts, cases
from . import anchor as anchors
from .archive import ArchiveEvidence, with_day
from .derive import Derivation, Frames, Group
from .journal import Journal, activated, check_journals, last_rows
from .link import Broken, instant
from .rows import Bags
from .state import FILE, Committed, StateEvidence

__all__ = ["Broken", "NoSite", "Report", "verify"]

GROUP_MESSAGES, GROUP_SPANS = 50_000, 1_000
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, KeyError, TypeError)
Progress = Callable[[str, float | None], None]


class NoSite(Exception):
    """Nothing says by which site the decisions were made; the message says what to do."""


@dataclass
class Report:
    """What was found whole."""

    journals: dict[str, Journal] = field(default_factory=dict)
    spans: int = 0
    pruned: int = 0
    derived: bool = False
    archive_files: int = 0
    sites: list[tuple[int, str]] = field(default_factory=list)  # from which span on, which site
    counts: dict[str, anchors.Count] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)  # of the other tables of state.db
    notes: list[str] = field(default_factory=list)
    anchor: str | None = None  # written_at of the anchor it was held against


def verify(
    state_dir: Path,
    *,
    site_dir: Path | None = None,
    anchor: anchors.Anchor | None = None,
    quick: bool = False,
    progress: Progress = lambda _what, _share: None,
) -> Report:
    """Walks the chain. Raises Broken at the first link that does not hold, NoSite, and SiteErrors for `site_dir`.

    site_dir: decide by this site instead of those the journal names. quick: derive nothing again.
    progress: told what is being done and the share of it that is done, 0 to 1, where that is known.
    """
    progress("waiting for housekeeping", None)
    with _undisturbed(state_dir):
        return _verify(state_dir, site_dir, anchor, quick, progress)


@contextmanager
def _undisturbed(state_dir: Path) -> Iterator[None]:
    """Of a running centre nothing is sealed, pruned, merged or removed meanwhile; a copy needs no lock."""
    if os.access(state_dir / UPKEEP, os.W_OK):
        with state_lock(state_dir, UPKEEP):
            yield
    else:
        yield


def _verify(
    state_dir: Path, site_dir: Path | None, anchor: anchors.Anchor | None, quick: bool, progress: Progress
) -> Report:
    report = Report(anchor=anchor.written_at if anchor else None)
    report.journals = check_journals(state_dir, lambda _rows: progress("journal", None))
    if anchor is not None:
        anchors.check_journal_heads(anchor, report.journals)
    check_files(state_dir)
    if not (state_dir / FILE).exists():
        if (state_dir / "spans").exists() or (state_dir / "archive").exists():
            raise Broken("state", FILE, "is missing; spans or archive are there")
        report.notes.append("nothing was decided here: there is no state.db")
        if anchor is not None:
            _check_counts(anchor, {name: anchors.RunningDigest(one.n) for name, one in anchor.counts.items()})
        return report
    state = StateEvidence(state_dir)
    try:
        _Walk(state_dir, report, state, anchor, progress).walk(site_dir, quick)
    finally:
        state.close()
    return report


class _Walk:
    """From state.db on."""

    def __init__(
        self,
        state_dir: Path,
        report: Report,
        state: StateEvidence,
        anchor: anchors.Anchor | None,
        progress: Progress,
    ):
        self._dir, self._report, self._state, self._anchor = state_dir, report, state, anchor
        self._progress, self._bags = progress, Bags()
        self._committed: Committed = state.read()

    def walk(self, site_dir: Path | None, quick: bool) -> None:
        committed, report = self._committed, self._report
        sites = self._sites(site_dir, quick)
        digests = self._spans()
        transitions = alerts.check_transitions(committed)
        removed = [one for one in report.journals.values() if one.removed_to is not None]
        if removed and not quick and committed.last_seq:
            until = ", ".join(f"{one.collector} up to {instant(one.removed_to)}" for one in removed)
            report.notes.append(f"nothing was derived again: raw messages were removed after their time ({until})")
        report.derived = not (quick or removed or not committed.last_seq)
        derivation = Derivation(self._dir, sites, committed.transitions, self._bags) if report.derived else None
        archive = ArchiveEvidence(self._dir / "archive", committed.archived_to, committed.last_seq, self._bags)
        zone = sites[0].site.time_zone if sites else None
        for group in self._groups():
            pruned = derivation.check(group) if derivation else None
            if derivation:
                zone = derivation.site.site.time_zone
            if zone is not None:
                self._expect(archive, group, pruned, zone)
            self._progress("spans", group.spans[-1].seq / committed.last_seq)
        if derivation:
            derivation.finish()
            report.sites = [(seq, kept.name) for seq, kept in derivation.used]
        if zone is None:
            report.notes.append("the archive was not compared: no site says in which time zone its dates are")
        else:
            self._progress("archive", None)
            report.archive_files = archive.finish(self._reread(zone))
            report.notes += archive.notes
        alerts.check_episodes(committed, transitions)
        alerts.check_outbox(committed, transitions, derivation.notifications if derivation else None)
        if derivation:
            alerts.check_telling(committed, derivation.told)
        cases.check_cases(committed, derivation.cases if derivation else None)
        self._finish(digests)

    def _sites(self, site_dir: Path | None, quick: bool) -> list[KeptSite]:
        if site_dir is not None:
            return [from_directory(site_dir)]
        named = dict.fromkeys(sha256 for _, sha256 in activated(self._report.journals.values()))
        sites = [from_kept(self._dir, sha256) for sha256 in named]
        self._report.notes += [note for site in sites for note in site.notes]
        if not sites and not quick and self._committed.last_seq:
            raise NoSite(
                "the journal has no $site row: nothing says by which limits and rules it was decided. Name the site's"
                " directory with --site, or check without deriving anything with --quick."
            )
        return sites

    # -- spans

    def _spans(self) -> dict[str, anchors.RunningDigest]:
        """The table, and that every file it names is there; digests for anchors."""
        committed, anchor, report = self._committed, self._anchor, self._report
        marks = {name: anchor.counts[name].n if anchor else None for name in ("spans", "transitions", "receipts")}
        spans = anchors.RunningDigest(marks["spans"])
        last: SpanRow | None = None
        files = set()
        for span in self._state.spans(committed.last_seq):
            anchors.add_span(spans, span)
            if span.file is not None:
                files.add(span.file)
                if not (self._dir / "spans" / span.file).exists():
                    self._check_pruned(span)
            last = span
        report.spans, report.pruned = committed.last_seq, committed.last_seq - len(files)
        if last is not None:
            self._check_reach(last)
        self._check_strays(files)
        return {
            "spans": spans,
            "transitions": anchors.digest_rows(committed.transitions, anchors.TRANSITION, marks["transitions"]),
            "receipts": anchors.digest_rows(committed.receipts, anchors.RECEIPT, marks["receipts"]),
        }

    def _check_reach(self, last: SpanRow) -> None:
        """The journals must hold the row at which the last span ends."""
        for journal in self._report.journals.values():
            row = read_after(journal.directory, last.journal_to - 1, 1)
            if row.height and row["received_at"].to_physical()[0] == last.journal_to:
                return
        journals = last_rows(self._report.journals.values())
        said = f"ends with the journal row of {instant(last.journal_to)}; no journal holds it ({journals})"
        raise Broken("spans", f"{FILE}, span {last.seq}", said)

    def _check_strays(self, files: set[str]) -> None:
        """A kill leaves at most one file that was not committed: the next one."""
        committed = self._committed
        present = {path.name for path in (self._dir / "spans").glob(f"*{SUFFIX}")}
        for name in sorted(present - files):
            seq = name.removesuffix(SUFFIX).rpartition("-")[2]
            if seq.isdecimal() and name == span_name(int(seq)) and 0 < int(seq) <= committed.last_seq:
                continue  # pruned, and a kill came before the file went
            if name != span_name(committed.last_seq + 1):
                said = f"belongs to no committed span; the last one is {committed.last_seq}"
                raise Broken("spans", f"spans/{name}", said)
            self._report.notes.append(f"spans/{name} was not committed; a running engine is at it, or a kill left it")

    def _groups(self) -> Iterator[Group]:
        group, messages = Group([]), 0
        for span in self._state.spans(self._committed.last_seq):
            if span.file is not None:
                frames = self._read(span)
                if frames is not None:
                    group.frames[span.seq] = frames
            group.spans.append(span)
            messages += max(0, span.counts.get("messages", 0))
            if messages >= GROUP_MESSAGES or len(group.spans) >= GROUP_SPANS:
                yield group
                group, messages = Group([]), 0
        if group.spans:
            yield group

    def _read(self, span: SpanRow) -> Frames | None:
        """None where the engine pruned the file since the table was read."""
        assert span.file is not None
        shown = f"spans/{span.file}"
        try:
            found = read_span(self._dir / "spans" / span.file, digest=span.digest)
            if set(found) != set(TABLES):
                raise Broken("spans", shown, f"holds {', '.join(found)}; expected {', '.join(TABLES)}")
            return {name: schemas.check(found[name], table.schema) for name, table in TABLES.items()}
        except FileNotFoundError:
            self._check_pruned(span)
            return None
        except SpanDamaged as damaged:
            what = str(damaged).removeprefix(f"{damaged.path}: ")
            raise Broken("spans", f"{shown} (span {span.seq})", what) from damaged
        except _UNREADABLE as error:
            raise Broken("spans", f"{shown} (span {span.seq})", f"cannot be read: {error}") from error

    def _check_pruned(self, span: SpanRow) -> None:
        """A file that is not there any more must have left state.db as well, by an engine that is running."""
        (now,) = [row for row in self._state.spans(span.seq) if row.seq == span.seq]
        if now.file is not None:
            raise Broken("spans", f"spans/{span.file}", f"is missing; span {span.seq} was committed with it")

    # -- archive

    def _expect(self, archive: ArchiveEvidence, group: Group, pruned: Frames | None, zone: str) -> None:
        for span in group.spans:
            if span.seq not in group.frames and pruned is None:
                archive.skip(span.seq)
        rows = {name: group.table(name) for name in TABLES}
        if pruned is not None:
            rows = {name: pl.concat([frame, pruned[name].select(frame.columns)]) for name, frame in rows.items()}
        archive.expect(rows, zone)

    def _reread(self, zone: str) -> Callable[[str, int, int], pl.DataFrame | None]:
        def rows(table: str, first: int, last: int) -> pl.DataFrame | None:
            group = Group([])
            for span in self._state.spans(last):
                if span.seq >= first:
                    frames = self._read(span) if span.file is not None else None
                    if frames is None:
                        return None
                    group.frames[span.seq] = {table: frames[table]}
            return with_day(table, group.table(table), zone)

        return rows

    # -- end

    def _finish(self, digests: dict[str, anchors.RunningDigest]) -> None:
        committed, report = self._committed, self._report
        if self._anchor is not None:
            _check_counts(self._anchor, digests)
        report.counts = {name: digest.count for name, digest in digests.items()}
        report.rows = {
            "episodes": len(committed.episodes),
            "transitions": len(committed.transitions),
            "notifications": len(committed.outbox),
            "receipts": len(committed.receipts),
        }


def _check_counts(anchor: anchors.Anchor, digests: dict[str, anchors.RunningDigest]) -> None:
    for name, digest in digests.items():
        anchors.check_count(anchor, name, digest)
