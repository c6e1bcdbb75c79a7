"""`greenisland rules limits`: looks limits up in the limit library."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.cells import cell_len, chop_cells

from rules.tables.judgement import judged_by, judgements, may_say
from rules.tables.limit_library import OUTLETS_OF, LibraryLimit, find_limits, limit_library

from ..site.yaml_lines import SiteError, SiteErrors

WIDTH = 80


def rules_limits_command(
    ids: Annotated[list[str] | None, typer.Argument(help="Rows by their ids, in full.")] = None,
    industry: Annotated[str, typer.Option(help="Part of the industry's or process's name.")] = "",
    factor: Annotated[str, typer.Option(help="Factor code, or part of the pollutant's name, Chinese or English.")] = "",
    medium: Annotated[str, typer.Option(help=f"One of {', '.join(OUTLETS_OF)}.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON, with all their columns.")] = False,
) -> None:
    """Find rows of the limit library, to be named in registry/limits.csv as `library`."""
    if medium not in ("", *OUTLETS_OF):
        raise typer.BadParameter(f"{medium!r} is not one of {', '.join(OUTLETS_OF)}", param_hint="--medium")
    known = limit_library()
    if unknown := [name for name in ids or () if name not in known]:
        path = Path("rules/library/limits.csv")
        raise SiteErrors([SiteError(path, None, None, f"has no row {name!r}") for name in unknown])
    rows = [known[name] for name in ids] if ids else list(known.values())
    rows = find_limits(rows, industry=industry, factor=factor, medium=medium)
    if as_json:
        print(json.dumps([as_data(row) for row in rows], ensure_ascii=False, indent=2))
        return
    for row in rows:
        print("\n".join(in_full(row) if ids else in_short(row)))
    print(f"{len(rows)} of {len(known)} limits{'' if ids or not rows else '; give an id to see a row in full'}")


def as_data(row: LibraryLimit) -> dict[str, object]:
    """The row's columns; what it is assigned to and what a value beyond it is called there, or why it cannot be."""
    if row.why_unassignable is not None or row.period is None:
        return row.model_dump(mode="json") | {"unassignable": row.why_unassignable}
    judgement = judged_by(
        judgements(),
        medium=OUTLETS_OF[row.medium][0],
        industry=row.industry,
        factor=row.factor or "",
        period=row.period,
        limit_period=row.period,
        basis=row.basis,
        on=row.valid_to or date.max,
    )
    called = {"called": may_say(judgement, row.status), "called_by": judgement.clause}
    return row.model_dump(mode="json") | {"judged_factor": row.judged_factor, **called}


def in_short(row: LibraryLimit) -> Iterator[str]:
    """What tells it from its neighbours, in lines of at most WIDTH columns."""
    factor = row.judged_factor or "(no code)"
    yield from _wrapped(f"{row.id}  {factor}  {number(row)}  {row.pollutant_zh}  [{row.status}]", "")
    yield from _wrapped(f"{row.standard} {row.clause}, {row.tier}", " " * 7)
    yield from _wrapped(f"{row.industry}: {row.process} ({row.medium})", " " * 7)
    if row.applies_if:
        yield from _wrapped(f"if: {row.applies_if}", " " * 7)
    if row.why_unassignable:
        yield from _wrapped(row.why_unassignable, " " * 7)


def in_full(row: LibraryLimit) -> Iterator[str]:
    yield row.id
    for name, value in as_data(row).items():
        if name != "id" and value not in (None, ""):
            lines = list(_wrapped(str(value), " " * 22))
            yield f"  {name:<20}{lines[0].strip()}"
            yield from lines[1:]


def number(row: LibraryLimit) -> str:
    """`hour <= 50 mg/m3 at 6 % O2, where w01010 <= 12`"""
    said = f"{row.period or 'no period'} {row.comparator} {'-' if row.limit is None else f'{row.limit:.9g}'} {row.unit}"
    if row.ref_o2_pct is not None:
        said += f" at {row.ref_o2_pct:g} % O2"
    if row.when_factor is not None and row.when_value is not None:
        said += f" where {row.when_factor} {row.when_comparator} {row.when_value:g}"
    if row.valid_from or row.valid_to:
        said += f" ({row.valid_from or ''}..{row.valid_to or ''})"
    return said


def _wrapped(text: str, before: str) -> Iterator[str]:
    """Words where they fit; a word that is too wide, most often Chinese, is cut at its columns."""
    room, line = WIDTH - len(before), ""
    for word in text.split():
        for part in chop_cells(word, room):
            joined = f"{line} {part}" if line else part
            if cell_len(joined) > room:
                yield before + line
                line = part
            else:
                line = joined
    yield before + line
