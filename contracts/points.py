"""The registry as frames: every point with its number, and what the pipeline adds to it.

A point's number is its rank by (station, factor); it is an index inside one activated site, never stored on its own.
"""

import zlib

import polars as pl

from .factors import (
    CLOCK_LAG,
    CONVERTED_PREFIX,
    DEVICE_PREFIX,
    DRY_STANDARD_PREFIX,
    REJECT_COUNT,
    STATION_PRESENCE,
    TREATMENT_OFF,
)
from .frames import PARTITIONS
from .site import Point, Site

O2 = "a19001"
MOISTURE, STACK_TEMPERATURE, STACK_PRESSURE = "a01014", "a01012", "a01013"
NOX, NO, NO2 = "a21002", "a21003", "a21004"

POINTS = pl.Schema(
    {
        "point": pl.UInt32,
        "partition": pl.UInt8,
        "station": pl.String,
        "factor": pl.String,
        "medium": pl.String,
        "outlet": pl.String,
        "kind": pl.String,  # the kind and period of reading that feeds its windows; null: computed by us
        "period_s": pl.Int32,
        "interval_s": pl.Int32,
        "sent_unit": pl.String,
        "unit": pl.String,  # canonical
        "decimals": pl.UInt8,
        "range_min": pl.Float64,
        "range_max": pl.Float64,
        "valid_from": pl.Date,
        "valid_to": pl.Date,
        "about": pl.String,  # the factor its verdicts speak of: its own, but for points made for one rule or limit
        "is_published": pl.Boolean,  # its windows are aggregates people see; else it shows in verdicts alone
    }
)


def partition_of(station: str) -> int:
    return zlib.crc32(station.encode()) % PARTITIONS


def device_means(point: Point) -> list[tuple[str, str]]:
    """(factor, kind of reading) of the means the device itself sends of a point, measured and converted."""
    if not point.device_period_s:
        return []
    converted = [(CONVERTED_PREFIX + point.factor, "zs_avg")] if point.ref_o2_pct is not None else []
    return [(point.factor, "avg"), *converted]


def is_brought_to_standard(point: Point) -> bool:
    """Whether the registry has `ds_<factor>` made of it: dry and at standard state."""
    return point.basis == "wet" or point.state == "actual"


def _sent(point: Point) -> dict[str, object]:
    return {
        "kind": point.kind,
        "period_s": point.period_s,
        "sent_unit": point.unit,
        "range_min": point.range_min,
        "range_max": point.range_max,
    }


def point_table(site: Site) -> pl.DataFrame:
    """POINTS: registered points, their `ds_`, `zs_`, `dev_` points; per station presence, rejects, lag, pairs."""
    medium_of = {outlet.outlet: outlet.medium for outlet in site.outlets}
    outlet_of = {station.station: station.outlet for station in site.stations}
    rows = []

    def add(station: str, factor: str, *, own: str | None = None, **columns: object) -> None:
        about = site.factors[own or factor]
        rows.append(
            {
                "partition": partition_of(station),
                "station": station,
                "factor": factor,
                "medium": medium_of[outlet_of[station]],
                "outlet": outlet_of[station],
                "unit": about.unit,
                "decimals": about.decimals,
                "interval_s": 60,
                **columns,
            }
        )

    for point in site.points:
        measured = {
            "interval_s": point.interval_s,
            "valid_from": point.valid_from,
            "valid_to": point.valid_to,
        }
        add(
            point.station,
            point.factor,
            **measured,
            **({} if point.kind == "no_no2" else _sent(point)),
        )
        if is_brought_to_standard(point):
            add(point.station, DRY_STANDARD_PREFIX + point.factor, own=point.factor, **measured)
        if point.ref_o2_pct is not None:
            add(point.station, CONVERTED_PREFIX + point.factor, own=point.factor, **measured)
        for factor, kind in device_means(point):
            add(
                point.station,
                DEVICE_PREFIX + factor,
                own=point.factor,
                kind=kind,
                period_s=point.device_period_s,
                sent_unit=point.unit,
                range_min=point.range_min if factor == point.factor else None,
                range_max=point.range_max if factor == point.factor else None,
                **measured | {"interval_s": point.device_period_s},
            )
    for station in site.stations:
        # a station out of use is not silent
        add(station.station, STATION_PRESENCE, valid_from=station.valid_from, valid_to=station.valid_to)
        add(station.station, REJECT_COUNT)
        add(station.station, CLOCK_LAG)
    dated = {(point.station, point.factor): point for point in site.points}
    for pair in site.pairs:
        # while both meters are there: a pair of which one was removed is not looked at any more
        meters = [
            dated[name]
            for name in (
                (pair.production_station, pair.production_factor),
                (pair.treatment_station, pair.treatment_factor),
            )
            if name in dated
        ]
        from_days = [one.valid_from for one in meters if one.valid_from is not None]
        to_days = [one.valid_to for one in meters if one.valid_to is not None]
        add(
            pair.treatment_station,
            f"{TREATMENT_OFF}:{pair.pair}",
            own=TREATMENT_OFF,
            valid_from=max(from_days, default=None),
            valid_to=min(to_days, default=None),
        )

    for row in rows:
        row["about"] = row["factor"].removeprefix(DEVICE_PREFIX).removeprefix(DRY_STANDARD_PREFIX)
        row |= {"is_published": row["factor"] not in (STATION_PRESENCE, REJECT_COUNT, CLOCK_LAG)}
    frame = pl.DataFrame(rows, schema={name: dtype for name, dtype in POINTS.items() if name != "point"})
    return frame.sort("station", "factor").with_row_index("point").match_to_schema(POINTS)
