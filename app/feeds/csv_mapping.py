"""`mapping.yaml`: how measurements in CSV files become a feed. Strict; errors carry file, line and key.

Does not promise that a file has the columns named here: `header_mistakes` says, once the header is known.
"""

import codecs
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from contracts.civil_time import zone
from contracts.durations import parse_duration
from contracts.row_sql import RowSqlError, columns_of, row_expression
from contracts.site import Duration, Identifier, Strict

from ..site.yaml_lines import Lines, Loc, SiteErrors, read_yaml_with_lines, suggestion, validate

Factor = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


def _signed_duration(text: object) -> timedelta:
    if isinstance(text, str) and text.startswith("-"):
        return -parse_duration(text[1:])
    return parse_duration(text)


def _one_as_list(names: object) -> object:
    return (names,) if isinstance(names, str) else names


def _bare_column(column: object) -> object:
    return {"column": column} if isinstance(column, str) else column


def _bare_station(station: object) -> object:
    return {"name": station} if isinstance(station, str) else station


class SourceFile(Strict):
    """A file, or all that fit a pattern, below the data folder."""

    path: str | None = None
    glob: str | None = None
    year: Annotated[int, Field(ge=1900, le=2200)] | None = None  # what {year} in `start` stands for
    start: str | None = None  # replaces time.start
    station: Identifier | None = None  # replaces `station`

    @model_validator(mode="after")
    def _one_of_two(self) -> "SourceFile":
        if (self.path is None) == (self.glob is None):
            raise ValueError("write either path or glob")
        return self


