"""`greenisland status`: how a centre stands; exit code 1 if something needs attention."""

import json
import textwrap
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from contracts.civil_time import local
from contracts.clock import SystemClock
from contracts.reasons import LEVELS

from ..site_files import load_site
from ..status import Collector, Decided, Status, attention, in_words, size_in_words, status_of

WIDTH, LABEL = 80, 16
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
        "open_alerts": decided.open_alerts,
        "outbox": decided.outbox,
        "last_24h": {key: n for key, n in decided.counts.items() if not key.startswith(REJECT)},
        "last_24h_rejects": {
            key.removeprefix(REJECT): n for key, n in decided.counts.items() if key.startswith(REJECT)
        },
        "dead_letters": status.dead_letters,
        "disk_bytes": {**status.disk, "free": status.free_bytes, "total": status.total_bytes},
    }


def as_text(status: Status, found: list[str], zone: str) -> str:
    rows = [_of_collector(one, status.now, zone) for one in status.collectors]
    if not rows:
        rows = [("collectors", "none")]
    if status.decided is not None:
        rows += _of_decided(status.decided, zone)
    used = ", ".join(f"{part} {size_in_words(n)}" for part, n in status.disk.items())
    free = f"{size_in_words(status.free_bytes)} of {size_in_words(status.total_bytes)} free"
    rows += [("dead letters", f"{status.dead_letters:,}"), ("disk", f"{used}; {free}")]
    lines = [_row(label, text) for label, text in rows]
    if not found:
        return "\n".join([*lines, "", "all is well"])
    hanging = {"initial_indent": "- ", "subsequent_indent": "  ", "width": WIDTH}
    return "\n".join([*lines, "", "needs attention:", *(textwrap.fill(one, **hanging) for one in found)])


def _of_collector(one: Collector, now: datetime, zone: str) -> tuple[str, str]:
    if one.last_received_at is None:
        return f"collector {one.name}", "nothing in its journal"
    newest = "none" if one.last_message_at is None else f"{in_words(now - one.last_message_at)} old"
    return (
        f"collector {one.name}",
        f"newest data {newest}; last row {_shown(one.last_received_at, zone)}, "
        f"clock {_shown(one.clock_at, zone)}; {one.undecided:,} messages not yet decided",
    )


def _of_decided(decided: Decided, zone: str) -> list[tuple[str, str]]:
    counts = decided.counts
    rejects = ", ".join(f"{key.removeprefix(REJECT)} {n:,}" for key, n in counts.items() if key.startswith(REJECT))
    others = ("duplicates", "rewritten", "late", "beyond_lateness", "events")
    levels = [f"{level} {decided.open_alerts[level]:,}" for level in reversed(LEVELS) if level in decided.open_alerts]
    return [
        (
            "engine",
            f"span {decided.span:,}; clock {_shown(decided.clock_at, zone)}, "
            f"journal read to {_shown(decided.cursor_at, zone)}",
        ),
        *((name, f"{spans:,} spans behind") for name, spans in decided.behind.items()),
        ("alerts", (", ".join(levels) or "none") + " open"),
        ("notifications", ", ".join(f"{n:,} {state}" for state, n in decided.outbox.items()) or "none"),
        (
            "last 24 h",
            f"{counts.get('messages', 0):,} messages, {counts.get('readings', 0):,} readings, "
            f"{counts.get('rejects', 0):,} rejects" + (f" ({rejects})" if rejects else ""),
        ),
        ("", ", ".join(f"{key} {counts.get(key, 0):,}" for key in others)),
    ]


def _row(label: str, text: str) -> str:
    if len(label) >= LABEL:
        label, text = "", f"{label}: {text}"
    return textwrap.fill(text, WIDTH, initial_indent=f"{label:<{LABEL}}", subsequent_indent=" " * LABEL)


def _shown(at: datetime | None, zone: str) -> str:
    return "none" if at is None else local(at, zone).isoformat(timespec="seconds")


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
