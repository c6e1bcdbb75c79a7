"""What must hold between the tables of a registry. Pure: rows in, errors out.

Promises: every broken rule is told once, at the row that can be mended; a row that could not be read is not blamed
for the rows that name it. Does not check the cells of one row by themselves; their model does.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.factors import CONVERTED_PREFIX, OWN_FACTORS, REMOVAL_PREFIX, UNITS, Factor, units_of
from contracts.nearest import nearest, suggestion
from contracts.points import (
    MOISTURE,
    NO,
    NO2,
    NOX,
    O2,
    STACK_PRESSURE,
    STACK_TEMPERATURE,
    is_brought_to_standard,
)
from contracts.site import Dated, Point

from .checks_park import park_checks
from .checks_removal import removal_checks
from .yaml_lines import SiteError

MASS_PER_GAS = "mass per gas volume"
O2_AIR_PCT = 20.9  # conversion to a reference O2 divides by the distance to it
DAY_S = 86_400
HINTS_MAX = 50  # of a column: looking for what was meant costs milliseconds a name, and a wrong file has thousands


@dataclass
class Table:
    """A table of the registry as far as it could be read."""

    path: Path
    key: str | None  # the column that names a row
    rows: dict[int, Any] = field(default_factory=dict)  # by line
    names: set[str] = field(default_factory=set)  # of all rows, also of those that are wrong
    is_present: bool = True
    is_readable: bool = True  # header and text; else nothing is known of its rows
    is_whole: bool = True  # every row was read; only then can something be said to be missing from it


Tables = dict[str, Table]
Found = Iterator[SiteError]

# table -> column -> the table whose rows it names
REFERENCES = {
    "parks": {"county": "counties", "wind_station": "stations"},
    "enterprises": {"county": "counties", "park": "parks"},
    "outlets": {"enterprise": "enterprises", "county": "counties", "park": "parks"},
    "stations": {"outlet": "outlets"},
    "points": {"station": "stations"},
    "limits": {"outlet": "outlets"},
    "pairs": {"production_station": "stations", "treatment_station": "stations"},
    "facilities": {"park": "parks", "enterprise": "enterprises", "power_station": "stations"},
    "members": {"facility": "facilities", "enterprise": "enterprises", "station": "stations"},
    "park_thresholds": {"park": "parks"},
}


def cross_check(tables: Tables, factors: dict[str, Factor]) -> list[SiteError]:
    """Everything wrong between the rows."""
    checks: tuple[Callable[[Tables, dict[str, Factor]], Found], ...] = (
        _names_are_unique,
        _references_exist,
        _rows_make_sense,
        _equipment_numbers_are_unique,
        _points_fit_their_factor,
        _points_are_unique,
        _classes_are_of_water,
        _device_means_fit,
        _conversions_have_their_oxygen,
        _conversions_have_their_stack,
        _limits_are_measured,
        _limits_have_their_oxygen,
        _instants_are_as_measured,
        _conditions_are_measured,
        _pairs_are_power,
        park_checks,
        removal_checks,
    )
    return [error for check in checks for error in check(tables, factors)]


def _names_are_unique(tables: Tables, _: dict[str, Factor]) -> Found:
    for table in tables.values():
        first: dict[str, int] = {}
        for line, row in table.rows.items() if table.key else ():
            name = getattr(row, table.key)
            if name in first:
                yield SiteError(table.path, line, table.key, f"{name!r} stands on line {first[name]} already")
            first.setdefault(name, line)


def _references_exist(tables: Tables, _: dict[str, Factor]) -> Found:
    for name, columns in REFERENCES.items():
        for column, target in columns.items():
            there = tables[target]
            if not there.is_readable or (target == "counties" and not there.is_present):
                continue  # a site of one county may do without its table
            known, hints = sorted(there.names), {}
            for line, row in tables[name].rows.items():
                wanted = getattr(row, column)
                if wanted is None or wanted in there.names:
                    continue
                if wanted not in hints and len(hints) < HINTS_MAX:
                    hints[wanted] = suggestion(wanted, known) if there.is_present else "; the file does not exist"
                message = f"{wanted!r} is not in {there.path.parent.name}/{there.path.name}{hints.get(wanted, '')}"
                yield SiteError(tables[name].path, line, column, message)


def _rows_make_sense(tables: Tables, _: dict[str, Factor]) -> Found:
    for table in tables.values():
        for line, row in table.rows.items():
            if isinstance(row, Dated) and row.valid_from and row.valid_to and row.valid_to < row.valid_from:
                message = f"{row.valid_to} is before valid_from {row.valid_from}"
                yield SiteError(table.path, line, "valid_to", message)
            for column, bound in (("latitude", 90), ("longitude", 180)):
                degrees = getattr(row, column, None)
                if degrees is not None and not abs(degrees) <= bound:
                    yield SiteError(table.path, line, column, f"{degrees} is not within -{bound} and {bound}")


def _equipment_numbers_are_unique(tables: Tables, _: dict[str, Factor]) -> Found:
    # A frame's MN may be a station's own name, so the two share one set.
    stations = tables["stations"]
    owner = {row.station: line for line, row in reversed(stations.rows.items())}
    for line, row in stations.rows.items():
        if row.mn is None:
            continue
        if owner.setdefault(row.mn, line) != line:
            message = f"{row.mn!r} speaks for the station on line {owner[row.mn]} already"
            yield SiteError(stations.path, line, "mn", message)


def _points_fit_their_factor(tables: Tables, factors: dict[str, Factor]) -> Found:
    points = tables["points"]
    for line, row in points.rows.items():
        if unknown := _unknown_factor(row.factor, factors):
            yield SiteError(points.path, line, "factor", unknown)
        elif wrong := _unfit_unit(row.unit, factors[row.factor]):
            yield SiteError(points.path, line, "unit", wrong)
        for column, message in _unfit_sampling(row):
            yield SiteError(points.path, line, column, message)


def _unknown_factor(code: str, factors: dict[str, Factor]) -> str | None:
    if code in OWN_FACTORS:
        return f"{code!r} is made by the pipeline itself; no device sends it"
    if code in factors:
        return None
    if (pattern := code[:-2] + "xx") in factors:
        name = factors[pattern].name_en
        return f"{code!r} is a number of {pattern} ({name}); give it a row of its own in registry/factors.csv"
    near = nearest(code, factors)
    hint = (
        f"did you mean {near!r} ({_short(factors[near])})?" if near else "a new one needs a row in registry/factors.csv"
    )
    return f"{code!r} is not a known factor; {hint}"


def _short(factor: Factor) -> str:
    """COD for `Chemical oxygen demand (COD)`, the whole name where it gives no abbreviation."""
    _, bracket, last = factor.name_en.rpartition("(")
    abbreviation = last.removesuffix(")")
    return abbreviation if bracket and sum(map(str.isupper, abbreviation)) >= 2 else factor.name_en


def _unfit_unit(unit: str, factor: Factor) -> str | None:
    fitting = units_of(factor)
    if unit in fitting:
        return None
    scale = UNITS[factor.unit][1]
    nearest = sorted(fitting, key=lambda name: (abs(math.log10(UNITS[name][1] / scale)), UNITS[name][1]))
    return f"{unit!r} is not a unit of {factor.code} ({_short(factor)}); one of {', '.join(nearest)}"


def _unfit_sampling(row: Point) -> Iterator[tuple[str, str]]:
    if row.range_min is not None and row.range_max is not None and not row.range_min < row.range_max:
        yield "range_max", f"{row.range_max:g} is not above range_min {row.range_min:g}"
    if DAY_S % row.interval_s:
        whole = [n for n in range(1, DAY_S + 1) if DAY_S % n == 0]
        below, above = max(n for n in whole if n < row.interval_s), min(n for n in whole if n > row.interval_s)
        yield "interval_s", f"{row.interval_s} s does not divide a day; {below} and {above} do"
    elif row.period_s and row.interval_s < row.period_s:
        yield "interval_s", f"{row.interval_s} s is shorter than period_s {row.period_s}; one value a period is sent"
    if row.kind.removeprefix(CONVERTED_PREFIX) == "rtd" and row.period_s:
        yield "period_s", f"{row.kind} is an instant; leave period_s empty or write avg for a mean of {row.period_s} s"
    elif row.kind.removeprefix(CONVERTED_PREFIX) in ("avg", "min", "max") and not row.period_s:
        yield "period_s", f"{row.kind} is of a period; write 60, 3600 or 86400"


def _classes_are_of_water(tables: Tables, _: dict[str, Factor]) -> Found:
    outlets = tables["outlets"]
    for line, row in outlets.rows.items():
        if row.medium != "surface_water":
            for column in ("water_body", "target_class"):
                if column in row.model_fields_set:
                    message = f"is of surface_water, not of {row.medium}; leave the cell empty"
                    yield SiteError(outlets.path, line, column, message)


def _device_means_fit(tables: Tables, _: dict[str, Factor]) -> Found:
    points = tables["points"]
    for line, row in points.rows.items():
        if row.judged_source == "device" and not row.device_period_s:
            message = "says the period of the device's own means, which judged_source has judged: write 3600 or 86400"
            yield SiteError(points.path, line, "device_period_s", message)
        if row.device_period_s and row.interval_s >= row.device_period_s:
            message = f"{row.device_period_s} s must be longer than interval_s {row.interval_s}: it is a mean of these"
            yield SiteError(points.path, line, "device_period_s", message)
        if row.judged_source == "device" and is_brought_to_standard(row):
            message = "the device's own means are judged as they are sent: they must be dry and at standard state"
            yield SiteError(points.path, line, "judged_source", message)


def _points_are_unique(tables: Tables, _: dict[str, Factor]) -> Found:
    points, first = tables["points"], {}
    for line, row in points.rows.items():
        place = first.setdefault((row.station, row.factor), line)
        if place != line:
            message = f"{row.factor!r} of station {row.station!r} stands on line {place} already"
            yield SiteError(points.path, line, "factor", message)


def _conversions_have_their_oxygen(tables: Tables, _: dict[str, Factor]) -> Found:
    points = tables["points"]
    with_o2 = {row.station for row in points.rows.values() if row.factor == O2}
    for line, row in points.rows.items():
        if row.ref_o2_pct is None:
            continue
        if row.factor == O2:
            yield SiteError(points.path, line, "ref_o2_pct", f"{O2} is the oxygen itself; leave the cell empty")
        elif not 0 <= row.ref_o2_pct < O2_AIR_PCT:
            message = f"{row.ref_o2_pct:g} must be at least 0 and less than {O2_AIR_PCT} (air)"
            yield SiteError(points.path, line, "ref_o2_pct", message)
        elif row.station not in with_o2 and points.is_whole:
            message = f"conversion needs a point {O2} (oxygen) at station {row.station!r}"
            yield SiteError(points.path, line, "ref_o2_pct", message)


def _conversions_have_their_stack(tables: Tables, factors: dict[str, Factor]) -> Found:
    points = tables["points"]
    there = {(row.station, row.factor) for row in points.rows.values()}
    for line, row in points.rows.items():
        for column, message in _unfit_conversion(row, factors):
            yield SiteError(points.path, line, column, message)
        needs: dict[str, tuple[str, ...]] = {
            "basis": (MOISTURE,) if row.basis == "wet" else (),
            "state": (STACK_TEMPERATURE, STACK_PRESSURE) if row.state == "actual" else (),
            "kind": (NO, NO2) if row.kind == "no_no2" else (),
        }
        for column, wanted in needs.items():
            for factor in wanted if points.is_whole else ():
                if (row.station, factor) not in there:
                    name = _short(factors[factor])
                    message = f"{getattr(row, column)} needs a point {factor} ({name}) at station {row.station!r}"
                    yield SiteError(points.path, line, column, message)


def _unfit_conversion(row: Point, factors: dict[str, Factor]) -> Iterator[tuple[str, str]]:
    dimension = UNITS[factors[row.factor].unit][0] if row.factor in factors else MASS_PER_GAS
    if row.basis == "wet" and row.factor != O2 and dimension != MASS_PER_GAS:
        yield "basis", f"{row.factor} is no concentration in a gas; leave the cell empty"
    if row.state == "actual" and dimension != MASS_PER_GAS:
        yield "state", f"{row.factor} is no mass in a volume of gas; leave the cell empty"
    if row.state == "actual" and row.air_pressure_kpa is None:
        yield "air_pressure_kpa", "is needed with state actual: the place's mean air pressure, for example 91.3"
    if row.state != "actual" and row.air_pressure_kpa is not None:
        yield "air_pressure_kpa", "only goes with state actual; leave the cell empty"
    if row.air_pressure_kpa is not None and not 50 <= row.air_pressure_kpa <= 110:
        yield "air_pressure_kpa", f"{row.air_pressure_kpa:g} kPa is no air pressure; at sea level it is 101.325"
    if row.kind == "no_no2":
        if row.factor != NOX:
            yield "kind", f"no_no2 makes {NOX} of {NO} and {NO2}; {row.factor} is measured"
        if is_brought_to_standard(row):
            yield "kind", f"no_no2 is made of dry values at standard state: say basis and state of {NO} and {NO2}"
        if row.device_period_s:
            yield "device_period_s", "of a factor the device does not send; leave the cell empty"


def _limits_are_measured(tables: Tables, factors: dict[str, Factor]) -> Found:
    limits, points = tables["limits"], tables["points"]
    outlet_of = {row.station: row.outlet for row in tables["stations"].rows.values()}
    measured: dict[str, set[str]] = {}
    for row in points.rows.values():
        at_outlet = measured.setdefault(outlet_of.get(row.station, ""), set())
        at_outlet.add(row.factor)
        if row.ref_o2_pct is not None:
            at_outlet.add(CONVERTED_PREFIX + row.factor)
    # A point or station that hangs in the air is told at its own row.
    is_linked = points.is_whole and tables["stations"].is_whole
    is_linked = is_linked and all(row.station in outlet_of for row in points.rows.values())
    is_linked = is_linked and tables["outlets"].names.issuperset(outlet_of.values())
    for line, row in limits.rows.items():
        if row.factor.startswith(REMOVAL_PREFIX):
            continue  # no point has it: checks_removal
        base = row.factor.removeprefix(CONVERTED_PREFIX)
        if unknown := _unknown_factor(base, factors):
            yield SiteError(limits.path, line, "factor", unknown)
            continue
        if wrong := _unfit_unit(row.unit, factors[base]):
            yield SiteError(limits.path, line, "unit", wrong)
        if row.comparison == "rounded" and row.decimals is not None and round(row.limit, row.decimals) != row.limit:
            message = f"a value rounded to {row.decimals} decimals cannot be compared with {row.limit:g}"
            yield SiteError(limits.path, line, "decimals", message)
        if is_linked and row.outlet in tables["outlets"].names:
            yield from _unmeasured(limits, line, row.outlet, row.factor, measured.get(row.outlet, set()))


def _unmeasured(limits: Table, line: int, outlet: str, factor: str, measured: set[str]) -> Found:
    if factor in measured:
        return
    converted = factor.startswith(CONVERTED_PREFIX) and factor.removeprefix(CONVERTED_PREFIX) in measured
    there = ", ".join(sorted(measured)) or "nothing"
    hint = "its point has no ref_o2_pct" if converted else f"its stations measure {there}"
    yield SiteError(limits.path, line, "factor", f"{factor!r} is not measured at outlet {outlet!r}; {hint}")


def _measuring(tables: Tables) -> dict[tuple[str, str], list[int]]:
    """(outlet, factor) -> the lines of the points that measure it there."""
    outlet_of = {row.station: row.outlet for row in tables["stations"].rows.values()}
    lines: dict[tuple[str, str], list[int]] = {}
    for line, row in tables["points"].rows.items():
        lines.setdefault((outlet_of.get(row.station, ""), row.factor), []).append(line)
    return lines


def _limits_have_their_oxygen(tables: Tables, _: dict[str, Factor]) -> Found:
    limits, points, measuring = tables["limits"], tables["points"], _measuring(tables)
    for line, row in limits.rows.items():
        if row.ref_o2_pct is None or row.factor.startswith(REMOVAL_PREFIX):
            continue
        stated = f"{row.library or row.limit_id} is stated for {row.ref_o2_pct:g} % O2"
        if not row.factor.startswith(CONVERTED_PREFIX):
            message = f"{row.factor!r} is the measured value; {stated}: write {CONVERTED_PREFIX + row.factor!r}"
            yield SiteError(limits.path, line, "factor", message)
            continue
        for at in measuring.get((row.outlet, row.factor.removeprefix(CONVERTED_PREFIX)), []):
            point = points.rows[at]
            if point.ref_o2_pct not in (None, row.ref_o2_pct):  # without any, zs_... is not measured, which is told
                where = f"point {point.factor} of station {point.station!r} ({points.path.name}:{at})"
                message = f"{stated}, but {where} converts to {point.ref_o2_pct:g} %; they must be the same"
                yield SiteError(limits.path, line, "ref_o2_pct", message)


def _instants_are_as_measured(tables: Tables, _: dict[str, Factor]) -> Found:
    limits, points, measuring = tables["limits"], tables["points"], _measuring(tables)
    for line, row in limits.rows.items():
        for at in measuring.get((row.outlet, row.factor), []) if row.period == "instant" else ():
            if is_brought_to_standard(points.rows[at]):
                where = f"point {row.factor} of station {points.rows[at].station!r} ({points.path.name}:{at})"
                message = f"instant values are not made dry or brought to standard state, as {where} is to be"
                yield SiteError(limits.path, line, "period", message)


def _conditions_are_measured(tables: Tables, factors: dict[str, Factor]) -> Found:
    limits, points, measuring = tables["limits"], tables["points"], _measuring(tables)
    of_station: dict[str, set[str]] = {}
    for point in points.rows.values():
        of_station.setdefault(point.station, set()).add(point.factor)
    for line, row in limits.rows.items():
        parts = {name: getattr(row, name) for name in ("when_factor", "when_comparator", "when_value")}
        if all(part is None for part in parts.values()) or row.factor.startswith(REMOVAL_PREFIX):
            continue
        empty = [name for name, part in parts.items() if part is None]
        if empty:
            yield SiteError(limits.path, line, empty[0], f"is empty; {', '.join(parts)} make one condition")
        elif unknown := _unknown_factor(row.when_factor, factors):
            yield SiteError(limits.path, line, "when_factor", unknown)
        elif points.is_whole:
            for at in measuring.get((row.outlet, row.factor.removeprefix(CONVERTED_PREFIX)), []):
                station = points.rows[at].station
                if row.when_factor not in of_station[station]:
                    holds = f"the limit holds where it is {row.when_comparator} {row.when_value:g}"
                    message = f"{row.when_factor!r} is not measured at station {station!r}; {holds}"
                    yield SiteError(limits.path, line, "when_factor", message)


def _pairs_are_power(tables: Tables, factors: dict[str, Factor]) -> Found:
    pairs = tables["pairs"]
    points = {(row.station, row.factor): row for row in tables["points"].rows.values()}
    for line, row in pairs.rows.items():
        for side in ("production", "treatment"):
            station, factor = getattr(row, f"{side}_station"), getattr(row, f"{side}_factor")
            if getattr(row, f"{side}_on_kw") <= 0:
                yield SiteError(pairs.path, line, f"{side}_on_kw", "must be more than 0; at 0 it would always be on")
            if (station, factor) not in points:
                if station in tables["stations"].names and tables["points"].is_whole:
                    there = ", ".join(sorted(code for at, code in points if at == station)) or "nothing"
                    message = f"{factor!r} is not a point of station {station!r}, which measures {there}"
                    yield SiteError(pairs.path, line, f"{side}_factor", message)
            elif factor in factors and UNITS[factors[factor].unit][0] != "power":
                message = f"{factor!r} ({_short(factors[factor])}) is in {factors[factor].unit}, not a power in kW"
                yield SiteError(pairs.path, line, f"{side}_factor", message)
        if (row.production_station, row.production_factor) == (row.treatment_station, row.treatment_factor):
            message = "is the production's own point; a pair needs two"
            yield SiteError(pairs.path, line, "treatment_factor", message)
