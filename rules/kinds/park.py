"""Parks and the treatment they share ("green island"): verdicts on a park or facility as a whole.

A verdict on a park stands under the station `park:<id>`, one on a shared facility under `facility:<id>`.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from contracts.factors import UNITS, WIND_DIRECTION, WIND_SPEED, ratio
from contracts.reasons import LEVELS
from contracts.site import FACILITY_SUBJECT, PARK_SUBJECT, Facility, Member, ParkThreshold, Station

from ..base import Level, RuleBase
from ..bindings import compared
from ..ground import Ground
from ..made.bearing import bearing
from ..made.mass import editions, flow_factor, mass_rate, sources
from ..made.wind import WIND_FROM
from .treatment import off

SECTOR_DEG = 45.0  # a station within so many degrees of the wind's line through the park's centre lies on it
NAMED_MEMBERS = 50  # bits that a float holds in full
Levels = dict[Level, Annotated[float, Field(gt=0)]]


class _ByLevels(RuleBase):
    """Held against a number of the registry, in multiples of it."""

    levels: Levels = Field({"orange": 1.0})

    @model_validator(mode="after")
    def _levels_ascend(self) -> "_ByLevels":
        ascending = [self.levels[level] for level in LEVELS if level in self.levels]
        if not ascending or ascending != sorted(ascending):
            raise ValueError("levels: name at least one of yellow, orange, red, with rising multiples of the number")
        return self

    def compared(
        self, ground: Ground, out: int, period: str, limit: Decimal, limit_id: str, span: tuple[Any, Any] = (None, None)
    ) -> dict[str, Any]:
        levels: dict[str, Decimal] = {level: limit * Decimal(str(times)) for level, times in self.levels.items()}
        row = compared(ground.rows[out], period, levels, limit_id=limit_id, from_at=span[0], to_at=span[1])
        at_it = compared(ground.rows[out], period, {"red": limit})
        # from 0.9 of it on is a level, but no exceedance
        return {**row, **{name: at_it[name] for name in ("limit_scaled", "is_limit_reached")}}


class ParkTotalRule(_ByLevels):
    """Mass of a factor from all outlets of a park, in kg/h, against the park's threshold."""

    kind: Literal["park_total"]


