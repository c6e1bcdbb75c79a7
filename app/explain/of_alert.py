"""An alert from raw messages to what was sent, and whether it comes out the same when it is derived again.

Promises: what is told is what state.db, archive and outbox hold; what is compared was decided again by the production
path. Reads only. Does not promise that the evidence is whole: that is `greenisland verify`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from contracts import topics
from contracts.frames import VERDICTS
from contracts.records import decode
from store.alert_reads import Reading, reading
from store.journal import EPOCH, MICROSECOND
from store.journal_reader import last_payload

from ..evidence.rows import difference
from ..portal.decided import Asked, Decided
from ..site.kept import KeptSite
from ..texts.texts import Texts
from .explanation import Explanation, explain
from .run import NotJudged, Run
from .source import Explained, from_state, rule_named, site_named

PAGE = 1_000
ROWS = 100_000  # verdicts compared: a year of hours is 8,760


class NoAlert(ValueError):
    """There is no such alert, or no site it could be derived with; the text says what to do."""


@dataclass(frozen=True)
class Told:
    """One transition, as it was put into words."""

    at: datetime
    transition: str
    zh: str
    en: str


@dataclass(frozen=True)
class Sent:
    channel: str
    text: str
    state: str  # of the outbox
    receipts: list[str]


@dataclass(frozen=True)
class AlertExplained:
    alert: dict[str, Any]
    window: Explanation  # of its worst window
    found: Explained
    told: list[Told]
    sent: list[Sent]
    compared: list[str]  # what was held against what; empty: it was not asked for
    differences: list[str]


def explain_alert(
    state_dir: Path,
    name: str,
    site: Path | None = None,
    *,
    compare: bool = False,
    show_all: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> AlertExplained:
    """site: a directory or a kept site's file; None: the one the journals name last.

    Raises NoAlert; alert_reads.NotReadable, NoJournal, NotJudged, Broken.
    """
    with reading(state_dir) as db:
        alert = db.episode(name)
        if alert is None:
            raise NoAlert(f"there is no alert {name!r} in {state_dir}; `greenisland alerts list` names them")
        history = list(_history(db, name))
        sent = [_sent(row) for row in db.notifications_about(name)]
    path = site or state_dir / "sites" / f"{_last_site(state_dir)}.json"
    kept = site_named(path)
    rule = rule_named(kept.rules, str(alert["rule"]))
    if rule is None:
        raise NoAlert(
            f"{kept.shown} has no rule {alert['rule']!r}: give the site of then by --site STATE/sites/HASH.json"
        )
    point = f"{alert['station']}/{alert['factor']}" + (f"?{alert['limit_id']}" if alert["limit_id"] else "")
    at = datetime.fromisoformat(str(alert["peak_at"]))
    found = from_state(kept, path, rule, point, state_dir, at, progress)
    compared, differences = _compared(state_dir, kept, found.run, alert, history) if compare else ([], [])
    texts = Texts(kept.site)
    return AlertExplained(
        alert=alert,
        window=explain(found.run, at, show_all=show_all),
        found=found,
        told=[_told(texts, row) for row in history],
        sent=sent,
        compared=compared,
        differences=differences,
    )


def _history(db: Reading, name: str) -> Iterator[dict[str, Any]]:
    after = 0
    while rows := db.transitions_of(name, after, PAGE):
        yield from rows
        after = rows[-1]["seq"]


def _last_site(state_dir: Path) -> str:
    for directory in sorted((state_dir / "journal").glob("*")):
        payload = last_payload(directory, topics.JOURNAL_SITE)
        if payload is not None:
            return str(decode(payload).body["sha256"])
    raise NoAlert("the journals name no site: say by --site with which one it is to be derived")


def _told(texts: Texts, row: dict[str, Any]) -> Told:
    at = EPOCH + row["tick"] * MICROSECOND
    zh, en = (texts.alert(row["transition"], row["body"], language, at) for language in ("zh", "en"))
    return Told(at, row["transition"], zh, en)


def _sent(row: dict[str, Any]) -> Sent:
    receipts = [
        f"attempt {one['attempt']} at {(EPOCH + one['at'] * MICROSECOND).isoformat(timespec='seconds')}:"
        f" {one['outcome']} ({one['detail']})"
        for one in row["receipts"]
    ]
    return Sent(row["channel"], str(row["body"].get("text", "")), row["state"], receipts)


def _compared(
    state_dir: Path, kept: KeptSite, run: Run, alert: dict[str, Any], history: list[dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """Verdicts of the alert's time and its transitions, as decided again and as committed."""
    if run.clock_to is None:
        raise NotJudged("the journals no longer hold the messages of this alert: nothing can be derived again")
    from_at = datetime.fromisoformat(str(alert["opened_at"]))
    resolved_at = alert["resolved_at"] and datetime.fromisoformat(str(alert["resolved_at"]))
    to_at = min(resolved_at or run.clock_to, run.clock_to)
    asked = Asked(
        stations=[alert["station"]],
        factors=[alert["factor"]],
        rule=alert["rule"],
        from_at=from_at,
        to_at=to_at,
        all_revisions=True,
    )
    kept_rows = Decided(state_dir, kept.site.file.time_zone).read("verdicts", asked, None, ROWS)
    of_limit = pl.col("limit_id").eq_missing(pl.lit(alert["limit_id"], pl.String))
    known = of_limit & (pl.col("decided_at") <= run.clock_to)
    committed = kept_rows.rows.filter(known).select(VERDICTS.names())
    again = run.verdicts.filter(asked.expression("verdicts") & known).select(VERDICTS.names())
    compared = [f"{committed.height} verdicts of the archive", "the alert's transitions"]
    differences = [f"not compared: {note}" for note in kept_rows.notes]
    if (line := difference("verdicts", again, committed)) is not None:
        differences.append(line)
    told = [(row["tick"], row["transition"], row["body"]) for row in history]
    told = [one for one in told if EPOCH + one[0] * MICROSECOND <= run.clock_to]
    now = [
        ((row["tick"] - EPOCH) // MICROSECOND, row["transition"], row["episode"])  # type: ignore[operator]
        for row in run.transitions
        if row["episode"]["id"] == alert["id"]  # type: ignore[index]
    ]
    for n in range(max(len(told), len(now))):
        before, after = (rows[n] if n < len(rows) else None for rows in (told, now))
        if before != after:
            differences.append(f"transition {n + 1}: committed {_short(before)}, derived again {_short(after)}")
            break
    compared[1] = f"{len(told)} transitions"
    return compared, differences


def _short(row: tuple[int, str, Any] | None) -> str:
    if row is None:
        return "none"
    return f"{row[1]} at {(EPOCH + row[0] * MICROSECOND).isoformat(timespec='seconds')}"
