"""The ground rules are bound to: a site's points, and the points that rules and limits make of them.

Promises: the points of the registry keep the numbers contracts.points gave them; made ones follow, in the order they
were asked for; asking again for the same one gives the same number.
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from contracts.factors import CONVERTED_PREFIX, DEVICE_PREFIX, DRY_STANDARD_PREFIX, FLOW_WEIGHTED_PREFIX
from contracts.points import POINTS, partition_of, point_table
from contracts.site import Site

from .made.formulas import FORMULAS, Formula

DERIVED = pl.Schema(
    {
        "out": pl.UInt32,
        "period": pl.String,
        "kind": pl.String,  # of formulas.FORMULAS, or "sql:<rule>"
        "p": pl.Float64,  # what the formula says they are
        "q": pl.Float64,
        "r": pl.Float64,
    }
)

INPUTS = pl.Schema(
    {
        "out": pl.UInt32,
        "period": pl.String,
        "role": pl.String,  # formulas.ROLES
        "point": pl.UInt32,
        "lag": pl.Int64,  # so many windows earlier; a derived point has an input of lag 0
    }
)

_STAND_INS = (DEVICE_PREFIX, DRY_STANDARD_PREFIX)
_FROM_DAY_ON = ("day", "month", "year")

Inputs = dict[str, list[int] | list[tuple[int, int]]]  # role -> points, or (point, lag) pairs


@dataclass
class Ground:
    """Collects, while rules are bound, what they need made."""

    site: Site
    rows: list[dict[str, Any]] = field(default_factory=list)  # of POINTS, with their numbers
    derived: list[dict[str, Any]] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(default_factory=list)
    formulas: dict[str, Formula] = field(default_factory=lambda: dict(FORMULAS))
    above: dict[int, tuple[str, ...]] = field(default_factory=dict)  # made point -> longer windows it is asked for
    complete: dict[int, tuple[int, int]] = field(default_factory=dict)  # made point -> need, of; else its medium's

    def __post_init__(self) -> None:
        self.rows = point_table(self.site).to_dicts()
        # what rules select: the registry's, without what rules have made and without what only stands for another point
        self.registered = [row for row in self.rows if not row["factor"].startswith(_STAND_INS)]
        self.number: dict[tuple[str, str], int] = {(row["station"], row["factor"]): row["point"] for row in self.rows}

        self._registry = {(point.station, point.factor): point for point in self.site.points}

    def find(self, station: str, factor: str) -> int | None:
        return self.number.get((station, factor))

    def judged(self, station: str, factor: str, period: str) -> int:
        """The point whose windows of the period are held against a limit on the factor: the flow-weighted one where
        there is one, the device's own where the registry says so, the dry one at standard state."""
        own = self._registry.get((station, factor.removeprefix(CONVERTED_PREFIX)))
        device_s = own.device_period_s if own is not None and own.judged_source == "device" else 0
        weighted = self.find(station, FLOW_WEIGHTED_PREFIX + factor) if period in _FROM_DAY_ON else None
        if weighted is not None and device_s != 86400:
            return weighted
        if device_s and period in (_FROM_DAY_ON if device_s == 86400 else ("hour", *_FROM_DAY_ON)):
            return self.number[station, DEVICE_PREFIX + factor]
        return self.number.get((station, DRY_STANDARD_PREFIX + factor), self.number[station, factor])

    def make(
        self,
        station: str,
        factor: str,
        kind: str,
        period: str,
        inputs: Inputs,
        *,
        unit: str,
        decimals: int,
        like: dict[str, Any],
        about: str | None = None,
        p: float | None = None,
        q: float | None = None,
        r: float | None = None,
        above: tuple[str, ...] = (),
        complete: tuple[int, int] | None = None,
        published: bool = False,
    ) -> int:
        """The number of a point made by a formula, windows of `period` first; `above`: the longer windows wanted of it,
        judged with so many valid parts of so many (complete), or as its medium says.

        like: the row of POINTS whose outlet, medium and dates it has. A factor of a made point begins with "$" unless
        people know it by a name of its own (zs_, fw_).
        """
        number = self.number.get((station, factor))
        if number is None:
            number = len(self.rows)
            self.number[station, factor] = number
            self.rows.append(
                {
                    **{name: like[name] for name in ("medium", "outlet", "valid_from", "valid_to")},
                    "point": number,
                    "partition": partition_of(station),
                    "station": station,
                    "factor": factor,
                    "kind": None,
                    "period_s": None,
                    "interval_s": 60,
                    "sent_unit": None,
                    "unit": unit,
                    "decimals": decimals,
                    "range_min": None,
                    "range_max": None,
                    "about": about or factor,
                    "is_published": published,
                }
            )
            if complete is not None:
                self.complete[number] = complete
            self.feed(number, kind, period, inputs, p=p, q=q, r=r)
        self.above[number] = tuple(dict.fromkeys([*self.above.get(number, ()), *above]))
        return number

    def feed(
        self,
        out: int,
        kind: str,
        period: str,
        inputs: Inputs,
        *,
        p: float | None = None,
        q: float | None = None,
        r: float | None = None,
    ) -> None:
        """Says what an existing point is made of."""
        self.derived.append({"out": out, "period": period, "kind": kind, "p": p, "q": q, "r": r})
        for role, points in inputs.items():
            for one in points:
                point, lag = one if isinstance(one, tuple) else (one, 0)
                self.inputs.append({"out": out, "period": period, "role": role, "point": point, "lag": lag})

    def point_frame(self) -> pl.DataFrame:
        return pl.DataFrame(self.rows, schema=POINTS)
