"""Rows of a CSV file as messages of a feed. Pure: a frame of texts in, messages and problems out.

Promises: a number's text goes into the payload as it stands in the file where it is a JSON number; every cell that
gives no reading is counted with its reason. Does not promise that station or factor exist: the registry join says so.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from enum import StrEnum

import polars as pl

from contracts.civil_time import zone
from contracts.frames import INSTANT, MESSAGES, check
from contracts.row_sql import columns_of, row_expression
from contracts.topics import IDENTIFIER, STATION_JSON

from .csv_mapping import Columns, Mapping, SourceFile, StationOf, Time, Value


class Problem(StrEnum):
    """Why a row or a cell gave no reading, beyond being empty or marked missing."""

    EMPTY_LINE = "empty_line"
    BAD_TIME = "bad_time"
    TIME_NOT_IN_ZONE = "time_not_in_zone"  # skipped or doubled by the zone's clock change
    BAD_STATION = "bad_station"
    NOT_A_NUMBER = "not_a_number"
    NOT_FINITE = "not_finite"  # a derived value
    BAD_MARK = "bad_mark"  # the reading is left out: without its mark it would count as valid
    NO_VALUES = "no_values"  # a row without a single value: no message


PROBLEMS = pl.Schema(
    {
        "file": pl.String,
        "line": pl.UInt32,  # as long as no quoted cell of the file goes over several lines
        "column": pl.String,
        "reason": pl.String,
        "text": pl.String,
    }
)
COUNTS = pl.Schema(
    {
        "file": pl.String,
        "station": pl.String,
        "factor": pl.String,
        "readings": pl.UInt32,
        "missing": pl.UInt32,  # empty, or a text listed under `missing`
        "unreadable": pl.UInt32,
        "rewritten": pl.UInt32,  # of the readings: no JSON number in the file, but made one ("+1.5", ".5", "1,5")
    }
)


@dataclass(frozen=True)
class Converted:
    """What one file gave."""

    messages: pl.DataFrame  # frames.MESSAGES
    problems: pl.DataFrame  # PROBLEMS
    counts: pl.DataFrame  # COUNTS
    rows: int
    backwards: int  # rows earlier than the row of the same station before them


JSON_NUMBER = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_LOOSE_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_SAFE_MARK = r"""^[^"\\\x00-\x1f]{1,16}$"""  # what needs no escape inside JSON text
_HAS_OFFSET = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})$"
# Columns of our own beside the file's: "$line", "$at", and per column its text, its JSON number, whether it is missing.
_TEXT, _NUMBER, _MISSING = "$text:{}", "$number:{}", "$missing:{}"


def convert(table: pl.DataFrame, mapping: Mapping, file: SourceFile, name: str) -> Converted:
    """table: every column String, its header checked by `header_mistakes`; name: what the problems call the file."""
    blank = pl.all_horizontal(pl.all().str.strip_chars().fill_null("") == "")
    rows = table.with_columns(blank.alias("$blank")).with_row_index("$line", offset=1 if mapping.header else 2)
    rows = _with_instants(rows, mapping, file)
    sources = number_columns(mapping, file, table.columns)
    rows = _with_numbers(rows, mapping, sources, table.columns)

    lines, timed = ~pl.col("$blank"), pl.col("$at").is_not_null()
    time_text = pl.concat_str(list(mapping.time.column) or [pl.lit("")], separator=" ", ignore_nulls=True)
    problems = [
        _problems(rows.filter("$blank"), name, Problem.EMPTY_LINE),
        _problems(rows.filter(lines & ~timed), name, pl.col("$time_problem"), mapping.time.column[:1], time_text),
    ]
    rows = rows.filter(lines & timed)
    for column in sources:
        is_unreadable = pl.col(_NUMBER.format(column)).is_null() & ~pl.col(_MISSING.format(column))
        reason = Problem.NOT_FINITE if column in mapping.derived else Problem.NOT_A_NUMBER
        found = rows.filter(is_unreadable)
        problems.append(_problems(found, name, reason, [column], pl.col(_TEXT.format(column))))

    messages, counts, backwards = [], [], 0
    for station, columns in mapping.groups(file):
        of_group = rows.with_columns(_station(station).alias("$station"))
        is_station = pl.col("$station").str.contains(f"^{IDENTIFIER.pattern}$").fill_null(False)
        wrong = of_group.filter(~is_station)
        problems.append(_problems(wrong, name, Problem.BAD_STATION, [station.column], pl.col("$station")))
        of_group = of_group.filter(is_station)
        backwards += int((of_group.select(pl.col("$at").diff().over("$station"))["$at"] < timedelta(0)).sum())
        part, found = _messages(of_group, mapping, columns, name)
        messages.append(part)
        problems += found
        counts.append(_counts(of_group, columns, name))
    return Converted(
        check(pl.concat(messages), MESSAGES),
        check(pl.concat(problems).sort("line", "column", "reason", nulls_last=True), PROBLEMS),
        check(pl.concat(counts), COUNTS),
        table.height,
        backwards,
    )


