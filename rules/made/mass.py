"""Mass rates: what a station's measured concentration and flow make in kg/h, and who in a park counts.

Promises: a rate is made only where somebody asks for it, once a station and factor, and is then shown like any factor.
Does not promise: conversion of the flow's state, which is taken to be dry and standard; nor a mass for missing hours:
what stands in for them feeds accounts alone (rules/accounts), no point and no judgement.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import TypeVar

from contracts.civil_time import zone
from contracts.factors import (
    DRY_STANDARD_PREFIX,
    FLOW_WEIGHTED_PREFIX,
    GAS_FLOW,
    MASS_RATE_PREFIX,
    WASTE_WATER_FLOW,
    mass_rate_unit,
)
from contracts.site import Dated, Site

from ..ground import Ground

DECIMALS = 6  # of kg/h: one mg/h
DISCHARGING = ("flue_gas", "voc_stack", "waste_water")
Row = TypeVar("Row", bound=Dated)
Edition = tuple[datetime | None, datetime | None, list[Row]]  # holds for windows that start in [from, to)


def flow_factor(medium: str) -> str:
    return WASTE_WATER_FLOW if medium == "waste_water" else GAS_FLOW


def mass_rate(ground: Ground, station: str, factor: str, period: str) -> int | None:
    """The point whose windows are the station's mass rate; None where concentration or flow is not measured, or where a
    slow analyser gives no such windows.

    By the hour G = C x Q of the hour's means; of an analyser that takes longer, by the day, flow-weighted. C is the
    measured concentration, dry and at standard state as the flow is, never the one at the reference O2 (HJ 75-2017).
    """
    number = ground.find(station, factor)
    if number is None:
        return None
    point = ground.rows[number]
    flow = ground.find(station, flow_factor(point["medium"]))
    base = "hour" if point["interval_s"] <= 3600 else "day"
    if flow is None or flow == number or (period == "hour" and base == "day"):
        return None
    stands_in = FLOW_WEIGHTED_PREFIX if base == "day" else DRY_STANDARD_PREFIX
    brought = ground.find(station, stands_in + factor)
    return ground.make(
        station,
        MASS_RATE_PREFIX + factor,
        "mass_rate",
        base,
        {"a": [number if brought is None else brought], "b": [flow]},
        about=factor,
        unit="kg/h",
        decimals=DECIMALS,
        like=point,
        p=mass_rate_unit(point["unit"], ground.rows[flow]["unit"]),
        published=True,
    )


def sources(site: Site, park: str, factor: str) -> list[str]:
    """The stations whose mass of the factor leaves the park's outlets: not what goes into a shared facility."""
    of_park = {one.enterprise for one in site.enterprises if one.park == park}
    outlets = {
        one.outlet
        for one in site.outlets
        if one.medium in DISCHARGING and (one.park == park or (one.park is None and one.enterprise in of_park))
    }
    inside = {name for one in site.facilities for name in (*one.inlet_stations, *one.fugitive_stations)}
    inside |= {one.station for one in site.members if one.station is not None}
    measuring = {point.station for point in site.points if point.factor == factor}
    return [
        one.station
        for one in site.stations
        if one.outlet in outlets and one.station in measuring and one.station not in inside
    ]


def editions(rows: Iterable[Row], time_zone: str) -> list[Edition[Row]]:
    """Dated rows by the spans in which the same of them hold; spans in which none does are left out."""
    rows = list(rows)
    starts = {row.valid_from for row in rows} | {_after(row.valid_to) for row in rows if row.valid_to is not None}
    days = [None, *sorted(day for day in starts if day is not None)]
    found: list[Edition[Row]] = []
    for n, day in enumerate(days):
        until = days[n + 1] if n + 1 < len(days) else None
        there = [row for row in rows if _holds(row, day)]
        if there:
            found.append((_midnight(day, time_zone), _midnight(until, time_zone), there))
    return found


def _holds(row: Dated, day: date | None) -> bool:
    """On the day; None: before any date that is named."""
    if day is None:
        return row.valid_from is None
    return (row.valid_from is None or row.valid_from <= day) and (row.valid_to is None or day <= row.valid_to)


def _after(day: date) -> date:
    return day + timedelta(days=1)


def _midnight(day: date | None, time_zone: str) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=zone(time_zone))
