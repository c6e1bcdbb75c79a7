"""`greenisland reload`: other rules and limits for a centre that runs, without stopping anything."""

import getpass
import json
from pathlib import Path
from typing import Annotated

import typer

from contracts.clock import SystemClock
from contracts.ports import JournalFailure

from ..evidence.link import Broken
from ..operators import spool as operator_spool
from ..operators.record import seconds, state_directory, words
from ..reloading import cannot_follow, needs_restart
from ..site.files import load_site
from ..site.kept import from_kept
from ..site.record import activating, keep, last_activated, site_content
from ..site.rule_files import compile_rules, load_rules
from .mark import BY, JSON

WAIT = Annotated[str, typer.Option(help="How long to wait for the collector to journal it.")]


def reload_command(
    site: Annotated[Path, typer.Option(help="The site's directory, as it is to hold from now on.")],
    state: Annotated[Path, typer.Option(help="The state directory of `greenisland run`.")],
    by: BY = None,
    wait: WAIT = "10s",
    as_json: JSON = False,
) -> None:
    """Activate the site's rules, limits and routes while the centre runs. Open windows and alerts go on.

    The site is checked as a whole first. Exit code 1: it was not activated, and what held before holds on.
    """
    wait_s = seconds(wait, "--wait")
    whole = load_site(site)
    compile_rules(whole, load_rules(site, whole))
    state_directory(state)
    actor = words(by if by is not None else getpass.getuser(), "--by")
    try:
        last = last_activated(state)
    except JournalFailure as error:
        raise _refused(f"a journal cannot be read: {error}") from error
    if last is None:
        raise _refused(f"nothing runs in {state} yet: start it with `greenisland run`")
    digest = keep(site_content(site, whole.file.library), state)
    if digest == last.body["sha256"]:
        _tell(as_json, digest, "it holds already: nothing is activated", is_activated=False)
        return
    try:
        now = from_kept(state, last.body["sha256"]).site
    except Broken as broken:
        raise _refused(f"the site that holds cannot be read: {broken}; start `greenisland run` again") from broken
    if (why := cannot_follow(now, whole)) is not None:
        raise _refused(f"{why}; it needs a state directory of its own")
    if other := needs_restart(now, whole):
        raise _refused(f"other than rules and limits is changed ({', '.join(other)}): start `greenisland run` again")
    _, path = operator_spool.put(state, activating(digest, actor, "cli", SystemClock().now()))
    if not operator_spool.in_journal(path, wait_s):
        path.unlink(missing_ok=True)  # started later, it must not take over from what was started with
        said = f"no collector took it within {wait}: does the first collector run?"
        raise _refused(said)
    _tell(as_json, digest, "it is in the journal, and holds from there on", is_activated=True)


def _refused(why: str) -> typer.Exit:
    typer.echo(f"not activated: {why}", err=True)
    return typer.Exit(1)


def _tell(as_json: bool, digest: str, said: str, *, is_activated: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"site": digest, "activated": is_activated, "said": said}, ensure_ascii=False))
    else:
        typer.echo(f"site {digest[:12]}: {said}")
