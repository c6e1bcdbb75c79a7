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

from ..health.logs import Form, configure
from ..site.files import load_site
from ..site.rule_files import compile_rules, load_rules

log = logging.getLogger(__name__)


def portal_command(
    site: Annotated[Path, typer.Option(help="The site's directory.")],
    state: Annotated[Path, typer.Option(help="The state directory of `greenisland run`.")],
    log_form: Annotated[Form, typer.Option("--log", help="A line of text, or a JSON object a line.")] = "text",
) -> None:
    """Serve the HTTP API and the pages until told to stop (SIGINT, SIGTERM)."""
    from ..portal.serve import NotServed, run_portal  # FastAPI only where it is needed

    configure(log_form)
    if not state.is_dir():
        raise typer.BadParameter(f"{state} is not a folder", param_hint="--state")
    whole = load_site(site)
    placed = load_rules(site, whole)
    compile_rules(whole, placed)
    settings = whole.file.portal or Portal()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    log.info("portal on http://%s:%s", settings.host, settings.port)
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
