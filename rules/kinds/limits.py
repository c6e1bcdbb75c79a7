"""Rules against the limits assigned to an outlet."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from contracts.civil_time import zone
from contracts.factors import CONVERTED_PREFIX, ratio
from contracts.site import Limit, Period

from ..base import Level, RuleBase, RuleProblem
from ..bindings import shift, threshold
from ..exact import decimals_of, scaled
from ..ground import Ground


class LimitRule(RuleBase):
    """Means (or instant values) against the limits assigned to the point's outlet."""

    kind: Literal["limit"]
    period: Period
    limits_of: Period | None = None  # limits of another period: early warning
    levels: dict[Level, Annotated[float, Field(gt=0)]] = Field({"orange": 1.0})  # multiples of the limit
    rolling: Annotated[int, Field(ge=1, le=24)] = 1  # mean of so many windows together, the last one the verdict's

    @model_validator(mode="after")
    def _levels_ascend(self) -> "LimitRule":
        ascending = [self.levels[level] for level in ("yellow", "orange", "red") if level in self.levels]
        if not ascending or ascending != sorted(ascending):
            raise ValueError("levels: name at least one of yellow, orange, red, with rising multiples of the limit")
        return self


def bind(rule: LimitRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for point, limit, is_fallback in _limited(rule, ground):
        subject = ground.judged(point["station"], point["factor"], rule.period)
        if limit is not None and limit.when_factor is not None:
            subject = _when(rule, limit, subject, point, ground)
        if rule.rolling > 1:
            subject = _rolling(rule, subject, point, ground)
        rows.append(
            {
                "point": subject,
                "period": rule.period,
                "window_s": point["interval_s"] if rule.period == "instant" else None,
                "is_fallback": is_fallback,
                **against(rule.levels, point, limit, ground.site.time_zone),
            }
        )
    return rows


def _limited(rule: LimitRule, ground: Ground) -> Iterator[tuple[dict[str, Any], Limit | None, bool]]:
    """Every selected point with each of its limits; null: none is configured, always or at dates none of them holds."""
    assigned: dict[tuple[str, str], list[Limit]] = {}
    period = rule.limits_of or rule.period
    for limit in ground.site.limits:
        if limit.period == period:
            assigned.setdefault((limit.outlet, limit.factor), []).append(limit)
    converted = {
        (point["station"], point["factor"].removeprefix(CONVERTED_PREFIX))
        for point in ground.registered
        if point["factor"].startswith(CONVERTED_PREFIX)
    }
    for point in ground.registered:
        if point["factor"].startswith("$") or not rule.select.fits(point):
            continue
        mine: list[Limit | None] = [*assigned.get((point["outlet"], point["factor"]), [])]
        if all(limit is not None and (limit.valid_from or limit.valid_to) for limit in mine):
            mine.append(None)
        for limit in mine:
            if limit is None and rule.limits_of is not None:
                continue  # an early warning has nothing to say where there is no limit
            if limit is None and (point["station"], point["factor"]) in converted:
                continue  # judged after conversion: the measured value has no limit of its own
            yield point, limit, limit is None and len(mine) > 1


def _rolling(rule: LimitRule, subject: int, point: dict[str, Any], ground: Ground) -> int:
    """The point whose windows are means of the last ones together; three quarters of them must have a mean."""
    return ground.make(
        point["station"],
        f"{ground.rows[subject]['factor']}~{rule.rolling}{rule.period}",
        "pooled",
        rule.period,
        {"a": [(subject, lag) for lag in range(rule.rolling)]},
        about=point["factor"],
        unit=point["unit"],
        decimals=point["decimals"],
        like=point,
        p=float(-(-3 * rule.rolling // 4)),
    )


def _when(rule: LimitRule, limit: Limit, subject: int, point: dict[str, Any], ground: Ground) -> int:
    """The point whose windows are the subject's while the limit's condition holds."""
    assert limit.when_factor is not None
    condition = ground.find(point["station"], limit.when_factor)
    if condition is None:
        said = (
            f"limit {limit.limit_id} depends on {limit.when_factor}, which station {point['station']} does not measure"
        )
        raise RuleProblem(
            rule.id, "select", said + "; register the point, or assign the stricter limit without condition"
        )
    at_most = limit.when_comparator in ("<=", "<")
    return ground.make(
        point["station"],
        f"{point['factor']}?{limit.limit_id}",
        "when",
        rule.period,
        {"a": [subject], "b": [condition]},
        about=point["factor"],
        unit=point["unit"],
        decimals=point["decimals"],
        like=point,
        p=None if at_most else limit.when_value,
        q=limit.when_value if at_most else None,
        r=1.0 if limit.when_comparator in ("<", ">") else 0.0,
    )


def _day_start(day: date | None, zone_name: str) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=zone(zone_name))


def holds(limit: Limit, zone_name: str) -> dict[str, datetime | None]:
    """Columns of BINDINGS: for windows that start on the limit's days."""
    until = None if limit.valid_to is None else limit.valid_to + timedelta(days=1)
    return {"from_at": _day_start(limit.valid_from, zone_name), "to_at": _day_start(until, zone_name)}


def against(
    levels: Mapping[Level, float], point: dict[str, Any], limit: Limit | None, zone_name: str
) -> dict[str, Any]:
    """Columns of BINDINGS that hold a point's value against multiples of a limit; without one it is only reported."""
    point_decimals = int(point["decimals"])
    if limit is None:
        return {"decimals": point_decimals}
    in_unit = Decimal(str(limit.limit)) * Decimal(str(ratio(limit.unit, point["unit"])))
    in_unit = in_unit.quantize(Decimal(1).scaleb(-12), ROUND_HALF_EVEN).normalize()
    rounded = limit.comparison == "rounded"
    place = limit.decimals if rounded and limit.decimals is not None else point_decimals
    decimals = max(place, decimals_of(in_unit))
    above = limit.comparator in ("<=", "<")

    def times(multiple: float) -> int:
        factor = Decimal(str(multiple))
        return threshold(in_unit * factor if above else in_unit / factor, decimals)

    return {
        "above": above,
        "inclusive": limit.comparator in ("<", ">"),
        "rounded": rounded,
        **shift(decimals, point_decimals),
        **{level: times(multiple) for level, multiple in levels.items()},
        "limit_scaled": scaled(in_unit, decimals),
        "limit_id": limit.limit_id,
        "is_limit_reached": times(1.0),
        **holds(limit, zone_name),
    }


BINDERS = {LimitRule: bind}
