"""`greenisland portal`: the HTTP API and the pages alone, beside a centre that runs or is stopped."""

import logging
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from contracts.clock import SystemClock
from contracts.portal import Portal
from store.portal_db import PortalDbError

from ..site.files import load_site
from ..site.rule_files import compile_rules, load_rules


def portal_command(
    site: Annotated[Path, typer.Option(help="The site's directory.")],
    state: Annotated[Path, typer.Option(help="The state directory of `greenisland run`.")],
) -> None:
    """Serve the HTTP API until told to stop (SIGINT, SIGTERM)."""
    from ..portal.serve import NotServed, run_portal  # FastAPI only where it is needed

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if not state.is_dir():
        raise typer.BadParameter(f"{state} is not a folder", param_hint="--state")
    whole = load_site(site)
    placed = load_rules(site, whole)
    compile_rules(whole, placed)
    settings = whole.file.portal or Portal()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    typer.echo(f"portal on http://{settings.host}:{settings.port}", err=True)
    failed: list[Exception] = []

    def serve() -> None:
        try:
            run_portal(whole, [one.rule for one in placed], state, SystemClock(), stop, site)
        except (NotServed, PortalDbError) as error:
            failed.append(error)
        finally:
            stop.set()

    thread = threading.Thread(target=serve, name="portal")  # uvicorn then leaves the signals to us
    thread.start()
    while not stop.wait(1.0):
        pass
    thread.join()
    if failed:
        typer.echo(f"greenisland portal ended: {failed[0]}", err=True)
        raise typer.Exit(1)
