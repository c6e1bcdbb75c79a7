"""registry/limits.csv: a row that names a row of the limit library takes from it what it does not say itself.

Promises: what a row says never contradicts the row it names; only a permit may set a number of its own, and no laxer
one. Every refusal names the column and what would be right. Does not check what is measured: that is checks.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field

from contracts.factors import UNITS
from contracts.site import Dated, Identifier, Limit, Period
from rules.tables.judgement import judged_by, judgements
from rules.tables.limit_library import (
    LIBRARY_FILE,
    OUTLETS_OF,
    LibraryLimit,
    limit_library,
    parse_library,
)

from .checks import Table
from .yaml_lines import SiteError

Wrong = tuple[str, str]  # column, message
ALONE = ("factor", "period", "limit", "unit", "basis", "standard")  # what a row without a library row must say
DATES = ("valid_from", "valid_to")
PERMITS_OWN = ("basis", "limit", "unit", "decimals", "comparison", "standard", "clause", "source", "status", *DATES)
SHOWN_LIBRARY = f"rules/library/{LIBRARY_FILE}"


class LimitRow(Dated):
    """A row of the file: contracts.site.Limit, most of it left to the library row it names."""

    limit_id: Identifier
    outlet: Identifier
    library: str | None = None
    factor: str | None = None
    period: Period | None = None
    comparator: Literal["<=", "<", ">=", ">"] | None = None
    limit: Annotated[float, Field(allow_inf_nan=False)] | None = None
    unit: str | None = None
    ref_o2_pct: float | None = None
    decimals: Annotated[int, Field(ge=0, le=9)] | None = None
    comparison: Literal["full_value", "rounded"] | None = None
    when_factor: str | None = None
    when_comparator: Literal["<=", "<", ">=", ">"] | None = None
    when_value: float | None = None
    basis: Literal["standard", "permit", "ultra_low", "agreement", "internal"] | None = None
    standard: str | None = None
    clause: str | None = None
    source: str | None = None
    status: Literal["verified", "verified_weak", "unverified"] | None = None


def library_of(folder: Path | None) -> dict[str, LibraryLimit]:
    """The library kept in a folder; the shipped one where none is given or the folder has none."""
    path = None if folder is None else folder / LIBRARY_FILE
    return limit_library() if path is None or not path.is_file() else parse_library(path.read_text(encoding="utf-8"))


def assign_limits(table: Table, outlets: Table, folder: Path | None) -> tuple[Table, list[SiteError]]:
    """The table with contracts.site.Limit in place of its rows, and what is wrong with the others."""
    media = {row.outlet: row.medium for row in outlets.rows.values()}
    library = library_of(folder) if any(row.library for row in table.rows.values()) else {}
    limits: dict[int, Limit] = {}
    errors: list[SiteError] = []
    for line, row in table.rows.items():
        medium = media.get(row.outlet)
        limit, wrong = assigned(row, library, medium)
        if limit is not None and medium is not None and (clause := _why_not_judged(limit, medium)):
            wrong.append(("period", f"{limit.period} means of {limit.factor} are not judged: {clause}"))
        elif limit is not None:
            limits[line] = limit
        errors += [SiteError(table.path, line, column, message) for column, message in wrong]
    return replace(table, rows=limits, is_whole=table.is_whole and not errors), errors


def assigned(
    row: LimitRow, library: Mapping[str, LibraryLimit], medium: str | None
) -> tuple[Limit | None, list[Wrong]]:
    """The limit, or what is wrong. medium: of the row's outlet; none: unknown, and told elsewhere."""
    own = row.model_dump(exclude_none=True, include=set(LimitRow.model_fields))
    if row.library is None:
        wrong = [(column, _needed(column)) for column in ALONE if column not in own]
        return (None, wrong) if wrong else (Limit(**own), [])
    known = library.get(row.library)
    if known is None:
        there = "`greenisland rules limits` shows the rows there are"
        return None, [("library", f"{row.library!r} is not in {SHOWN_LIBRARY}; {there}")]
    if known.why_unassignable is not None:
        return None, [("library", f"{known.id} cannot be assigned; {known.why_unassignable}")]
    if medium is not None and medium not in OUTLETS_OF[known.medium]:
        return None, [("library", f"{known.id} is for {known.medium}; outlet {row.outlet!r} is {medium}")]
    theirs = _of_library(known)
    if wrong := [*_contradictions(row, own, known, theirs), *_unfit_permit(row, known)]:
        return None, wrong
    if row.basis == "permit" and not _is_same_number(row, known):
        # the number is the permit's: what the library says of its own number's standing is not true of this one
        theirs = {column: value for column, value in theirs.items() if column not in ("clause", "source", "status")}
    return Limit(**{**theirs, **own, "industry": known.industry}), []


