"""`greenisland run`: collect, decide, keep and tell."""

import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from contracts.clock import SystemClock
from contracts.metrics import Metrics
from contracts.ports import JournalFailure
from contracts.site import Site
from store.sqlite_damage import StateDamaged
from store.state_db import StateError

from ..evidence.link import Broken
from ..health.logs import Form, configure
from ..health.metrics import Figures
from ..health.metrics_server import NotServed, serving
from ..reloading import cannot_follow
from ..service.engine import RecoveryFailure
from ..service.processes import PARTS, run_parts
from ..site.files import load_site
from ..site.kept import from_kept
from ..site.record import keep, last_activated, site_content
from ..site.rule_files import compile_rules, load_rules

IN_WORDS = (
    JournalFailure,
    NotServed,
    RecoveryFailure,
    StateDamaged,
    StateError,
)  # each says what is wrong and what to do


def run_command(
    site: Annotated[Path, typer.Option(help="The site's directory.")],
    state: Annotated[Path, typer.Option(help="Directory for journal, state.db, span files and archive.")],
    part: Annotated[
        list[str] | None, typer.Option(help=f"Only these parts: {', '.join(PARTS)}. Default: all of them.")
    ] = None,
    collector: Annotated[str | None, typer.Option(help="Which of the site's collectors this process is.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="HOST:PORT for /metrics, /healthz and /readyz, instead of the site's.")
    ] = None,
    log: Annotated[Form, typer.Option(help="A line of text, or a JSON object a line.")] = "text",
) -> None:
    """Run the site until it is told to stop (SIGINT, SIGTERM)."""
    configure(log)
    unknown = sorted(set(part or ()) - set(PARTS))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}; parts are {', '.join(PARTS)}", param_hint="--part")
    whole = load_site(site)
    placed = load_rules(site, whole)
    compile_rules(whole, placed)
    if "senders" in (part or PARTS):
        from ..sending.channels import check_channels  # and all clients; the other parts start without them

        check_channels(whole)
    if (why := cannot_run(state, whole)) is not None:
        typer.echo(f"greenisland run does not start: {why}", err=True)
        raise typer.Exit(1)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    address = _address(metrics) if metrics is not None else whole.file.metrics
    figures = Figures(whole, state, SystemClock(), part or PARTS, collector)
    try:
        with nullcontext() if address is None else serving(figures, address.host, address.port):
            run_parts(
                whole,
                [one.rule for one in placed],
                state,
                SystemClock(),
                stop,
                part or PARTS,
                collector=collector,
                metrics=figures.collector,
                site_sha256=keep(site_content(site, whole.file.library), state),
                site_dir=site,
                told=figures.told,
            )
    except IN_WORDS as error:
        typer.echo(f"greenisland run ended: {error}", err=True)
        raise typer.Exit(1) from error


def cannot_run(state: Path, site: Site) -> str | None:
    """Why the state directory cannot go on with the site; None: it can, or nobody knows by which it was made."""
    try:
        last = last_activated(state)
        now = None if last is None else from_kept(state, last.body["sha256"])
    except (JournalFailure, Broken):
        return None  # whoever needs it says so
    if now is None or (why := cannot_follow(now.site, site)) is None:
        return None
    return f"{state} was made by another site, and this one cannot go on with it: {why}. Give it a directory of its own"


def _address(said: str) -> Metrics:
    host, _, port = said.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise typer.BadParameter(f"{said!r} is not HOST:PORT; write one like 127.0.0.1:9464", param_hint="--metrics")
    return Metrics(host=host.strip("[]"), port=int(port))
