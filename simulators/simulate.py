"""A site's stations, alive: every message with the instant it arrives.

Promises: `messages(a, c)` is `messages(a, b)` and `messages(b, c)`, so a live run and a file agree, and a longer feed
begins with a shorter one's bytes. Does not promise anything about the wall clock: the span is an argument.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import polars as pl

from contracts.civil_time import zone
from contracts.frames import INSTANT, MESSAGES, TRUTH, check
from contracts.points import O2
from contracts.site import Point, Site
from contracts.topics import JOURNAL_CLOCK, STATION_HJ212, STATION_JSON

from .instruments import Channel, Instruments
from .noise import DAY_S, stream
from .scenario import Incident, Scenario, Timetable, load_scenario
from .wire import Report, Sample, broken_hj212, broken_json, hj212_message, json_message

SECOND_US = 1_000_000
DELAY_US = (2 * SECOND_US, 8 * SECOND_US)  # from the end of a period to its receipt
LATE_US = (20 * SECOND_US, 80 * SECOND_US)
CLOCK_EVERY = timedelta(seconds=10)
DUPLICATE_US = (SECOND_US, 3 * SECOND_US)
RESEND_RATIO = 100  # a buffer is sent a hundred times as fast as it filled
OLD_MN_CHARACTERS = 14  # an equipment number of the 2005 edition: an old logger, which signs with the Modbus CRC
SOURCE = "sim"
MINUTES = ("avg", 60, 60)  # kind, period_s and interval_s of points that send a mean a minute
HOUR_S = 3600
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Message(NamedTuple):
    received_at: datetime
    topic: str
    payload: bytes


class _Arrival(NamedTuple):
    received_us: int
    event_s: int


class _Group(NamedTuple):
    """Points that go into one message: their kind, period and interval."""

    kind: str
    period_s: int
    interval_s: int
    shows: tuple[str, int, int]  # the points whose values it carries: itself, or the period data it runs ahead of
    is_of_hours: bool = False  # the device's own hours of its minutes


class LiveSimulator:
    """The stations of a site under a scenario. `messages` may be asked for any span; asking in order is cheap."""

    def __init__(self, site: Site, seed: int, scenario: Scenario | str = "default"):
        self.scenario = load_scenario(scenario) if isinstance(scenario, str) else scenario
        self._timetable = Timetable(site, seed, self.scenario)
        self._stations = [
            _Station(site, seed, station.station, station.mn, self._timetable, self.scenario)
            for station in sorted(site.stations, key=lambda one: one.station)
        ]

    def messages(self, from_at: datetime, to_at: datetime) -> list[Message]:
        """Messages received in [from_at, to_at), in the order of their receipt, topic and payload."""
        from_us, to_us = _us(from_at), _us(to_at)
        found = [
            (received_us, station.topic, payload)
            for station in self._stations
            for received_us, payload in station.received(from_us, to_us)
        ]
        found.sort()
        return [Message(_at(received_us), topic, payload) for received_us, topic, payload in found]

    def truth(self, from_at: datetime, to_at: datetime) -> pl.DataFrame:
        """TRUTH: incidents that overlap [from_at, to_at), whole; also the stacks that show a treatment's failure."""
        rows = []
        for one in self._timetable.between(-(-_us(from_at) // SECOND_US), -(-_us(to_at) // SECOND_US)):
            for station, factor in ((one.station, one.factor), *one.stacks):
                span = (_at(one.from_s * SECOND_US), _at(one.to_s * SECOND_US))
                rows.append((station, factor, one.kind, *span))
        return check(
            pl.DataFrame(rows, schema=TRUTH, orient="row").sort("from_at", "station", "incident", "factor"), TRUTH
        )


def simulate(
    site: Site,
    seed: int,
    from_at: datetime,
    for_: timedelta,
    scenario: Scenario | str = "default",
    *,
    clock_every: timedelta | None = CLOCK_EVERY,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(MESSAGES, TRUTH) of [from_at, from_at + for_), sorted.

    clock_every: a clock row of every collector at each whole multiple of it; None leaves them to whoever replays.
    """
    live, to_at = LiveSimulator(site, seed, scenario), from_at + for_
    frames = [pl.DataFrame(schema=MESSAGES)]
    for part_at, end_at in spans(from_at, to_at):
        rows = live.messages(part_at, end_at)
        if clock_every is not None:
            rows += clock_rows(site, part_at, end_at, clock_every)
        frames.append(feed_frame(rows))
    return pl.concat(frames, rechunk=True), live.truth(from_at, to_at)


def spans(
    from_at: datetime, to_at: datetime, longest: timedelta = timedelta(hours=6)
) -> list[tuple[datetime, datetime]]:
    """[from_at, to_at) cut into parts a day's simulation is not held in memory for."""
    starts = [from_at + number * longest for number in range(-(-(to_at - from_at) // longest))]
    return [(start, min(start + longest, to_at)) for start in starts]


def feed_frame(rows: list[Message]) -> pl.DataFrame:
    """MESSAGES, sorted."""
    frame = pl.DataFrame(
        {
            "received_at": pl.Series([row.received_at for row in rows], dtype=INSTANT),
            "source": pl.Series([SOURCE] * len(rows), dtype=pl.String),
            "topic": pl.Series([row.topic for row in rows], dtype=pl.String),
            "payload": pl.Series([row.payload for row in rows], dtype=pl.Binary),
        }
    )
    return check(frame.sort("received_at", "source", "topic", "payload"), MESSAGES)


def clock_rows(site: Site, from_at: datetime, to_at: datetime, every: timedelta = CLOCK_EVERY) -> list[Message]:
    """What each collector's own clock would have put into its journal."""
    step_us = every // timedelta(microseconds=1)
    if step_us % SECOND_US or step_us <= 0:
        raise ValueError("clock_every must be whole seconds")
    ticks = range(-(-_us(from_at) // step_us) * step_us, _us(to_at), step_us)
    topics = [JOURNAL_CLOCK.format(collector=collector) for collector in site.file.collectors]
    return [Message(_at(tick_us), topic, b"%d" % tick_us) for tick_us in ticks for topic in topics]


class _Station:
    """One logger: groups of points that share kind, period and interval, each a message a slot."""

    def __init__(self, site: Site, seed: int, station: str, mn: str | None, timetable: Timetable, scenario: Scenario):
        self._seed, self._station, self._mn, self._timetable = seed, station, mn, timetable
        self._modbus = mn is not None and len(mn) == OLD_MN_CHARACTERS
        self._network, self._zone = scenario.network, zone(site.time_zone)
        self.topic = (STATION_HJ212 if mn else STATION_JSON).format(station=station)
        self._instruments = Instruments(site, seed, station, timetable)
        points = self._instruments.plant.points
        kinds = sorted({_kind(point) for point in points})
        self._groups = [_Group(*kind, shows=kind) for kind in kinds]
        if mn is not None:  # an HJ 212 logger sends realtime data (CN=2011) beside its period data
            periods = [kind for kind in kinds if kind[1] and ("rtd", 0, kind[2]) not in kinds]
            self._groups += [_Group("rtd", 0, kind[2], shows=kind) for kind in periods]
        own_hours = [point for point in points if point.device_period_s == HOUR_S and _kind(point) == MINUTES]
        if own_hours:
            self._groups.append(_Group("avg", HOUR_S, HOUR_S, shows=MINUTES, is_of_hours=True))
        if mn is None and any(point.ref_o2_pct is not None for point in own_hours):  # HJ 212 has them in the same frame
            self._groups.append(_Group("zs_avg", HOUR_S, HOUR_S, shows=MINUTES, is_of_hours=True))
        longest = max((lane.lasts for lane in scenario.incidents if lane.incident == "dropout"), default=timedelta(0))
        self._memory_us = _delta_us(longest) * (RESEND_RATIO + 1) // RESEND_RATIO + 120 * SECOND_US
        self._arrivals: dict[tuple[int, int], list[_Arrival]] = {}

    def received(self, from_us: int, to_us: int) -> Iterator[tuple[int, bytes]]:
        if not self._groups:
            return
        incidents = [
            one
            for one in self._timetable.between((from_us - self._memory_us) // SECOND_US, to_us // SECOND_US + 1)
            if one.station == self._station
        ]
        silences = [one for one in incidents if one.kind == "dropout"]
        longest_s = max(group.period_s for group in self._groups)
        first_day = (from_us - self._memory_us - longest_s * SECOND_US) // (DAY_S * SECOND_US)
        for day in range(first_day, to_us // (DAY_S * SECOND_US) + 1):
            for number in range(len(self._groups)):
                for planned_us, event_s in self._planned(number, day):
                    if not from_us - self._memory_us <= planned_us < to_us:
                        continue
                    received_us = _behind(planned_us, silences)
                    if from_us <= received_us < to_us:
                        yield received_us, self._payload(self._groups[number], event_s)
        for one in incidents:
            if one.kind == "malformed":
                yield from self._malformed(one, from_us, to_us)

    def _planned(self, number: int, day: int) -> list[_Arrival]:
        """When the day's messages of a group would arrive if the line were always there."""
        if (number, day) not in self._arrivals:
            while len(self._arrivals) >= 3 * len(self._groups):
                self._arrivals.pop(next(iter(self._arrivals)))
            kind, period_s, interval_s = self._groups[number][:3]
            draw = stream(self._seed, self._station, "network", kind, period_s, interval_s, day).random
            planned = []
            for event_s in range(-(-day * DAY_S // interval_s) * interval_s, (day + 1) * DAY_S, interval_s):
                received_us = (event_s + period_s) * SECOND_US + _between(DELAY_US, draw())
                if draw() < self._network.late_share:
                    received_us += _between(LATE_US, draw())
                planned.append(_Arrival(received_us, event_s))
                if draw() < self._network.duplicate_share:
                    planned.append(_Arrival(received_us + _between(DUPLICATE_US, draw()), event_s))
            self._arrivals[number, day] = planned
        return self._arrivals[number, day]

    def _payload(self, group: _Group, event_s: int) -> bytes:
        shown_s = event_s - (group.shows[1] - group.period_s)  # realtime data show the period that has just ended
        channels = self._instruments.day(shown_s // DAY_S)
        if group.is_of_hours:
            samples = self._hours(channels, event_s, group.kind)
        else:
            samples = [
                self._sample(channel, (shown_s - channel.first_s) // group.interval_s, channels)
                for channel in channels.values()
                if _kind(channel.point) == group.shows
            ]
        at = datetime.fromtimestamp(event_s, self._zone)
        report = Report(self._station, at, group.kind, group.period_s, samples)
        if self._mn is None:
            return json_message(report)
        return self._frame(report, datetime.fromtimestamp(event_s + group.period_s + 1, self._zone))

    def _frame(self, report: Report, sent_at: datetime) -> bytes:
        medium = self._instruments.plant.medium
        return hj212_message(report, mn=self._mn or "", medium=medium, sent_at=sent_at, modbus=self._modbus)

    def _sample(self, channel: Channel, slot: int, channels: dict[str, Channel]) -> Sample:
        value, ref_o2 = channel.values[slot], channel.point.ref_o2_pct
        if self._mn is None:
            return Sample(channel.point.factor, value, channel.decimals, channel.marks.get(slot))
        converted = None
        oxygen = channels.get(O2)
        if ref_o2 is not None and oxygen is not None and oxygen.point.interval_s == channel.point.interval_s:
            converted = value * (21.0 - ref_o2) / (21.0 - oxygen.values[slot])
        before = channel.values[slot - 1] if slot else value
        spread = abs(value - before) / 2  # nothing when the instrument stands still
        return Sample(channel.point.factor, value, channel.decimals, channel.marks.get(slot), spread, converted)

    def _hours(self, channels: dict[str, Channel], from_s: int, kind: str) -> list[Sample]:
        """The device's own means of the hour: of its minutes without a mark, converted by the hour's oxygen."""
        samples = []
        oxygen = _hour_mean(channels.get(O2), from_s)
        for channel in channels.values():
            value, ref_o2 = _hour_mean(channel, from_s), channel.point.ref_o2_pct
            if channel.point.device_period_s != HOUR_S or value is None:
                continue
            converted = None
            if ref_o2 is not None and oxygen is not None:
                converted = value * (21.0 - ref_o2) / (21.0 - oxygen)
            said = converted if kind == "zs_avg" else value
            if said is not None:
                converted = converted if self._mn is not None else None
                samples.append(Sample(channel.point.factor, said, channel.decimals, converted=converted))
        return samples

    def _malformed(self, one: Incident, from_us: int, to_us: int) -> Iterator[tuple[int, bytes]]:
        count = max(1, round(one.size))
        gap_us = (one.to_s - one.from_s) * SECOND_US // count
        wander = stream(self._seed, self._station, "malformed", one.from_s)
        shift = wander.randrange(len("123456789"))
        for number in range(count):
            received_us = one.from_s * SECOND_US + number * gap_us + wander.randrange(gap_us // 2)
            if from_us <= received_us < to_us:
                yield received_us, self._broken(received_us // SECOND_US, number + shift)

    def _broken(self, at_s: int, number: int) -> bytes:
        minute_s = at_s // 60 * 60 - 60
        at = datetime.fromtimestamp(minute_s, self._zone)
        factor = self._instruments.plant.points[0].factor
        if self._mn is None:
            return broken_json(self._station, factor, at, number)
        good = Report(self._station, at, "avg", 60, [Sample(factor, 1.5, 1)])
        return broken_hj212(self._frame(good, datetime.fromtimestamp(at_s, self._zone)), number)


def _kind(point: Point) -> tuple[str, int, int]:
    return (point.kind, point.period_s, point.interval_s)


def _hour_mean(channel: Channel | None, from_s: int) -> float | None:
    if channel is None or _kind(channel.point) != MINUTES:
        return None
    valid = [channel.values[slot] for slot in channel.slots(from_s, from_s + HOUR_S) if slot not in channel.marks]
    return round(sum(valid) / len(valid), channel.decimals) if valid else None


def _behind(planned_us: int, silences: list[Incident]) -> int:
    """What would arrive while the line is down arrives after it, in its order, from the buffer."""
    for one in silences:
        if one.from_s * SECOND_US <= planned_us < one.to_s * SECOND_US:
            return (one.to_s + 1) * SECOND_US + (planned_us - one.from_s * SECOND_US) // RESEND_RATIO
    return planned_us


def _between(bounds_us: tuple[int, int], share: float) -> int:
    return bounds_us[0] + int(share * (bounds_us[1] - bounds_us[0]))


def _delta_us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _us(at: datetime) -> int:
    return _delta_us(at - _EPOCH)


def _at(instant_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=instant_us)
