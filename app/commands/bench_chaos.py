"""`greenisland bench chaos`: kill a whole centre again and again, then reconcile every message and every decision."""

import json
import secrets
import shutil
import tempfile
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress

KILLS = 200


def bench_chaos(kills: int | None, seed: int | None, keep: Path | None, folder: Path, as_json: bool) -> None:
    """Runs below `folder` and removes everything when it reconciles; in `keep` it stays in any case."""
    from ..bench.chaos.harness import ChaosFailure, broker_program, chaos
    from ..bench.mosquitto import NotWithin

    if broker_program() is None:
        raise typer.BadParameter("chaos needs a Mosquitto of this machine: apt-get install mosquitto")
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise typer.BadParameter(f"{keep} holds something already", param_hint="--keep")
    where = keep or Path(tempfile.mkdtemp(prefix="greenisland-chaos-", dir=folder))
    where.mkdir(parents=True, exist_ok=True)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    console = Console(stderr=True)
    typer.echo(f"chaos in {where}, seed {seed}", err=True)
    try:
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("killing", total=None)
            report = chaos(
                KILLS if kills is None else kills,
                seed,
                where.resolve(),
                lambda died, of: bar.update(task, total=of, completed=died),
            )
    except (ChaosFailure, NotWithin) as error:
        typer.echo(f"chaos with seed {seed} came to no end: {error}\nits files are in {where}", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(report.as_json(), ensure_ascii=False) if as_json else report.table())
    if not report.holds:
        typer.echo(f"its files are in {where}", err=True)
        raise typer.Exit(1)
    if keep is None:
        shutil.rmtree(where)
