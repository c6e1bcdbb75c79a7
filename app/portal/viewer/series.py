"""The series of a panel, out of its queries' answers: names, colours, and the foremost where there are thousands.

Promises: pure; which series are kept depends on the numbers alone, and how many there are is told.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import polars as pl

from grafana.query import seconds

from .answers import Answer
from .boards import Language, Panel, Target
from .look import LIMIT, SERIES, Theme
from .shown import Field, field_of, overridden

_TAG = re.compile(r"\$tag_(\w+)")
_VALUE = "greenisland value"  # of a frame: no tag has this name

First = Literal["highest", "lowest", "most words"]


@dataclass(frozen=True)
class Drawing:
    """What a panel's place on the page is filled with."""

    option: dict[str, Any] | None = None  # of a chart
    html: str = ""  # of everything else; of a chart its legend
    note: str = ""  # beside the title
    is_empty: bool = False


@dataclass(frozen=True)
class Look:
    language: Language
    theme: Theme
    zone: str
    from_at: datetime
    to_at: datetime

    @property
    def shift(self) -> timedelta:
        """Of civil time; charts draw instants as if civil time were UTC."""
        return self.to_at.astimezone(ZoneInfo(self.zone)).utcoffset() or timedelta()

    def ms(self, at: datetime) -> int:
        return round((at.timestamp() + self.shift.total_seconds()) * 1000)


@dataclass
class Series:
    name: str
    points: pl.DataFrame  # time, value
    colour: str
    is_dashed: bool
    field: Field
    width: timedelta | None  # of its buckets


def series_of(
    panel: Panel, answered: Sequence[tuple[Target, Answer]], most: int, first: First
) -> tuple[list[Series], int]:
    """At most `most`, of those `first` says, sorted by name with limits last; and how many there are."""
    base, made, n = field_of(panel.defaults), [], 0
    for target, answer in answered:
        if answer.frame is None or answer.is_empty:
            continue
        is_dashed = _is_dashed(panel, target)
        width = None if target.query.every in (None, "auto") else timedelta(seconds=seconds(str(target.query.every)))
        for column in target.query.columns:
            frame = answer.frame.filter(pl.col(column.called).is_not_null().any().over(target.query.group or pl.lit(1)))
            kept, all_n = _foremost(frame, target.query.group, column.called, most, first)
            n += all_n
            for tags, points in kept:
                name = named(target, tags, column.called)
                its = overridden(base, panel.overrides, name)
                made.append(Series(name, points, its.colour or "", is_dashed, its, width))
    limits_n = sum(one.is_dashed for one in made)
    plain = [one for one in made if not one.is_dashed][: max(most - limits_n, most * 2 // 3)]
    dashed = [one for one in made if one.is_dashed][: most - len(plain)]
    _colour(plain, dashed)
    return sorted(plain, key=_name) + sorted(dashed, key=_name), n


def _foremost(
    frame: pl.DataFrame, group: tuple[str, ...], column: str, most: int, first: First
) -> tuple[list[tuple[dict[str, Any], pl.DataFrame]], int]:
    """(tags, points) of the foremost groups, and how many groups there are."""
    if frame.is_empty():
        return [], 0
    value = pl.col(column).alias(_VALUE)
    if not group:
        return [({}, frame.select("time", value=pl.col(column)))], 1
    rank = {
        "highest": -value.max().cast(pl.Float64, strict=False),
        "lowest": value.min().cast(pl.Float64, strict=False),
        "most words": -value.n_unique().cast(pl.Float64),
    }[first]
    ranked = frame.group_by(group).agg(rank.alias(_VALUE)).sort(_VALUE, *group, nulls_last=True)
    kept = frame.join(ranked.head(most).select(group), on=list(group), how="semi", nulls_equal=True)
    parts = kept.partition_by(group, as_dict=True)
    order = [row[:-1] for row in ranked.head(most).select(*group, _VALUE).rows()]
    found = [(dict(zip(group, key, strict=True)), parts[key].select("time", value=pl.col(column))) for key in order]
    return found, ranked.height


def named(target: Target, tags: dict[str, Any], column: str) -> str:
    """The alias with its `$tag_...` and `$col`; without one, the tags."""
    if not target.alias:
        return " ".join(str(one) for one in tags.values() if one) or column
    said = _TAG.sub(lambda found: str(tags.get(found[1]) or ""), target.alias)
    return " ".join(said.replace("$col", column).split())


def _is_dashed(panel: Panel, target: Target) -> bool:
    return any(
        one["matcher"] == {"id": "byFrameRefID", "options": target.ref}
        and any(about["id"] == "custom.lineStyle" for about in one["properties"])
        for one in panel.overrides
    )


def _colour(plain: Sequence[Series], dashed: Sequence[Series]) -> None:
    """Series of one name have one colour."""
    colours: dict[str, str] = {}
    for n, name in enumerate(sorted({one.name for one in plain})):
        colours[name] = SERIES[n % len(SERIES)]
    for one in (*plain, *dashed):
        one.colour = one.colour or colours.get(one.name, LIMIT)


def _name(one: Series) -> str:
    return one.name
