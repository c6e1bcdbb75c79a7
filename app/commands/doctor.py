"""`greenisland doctor`: whether the machine, the broker, the stores and the secrets are as a centre needs them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from contracts.clock import SystemClock

from ..health.doctor import Finding, as_dict, examine
from ..site.files import load_site

SIGNS = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


def doctor_command(
    site: Annotated[Path, typer.Option(help="The site's directory.")],
    state: Annotated[Path, typer.Option(help="The state directory of `greenisland run`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Look at what a centre needs around it, as the user who runs it. Exit code 1: something is an error."""
    whole, found = load_site(site), []
    for finding in examine(whole, state, SystemClock().now):
        found.append(finding)
        if not as_json:
            _say(finding)
    errors = sum(one.level == "error" for one in found)
    warnings = sum(one.level == "warning" for one in found)
    if as_json:
        typer.echo(json.dumps({"errors": errors, "warnings": warnings, "findings": [as_dict(one) for one in found]}))
    else:
        typer.echo(f"\n{errors} errors, {warnings} warnings")
    raise typer.Exit(1 if errors else 0)


def _say(finding: Finding) -> None:
    typer.echo(f"{SIGNS[finding.level]} {finding.what}: {finding.said}")
    if finding.do:
        typer.echo(f"        {finding.do}")
