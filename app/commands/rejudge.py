"""`greenisland rejudge`: what other rules or limits would have said about what is archived."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from store.archive import PartDamaged

from ..rejudge.outputs import finish, write_summary
from ..rejudge.range import NothingArchived
from ..rejudge.rejudge import Doing, rejudge
from ..rejudge.report import write_report
from ..rule_tests.diff import side_of
from .rules_text import wrapped


def rejudge_command(
    state: Annotated[Path, typer.Option(help="The state directory, or a copy of it.")],
    site: Annotated[Path, typer.Option(help="The site's directory, as it judged.")],
    rules: Annotated[Path, typer.Option(help="A folder of rules in place of the site's own, or another site.")],
    out: Annotated[Path, typer.Option(help="Directory for the outputs; a run that was cut short goes on in it.")],
    from_: Annotated[str | None, typer.Option("--from", help="Windows that begin at this instant or later.")] = None,
    to: Annotated[str | None, typer.Option(help="... and before this one. Default: all that is archived.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Judge the archive again; write verdicts.parquet, changes.parquet, alerts.ndjson, summary.json, report.html."""
    if not state.is_dir():
        raise typer.BadParameter(f"{state} is not a folder", param_hint="--state")
    from_at, to_at = _instant(from_, "--from"), _instant(to, "--to")
    if from_at is not None and to_at is not None and from_at >= to_at:
        raise typer.BadParameter("ends before it begins: --to must be later than --from", param_hint="--to")
    old, new = side_of(site, None), side_of(rules, site)
    began_s = time.perf_counter()
    try:
        with _Bar() as bar:
            done = rejudge(state, old, new, out, from_at, to_at, progress=bar.tell)
            found = finish(out, done)
    except NothingArchived as error:
        raise typer.BadParameter(str(error), param_hint="--from, --to") from error
    except PartDamaged as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    write_report(out, found, new.site)
    summary = write_summary(out, found, seconds=time.perf_counter() - began_s)
    typer.echo(json.dumps(summary, ensure_ascii=False) if as_json else "\n".join(_as_text(summary, out)))


def _instant(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    said = f"{text!r} is no instant with an offset; write one like 2026-03-01T08:00:00+08:00"
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(said, param_hint=option) from error
    if at.tzinfo is None:
        raise typer.BadParameter(said, param_hint=option)
    return at


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} rows/s")


class _Bar:
    """Share, rate and time left, on a terminal only."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), _Rate(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._progress.add_task("archive", total=None)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, doing: Doing) -> None:
        self._progress.update(self._task, description=doing.what, completed=doing.done, total=doing.total)


def _as_text(summary: dict[str, object], out: Path) -> Iterator[str]:
    """Lines of at most 80 columns."""
    against = summary["against_archive"]
    assert isinstance(against, dict)
    yield f"{summary['from']} to {summary['to']}, as archived at {summary['archived_at']}"
    for kind in ("verdicts", "alerts"):
        n = against[kind]
        yield f"{kind}: {n['same']} the same, {n['appears']} appear, {n['vanishes']} vanish, {n['changes']} change"
    rules = summary["rules"]
    assert isinstance(rules, list)
    for rule in rules:
        ways = [
            f"{rule[key]} from archived {name}"
            for key, name in (("from_aggregates", "windows"), ("from_readings", "readings"))
            if rule[key]
        ]
        why = f" ({', '.join(rule['why']).replace('_', ' ')})" if rule["why"] else ""
        yield from wrapped(f"{rule['rule']}: {', '.join(ways)}{why}", "  ", "    ")
    if against["not_judged_other_unit"]:
        yield f"{against['not_judged_other_unit']} archived windows have another unit or other decimals: not judged"
    if against["archived_without_alerts"]:
        yield from wrapped(
            f"{against['archived_without_alerts']} archived verdicts are of rules or points the site no longer has:"
            " their alerts are not compared",
            "",
            "  ",
        )
    if summary["units_done_before"]:
        yield f"went on where an earlier run stood: {summary['units_done_before']} units were done"
    yield f"{out / 'report.html'}"
