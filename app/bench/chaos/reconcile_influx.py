"""InfluxDB against the archive: how many points each measurement has, and what their numbers add up to."""

import math

import polars as pl

from contracts.series import BUCKETS
from contracts.site import Influx
from store.influx import query
from store.influx_refill import POINT

from .report import Check

TABLE = {"reading": "readings", "aggregate": "aggregates", "verdict": "verdicts"}
NEWEST = {"reading": "received_at", "aggregate": "revision", "verdict": "revision"}
NUMBERS = {
    "reading": {"value": pl.col("value")},
    "aggregate": {
        "mean": pl.col("sum_scaled").cast(pl.Float64) / pl.col("valid_n") / pl.lit(10.0).pow(pl.col("decimals")),
        "valid_n": pl.col("valid_n"),
        "present_n": pl.col("present_n"),
        "revision": pl.col("revision"),
    },
    "verdict": {
        "value": pl.col("value_scaled").cast(pl.Float64) / pl.lit(10.0).pow(pl.col("decimals")),
        "revision": pl.col("revision"),
    },
}
SAME = 1e-9  # of sums of floats in two orders


def check(influx: Influx, archive: dict[str, pl.DataFrame]) -> Check:
    """One point a key of the archive, with the numbers of its newest row."""
    points, difference = 0, None
    for name, table in TABLE.items():
        rows = archive[table].sort(NEWEST[name]).unique(POINT[table], keep="last")
        points += rows.height
        for field, number in NUMBERS[name].items():
            values = rows.select(number.cast(pl.Float64).alias(field))[field].drop_nulls().drop_nans()
            count, total = 0, 0.0
            for bucket in BUCKETS:
                answer = query(influx, f'SELECT count("{field}"), sum("{field}") FROM "{name}"', bucket=bucket)
                if not answer.is_empty():
                    count, total = count + int(answer["count"][0]), total + float(answer["sum"][0])
            if count != len(values) or not math.isclose(total, values.sum(), rel_tol=SAME, abs_tol=SAME):
                difference = difference or (
                    f"{name}.{field}: InfluxDB has {count} points of together {total!r}, the archive {len(values)} "
                    f"of {values.sum()!r}"
                )
    return Check("InfluxDB's points, the archive's", f"{points:,} points", difference)
