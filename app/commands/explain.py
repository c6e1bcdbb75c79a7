"""`greenisland explain`: an alert from raw messages to what was sent; `--verify` derives it again and compares."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from store.alert_reads import NotReadable

from ..evidence.link import Broken
from ..explain.of_alert import AlertExplained, NoAlert, explain_alert
from ..explain.run import NotJudged
from ..feeds.record import NoJournal
from ..site.yaml_lines import SiteErrors
from .rules_text import steps_text, wrapped


def explain_command(
    alert: Annotated[str, typer.Argument(help="The alert's id: `greenisland alerts list` names them.")],
    state: Annotated[Path, typer.Option(help="The state directory.")],
    site: Annotated[
        Path | None, typer.Option(help="A site's directory or STATE/sites/HASH.json; else the one in force.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Derive it again and say whether it is equal.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Every input on its own line, with its message.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say how an alert came about: messages, windows, limit, verdict, transitions, what was sent to whom.

    Exit code 1: with `--verify`, it does not come out the same.
    """
    console = Console(stderr=True)
    try:
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("judging again", total=None)
            progress: Callable[[int], None] = lambda done: bar.update(task, completed=done)  # noqa: E731
            found = explain_alert(state, alert, site, compare=verify, show_all=show_all, progress=progress)
    except (NoAlert, NotReadable, NoJournal, NotJudged, Broken, SiteErrors) as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        print(json.dumps(as_data(found), ensure_ascii=False, indent=2, default=str))
    else:
        print("\n".join(as_text(found)))
    if found.differences:
        raise typer.Exit(1)


def as_text(found: AlertExplained) -> Iterator[str]:
    """Lines of at most 80 columns."""
    alert, window = found.alert, found.window
    yield from wrapped(f"alert {alert['id']}: rule {window.rule} on {window.point}", "", "  ")
    gone = "; withdrawn by late data" if alert["is_withdrawn"] else ""
    yield from wrapped(f"{alert['state']}, {alert['level']}, since {alert['opened_at']}{gone}", "", "  ")
    yield ""
    yield "its worst window:"
    for line in window.head:
        yield from wrapped(line, "", "  ")
    yield from steps_text(window)
    yield ""
    yield "what became of it:"
    for told in found.told:
        yield from wrapped(f"{told.at.isoformat(timespec='seconds')} {told.transition.replace('_', ' ')}", "  ", "    ")
        yield from wrapped(told.en, "    ", "    ")
        yield from wrapped(told.zh, "    ", "    ")
    yield ""
    yield "what was sent:"
    if not found.sent:
        yield "  nothing"
    for sent in found.sent:
        yield from wrapped(f"{sent.channel}, {sent.state}: {sent.text}", "  ", "    ")
        for receipt in sent.receipts:
            yield from wrapped(receipt, "    ", "      ")
    yield ""
    if found.compared:
        held = " and ".join(found.compared)
        for line in found.differences:
            yield from wrapped(f"DIFFERS: {line}", "", "  ")
        if not found.differences:
            yield from wrapped(f"derived again, equal: {held}", "", "  ")
    for note in window.notes + found.found.notes:
        yield from wrapped(f"note: {note}", "", "  ")
    yield from wrapped(f"judged again from {found.found.source}: {found.found.run.messages} messages", "", "  ")


def as_data(found: AlertExplained) -> dict[str, object]:
    window = found.window
    return {
        "alert": found.alert,
        "rule": window.rule,
        "point": window.point,
        **window.facts,
        "steps": [{"title": step.title, "lines": step.lines, **step.facts} for step in window.steps],
        "told": [vars(one) for one in found.told],
        "sent": [vars(one) for one in found.sent],
        "compared": found.compared,
        "is_equal": not found.differences if found.compared else None,
        "differences": found.differences,
        "notes": window.notes + found.found.notes,
        "source": found.found.source,
        "messages": found.found.run.messages,
    }
