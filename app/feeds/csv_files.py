"""Finds and reads the CSV files of a mapping, and puts what they give together.

Promises: nothing is read past: a file that cannot be read as the mapping says stops the work with SiteErrors.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from contracts.frames import MESSAGES, empty

from ..site.yaml_lines import Lines, SiteError, SiteErrors, suggestion
from .csv_feed import COUNTS, PROBLEMS, Converted, convert, number_columns
from .csv_mapping import Mapping, SourceFile, header_mistakes, read_mapping


@dataclass(frozen=True)
class FeedFromCsv:
    """All files together."""

    messages: pl.DataFrame  # frames.MESSAGES
    problems: pl.DataFrame  # csv_feed.PROBLEMS
    counts: pl.DataFrame  # csv_feed.COUNTS
    rows: int
    backwards: int
    unused: list[str]  # columns of the files no key of the mapping names


def read_feed_from_csv(
    mapping_path: Path, data: Path, on_file: Callable[[str, Converted], None] = lambda *_: None
) -> FeedFromCsv:
    """Every file of the mapping below `data`, in the mapping's order. Raises SiteErrors."""
    mapping, line_of = read_mapping(mapping_path)
    files = _files(mapping, mapping_path, line_of, data)
    parts, unused = [], []
    for at, path in files:
        name = path.relative_to(data).as_posix()
        table, header = read_table_text(path, mapping)
        file = mapping.files[at]
        mistakes = [
            SiteError(mapping_path, line_of(loc), ".".join(map(str, loc)), f"{name}: {message}")
            for loc, message in header_mistakes(mapping, file, header)
        ]
        if mistakes:
            raise SiteErrors(mistakes)
        part = convert(table, mapping, file, name)
        on_file(name, part)
        parts.append(part)
        named = _named(mapping, file, header).union(unused, [""])
        unused += [column for column in header if column not in named]
    return FeedFromCsv(
        pl.concat([empty(MESSAGES), *(part.messages for part in parts)]),
        pl.concat([empty(PROBLEMS), *(part.problems for part in parts)]),
        pl.concat([empty(COUNTS), *(part.counts for part in parts)]),
        sum(part.rows for part in parts),
        sum(part.backwards for part in parts),
        unused,
    )


def _files(mapping: Mapping, mapping_path: Path, line_of: Lines, data: Path) -> list[tuple[int, Path]]:
    """(number of the entry, file); a pattern's files by name."""
    found: list[tuple[int, Path]] = []
    errors = []
    for at, file in enumerate(mapping.files):
        if file.glob is not None:
            paths = sorted(data.glob(file.glob))
            message = f"no file below {data} fits {file.glob!r}"
        else:
            paths = [data / file.path] if (data / file.path).is_file() else []
            there = sorted(path.name for path in (data / file.path).parent.glob("*"))
            message = f"{data / file.path} does not exist{suggestion(Path(file.path).name, there)}"
        if not paths:
            errors.append(SiteError(mapping_path, line_of(("files", at)), f"files[{at}]", message))
        found += [(at, path) for path in paths]
    if errors:
        raise SiteErrors(errors)
    return found


def read_table_text(path: Path, mapping: Mapping) -> tuple[pl.DataFrame, list[str]]:
    """The file with every cell as text, and its header as written (a frame would rename a name that is there twice)."""
    try:
        text = path.read_text(encoding="utf-8-sig" if mapping.encoding == "utf-8" else mapping.encoding)
    except UnicodeDecodeError as error:
        message = f"is not {mapping.encoding} text at byte {error.start}; write its encoding into the mapping"
        raise SiteErrors([SiteError(path, None, None, message)]) from error
    header = list(mapping.header) or next(csv.reader(io.StringIO(text), delimiter=mapping.delimiter), [])
    try:
        table = pl.read_csv(
            text.encode(),
            separator=mapping.delimiter,
            has_header=not mapping.header,
            new_columns=list(mapping.header) or None,
            infer_schema=False,
        )
    except pl.exceptions.PolarsError as error:
        message = f"cannot be read as CSV with {mapping.delimiter!r} between cells: {str(error).splitlines()[0]}"
        raise SiteErrors([SiteError(path, None, None, message)]) from error
    if len(header) != table.width:
        message = f"has {table.width} columns; the mapping's header names {len(header)}"
        raise SiteErrors([SiteError(path, 1, None, message)])
    return table, header


def _named(mapping: Mapping, file: SourceFile, header: list[str]) -> set[str]:
    """Every column the mapping has a use for, or says it has none for."""
    marks = {value.mark for _, columns in mapping.groups(file) for value in columns.values() if value.mark}
    station = {station.column for station, _ in mapping.groups(file) if station.column}
    return {*mapping.time.column, *mapping.skip, *marks, *station, *number_columns(mapping, file, header)}
