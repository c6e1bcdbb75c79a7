"""`greenisland bench`: what this machine reaches."""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

FULL_ROUNDS, QUICK_ROUNDS = 5, 2
QUICK_SHARE = 0.02


def bench_command(
    case: Annotated[list[str] | None, typer.Argument(help="Which cases; all of them by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON on stdout.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds only: to see that it runs, not how fast.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where disk cases write; they measure this disk. Default: the temporary folder.")
    ] = None,
) -> None:
    """Measure this machine: decoding, journal, rules, replay. Ratios are of one run, measured in turn."""
    from ..bench import CASES
    from ..bench.harness import Size, machine, machine_lines, table

    unknown = sorted(set(case or ()) - set(CASES))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}; cases are {', '.join(CASES)}", param_hint="CASE")
    where = folder or Path(tempfile.gettempdir())
    if not where.is_dir():
        raise typer.BadParameter(f"{where} is not a folder", param_hint="--folder")
    size = Size(QUICK_SHARE if quick else 1.0, QUICK_ROUNDS if quick else FULL_ROUNDS, where)
    about = machine()
    if not as_json:
        typer.echo(machine_lines(about) + f"\nfolder {where}, {size.rounds} rounds{', quick' if quick else ''}")
    found = {}
    for name in case or CASES:
        typer.echo(f"measuring {name} ...", err=True)
        figures = CASES[name](size)
        found[name] = [one.as_json() for one in figures]
        if not as_json:
            typer.echo("\n" + table(name, figures))
    if as_json:
        typer.echo(json.dumps({"machine": about, "folder": str(where), "quick": quick, "cases": found}))
