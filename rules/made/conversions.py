"""What the registry has converted: dry from wet, standard state, NOx from its parts, reference O2, in this order.

Promises: every step is a point of its own, of the same windows as the step before it; minutes of what is converted by
the hour are made where they are asked for, and only there. Source: HJ 75-2017 (validity rules VR04 to VR07).
"""

from dataclasses import dataclass, field

from contracts.factors import CONVERTED_PREFIX, DRY_STANDARD_PREFIX
from contracts.points import (
    MOISTURE,
    NO,
    NO2,
    O2,
    STACK_PRESSURE,
    STACK_TEMPERATURE,
    is_brought_to_standard,
)
from contracts.site import Point

from ..ground import Ground

STEP_EXTRA = 3  # decimals more than the factor's, between two steps; project default


@dataclass
class Conversions:
    """The steps made by the hour, whose minutes may be asked for: by the point each of them makes."""

    by_hour: dict[int, tuple[str, dict[str, list[int]], float | None]] = field(default_factory=dict)

    def feed(self, ground: Ground, point: Point, out: int, kind: str, inputs: dict[str, list[int]], p: float | None):
        ground.feed(out, kind, self.period(point), inputs, p=p)
        self.note(point, out, kind, inputs, p)

    def note(self, point: Point, out: int, kind: str, inputs: dict[str, list[int]], p: float | None) -> None:
        if self.period(point) == "hour":
            self.by_hour[out] = (kind, inputs, p)

    @staticmethod
    def period(point: Point) -> str:
        return "hour" if point.convert == "mean_then_convert" else "minute"

    def minutes(self, ground: Ground, asked: set[int]) -> None:
        """Has the minutes made that are asked for, and those they are made of."""
        wanted = sorted(asked & self.by_hour.keys())
        while wanted:
            out = wanted.pop(0)
            if out not in self.by_hour:
                continue
            kind, inputs, p = self.by_hour.pop(out)
            ground.feed(out, kind, "minute", inputs, p=p)
            wanted += [one for points in inputs.values() for one in points if one in self.by_hour]


def convert(ground: Ground) -> Conversions:
    """Feeds the registry's ds_, NOx and zs_ points."""
    made = Conversions()
    for point in ground.site.points:
        if is_brought_to_standard(point):
            _bring_to_standard(ground, made, point)
    for point in ground.site.points:
        if point.kind == "no_no2":
            inputs = {"a": [_dry(ground, point.station, NO)], "b": [_dry(ground, point.station, NO2)]}
            made.feed(ground, point, ground.number[point.station, point.factor], "nox_as_no2", inputs, None)
        if point.ref_o2_pct is not None:
            inputs = {"a": [_dry(ground, point.station, point.factor)], "b": [_dry(ground, point.station, O2)]}
            out = ground.number[point.station, CONVERTED_PREFIX + point.factor]
            made.feed(ground, point, out, "convert_o2", inputs, point.ref_o2_pct)
    return made


def _bring_to_standard(ground: Ground, made: Conversions, point: Point) -> None:
    number = ground.number
    out, subject = number[point.station, DRY_STANDARD_PREFIX + point.factor], number[point.station, point.factor]
    if point.basis == "wet":
        inputs = {"a": [subject], "b": [number[point.station, MOISTURE]]}
        if point.state == "standard":
            made.feed(ground, point, out, "dry", inputs, None)
            return
        like = ground.rows[subject]
        subject = ground.make(
            point.station,
            f"$dry:{point.factor}",
            "dry",
            made.period(point),
            inputs,
            about=point.factor,
            unit=like["unit"],
            decimals=min(int(like["decimals"]) + STEP_EXTRA, 9),
            like=like,
        )
        made.note(point, subject, "dry", inputs, None)
    stack = {"b": [number[point.station, STACK_TEMPERATURE]], "c": [number[point.station, STACK_PRESSURE]]}
    made.feed(ground, point, out, "standard_state", {"a": [subject], **stack}, point.air_pressure_kpa)


def _dry(ground: Ground, station: str, factor: str) -> int:
    """The factor's point as far as it is converted before O2 is looked at."""
    brought = ground.find(station, DRY_STANDARD_PREFIX + factor)
    return ground.number[station, factor] if brought is None else brought
