"""A query over rows of its measurement, without a server: the same numbers InfluxDB 1.x gives.

Promises: columns `time`, the group's tags, the query's columns, sorted by group and time; lazy until collected.
Does not promise: anything about rows that are not unique by tags and time; InfluxDB keeps the last written of them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from .query import AUTO, ZONE, Bindings, Column, Query, TagValues, Where, has_zone, seconds


def values(query: TagValues, rows: pl.LazyFrame, bindings: Bindings) -> list[str]:
    """The tag's values, sorted."""
    kept = filtered(rows, query.where, bindings.variables).select(pl.col(query.tag)).drop_nulls().unique()
    return sorted(kept.collect().to_series().to_list())


def plan(query: Query, rows: pl.LazyFrame, bindings: Bindings) -> pl.LazyFrame:
    """rows: of contracts.series, one a point."""
    kept = filtered(rows, query.where, bindings.variables)
    if not any(one.aggregation for one in query.columns):
        return _points(query, _in_range(kept, query, bindings))
    if query.is_selection:
        return _newest(query, _in_range(kept, query, bindings))
    if query.every is None:
        return _whole(query, _in_range(kept, query, bindings), bindings)
    return _by_time(query, kept, bindings)


def range_read(query: Query, bindings: Bindings) -> tuple[datetime, datetime] | None:
    """Both ends, to the millisecond as InfluxQL has them; None: of all time. A difference begins a bucket earlier."""
    if not query.is_in_range:
        return None
    from_at, to_at = (
        at.replace(microsecond=at.microsecond // 1000 * 1000) for at in (bindings.from_at, bindings.to_at)
    )
    return from_at - width_of(query, bindings) if _has_difference(query) else from_at, to_at


def filtered(rows: pl.LazyFrame, where: tuple[Where, ...], variables: Mapping[str, Sequence[str]]) -> pl.LazyFrame:
    """The rows for which every condition holds."""
    for one in where:
        rows = rows.filter(_holds(one, variables))
    return rows


def _holds(one: Where, variables: Mapping[str, Sequence[str]]) -> pl.Expr:
    column = pl.col(one.column)
    if one.operator == "=~":
        chosen = variables.get(str(one.value))
        # a point without the tag is one whose tag is empty
        return pl.lit(True) if chosen is None else column.fill_null("").is_in(list(chosen))
    compare = {
        "=": column.__eq__,
        "!=": column.__ne__,
        ">": column.__gt__,
        ">=": column.__ge__,
        "<": column.__lt__,
        "<=": column.__le__,
    }[one.operator]
    return compare(one.value).fill_null(False)


def _in_range(rows: pl.LazyFrame, query: Query, bindings: Bindings) -> pl.LazyFrame:
    range_ = range_read(query, bindings)
    return rows if range_ is None else rows.filter(pl.col("time").is_between(*range_))


def _has_difference(query: Query) -> bool:
    return any(one.is_difference for one in query.columns)


def _points(query: Query, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Points with at least one of the columns that are fields."""
    chosen = rows.select("time", *(_scaled(pl.col(one.field), one).alias(one.called) for one in query.columns))
    numbers = [one.called for one in query.columns]
    kept = chosen.filter(pl.any_horizontal(pl.col(numbers).is_not_null()))
    if query.newest_first:
        return kept.sort("time", descending=True, maintain_order=True).head(query.newest_first)
    return kept.sort("time", maintain_order=True)


def _newest(query: Query, rows: pl.LazyFrame) -> pl.LazyFrame:
    (selector,) = (one for one in query.columns if one.aggregation)
    newest = rows.filter(pl.col(selector.field).is_not_null()).sort("time", selector.field, maintain_order=True)
    columns = [_scaled(pl.col(one.field), one).last().alias(one.called) for one in query.columns]
    if not query.group:
        return newest.select(pl.col("time").last(), *columns).filter(pl.col("time").is_not_null())
    return (
        newest.group_by(query.group, maintain_order=True)
        .agg(pl.col("time").last(), *columns)
        .select("time", *query.group, *(one.called for one in query.columns))
        .sort(query.group)
    )


def _whole(query: Query, rows: pl.LazyFrame, bindings: Bindings) -> pl.LazyFrame:
    """One row a group; its time is the beginning of the range."""
    at = pl.lit(bindings.from_at).dt.cast_time_unit("us").dt.convert_time_zone("UTC").alias("time")
    made = _grouped(rows, [], query).filter(_is_anything(query))
    return made.select(at, *query.group, *_finished(query)).sort(*query.group or ["time"])


def _by_time(query: Query, rows: pl.LazyFrame, bindings: Bindings) -> pl.LazyFrame:
    kept = _in_range(rows, query, bindings)
    bucketed = kept.with_columns(_at=_bucket(pl.col("time"), query, bindings))
    made = _grouped(bucketed, ["_at"], query)
    if _has_difference(query):
        made = made.sort(*query.group, "_at")
    for one in query.columns:
        if one.is_difference:
            # to the bucket before that has a value, not to the one before on the clock
            step = _over(pl.col(one.called).diff(), query)
            made = made.filter(pl.col(one.called).is_not_null()).with_columns(
                pl.when(step >= 0).then(step).alias(one.called)
            )
    if _has_difference(query):
        made = made.filter(pl.col("_at") >= _bucket(pl.lit(bindings.from_at), query, bindings))
    made = made.filter(_is_anything(query))
    if query.fill != "none":
        made = _filled(query, made, bindings)
    return made.select(pl.col("_at").alias("time"), *query.group, *_finished(query)).sort(*query.group, "time")


def _grouped(rows: pl.LazyFrame, by: list[str], query: Query) -> pl.LazyFrame:
    """Each column's aggregate under its name, and under `_over` of it the sum it is divided by."""
    columns = [_aggregated(one.field, str(one.aggregation)).alias(one.called) for one in query.columns]
    columns += [_aggregated(one.over, "sum").alias(_over_of(one)) for one in query.columns if one.over]
    keys = [*query.group, *by]
    return rows.group_by(keys).agg(columns) if keys else rows.select(columns)


def _over_of(one: Column) -> str:
    return f"_over {one.called}"


def _is_anything(query: Query) -> pl.Expr:
    """A bucket in which nothing that was asked has a value is not one."""
    names = [*(one.called for one in query.columns), *(_over_of(one) for one in query.columns if one.over)]
    return pl.any_horizontal(pl.col(names).is_not_null())


def _aggregated(field: str, how: str) -> pl.Expr:
    column = pl.col(field)
    made: Any = {
        "mean": column.mean,
        "min": column.min,
        "max": column.max,
        "count": lambda: pl.when(column.count() > 0).then(column.count().cast(pl.Float64)),  # of nothing it is no value
        "sum": lambda: pl.when(column.count() > 0).then(column.sum()),
        "last": lambda: column.sort_by("time", column).drop_nulls().last(),
    }[how]()
    return made


def _finished(query: Query) -> list[pl.Expr]:
    """The columns, divided and scaled; as InfluxQL has it, after buckets were filled."""
    found = []
    for one in query.columns:
        value = pl.col(one.called)
        if one.over is not None:
            over = pl.col(_over_of(one))
            value = pl.when((over == 0) & value.is_not_null()).then(0.0).otherwise(value / over)
        found.append(_scaled(value, one).alias(one.called))
    return found


def _scaled(value: pl.Expr, one: Column) -> pl.Expr:
    return value if one.times == 1.0 else value * one.times


def _filled(query: Query, made: pl.LazyFrame, bindings: Bindings) -> pl.LazyFrame:
    """Every bucket of the range, for each group that has any."""
    first, last = (_bucket(pl.lit(at), query, bindings) for at in (bindings.from_at, bindings.to_at))
    width = f"{int(width_of(query, bindings).total_seconds())}s"
    grid = pl.select(
        pl.datetime_range(first, last, interval=width, time_unit="us").dt.convert_time_zone("UTC").alias("_at")
    ).lazy()
    groups = made.select(query.group).unique() if query.group else None
    if groups is None:
        grid = grid.join(made.select(pl.len().alias("_n")), how="cross").filter(pl.col("_n") > 0).drop("_n")
    else:
        grid = groups.join(grid, how="cross")
    whole = grid.join(made, on=[*query.group, "_at"], how="left", nulls_equal=True)
    names = [*(one.called for one in query.columns), *(_over_of(one) for one in query.columns if one.over)]
    if query.fill == "0":
        return whole.with_columns(pl.col(names).fill_null(0.0))
    if query.fill == "previous":
        return whole.sort(*query.group, "_at").with_columns(_over(pl.col(names).forward_fill(), query))
    return whole.with_columns(
        pl.col(one.called).fill_null(0.0) if one.aggregation == "count" else pl.col(one.called) for one in query.columns
    )


def _over(value: pl.Expr, query: Query) -> pl.Expr:
    return value.over(query.group) if query.group else value


def width_of(query: Query, bindings: Bindings) -> timedelta:
    if query.every is None or query.every == AUTO:
        return timedelta(seconds=int(bindings.interval.total_seconds()))
    return timedelta(seconds=seconds(query.every))


def _bucket(at: pl.Expr, query: Query, bindings: Bindings) -> pl.Expr:
    width = int(width_of(query, bindings).total_seconds())
    zone = ZONE if has_zone(query) else "UTC"
    at = at.dt.convert_time_zone(zone)
    return at.dt.truncate(f"{width}s" if width < 86400 else "1d").dt.convert_time_zone("UTC").dt.cast_time_unit("us")
