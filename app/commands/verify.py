"""`greenisland verify`: is the evidence whole; exit code 1 names the first broken link."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from contracts.clock import SystemClock

from ..evidence.anchor import Anchor, AnchorUnusable, anchor_of, read_anchor, write_anchor
from ..evidence.link import instant
from ..evidence.verify import Broken, NoSite, Report, verify


def verify_command(
    state: Annotated[Path, typer.Option(help="The state directory, or a copy of it on any machine.")],
    site: Annotated[
        Path | None, typer.Option(help="Decide by this site instead of the one kept with the evidence.")
    ] = None,
    from_anchor: Annotated[
        Path | None, typer.Option(help="Check that everything an anchor knew is still there, unchanged.")
    ] = None,
    write_to: Annotated[
        Path | None, typer.Option("--write-anchor", help="If all is whole, write an anchor to print and sign.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Check hashes and references; derive no decision again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Walk the evidence from raw message to receipt. Exit code 0: it is whole; 1: the first broken link is named."""
    if not state.is_dir():
        raise typer.BadParameter(f"{state} is not a folder", param_hint="--state")
    if write_to is not None and not write_to.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder {write_to.parent} does not exist", param_hint="--write-anchor")
    anchor = None if from_anchor is None else _read(from_anchor)
    began_s = time.perf_counter()
    try:
        report = _walk(state, site, anchor, quick)
    except NoSite as error:
        raise typer.BadParameter(str(error), param_hint="--site") from error
    except Broken as broken:
        if as_json:
            said = {"link": broken.link, "place": broken.place, "what": broken.what}
            typer.echo(json.dumps({"whole": False, "broken": said}, ensure_ascii=False))
        else:
            typer.echo(f"the evidence is broken: {broken.link}\n{broken.place}: {broken.what}")
        raise typer.Exit(1) from broken
    seconds = time.perf_counter() - began_s
    if write_to is not None:
        written_at = SystemClock().now().replace(microsecond=0).isoformat()
        write_anchor(write_to, anchor_of(written_at, report.journals, report.counts, derived=report.derived))
    typer.echo(json.dumps(_as_dict(report, seconds), ensure_ascii=False) if as_json else _as_text(report, seconds))
    if write_to is not None and not as_json:
        typer.echo(f"anchor written to {write_to}: print it, sign it, keep it elsewhere")


def _read(path: Path) -> Anchor:
    try:
        return read_anchor(path)
    except AnchorUnusable as error:
        raise typer.BadParameter(str(error), param_hint="--from-anchor") from error


def _walk(state: Path, site: Path | None, anchor: Anchor | None, quick: bool) -> Report:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("journal", total=None)

        def told(what: str, share: float | None) -> None:
            bar.update(task, description=what, total=None if share is None else 1.0, completed=share or 0.0)

        return verify(state, site_dir=site, anchor=anchor, quick=quick, progress=told)


def _as_dict(report: Report, seconds: float) -> dict[str, object]:
    return {
        "whole": True,
        "derived": report.derived,
        "journals": {
            name: {"rows": one.rows, "batches": one.head.seq if one.head else 0, "chain": one.head and one.head.chain}
            for name, one in report.journals.items()
        },
        "spans": report.spans,
        "spans_pruned": report.pruned,
        "archive_files": report.archive_files,
        **report.rows,
        "sites": [{"from_span": seq, "site": name} for seq, name in report.sites],
        "anchor": report.anchor,
        "notes": report.notes,
        "seconds": round(seconds, 3),
    }


def _as_text(report: Report, seconds: float) -> str:
    lines = []
    for name, one in report.journals.items():
        if one.head is None:
            lines.append(f"journal {name}: empty")
        else:
            said = f"{one.rows:,} rows in {one.head.seq:,} batches, to {instant(one.head.received_at)}"
            lines += [f"journal {name}: {said}", f"  chain {one.head.chain}"]
    pruned = f", the files of {report.pruned:,} pruned" if report.pruned else ""
    how = "every decision derived again and equal" if report.derived else "hashes only, nothing derived again"
    lines.append(f"spans: {report.spans:,}{pruned}; {how}")
    lines += [f"  from span {seq:,} on by site {name}" for seq, name in report.sites]
    lines.append(f"archive: {report.archive_files:,} files hold the rows of their spans")
    if report.rows:
        lines.append("alerts: " + ", ".join(f"{n:,} {name}" for name, n in report.rows.items()))
    if report.anchor is not None:
        lines.append(f"anchor: everything of {report.anchor} is there, unchanged")
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join([*lines, f"the evidence is whole ({seconds:.1f} s)"])
