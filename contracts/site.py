"""A site and its registry, as validated. Read from files by `app.site.files`, which adds file and line to every error.

Frozen: a running system sees one site; a changed one is activated by a `$site` record.
"""

from datetime import date, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator

from .broker import Broker
from .channels import AnyChannel
from .civil_time import zone
from .durations import format_duration, parse_duration
from .factors import Factor
from .metrics import Metrics
from .portal import Portal
from .routing import Routing
from .strict import Identifier, Strict

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
RAW_MESSAGES_KEPT_MIN = timedelta(days=1826)  # 生态环境监测条例 (Order 820) Art. 26: at least five years
Period = Literal["instant", "minute", "five_minute", "hour", "day", "month", "year"]
Medium = Literal["flue_gas", "voc_stack", "waste_water", "surface_water", "ambient_air", "power", "energy"]


LimitBasis = Literal["standard", "permit", "ultra_low", "agreement", "internal"]


class Name(Strict):
    zh: str
    en: str


class Influx(Strict):
    url: str
    database: str = "greenisland"  # begins the names of its buckets: greenisland_raw, greenisland_minute, ...
    token_file: str | None = None
    batch_lines: Annotated[int, Field(ge=1, le=50_000)] = 5_000
    raw_kept: Duration = timedelta(days=90)  # boards' copy of the samples; hours, days and events are kept for good
    minute_kept: Duration = timedelta(days=400)


class Hold(Strict):
    """How long a decision waits after its window's end, in seconds."""

    instant: int = 2
    minute: int = 30
    five_minute: int = 30
    hour: int = 300
    day: int = 1800
    month: int = 1800
    year: int = 1800


class ValidityOverride(Strict):
    """A site's own completeness rule for one medium and window; replaces the library's row."""

    medium: Medium
    period: Literal["minute", "five_minute", "hour", "day", "month", "year"]
    need: Annotated[int, Field(ge=1)]  # so many valid parts ...
    of: Annotated[int, Field(ge=1)]  # ... of so many; scaled to what the window expects
    clause: str


