"""Values that may be wrong: explainable flags for a reviewer, "to be verified", never guilt.

The numbers a shipped rule uses are one city's practice (rules/library/anomaly_rules.csv); a site changes them in
its own rule files.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from contracts.factors import DEVICE_PREFIX, ratio
from contracts.site import Limit, LimitBasis, Period

from ..base import Level, RuleBase
from ..bindings import compared
from ..ground import Ground
from .limits import holds

WindowPeriod = Literal["minute", "five_minute", "hour", "day"]
SOME = (1, 1_000_000)  # need, of: one valid part will do
OF_DEVICE = "device"
_DEVICE_S = {"hour": 3600, "day": 86400}  # of the device's own means
Percent = Annotated[float, Field(ge=0, le=100)]


def selected(rule: RuleBase, ground: Ground) -> Iterator[dict[str, Any]]:
    """The registry's points that the rule selects, those of devices and those converted by us."""
    return (p for p in ground.registered if not p["factor"].startswith("$") and rule.select.fits(p))


def name_of(rule: RuleBase, point: dict[str, Any], suffix: str = "") -> str:
    """Of a point made for one rule about another point."""
    return f"${rule.id}:{point['factor']}{suffix}"


class RangeRule(RuleBase):
    """A mean that cannot be: below `low` or above `high`, in the factor's canonical unit."""

    kind: Literal["range"]
    period: Period = "hour"
    low: float | None = None
    high: float | None = None
    level: Level = "yellow"

    @model_validator(mode="after")
    def _has_a_bound(self) -> "RangeRule":
        if self.low is None and self.high is None:
            raise ValueError("give low, high or both")
        return self


