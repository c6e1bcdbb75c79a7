"""Span frames as InfluxDB line protocol. Pure.

Promises: every field of a measurement has one type wherever it is written; every numeric field is a float. A row's
newest revision comes last, so that the point InfluxDB keeps is the newest of those written.
Does not promise: that a server takes every line (NaN, an older type): it says so, and that line is put aside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl


@dataclass(frozen=True)
class Measurement:
    """What the boards may query; the type registry."""

    tags: tuple[str, ...]
    fields: Mapping[str, Literal["float", "text"]]
    at: str


# A text is written as "" where it is null: a point keeps the old field where a new line leaves it out.
MEASUREMENTS: dict[str, Measurement] = {
    "reading": Measurement(
        tags=("station", "factor", "kind", "period_s"),
        fields={"value": "float", "mark": "text"},
        at="event_at",
    ),
    "aggregate": Measurement(
        tags=("station", "factor", "period"),
        fields={
            "mean": "float",
            "valid_n": "float",
            "present_n": "float",
            "expected_n": "float",
            "revision": "float",
            "reason": "text",
        },
        at="window_at",
    ),
    "verdict": Measurement(
        tags=("rule", "station", "factor", "limit_id", "period"),
        fields={
            "value": "float",
            "limit": "float",
            "revision": "float",
            "state": "text",
            "level": "text",
            "reason": "text",
        },
        at="window_at",
    ),
}

_POWERS = {n: float(10**n) for n in range(23)}  # exact in a float


def span_lines(named: Mapping[str, pl.DataFrame]) -> pl.Series:
    """The lines of readings, aggregates, verdicts, those there are; each line may go to the server alone."""
    made = [
        _lines(name, MEASUREMENTS[name], rows_of(named[table]))
        for table, (name, rows_of) in _MEASURED.items()
        if table in named
    ]
    return pl.concat([pl.Series(dtype=pl.String), *made]).alias("line")


def _readings(readings: pl.DataFrame) -> pl.DataFrame:
    return readings.sort("device_revision", "received_at", maintain_order=True)


def _aggregates(aggregates: pl.DataFrame) -> pl.DataFrame:
    # one division, of two whole numbers: the nearest float to the exact mean
    count = pl.col("valid_n").cast(pl.Float64) * _ten_to("decimals")
    mean = pl.when(pl.col("valid_n") > 0).then(pl.col("sum_scaled").cast(pl.Float64) / count)
    return aggregates.sort("revision", maintain_order=True).with_columns(mean=mean)


def _verdicts(verdicts: pl.DataFrame) -> pl.DataFrame:
    return verdicts.sort("revision", maintain_order=True).with_columns(
        value=pl.col("value_scaled").cast(pl.Float64) / _ten_to("decimals"),
        limit=pl.col("limit_scaled").cast(pl.Float64) / _ten_to("decimals"),
    )


_MEASURED = {
    "readings": ("reading", _readings),
    "aggregates": ("aggregate", _aggregates),
    "verdicts": ("verdict", _verdicts),
}


def _ten_to(decimals: str) -> pl.Expr:
    return pl.col(decimals).replace_strict(_POWERS, default=None, return_dtype=pl.Float64)


def _lines(name: str, about: Measurement, rows: pl.DataFrame) -> pl.Series:
    series = rows.select(about.tags).unique()
    # a span has few series and many rows: tags are escaped once a series
    heads = series.with_columns(_head=pl.concat_str(pl.lit(name), *(_tag(tag) for tag in about.tags)))
    fields = [_field(field, kind) for field, kind in about.fields.items()]
    return (
        rows.join(heads, on=about.tags, how="left", nulls_equal=True, maintain_order="left")
        .select(
            line=pl.concat_str(
                pl.col("_head"),
                pl.lit(" "),
                pl.concat_str(fields, separator=",", ignore_nulls=True),
                pl.lit(" "),
                pl.col(about.at).dt.epoch("us").cast(pl.String),
                pl.lit("000"),  # nanoseconds: the one precision 1.x and 2.x name alike
            )
        )
        .to_series()
    )


def _tag(name: str) -> pl.Expr:
    """`,name=value`, or nothing for null and "": a tag cannot be empty.

    A backslash stays single: the server does not undo a doubled one. It takes no line feed in a tag and no backslash
    at the end of one; the first becomes `\\n`, the second gets a space after it.
    """
    text = (
        pl.col(name)
        .cast(pl.String)
        .str.replace_all("\n", r"\n", literal=True)
        .str.replace(r"\\$", r"\ ")
        .str.replace_many([",", "=", " "], [r"\,", r"\=", r"\ "])
    )
    return pl.when(text != "").then(pl.lit(f",{name}=") + text).otherwise(pl.lit(""))


def _field(name: str, kind: Literal["float", "text"]) -> pl.Expr:
    """`name=value`; null where a number is null."""
    if kind == "float":
        return pl.lit(f"{name}=") + pl.col(name).cast(pl.Float64).cast(pl.String)
    text = pl.col(name).fill_null("")
    escaped = text.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    return pl.lit(f'{name}="') + escaped + pl.lit('"')
