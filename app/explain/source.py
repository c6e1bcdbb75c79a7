"""From where an explanation takes its messages: a feed as a whole, or the stretch of a state's journals it needs.

Promises: rows are those that were received, in the engine's order. Of journals the needed stretch is read, and what
people had said before it; notes say what that leaves open, and whether the site named is the one that decided.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import polars as pl

from contracts.civil_time import local
from contracts.instants import EPOCH, MICROSECOND, epoch_us
from rules.spec import Rule
from rules.ticks import collectors_of
from store.feed import read_feed
from store.raw_files import raw_directory, read_removed

from ..evidence.link import Broken
from ..evidence.state import FILE
from ..operators.facts_read import read_facts
from ..pipeline import Pipeline
from ..service.collector import journal_directory
from ..site.kept import KeptSite, from_directory, from_kept
from ..site.record import site_content
from .journals import Activation, activations, held_at, kept_file, messages
from .run import Run, Subject, looks_back, run_again, run_through, span_of, subject_of


@dataclass(frozen=True)
class Explained:
    """The run, and what there is to say about it."""

    run: Run
    source: str
    notes: list[str] = field(default_factory=list)
    between: tuple[datetime, datetime] | None = None  # of a state: when what was judged again was received
    turned: list[Activation] = field(default_factory=list)  # sites that came to hold meanwhile
    removed: list[str] = field(default_factory=list)  # what can no longer be judged, and why


def site_named(path: Path) -> KeptSite:
    """A site's directory, or the file of a site that a state kept (`STATE/sites/HASH.json`)."""
    if path.suffix == ".json":
        return from_kept(path.absolute().parent.parent, path.stem)
    return from_directory(path)


def rule_named(rules: Sequence[Rule], name: str) -> Rule | None:
    return next((rule for rule in rules if rule.id == name), None)


def from_feed(
    kept: KeptSite, rule: Rule, point: str, feed: Path, progress: Callable[[int], None] = lambda _: None
) -> Explained:
    """Judges the whole feed, as `replay` does. Raises FeedError, NotJudged."""
    pipeline = kept.pipeline()
    subject = subject_of(pipeline.plan, rule.id, point)
    ordered = read_feed(feed).unique().sort("received_at", "source", "topic", "payload")
    run = run_again(pipeline, rule, subject, ordered, collectors_of(ordered), close=True, progress=progress)
    return Explained(run, f"feed {feed}", list(kept.notes))


def from_state(
    kept: KeptSite,
    site: Path,
    rule: Rule,
    point: str,
    state_dir: Path,
    at: datetime,
    progress: Callable[[int], None] = lambda _: None,
    *,
    until: datetime | None = None,
) -> Explained:
    """Judges what the journals hold from a day before the window (or an alert then open) until it is revised no more,
    or later, `until`.

    Raises NoJournal, NotJudged, Broken, JournalFailure.
    """
    pipeline = kept.pipeline()
    subject = subject_of(pipeline.plan, rule.id, point)
    from_at, to_at = span_of(pipeline.plan, subject, at)
    if (opened_at := _open_since(state_dir, subject, from_at, at)) is not None:
        pending = timedelta(seconds=_pending_s(pipeline, subject))
        from_at = min(from_at, opened_at - pending - timedelta(hours=2) - looks_back(pipeline.plan, subject))
    to_at = max(to_at, until or to_at)
    activated, collectors = activations(state_dir), kept.site.file.collectors
    facts, _ = read_facts(state_dir, kept.site)
    parts = messages(state_dir, collectors, from_at, to_at)
    run = run_through(pipeline, rule, subject, parts, collectors, facts, close=False, progress=progress)
    turned = [one for one in activated if from_at < one.at < min(to_at, run.clock_to or to_at)]
    used = _name_of(kept, site)
    notes = [*kept.notes, *_about_site(used, site, state_dir, activated, at)]
    notes += [
        f"site {one.sha256[:12]} was activated at {_said(one.at, run)}: what was decided from then on is shown here as"
        f" {kept.shown} would have decided it"
        for one in turned
        if one.sha256 != used
    ]
    gone = []
    for collector in collectors:
        removed = read_removed(raw_directory(journal_directory(state_dir, collector)))
        if removed and removed[-1].end.received_us >= epoch_us(from_at):
            last_at = EPOCH + removed[-1].end.received_us * MICROSECOND
            said = f"raw messages of {collector} up to {_said(last_at, run)} were removed after their time"
            gone.append(f"{said}: what rests on them cannot be judged again")
    return Explained(run, f"state {state_dir}", notes + gone, (from_at, to_at), turned, gone)


def _said(at: datetime, run: Run) -> str:
    return local(at, run.plan.zone).isoformat(timespec="seconds")


def _pending_s(pipeline: Pipeline, subject: Subject) -> int:
    mine = pipeline.plan.bindings.filter((pl.col("rule") == subject.rule) & pl.col("point").is_in(list(subject.points)))
    longest = mine["pending_s"].max()
    return int(str(longest or 0))


def _open_since(state_dir: Path, subject: Subject, from_at: datetime, at: datetime) -> datetime | None:
    """When an alert of the subject opened that was open where reading would begin; None: there was none."""
    if not (state_dir / FILE).exists():
        return None
    find = "SELECT body FROM episodes WHERE rule = ? AND station = ? AND factor = ?"
    about = (subject.rule, subject.station, subject.factor)
    try:
        uri = f"file:{quote(str(state_dir / FILE))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            episodes = [json.loads(body) for (body,) in connection.execute(find, about)]
    except (sqlite3.Error, ValueError) as error:
        raise Broken("state", FILE, f"cannot be read: {error}") from error
    opened = []
    for one in episodes:
        since, until = (
            datetime.fromisoformat(str(one[key])) if one[key] else None for key in ("opened_at", "resolved_at")
        )
        if since is not None and since <= at and (until is None or until > from_at):
            opened.append(since)
    first = min(opened, default=None)
    return first if first is not None and first < from_at + timedelta(hours=2) else None


def _name_of(kept: KeptSite, site: Path) -> str:
    """SHA-256 of the content."""
    if site.suffix == ".json":
        return kept.name
    content = json.dumps(site_content(site, kept.site.file.library), ensure_ascii=False, sort_keys=True, indent=1)
    return hashlib.sha256(content.encode()).hexdigest()


def _about_site(used: str, site: Path, state_dir: Path, activated: list[Activation], at: datetime) -> list[str]:
    """Whether the site named is one that held at the instant, or came to hold after it."""
    if not activated:
        return ["the journals name no site: by which limits and rules it was decided then is not on record"]
    held = held_at(activated, at)
    assert held is not None
    if used == held or used in {one.sha256 for one in activated if one.at > at}:
        return []
    return [
        f"decided with {site}, whose content ({used[:12]}) is not that of the site the journals name ({held[:12]});"
        f" to explain by that one: --site {kept_file(state_dir, held)}"
    ]
