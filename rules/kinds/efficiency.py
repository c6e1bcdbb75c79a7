"""How much of the waste gas treatment takes out, and how much of it is collected: verdicts on a facility.

Promises: both are made of the mass that goes in and comes out in one window; a limit on removal decides while it holds,
with its number, condition and dates. Does not promise the word for it: that is tables/judgement.py.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.factors import REMOVAL_PREFIX, UNITS
from contracts.site import Dated, Facility, Limit

from ..base import Level, RuleBase
from ..bindings import compared
from ..ground import Ground
from ..made.mass import editions
from .limits import against
from .park import fits, rates, subject_of
from .treatment import number_of

REMOVAL, COLLECTION = "GI03", "GI04"  # indicators of green_island_metrics.csv
NEVER_KG_H = 1e9  # removal of an exempt facility is judged from here on
LIMITED_DECIMALS = 6  # of a removal that is held against a limit: in full, not as it is shown


class RemovalRule(RuleBase):
    """Removal efficiency of a facility, from the mass that goes in and comes out in the same window, against the limits
    on removal_<factor> of its outlets; while none of them holds, against the facility's number or the law's."""

    kind: Literal["removal"]
    per: Literal["hour", "day"] = "hour"
    level: Level = "orange"


def bind_removal(rule: RemovalRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for facility in ground.site.facilities:
        for factor in _treated(facility, ground):
            into = rates(ground, facility.inlet_stations, factor, rule.per)
            out_of = rates(ground, facility.outlet_stations, factor, rule.per)
            if into is None or out_of is None or not fits(rule, ground, into[0], subject_of(facility), factor):
                continue
            for limit, span in _removal_limits(facility, factor, ground):
                out = ground.make(
                    subject_of(facility),
                    f"$removal@{rule.per}:{factor}" + ("" if limit is None else f"?{limit.limit_id}"),
                    "removal_pct",
                    rule.per,
                    {"a": out_of, "b": into},
                    about=factor,
                    unit="%",
                    decimals=2 if limit is None else LIMITED_DECIMALS,
                    like=ground.rows[out_of[0]],
                    p=_removal_from_kg_h(facility, limit),
                )
                rows.append(_removal(rule, facility, ground, out, limit) | {"from_at": span[0], "to_at": span[1]})
    return rows


def _removal_limits(facility: Facility, factor: str, ground: Ground) -> Iterator[tuple[Limit | None, tuple[Any, Any]]]:
    """The limits on a facility's removal, with the instants between which they hold; None: where there is none."""
    outlets = {one.outlet for one in ground.site.stations if one.station in facility.outlet_stations}
    limits = [one for one in ground.site.limits if one.factor == REMOVAL_PREFIX + factor and one.outlet in outlets]
    always: list[Dated] = [Dated()]
    for from_at, to_at, there in editions([*always, *limits], ground.site.time_zone):
        holding: list[Limit | None] = [one for one in there if isinstance(one, Limit)]
        for limit in holding or [None]:
            yield limit, (from_at, to_at)


def _removal_from_kg_h(facility: Facility, limit: Limit | None) -> float:
    """What must go in for removal to be judged: what the limit's condition says, or less in a key region; without a
    limit what the facility says, or the law."""
    if facility.removal_exempt is not None:
        return NEVER_KG_H
    if limit is None:
        return float(number_of(facility.removal_from_kg_h, REMOVAL, "rate_kg_h")[0])
    own = facility.removal_from_kg_h
    return min(limit.when_value or 0.0, NEVER_KG_H if own is None else own)


def _removal(rule: RemovalRule, facility: Facility, ground: Ground, out: int, limit: Limit | None) -> dict[str, Any]:
    if limit is not None:
        held = against({rule.level: 1.0}, ground.rows[out], limit, ground.site.time_zone)
        return {"point": out, "period": rule.per, **held}
    at_least, limit_id = number_of(facility.removal_min_pct, REMOVAL, "efficiency_pct")
    levels: dict[str, Decimal] = {rule.level: at_least}
    return compared(ground.rows[out], rule.per, levels, above=False, limit_id=limit_id)


class CollectionRule(RuleBase):
    """Share of the waste gas that is collected: what goes into treatment against that and what escapes, measured."""

    kind: Literal["collection"]
    per: Literal["hour", "day"] = "day"
    at_least_pct: Annotated[float, Field(gt=0, le=100)] | None = None  # none: indicator GI04's
    level: Level = "yellow"


def bind_collection(rule: CollectionRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for facility in ground.site.facilities:
        for factor in _treated(facility, ground) if facility.fugitive_stations else ():
            into = rates(ground, facility.inlet_stations, factor, rule.per)
            escaped = rates(ground, facility.fugitive_stations, factor, rule.per)
            if into is None or escaped is None or not fits(rule, ground, into[0], subject_of(facility), factor):
                continue
            out = ground.make(
                subject_of(facility),
                f"$collection@{rule.per}:{factor}",
                "share_pct",
                rule.per,
                {"a": into, "b": [*into, *escaped]},
                about=factor,
                unit="%",
                decimals=2,
                like=ground.rows[into[0]],
                p=0.0,
            )
            at_least, limit_id = number_of(rule.at_least_pct, COLLECTION, "share_pct")
            levels: dict[str, Decimal] = {rule.level: at_least}
            rows.append(compared(ground.rows[out], rule.per, levels, above=False, limit_id=limit_id))
    return rows


def _treated(facility: Facility, ground: Ground) -> list[str]:
    """Factors with a mass that every inlet and outlet station of a facility measures."""
    measured = [
        {point.factor for point in ground.site.points if point.station == name}
        for name in (*facility.inlet_stations, *facility.outlet_stations)
    ]
    if not facility.inlet_stations or not facility.outlet_stations:
        return []
    in_mass = ("mass per gas volume", "mass per water volume")
    return sorted(f for f in set.intersection(*measured) if UNITS[ground.site.factors[f].unit][0] in in_mass)


BINDERS = {RemovalRule: bind_removal, CollectionRule: bind_collection}
