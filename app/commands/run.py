"""`greenisland run`: collect, decide, keep and tell."""

import logging
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from contracts.clock import SystemClock
from contracts.ports import JournalFailure
from store.sqlite_damage import StateDamaged
from store.state_db import StateError

from ..service.engine import RecoveryFailure
from ..service.processes import PARTS, run_parts
from ..site.files import load_site
from ..site.record import keep, site_content
from ..site.rule_files import compile_rules, load_rules

IN_WORDS = (JournalFailure, RecoveryFailure, StateDamaged, StateError)  # each says what is wrong and what to do


def run_command(
    site: Annotated[Path, typer.Option(help="The site's directory.")],
    state: Annotated[Path, typer.Option(help="Directory for journal, state.db, span files and archive.")],
    part: Annotated[
        list[str] | None, typer.Option(help=f"Only these parts: {', '.join(PARTS)}. Default: all of them.")
    ] = None,
    collector: Annotated[str | None, typer.Option(help="Which of the site's collectors this process is.")] = None,
) -> None:
    """Run the site until it is told to stop (SIGINT, SIGTERM)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    unknown = sorted(set(part or ()) - set(PARTS))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}; parts are {', '.join(PARTS)}", param_hint="--part")
    whole = load_site(site)
    placed = load_rules(site, whole)
    compile_rules(whole, placed)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        run_parts(
            whole,
            [one.rule for one in placed],
            state,
            SystemClock(),
            stop,
            part or PARTS,
            collector=collector,
            site_sha256=keep(site_content(site, whole.file.library), state),
        )
    except IN_WORDS as error:
        typer.echo(f"greenisland run ended: {error}", err=True)
        raise typer.Exit(1) from error
