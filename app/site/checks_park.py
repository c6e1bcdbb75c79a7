"""What must hold between parks, shared facilities, their members and thresholds, and what is measured. Pure.

Promises: what a rule on parks or facilities would stay silent about (no flow, no such point, a unit that does not fit)
is told at the row that asks for it. Says nothing of rows that could not be read, or of what is missing from a table
that could not be read whole.
"""

from collections.abc import Callable, Iterator
from typing import Any

from contracts.factors import GAS_FLOW, UNITS, WASTE_WATER_FLOW, WIND_DIRECTION, WIND_SPEED, Factor
from contracts.site import covers_each_other

from .yaml_lines import SiteError, suggestion

DISCHARGING = ("flue_gas", "voc_stack", "waste_water")
MASS, FLOW = "mass flow", "volume flow"


def park_checks(tables: dict[str, Any], factors: dict[str, Factor]) -> Iterator[SiteError]:
    """tables: name -> site_checks.Table."""
    measured = Measured(tables)
    checks: tuple[Callable[[dict[str, Any], dict[str, Factor], Measured], Iterator[SiteError]], ...] = (
        _pairs_know_their_rating,
        _wind_is_measured,
        _facilities_are_measured,
        _facilities_say_it_whole,
        _members_are_measured,
        _thresholds_can_be_judged,
    )
    for check in checks:
        yield from check(tables, factors, measured)


