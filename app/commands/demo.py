"""`greenisland demo`: a whole centre on this machine, without a server: a day of history, then live, with incidents."""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.catalogue import Language
from contracts.catalogue.screen import WORDS
from contracts.durations import parse_duration

from ..site.files import load_site
from ..site.rule_files import compile_rules, load_rules

EXAMPLE_SITE = Path(__file__).resolve().parents[2] / "deploy" / "sites" / "zunyi"


def demo_command(
    site: Annotated[
        Path | None, typer.Option(help="The site's directory. Default: deploy/sites/zunyi of the checkout.")
    ] = None,
    speed: Annotated[float, typer.Option(min=1, max=240, help="Simulated seconds a real second.")] = 60.0,
    for_: Annotated[
        str | None, typer.Option("--for", help="How long to be live: 60s, 5m. Default: until Ctrl-C.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated world.")] = 1,
    state: Annotated[
        Path | None, typer.Option(help="An empty directory to keep. Default: a temporary one, removed at the end.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="zh or en. Default: zh if the locale is Chinese.")] = None,
    viewer: Annotated[
        bool, typer.Option(help="Boards and alerts in a browser, on the loopback, with a login made for this run.")
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object; all else goes to stderr.")
    ] = False,
) -> None:
    """A centre with simulated stations: 24 h of history are worked off, then it goes live, with incidents.

    Needs no server, no Docker and no rights: the broker is inside, on the loopback. Everything shown is simulated.
    """

    from ..demo.run import DemoFailure, Options, run_demo
    from ..demo.summary import print_summary

    if language not in (None, "zh", "en"):
        raise typer.BadParameter(f"{language!r}; there are zh and en", param_hint="--language")
    spoken = language or language_of(dict(os.environ))
    try:
        for_s = None if for_ is None else parse_duration(for_).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from error
    directory = site or EXAMPLE_SITE
    if not (directory / "site.yaml").is_file():
        hint = "" if site else "; it is part of the source tree, name another with --site"
        raise typer.BadParameter(f"{directory} holds no site.yaml{hint}", param_hint="--site")
    if state is not None and state.exists() and (not state.is_dir() or any(state.iterdir())):
        raise typer.BadParameter(f"{state} is not an empty directory", param_hint="--state")
    whole = load_site(directory)
    placed = load_rules(directory, whole)
    compile_rules(whole, placed)

    stop = threading.Event()

    def told_to_stop(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)  # a second one does not wait

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, told_to_stop)
    console = Console(stderr=as_json)
    options = Options(
        whole, [one.rule for one in placed], seed, speed, for_s, state, spoken, site_dir=directory, pages=viewer
    )
    try:
        summary = run_demo(options, console, stop)
    except DemoFailure as error:
        print(f"greenisland demo: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    print_summary(summary, whole.time_zone, spoken, console)
    if state is not None:
        console.print(WORDS["kept"][spoken].format(path=state), markup=False, highlight=False)
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))


def language_of(environment: dict[str, str]) -> Language:
    """zh where the locale says so, else en; the first of LC_ALL, LC_MESSAGES, LANG that is set decides."""
    named = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return "zh" if named.lower().startswith("zh") else "en"
