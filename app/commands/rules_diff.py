"""`greenisland rules diff`: what a change of rules changes, over one feed."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from contracts.civil_time import local
from store.feed import FeedError, read_feed

from ..explain.words import in_unit, number
from ..rule_tests.diff import (
    ALERT_CONTENT,
    ALERT_KEY,
    VERDICT_CONTENT,
    VERDICT_KEY,
    Compared,
    Difference,
    Row,
    compare,
    side_of,
)
from .rules_text import wrapped

LISTED = 20  # of each, without --all
SIGNS = {"appears": "+", "vanishes": "-", "changes": "~"}
_COLUMNS = [f"{kind} {what}" for kind in ("verdict", "alert") for what in SIGNS]


def rules_diff_command(
    old: Annotated[Path, typer.Argument(help="A folder of rules, or a site's directory.")],
    new: Annotated[Path, typer.Argument(help="A folder of rules, or a site's directory.")],
    feed: Annotated[list[Path], typer.Option(help="Feed files; they are one set of messages.")],
    site: Annotated[Path | None, typer.Option(help="The site whose rules the folders stand for.")] = None,
    show_all: Annotated[bool, typer.Option("--all", help=f"Every difference, not {LISTED} of each kind.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and every difference as JSON.")] = False,
) -> None:
    """Say which verdicts and alerts appear, vanish or change. Exit code 0: none; 1: some do."""
    sides = side_of(old, site), side_of(new, site)
    try:
        messages = read_feed(feed)
    except FeedError as error:
        raise typer.BadParameter(str(error), param_hint="--feed") from error
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("judging twice", total=2 * messages.height)
        compared = compare(*sides, messages, progress=lambda done: bar.update(task, completed=done))
    zone = sides[1].site.time_zone
    if as_json:
        print(json.dumps(as_data(compared, zone), ensure_ascii=False, indent=2))
    else:
        print("\n".join(as_text(compared, zone, show_all=show_all)))
    if not compared.is_same:
        raise typer.Exit(1)


def as_text(compared: Compared, zone: str, *, show_all: bool) -> Iterator[str]:
    """Lines of at most 80 columns: counts first, then alerts, then verdicts."""
    same = f"{compared.same_verdicts} verdicts and {compared.same_alerts} alerts are the same"
    if compared.is_same:
        yield f"nothing changes: {same}"
        return
    yield f"{'':44}{'verdicts':>18}{'alerts':>18}"
    yield f"{'station':<18}{'rule':<26}" + "".join(f"{sign:>6}" for sign in "+-~+-~")
    for (station, rule), n in compared.counts().items():
        if len(station) > 17 or len(rule) > 25:
            yield from wrapped(f"{station} {rule}", "", "  ")
            station = rule = ""
        yield f"{station:<18}{rule:<26}" + "".join(f"{n[column] or '.':>6}" for column in _COLUMNS)
    yield f"{same}; + appears, - vanishes, ~ changes"
    for name, rows, said in (("alerts", compared.alerts, _alert), ("verdicts", compared.verdicts, _verdict)):
        if not rows:
            continue
        shown = rows if show_all else _bounded(rows)
        yield ""
        yield f"{name}" + ("" if len(shown) == len(rows) else f", {len(shown)} of {len(rows)} (--all shows every one)")
        for one in shown:
            yield from wrapped(_difference(one, said, zone), f"  {SIGNS[one.what]} ", "      ")


def _bounded(rows: Sequence[Difference]) -> list[Difference]:
    """The first of each kind of difference; what reaches a level before what does not."""
    found = []
    for what in SIGNS:
        its = [one for one in rows if one.what == what]
        found += sorted(its, key=lambda one: not _is_beyond(one))[:LISTED]
    return found


def _is_beyond(one: Difference) -> bool:
    return any(row is not None and row["level"] is not None for row in (one.old, one.new))


def _difference(one: Difference, said: Callable[[Row, str], str], zone: str) -> str:
    row = one.row
    at = row.get("window_at") or datetime.fromisoformat(str(row["opened_at"]))
    assert isinstance(at, datetime)
    limit = f" {row['limit_id']}" if row["limit_id"] else ""
    head = f"{local(at, zone):%Y-%m-%d %H:%M} {row['station']}/{row['factor']} {row['rule']}{limit}:"
    sides = [said(side, zone) for side in (one.old, one.new) if side is not None]
    return f"{head} {' -> '.join(sides)}"


def _verdict(row: Row, _zone: str) -> str:
    state = str(row["state"]).replace("_", " ")
    parts = [state, *([str(row["level"])] if row["level"] else []), *([str(row["reason"])] if row["reason"] else [])]
    return f"{' '.join(parts)} ({_value(row, 'value_scaled')}, {row['valid_n']}/{row['expected_n']} valid)"


def _alert(row: Row, zone: str) -> str:
    peak = f"peak {row['peak_level']} {_value(row, 'peak_scaled')}"
    ended = row["resolved_at"]
    until = f"to {local(datetime.fromisoformat(str(ended)), zone):%m-%d %H:%M}" if ended else "still open"
    return f"{row['level']}, {peak}, {until}"


def _value(row: Row, key: str) -> str:
    value = in_unit(number(row[key], row["decimals"]), row["unit"])
    limit = "" if row["limit_scaled"] is None else f", limit {number(row['limit_scaled'], row['decimals'])}"
    return f"{value}{limit}"


def as_data(compared: Compared, zone: str) -> dict[str, object]:
    def rows(found: Sequence[Difference], names: Sequence[str]) -> list[dict[str, object]]:
        return [
            {"what": one.what, "old": _plain(one.old, names, zone), "new": _plain(one.new, names, zone)}
            for one in found
        ]

    return {
        "same": compared.is_same,
        "same_verdicts": compared.same_verdicts,
        "same_alerts": compared.same_alerts,
        "counts": [
            {"station": station, "rule": rule, **{column.replace(" ", "s_"): n[column] for column in _COLUMNS}}
            for (station, rule), n in compared.counts().items()
        ],
        "alerts": rows(compared.alerts, (*ALERT_KEY, *ALERT_CONTENT)),
        "verdicts": rows(compared.verdicts, (*VERDICT_KEY, *VERDICT_CONTENT)),
    }


def _plain(row: Row | None, names: Sequence[str], zone: str) -> dict[str, object] | None:
    if row is None:
        return None
    return {
        name: local(value, zone).isoformat() if isinstance(value := row[name], datetime) else value for name in names
    }