def bind_park_total(rule: ParkTotalRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for one in _thresholds(ground, "total"):
        named = {station.station: station for station in ground.site.stations}
        limit = Decimal(str(one.limit)) * Decimal(str(ratio(one.unit, "kg/h")))
        stations = [named[name] for name in sources(ground.site, one.park, one.factor)]
        for from_at, to_at, there in editions(stations, ground.site.time_zone):
            rates = [mass_rate(ground, station.station, one.factor, one.period) for station in there]
            known = [rate for rate in rates if rate is not None]
            if not known or not fits(rule, ground, known[0], PARK_SUBJECT + one.park, one.factor):
                continue
            out = _total(
                ground, PARK_SUBJECT + one.park, f"{one.threshold}@{from_at}", one.factor, one.period, known, limit
            )
            rows += _dated(rule, ground, out, one, limit, (from_at, to_at))
    return rows


class FacilityLoadRule(_ByLevels):
    """What goes into a shared facility, against its capacity."""

    kind: Literal["facility_load"]
    period: Literal["hour", "day"] = "hour"


def bind_facility_load(rule: FacilityLoadRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for facility in ground.site.facilities:
        if facility.capacity is None or facility.capacity_unit is None or not facility.inlet_stations:
            continue
        load = _load(ground, facility.inlet_stations, facility.capacity_factor, facility.capacity_unit, rule.period)
        if load is None or not fits(rule, ground, load[0], subject_of(facility), ground.rows[load[0]]["about"]):
            continue
        limit = _in_unit(facility.capacity, facility.capacity_unit, ground.rows[load[0]]["unit"])
        factor = ground.rows[load[0]]["about"]
        out = _total(ground, subject_of(facility), f"load:{rule.period}", factor, rule.period, load, limit)
        rows.append(rule.compared(ground, out, rule.period, limit, "capacity"))
    return rows


class MemberContractRule(_ByLevels):
    """What a member sends to a shared facility, against its contract: a concentration, a flow or a mass."""

    kind: Literal["member_contract"]


def bind_member_contract(rule: MemberContractRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for member in ground.site.members:
        subject = FACILITY_SUBJECT + member.facility
        for what, point, limit in _contracted(ground, member):
            factor = ground.rows[point]["about"]
            if not fits(rule, ground, point, subject, factor):
                continue
            out = ground.make(
                subject,
                f"$contract:{member.member}:{what}",
                "pooled",
                member.period,
                {"a": [point]},
                about=factor,
                unit=ground.rows[point]["unit"],
                decimals=ground.rows[point]["decimals"],
                like=ground.rows[point],
                p=1.0,
            )
            rows += _dated(rule, ground, out, member, limit, (None, None), what)
    return rows


def _contracted(ground: Ground, member: Member) -> Iterator[tuple[str, int, Decimal]]:
    """What a member's contract bounds, the point that measures it, and the bound in the point's unit."""
    if member.station is None:
        return
    if member.limit is not None and member.limit_unit is not None and member.factor is not None:
        point = ground.judged(member.station, member.factor, member.period)
        yield "limit", point, _in_unit(member.limit, member.limit_unit, ground.rows[point]["unit"])
    if member.load is not None and member.load_unit is not None:
        load = _load(ground, (member.station,), member.factor, member.load_unit, member.period)
        if load is not None:
            yield "load", load[0], _in_unit(member.load, member.load_unit, ground.rows[load[0]]["unit"])


class SharedTreatmentOffRule(RuleBase):
    """A shared facility does not run while members it serves produce: how many, and which (GB 37822-2019 10.1.2)."""

    kind: Literal["shared_treatment_off"]
    level: Level = "red"


def bind_shared_treatment_off(rule: SharedTreatmentOffRule, ground: Ground) -> list[dict[str, Any]]:
    """A member counts 1; beside the count stands which they are, a bit each in the registry's order."""
    rows = []
    for facility in ground.site.facilities:
        served = [
            pair
            for pair in ground.site.pairs
            if (pair.treatment_station, pair.treatment_factor) == (facility.power_station, facility.power_factor)
        ]
        offs = [off(pair, ground) for pair in served]
        subject = subject_of(facility)
        if not offs or not rule.select.fits({**ground.rows[offs[0]], "station": subject}, factor=False):
            continue
        bits = [
            ground.make(
                subject,
                f"$off:{pair.pair}",
                "between",
                "minute",
                {"a": [point]},
                unit="1",
                decimals=0,
                like=ground.rows[point],
                p=1.0,
                r=2.0**n,
            )
            for n, (pair, point) in enumerate(zip(served[:NAMED_MEMBERS], offs, strict=False))
        ]
        out = ground.make(
            subject,
            f"$off@{facility.facility}",
            "members",
            "minute",
            {"a": offs, "b": bits},
            about=ground.rows[offs[0]]["factor"].partition(":")[0],
            unit="1",
            decimals=0,
            like=ground.rows[offs[0]],
            p=0.0,
        )
        levels: dict[str, Decimal] = {rule.level: Decimal(1)}
        at_least = compared(ground.rows[out], "minute", levels, inclusive=True, limit_scaled=None, names_inputs=True)
        rows.append(at_least)
    return rows


class FenceLineRule(_ByLevels):
    """A factor at a park's fence: the highest downwind station less the mean of those upwind, by the hour's wind."""

    kind: Literal["fence_line"]


def bind_fence_line(rule: FenceLineRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    parks = {park.park: park for park in ground.site.parks}
    for one in _thresholds(ground, "fence_line"):
        park = parks[one.park]
        if park.wind_station is None or park.latitude is None or park.longitude is None or one.period != "hour":
            continue
        direction, speed = (ground.find(park.wind_station, factor) for factor in (WIND_DIRECTION, WIND_SPEED))
        if direction is None or speed is None:
            continue
        about = ground.rows[direction]
        wind = ground.make(
            PARK_SUBJECT + park.park,
            "$wind_from",
            WIND_FROM,
            "hour",
            {"a": [direction], "b": [speed]},
            about=WIND_DIRECTION,
            unit=about["unit"],
            decimals=about["decimals"],
            like=about,
        )
        sides: dict[str, list[int]] = {"down": [], "up": []}
        for station in _fence(ground, park.park, one.factor):
            at = bearing(park.latitude, park.longitude, station.latitude, station.longitude)  # type: ignore[arg-type]
            point = ground.rows[ground.number[station.station, one.factor]]
            for side, from_deg in (("down", (at + 180.0) % 360.0), ("up", at)):
                sides[side].append(
                    ground.make(
                        station.station,
                        f"${side}wind:{one.factor}",
                        "in_sector",
                        "hour",
                        {"a": [point["point"]], "b": [wind]},
                        about=one.factor,
                        unit=point["unit"],
                        decimals=point["decimals"],
                        like=point,
                        p=from_deg,
                        q=SECTOR_DEG,
                    )
                )
        if not sides["down"] or not fits(rule, ground, sides["down"][0], PARK_SUBJECT + one.park, one.factor):
            continue
        like = ground.rows[sides["down"][0]]
        limit = _in_unit(one.limit, one.unit, like["unit"])
        out = ground.make(
            PARK_SUBJECT + park.park,
            f"$fence:{one.factor}",
            "above_upwind",
            "hour",
            {"a": sides["down"], "b": sides["up"]},
            about=one.factor,
            unit=like["unit"],
            decimals=like["decimals"],
            like=like,
        )
        rows += _dated(rule, ground, out, one, limit, (None, None))
    return rows


def _fence(ground: Ground, park: str, factor: str) -> list[Station]:
    """The stations at a park's fence that measure the factor and say where they stand."""
    outlets = {one.outlet for one in ground.site.outlets if one.park == park and one.medium == "ambient_air"}
    return [
        one
        for one in ground.site.stations
        if one.outlet in outlets
        and one.latitude is not None
        and one.longitude is not None
        and ground.find(one.station, factor) is not None
    ]


def _thresholds(ground: Ground, measure: str) -> list[ParkThreshold]:
    return [one for one in ground.site.park_thresholds if one.measure == measure]


def subject_of(facility: Facility) -> str:
    """The name that verdicts on it stand under."""
    return FACILITY_SUBJECT + facility.facility


def fits(rule: RuleBase, ground: Ground, like: int, subject: str, factor: str) -> bool:
    """Whether the rule selects a verdict on the subject and factor, of the outlet of a point."""
    return rule.select.fits({**ground.rows[like], "station": subject, "factor": factor})


def rates(ground: Ground, stations: Iterable[str], factor: str, period: str) -> list[int] | None:
    """The stations' mass rates; None where one of them has none."""
    rates = [mass_rate(ground, station, factor, period) for station in stations]
    return None if None in rates else [rate for rate in rates if rate is not None]


def _load(ground: Ground, stations: tuple[str, ...], factor: str | None, unit: str, period: str) -> list[int] | None:
    """What the stations carry, as flow or as mass; None where one of them does not measure it."""
    if UNITS[unit][0] == "mass flow":
        return None if factor is None else rates(ground, stations, factor, period)
    medium = {one.outlet: one.medium for one in ground.site.outlets}
    outlet = {one.station: one.outlet for one in ground.site.stations}
    flows = [ground.find(name, flow_factor(medium[outlet[name]])) for name in stations]
    return None if None in flows else [flow for flow in flows if flow is not None]


def _in_unit(number: float, unit: str, of: str) -> Decimal:
    return (Decimal(str(number)) * Decimal(str(ratio(unit, of)))).quantize(Decimal("1e-12")).normalize()


def _total(ground: Ground, subject: str, name: str, factor: str, period: str, points: list[int], limit: Decimal) -> int:
    """The point that is the sum of several; more than the limit already, it may do without those that are missing."""
    like = ground.rows[points[0]]
    return ground.make(
        subject,
        f"$total:{name}",
        "total",
        period,
        {"a": points},
        about=factor,
        unit=like["unit"],
        decimals=like["decimals"],
        like=like,
        p=float(limit),
    )


def _dated(
    rule: _ByLevels,
    ground: Ground,
    out: int,
    row: Member | ParkThreshold,
    limit: Decimal,
    span: tuple[Any, Any],
    what: str | None = None,
) -> list[dict[str, Any]]:
    """The comparison where the row holds and the span as well."""
    name = row.threshold if isinstance(row, ParkThreshold) else f"{row.member}.{what}"
    found = []
    for from_at, to_at, _ in editions([row], ground.site.time_zone):
        from_at = max((at for at in (from_at, span[0]) if at is not None), default=None)
        to_at = min((at for at in (to_at, span[1]) if at is not None), default=None)
        if from_at is None or to_at is None or from_at < to_at:
            found.append(rule.compared(ground, out, row.period, limit, name, (from_at, to_at)))
    return found


BINDERS = {
    ParkTotalRule: bind_park_total,
    FacilityLoadRule: bind_facility_load,
    MemberContractRule: bind_member_contract,
    SharedTreatmentOffRule: bind_shared_treatment_off,
    FenceLineRule: bind_fence_line,
}
