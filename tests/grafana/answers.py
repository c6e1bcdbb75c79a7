"""A server's answer and a plan's, made comparable."""

import math
from typing import Any

import polars as pl

from grafana.query import Query


def keyed(query: Query, answer: pl.DataFrame) -> dict[tuple[Any, ...], list[tuple[Any, ...]]]:
    """(group, instant) -> rows of columns, sorted. The instant of an aggregate of the whole range says nothing."""
    if answer.is_empty():
        return {}
    has_time = query.every is not None or query.is_selection or not query.group
    is_whole = not has_time or (query.every is None and all(one.aggregation for one in query.columns))
    names = [one.called for one in query.columns]
    found: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in answer.to_dicts():
        # 1.x says "" for a tag that is not there
        key = (*(row[tag] or "" for tag in query.group), None if is_whole else row["time"])
        found.setdefault(key, []).append(tuple(row[name] for name in names))
    return {key: sorted(rows, key=repr) for key, rows in found.items()}


def assert_same(query: Query, served: pl.DataFrame, planned: pl.DataFrame) -> None:
    """Every group, instant and value. Floats to the last bits of a sum."""
    one, other = keyed(query, served), keyed(query, planned)
    assert sorted(map(repr, one)) == sorted(map(repr, other)), query
    for key, rows in one.items():
        assert len(rows) == len(other[key]), (query, key)
        for row, expected in zip(rows, other[key], strict=True):
            assert all(map(is_same, row, expected)), (query, key, row, expected)


def is_same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other
