"""`greenisland rules explain`: how a verdict came about, step by step, from the production path run again."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from store.feed import FeedError

from ..evidence.link import Broken
from ..explain.explanation import Explanation, explain
from ..explain.run import NotJudged
from ..explain.source import Explained, from_feed, from_state, rule_named, site_named
from ..feeds.record import NoJournal
from ..site.yaml_lines import suggestion
from .rules_text import steps_text, wrapped


def rules_explain_command(
    rule: Annotated[str, typer.Argument(help="The rule's id.")],
    point: Annotated[str, typer.Argument(help="STATION/FACTOR; converted factors are zs_...")],
    at: Annotated[str, typer.Option("--at", help="An instant of the window, ISO 8601 with offset.")],
    site: Annotated[Path, typer.Option(help="The site's directory, or STATE/sites/HASH.json of a kept one.")],
    feed: Annotated[Path | None, typer.Option(help="A feed; all of it is judged.")] = None,
    state: Annotated[Path | None, typer.Option(help="A state directory; what is needed of its journals is.")] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Every input on its own line, with its message.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the steps as JSON, every input included.")] = False,
) -> None:
    """Say how a verdict came about: inputs, completeness, conversion, rounding, limit, alert, revisions.

    Exit code 1: no window was decided there.
    """
    if (feed is None) == (state is None):
        raise typer.BadParameter("give either --feed or --state: from where the messages are taken")
    instant = _instant(at)
    began_s = time.perf_counter()
    try:
        found = _run(rule, point, instant, site, feed, state)
    except (NotJudged, FeedError, NoJournal, Broken) as error:
        raise typer.BadParameter(str(error)) from error
    explanation = explain(found.run, instant, show_all=show_all)
    seconds = time.perf_counter() - began_s
    if as_json:
        print(json.dumps(as_data(explanation, found, seconds), ensure_ascii=False, indent=2, default=str))
    else:
        print("\n".join(as_text(explanation, found, seconds)))
    if not explanation.steps:
        raise typer.Exit(1)


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        said = f"{text!r} is not an instant; write one like 2026-03-01T08:00:00+08:00"
        raise typer.BadParameter(said, param_hint="--at") from error
    if at.utcoffset() is None:
        said = f"{text!r} has no offset; write it like 2026-03-01T08:00:00+08:00"
        raise typer.BadParameter(said, param_hint="--at")
    return at


def _run(name: str, point: str, at: datetime, site: Path, feed: Path | None, state: Path | None) -> Explained:
    kept = site_named(site)
    rule = rule_named(kept.rules, name)
    if rule is None:
        hint = suggestion(name, [one.id for one in kept.rules]) or "; `greenisland rules list` names them"
        raise NotJudged(f"{name!r} is not a rule of this site{hint}")
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("judging again", total=None)
        progress: Callable[[int], None] = lambda done: bar.update(task, completed=done)  # noqa: E731
        if feed is not None:
            return from_feed(kept, rule, point, feed, progress)
        assert state is not None
        return from_state(kept, site, rule, point, state, at, progress)


def as_text(explanation: Explanation, found: Explained, seconds: float) -> Iterator[str]:
    """Lines of at most 80 columns."""
    yield from wrapped(f"rule {explanation.rule} on {explanation.point}", "", "  ")
    for line in explanation.head:
        yield from wrapped(line, "", "  ")
    yield from steps_text(explanation)
    yield ""
    for note in explanation.notes + found.notes:
        yield from wrapped(f"note: {note}", "", "  ")
    yield from wrapped(_read(found, seconds), "", "  ")


def _read(found: Explained, seconds: float) -> str:
    return f"judged again from {found.source}: {found.run.messages} messages in {seconds:.1f} s"


def as_data(explanation: Explanation, found: Explained, seconds: float) -> dict[str, object]:
    return {
        "rule": explanation.rule,
        "point": explanation.point,
        **explanation.facts,
        "is_decided": bool(explanation.steps),
        "steps": [{"title": step.title, "lines": step.lines, **step.facts} for step in explanation.steps],
        "notes": explanation.notes + found.notes,
        "source": found.source,
        "messages": found.run.messages,
        "seconds": round(seconds, 3),
    }
