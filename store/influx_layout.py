"""Frames of a span as rows of the measurements: what InfluxDB is given and what the same boards draw without it. Pure.

Promises: rows have exactly the columns of contracts.series; of one point the newest row comes last. A verdict always
has a severity, so that a revision takes an older one back.
Does not promise: to take back any other number; a row without one leaves the older one where the point is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import polars as pl

from contracts.reasons import LEVELS, Verdict
from contracts.series import MEASUREMENTS, NOBODY, PLACE

PLACES = pl.Schema({"station": pl.String, **dict.fromkeys((*PLACE, "place_zh", "place_en"), pl.String())})
FACTORS = pl.Schema({"factor": pl.String, "factor_zh": pl.String, "factor_en": pl.String})
LIMITS = pl.Schema({"limit_id": pl.String, "basis": pl.String, "is_lower": pl.Boolean})

NO_JUDGEMENT, NOT_APPLICABLE, WITHIN = -1.0, -2.0, 0.0  # severity; 1 and more are the levels, ascending
SEVERITY = {level: float(n) for n, level in enumerate(LEVELS, start=1)}

Rows = TypeVar("Rows", pl.DataFrame, pl.LazyFrame)  # lazy ones are named lazily: only what is read of them is made

_POWERS = {n: float(10**n) for n in range(23)}  # exact in a float
_PH = "w01001"  # has a range, not a share of a limit


@dataclass(frozen=True)
class Registry:
    """What names a row beyond what the frame says; who is in none of the tables is written as nobody's."""

    places: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PLACES))  # one row a station or subject
    factors: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=FACTORS))
    limits: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LIMITS))

    def name(self, rows: Rows) -> Rows:
        """Adds PLACE and NAMES to rows with station, factor and unit; a factor without a name is called by its code."""
        named = joined(joined(rows, self.places, "station"), self.factors, "factor")
        unnamed = {"place_zh": "station", "place_en": "station", "factor_zh": "factor", "factor_en": "factor"}
        return named.with_columns(
            *(pl.col(name).fill_null(NOBODY) for name in PLACE),
            *(pl.coalesce(name, other).fill_null(NOBODY) for name, other in unnamed.items()),
            unit=pl.col("unit").fill_null("1"),
        )


def span_rows(named: Mapping[str, pl.DataFrame], registry: Registry) -> dict[str, pl.DataFrame]:
    """measurement -> rows, of readings, aggregates, verdicts, those there are."""
    made = {
        "reading": ("readings", lambda frame: reading_rows(frame)),
        "aggregate": ("aggregates", lambda frame: aggregate_rows(frame, registry)),
        "verdict": ("verdicts", lambda frame: verdict_rows(frame, registry)),
    }
    return {name: rows_of(named[table]) for name, (table, rows_of) in made.items() if table in named}


def reading_rows(readings: Rows) -> Rows:
    rows = readings.sort("device_revision", "received_at", maintain_order=True)
    return as_rows("reading", rows.rename({"event_at": "time"}))


def aggregate_rows(aggregates: Rows, registry: Registry) -> Rows:
    # one division, of two whole numbers: the nearest float to the exact mean
    count = pl.col("valid_n").cast(pl.Float64) * _ten_to("decimals")
    has = pl.col("valid_n") > 0
    rows = aggregates.sort("revision", maintain_order=True).with_columns(
        mean=pl.when(has).then(pl.col("sum_scaled").cast(pl.Float64) / count),
        min=pl.when(has).then(pl.col("min_scaled").cast(pl.Float64) / _ten_to("decimals")),
        max=pl.when(has).then(pl.col("max_scaled").cast(pl.Float64) / _ten_to("decimals")),
    )
    return as_rows("aggregate", registry.name(rows).rename({"window_at": "time"}))


def verdict_rows(verdicts: Rows, registry: Registry) -> Rows:
    """`limit_pct`: how much of the limit the value takes; of a lower limit the limit in per cent of the value.

    `severity`: 1 yellow, 2 orange, 3 red, 0 none of them, -1 no judgement, -2 not applicable.
    """
    value, limit = (pl.col(name).cast(pl.Float64) / _ten_to("decimals") for name in ("value_scaled", "limit_scaled"))
    share = pl.when("is_lower").then(pl.col("limit") / pl.col("value")).otherwise(pl.col("value") / pl.col("limit"))
    is_share = pl.col("is_lower").is_not_null() & (pl.col("limit") > 0) & (pl.col("factor") != _PH)
    severity = (
        pl.when(pl.col("state") == Verdict.NO_JUDGEMENT)
        .then(NO_JUDGEMENT)
        .when(pl.col("state") == Verdict.NOT_APPLICABLE)
        .then(NOT_APPLICABLE)
        .otherwise(pl.col("level").replace_strict(SEVERITY, default=WITHIN, return_dtype=pl.Float64))
    )
    rows = (
        joined(verdicts.sort("revision", maintain_order=True), registry.limits, "limit_id")
        .with_columns(value=value, limit=limit, basis=pl.col("basis").fill_null(NOBODY))
        .with_columns(severity=severity, limit_pct=pl.when(is_share).then(100 * share))
        .with_columns(limit_pct=pl.when(pl.col("limit_pct").is_finite()).then("limit_pct"))
    )
    return as_rows("verdict", registry.name(rows).rename({"window_at": "time"}))


def joined(rows: Rows, names: pl.DataFrame, on: str) -> Rows:
    """Each row with what `names` says of it, in the rows' order."""
    if isinstance(rows, pl.LazyFrame):
        return rows.join(names.lazy(), on=on, how="left", maintain_order="left")
    return rows.join(names, on=on, how="left", maintain_order="left")


def as_rows(measurement: str, rows: Rows) -> Rows:
    """In the measurement's columns and types: numbers as floats, an absent text as "", so that an old one goes."""
    about = MEASUREMENTS[measurement]
    return rows.select(
        pl.col("time"),
        *(pl.col(tag).cast(pl.String) for tag in about.tags),
        *(
            pl.col(name).cast(pl.Float64) if kind == "float" else pl.col(name).fill_null("")
            for name, kind in about.fields.items()
        ),
    ).match_to_schema(about.schema())


def _ten_to(decimals: str) -> pl.Expr:
    return pl.col(decimals).replace_strict(_POWERS, default=None, return_dtype=pl.Float64)
