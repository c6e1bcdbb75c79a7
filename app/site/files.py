"""Reads a site from its directory: `site.yaml`, `registry/*.csv` and, where there is one, `routes.yaml`.

Promises: a Site that came back is whole (every reference exists, every unit fits its factor); otherwise SiteErrors
names every mistake with file, line, key and what would be right. Does not read rules/; does not open what the site
names (password files, certificates).
"""

import csv
import io
import typing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from contracts.factors import CONVERTED_PREFIX, MASS_RATE_PREFIX, UNITS, Factor, standard_factors
from contracts.site import (
    County,
    Enterprise,
    Facility,
    Member,
    Outlet,
    Pair,
    Park,
    ParkThreshold,
    Point,
    Site,
    SiteFile,
    Station,
    Strict,
)

from .checks import Table, cross_check
from .limit_rows import LimitRow, assign_limits
from .routing_file import FILE as ROUTES
from .routing_file import named_by, read_routing
from .yaml_lines import Lines, SiteError, SiteErrors, read_yaml_with_lines, suggestion, validate

__all__ = ["SiteError", "SiteErrors", "load_site", "read_yaml_with_lines", "validate"]


class FactorRow(Strict):
    """A row of registry/factors.csv: adds a factor, or replaces the standard's."""

    code: Annotated[str, Field(pattern=r"^[$A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
    name_zh: str | None = None  # empty: as in the standard table
    name_en: str | None = None
    unit: str
    decimals: Annotated[int, Field(ge=0, le=9)]


# File below registry/ -> what a row of it is, and the column that names the row.
TABLES: dict[str, tuple[type[BaseModel], str | None]] = {
    "factors": (FactorRow, "code"),
    "counties": (County, "county"),
    "parks": (Park, "park"),
    "enterprises": (Enterprise, "enterprise"),
    "outlets": (Outlet, "outlet"),
    "stations": (Station, "station"),
    "points": (Point, None),
    "limits": (LimitRow, "limit_id"),
    "pairs": (Pair, "pair"),
    "facilities": (Facility, "facility"),
    "members": (Member, "member"),
    "park_thresholds": (ParkThreshold, "threshold"),
}
REQUIRED_TABLES = ("outlets", "stations", "points")


def load_site(directory: Path, library: Path | None = None) -> Site:
    """The site of a directory. Raises SiteErrors with everything that is wrong, in the order of the files.

    library: a folder with the limit library as it was kept; the shipped one, if none is given or it holds none.
    """
    if not (directory / "site.yaml").is_file():
        raise SiteErrors([SiteError(directory, None, None, "is not a site: there is no site.yaml in it")])
    file, errors = _read_site_file(directory / "site.yaml")
    tables: dict[str, Table] = {}
    for name, (model, key) in TABLES.items():
        tables[name], found = read_table(directory / "registry" / f"{name}.csv", model, key)
        errors += found
    for name in _misplaced(directory / "registry"):
        known = [f"{table}.csv" for table in TABLES]
        hint = suggestion(name, known) or f"; there are {', '.join(known)}"
        errors.append(SiteError(directory / "registry" / name, None, None, f"is not a table of the registry{hint}"))
    tables["limits"], found = assign_limits(tables["limits"], tables["outlets"], library)
    errors += found
    factors, found = _factors(tables["factors"])
    errors += found + cross_check(tables, factors)
    if file is not None:
        names = {name: table.names if table.is_readable else () for name, table in tables.items()}
        channels = [channel.name for channel in file.channels]
        routing, found = read_routing(directory / ROUTES, named_by(channels, names, factors))
        errors += found
    if file is None or errors:
        order = {directory / "registry" / f"{name}.csv": at for at, name in enumerate(TABLES)}
        order[directory / ROUTES] = len(TABLES)
        raise SiteErrors(sorted(errors, key=lambda error: (order.get(error.path, -1), error.line or 0)))
    rows = {name: tuple(table.rows.values()) for name, table in tables.items() if name != "factors"}
    return Site(file=file, factors=factors, routing=routing, **rows)


def _read_site_file(path: Path) -> tuple[SiteFile | None, list[SiteError]]:
    try:
        data, line_of = read_yaml_with_lines(path)
    except SiteErrors as unreadable:
        return None, unreadable.errors
    file, errors = validate(SiteFile, data, path, line_of)
    if file is None:
        return None, errors
    for key, names in (("collectors", file.collectors), ("channels", [channel.name for channel in file.channels])):
        for at, name in enumerate(names):
            if name in names[:at]:
                errors.append(SiteError(path, line_of((key, at)), key, f"{name!r} is named twice"))
    for at, row in enumerate(file.validity):
        place, key = line_of(("validity", at)), f"validity[{at}]"
        if row.need > row.of:
            errors.append(SiteError(path, place, key, f"needs {row.need} of {row.of}; need must not exceed of"))
        if any((row.medium, row.period) == (other.medium, other.period) for other in file.validity[:at]):
            errors.append(SiteError(path, place, key, f"{row.medium} {row.period} has a row already"))
    return file, errors


def _misplaced(registry: Path) -> list[str]:
    """CSV files no table reads: most often a name mistyped, and then a whole table silently missing."""
    found = sorted(path.name for path in registry.glob("*.csv")) if registry.is_dir() else []
    return [name for name in found if name.removesuffix(".csv") not in TABLES]


@dataclass
class _Columns:
    """The columns of a table, as its model has them."""

    model: type[BaseModel]
    whole_numbers: set[str] = field(default_factory=set)  # Literal[0, 60, ...]: pydantic wants the number itself

    def __post_init__(self) -> None:
        for name, about in self.model.model_fields.items():
            allowed = typing.get_args(about.annotation)
            if typing.get_origin(about.annotation) is typing.Literal and all(isinstance(each, int) for each in allowed):
                self.whole_numbers.add(name)

    def names(self) -> list[str]:
        return list(self.model.model_fields)

    def required(self) -> list[str]:
        return [name for name, about in self.model.model_fields.items() if about.is_required()]

    def data(self, cells: dict[str, str]) -> dict[str, object]:
        """Empty cells are left out, so that the default holds."""
        return {
            name: int(text) if name in self.whole_numbers and text.lstrip("-").isdecimal() else text
            for name, text in cells.items()
            if text
        }


def read_table(path: Path, model: type[BaseModel], key: str | None) -> tuple[Table, list[SiteError]]:
    """The rows of a CSV file by line, and every row that is wrong. An absent optional file is an empty table."""
    columns, table = _Columns(model), Table(path, key)
    if not path.is_file():
        table.is_present = table.is_whole = False
        needed = path.stem in REQUIRED_TABLES
        missing = f"does not exist; a site needs it, with the columns {','.join(columns.required())}"
        return table, [SiteError(path, None, None, missing)] if needed else []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        table.is_readable = table.is_whole = False
        return table, [SiteError(path, None, None, "is not UTF-8 text; save it as 'CSV UTF-8'")]
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    errors: list[SiteError] = []
    try:
        header = [name.strip() for name in next(lines, [])]
        errors = _header_errors(path, columns, header)
        if errors:
            table.is_readable = table.is_whole = False
            return table, errors
        while True:
            line = lines.line_num + 1  # where a row begins; a quoted cell may go over several lines
            cells = next(lines, None)
            if cells is None:
                break
            found = _read_row(table, columns, header, line, cells)
            table.is_whole = table.is_whole and not found
            errors += found
    except csv.Error as error:
        table.is_readable = table.is_whole = False
        errors.append(SiteError(path, lines.line_num, None, f"is not CSV: {error}"))
    return table, errors


def _header_errors(path: Path, columns: _Columns, header: list[str]) -> list[SiteError]:
    if not header:
        needed = ",".join(columns.required())
        return [SiteError(path, 1, None, f"is empty; its first line names the columns, at least {needed}")]
    unknown = [name for name in header if name not in columns.names()]
    absent = [name for name in columns.names() if name not in header]
    errors = []
    for name in unknown:
        hint = suggestion(name, absent) or f"; there are {', '.join(columns.names())}"
        errors.append(SiteError(path, 1, None, f"unknown column {name!r}{hint}"))
    for name in sorted({name for name in header if header.count(name) > 1}):
        errors.append(SiteError(path, 1, name, "the column is there twice"))
    for name in columns.required():
        if name in absent:
            errors.append(SiteError(path, 1, name, "the column is missing"))
    return errors


def _read_row(table: Table, columns: _Columns, header: list[str], line: int, cells: list[str]) -> list[SiteError]:
    cells = [cell.strip() for cell in cells]
    if not any(cells):
        return []  # spreadsheets leave such lines at the end
    row = dict(zip(header, cells, strict=False))
    if table.key and row.get(table.key):
        table.names.add(row[table.key])  # even of a row that is wrong, or every reference to it would be told again
    if len(cells) != len(header):
        return [SiteError(table.path, line, None, f"has {len(cells)} cells; the header has {len(header)}")]
    where = Lines({(): line, **{(name,): line for name in header}})
    instance, errors = validate(columns.model, columns.data(row), table.path, where, missing="is empty")
    if instance is not None:
        table.rows[line] = instance
    return errors


def _factors(table: Table) -> tuple[dict[str, Factor], list[SiteError]]:
    """The standard's factors with the site's own rows over them."""
    factors, errors = standard_factors(), []
    for line, row in table.rows.items():
        known = factors.get(row.code)
        if row.unit not in UNITS:
            hint = suggestion(row.unit, UNITS) or f"; there are {', '.join(UNITS)}"
            errors.append(SiteError(table.path, line, "unit", f"{row.unit!r} is not a unit{hint}"))
        elif row.code.startswith(("$", CONVERTED_PREFIX, MASS_RATE_PREFIX)):
            own = f"$, {CONVERTED_PREFIX} and {MASS_RATE_PREFIX}"
            message = f"{row.code!r}: names beginning with {own} are the pipeline's own"
            errors.append(SiteError(table.path, line, "code", message))
        elif known is not None:
            given = {name: text for name in ("name_zh", "name_en") if (text := getattr(row, name)) is not None}
            factors[row.code] = replace(known, unit=row.unit, decimals=row.decimals, **given)
        elif row.name_zh is None or row.name_en is None:
            errors.append(SiteError(table.path, line, "name_zh", "a factor the standard table lacks needs both names"))
        else:
            factors[row.code] = Factor(row.code, row.name_zh, row.name_en, row.unit, row.decimals)
    return factors, errors
