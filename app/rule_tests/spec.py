"""Rule test files: what one may write in `name.test.yaml`. Reading them, line by line, is rule_test_cases' part."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from contracts.civil_time import with_offset
from contracts.durations import format_duration
from contracts.factors import Factor
from contracts.reasons import Alert, NoJudgement, Transition, Verdict
from contracts.site import FACILITY_SUBJECT, PARK_SUBJECT, Dated, Duration, Identifier, Medium, Pair, Point, Strict
from rules.series import SeriesError, Value, parse_series
from rules.spec import Level

from ..site import limit_rows
from .facts import FactRow
from .park import FacilityRow, MemberRow, ThresholdRow

LENGTH_MAX = timedelta(days=400)
INSTANT_KEYS = frozenset({"window", "opened", "fired", "resolved"})
# whom a verdict is on: a station, or a park or shared facility
SubjectName = Annotated[str, Field(pattern=rf"^({PARK_SUBJECT}|{FACILITY_SUBJECT})?[A-Za-z0-9][A-Za-z0-9_.-]{{0,63}}$")]
_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


def _between(lowest: timedelta, highest: timedelta) -> AfterValidator:
    def check(duration: timedelta) -> timedelta:
        if not lowest <= duration <= highest:
            bounds = f"at least {format_duration(lowest)} and at most {format_duration(highest)}"
            raise ValueError(f"{format_duration(duration)} is out of range; it must be {bounds}")
        return duration

    return AfterValidator(check)


def _not_empty(rows: tuple[object, ...]) -> tuple[object, ...]:
    if not rows:
        raise ValueError("is empty; it must have at least one")
    return rows


class PointRow(Dated):
    """contracts.site.Point, most of it by default: a mean a minute in the factor's own unit."""

    station: Identifier = "S1"
    factor: str
    unit: str | None = None
    kind: Literal["rtd", "avg", "min", "max", "cou", "zs_rtd", "zs_avg", "no_no2"] = "avg"
    period_s: Literal[0, 60, 3600, 86400] | None = None
    interval: Annotated[Duration, _between(_SECOND, _DAY)] = _MINUTE
    range_min: float | None = None
    range_max: float | None = None
    ref_o2_pct: float | None = None
    convert: Literal["mean_then_convert", "convert_then_mean"] = "mean_then_convert"
    basis: Literal["dry", "wet"] = "dry"
    state: Literal["standard", "actual"] = "standard"
    air_pressure_kpa: float | None = None
    device_period_s: Literal[0, 3600, 86400] = 0
    judged_source: Literal["recomputed", "device"] = "recomputed"

    def point(self, factors: dict[str, Factor]) -> Point:
        unit = self.unit or (factors[self.factor].unit if self.factor in factors else "")
        period_s = self.period_s
        if period_s is None:
            period_s = 60 if self.kind.endswith(("avg", "min", "max")) else 0
        same = self.model_dump(exclude={"unit", "period_s", "interval"})
        return Point(**same, unit=unit, period_s=period_s, interval_s=int(self.interval.total_seconds()))


class LimitRow(limit_rows.LimitRow):
    """A row of registry/limits.csv, which may name a row of the limit library; and whose industry it is."""

    limit_id: Identifier | None = None  # type: ignore[assignment]
    outlet: Identifier | None = None  # type: ignore[assignment]
    industry: str | None = None


class PairRow(Pair):
    pair: Identifier = "P1"
    production_station: Identifier = "S1"
    production_factor: str = "p01001"
    treatment_station: Identifier = "S1"
    treatment_factor: str = "p01002"
    name_zh: str = "生产与治理"
    name_en: str = "production and treatment"


class SeriesRow(Strict):
    """Values of one point from the test's start on, `step` apart; all of them arrive `late`."""

    station: Identifier = "S1"
    factor: str
    step: Annotated[Duration, _between(_SECOND, LENGTH_MAX)] | None = None  # the point's interval, or device_period_s
    device: Literal["avg", "zs_avg"] | None = None  # the device's own means, of the point's device_period_s
    values: str
    late: Duration = timedelta(0)

    @field_validator("values")
    @classmethod
    def _is_series(cls, text: str) -> str:
        try:
            parse_series(text)
        except SeriesError as error:
            raise ValueError(str(error)) from error
        return text

    def parsed(self) -> list[Value | None]:
        return parse_series(self.values)


