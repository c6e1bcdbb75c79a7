"""`greenisland status`: how a centre stands; exit code 1 if something needs attention."""

import json
import textwrap
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from contracts.civil_time import local
from contracts.clock import SystemClock
from contracts.reasons import LEVELS

from ..health.channel_status import ChannelStatus
from ..health.status import Collector, Decided, Status, attention, in_words, size_in_words, status_of
from ..influx.gaps import Gap
from ..influx.part import filling_in_words
from ..site.files import load_site

WIDTH, LABEL = 80, 16
SHOWN_BEHIND = 100  # spans
DETAIL_SHOWN = 120  # characters
REJECT = "reject:"


def status_command(
    state: Annotated[Path, typer.Option(help="The state directory of `greenisland run`.")],
    site: Annotated[
        Path | None, typer.Option(help="The site's directory: names collectors that never spoke; times become civil.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say how things stand, stopping nothing. Exit code 0: all is well; 1: something needs attention."""
    if not state.is_dir():
        raise typer.BadParameter(f"{state} is not a folder", param_hint="--state")
    whole = None if site is None else load_site(site)
    status = status_of(state, SystemClock().now(), whole)
    found = attention(status)
    if as_json:
        typer.echo(json.dumps({**as_dict(status), "attention": found}, ensure_ascii=False))
    else:
        typer.echo(as_text(status, found, "UTC" if whole is None else whole.time_zone))
    raise typer.Exit(1 if found else 0)


def as_dict(status: Status) -> dict[str, object]:
    decided = status.decided or Decided()
    return {
        "now": status.now.isoformat(),
        "newest_at": _iso(status.newest_at),
        "newest_age_s": None if status.newest_at is None else (status.now - status.newest_at).total_seconds(),
        "collectors": [
            {
                "collector": one.name,
                "last_received_at": _iso(one.last_received_at),
                "last_message_at": _iso(one.last_message_at),
                "clock_at": _iso(one.clock_at),
                "clock_received_at": _iso(one.clock_received_at),
                "undecided": one.undecided,
                "damage": one.damage,
            }
            for one in status.collectors
        ],
        "engine": {
            "cursor_at": _iso(decided.cursor_at),
            "span": decided.span,
            "clock_at": _iso(decided.clock_at),
            "damage": decided.damage,
        },
        "spans_behind": decided.behind,
        "finished_to": {name: _iso(at) for name, at in decided.finished_to.items()},
        "open_alerts": decided.open_alerts,
        "open_alerts_told_to_nobody": decided.told_to_nobody,
        "open_cases": decided.open_cases,
        "outbox": decided.outbox,
        "channels": [
            {
                **asdict(one),
                "oldest_pending_at": _iso(one.oldest_pending_at),
                "last_at": _iso(one.last_at),
            }
            for one in decided.channels
        ],
        "last_24h": {key: n for key, n in decided.counts.items() if not key.startswith(REJECT)},
        "last_24h_rejects": {
            key.removeprefix(REJECT): n for key, n in decided.counts.items() if key.startswith(REJECT)
        },
        "dead_letters": status.dead_letters,
        "influxdb_gaps": [asdict(gap) for gap in status.gaps],
        "recovery_differences": status.differences,
        "site": None
        if status.site is None
        else {"sha256": status.site.body.get("sha256"), "since": _iso(status.site.at), "by": status.site.actor},
        "damage": [{"part": one.part, "since": _iso(one.since), "what": one.what} for one in status.damage],
        "damaged_parts": [str(one.path) for one in status.damaged_parts],
        "disk_bytes": {**status.disk, "free": status.free_bytes, "total": status.total_bytes},
        "disk_growth_bytes_per_day": None if status.growth is None else status.growth.bytes_per_day,
        "disk_growth_taken_over_s": None if status.growth is None else status.growth.taken_over.total_seconds(),
        "disk_full_in_s": None if status.full_in is None else status.full_in.total_seconds(),
    }


def as_text(status: Status, found: list[str], zone: str) -> str:
    rows = [_of_collector(one, status.now, zone) for one in status.collectors]
    if not rows:
        rows = [("collectors", "none")]
    if status.site is not None:
        since = _shown(status.site.at, zone)
        rows.append(("site", f"{status.site.body.get('sha256', '')[:12]} since {since}, by {status.site.actor}"))
    if status.decided is not None:
        rows += _of_decided(status.decided, zone)
        rows += [(f"  {one.channel}", _of_channel(one, status.now, zone)) for one in status.decided.channels]
    used = ", ".join(f"{part} {size_in_words(n)}" for part, n in status.disk.items())
    free = f"{size_in_words(status.free_bytes)} of {size_in_words(status.total_bytes)} free"
    if status.gaps:
        rows.append(("influxdb gaps", _of_gaps(status.gaps)))
    rows += [
        ("dead letters", f"{status.dead_letters:,}"),
        ("recovery", f"{status.differences:,} differences from what was committed"),
        ("disk", f"{used}; {free}"),
        ("", _of_growth(status)),
    ]
    lines = [_row(label, text) for label, text in rows]
    if not found:
        return "\n".join([*lines, "", "all is well"])
    hanging = {"initial_indent": "- ", "subsequent_indent": "  ", "width": WIDTH}
    return "\n".join([*lines, "", "needs attention:", *(textwrap.fill(one, **hanging) for one in found)])


def _of_collector(one: Collector, now: datetime, zone: str) -> tuple[str, str]:
    if one.last_received_at is None:
        return f"collector {one.name}", "nothing in its journal"
    age = None if one.last_message_at is None else now - one.last_message_at
    newest = "none" if age is None else f"{in_words(abs(age))} {'ahead' if age < timedelta(0) else 'old'}"
    return (
        f"collector {one.name}",
        f"newest data {newest}; last row {_shown(one.last_received_at, zone)}, "
        f"clock {_shown(one.clock_at, zone)}; {one.undecided:,} messages not yet decided",
    )


def _of_gaps(gaps: list[Gap]) -> str:
    waiting = [gap for gap in gaps if not gap.filled_at]
    said = f"{len(waiting):,} open ({sum(gap.spans for gap in waiting):,} spans), {len(gaps) - len(waiting):,} filled"
    filling = next((gap.filling for gap in waiting if gap.filling), None)
    return said if filling is None else f"{said}; {filling_in_words(filling)}"


def _of_growth(status: Status) -> str:
    if status.growth is None:
        return "growth: not known before an hour of data"
    per_day = size_in_words(sum(status.growth.bytes_per_day.values()))
    over = in_words(status.growth.taken_over)
    when = "not within a century" if status.full_in is None else f"in about {in_words(status.full_in)}"
    return f"grows by {per_day} a day (taken from the last {over}); full {when}"


def _of_decided(decided: Decided, zone: str) -> list[tuple[str, str]]:
    counts = decided.counts
    rejects = ", ".join(f"{key.removeprefix(REJECT)} {n:,}" for key, n in counts.items() if key.startswith(REJECT))
    others = ("duplicates", "rewritten", "late", "from_archive", "beyond_max_age", "events")
    levels = [f"{level} {decided.open_alerts[level]:,}" for level in reversed(LEVELS) if level in decided.open_alerts]
    return [
        (
            "engine",
            f"span {decided.span:,}; clock {_shown(decided.clock_at, zone)}, "
            f"journal read to {_shown(decided.cursor_at, zone)}",
        ),
        *((name, _of_consumer(decided, name, zone)) for name in decided.behind),
        ("alerts", (", ".join(levels) or "none") + " open"),
        ("cases", ", ".join(f"{n:,} {state.replace('_', ' ')}" for state, n in decided.open_cases.items())),
        ("notifications", ", ".join(f"{n:,} {state}" for state, n in decided.outbox.items()) or "none"),
        (
            "last 24 h",
            f"{counts.get('messages', 0):,} messages, {counts.get('readings', 0):,} readings, "
            f"{counts.get('rejects', 0):,} rejects" + (f" ({rejects})" if rejects else ""),
        ),
        ("", ", ".join(f"{key} {counts.get(key, 0):,}" for key in others)),
    ]


def _of_channel(one: ChannelStatus, now: datetime, zone: str) -> str:
    said = f"{one.pending:,} pending"
    if one.oldest_pending_at is not None:
        said += f", the oldest for {in_words(now - one.oldest_pending_at)}"
    said += f", {one.refused:,} refused, {one.gave_up:,} given up"
    if one.last_at is None:
        return f"{said}; no receipt yet"
    detail = one.last_detail if len(one.last_detail) <= DETAIL_SHOWN else one.last_detail[: DETAIL_SHOWN - 1] + "…"
    return f"{said}; last {_shown(one.last_at, zone)}: {one.last_outcome}, {detail}"


def _of_consumer(decided: Decided, name: str, zone: str) -> str:
    """How far behind, and while that is long up to when it has come."""
    behind = f"{decided.behind[name]:,} spans behind"
    to = decided.finished_to.get(name)
    if to is None or decided.behind[name] < SHOWN_BEHIND:
        return behind
    return f"{behind}, has all received up to {_shown(to, zone)}"


def _row(label: str, text: str) -> str:
    if len(label) >= LABEL:
        label, text = "", f"{label}: {text}"
    return textwrap.fill(text, WIDTH, initial_indent=f"{label:<{LABEL}}", subsequent_indent=" " * LABEL)


def _shown(at: datetime | None, zone: str) -> str:
    return "none" if at is None else local(at, zone).isoformat(timespec="seconds")


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
