"""`greenisland backup` and `restore`: a copy of a running centre's state, and going on from it."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TextColumn

from contracts.clock import SystemClock
from contracts.instants import EPOCH, MICROSECOND
from store.backup import JOURNAL, BackupRefused, back_up, read_manifest, restore
from store.journal_reader import verify_chain

from ..health.status import size_in_words


def backup_command(
    state: Annotated[Path, typer.Option(help="The state directory of `greenisland run`.")],
    out: Annotated[Path, typer.Option(help="Where to: an absent or empty directory.")],
    previous: Annotated[
        Path | None,
        typer.Option(help="An earlier backup on the same file system: what did not change is linked, not copied."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Copy a centre's state so that it can go on from the copy. Stops nothing."""
    try:
        with _bytes_shown("copying") as told:
            done = back_up(state, out, SystemClock().now(), previous=previous, told=told)
    except (BackupRefused, sqlite3.Error, OSError) as error:
        _fail(str(error))
    summary = {
        "backup": str(out),
        "files": done.files,
        "linked": done.linked,
        "bytes": done.bytes,
        "decided_to": _iso(done.cursor_us),
    }
    if as_json:
        typer.echo(json.dumps(summary))
        return
    typer.echo(f"{out}: {done.files:,} files, {size_in_words(done.bytes)}, {done.linked:,} of them linked")
    typer.echo(f"decided up to {_iso(done.cursor_us) or 'nothing yet'}; what was received since is in its journals")


def restore_command(
    from_: Annotated[Path, typer.Option("--from", help="A directory `greenisland backup` made.")],
    state: Annotated[Path, typer.Option(help="The state directory to make: absent or empty.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Put a backup back, every file checked; then check the journals' chain. Exit code 1: do not start from it."""
    try:
        taken_at = read_manifest(from_)["taken_at"]
        with _bytes_shown("restoring") as told:
            done = restore(from_, state, told=told)
    except (BackupRefused, sqlite3.Error, OSError) as error:
        _fail(str(error))
    collectors = sorted(path for path in (state / JOURNAL).glob("*") if path.is_dir())
    broken = [broken for path in collectors if (broken := verify_chain(path)) is not None]
    summary = {
        "state": str(state),
        "taken_at": taken_at,
        "files": done.files,
        "bytes": done.bytes,
        "decided_to": _iso(done.cursor_us),
        "collectors": [path.name for path in collectors],
        "broken": [f"{one.segment.relative_to(state)}: {one.detail}" for one in broken],
    }
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        typer.echo(f"{state}: {done.files:,} files, {size_in_words(done.bytes)}, backed up {taken_at}")
        typer.echo(f"decided up to {_iso(done.cursor_us) or 'nothing yet'}")
        for name in summary["collectors"]:
            typer.echo(f"journal {name}")
        for line in summary["broken"]:
            typer.echo(f"broken: {line}", err=True)
    raise typer.Exit(1 if broken else 0)


@contextmanager
def _bytes_shown(what: str) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), DownloadColumn(binary_units=True))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda n: bar.advance(task, n)


def _iso(us: int) -> str | None:
    return (EPOCH + us * MICROSECOND).isoformat() if us else None


def _fail(message: str) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(1)