def _station(station: StationOf) -> pl.Expr:
    if station.column is None:
        return pl.lit(station.name)
    return pl.col(station.column).str.strip_chars().replace(station.rename)


def _messages(
    rows: pl.DataFrame, mapping: Mapping, columns: Columns, name: str
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """One message a row that has any value; and what its marks and lack of values have to tell."""
    problems = []
    for mark in {value.mark for value in columns.values() if value.mark is not None}:
        text = pl.col(mark).str.strip_chars()
        problems.append(_problems(rows.filter(_is_unsafe_mark(mark)), name, Problem.BAD_MARK, [mark], text))
    members = [_member(factor, value) for factor, value in columns.items()]
    rows = rows.with_columns(pl.concat_str(members, separator=",", ignore_nulls=True).alias("$readings"))
    has_values = pl.col("$readings") != ""
    problems.append(_problems(rows.filter(~has_values), name, Problem.NO_VALUES))
    after = timedelta(seconds=mapping.period_s) if mapping.received_after is None else mapping.received_after
    payload = pl.concat_str(
        pl.lit('{"v":1,"station":"'),
        "$station",
        pl.lit('","at":"'),
        pl.col("$at").dt.convert_time_zone(mapping.time.zone).dt.strftime("%Y-%m-%dT%H:%M:%S%.f%:z"),
        pl.lit(f'","period_s":{mapping.period_s},"kind":"{mapping.kind}","readings":{{'),
        "$readings",
        pl.lit("}}"),
    )
    messages = rows.filter(has_values).select(
        received_at=(pl.col("$at") + after).cast(INSTANT),
        source=pl.lit("csv"),
        topic=pl.format(STATION_JSON.replace("{station}", "{}"), "$station"),
        payload=payload.cast(pl.Binary),
    )
    return messages, problems


def _reading(value: Value) -> pl.Expr:
    """The JSON number that is sent, null where none is."""
    number = pl.col(_NUMBER.format(value.column))
    return number if value.mark is None else pl.when(~_is_unsafe_mark(value.mark)).then(number)


def _member(factor: str, value: Value) -> pl.Expr:
    """`"a21002":81.952`, with unit and mark where they are mapped; null where there is no reading."""
    number = _reading(value)
    if value.unit is None and value.mark is None:
        return pl.concat_str(pl.lit(f'"{factor}":'), number)
    parts = [pl.lit(f'"{factor}":{{"value":'), number]
    if value.unit is not None:
        parts.append(pl.lit(f',"unit":{json.dumps(value.unit, ensure_ascii=False)}'))
    if value.mark is not None:
        mark = pl.col(value.mark).str.strip_chars()
        parts.append(pl.when(mark != "").then(pl.format(',"mark":"{}"', mark)).otherwise(pl.lit("")))
    return pl.concat_str(*parts, pl.lit("}"))


def _is_unsafe_mark(column: str) -> pl.Expr:
    mark = pl.col(column).str.strip_chars().fill_null("")
    return (mark != "") & ~mark.str.contains(_SAFE_MARK)


def _counts(rows: pl.DataFrame, columns: Columns, name: str) -> pl.DataFrame:
    parts = []
    for factor, value in columns.items():
        text, is_missing = pl.col(_TEXT.format(value.column)), pl.col(_MISSING.format(value.column))
        is_read = _reading(value).is_not_null()
        counted = rows.group_by("$station").agg(
            readings=is_read.sum(),
            missing=is_missing.sum(),
            unreadable=(~is_read & ~is_missing).sum(),
            rewritten=(is_read & (text != _reading(value))).sum(),
        )
        parts.append(counted.select(file=pl.lit(name), station="$station", factor=pl.lit(factor), **_COUNTED))
    return pl.concat(parts).sort("station", "factor")


_COUNTED = {name: pl.col(name).cast(pl.UInt32) for name in ("readings", "missing", "unreadable", "rewritten")}


def _problems(
    rows: pl.DataFrame,
    name: str,
    reason: Problem | pl.Expr,
    column: Sequence[str | None] = (),
    text: pl.Expr | None = None,
) -> pl.DataFrame:
    return rows.select(
        file=pl.lit(name),
        line=pl.col("$line"),
        column=pl.lit(column[0] if column else None, pl.String),
        reason=pl.lit(reason.value) if isinstance(reason, Problem) else reason,
        text=(pl.lit(None, pl.String) if text is None else text.cast(pl.String)),
    )


def _with_instants(rows: pl.DataFrame, mapping: Mapping, file: SourceFile) -> pl.DataFrame:
    """`$at`, UTC, null where the time cannot be told; `$time_problem` says why."""
    time = mapping.time
    if time.step is not None:
        # Steps are elapsed time: a clock change of the zone inside the file moves nothing.
        start = mapping.start_of(file).replace(tzinfo=zone(time.zone)).astimezone(UTC)
        at = pl.lit(start).cast(INSTANT) + ((~pl.col("$blank")).cum_sum().cast(pl.Int64) - 1) * time.step
        civil = at
    else:
        text = pl.concat_str([pl.col(name).str.strip_chars() for name in time.column], separator=" ")
        civil, at = _read_time(text, time)
    why = (
        pl.when(civil.is_null()).then(pl.lit(Problem.BAD_TIME.value)).otherwise(pl.lit(Problem.TIME_NOT_IN_ZONE.value))
    )
    return rows.with_columns((at + time.shift).cast(INSTANT).alias("$at"), why.alias("$time_problem"))


def _read_time(text: pl.Expr, time: Time) -> tuple[pl.Expr, pl.Expr]:
    """(null where the text is no time, UTC instant that is null also where the zone's clock change hides it)"""
    if time.format == "epoch_s":
        epoch_us = text.cast(pl.Float64, strict=False).mul(1e6).round().cast(pl.Int64, strict=False)
        at = epoch_us.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return at, at
    pattern = time.format
    if pattern == "iso":
        text = text.str.replace(" ", "T").str.replace(r"T(\d\d:\d\d)(Z|[+-].*)?$", "T${1}:00${2}")
        with_offset = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)
        naive = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
        has_offset = text.str.contains(_HAS_OFFSET) & text.str.contains("T")
        in_zone = _in_zone(naive, time.zone)
        civil = pl.when(has_offset).then(with_offset.dt.replace_time_zone(None)).otherwise(naive)
        return civil, pl.when(has_offset).then(with_offset).otherwise(in_zone)
    if "%H" in pattern and not re.search("%[MRT]", pattern):
        text, pattern = text + pl.lit(":00"), pattern + ":%M"  # Polars reads an hour only with its minute
    if "z" in pattern:
        at = text.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False)
        return at, at
    civil = text.str.to_datetime(pattern, time_unit="us", strict=False)
    return civil, _in_zone(civil, time.zone)


