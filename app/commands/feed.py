"""`greenisland feed record` and `feed play`: journals become a feed, a feed goes into a broker."""

import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.progress import Progress

from contracts.durations import format_duration
from store.feed import FeedError, read_feed, write_feed
from store.journal import JournalFailure

from ..feeds.play import PlayError, parse_target, play, select
from ..feeds.record import NoJournal, record


def record_command(
    state: Annotated[Path, typer.Option(help="The state directory of `greenisland run`.")],
    out: Annotated[Path, typer.Option(help="The feed to write (Parquet).")],
    from_: Annotated[str | None, typer.Option("--from", help="Received at or after; ISO 8601 with offset.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Received before; ISO 8601 with offset.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Write what the journals of all collectors hold as a feed, with the journal's own rows. Stops nothing."""
    from_at, to_at = _instant(from_, "--from"), _instant(to, "--to")
    if from_at and to_at and from_at >= to_at:
        raise typer.BadParameter(f"{from_} is not before {to}", param_hint="--from, --to")
    if not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder {out.parent} does not exist", param_hint="--out")
    console = Console(stderr=True)
    try:
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("reading", total=None)
            parts = record(state, from_at, to_at, lambda rows: bar.advance(task, rows))
    except NoJournal as error:
        raise typer.BadParameter(str(error), param_hint="--state") from error
    except (sqlite3.Error, JournalFailure) as error:
        _fail(f"{state}: a journal cannot be read: {error}")
    feed = pl.concat(parts.values())
    if feed.is_empty():
        _fail("the journals hold nothing of that span; no feed was written")
    written = write_feed(feed, out)
    own = feed.filter(pl.col("topic").str.starts_with("$")).height
    first_at, last_at = feed["received_at"].min(), feed["received_at"].max()
    if as_json:
        summary = {
            "feed": str(out),
            "rows": written,
            "messages": written - own,
            "own_rows": own,
            "collectors": {name: part.height for name, part in parts.items()},
            "first_at": first_at.isoformat(),
            "last_at": last_at.isoformat(),
        }
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    for name, part in parts.items():
        typer.echo(f"collector {name}: {part.height:,} rows")
    typer.echo(f"{out}: {written - own:,} messages and {own:,} rows of the journals' own,")
    typer.echo(f"received {first_at.isoformat()} to {last_at.isoformat()}")


def play_command(
    feed: Annotated[list[Path], typer.Argument(help="Feed files; they are one set of messages.")],
    broker: Annotated[str, typer.Option(help="mqtt://host:port, or mqtts://host:port for TLS.")],
    speed: Annotated[
        float, typer.Option(min=0, help="So many times the recorded pace; 0: as fast as acknowledged.")
    ] = 1.0,
    user: Annotated[str | None, typer.Option(help="User name; it needs the right to write these topics.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="A file with the password.", exists=True, dir_okay=False)
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="TLS, trusting this certificate authority.", exists=True, dir_okay=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Publish a feed's messages (QoS 1) in their order and at their pace; the journal's own rows are left out."""
    try:
        target = parse_target(broker, user, password_file, ca_file)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint="--broker") from error
    try:
        selected = select(read_feed(feed))
    except FeedError as error:
        raise typer.BadParameter(str(error), param_hint="FEED") from error
    messages = selected.messages
    if messages.is_empty():
        _fail("the feed holds no message of a station; nothing was published")
    console = Console(stderr=True)
    if speed and console.is_terminal:
        length = (messages["received_at"][-1] - messages["received_at"][0]) / speed
        typer.echo(f"{messages.height:,} messages in {format_duration(length)}", err=True)
    try:
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("playing", total=messages.height)
            done = play(messages, target, speed, lambda acknowledged: bar.update(task, completed=acknowledged))
    except PlayError as error:
        _fail(f"{error}\n{error.acknowledged:,} of {messages.height:,} messages were acknowledged before")
    summary = {
        "acknowledged": done.acknowledged,
        "own_rows": selected.own,
        "unpublishable": selected.unpublishable,
        "seconds": round(done.seconds, 3),
        "behind_s_max": round(done.behind_s, 3),
    }
    if as_json:
        typer.echo(json.dumps(summary))
        return
    rate = done.acknowledged / done.seconds if done.seconds else 0
    typer.echo(f"{done.acknowledged:,} messages acknowledged in {done.seconds:.1f} s ({rate:,.0f}/s)")
    typer.echo(f"{selected.own:,} rows of the journal's own left out")
    if selected.unpublishable:
        typer.echo(f"{selected.unpublishable:,} left out: no client may publish to such a topic")
    if speed:
        typer.echo(f"at most {done.behind_s:.3f} s behind the pace")


def _instant(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is not an instant; write one like 2026-03-01T08:00:00+08:00"
        raise typer.BadParameter(message, param_hint=option) from error
    if at.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no offset; write it like 2026-03-01T08:00:00+08:00", param_hint=option)
    return at


def _fail(message: str) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(1)
