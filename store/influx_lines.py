"""Rows of a measurement as InfluxDB line protocol. Pure.

Promises: every line may go to the server alone; the order of the rows is kept.
Does not promise: that a server takes every line (NaN, an older type): it says so, and that line is put aside.
"""

from typing import Literal

import polars as pl

from contracts.series import MEASUREMENTS, PERIOD_BUCKET, Bucket


def lines_by_bucket(measurement: str, rows: pl.DataFrame) -> dict[Bucket, pl.Series]:
    """bucket -> lines, of rows in the columns of contracts.series."""
    bucket = MEASUREMENTS[measurement].bucket
    if bucket is not None:
        return {bucket: lines(measurement, rows)}
    of = pl.col("period").replace_strict(PERIOD_BUCKET, return_dtype=pl.String)
    parts = rows.with_columns(_bucket=of).partition_by("_bucket", as_dict=True, include_key=False, maintain_order=True)
    return {str(name): lines(measurement, part) for (name,), part in parts.items()}  # type: ignore[misc]


def lines(measurement: str, rows: pl.DataFrame) -> pl.Series:
    about = MEASUREMENTS[measurement]
    tags = list(about.tags)
    # a span has few series and many rows: tags are escaped once a series
    series = rows.select(tags).unique() if tags else pl.DataFrame()
    heads = series.with_columns(_head=pl.concat_str(pl.lit(measurement), *(_tag(tag) for tag in tags)))
    fields = [_field(field, kind) for field, kind in about.fields.items()]
    headed = (
        rows.join(heads, on=tags, how="left", nulls_equal=True, maintain_order="left")
        if tags
        else rows.with_columns(_head=pl.lit(measurement))
    )
    return headed.select(
        line=pl.concat_str(
            pl.col("_head"),
            pl.lit(" "),
            pl.concat_str(fields, separator=",", ignore_nulls=True),
            pl.lit(" "),
            pl.col("time").dt.epoch("us").cast(pl.String),
            pl.lit("000"),  # nanoseconds: the one precision 1.x and 2.x name alike
        )
    ).to_series()


def _tag(name: str) -> pl.Expr:
    """`,name=value`, or nothing for null and "": a tag cannot be empty.

    A backslash stays single: the server does not undo a doubled one. It takes no line feed in a tag and no backslash
    at the end of one; the first becomes `\\n`, the second gets a space after it.
    """
    text = (
        pl.col(name)
        .str.replace_all("\n", r"\n", literal=True)
        .str.replace(r"\\$", r"\ ")
        .str.replace_many([",", "=", " "], [r"\,", r"\=", r"\ "])
    )
    return pl.when(text != "").then(pl.lit(f",{name}=") + text).otherwise(pl.lit(""))


def _field(name: str, kind: Literal["float", "text"]) -> pl.Expr:
    """`name=value`; null where a number is null."""
    if kind == "float":
        return pl.lit(f"{name}=") + pl.col(name).cast(pl.String)
    escaped = pl.col(name).str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    return pl.lit(f'{name}="') + escaped + pl.lit('"')
