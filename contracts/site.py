"""A site and its registry, as validated. Read from files by `app.site_files`, which adds file and line to every error.

Frozen: a running system sees one site; a changed one is activated by a `$site` record.
"""

from datetime import date, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from .civil_time import zone
from .durations import format_duration, parse_duration
from .factors import Factor

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
RAW_MESSAGES_KEPT_MIN = timedelta(days=1826)  # 生态环境监测条例 (Order 820) Art. 26: at least five years
Period = Literal["instant", "minute", "five_minute", "hour", "day", "month", "year"]
Medium = Literal["flue_gas", "voc_stack", "waste_water", "surface_water", "ambient_air", "power", "energy"]


class Strict(BaseModel):
    """Unknown keys are errors; instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Name(Strict):
    zh: str
    en: str


class Broker(Strict):
    """The MQTT broker collectors and simulators talk to."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    username: str | None = None
    password_file: str | None = None  # a file, never a value: secrets stay out of the site's directory
    ca_file: str | None = None  # set: TLS, verified against this certificate authority
    protocol: Literal["5", "3.1.1"] = "5"  # 3.1.1 knows no Receive Maximum: the broker alone bounds what is in flight
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 1000  # unacknowledged messages in flight
    keep_alive_s: Annotated[int, Field(ge=5, le=3600)] = 30


class Influx(Strict):
    url: str
    database: str = "greenisland"
    token_file: str | None = None
    batch_lines: Annotated[int, Field(ge=1, le=50_000)] = 5_000


class Webhook(Strict):
    name: Identifier
    url: str
    secret_file: str | None = None  # HMAC-SHA256 key; the signature goes into X-GreenIsland-Signature
    levels: tuple[Literal["yellow", "orange", "red"], ...] = ("yellow", "orange", "red")
    language: Literal["zh", "en"] = "zh"


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
    webhooks: tuple[Webhook, ...] = ()
    library: tuple[str, ...] = ()  # rule files of rules/library to apply, without ".yaml"
    tick_s: Literal[1] = 1
    clock_every: Duration = timedelta(seconds=1)  # how often a collector publishes its clock
    hold_s: Hold = Hold()
    lateness: Duration = timedelta(hours=26)  # revisions younger than this come from memory, older from the archive
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
    kind: Literal["rtd", "avg", "min", "max", "cou", "zs_rtd", "zs_avg"] = "rtd"
    period_s: Literal[0, 60, 3600, 86400] = 0
    interval_s: Annotated[int, Field(ge=1, le=86400)] = 60
    range_min: float | None = None  # canonical unit; outside it a reading is invalid, not rejected
    range_max: float | None = None
    ref_o2_pct: float | None = None  # set: `zs_<factor>` is computed with the station's O2 (a19001)
    convert: Literal["mean_then_convert", "convert_then_mean"] = "mean_then_convert"


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
    basis: Literal["standard", "permit", "ultra_low", "agreement", "internal"]
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

    @property
    def time_zone(self) -> str:
        return self.file.time_zone


def covers(row: Dated, at: datetime) -> bool:
    """Whether a dated row holds at the instant's date (valid_to is the last day it holds)."""
    day = at.date()
    return (row.valid_from is None or row.valid_from <= day) and (row.valid_to is None or day <= row.valid_to)
