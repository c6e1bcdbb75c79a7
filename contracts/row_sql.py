"""Row-wise SQL: one expression over the columns of one row, compiled to Polars.

Promises: the result of a row depends on that row alone and comes in the frame's order and length; equal text, equal
result (no clock, no random numbers). Does not promise a finite result: x/0 is inf or nan, and null in gives null out
where SQL says so; what that means is the caller's matter.
"""

import io
import json
import math
import re
from collections.abc import Sequence

import polars as pl

from .nearest import nearest, suggestion


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What a writer may call. Anything else is refused by name, before Polars is asked.
ROW_FUNCTIONS = _names(
    "abs acos asin atan atan2 cbrt ceil ceiling coalesce cos degrees exp floor greatest if ifnull least ln log "
    "log10 log1p log2 mod nullif pi pow power radians round sign sin sqrt tan trunc truncate try_cast"
)
# Words that may stand before "(" without calling anything.
_KEYWORDS = _names("and or not in is between case when then else as on double float decimal")
_AGGREGATES = _names(
    "any_value array_agg avg corr count covar covar_pop covar_samp first first_value group_concat last last_value max "
    "mean median min mode quantile quantile_cont quantile_disc stddev stddev_pop stddev_samp stdev string_agg sum var "
    "var_pop var_samp variance"
)
_WINDOWS = _names("cume_dist dense_rank lag lead nth_value ntile percent_rank rank row_number")
_CLOCK = _names("current_date current_time current_timestamp localtime localtimestamp now today")

