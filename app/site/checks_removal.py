"""What must hold for a limit on removal (factor removal_<factor>) to be judged. Pure.

Promises: a limit that no facility's inlet and outlet could be held against is told at its row. Says nothing of what is
missing from a table that could not be read whole.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from contracts.factors import MASS_RATE_PREFIX, REMOVAL_PREFIX, Factor
from contracts.nearest import suggestion

from .checks_park import Measured, has_mass
from .yaml_lines import SiteError

HOUR_S = 3600
Wrong = Iterator[tuple[str, str]]  # column, message


def removal_checks(tables: dict[str, Any], factors: dict[str, Factor]) -> Iterator[SiteError]:
    """tables: name -> checks.Table."""
    limits, facilities, measured = tables["limits"], tables["facilities"], Measured(tables)
    for line, row in limits.rows.items():
        if not row.factor.startswith(REMOVAL_PREFIX):
            continue
        wrong = [*_row_makes_sense(row, factors)]
        if not wrong and facilities.is_whole and measured.is_whole:
            wrong += _is_measured(row, facilities.rows.values(), measured)
        for column, message in wrong:
            yield SiteError(limits.path, line, column, message)


def _row_makes_sense(row: Any, factors: dict[str, Factor]) -> Wrong:
    base = row.factor.removeprefix(REMOVAL_PREFIX)
    if base not in factors:
        yield "factor", f"{base!r} is not a known factor{suggestion(base, sorted(factors))}"
    elif not has_mass(factors[base]):
        yield "factor", f"{base!r} is in {factors[base].unit}: it has no mass that could be removed"
    if row.unit != "%":
        yield "unit", f"{row.unit!r} is no unit of a removal efficiency; write %"
    elif not 0 < row.limit < 100:
        yield "limit", f"{row.limit:g} % cannot be asked of a treatment; write more than 0 and less than 100"
    if row.comparator not in (">=", ">"):
        yield "comparator", f"{row.comparator!r} would ask for little removal; write >="
    if row.period != "hour":
        yield "period", f"removal is judged by the hour, not by the {row.period}: write hour"
    if row.ref_o2_pct is not None:
        yield "ref_o2_pct", "removal is of mass, which knows no reference O2; leave the cell empty"
    condition = (row.when_factor, row.when_comparator, row.when_value)
    rate = MASS_RATE_PREFIX + base
    if condition != (None, None, None) and (condition[:2] != (rate, ">=") or row.when_value is None):
        message = f"removal is judged always, or from so many kg/h at the inlet on: write {rate}, >= and the number"
        yield "when_factor", message


def _is_measured(row: Any, facilities: Iterable[Any], measured: Measured) -> Wrong:
    base = row.factor.removeprefix(REMOVAL_PREFIX)
    treating = [one for one in facilities if row.outlet in map(measured.outlet, one.outlet_stations)]
    if not treating:
        message = f"no facility in registry/facilities.csv has an outlet station at {row.outlet!r}"
        yield "outlet", f"{message}: removal is of what goes in and comes out, so name both there"
    for one in treating:
        if not one.inlet_stations:
            message = f"facility {one.facility!r} has no inlet_stations in registry/facilities.csv"
            yield "outlet", f"{message}: without what goes in nothing can be said of removal"
        for name in (*one.inlet_stations, *one.outlet_stations):
            if measured.lacks(name, base):
                message = f"station {name!r} of facility {one.facility!r} does not measure {base}; it measures"
                yield "factor", f"{message} {measured.of(name)}"
            elif (point := measured.points.get((name, base))) is not None and point.interval_s > HOUR_S:
                message = f"station {name!r} of facility {one.facility!r} gives {base} less often than every hour"
                yield "factor", f"{message}: its removal cannot be judged by the hour"
