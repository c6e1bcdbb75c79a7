"""`greenisland replay`: the production path over a feed, offline."""

import json
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.progress import Progress

from contracts.records import decode
from contracts.topics import JOURNAL_SITE
from store.feed import FeedError, read_feed

from ..evidence.link import Broken
from ..replay import STEP_ROWS, replay
from ..site.kept import KeptSite, from_directory, from_kept


def replay_command(
    feed: Annotated[list[Path], typer.Argument(help="Feed files; they are one set of messages.")],
    out: Annotated[Path, typer.Option(help="Directory for the outputs.")],
    site: Annotated[Path | None, typer.Option(help="The site's directory; it decides throughout.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="A state directory: the sites it keeps decide, each from its $site row on.")
    ] = None,
    open_end: Annotated[bool, typer.Option(help="Leave windows open at the feed's end, as a running system.")] = False,
    step_rows: Annotated[int, typer.Option(help="Messages a step: memory and speed, never results.")] = STEP_ROWS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Judge a feed: aggregates and verdicts (.parquet), alerts, notifications and cases (.ndjson), summary.json."""
    if site is None and state is None:
        raise typer.BadParameter("name the site's directory, or the state directory that keeps it", param_hint="--site")
    given = None if site is None else from_directory(site)
    try:
        messages = read_feed(feed)
    except FeedError as error:
        raise typer.BadParameter(str(error), param_hint="FEED") from error
    first = given or _first(messages, state)
    console = Console(stderr=True)
    began_s = time.perf_counter()
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=messages.height)
        outputs = replay(
            messages,
            first.site,
            first.rules,
            step_rows=step_rows,
            close=not open_end,
            progress=lambda done: bar.update(task, completed=done),
            load=(lambda _: None) if state is None else partial(_kept, state),
        )
    summary = outputs.write(out, seconds=time.perf_counter() - began_s)
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
        return
    for key, value in summary.items():
        print(f"{key}: {value}")


def _kept(state: Path, name: str) -> KeptSite:
    try:
        return from_kept(state, name)
    except Broken as broken:
        raise typer.BadParameter(str(broken), param_hint="--state") from broken


def _first(messages: pl.DataFrame, state: Path | None) -> KeptSite:
    """Of the feed's first `$site` row; it decides what comes before it, too."""
    assert state is not None
    rows = messages.filter(pl.col("topic") == JOURNAL_SITE).sort("received_at", "source", "topic", "payload")
    if rows.is_empty():
        said = "the feed has no $site row that says which site holds: name the one that held with --site"
        raise typer.BadParameter(said, param_hint="--state")
    return _kept(state, decode(rows["payload"][0]).body["sha256"])
