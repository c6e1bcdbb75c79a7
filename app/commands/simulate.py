"""`greenisland simulate`: a site's stations as a feed file, with the truth beside it."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.progress import Progress

from contracts.durations import parse_duration
from contracts.frames import MESSAGES, TRUTH, empty


def simulate(
    site: Annotated[Path, typer.Option(help="The site's directory.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")],
    from_: Annotated[str, typer.Option("--from", help="First instant, ISO 8601 with offset.")],
    for_: Annotated[str, typer.Option("--for", help="How long: 90s, 15m, 2h, 1d.")],
    out: Annotated[Path, typer.Option(help="Feed file to write; the truth goes to OUT.truth.parquet.")],
    scenario: Annotated[str, typer.Option(help="A scenario's name, or the path of a .yaml file.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Simulate a site's stations and write their messages as a feed."""
    from simulators.simulate import LiveSimulator, clock_rows, feed_frame, spans
    from store.feed import write_feed
    from store.parquet import write_parquet

    from ..site.files import load_site

    try:
        from_at, length = _instant(from_), parse_duration(for_)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    registry = load_site(site)
    try:
        live = LiveSimulator(registry, seed, scenario)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(f"--scenario: {error}") from error
    to_at = from_at + length
    frames = [empty(MESSAGES)]
    with Progress(console=Console(stderr=True), disable=as_json, transient=True) as progress:
        for part_at, end_at in progress.track(spans(from_at, to_at), description="simulating"):
            clock = clock_rows(registry, part_at, end_at)
            frames.append(feed_frame(live.messages(part_at, end_at) + clock))
    messages = write_feed(pl.concat(frames, rechunk=True), out)
    truth_path = out.with_name(out.name + ".truth.parquet")
    truth = live.truth(from_at, to_at)
    write_parquet(truth, truth_path, ["from_at", "station", "incident", "factor"], TRUTH)
    summary = {"feed": str(out), "messages": messages, "truth": str(truth_path), "incidents": truth.height}
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
    else:
        typer.echo(f"{messages} messages in {out}, {truth.height} labelled incidents in {truth_path}")


def _instant(text: str) -> datetime:
    """Raises ValueError in the user's words."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"--from: {text!r} is not an instant; write one like 2026-03-01T08:00:00+08:00") from error
    if at.tzinfo is None:
        raise ValueError(f"--from: {text!r} has no offset; write it like 2026-03-01T08:00:00+08:00")
    return at
