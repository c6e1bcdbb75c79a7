"""`greenisland bench`: what this machine reaches."""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from .bench_chaos import KILLS, bench_chaos

CHAOS = "chaos"
FULL_ROUNDS, QUICK_ROUNDS = 5, 2
QUICK_SHARE = 0.02


def bench_command(
    case: Annotated[list[str] | None, typer.Argument(help="Which cases; by default all but recovery-hour.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON on stdout.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds only: to see that it runs, not how fast.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where disk cases write; they measure this disk. Default: the temporary folder.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=2, help="`rejudge` only: days of archive, 365 for a year. Default: 30.")
    ] = None,
    kills: Annotated[int | None, typer.Option(min=1, help=f"`chaos` only: how many. Default: {KILLS}.")] = None,
    seed: Annotated[int | None, typer.Option(help="`chaos` only: of contents and kills. Default: a new one.")] = None,
    keep: Annotated[Path | None, typer.Option(help="`chaos` only: run in this empty folder and leave it.")] = None,
) -> None:
    """Measure this machine: decoding, journal, rules, replay; ratios are of one run, measured in turn.

    `bench chaos` measures nothing: it kills a whole centre and reconciles what is left, exit code 1 if it cannot.
    """
    from ..bench.cases import CASES, WHEN_NAMED
    from ..bench.harness import Size, Skipped, machine, machine_lines, table

    where = folder or Path(tempfile.gettempdir())
    if not where.is_dir():
        raise typer.BadParameter(f"{where} is not a folder", param_hint="--folder")
    if case == [CHAOS]:
        bench_chaos(kills, seed, keep, where, as_json)
        return
    if (kills, seed, keep) != (None, None, None):
        raise typer.BadParameter(f"--kills, --seed and --keep go with `bench {CHAOS}` alone")
    if days is not None and case != ["rejudge"]:
        raise typer.BadParameter("--days goes with `bench rejudge` alone", param_hint="--days")
    unknown = sorted(set(case or ()) - set(CASES))
    if unknown:
        cases = f"{', '.join(CASES)}, and {CHAOS}, which runs alone"
        raise typer.BadParameter(f"{', '.join(unknown)}; cases are {cases}", param_hint="CASE")
    size = Size(QUICK_SHARE if quick else 1.0, QUICK_ROUNDS if quick else FULL_ROUNDS, where, days)
    about = machine()
    if not as_json:
        typer.echo(machine_lines(about) + f"\nfolder {where}, {size.rounds} rounds{', quick' if quick else ''}")
    found, skipped = {}, {}
    for name in case or [one for one in CASES if one not in WHEN_NAMED]:
        typer.echo(f"measuring {name} ...", err=True)
        try:
            figures = CASES[name](size)
        except Skipped as reason:
            typer.echo(f"skipped {name}: {reason}", err=True)
            skipped[name] = str(reason)
            continue
        found[name] = [one.as_json() for one in figures]
        if not as_json:
            typer.echo("\n" + table(name, figures))
    if as_json:
        run = {"machine": about, "folder": str(where), "quick": quick}
        typer.echo(json.dumps({**run, "cases": found, "skipped": skipped}))