def bind_range(rule: RangeRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for point in selected(rule, ground):
        for name, bound in (("low", rule.low), ("high", rule.high)):
            if bound is not None:
                levels = {rule.level: Decimal(str(bound))}
                window_s = point["interval_s"] if rule.period == "instant" else None
                rows.append(
                    compared(point, rule.period, levels, above=name == "high", limit_id=name, window_s=window_s)
                )
    return rows


# of which spans the windows of a period are parts
_COUNTED_PER = {
    "minute": ("hour", "day", "month"),
    "five_minute": ("day", "month"),
    "hour": ("day", "month"),
    "day": ("month",),
}


class OccurrencesRule(RuleBase):
    """So many windows of a day or month (or of several days) are beyond a number, or between two.

    below, above: beyond, the number itself is not; between: the numbers themselves are. of_limit: the numbers are
    multiples of the limit assigned for that period. A share of a month is one of the windows that could be judged,
    however few; a share of a day or hour is judged where that window is complete.
    """

    kind: Literal["occurrences"]
    period: WindowPeriod  # of the windows that are counted
    below: float | None = None
    above: float | None = None
    between: tuple[float, float] | None = None
    of_limit: bool = False
    basis: tuple[LimitBasis, ...] = ()  # of_limit: only limits of these; none given: of all
    per: Literal["hour", "day", "month"] = "day"
    days: Annotated[int, Field(ge=1, le=31)] = 1  # counted over so many days together
    more_than: Annotated[int, Field(ge=0)] | None = None
    share_from_pct: Percent | None = None  # or: at least this share of the windows that could be judged
    share_above_pct: Percent | None = None  # or: more than this share of them
    windows_min: Annotated[int, Field(ge=1)] = 1  # judged from so many windows on
    level: Level = "yellow"

    @model_validator(mode="after")
    def _says_one_thing(self) -> "OccurrencesRule":
        beyond = self.below is not None or self.above is not None
        if beyond == (self.between is not None):
            raise ValueError("give below or above (beyond a number), or between: [from, to]")
        if sum(one is not None for one in (self.more_than, self.share_from_pct, self.share_above_pct)) != 1:
            raise ValueError("give either more_than (a count) or share_from_pct or share_above_pct (a share)")
        if self.basis and not self.of_limit:
            raise ValueError("basis: chooses among limits: it needs of_limit: true")
        of_days = self.days > 1 and self.period == self.per == "day"
        if self.per not in _COUNTED_PER[self.period] and not of_days:
            spans = " or ".join(_COUNTED_PER[self.period])
            raise ValueError(f"per: {self.period} windows are counted per {spans}, not per {self.per}")
        if self.days > 1 and self.per != "day":
            raise ValueError("days: adds up days: it needs per: day")
        return self


def bind_occurrences(rule: OccurrencesRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for point, limit in _with_limits(rule, ground):
        bounds = [_bound(one, limit, point["unit"]) for one in rule.between or (rule.below, rule.above)]
        share = rule.more_than is None
        suffix = "" if limit is None else f"?{limit.limit_id}"
        out = ground.make(
            point["station"],
            name_of(rule, point, suffix),
            "beyond" if rule.between is None else "between",
            rule.period,
            {"a": [point["point"] if limit is None else ground.judged(point["station"], point["factor"], rule.period)]},
            about=point["factor"],
            unit="%" if share else "1",
            decimals=2 if share else 0,
            like=point,
            p=bounds[0],
            q=bounds[1],
            r=100.0 if share else 1.0,
            above=(rule.per,),
            complete=SOME if share and rule.per == "month" else None,
        )
        if rule.days > 1:
            lags = [(out, lag) for lag in range(rule.days)]
            made = ground.rows[out]
            out = ground.make(
                point["station"],
                name_of(rule, point, f"{suffix}~{rule.days}d"),
                "pooled",
                "day",
                {"a": lags},
                about=point["factor"],
                unit=made["unit"],
                decimals=made["decimals"],
                like=point,
                p=1.0,
            )
        given = (rule.more_than, rule.share_from_pct, rule.share_above_pct)
        number = next(one for one in given if one is not None)
        rows.append(
            compared(
                ground.rows[out],
                rule.per,
                {rule.level: Decimal(str(number))},
                statistic="mean" if share else "sum",
                inclusive=rule.share_from_pct is not None,
                values_min=rule.windows_min,
                **({} if limit is None else {"limit_id": limit.limit_id, **holds(limit, ground.site.time_zone)}),
            )
        )
    return rows


def _bound(number: float | None, limit: Limit | None, unit: str) -> float | None:
    """In the point's unit; 0.85 times a limit is computed as it is written, so that a value just there is there."""
    if number is None or limit is None:
        return number
    return float(Decimal(str(number)) * Decimal(str(limit.limit)) * Decimal(str(ratio(limit.unit, unit))))


def _with_limits(rule: OccurrencesRule, ground: Ground) -> Iterator[tuple[dict[str, Any], Limit | None]]:
    for point in selected(rule, ground):
        if not rule.of_limit:
            yield point, None
            continue
        for limit in ground.site.limits:
            fits = (limit.outlet, limit.factor, limit.period) == (point["outlet"], point["factor"], rule.period)
            if fits and limit.when_factor is None and (not rule.basis or limit.basis in rule.basis):
                yield point, limit


class StepRule(RuleBase):
    """A mean that differs from the one before by more than a share of it."""

    kind: Literal["step"]
    period: WindowPeriod = "hour"
    more_than_pct: Annotated[float, Field(gt=0)]
    from_value: Annotated[float, Field(ge=0)] = 0.0  # only where the one before is at least this, in the canonical unit
    level: Level = "yellow"


def bind_step(rule: StepRule, ground: Ground) -> list[dict[str, Any]]:
    return [
        _compared_made(
            rule, ground, point, "deviation_pct", {"a": [point["point"]], "b": [(point["point"], 1)]}, rule.from_value
        )
        for point in selected(rule, ground)
    ]


class DeviationRule(RuleBase):
    """Two factors of a station that should agree differ by more than a share of the second; or the device's own means
    from those we compute, of every factor whose registry row has device_period_s."""

    kind: Literal["deviation"]
    period: WindowPeriod = "hour"
    of: str  # the factor that is looked at, or "device": the device's own means
    from_factor: str | None = None  # what it should be; for the device's means it is the same factor
    more_than_pct: Annotated[float, Field(gt=0)]
    from_value: Annotated[float, Field(ge=0)] = 0.0  # only where the second is at least this
    level: Level = "yellow"

    @model_validator(mode="after")
    def _says_from_what(self) -> "DeviationRule":
        if (self.of == OF_DEVICE) == (self.from_factor is not None):
            raise ValueError("give from_factor, the factor it should agree with; with of: device leave it out")
        return self

    def factors_named(self) -> dict[str, str]:
        return {} if self.from_factor is None else {"of": self.of, "from_factor": self.from_factor}


def bind_deviation(rule: DeviationRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    if rule.of == OF_DEVICE:
        for point in selected(rule, ground):
            device = ground.find(point["station"], DEVICE_PREFIX + point["factor"])
            if device is not None and ground.rows[device]["period_s"] == _DEVICE_S.get(rule.period):
                inputs = {"a": [device], "b": [point["point"]]}
                rows.append(_compared_made(rule, ground, point, "deviation_pct", inputs, rule.from_value))
        return rows
    assert rule.from_factor is not None
    for point in ground.registered:
        other = ground.find(point["station"], rule.from_factor)
        if point["factor"] == rule.of and other is not None and rule.select.fits(point):
            inputs = {"a": [point["point"]], "b": [other]}
            rows.append(_compared_made(rule, ground, point, "deviation_pct", inputs, rule.from_value))
    return rows


def _compared_made(
    rule: StepRule | DeviationRule,
    ground: Ground,
    point: dict[str, Any],
    kind: str,
    inputs: dict[str, Any],
    from_value: float,
) -> dict[str, Any]:
    out = ground.make(
        point["station"],
        name_of(rule, point),
        kind,
        rule.period,
        inputs,
        about=point["factor"],
        unit="%",
        decimals=2,
        like=point,
        p=from_value,
    )
    return compared(ground.rows[out], rule.period, {rule.level: Decimal(str(rule.more_than_pct))})


class SameRule(RuleBase):
    """Hours that are the very same number as those of the day before, or as another factor's: copied or mirrored."""

    kind: Literal["same"]
    as_factor: str | None = None  # of the same station; without it: as the hour a day before
    hours: Annotated[int, Field(ge=1, le=24)] = 12  # of one day
    level: Level = "yellow"

    def factors_named(self) -> dict[str, str]:
        return {} if self.as_factor is None else {"as_factor": self.as_factor}


def bind_same(rule: SameRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for point in selected(rule, ground):
        n = point["point"]
        other = n if rule.as_factor is None else ground.find(point["station"], rule.as_factor)
        if other is None or (rule.as_factor is not None and other == n):
            continue
        out = ground.make(
            point["station"],
            name_of(rule, point),
            "equal",
            "hour",
            {"a": [n], "b": [(other, 24)] if rule.as_factor is None else [other]},
            about=point["factor"],
            unit="1",
            decimals=0,
            like=point,
            above=("day",),
        )
        levels = {rule.level: Decimal(rule.hours)}
        rows.append(compared(ground.rows[out], "day", levels, statistic="sum", inclusive=True))
    return rows


class TogetherRule(RuleBase):
    """One factor of a station says it runs while another says it does not: a concentration without flow."""

    kind: Literal["together"]
    period: WindowPeriod = "hour"
    high: str  # factor
    high_from: float
    low: str  # factor
    low_below: float
    level: Level = "yellow"

    def factors_named(self) -> dict[str, str]:
        return {"high": self.high, "low": self.low}


def bind_together(rule: TogetherRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for point in ground.registered:
        low = ground.find(point["station"], rule.low)
        if point["factor"] != rule.high or low is None or not rule.select.fits(point):
            continue
        out = ground.make(
            point["station"],
            name_of(rule, point),
            "high_and_low",
            rule.period,
            {"a": [point["point"]], "b": [low]},
            about=point["factor"],
            unit="1",
            decimals=0,
            like=point,
            p=rule.high_from,
            q=rule.low_below,
        )
        rows.append(compared(ground.rows[out], rule.period, {rule.level: Decimal(1)}, inclusive=True))
    return rows


class OverRangeRule(RuleBase):
    """Values over the instrument's range, by mark or by number: what is missing there may be an exceedance."""

    kind: Literal["over_range"]
    period: WindowPeriod = "hour"
    at_least: Annotated[int, Field(ge=1)] = 1  # parts of the window
    level: Level = "yellow"


class InvalidRule(RuleBase):
    """Values that came and do not count, by mark or by range: an instrument in maintenance for too long."""

    kind: Literal["invalid"]
    period: WindowPeriod = "day"
    more_than: Annotated[int, Field(ge=0)]  # parts of the window: hours of a day
    level: Level = "yellow"


def bind_over_range(rule: OverRangeRule, ground: Ground) -> list[dict[str, Any]]:
    at_least = {rule.level: Decimal(rule.at_least)}
    return [
        compared(point, rule.period, at_least, statistic="over_n", inclusive=True)
        for point in selected(rule, ground)
        if point["kind"] is not None
    ]


def bind_invalid(rule: InvalidRule, ground: Ground) -> list[dict[str, Any]]:
    more_than = {rule.level: Decimal(rule.more_than)}
    return [
        compared(point, rule.period, more_than, statistic="invalid_n")
        for point in selected(rule, ground)
        if point["kind"] is not None
    ]


class ActiveWhileStoppedRule(RuleBase):
    """Something moves during an approved stop: flow, heat, a concentration above a number; or production draws."""

    kind: Literal["active_while_stopped"]
    period: WindowPeriod = "hour"
    above: float | None = None  # in the canonical unit; none: production, above the pair's production_on_kw
    level: Level = "yellow"


def bind_active_while_stopped(rule: ActiveWhileStoppedRule, ground: Ground) -> list[dict[str, Any]]:
    if rule.above is not None:
        bounds = [(point, rule.above) for point in selected(rule, ground)]
    else:
        lowest_last = sorted(ground.site.pairs, key=lambda pair: -pair.production_on_kw)
        on_kw = {(one.production_station, one.production_factor): one.production_on_kw for one in lowest_last}
        bounds = [(ground.rows[ground.number[name]], number) for name, number in on_kw.items()]
        bounds = [(point, number) for point, number in bounds if rule.select.fits(point)]
    return [
        compared(point, rule.period, {rule.level: Decimal(str(number))}, while_stopped=True) for point, number in bounds
    ]


BINDERS = {
    ActiveWhileStoppedRule: bind_active_while_stopped,
    RangeRule: bind_range,
    OccurrencesRule: bind_occurrences,
    StepRule: bind_step,
    DeviationRule: bind_deviation,
    SameRule: bind_same,
    TogetherRule: bind_together,
    OverRangeRule: bind_over_range,
    InvalidRule: bind_invalid,
}
