"""Rules bound to points: one row a (rule, point, limit), with everything a comparison needs as integers."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import polars as pl

from contracts.frames import INSTANT

from .base import RuleBase, RuleProblem

THRESHOLD_EXTRA = 4  # thresholds carry so many decimals more than the compared value: 0.9 x limit stays exact

BINDINGS = pl.Schema(
    {
        "binding": pl.UInt32,
        "rule": pl.String,
        "kind": pl.String,
        "point": pl.UInt32,
        "period": pl.String,
        "statistic": pl.String,  # of evaluate.STATISTICS
        "above": pl.Boolean,  # a level is reached above (or below) its threshold
        "inclusive": pl.Boolean,  # ... or at it
        "rounded": pl.Boolean,  # compare the rounded value (GB/T 8170), else the full value
        "decimals": pl.UInt8,  # of the reported value and limit
        "value_mul": pl.Int128,  # value in `decimals` = sum * value_mul / (n * value_div)
        "value_div": pl.Int128,
        "yellow": pl.Int128,  # thresholds in decimals + THRESHOLD_EXTRA; null: the level is not used
        "orange": pl.Int128,
        "red": pl.Int128,
        "clear": pl.Int128,  # ... and what a value must be back within before it is good; null: the mildest of them
        "limit_scaled": pl.Int64,
        "limit_id": pl.String,
        "is_limit_reached": pl.Int128,  # threshold that makes the verdict an exceedance, as above
        "values_min": pl.UInt32,  # judged from so many valid values on
        "except_zero": pl.Boolean,
        "names_inputs": pl.Boolean,  # its windows' highest part says which inputs count: formulas.Formula.which
        "while_stopped": pl.Boolean,  # judged in approved stops alone, which excuse everything else
        "window_s": pl.Int64,  # an instant's share of event time; null: the window's own length
        "from_at": INSTANT,  # the limit holds for windows that start in [from_at, to_at)
        "to_at": INSTANT,
        "is_fallback": pl.Boolean,  # "no limit configured", where none of the point's dated limits holds
        "pending_s": pl.Int64,
        "recovery_s": pl.Int64,
    }
)

# What a row says where its kind says nothing else.
_PLAIN: dict[str, Any] = {
    "statistic": "mean",
    "above": True,
    "inclusive": False,
    "rounded": False,
    "decimals": 0,
    "value_mul": 1,
    "value_div": 1,
    "values_min": 1,
    "except_zero": False,
    "names_inputs": False,
    "while_stopped": False,
    "is_fallback": False,
}


def threshold(number: Decimal, decimals: int) -> int:
    """As an integer of decimals + THRESHOLD_EXTRA."""
    return int(number.scaleb(decimals + THRESHOLD_EXTRA).to_integral_value(ROUND_HALF_EVEN))


def shift(decimals: int, point_decimals: int) -> dict[str, int]:
    """What brings a point's value to other decimals."""
    by = decimals - point_decimals
    return {"decimals": decimals, "value_mul": 10 ** max(0, by), "value_div": 10 ** max(0, -by)}


def compared(
    point: dict[str, Any],
    period: str,
    levels: dict[str, Decimal],
    *,
    statistic: str = "mean",
    above: bool = True,
    inclusive: bool = False,
    decimals: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A row of BINDINGS that holds a statistic of a point's windows against a rule's own numbers, level by level.

    levels: in the point's unit; a count is a number. The verdict is an exceedance from the mildest level on; that
    number is reported as the limit.
    """
    own = int(point["decimals"]) if statistic in ("mean", "sum", "range", "high", "low") else 0
    place = own if decimals is None else decimals
    mildest = min(levels.values()) if above else max(levels.values())
    return {
        "point": point["point"],
        "period": period,
        "statistic": statistic,
        "above": above,
        "inclusive": inclusive,
        **shift(place, own),
        **{level: threshold(number, place) for level, number in levels.items()},
        "limit_scaled": int(mildest.scaleb(place).to_integral_value(ROUND_HALF_EVEN)),
        "is_limit_reached": threshold(mildest, place),
        **more,
    }


def _clear(rule: RuleBase, row: dict[str, Any]) -> int | None:
    """So many per cent of the mildest level within it; null where the rule asks for none, or that level is zero."""
    levels = [row[level] for level in ("yellow", "orange", "red") if row.get(level) is not None]
    if not rule.hysteresis_pct or not levels:
        return None
    above = row.get("above", True)
    mildest = min(levels) if above else max(levels)
    back = (abs(mildest) * Decimal(str(rule.hysteresis_pct)) / 100).to_integral_value(ROUND_HALF_EVEN)
    return None if not mildest else mildest - int(back) if above else mildest + int(back)


def frame_of(bound: list[tuple[RuleBase, list[dict[str, Any]]]]) -> pl.DataFrame:
    """BINDINGS, sorted by rule, point, limit. Raises RuleProblem where two rules have one id."""
    seen: set[str] = set()
    rows = []
    for rule, its in bound:
        if rule.id in seen:
            raise RuleProblem(rule.id, "id", "two rules have this id; give each its own")
        seen.add(rule.id)
        durations = {
            "pending_s": int(rule.pending.total_seconds()),
            "recovery_s": int(rule.recovery.total_seconds()),
        }
        about = {"rule": rule.id, "kind": rule.kind}  # type: ignore[attr-defined]
        rows += [{**_PLAIN, **about, **durations, **row, "clear": _clear(rule, row)} for row in its]
    schema = {name: dtype for name, dtype in BINDINGS.items() if name != "binding"}
    frame = pl.DataFrame(rows, schema=schema, strict=False)
    return frame.sort("rule", "point", "limit_id").with_row_index("binding").match_to_schema(BINDINGS)