class Time(Strict):
    """The instant of a row: read from columns, or counted from a start."""

    zone: str
    column: Annotated[tuple[str, ...], BeforeValidator(_one_as_list)] = ()  # several are joined by one space
    format: str = "iso"  # iso, epoch_s, or a pattern like %d/%m/%Y %H:%M
    shift: Annotated[timedelta, BeforeValidator(_signed_duration)] = timedelta(0)  # added to what was read
    start: str | None = None
    step: Duration | None = None

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            zone(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is not a time zone; write one like Asia/Shanghai or Etc/GMT+5") from error
        return name

    @field_validator("format")
    @classmethod
    def _known_format(cls, text: str) -> str:
        if text not in ("iso", "epoch_s") and not re.search("%[YyjsFDc]", text):
            raise ValueError(f"{text!r} is not a time format; write iso, epoch_s or a pattern like %d/%m/%Y %H:%M")
        return text

    @model_validator(mode="after")
    def _one_of_two(self) -> "Time":
        if bool(self.column) == (self.step is not None):
            raise ValueError("write either column (and format), or start and step")
        if self.step is not None and self.step <= timedelta(0):
            raise ValueError("step must be more than 0")
        return self


class Value(Strict):
    """Where a factor's values stand."""

    column: str
    unit: str | None = None  # sent with each value; else the registry's unit is assumed
    mark: str | None = None  # column with the data mark


class StationOf(Strict):
    """One fixed station, or the column that names it."""

    name: Identifier | None = None
    column: str | None = None
    rename: dict[str, Identifier] = Field(default_factory=dict)  # text in the column -> station

    @model_validator(mode="after")
    def _one_of_two(self) -> "StationOf":
        if (self.name is None) == (self.column is None):
            raise ValueError("write a station's name, or the column that holds it")
        return self


Columns = dict[Factor, Annotated[Value, BeforeValidator(_bare_column)]]


class StationColumns(Strict):
    """One of several stations that share a file."""

    station: Identifier
    columns: Annotated[Columns, Field(min_length=1)]


class Mapping(Strict):
    version: Literal[1]
    files: Annotated[tuple[SourceFile, ...], Field(min_length=1)]
    time: Time
    station: Annotated[StationOf, BeforeValidator(_bare_station)] | None = None
    columns: Columns = Field(default_factory=dict)
    stations: tuple[StationColumns, ...] = ()
    period_s: Literal[0, 60, 3600, 86400] = 0
    kind: Literal["rtd", "avg", "min", "max", "cou", "zs_rtd", "zs_avg", "zs_min", "zs_max"] = "rtd"
    received_after: Duration | None = None  # how long after its instant a row arrives; empty: period_s
    encoding: str = "utf-8"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    decimal_comma: bool = False
    header: tuple[str, ...] = ()  # names for files that have no header line
    skip: tuple[str, ...] = ()  # columns left out on purpose: not told as unused
    missing: tuple[str, ...] = ()  # texts (and numbers, by value) that stand for no value; an empty cell does
    derived: dict[str, str] = Field(default_factory=dict)  # name -> row-wise SQL over columns and earlier derived ones

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            return codecs.lookup(name).name
        except LookupError as error:
            raise ValueError(f"{name!r} is not an encoding; write for example utf-8, gb18030 or latin-1") from error

    @model_validator(mode="after")
    def _whole(self) -> "Mapping":
        if self.stations and (self.station or self.columns):
            raise ValueError("write either station and columns, or stations")
        if not self.stations and not self.columns:
            raise ValueError("no columns: say which factor stands in which column")
        for file in self.files:
            if not self.stations and self.station is None and file.station is None:
                raise ValueError(f"no station for {file.path or file.glob}: write station")
            if self.stations and file.station is not None:
                raise ValueError(f"{file.path or file.glob} names a station; the stations have their own columns")
            if self.time.step is not None:
                self.start_of(file)
        return self

    def start_of(self, file: SourceFile) -> datetime:
        """The civil time of the file's first row. Raises ValueError in the user's words."""
        text = file.start or self.time.start
        name = file.path or file.glob
        if text is None:
            raise ValueError(f"{name} has no start")
        if "{year}" in text and file.year is None:
            raise ValueError(f"{name} has no year for the start {text!r}")
        try:
            start = datetime.fromisoformat(text.replace("{year}", str(file.year)))
        except ValueError as error:
            raise ValueError(f"start {text!r} is not a time; write 2026-01-31T00:00") from error
        if start.tzinfo is not None:
            raise ValueError(f"start {text!r} is civil time of the zone; leave out the offset")
        return start

    def groups(self, file: SourceFile) -> list[tuple[StationOf, Columns]]:
        """Each station of a file with its columns."""
        if self.stations:
            return [(StationOf(name=each.station), each.columns) for each in self.stations]
        return [(StationOf(name=file.station) if file.station else self.station, self.columns)]


def read_mapping(path: Path) -> tuple[Mapping, Lines]:
    """The mapping, and where its keys stand. Raises SiteErrors."""
    data, line_of = read_yaml_with_lines(path)
    mapping, errors = validate(Mapping, data, path, line_of)
    if mapping is None:
        raise SiteErrors(errors)
    return mapping, line_of


def header_mistakes(mapping: Mapping, file: SourceFile, header: Sequence[str]) -> list[tuple[Loc, str]]:
    """(place in the mapping, what is wrong) of every column a file does not have, has twice, or cannot compute."""
    twice = {name for name in header if header.count(name) > 1}
    known, found = list(header), []

    def need(name: str, loc: Loc) -> None:
        if name not in known:
            hint = suggestion(name, known) or f"; there are {', '.join(filter(None, known))}"
            found.append((loc, f"there is no column {name!r}{hint}"))
        elif name in twice:
            found.append((loc, f"there are several columns {name!r}"))

    for name in mapping.time.column:
        need(name, ("time", "column"))
    if mapping.station is not None and mapping.station.column is not None and file.station is None:
        need(mapping.station.column, ("station", "column"))
    for name, sql in mapping.derived.items():
        if name in known:
            found.append((("derived", name), "is a column of the file already"))
            continue
        try:
            for column in columns_of(row_expression(sql, known)):
                need(column, ("derived", name))
        except RowSqlError as error:
            found.append((("derived", name), str(error)))
        known.append(name)
    for at, (_, columns) in enumerate(mapping.groups(file)):
        loc = ("stations", at, "columns") if mapping.stations else ("columns",)
        for factor, value in columns.items():
            need(value.column, (*loc, factor))
            if value.mark is not None:
                need(value.mark, (*loc, factor, "mark"))
    return found
