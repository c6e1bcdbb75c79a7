"""Production and the treatment that serves it, by their power: minutes with both signals valid, and nothing else."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.factors import TREATMENT_OFF
from contracts.site import Pair

from ..base import Level, RuleBase
from ..bindings import compared
from ..ground import Ground, Inputs
from ..made.running_time import RUNNING_TIME
from ..tables.reference import green_island_metrics

SYNCHRONOUS, LOW_LOAD = "GI01", "GI02"  # indicators of green_island_metrics.csv


class TreatmentOffRule(RuleBase):
    """Production draws power while the treatment that serves it does not. Judged by minutes with both signals valid."""

    kind: Literal["treatment_off"]
    level: Level = "red"


def bind_treatment_off(rule: TreatmentOffRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for pair in ground.site.pairs:
        point = ground.rows[off(pair, ground)]
        if rule.select.fits(point, factor=False):
            rows.append(compared(point, "minute", {rule.level: Decimal(1)}, inclusive=True, limit_scaled=None))
    return rows


class TreatmentLowLoadRule(RuleBase):
    """Treatment is on while production is, but draws less than a share of its rated power: idling."""

    kind: Literal["treatment_low_load"]
    level: Level = "yellow"


def bind_low_load(rule: TreatmentLowLoadRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for pair in ground.site.pairs:
        if pair.rated_kw is None or not rule.select.fits(ground.rows[off(pair, ground)], factor=False):
            continue
        share = pair.treatment_share_min
        if share is None:
            share = float(green_island_metrics()[LOW_LOAD].number("rated_share"))
        out = _made(rule, ground, pair, "treatment_low", _signals(pair, ground), r=share * pair.rated_kw)
        limit_id = LOW_LOAD if pair.treatment_share_min is None else None
        at_least: dict[str, Decimal] = {rule.level: Decimal(1)}
        rows.append(
            compared(ground.rows[out], "minute", at_least, inclusive=True, limit_scaled=None, limit_id=limit_id)
        )
    return rows


class TreatmentOrderRule(RuleBase):
    """Treatment did not run for long enough before production began, or not for long enough after it ended."""

    kind: Literal["treatment_order"]
    level: Level = "yellow"


def bind_order(rule: TreatmentOrderRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for pair in ground.site.pairs:
        if not rule.select.fits(ground.rows[off(pair, ground)], factor=False):
            continue
        production = ground.number[pair.production_station, pair.production_factor]
        treatment = ground.number[pair.treatment_station, pair.treatment_factor]
        edges: dict[str, Inputs] = {}
        if pair.start_before_s is not None:
            before = -(-pair.start_before_s // 60)
            edges["start"] = {"a": [production], "b": [(treatment, before)], "c": [(production, 1)]}
        if pair.stop_after_s is not None:
            after = -(-pair.stop_after_s // 60)
            edges["stop"] = {"a": [(production, after)], "b": [treatment], "c": [(production, after - 1)]}
        for edge, inputs in edges.items():
            out = _made(rule, ground, pair, "treatment_late", inputs, suffix=f":{edge}")
            levels: dict[str, Decimal] = {rule.level: Decimal(1)}
            rows.append(compared(ground.rows[out], "minute", levels, inclusive=True, limit_scaled=None, limit_id=edge))
    return rows


class SynchronousRateRule(RuleBase):
    """Share of production's minutes in which its treatment ran too; only minutes with both signals valid count."""

    kind: Literal["synchronous_rate"]
    per: Literal["hour", "day", "month"] = "day"
    at_least_pct: Annotated[float, Field(gt=0, le=100)] | None = None  # none: indicator GI01's
    level: Level = "yellow"


def bind_synchronous(rule: SynchronousRateRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for pair in ground.site.pairs:
        point = ground.rows[off(pair, ground)]
        if not rule.select.fits(point, factor=False):
            continue
        out = synchronous(pair, rule.per, ground)
        at_least, limit_id = number_of(rule.at_least_pct, SYNCHRONOUS, "share_pct")
        rows.append(compared(ground.rows[out], rule.per, {rule.level: at_least}, above=False, limit_id=limit_id))
    return rows


def synchronous(pair: Pair, per: str, ground: Ground) -> int:
    """The point whose windows of `per` are the pair's synchronous share in percent, of the minutes below them."""
    point = ground.rows[off(pair, ground)]
    same: dict[str, Any] = {"about": point["factor"], "unit": "%", "decimals": 2, "like": point}
    out = ground.make(
        point["station"],
        f"$synchronous:{pair.pair}",
        "synchronous",
        "minute",
        _signals(pair, ground),
        p=pair.production_on_kw,
        q=pair.treatment_on_kw,
        r=100.0,
        **same,
    )
    for period in ("hour", "day", "month"):  # each is made of the one before
        name = f"$synchronous@{period}:{pair.pair}"
        out = ground.make(point["station"], name, RUNNING_TIME, period, {"a": [out]}, **same)
        if period == per:
            break
    return out


def number_of(own: float | None, indicator: str, name: str) -> tuple[Decimal, str | None]:
    """A rule's or registry row's own number, or the indicator's and its id, by which texts say what it rests on."""
    if own is not None:
        return Decimal(str(own)), None
    return green_island_metrics()[indicator].number(name), indicator


def off(pair: Pair, ground: Ground) -> int:
    """The registry's own point that says whether the pair's production runs without its treatment."""
    return ground.number[pair.treatment_station, f"{TREATMENT_OFF}:{pair.pair}"]


def _signals(pair: Pair, ground: Ground) -> Inputs:
    return {
        "a": [ground.number[pair.production_station, pair.production_factor]],
        "b": [ground.number[pair.treatment_station, pair.treatment_factor]],
    }


def _made(
    rule: RuleBase,
    ground: Ground,
    pair: Pair,
    kind: str,
    inputs: Any,
    *,
    suffix: str = "",
    r: float | None = None,
) -> int:
    point = ground.rows[off(pair, ground)]
    return ground.make(
        point["station"],
        f"${rule.id}:{pair.pair}{suffix}",
        kind,
        "minute",
        inputs,
        about=point["factor"],
        unit="1",
        decimals=0,
        like=point,
        p=pair.production_on_kw,
        q=pair.treatment_on_kw,
        r=r,
    )


BINDERS = {
    TreatmentOffRule: bind_treatment_off,
    TreatmentLowLoadRule: bind_low_load,
    TreatmentOrderRule: bind_order,
    SynchronousRateRule: bind_synchronous,
}
