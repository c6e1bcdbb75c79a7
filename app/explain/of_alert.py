"""An alert from raw messages to what was sent, and whether it comes out the same when it is derived again.

Promises: what is told is what state.db, archive and outbox hold; what is compared was decided again by the production
path. Reads only. Does not promise that the evidence is whole: that is `greenisland verify`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from contracts.frames import VERDICTS
from contracts.instants import EPOCH, MICROSECOND, epoch_us
from store.alert_reads import Reading, reading

from ..evidence.rows import difference
from ..portal.decided import Asked, Decided, Found
from ..texts.texts import Texts
from .again import Again, decide_again
from .explanation import Explanation, explain
from .journals import activations, held_at, kept_file
from .run import NotJudged
from .source import Explained, from_state, rule_named, site_named

PAGE = 1_000
ROWS = 3_000_000  # verdicts of one alert: a year of minutes is 525,600
OPEN_TO = datetime(9000, 1, 1, tzinfo=UTC)  # of an alert that is not over


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
    """site: a directory or a kept site's file, by which all is decided; None: as the journals name them.

    Raises NoAlert; alert_reads.NotReadable, NoJournal, NotJudged, Broken.
    """
    with reading(state_dir) as db:
        alert = db.episode(name)
        if alert is None:
            raise NoAlert(f"there is no alert {name!r} in {state_dir}; `greenisland alerts list` names them")
        history = list(_history(db, name))
        sent = [_sent(row) for row in db.notifications_about(name)]
        last = db.last_span()
    activated = activations(state_dir)
    if site is None and not activated:
        raise NoAlert("the journals name no site: say by --site with which one it is to be derived")
    path = site or kept_file(state_dir, activated[-1].sha256)
    kept = site_named(path)
    committed = _committed(state_dir, kept.site.time_zone, alert, history)
    at = datetime.fromisoformat(str(alert["peak_at"]))
    until = _last_decided(committed, at)
    if site is None and (then := kept_file(state_dir, str(held_at(activated, until)))) != path:
        path, kept = then, site_named(then)
    rule = rule_named(kept.rules, str(alert["rule"]))
    if rule is None:
        raise NoAlert(
            f"{kept.shown} has no rule {alert['rule']!r}: give the site of then by --site STATE/sites/HASH.json"
        )
    point = f"{alert['station']}/{alert['factor']}" + (f"?{alert['limit_id']}" if alert["limit_id"] else "")
    if compare:
        until = max([until, *committed.rows["decided_at"], *(_instant(row["tick"]) for row in history)])
    with reading(state_dir) as db:
        received_us = db.journal_to(epoch_us(until))
    until = until if received_us is None else _instant(received_us + 1)
    found = from_state(kept, path, rule, point, state_dir, at, progress, until=until)
    compared: list[str] = []
    differences: list[str] = []
    if compare and found.removed:
        differences = [f"not compared: {said}" for said in found.removed]
    elif compare:
        again = Again(found.run.verdicts, found.run.transitions, found.run.clock_to)
        if site is None and found.turned and found.between is not None:
            first = str(held_at(activated, found.between[0]))
            again = decide_again(state_dir, first, found.run.subject, found.between, progress)
        upto = None if last is None or last.clock_to is None else _instant(last.clock_to)
        compared, differences = _compared(committed, again, upto, alert, history)
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


def _told(texts: Texts, row: dict[str, Any]) -> Told:
    at = _instant(row["tick"])
    zh, en = (texts.alert(row["transition"], row["body"], language, at) for language in ("zh", "en"))
    return Told(at, row["transition"], zh, en)


def _sent(row: dict[str, Any]) -> Sent:
    receipts = [
        f"attempt {one['attempt']} at {_instant(one['at']).isoformat(timespec='seconds')}:"
        f" {one['outcome']} ({one['detail']})"
        for one in row["receipts"]
    ]
    return Sent(row["channel"], str(row["body"].get("text", "")), row["state"], receipts)


def _committed(state_dir: Path, time_zone: str, alert: dict[str, Any], history: list[dict[str, Any]]) -> Found:
    found = Decided(state_dir, time_zone).read("verdicts", _asked(alert, history), None, ROWS)
    return Found(found.rows.filter(_of_limit(alert)), found.notes)


def _asked(alert: dict[str, Any], history: list[dict[str, Any]]) -> Asked:
    """Every revision of every verdict of the alert's time."""
    to_at = OPEN_TO
    if alert["resolved_at"]:
        to_at = datetime.fromisoformat(str(alert["resolved_at"]))
    elif alert["is_withdrawn"]:
        to_at = _instant(history[-1]["tick"])
    return Asked(
        stations=[alert["station"]],
        factors=[alert["factor"]],
        rule=alert["rule"],
        from_at=datetime.fromisoformat(str(alert["opened_at"])),
        to_at=to_at,
        all_revisions=True,
    )


def _of_limit(alert: dict[str, Any]) -> pl.Expr:
    return pl.col("limit_id").eq_missing(pl.lit(alert["limit_id"], pl.String))


def _last_decided(committed: Found, at: datetime) -> datetime:
    """The last decision of the window that begins at the instant; where the archive has none, the instant itself."""
    found = committed.rows.filter(pl.col("window_at") == pl.lit(at))["decided_at"].max()
    return found if isinstance(found, datetime) else at


def _compared(
    committed: Found, again: Again, upto: datetime | None, alert: dict[str, Any], history: list[dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """Verdicts of the alert's time and its transitions, as decided again and as committed. upto: the committed clock,
    behind which the journals of a running centre may be ahead."""
    if again.clock_to is None or upto is None:
        raise NotJudged("the journals no longer hold the messages of this alert: nothing can be derived again")
    upto = min(upto, again.clock_to)
    known = _of_limit(alert) & (pl.col("decided_at") <= pl.lit(upto))
    kept = committed.rows.filter(known).select(VERDICTS.names())
    now = again.verdicts.filter(_asked(alert, history).expression("verdicts") & known).select(VERDICTS.names())
    compared = [f"{kept.height} verdicts of the archive", "the alert's transitions"]
    differences = [f"not compared: {note}" for note in committed.notes]
    if (line := difference("verdicts", now, kept)) is not None:
        differences.append(line)
    told = [(_instant(row["tick"]), row["transition"], row["body"]) for row in history]
    told = [one for one in told if one[0] <= upto]
    derived = [
        (row["tick"], row["transition"], row["episode"])
        for row in again.transitions
        if row["episode"]["id"] == alert["id"] and row["tick"] <= upto  # type: ignore[index, operator]
    ]
    for n in range(max(len(told), len(derived))):
        before, after = (rows[n] if n < len(rows) else None for rows in (told, derived))
        if before != after:
            differences.append(f"transition {n + 1}: committed {_short(before)}, derived again {_short(after)}")
            break
    compared[1] = f"{len(told)} transitions"
    return compared, differences


def _short(row: tuple[Any, ...] | None) -> str:
    return "none" if row is None else f"{row[1]} at {row[0].isoformat(timespec='seconds')}"


def _instant(us: int) -> datetime:
    return EPOCH + us * MICROSECOND
