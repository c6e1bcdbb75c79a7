"""What stations and instruments do, whatever they measure: silence, rejected messages, values that do not move."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.factors import CLOCK_LAG, REJECT_COUNT, STATION_PRESENCE

from ..base import Level, RuleBase
from ..bindings import compared
from ..ground import Ground

ONE_WILL_DO = (1, 1_000_000)  # need, of: one valid part makes the window
FLAT_LINE_VALUES_MIN = 4  # fewer equal values are no line: one alone never moves; project default


class MissingRule(RuleBase):
    """A station is silent: no reading of any of its points, by their event times."""

    kind: Literal["missing"]
    level: Level = "yellow"
    intervals: Annotated[int, Field(ge=1)] = 3  # of the station's shortest interval, and at least `pending`


class FlatLineRule(RuleBase):
    """Every valid value of the window is the same."""

    kind: Literal["flat_line"]
    period: Literal["minute", "hour", "day"] = "hour"
    level: Level = "yellow"
    except_zero: bool = True  # a constant zero is often a plant standing still, which other rules see


class RejectsRule(RuleBase):
    """Messages of a station are rejected. By receive time: a rejected message has no trustworthy time of its own."""

    kind: Literal["rejects"]
    level: Level = "yellow"
    at_least: Annotated[int, Field(ge=1)] = 3  # a minute


class ClippedRule(RuleBase):
    """Every valid value of the window stands at the top of the instrument's range: what is above it is cut off."""

    kind: Literal["clipped"]
    period: Literal["five_minute", "hour"] = "five_minute"
    from_pct: Annotated[float, Field(gt=0, le=100)] = 99.0  # of range_max
    level: Level = "yellow"


class ClockSkewRule(RuleBase):
    """A logger's clock is wrong: all messages of an hour came late, or one came before its period had ended.

    By receive time, like `rejects`. What a station buffered and sends again is late as well: an hour that holds nothing
    else is told too.
    """

    kind: Literal["clock_skew"]
    behind_s: Annotated[int, Field(ge=1)] = 300
    ahead_s: Annotated[int, Field(ge=0)] = 30
    level: Level = "yellow"


def _own(rule: RuleBase, ground: Ground, factor: str) -> list[dict[str, Any]]:
    return [p for p in ground.registered if p["factor"] == factor and rule.select.fits(p, factor=False)]


def bind_missing(rule: MissingRule, ground: Ground) -> list[dict[str, Any]]:
    shortest: dict[str, int] = {}
    for point in ground.registered:
        if not point["factor"].startswith("$"):
            shortest[point["station"]] = min(shortest.get(point["station"], 86400), point["interval_s"])
    return [
        compared(
            point,
            "minute",
            {rule.level: Decimal(0)},
            statistic="present_n",
            above=False,
            inclusive=True,
            pending_s=max(rule.intervals * shortest[point["station"]], int(rule.pending.total_seconds())),
            limit_scaled=None,
        )
        for point in _own(rule, ground, STATION_PRESENCE)
        if point["station"] in shortest
    ]


def bind_rejects(rule: RejectsRule, ground: Ground) -> list[dict[str, Any]]:
    at_least = {rule.level: Decimal(rule.at_least)}
    return [
        compared(point, "minute", at_least, statistic="present_n", inclusive=True, limit_scaled=None)
        for point in _own(rule, ground, REJECT_COUNT)
    ]


def bind_flat_line(rule: FlatLineRule, ground: Ground) -> list[dict[str, Any]]:
    return [
        compared(
            point,
            rule.period,
            {rule.level: Decimal(0)},
            statistic="range",
            above=False,
            inclusive=True,
            values_min=FLAT_LINE_VALUES_MIN,
            except_zero=rule.except_zero,
            limit_scaled=None,
        )
        for point in ground.registered
        if point["kind"] is not None and rule.select.fits(point)
    ]


def bind_clipped(rule: ClippedRule, ground: Ground) -> list[dict[str, Any]]:
    return [
        compared(
            point,
            rule.period,
            {rule.level: Decimal(str(point["range_max"])) * Decimal(str(rule.from_pct)) / 100},
            statistic="low",
            inclusive=True,
            values_min=FLAT_LINE_VALUES_MIN,
        )
        for point in ground.registered
        if point["kind"] is not None and point["range_max"] is not None and rule.select.fits(point)
    ]


def bind_clock_skew(rule: ClockSkewRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for point in _own(rule, ground, CLOCK_LAG):
        ground.complete[point["point"]] = ONE_WILL_DO
        for side, seconds in (("behind", rule.behind_s), ("ahead", -rule.ahead_s)):
            levels = {rule.level: Decimal(seconds)}
            rows.append(compared(point, "hour", levels, statistic="low", above=side == "behind", limit_id=side))
    return rows


BINDERS = {
    MissingRule: bind_missing,
    RejectsRule: bind_rejects,
    FlatLineRule: bind_flat_line,
    ClippedRule: bind_clipped,
    ClockSkewRule: bind_clock_skew,
}
