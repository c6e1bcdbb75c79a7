"""A query over rows of its measurement, without a server: the same numbers InfluxDB 1.x gives.

Promises: columns `time`, the group's tags, the query's columns, sorted by group and time; lazy until collected.
Does not promise: anything about rows that are not unique by tags and time; InfluxDB keeps the last written of them.
"""

from datetime import timedelta
from typing import Any

import polars as pl

from .query import AUTO, ZONE, Bindings, Column, Query, TagValues, Where, has_zone, seconds


def values(query: TagValues, rows: pl.LazyFrame, bindings: Bindings) -> list[str]:
    """The tag's values, sorted."""
    kept = filtered(rows, query.where, bindings).select(pl.col(query.tag)).drop_nulls().unique()
    return sorted(kept.collect().to_series().to_list())


def plan(query: Query, rows: pl.LazyFrame, bindings: Bindings) -> pl.LazyFrame:
    """rows: of contracts.series, one a point."""
    kept = filtered(rows, query.where, bindings)
    if not any(one.aggregation for one in query.columns):
        return _points(query, _in_range(kept, query, bindings, timedelta()))
    if query.is_selection:
        return _newest(query, _in_range(kept, query, bindings, timedelta()))
    if query.every is None:
        return _whole(query, _in_range(kept, query, bindings, timedelta()), bindings)
    return _by_time(query, kept, bindings)


def filtered(rows: pl.LazyFrame, where: tuple[Where, ...], bindings: Bindings) -> pl.LazyFrame:
    """The rows for which every condition holds."""
    for one in where:
        rows = rows.filter(_holds(one, bindings))
    return rows


def _holds(one: Where, bindings: Bindings) -> pl.Expr:
    column = pl.col(one.column)
    if one.operator == "=~":
        chosen = bindings.variables.get(str(one.value))
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


def _in_range(rows: pl.LazyFrame, query: Query, bindings: Bindings, before: timedelta) -> pl.LazyFrame:
    if not query.is_in_range:
        return rows
    from_at, to_at = (
        at.replace(microsecond=at.microsecond // 1000 * 1000) for at in (bindings.from_at, bindings.to_at)
    )
    return rows.filter(pl.col("time").is_between(from_at - before, to_at))


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
    return made.select(at, *query.group, *(one.called for one in query.columns)).sort(*query.group or ["time"])


def _by_time(query: Query, rows: pl.LazyFrame, bindings: Bindings) -> pl.LazyFrame:
    width = width_of(query, bindings)
    has_difference = any(one.is_difference for one in query.columns)
    kept = _in_range(rows, query, bindings, width if has_difference else timedelta())
    bucketed = kept.with_columns(_at=_bucket(pl.col("time"), query, bindings))
    made = _grouped(bucketed, ["_at"], query).sort(*query.group, "_at")
    for one in query.columns:
        if one.is_difference:
            # to the bucket before that has a value, not to the one before on the clock
            step = _over(pl.col(one.called).diff(), query)
            made = made.filter(pl.col(one.called).is_not_null()).with_columns(
                pl.when(step >= 0).then(step).alias(one.called)
            )
    if has_difference:
        made = made.filter(pl.col("_at") >= _bucket(pl.lit(bindings.from_at), query, bindings))
    made = made.with_columns(_scaled(pl.col(one.called), one).alias(one.called) for one in query.columns)
    made = made.filter(_is_anything(query))
    if query.fill != "none":
        made = _filled(query, made, bindings)
    return made.select(pl.col("_at").alias("time"), *query.group, *(one.called for one in query.columns)).sort(
        *query.group, "time"
    )


def _grouped(rows: pl.LazyFrame, by: list[str], query: Query) -> pl.LazyFrame:
    keys, columns = [*query.group, *by], [_aggregated(one, bool(by)) for one in query.columns]
    return rows.group_by(keys).agg(columns) if keys else rows.select(columns)


def _is_anything(query: Query) -> pl.Expr:
    """A bucket in which no column has a value is not one; a count of nothing is no value."""
    return pl.any_horizontal(
        (pl.col(one.called).is_not_null() & (pl.col(one.called) > 0 if one.aggregation == "count" else True))
        for one in query.columns
    )


def _aggregated(one: Column, by_time: bool) -> pl.Expr:
    column = pl.col(one.field)
    there = column.drop_nulls()
    made: Any = {
        "mean": there.mean,
        "min": there.min,
        "max": there.max,
        "count": lambda: there.count().cast(pl.Float64),
        "sum": lambda: pl.when(column.is_not_null().any()).then(there.sum()),
        "last": lambda: column.sort_by("time", column).drop_nulls().last(),
    }[str(one.aggregation)]()
    if one.over is not None:
        over = pl.col(one.over)
        total = pl.when(over.is_not_null().any()).then(over.sum())
        made = pl.when(total == 0).then(0.0).otherwise(made / total)
    return (made if by_time else _scaled(made, one)).alias(one.called)


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
    whole = grid.join(made, on=[*query.group, "_at"], how="left", nulls_equal=True).sort(*query.group, "_at")
    names = [one.called for one in query.columns]
    if query.fill == "0":
        return whole.with_columns(pl.col(names).fill_null(0.0))
    if query.fill == "previous":
        return whole.with_columns(_over(pl.col(names).forward_fill(), query))
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
