"""Approved stops and accepted maintenance, as what holds back alerts on the station's instruments. Pure.

Promises: bitemporal: what becomes known later never changes what held before; so the same at every cut of a feed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from .state import tick_from

MAINTENANCE = ("maintenance", "cems_maintenance", "calibration")  # types of rules/library/mark_types.csv


@dataclass(frozen=True)
class Rest:
    """In force for instants in [from_at, to_at), to the knowledge of ticks in [tick, until)."""

    from_at: datetime
    to_at: datetime | None
    tick: datetime
    until: datetime | None

    def holds(self, at: datetime) -> bool:
        in_time = self.from_at <= at and (self.to_at is None or at < self.to_at)
        return in_time and self.tick <= at and (self.until is None or at < self.until)


@dataclass(frozen=True)
class Rests:
    of: dict[tuple[str, str], tuple[Rest, ...]] = field(default_factory=dict)  # by station and factor
    ends: tuple[datetime, ...] = ()  # when one of them may end, ascending

    def hold(self, station: str, factor: str, at: datetime) -> bool:
        return any(rest.holds(at) for rest in self.of.get((station, factor), ()))

    def ends_between(self, after_at: datetime | None, to_at: datetime) -> list[datetime]:
        return [at for at in self.ends if (after_at is None or at > after_at) and at <= to_at]


def rests_of(effects: pl.DataFrame, points: pl.DataFrame) -> Rests:
    """effects: contracts.facts.EFFECTS over all ticks; points: contracts.points.POINTS."""
    is_stop = pl.col("kind") == "stop"
    is_maintenance = (pl.col("kind") == "mark") & pl.col("type").is_in(MAINTENANCE) & (pl.col("review") == "accepted")
    rows = effects.filter(is_stop | is_maintenance).join(points.select("point", "station", "about"), on="point")
    columns = ("station", "about", "from_at", "to_at", "tick", "until")
    found: dict[tuple[str, str], list[Rest]] = {}
    for station, factor, *times in rows.select(columns).unique().sort(columns).iter_rows():
        found.setdefault((station, factor), []).append(Rest(*times))
    return Rests({key: tuple(rests) for key, rests in found.items()}, _ends(found.values()))


def _ends(found: Iterable[list[Rest]]) -> tuple[datetime, ...]:
    rests = [rest for its in found for rest in its]
    # what became known when it was over has held nothing
    ends = {at for one in rests for at in (one.to_at, one.until) if at is not None and at > one.tick}
    return tuple(sorted({tick_from(at) for at in ends}))
