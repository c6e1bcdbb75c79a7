"""A made site and its messages: as many outlets, stations and factors as a case wants, the same every time.

Does not promise to look like a plant: one station in a hundred is above its limits, all others are below.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl

from contracts.factors import standard_factors
from contracts.frames import INSTANT, MESSAGES, check
from contracts.ports import RawMessage
from contracts.site import Limit, Name, Outlet, Point, Site, SiteFile, Station
from contracts.topics import JOURNAL_CLOCK, STATION_JSON
from rules.spec import LimitRule, Rule, Select
from rules.ticks import clock_payload

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
LIMIT = 50.0  # mg/m3
FACTORS = 14  # readings of a message
IN_ALARM_EVERY = 100
VARIANTS = 61  # of a station's values in `by_second`: a minute never gives what the one before gave

INSTANT_RULE: list[Rule] = [LimitRule(id="instant", kind="limit", period="instant", select=Select())]
MINUTE_RULE: list[Rule] = [LimitRule(id="minute", kind="limit", period="minute", select=Select())]
HOUR_RULE: list[Rule] = [LimitRule(id="hour", kind="limit", period="hour", select=Select())]


def limit(number: int, outlet: str, factor: str, period: str, **dates: object) -> Limit:
    return Limit(
        limit_id=f"L{number}",
        outlet=outlet,
        factor=factor,
        period=period,
        limit=LIMIT,
        unit="mg/m3",
        basis="permit",
        standard="permit",
        **dates,
    )


def factor_codes(count: int) -> list[str]:
    """Codes of gases in mg/m3."""
    codes = [code for code, about in standard_factors().items() if code.startswith("a") and about.unit == "mg/m3"]
    return sorted(codes)[:count]


def site_of(outlets: int, stations: int, factors: int = FACTORS, period: str = "hour") -> Site:
    """`stations` at every outlet, `factors` a minute from each; one limit an outlet and factor."""
    codes = factor_codes(factors)
    names = {"name_zh": "测", "name_en": "made"}
    placed = [(f"S{o:04d}-{s:03d}", f"O{o:04d}") for o in range(outlets) for s in range(stations)]
    assigned = [(f"O{o:04d}", code) for o in range(outlets) for code in codes]
    return Site(
        file=SiteFile(version=1, site="bench", name=Name(zh="测", en="bench"), time_zone="Asia/Shanghai"),
        factors=standard_factors(),
        outlets=tuple(Outlet(outlet=f"O{o:04d}", county="C", medium="flue_gas", **names) for o in range(outlets)),
        stations=tuple(Station(station=station, outlet=outlet, **names) for station, outlet in placed),
        points=tuple(
            Point(station=station, factor=code, unit="mg/m3", kind="avg", period_s=60)
            for station, _ in placed
            for code in codes
        ),
        limits=tuple(limit(n, outlet, code, period) for n, (outlet, code) in enumerate(assigned)),
    )


def sampled(site: Site, interval_s: int) -> Site:
    """The same, with readings as devices send them in place of means."""
    about = {"kind": "rtd", "period_s": 0, "interval_s": interval_s}
    return site.model_copy(update={"points": tuple(point.model_copy(update=about) for point in site.points)})


def by_second(site: Site, seconds: int) -> Iterator[list[tuple[datetime, RawMessage]]]:
    """What a journal holds of a `sampled` site, a list a second: a message a station, and the clock behind them.

    The last list is a clock row alone, by which the hour before it is decided.
    """
    codes = sorted({point.factor for point in site.points})
    topics = [STATION_JSON.format(station=station.station) for station in site.stations]
    heads = [f'{{"v":1,"station":"{station.station}","at":"' for station in site.stations]
    tails = [[_values(codes, number, variant) for number in range(len(topics))] for variant in range(VARIANTS)]
    clock_topic = JOURNAL_CLOCK.format(collector=site.file.collectors[0])
    apart_us = 900_000 // len(topics)

    def clock_row(at: datetime) -> tuple[datetime, RawMessage]:
        return at, RawMessage("mqtt", clock_topic, clock_payload(at))

    for second in range(seconds):
        at = START + second * SECOND
        payloads = (
            f"{head}{at:%Y-%m-%dT%H:%M:%S}Z{tail}" for head, tail in zip(heads, tails[second % VARIANTS], strict=True)
        )
        made = [
            (at + timedelta(microseconds=(n + 1) * apart_us), RawMessage("mqtt", topics[n], payload.encode()))
            for n, payload in enumerate(payloads)
        ]
        yield [*made, clock_row(at + SECOND)]
    yield [clock_row(START + (seconds + site.file.hold_s.hour) * SECOND)]


def _values(codes: list[str], number: int, variant: int) -> str:
    """A payload behind its instant."""
    base = 600 if number % IN_ALARM_EVERY == IN_ALARM_EVERY - 1 else 100
    tenths = ((base + (7 * number + 37 * variant + 11 * n) % 300) / 10 for n in range(len(codes)))
    return '","readings":{' + ",".join(f'"{code}":{value}' for code, value in zip(codes, tenths, strict=True)) + "}}"


def messages_of(site: Site, minutes: int) -> pl.DataFrame:
    """MESSAGES: one a station and minute, received within two seconds of its end, and a clock row after them."""
    codes = sorted({point.factor for point in site.points})
    stations = [station.station for station in site.stations]
    received_at: list[datetime] = []
    topics: list[str] = []
    payloads: list[bytes] = []
    clock_topic = JOURNAL_CLOCK.format(collector=site.file.collectors[0])
    for minute in range(minutes):
        at = START + minute * MINUTE
        for number, station in enumerate(stations):
            base = 600 if number % IN_ALARM_EVERY == 99 else 100
            values = ",".join(
                f'"{code}":{(base + (number + 7 * minute + n) % 300) / 10}' for n, code in enumerate(codes)
            )
            head = f'{{"v":1,"station":"{station}","at":"{at:%Y-%m-%dT%H:%M:%S}Z","period_s":60,"kind":"avg"'
            received_at.append(at + MINUTE + timedelta(microseconds=2_000_000 * number // len(stations)))
            topics.append(STATION_JSON.format(station=station))
            payloads.append(f'{head},"readings":{{{values}}}}}'.encode())
        clock_at = at + MINUTE + timedelta(seconds=3)
        received_at.append(clock_at)
        topics.append(clock_topic)
        payloads.append(b"%d" % round(clock_at.timestamp() * 1_000_000))
    frame = pl.DataFrame(
        {
            "received_at": pl.Series(received_at, dtype=INSTANT),
            "source": ["mqtt"] * len(topics),
            "topic": topics,
            "payload": pl.Series(payloads, dtype=pl.Binary),
        }
    )
    return check(frame, MESSAGES)