def _in_zone(civil: pl.Expr, zone_name: str) -> pl.Expr:
    # The hour that comes twice is not guessed: whoever knows the logger writes a fixed zone such as Etc/GMT-8.
    return civil.dt.replace_time_zone(zone_name, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")


def number_columns(mapping: Mapping, file: SourceFile, header: Sequence[str]) -> list[str]:
    """Columns whose cells are numbers: those of the factors and, through the derived ones, of the file."""
    used = {value.column for _, columns in mapping.groups(file) for value in columns.values()}
    for name, expression in reversed(_derived(mapping, header).items()):
        if name in used:
            used.update(columns_of(expression))
    return [name for name in (*header, *mapping.derived) if name in used]


def _derived(mapping: Mapping, header: Sequence[str]) -> dict[str, pl.Expr]:
    known, expressions = list(header), {}
    for name, sql in mapping.derived.items():
        expressions[name] = row_expression(sql, known)
        known.append(name)
    return expressions


def _with_numbers(rows: pl.DataFrame, mapping: Mapping, sources: Sequence[str], header: Sequence[str]) -> pl.DataFrame:
    """Per source column its text, its JSON number (null: none) and whether it is missing."""
    of_file = [name for name in sources if name not in mapping.derived]
    numbers = [float(mark) for mark in mapping.missing if re.match(_LOOSE_NUMBER, mark)]
    for name in of_file:
        text = pl.col(name)
        stripped = text.str.strip_chars().fill_null("")
        number = _json_number(text, mapping.decimal_comma)
        is_missing = stripped.is_in(["", *mapping.missing])
        if numbers:  # -200 stands for -200.0 too: the same file writes both
            is_missing |= number.cast(pl.Float64).is_in(numbers).fill_null(False)
        rows = rows.with_columns(
            text.alias(_TEXT.format(name)),
            pl.when(~is_missing).then(number).alias(_NUMBER.format(name)),
            is_missing.alias(_MISSING.format(name)),
        )
    if not mapping.derived:
        return rows
    floats = rows.select(pl.col(_NUMBER.format(name)).cast(pl.Float64).alias(name) for name in of_file)
    for name, expression in _derived(mapping, header).items():
        if name not in sources:
            continue
        floats = floats.with_columns(expression.cast(pl.Float64).alias(name))
        value = floats[name]
        rows = rows.with_columns(
            value.cast(pl.String).alias(_TEXT.format(name)),
            value.set(~value.is_finite(), None).cast(pl.String).alias(_NUMBER.format(name)),
            value.is_null().alias(_MISSING.format(name)),
        )
    return rows


def _json_number(text: pl.Expr, decimal_comma: bool) -> pl.Expr:
    """The text itself where it is a JSON number, else the same number written as one, else null."""
    plain = text.str.strip_chars()
    if decimal_comma:
        plain = plain.str.replace(r"^([+-]?[0-9]*),([0-9]+)$", "${1}.${2}")
    rewritten = (
        plain.str.replace(r"^\+", "")
        .str.replace(r"^(-?)0+([0-9])", "${1}${2}")  # 007.5
        .str.replace(r"^(-?)\.", "${1}0.")  # .5
        .str.replace(r"\.([eE]|$)", "${1}")  # 5. and 5.e3
    )
    is_loose = plain.str.contains(_LOOSE_NUMBER)
    return pl.when(text.str.contains(JSON_NUMBER)).then(text).when(is_loose).then(rewritten)
