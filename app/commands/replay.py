"""`greenisland replay`: the production path over a feed, offline."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from store.feed import FeedError, read_feed

from ..replay import STEP_ROWS, replay
from ..site.files import load_site
from ..site.rule_files import compile_rules, load_rules


def replay_command(
    feed: Annotated[list[Path], typer.Argument(help="Feed files; they are one set of messages.")],
    site: Annotated[Path, typer.Option(help="The site's directory.")],
    out: Annotated[Path, typer.Option(help="Directory for the outputs.")],
    open_end: Annotated[bool, typer.Option(help="Leave windows open at the feed's end, as a running system.")] = False,
    step_rows: Annotated[int, typer.Option(help="Messages a step: memory and speed, never results.")] = STEP_ROWS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Judge a feed and write aggregates.parquet, verdicts.parquet, alerts.ndjson and summary.json."""
    whole = load_site(site)
    placed = load_rules(site, whole)
    compile_rules(whole, placed)
    try:
        messages = read_feed(feed)
    except FeedError as error:
        raise typer.BadParameter(str(error), param_hint="FEED") from error
    console = Console(stderr=True)
    began_s = time.perf_counter()
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=messages.height)
        outputs = replay(
            messages,
            whole,
            [one.rule for one in placed],
            step_rows=step_rows,
            close=not open_end,
            progress=lambda done: bar.update(task, completed=done),
        )
    summary = outputs.write(out, seconds=time.perf_counter() - began_s)
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
        return
    for key, value in summary.items():
        print(f"{key}: {value}")