_QUOTED_OR_COMMENT = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)(\s*\()?")

# Nodes of a compiled expression that look at one row only. A node not listed is refused, so that a new kind of node in
# a later Polars has to be looked at before it passes.
_ROW_NODE_FUNCTIONS = _names(
    "Abs Atan2 Ceil Coalesce Exp Floor Log Log1p MaxHorizontal MinHorizontal Pow Sign Trigonometry Truncate"
)
_ROW_BOOLEAN_FUNCTIONS = frozenset({"Not", "IsNull", "IsNotNull", "IsNan", "IsNotNan", "IsFinite", "IsInfinite"})
_ROW_SQL_FUNCTIONS = frozenset({"Binary", "IsIn", "Round", "ToFloat"})
_DIVISIONS = ("Div", "Divide", "TrueDivide")

_PROBE = (1.0, None, -2.5, 0.0, 3.75, 1e300, -1e300, 1e-300, math.inf, math.nan, 7.0, 1.0, 10.0, 0.1, 5.0, 86.7)


class RowSqlError(ValueError):
    """The expression cannot be used; the text says why, in the words of whoever wrote it."""


def row_expression(sql: str, columns: Sequence[str]) -> pl.Expr:
    """The expression, over Float64 columns of these names; its result is Float64 or Boolean.

    Refused with RowSqlError: what does not parse, unknown columns, aggregates, window functions, sub-selects, the
    clock, random numbers, text results, a strict cast (one bad row would stop all the others), no column at all.
    """
    _refuse_words(sql)
    try:
        parsed = json.loads(pl.sql_expr(sql).meta.serialize(format="json"))
    except pl.exceptions.PolarsError as error:
        raise RowSqlError(f"{sql!r} is not an SQL expression: {str(error).splitlines()[0]}") from error
    tree, used = _row_wise(sql, parsed)
    for name in sorted(used - set(columns)):
        raise RowSqlError(f"{sql!r}: unknown column {name!r}{_instead(name, columns)}")
    if not used:
        raise RowSqlError(f"{sql!r} names no column")
    return _probed(sql, pl.Expr.deserialize(io.BytesIO(json.dumps(tree).encode()), format="json"), sorted(used))


def columns_of(expression: pl.Expr) -> list[str]:
    """The columns an expression reads, sorted."""
    return sorted(set(expression.meta.root_names()))


def _instead(name: str, known: Sequence[str]) -> str:
    return suggestion(name, known) or (f"; there are {', '.join(known[:20])}" if known else "")


def _refuse_words(sql: str) -> None:
    bare = _QUOTED_OR_COMMENT.sub(" ", sql)
    for word, call in _WORD.findall(bare):
        name = word.lower()
        if name in ("select", "exists"):
            raise RowSqlError(f"{sql!r}: a sub-select looks at other rows; an expression sees its own row only")
        if name == "over":
            raise RowSqlError(f"{sql!r}: OVER looks at other rows; an expression sees its own row only")
        if name in _CLOCK:
            raise RowSqlError(f"{sql!r}: {name} reads the clock; the same row must always give the same result")
        if name == "distinct" and "from" not in bare.lower():
            raise RowSqlError(f"{sql!r}: DISTINCT looks at other rows; an expression sees its own row only")
        if name == "div" or "//" in bare:
            raise RowSqlError(f"{sql!r}: whole-number division fails on inf and nan; write floor(a / b)")
        if name == "cast" or "::" in bare:
            raise RowSqlError(
                f"{sql!r}: a cast that fails on one row stops all the others; write try_cast(... as double)"
            )
        if not call or name in _KEYWORDS or name in ROW_FUNCTIONS:
            continue
        if name in _AGGREGATES:
            raise RowSqlError(f"{sql!r}: {name} is an aggregate over rows; an expression sees its own row only")
        if name in _WINDOWS:
            raise RowSqlError(f"{sql!r}: {name} is a window function; an expression sees its own row only")
        near = nearest(name, sorted(ROW_FUNCTIONS))
        hint = f"did you mean {near}?" if near else "there are " + ", ".join(sorted(ROW_FUNCTIONS))
        raise RowSqlError(f"{sql!r}: {name} is not a row-wise function; {hint}")


def _row_wise(sql: str, node: dict) -> tuple[dict, set[str]]:
    """The node as it is to be run, and the columns it reads. Raises on any node not known to look at one row only.

    Numbers become floats like the columns (SQL would make 0.1 a decimal and stop at 1.0 / 0.0).
    """
    kind, body = next(iter(node.items())) if isinstance(node, dict) else (node, {})
    if kind == "Alias":
        raise RowSqlError(f"{sql!r}: the result has its name already; leave out AS")
    if kind == "Column":
        return node, {body}
    if kind == "Literal":
        return {kind: _literal(sql, body)}, set()
    if kind == "Cast" and (body["options"] == "NonStrict" or body["dtype"] == {"Literal": "Boolean"}):
        inner = ("expr",)
    elif kind == "BinaryExpr":
        inner = ("left", "right")
    elif kind == "Ternary":
        inner = ("predicate", "truthy", "falsy")
    elif kind == "Function" and _is_row_function(body["function"]):
        pairs = [_row_wise(sql, each) for each in body["input"]]
        operator = body["function"].get("Sql") if isinstance(body["function"], dict) else None
        if isinstance(operator, dict) and operator.get("Binary") in _DIVISIONS:
            pairs[1] = _full_length(*pairs)
        return {kind: {**body, "input": [tree for tree, _ in pairs]}}, set().union(*(used for _, used in pairs))
    else:
        raise RowSqlError(f"{sql!r} is not row-wise ({kind}); an expression sees its own row only")
    pairs = [_row_wise(sql, body[part]) for part in inner]
    if kind == "BinaryExpr" and body["op"] in _DIVISIONS:
        pairs[1] = _full_length(*pairs)
    trees = dict(zip(inner, (tree for tree, _ in pairs), strict=True))
    return {kind: {**body, **trees}}, set().union(*(used for _, used in pairs))


def _full_length(dividend: tuple[dict, set[str]], divisor: tuple[dict, set[str]]) -> tuple[dict, set[str]]:
    """The divisor as a column where it is one number for all rows.

    Polars divides a column by a single number by multiplying with its reciprocal, a column of one row by dividing: the
    last bit of a result would change with the number of rows beside it.
    """
    if divisor[1] or not dividend[1]:
        return divisor
    itself = {"BinaryExpr": {"left": dividend[0], "op": "EqValidity", "right": dividend[0]}}  # true in every row
    ones = {"Cast": {"expr": itself, "dtype": {"Literal": "Float64"}, "options": "NonStrict"}}
    return {"BinaryExpr": {"left": divisor[0], "op": "Multiply", "right": ones}}, set()


def _is_row_function(function: object) -> bool:
    outer, inner = next(iter(function.items())) if isinstance(function, dict) else (function, None)
    kind = next(iter(inner)) if isinstance(inner, dict) else inner
    return (
        outer in _ROW_NODE_FUNCTIONS
        or (outer == "Boolean" and kind in _ROW_BOOLEAN_FUNCTIONS)
        or (outer == "Sql" and kind in _ROW_SQL_FUNCTIONS)
    )


def _literal(sql: str, body: dict) -> dict:
    if "Series" in body:  # x in (1, 2); what it holds is compared by the probe
        return body
    kind, value = next(iter(body.get("Dyn", body.get("Scalar", {"?": None})).items()))
    if kind in ("Boolean", "Null"):
        return body
    if kind == "Decimal":
        digits, _, scale = value
        value = digits / 10**scale
    elif kind not in ("Int", "Float"):
        raise RowSqlError(f"{sql!r}: columns hold numbers; a {kind.lower()} cannot be compared or computed with them")
    if value is None:
        raise RowSqlError(f"{sql!r}: a number in it is too large")
    return {"Dyn": {"Float": float(value)}}


def _probed(sql: str, expression: pl.Expr, used: list[str]) -> pl.Expr:
    """The expression, tried on a few rows: all at once and each alone must agree in values and length."""
    result = expression
    for values in (_PROBE, [value for value in _PROBE if value is not None]):  # Polars has fast paths without nulls
        # A different rotation per column, so that no two columns move together.
        probe = pl.DataFrame(
            {name: [*values[at % len(values) :], *values[: at % len(values)]] for at, name in enumerate(used)},
            schema=dict.fromkeys(used, pl.Float64),
        )
        try:
            dtype = probe.select(result=expression).to_series().dtype
            if not (dtype.is_numeric() or dtype == pl.Boolean):
                raise RowSqlError(f"{sql!r} gives {dtype}, not a number and not true or false")
            result = expression if dtype == pl.Boolean else expression.cast(pl.Float64)
            whole = probe.select(result=result).to_series()
            alone = pl.concat([probe[row].select(result=result).to_series() for row in range(probe.height)])
        except pl.exceptions.PolarsError as error:
            raise RowSqlError(f"{sql!r} cannot be computed: {str(error).splitlines()[0]}") from error
        if not whole.equals(alone, null_equal=True):
            raise RowSqlError(f"{sql!r} is not row-wise: a row's result changes with the rows beside it")
    return result
