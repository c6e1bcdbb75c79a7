"""`greenisland feed from-csv`: measurements in CSV files become a feed."""

import json
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from store.feed import write_feed

from ..feeds.csv_feed import Converted
from ..feeds.csv_files import FeedFromCsv, read_feed_from_csv
from ..site.yaml_lines import SiteErrors

EXAMPLES_MAX = 5  # problems shown of each reason


def feed_from_csv(
    mapping: Annotated[Path, typer.Argument(help="How the files are to be read: mapping.yaml.")],
    data: Annotated[Path, typer.Option("--data", help="The folder the files are in.", file_okay=False, exists=True)],
    out: Annotated[Path, typer.Option("--out", help="The feed to write (Parquet).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Turn CSV measurements into a feed that `greenisland replay` and `greenisland feed play` take."""
    if not out.parent.is_dir():
        typer.echo(f"{out}: the folder {out.parent} does not exist", err=True)
        raise typer.Exit(2)
    try:
        feed = read_feed_from_csv(mapping, data, _show_file)
    except SiteErrors as errors:
        typer.echo(str(errors), err=True)
        raise typer.Exit(2) from errors
    if feed.messages.is_empty():
        _show_problems(feed.problems)
        typer.echo("no row gave a reading; no feed was written", err=True)
        raise typer.Exit(1)
    written = write_feed(feed.messages, out)
    summary = summary_of(feed, written)
    _show_problems(feed.problems)
    _show_summary(summary, out)
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))


def summary_of(feed: FeedFromCsv, written: int) -> dict[str, object]:
    counted = feed.counts.select("readings", "missing", "unreadable", "rewritten").sum().row(0, named=True)
    by_factor = feed.counts.group_by("station", "factor").agg(pl.col("readings", "missing", "unreadable").sum())
    reasons = feed.problems.group_by("reason").len().sort("reason")
    return {
        "rows": feed.rows,
        "messages": written,
        "equal_messages": feed.messages.height - written,
        **counted,
        "problems": dict(zip(reasons["reason"], reasons["len"], strict=True)),
        "rows_back_in_time": feed.backwards,
        "unused_columns": feed.unused,
        "factors": by_factor.sort("station", "factor").to_dicts(),
    }


def _show_file(name: str, part: Converted) -> None:
    typer.echo(f"{name}: {part.rows:,} rows, {part.messages.height:,} messages", err=True)


def _show_problems(problems: pl.DataFrame) -> None:
    for (reason,), found in problems.group_by("reason", maintain_order=True):
        typer.echo(f"{reason}: {found.height:,}", err=True)
        for file, line, column, text in found.head(EXAMPLES_MAX).select("file", "line", "column", "text").rows():
            what = ": ".join(part for part in (column, None if text is None else repr(text)) if part)
            typer.echo(f"  {file}:{line}{': ' if what else ''}{what}", err=True)


def _show_summary(summary: dict[str, object], out: Path) -> None:
    typer.echo(
        f"{summary['rows']:,} rows: {summary['readings']:,} readings, {summary['missing']:,} missing, "
        f"{summary['unreadable']:,} unreadable; {summary['rewritten']:,} numbers written as JSON wants them",
        err=True,
    )
    if summary["rows_back_in_time"]:
        typer.echo(f"{summary['rows_back_in_time']:,} rows are earlier than the row before them", err=True)
    if summary["equal_messages"]:
        typer.echo(f"{summary['equal_messages']:,} messages were there already, byte for byte", err=True)
    if summary["unused_columns"]:
        typer.echo(f"columns not used: {', '.join(summary['unused_columns'])}", err=True)
    typer.echo(f"{out}: {summary['messages']:,} messages", err=True)
