"""What a point made for a rule is made of, as an episode carries it: the numbers its text speaks of.

An episode is told long after its rule may have changed: what it needs to be put into words is kept with it.
"""

from typing import Any

import polars as pl

# formulas whose numbers and inputs a text names
_WORDED = ("beyond", "between", "deviation_pct", "equal", "high_and_low")


def made_of(points: pl.DataFrame, derived: pl.DataFrame, inputs: pl.DataFrame) -> dict[int, dict[str, Any]]:
    """By number of the point: kind, period (of the windows it is made of), windows (so many of them together, 1: one),
    p, q, and inputs: role, factor, unit, lag. Points people know by a name of their own are left out.

    points: POINTS; derived, inputs: ground.DERIVED, ground.INPUTS.
    """
    about = dict(zip(points["point"], points.select("about", "unit", "is_published").iter_rows(), strict=True))
    fed: dict[int, list[dict[str, Any]]] = {}
    for row in inputs.sort("out", "role", "lag").iter_rows(named=True):
        factor, unit, _ = about[row["point"]]
        one = {"role": row["role"], "factor": factor, "unit": unit, "lag": row["lag"], "point": row["point"]}
        fed.setdefault(row["out"], []).append(one)
    own = {row["out"]: row for row in derived.iter_rows(named=True)}
    found = {}
    for out, row in own.items():
        counted, windows = row, 1
        if row["kind"] == "pooled":
            windows = len(fed[out])
            first = fed[out][0]["point"]
            if first in own and own[first]["kind"] in ("beyond", "between"):
                counted = own[first]
        if about[out][2] or counted["kind"] not in (*_WORDED, "pooled"):
            continue
        its = [{key: one[key] for key in one if key != "point"} for one in fed[counted["out"]]]
        found[out] = {
            "kind": counted["kind"],
            "period": counted["period"],
            "windows": windows,
            "p": counted["p"],
            "q": counted["q"],
            "inputs": its[:1] if counted["kind"] == "pooled" else its,
        }
    return found