def _why_not_judged(limit: Limit, medium: str) -> str | None:
    judgement = judged_by(
        judgements(),
        medium=medium,
        industry=limit.industry or "",
        factor=limit.factor,
        period=limit.period,
        limit_period=limit.period,
        basis=limit.basis,
        on=limit.valid_from or date.max,
    )
    return judgement.clause if judgement.says == "not_judged" else None


def _needed(column: str) -> str:
    if column == "period":
        periods = ", ".join(get_args(Period))
        return f"is empty; a limit without averaging cannot be judged: write one of {periods}, or name a library row"
    return "is empty; a limit that names no row of the limit library in `library` says it itself"


def _of_library(known: LibraryLimit) -> dict[str, object]:
    names = set(Limit.model_fields) - {"limit_id", "outlet", "library", "industry", "factor"}
    taken = {name: getattr(known, name) for name in names}
    return {name: value for name, value in taken.items() if value is not None} | {"factor": known.judged_factor}


def _contradictions(
    row: LimitRow, own: Mapping[str, object], known: LibraryLimit, theirs: Mapping[str, object]
) -> Iterator[Wrong]:
    is_permit = row.basis == "permit"
    if not is_permit and (row.limit is not None or row.unit is not None) and not _is_same_number(row, known):
        said = f"{_shown(known.limit if row.limit is None else row.limit)} {row.unit or known.unit}"
        message = f"{said} contradicts {known.id} ({_shown(known.limit)} {known.unit}); leave limit and unit empty"
        yield "limit", f"{message}, or write basis permit if the outlet's permit is stricter"
    for column, value in own.items():
        if column in ("limit_id", "outlet", "library", "limit", "unit", *DATES) or value == theirs.get(column):
            continue
        if column == "basis" and not is_permit:
            yield column, f"{value!r} contradicts {known.id} ({known.basis}); leave it empty, or name no library row"
        elif column == "factor" and known.ref_o2_pct is not None:
            o2 = f"which is stated for {known.ref_o2_pct:g} % O2"
            yield column, f"{value!r} contradicts {known.id}, {o2}; write {known.judged_factor!r} or leave it empty"
        elif not (is_permit and column in PERMITS_OWN):
            there = theirs.get(column)
            held = "which has none" if there is None else _shown(there)
            yield column, f"{_shown(value)} contradicts {known.id} ({held}); leave the cell empty"
    for column, is_outside in (
        ("valid_from", row.valid_from and known.valid_from and row.valid_from < known.valid_from),
        ("valid_to", row.valid_to and known.valid_to and row.valid_to > known.valid_to),
    ):
        if is_outside and not is_permit:
            there = f"{known.id} holds {_dates(known)}"
            yield column, f"{getattr(row, column)} is outside of the library's: {there}"


def _unfit_permit(row: LimitRow, known: LibraryLimit) -> Iterator[Wrong]:
    if row.basis != "permit" or _is_same_number(row, known):
        return
    unit = row.unit or known.unit
    if unit not in UNITS or UNITS[unit][0] != UNITS[known.unit][0]:
        yield "unit", f"{unit!r} is no unit of {known.id}, which is in {known.unit}"
        return
    if row.limit is None:
        yield "limit", f"is empty; a permit with a unit other than {known.id}'s ({known.unit}) gives its number"
        return
    mine, its = _in_unit(row.limit, unit, known.unit), Decimal(str(known.limit))
    if mine > its if known.comparator in ("<=", "<") else mine < its:
        message = f"{_shown(row.limit)} {unit} is laxer than {known.id} ({known.comparator} {_shown(known.limit)}"
        yield "limit", f"{message} {known.unit}, {known.standard}); a permit may only be stricter"
    if row.standard is None:
        yield "standard", f"is empty; a permit with a number other than {known.id}'s names the permit"


def _is_same_number(row: LimitRow, known: LibraryLimit) -> bool:
    limit, unit = known.limit if row.limit is None else row.limit, row.unit or known.unit
    if unit not in UNITS or UNITS[unit][0] != UNITS[known.unit][0]:
        return False
    if row.limit is None and unit != known.unit:
        return False
    return _in_unit(limit, unit, known.unit) == Decimal(str(known.limit))


def _in_unit(value: float | None, sent: str, wanted: str) -> Decimal:
    exact = Decimal(str(value)) * Decimal(str(UNITS[sent][1])) / Decimal(str(UNITS[wanted][1]))
    return exact.quantize(Decimal("1e-12"))


def _dates(known: LibraryLimit) -> str:
    bounds = (("from", known.valid_from), ("to", known.valid_to))
    return " ".join(f"{word} {day}" for word, day in bounds if day is not None)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value) if isinstance(value, int) else repr(value)