class SiteFile(Strict):
    """`site.yaml`."""

    version: Literal[1]
    site: Identifier
    name: Name
    time_zone: str
    broker: Broker = Broker()
    collectors: tuple[Identifier, ...] = ("main",)
    influxdb: Influx | None = None
    portal: Portal | None = None  # none: `run` starts no portal
    metrics: Metrics | None = None  # none: a process tells no figures, unless `run --metrics` says where
    channels: tuple[AnyChannel, ...] = ()  # by what people are told
    library: tuple[str, ...] = ()  # rule files of rules/library to apply, without ".yaml"
    tick_s: Literal[1] = 1
    clock_every: Duration = timedelta(seconds=1)  # how often a collector publishes its clock
    hold_s: Hold = Hold()
    lateness: Duration = timedelta(hours=26)  # older windows are put away, and brought back for what comes later
    max_future_s: Annotated[int, Field(ge=0)] = 300  # an event further ahead of its receipt is a reject
    max_age: Duration = timedelta(days=400)  # an event older than this at its receipt is a reject
    max_payload_bytes: Annotated[int, Field(ge=64)] = 1_048_576
    raw_messages_kept: Duration = RAW_MESSAGES_KEPT_MIN  # as they came in; then only their chain's end
    validity: tuple[ValidityOverride, ...] = ()

    @field_validator("collectors")
    @classmethod
    def _not_a_codec(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        wrong = sorted({"json", "hj212"} & set(names))  # gi/clock/json would be a station's topic
        if wrong or not names:
            raise ValueError("name at least one collector, and none of them json or hj212")
        return names

    @field_validator("raw_messages_kept")
    @classmethod
    def _five_years(cls, kept: timedelta) -> timedelta:
        if kept < RAW_MESSAGES_KEPT_MIN:
            raise ValueError(
                f"{format_duration(kept)} is too short: 生态环境监测条例 Art. 26 (State Council Order 820) has raw"
                f" records kept at least five years; write {format_duration(RAW_MESSAGES_KEPT_MIN)} or more"
            )
        return kept

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            zone(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is not a time zone; write one like Asia/Shanghai or Etc/GMT+5") from error
        return name


class Dated(Strict):
    valid_from: date | None = None
    valid_to: date | None = None


class County(Strict):
    county: Identifier
    name_zh: str
    name_en: str


class Park(Strict):
    park: Identifier
    county: Identifier
    name_zh: str
    name_en: str
    latitude: float | None = None
    longitude: float | None = None
    wind_station: Identifier | None = None  # measures a01007 and a01008 for the park's fence line


class Enterprise(Strict):
    enterprise: Identifier
    county: Identifier
    park: Identifier | None = None
    name_zh: str
    name_en: str
    industry: str
    credit_no: str | None = None  # unified social credit code
    permit_no: str | None = None


class Outlet(Strict):
    """An outlet, river section or meter cabinet: what a limit applies to."""

    outlet: Identifier
    enterprise: Identifier | None = None  # a river section has none
    county: Identifier
    park: Identifier | None = None
    medium: Medium
    name_zh: str
    name_en: str
    outlet_no: str | None = None  # permit's number, for example DA001
    water_body: Literal["river", "lake"] = "river"  # of surface water: total phosphorus is rated in two ways
    target_class: Literal[0, 1, 2, 3, 4, 5] = 0  # of surface water: GB 3838-2002; 0: none is set


class Station(Dated):
    """What speaks for itself: one logger or gateway, one identity on the broker."""

    station: Identifier
    outlet: Identifier
    name_zh: str
    name_en: str
    mn: str | None = None  # HJ 212 equipment number, where it differs from the station's id
    latitude: float | None = None
    longitude: float | None = None

    @field_validator("station")
    @classmethod
    def _not_the_clock(cls, name: str) -> str:
        if name == "clock":  # gi/clock/... is the collectors' branch on the broker
            raise ValueError("'clock' names the collectors' clocks on the broker; give the station another name")
        return name


class Point(Dated):
    """A factor of a station: what feeds its windows."""

    station: Identifier
    factor: str
    unit: str  # the unit the device sends, assumed where the protocol sends none
    kind: Literal["rtd", "avg", "min", "max", "cou", "zs_rtd", "zs_avg", "no_no2"] = "rtd"  # no_no2: NOx of its parts
    period_s: Literal[0, 60, 3600, 86400] = 0
    interval_s: Annotated[int, Field(ge=1, le=86400)] = 60
    range_min: float | None = None  # canonical unit; outside it a reading is invalid, not rejected
    range_max: float | None = None
    ref_o2_pct: float | None = None  # set: `zs_<factor>` is computed with the station's O2 (a19001)
    convert: Literal["mean_then_convert", "convert_then_mean"] = "mean_then_convert"
    basis: Literal["dry", "wet"] = "dry"  # as measured; wet: made dry with the station's moisture (a01014)
    state: Literal["standard", "actual"] = (
        "standard"  # as measured; actual: brought to 0 degC and 101.325 kPa, with ...
    )
    air_pressure_kpa: float | None = None  # ... the place's air pressure and the station's a01012 and a01013
    device_period_s: Literal[0, 3600, 86400] = 0  # not 0: the device's own means of it are the point dev_<factor>
    judged_source: Literal["recomputed", "device"] = "recomputed"  # whose windows limits are bound to


class Limit(Dated):
    """An explicit assignment of a limit to an outlet's factor. Only standard and permit rows may say 超标."""

    limit_id: Identifier
    outlet: Identifier
    library: str | None = None  # the row of the limit library it was taken from
    industry: str | None = None  # that row's: whom its standard is for; none: the enterprise's own
    factor: str
    period: Period
    comparator: Literal["<=", "<", ">=", ">"] = "<="  # what the value must be to be within
    limit: Annotated[float, Field(allow_inf_nan=False)]
    unit: str
    ref_o2_pct: float | None = None  # of a limit on zs_<factor>: the reference O2 it is stated for
    decimals: Annotated[int, Field(ge=0, le=9)] | None = None  # rounding place of the compared value
    comparison: Literal["full_value", "rounded"] = "full_value"  # GB/T 8170
    when_factor: str | None = None  # the limit holds for windows in which this factor of the same station ...
    when_comparator: Literal["<=", "<", ">=", ">"] | None = None  # ... has a mean that is so ...
    when_value: float | None = None  # ... against this, in the factor's canonical unit
    basis: LimitBasis
    standard: str
    clause: str = ""
    source: str = ""
    status: Literal["verified", "verified_weak", "unverified"] = "unverified"


class Pair(Strict):
    """A treatment unit and the production it serves, by their power points."""

    pair: Identifier
    production_station: Identifier
    production_factor: str
    production_on_kw: float
    treatment_station: Identifier
    treatment_factor: str
    treatment_on_kw: float
    name_zh: str
    name_en: str
    rated_kw: Annotated[float, Field(gt=0)] | None = None  # of the treatment; without it low load is not judged
    treatment_share_min: Annotated[float, Field(gt=0, le=1)] | None = None  # of rated_kw; none: indicator GI02's
    start_before_s: Annotated[int, Field(ge=60, le=3600)] | None = None  # treatment runs so long before production
    stop_after_s: Annotated[int, Field(ge=60, le=3600)] | None = None  # ... and so long after it


PARK_SUBJECT, FACILITY_SUBJECT = "park:", "facility:"  # begin the name a verdict on a park or facility stands under
Basis = Literal["law", "practice", "project_default", "park_plan"]  # what a number rests on that is no limit
FacilityKind = Literal["coating", "voc_treatment", "carbon_regeneration", "waste_water", "solid_waste", "other"]
Names = Annotated[tuple[Identifier, ...], BeforeValidator(lambda text: text.split() if isinstance(text, str) else text)]


class Facility(Strict):
    """Treatment that enterprises share ("green island"), or one's own: what goes in and out, what it may take."""

    facility: Identifier
    park: Identifier | None = None  # none: the enterprise's
    enterprise: Identifier | None = None  # whose it is, where one alone uses it; none: shared
    name_zh: str
    name_en: str
    kind: FacilityKind
    inlet_stations: Names = ()  # in a cell: separated by spaces
    outlet_stations: Names = ()
    fugitive_stations: Names = ()  # measure with their flow what escapes collection
    power_station: Identifier | None = None
    power_factor: str | None = None
    capacity: Annotated[float, Field(gt=0)] | None = None
    capacity_unit: str | None = None  # of flow (m3/h, m3/d) or of mass (kg/h)
    capacity_factor: str | None = None  # whose mass
    removal_min_pct: Annotated[float, Field(gt=0, lt=100)] | None = None  # none: indicator GI03's
    removal_from_kg_h: Annotated[float, Field(gt=0)] | None = None  # removal is judged from here on; none: GI03's
    removal_exempt: str | None = None  # why removal is not judged, for example low-VOC materials
    collection_pct: Annotated[float, Field(ge=0, le=100)] | None = None  # assigned, where it is not measured
    collection_source: str | None = None


class Member(Dated):
    """What an enterprise may send to a shared facility by its contract."""

    member: Identifier
    facility: Identifier
    enterprise: Identifier
    station: Identifier | None = None  # measures what it sends; none: it is not metered
    factor: str | None = None
    period: Literal["hour", "day"] = "hour"
    limit: Annotated[float, Field(gt=0)] | None = None  # contract: at most this concentration of the factor
    limit_unit: str | None = None
    load: Annotated[float, Field(gt=0)] | None = None  # contract: at most this flow, or this mass of the factor
    load_unit: str | None = None
    contract: str = ""


class ParkThreshold(Dated):
    """A number a park as a whole is held against."""

    threshold: Identifier
    park: Identifier
    measure: Literal["total", "fence_line"] = "total"  # mass of all its outlets; or downwind minus upwind
    factor: str
    period: Literal["hour", "day"] = "hour"
    limit: Annotated[float, Field(gt=0)]
    unit: str
    basis: Basis
    source: str


class Site(Strict):
    """A whole site, cross-checked: every identifier used is defined, every unit fits its factor."""

    file: SiteFile
    factors: dict[str, Factor]
    counties: tuple[County, ...] = ()
    parks: tuple[Park, ...] = ()
    enterprises: tuple[Enterprise, ...] = ()
    outlets: tuple[Outlet, ...]
    stations: tuple[Station, ...]
    points: tuple[Point, ...]
    limits: tuple[Limit, ...] = ()
    pairs: tuple[Pair, ...] = ()
    facilities: tuple[Facility, ...] = ()
    members: tuple[Member, ...] = ()
    park_thresholds: tuple[ParkThreshold, ...] = ()
    routing: Routing | None = None  # routes.yaml; none: every channel is told of everything

    @property
    def time_zone(self) -> str:
        return self.file.time_zone

    def park_and_county(self, facility: Facility) -> tuple[str | None, str | None]:
        """Where a facility is: its own park, or that of its enterprise, which may have none."""
        owner = next((one for one in self.enterprises if one.enterprise == facility.enterprise), None)
        name = facility.park or (owner.park if owner else None)
        park = next((one for one in self.parks if one.park == name), None)
        return name, park.county if park else owner.county if owner else None


def covers(row: Dated, at: datetime) -> bool:
    """Whether a dated row holds at the instant's date (valid_to is the last day it holds)."""
    day = at.date()
    return (row.valid_from is None or row.valid_from <= day) and (row.valid_to is None or day <= row.valid_to)


def covers_each_other(one: Dated, other: Dated) -> bool:
    """Whether there is a day on which both rows hold."""

    def begins_by_the_end(row: Dated, of: Dated) -> bool:
        return row.valid_from is None or of.valid_to is None or row.valid_from <= of.valid_to

    return begins_by_the_end(one, other) and begins_by_the_end(other, one)
