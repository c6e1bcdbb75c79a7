"""Analysis cycles of a flow-weighted day as a list: value, flow, discharge, and which of them counted.

Promises: the list is put together from the parts that were decided by; where it does not give the sums of the decision,
`disagreement` says so and the decision holds.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from .parts import Parts
from .run import Row
from .words import Times, in_unit, number, shortened


@dataclass(frozen=True)
class Cycle:
    """Scaled integers; flow: added up over its hours, None where an hour's is missing."""

    at: datetime
    value: int | None
    flow: int | None
    is_discharging: bool
    why: str | None  # it does not count


@dataclass(frozen=True)
class Cycles:
    lines: list[str]
    facts: list[dict[str, object]]
    disagreement: str | None = None
    cycles: list[Cycle] = field(default_factory=list)


def cycles_of(
    values: Parts,
    flows: Parts,
    *,
    window_at: datetime,
    window_s: int,
    cycle_s: int,
    discharging: float,
    decimals: tuple[int, int],
    units: tuple[str, str],
    decided: Row | None,
    times: Times,
) -> Cycles:
    """decimals, units: of the concentration and of the flow. discharging: above so much flow, in the flow's unit."""
    found, floor = [], Decimal(str(discharging)).scaleb(decimals[1])
    hours = max(cycle_s // 3600, 1)
    for n in range(window_s // cycle_s):
        at = window_at + timedelta(seconds=n * cycle_s)
        end_at = at + timedelta(seconds=cycle_s)
        its = [
            part.scaled for part in values.parts if at <= part.at < end_at and part.counts and part.scaled is not None
        ]
        flow = [
            part.scaled for part in flows.parts if at <= part.at < end_at and part.counts and part.scaled is not None
        ]
        value = round(Fraction(sum(its), len(its))) if its else None
        known = len(flow) >= hours
        is_discharging = not known or max(flow) > floor
        why = None
        if not is_discharging:
            why = "no discharge, not expected"
        elif value is None:
            why = "no valid value"
        elif not known:
            why = "its flow is not known"
        elif sum(flow) <= 0:
            why = "no flow to weight it by"
        found.append(Cycle(at, value, sum(flow) if known else None, is_discharging, why))
    lines = [_line(one, decimals, units, times) for one in found]
    facts: list[dict[str, object]] = [
        {
            "at": times.iso(one.at),
            "value": None if one.value is None else number(one.value, decimals[0]),
            "flow": None if one.flow is None else number(one.flow, decimals[1]),
            "is_discharging": one.is_discharging,
            "why": one.why,
        }
        for one in found
    ]
    return Cycles(lines, facts, _disagreement(found, decided), found)


def _line(one: Cycle, decimals: tuple[int, int], units: tuple[str, str], times: Times) -> str:
    value = "no value" if one.value is None else in_unit(number(one.value, decimals[0]), units[0])
    flow = (
        "flow not known"
        if one.flow is None
        else f"flow {number(one.flow, decimals[1])} (of {units[1]}, its hours added up)"
    )
    return f"{times.at(one.at)}: {value}, {flow}: {'counts' if one.why is None else 'does not count, ' + one.why}"


def _disagreement(found: list[Cycle], decided: Row | None) -> str | None:
    if decided is None or decided["reason"] is not None:
        return None
    counting = [(one.value, one.flow) for one in found if one.why is None and one.value is not None and one.flow]
    weight = sum(flow for _, flow in counting)
    mean = round(Fraction(sum(value * flow for value, flow in counting), weight)) if weight else 0
    listed = mean * len(counting), len(counting), sum(one.is_discharging for one in found)
    made = decided["sum_scaled"], decided["valid_n"], decided["expected_n"]
    if listed == made:
        return None
    return f"the cycles listed give {listed}, the decision {made} (sum, valid, expected): the decision holds"


def cycle_lines(cycles: Cycles) -> list[str]:
    """The first and the last of them; every one is in the facts."""
    said = shortened(cycles.lines, 12, 12, "cycles")
    return said if cycles.disagreement is None else [*said, f"note: {cycles.disagreement}"]