class Measured:
    """Which station measures what, and where it stands; `is_whole`: something can be said to be missing."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self.is_whole = tables["points"].is_whole and tables["stations"].is_whole and tables["outlets"].is_whole
        self.outlets = {row.outlet: row for row in tables["outlets"].rows.values()}
        self.stations = {row.station: row for row in tables["stations"].rows.values()}
        self.points = {(row.station, row.factor): row for row in tables["points"].rows.values()}
        self.parks = {row.park: row for row in tables["parks"].rows.values()}
        self.park_of = {row.enterprise: row.park for row in tables["enterprises"].rows.values()}

    def of(self, station: str) -> str:
        return ", ".join(sorted(factor for name, factor in self.points if name == station)) or "nothing"

    def outlet(self, station: str) -> str | None:
        row = self.stations.get(station)
        return None if row is None else str(row.outlet)

    def medium(self, station: str) -> str | None:
        row = self.stations.get(station)
        outlet = self.outlets.get(row.outlet) if row is not None else None
        return None if outlet is None else outlet.medium

    def park(self, station: str) -> str | None:
        row = self.stations.get(station)
        outlet = self.outlets.get(row.outlet) if row is not None else None
        return None if outlet is None else outlet.park or self.park_of.get(outlet.enterprise)

    def flow(self, station: str) -> str:
        return WASTE_WATER_FLOW if self.medium(station) == "waste_water" else GAS_FLOW

    def lacks(self, station: str, factor: str) -> bool:
        return self.is_whole and station in self.stations and (station, factor) not in self.points


def _pairs_know_their_rating(tables: dict[str, Any], _: object, __: Measured) -> Iterator[SiteError]:
    pairs = tables["pairs"]
    for line, row in pairs.rows.items():
        if row.treatment_share_min is not None and row.rated_kw is None:
            yield SiteError(pairs.path, line, "rated_kw", "is empty; treatment_share_min is a share of it")
        if row.rated_kw is not None and row.rated_kw <= row.treatment_on_kw:
            message = f"{row.rated_kw:g} must be more than treatment_on_kw {row.treatment_on_kw:g}"
            yield SiteError(pairs.path, line, "rated_kw", message)


def _wind_is_measured(tables: dict[str, Any], _: object, measured: Measured) -> Iterator[SiteError]:
    parks = tables["parks"]
    for line, row in parks.rows.items():
        if row.wind_station is None:
            continue
        for factor in (WIND_DIRECTION, WIND_SPEED):
            if measured.lacks(row.wind_station, factor):
                message = f"station {row.wind_station!r} does not measure {factor}; it measures"
                yield SiteError(parks.path, line, "wind_station", f"{message} {measured.of(row.wind_station)}")
        if row.latitude is None or row.longitude is None:
            message = "is empty; downwind and upwind are bearings from the park's centre"
            yield SiteError(parks.path, line, "latitude", message)


def _facilities_are_measured(
    tables: dict[str, Any], factors: dict[str, Factor], measured: Measured
) -> Iterator[SiteError]:
    facilities, stations = tables["facilities"], tables["stations"]
    for line, row in facilities.rows.items():
        for column in ("inlet_stations", "outlet_stations", "fugitive_stations"):
            for name in getattr(row, column):
                if stations.is_readable and name not in stations.names:
                    yield SiteError(
                        facilities.path,
                        line,
                        column,
                        f"{name!r} is not in registry/stations.csv{suggestion(name, sorted(stations.names))}",
                    )
                elif measured.lacks(name, measured.flow(name)):
                    message = f"station {name!r} does not measure its flow ({measured.flow(name)}); it measures"
                    yield SiteError(facilities.path, line, column, f"{message} {measured.of(name)}")
        if row.power_station is not None and row.power_factor is not None:
            if measured.lacks(row.power_station, row.power_factor):
                message = f"{row.power_factor!r} is not a point of station {row.power_station!r}, which measures"
                yield SiteError(facilities.path, line, "power_factor", f"{message} {measured.of(row.power_station)}")
            elif row.power_factor in factors and UNITS[factors[row.power_factor].unit][0] != "power":
                message = f"{row.power_factor!r} is in {factors[row.power_factor].unit}, not a power in kW"
                yield SiteError(facilities.path, line, "power_factor", message)


def _facilities_say_it_whole(
    tables: dict[str, Any], factors: dict[str, Factor], measured: Measured
) -> Iterator[SiteError]:
    facilities = tables["facilities"]
    for line, row in facilities.rows.items():
        if row.park is None and row.enterprise is None:
            message = "is empty; name the park whose plants share it, or in enterprise the plant that uses it alone"
            yield SiteError(facilities.path, line, "park", message)
        for one, other in (
            ("power_station", "power_factor"),
            ("capacity", "capacity_unit"),
            ("collection_pct", "collection_source"),
        ):
            said = (getattr(row, one) is None, getattr(row, other) is None)
            if said[0] != said[1]:
                column, there = (one, other) if said[0] else (other, one)
                yield SiteError(facilities.path, line, column, f"is empty; {there} needs it")
        if row.capacity_unit is not None:
            wrong = _unfit(row.capacity_unit, row.capacity_factor, "capacity_unit", "capacity_factor", factors)
            for column, message in wrong:
                yield SiteError(facilities.path, line, column, message)
            if row.capacity_factor is not None and not wrong:
                for name in row.inlet_stations:
                    if measured.lacks(name, row.capacity_factor):
                        message = f"station {name!r} does not measure {row.capacity_factor}; it measures"
                        yield SiteError(facilities.path, line, "capacity_factor", f"{message} {measured.of(name)}")


def _unfit(
    unit: str, factor: str | None, unit_column: str, factor_column: str, factors: dict[str, Factor]
) -> list[tuple[str, str]]:
    """What is wrong with a load in flow or in mass of a factor."""
    dimension = UNITS[unit][0] if unit in UNITS else None
    if dimension not in (MASS, FLOW):
        units = ", ".join(name for name, (its, _) in UNITS.items() if its in (MASS, FLOW))
        return [(unit_column, f"{unit!r} is no unit of flow or of mass; one of {units}")]
    if dimension == MASS and factor is None:
        return [(factor_column, f"is empty; {unit} needs the factor whose mass it is")]
    if factor is not None and factor not in factors:
        return [(factor_column, f"{factor!r} is not a factor")]
    if dimension == MASS and factor is not None and not has_mass(factors[factor]):
        return [(factor_column, f"{factor!r} is in {factors[factor].unit}: it has no mass")]
    return []


def has_mass(factor: Factor) -> bool:
    return UNITS[factor.unit][0] in ("mass per gas volume", "mass per water volume")


def _members_are_measured(
    tables: dict[str, Any], factors: dict[str, Factor], measured: Measured
) -> Iterator[SiteError]:
    members = tables["members"]
    for line, row in members.rows.items():
        for one, other in (("limit", "limit_unit"), ("load", "load_unit")):
            said = (getattr(row, one) is None, getattr(row, other) is None)
            if said[0] != said[1]:
                column, there = (one, other) if said[0] else (other, one)
                yield SiteError(members.path, line, column, f"is empty; {there} needs it")
        if row.station is None and (row.limit is not None or row.load is not None):
            message = (
                "is empty; what the contract bounds must be measured: name the station, or leave limit and load out"
            )
            yield SiteError(members.path, line, "station", message)
        if row.limit is not None and row.limit_unit is not None:
            if row.factor is None:
                yield SiteError(members.path, line, "factor", "is empty; limit needs the factor it bounds")
            elif row.factor in factors and (
                row.limit_unit not in UNITS or UNITS[row.limit_unit][0] != UNITS[factors[row.factor].unit][0]
            ):
                message = f"{row.limit_unit!r} is not a unit of {row.factor}, which is in {factors[row.factor].unit}"
                yield SiteError(members.path, line, "limit_unit", message)
        if row.load_unit is not None:
            for column, message in _unfit(row.load_unit, row.factor, "load_unit", "factor", factors):
                yield SiteError(members.path, line, column, message)
        elif row.factor is not None and row.factor not in factors:
            yield SiteError(members.path, line, "factor", f"{row.factor!r} is not a factor")
        if row.station is None:
            continue
        if row.factor is not None and measured.lacks(row.station, row.factor):
            message = f"{row.factor!r} is not a point of station {row.station!r}, which measures"
            yield SiteError(members.path, line, "factor", f"{message} {measured.of(row.station)}")
        if row.load is not None and measured.lacks(row.station, measured.flow(row.station)):
            message = f"{row.station!r} does not measure its flow ({measured.flow(row.station)}), which a load needs"
            yield SiteError(members.path, line, "station", message)


def _thresholds_can_be_judged(
    tables: dict[str, Any], factors: dict[str, Factor], measured: Measured
) -> Iterator[SiteError]:
    thresholds = tables["park_thresholds"]
    for line, row in thresholds.rows.items():
        if row.factor not in factors or not has_mass(factors[row.factor]):
            message = f"{row.factor!r} is not a factor with a mass, like a24088 or w01018"
            yield SiteError(thresholds.path, line, "factor", message)
            continue
        wanted = MASS if row.measure == "total" else UNITS[factors[row.factor].unit][0]
        if row.unit not in UNITS or UNITS[row.unit][0] != wanted:
            units = ", ".join(name for name, (its, _) in UNITS.items() if its == wanted)
            message = f"{row.unit!r} is no unit of a {row.measure} of {row.factor}; one of {units}"
            yield SiteError(thresholds.path, line, "unit", message)
        if not measured.is_whole:
            continue
        if row.measure == "fence_line":
            yield from _fence_stands(thresholds.path, line, row, measured)
        else:
            yield from _total_adds_up(tables, thresholds.path, line, row, measured)


def _fence_stands(path: Any, line: int, row: Any, measured: Measured) -> Iterator[SiteError]:
    park = measured.parks.get(row.park)
    if row.period != "hour":
        yield SiteError(path, line, "period", "a fence line is judged by the hour's wind: write hour")
    if park is not None and park.wind_station is None:
        yield SiteError(path, line, "park", f"park {row.park!r} has no wind_station in registry/parks.csv")
    fence = [
        name
        for name, factor in measured.points
        if factor == row.factor and measured.medium(name) == "ambient_air" and measured.park(name) == row.park
    ]
    placed = [name for name in fence if measured.stations[name].latitude is not None]
    if len(placed) < 2:
        message = (
            f"{row.factor} is measured at {len(placed)} ambient_air stations of the park with latitude and longitude"
        )
        yield SiteError(path, line, "factor", f"{message}; downwind against upwind needs two")


def _total_adds_up(tables: dict[str, Any], path: Any, line: int, row: Any, measured: Measured) -> Iterator[SiteError]:
    """Every outlet that measures the factor also measures its flow, often enough, and is counted once."""
    inside = {
        name for one in tables["facilities"].rows.values() for name in (*one.inlet_stations, *one.fugitive_stations)
    } | {one.station for one in tables["members"].rows.values()}
    there = [
        measured.stations[name]
        for name, factor in measured.points
        if factor == row.factor
        and name in measured.stations
        and measured.medium(name) in DISCHARGING
        and measured.park(name) == row.park
        and name not in inside
    ]
    if not there:
        yield SiteError(
            path,
            line,
            "factor",
            f"no outlet of park {row.park!r} measures {row.factor}, but for what goes into a shared facility",
        )
    for n, station in enumerate(there):
        if measured.lacks(station.station, measured.flow(station.station)):
            message = f"station {station.station!r} measures {row.factor} but not its flow"
            yield SiteError(
                path, line, "factor", f"{message} ({measured.flow(station.station)}): it has no mass to add"
            )
        if row.period == "hour" and measured.points[station.station, row.factor].interval_s > 3600:
            message = f"station {station.station!r} gives {row.factor} less often than every hour: write day"
            yield SiteError(path, line, "period", message)
        for other in there[:n]:
            if other.outlet == station.outlet and covers_each_other(station, other):
                message = f"stations {other.station!r} and {station.station!r} measure it at one outlet"
                yield SiteError(path, line, "factor", f"{message} ({station.outlet}), which would count twice")
