"""The class of a river section or lake, by its worst factor."""

from decimal import Decimal
from typing import Any, Literal

import polars as pl

from contracts.factors import RIVER_CLASS, ratio
from contracts.reasons import NoJudgement

from ..base import Level, RuleBase
from ..bindings import compared
from ..exact import decimals_of, scaled
from ..ground import Ground
from ..made.formulas import Formula, P, const, first_of, reason_of, usable
from ..tables.water_classes import ClassRow, classes_of


class RiverClassRule(RuleBase):
    """The single-factor class of a section's means, 1 to 5, 6 worse than V, against its target (GB 3838-2002 cl. 5).

    Judged by what the section's stations measure. A section without a target gets its class and no judgement.
    """

    kind: Literal["river_class"]
    period: Literal["day", "month", "year"] = "month"
    level: Level = "orange"


# the worst class there is; p: a class worse than it holds without the factors that are missing
WORST = Formula(
    "a",
    pl.col("high_a").cast(pl.Float64) / pl.col("scale_a"),
    first_of(
        (pl.col("ok_a") == 0, reason_of("a")),
        (~usable("a") & ~(pl.col("high_a") > P).fill_null(False), NoJudgement.SIGNAL_MISSING),
    ),
    counts_inputs=True,
)


def bind(rule: RiverClassRule, ground: Ground) -> list[dict[str, Any]]:
    outlets = {outlet.outlet: outlet for outlet in ground.site.outlets}
    of_station: dict[str, list[dict[str, Any]]] = {}
    for point in ground.registered:
        outlet = outlets[point["outlet"]]
        fits = outlet.medium == "surface_water" and rule.select.fits(point)
        if fits and classes_of(point["factor"], outlet.water_body):
            of_station.setdefault(point["station"], []).append(point)
    rows = []
    for station, points in of_station.items():
        outlet = outlets[points[0]["outlet"]]
        made = [_class_of(rule, ground, point, outlet.water_body) for point in points]
        ground.formulas["worst_class"] = WORST
        worst = ground.make(
            station,
            f"${rule.id}",
            "worst_class",
            rule.period,
            {"a": made},
            about=RIVER_CLASS,
            unit="1",
            decimals=0,
            like=points[0],
            p=float(outlet.target_class) or None,
        )
        if not outlet.target_class:
            rows += [{"point": point, "period": rule.period} for point in (worst, *made)]
            continue
        target = Decimal(outlet.target_class)
        rows.append(compared(ground.rows[worst], rule.period, {rule.level: target}))
        for point in made:  # which factors are worse than the target: no alert of their own
            row = compared(ground.rows[point], rule.period, {rule.level: target})
            rows.append({name: value for name, value in row.items() if name != rule.level})
    return rows


def _class_of(rule: RiverClassRule, ground: Ground, point: dict[str, Any], body: str) -> int:
    """The point whose windows are the class of this factor's means."""
    factor = point["factor"]
    kind = f"class:{body}:{factor}"
    ground.formulas[kind] = _class_formula(classes_of(factor, body), point)
    return ground.make(
        point["station"],
        f"${rule.id}:{factor}",
        kind,
        rule.period,
        {"a": [point["point"]]},
        about=factor,
        unit="1",
        decimals=0,
        like=point,
    )


def _class_formula(rows: list[ClassRow], point: dict[str, Any]) -> Formula:
    """1 and one more for every class whose number is not met, compared in full on integers."""

    def beyond(row: ClassRow, number: float) -> pl.Expr:
        in_unit = Decimal(str(number)) * Decimal(str(ratio(row.unit, point["unit"])))
        decimals = max(int(point["decimals"]), decimals_of(in_unit))
        total = pl.col("sum_a") * pl.lit(10 ** (decimals - int(point["decimals"])), pl.Int128)
        bound = pl.lit(scaled(in_unit, decimals), pl.Int128) * pl.col("n_a").cast(pl.Int128)
        return total > bound if row.comparator == "<=" else total < bound

    worst = pl.max_horizontal(
        pl.sum_horizontal(beyond(row, number).cast(pl.Int64) for number in row.numbers) for row in rows
    )
    return Formula("a", const(1.0) + worst, first_of((~usable("a"), reason_of("a"))))


BINDERS = {RiverClassRule: bind}
