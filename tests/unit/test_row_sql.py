"""row_expression lets through what looks at one row only, and says why it refuses the rest."""

import math
import random

import polars as pl
import pytest
from polars.testing import assert_series_equal

from contracts.row_sql import RowSqlError, columns_of, row_expression

FRAME = pl.DataFrame({"x": [1.0, -2.0, None, 4.0], "y": [2.0, 0.0, 3.0, None], "3.feed H2S": [1.0, 2.0, 3.0, 4.0]})


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("x + y", [3.0, -2.0, None, None]),
        ("1 / 2 * x", [0.5, -1.0, None, 2.0]),
        ("x * 0.5", [0.5, -1.0, None, 2.0]),
        ("case when x > 1.5 then y else 0 end", [0.0, 0.0, 0.0, None]),
        ("coalesce(x, y, 0)", [1.0, -2.0, 3.0, 4.0]),
        ("abs(x)", [1.0, 2.0, None, 4.0]),
        ("round(x / 3, 2)", [0.33, -0.67, None, 1.33]),
        ("greatest(x, y)", [2.0, 0.0, 3.0, 4.0]),
        ("nullif(x, 1)", [None, -2.0, None, 4.0]),
        ("x in (1, 4)", [True, False, None, True]),
        ("x between 0 and 2 or y is null", [True, False, None, True]),
        ("not (x > 1)", [True, True, None, False]),
        ("pow(x, 2)", [1.0, 4.0, None, 16.0]),
        ('"3.feed H2S" * 1000', [1000.0, 2000.0, 3000.0, 4000.0]),
        ("try_cast(x as double) % 3", [1.0, -2.0, None, 1.0]),
    ],
)
def test_row_wise_sql_gives_one_result_a_row(sql, expected):
    assert FRAME.select(result=row_expression(sql, FRAME.columns))["result"].to_list() == expected


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("sum(x)", "sum is an aggregate over rows"),
        ("x - avg(x)", "avg is an aggregate over rows"),
        ("max(x)", "max is an aggregate over rows"),
        ("count(*)", "count is an aggregate over rows"),
        ("first(x)", "first is an aggregate over rows"),
        ("row_number() over (order by x)", "row_number is a window function"),
        ("lag(x) over (order by y)", "lag is a window function"),
        ("sum(x) over (partition by y)", "sum is an aggregate over rows"),
        ("abs(x) over (partition by y)", "OVER looks at other rows"),
        ("x > (select y from t)", "a sub-select looks at other rows"),
        ("x > any(y)", "any is not a row-wise function"),
        ("unnest(x)", "unnest is not a row-wise function"),
        ("now()", "now reads the clock"),
        ("x > current_date", "current_date reads the clock"),
        ("summ(x) + rond(x, 2)", "summ is not a row-wise function"),
        ("rond(x, 2)", "did you mean round?"),
        ("x + z1", "unknown column 'z1'"),
        ('"3.feed H2s" + 1', "did you mean '3.feed H2S'?"),
        ("x +", "is not an SQL expression"),
        ("", "is not an SQL expression"),
        ("x, y", "is not an SQL expression"),
        ("*", "is not an SQL expression"),
        ("42", "names no column"),
        ("x as z", "leave out AS"),
        ("distinct x", "DISTINCT looks at other rows"),
        ("x || 'a'", "columns hold numbers"),
        ("x = 'a'", "columns hold numbers"),
        ("try_cast(x as varchar)", "not a number and not true or false"),
        ("cast(x as int)", "write try_cast"),
        ("x::int", "write try_cast"),
        ("x // 2", "write floor"),
        ("x * 1e400", "too large"),
        ("x or y", "cannot be computed"),
    ],
)
def test_what_is_not_row_wise_is_refused_in_words(sql, why):
    with pytest.raises(RowSqlError) as refused:
        row_expression(sql, FRAME.columns)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "sql", ["x / 3", "x / (2 * 3)", "x / -7", "100 * x / sqrt(3)", "(x - y) / 0.3", "asin(x / 10)"]
)
def test_the_last_bit_does_not_depend_on_the_number_of_rows_beside(sql):
    rng = random.Random(7)
    frame = pl.DataFrame({name: [rng.uniform(-10, 10) for _ in range(200)] for name in ("x", "y")})
    expression = row_expression(sql, frame.columns)
    whole = frame.lazy().select(r=expression).collect()["r"]
    alone = pl.concat([frame[row].select(r=expression)["r"] for row in range(frame.height)])
    assert_series_equal(whole, alone, check_exact=True)


def test_a_third_is_the_nearest_float_to_a_third():
    values = [-2.5, 7.0, 10.0, 5.0, math.inf, 1e300]
    got = pl.DataFrame({"x": values}).select(r=row_expression("x / 3", ["x"]))["r"].to_list()
    assert got == [value / 3 for value in values]


def test_division_by_zero_is_not_finite_and_left_to_the_caller():
    got = FRAME.select(r=row_expression("x / 0", FRAME.columns))["r"].to_list()
    assert got == [math.inf, -math.inf, None, math.inf]


def test_columns_of_an_expression_are_those_it_reads():
    assert columns_of(row_expression("coalesce(y, x) / 3", FRAME.columns)) == ["x", "y"]