class MalformedRow(Strict):
    """`count` messages a minute that cannot be read, for `duration`."""

    station: Identifier = "S1"
    at: Duration
    count: Annotated[int, Field(ge=1, le=10_000)]
    duration: Annotated[Duration, _between(_MINUTE, _DAY)] = _MINUTE


class Row(Strict):
    """What an expected row may say of both verdicts and alerts; only keys that are written are compared."""

    rule: Identifier
    station: SubjectName | None = None
    factor: str | None = None
    period: str | None = None
    limit_id: Identifier | None = None
    level: Level | None = None
    value: float | None = None
    limit: float | None = None
    valid_n: int | None = None
    expected_n: int | None = None


class VerdictRow(Row):
    window: str | None = None
    state: Literal[tuple(map(str, Verdict))] | None = None  # type: ignore[valid-type]
    reason: Literal[tuple(map(str, NoJudgement))] | None = None  # type: ignore[valid-type]
    revision: Annotated[int, Field(ge=1)] | None = None


class AlertRow(Row):
    opened: str | None = None
    fired: str | None = None
    resolved: str | None = None
    state: Literal[tuple(map(str, Alert))] | None = None  # type: ignore[valid-type]
    peak_level: Level | None = None
    told: tuple[Literal[tuple(map(str, Transition))], ...] | None = None  # type: ignore[valid-type]
    text_zh: str | None = None
    text_en: str | None = None


class Expect(Strict):
    verdicts: tuple[VerdictRow, ...] = ()
    exactly: bool = False  # the verdicts listed are all there are of the rules they name
    never: tuple[VerdictRow, ...] = ()
    alerts: tuple[AlertRow, ...] | None = None  # all alerts of the rules under test; absent: not compared


class RuleTest(Strict):
    name: Annotated[str, Field(min_length=1)]
    rules: tuple[Identifier, ...] = ()  # under test; none named: every rule of the file that selects a point here
    medium: Medium
    start: Annotated[str, AfterValidator(with_offset)]
    time_zone: str | None = None
    outlets: dict[Identifier, Identifier] = Field({})  # station -> outlet, for rules and limits that name outlets
    water_body: Literal["river", "lake"] = "river"
    target_class: Literal[0, 1, 2, 3, 4, 5] = 0
    points: Annotated[tuple[PointRow, ...], AfterValidator(_not_empty)]
    limits: tuple[LimitRow, ...] = ()
    pairs: tuple[PairRow, ...] = ()
    media: dict[Identifier, Medium] = Field({})  # station -> the medium of its outlet, where it is another one
    places: dict[Identifier, tuple[float, float]] = Field({})  # station -> latitude, longitude; the park is at 28, 107
    wind_station: Identifier | None = None
    facilities: tuple[FacilityRow, ...] = ()
    members: tuple[MemberRow, ...] = ()
    park_thresholds: tuple[ThresholdRow, ...] = ()
    series: tuple[SeriesRow, ...] = ()
    malformed: tuple[MalformedRow, ...] = ()
    industry: str | None = None  # of the enterprise that all outlets belong to: marks, deadlines and words follow it
    facts: tuple[FactRow, ...] = ()
    until: Annotated[Duration, _between(_SECOND, LENGTH_MAX)] | None = None
    expect: Expect

    @property
    def has_park(self) -> bool:
        """Whether its outlets stand in a park."""
        return bool(self.facilities or self.members or self.park_thresholds)

    @property
    def start_at(self) -> datetime:
        return datetime.fromisoformat(self.start).astimezone(UTC)


class RuleTestFile(Strict):
    version: Literal[1]
    tests: Annotated[tuple[RuleTest, ...], AfterValidator(_not_empty)]
