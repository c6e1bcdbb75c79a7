"""What the instruments of a station make of its process: drift, calibration and maintenance marks, incidents.

Promises: values as the device would show them, with their marks, a UTC day at a time; the same whoever asks, whenever.
Does not promise that a marked value looks wrong, or an unmarked one right: that is the point of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from contracts.site import Point, Site

from .noise import DAY_S, stream
from .plants import Plant, decimals_of
from .scenario import Incident, Timetable

ZERO_GAS_MIN, CALIBRATION_MIN, MAINTENANCE_MIN = 4, 10, 12
DRIFT_PER_DAY = 0.03  # of the level, from one calibration to the next
RAMP_S = 180
STACK_GAIN = 5.0  # at the stack, when its treatment stands still
CALIBRATED = ("a21026", "a21002", "a24088")
MAINTAINED_MEDIA = ("flue_gas", "voc_stack", "waste_water")


@dataclass
class Channel:
    """A day of one point: from slot to slot, what is shown and which mark it carries."""

    point: Point
    first_s: int  # seconds since 1970 of the first slot
    decimals: int
    values: list[float]
    marks: dict[int, str] = field(default_factory=dict)  # slot -> mark; normal ones are absent

    def slots(self, from_s: float, to_s: float) -> range:
        """Slots whose event falls into [from_s, to_s)."""
        step = self.point.interval_s
        return range(
            max(0, -(-(int(from_s) - self.first_s) // step)),
            min(len(self.values), -(-(int(to_s) - self.first_s) // step)),
        )


class Instruments:
    """All points of one station."""

    def __init__(self, site: Site, seed: int, station: str, timetable: Timetable):
        self._seed, self._station, self._timetable = seed, station, timetable
        self.plant = Plant(site, seed, station)
        self._pairs = [pair for pair in site.pairs if pair.treatment_station == station]
        self._days: dict[int, dict[str, Channel]] = {}

    def day(self, day: int) -> dict[str, Channel]:
        """Every factor's channel; the last few days are kept, so a live run pays for a day once."""
        if day not in self._days:
            while len(self._days) >= 3:
                self._days.pop(next(iter(self._days)))
            self._days[day] = self._make(day)
        return self._days[day]

    def _make(self, day: int) -> dict[str, Channel]:
        channels = {}
        for point in self.plant.points:
            first_s = -(-day * DAY_S // point.interval_s) * point.interval_s
            level = self.plant.levels[point.factor].level
            channels[point.factor] = Channel(point, first_s, decimals_of(point, level), self._drifting(point, day))
        incidents = [
            one
            for one in self._timetable.between(day * DAY_S, (day + 1) * DAY_S)
            if self._station in (one.station, *(station for station, _ in one.stacks))
        ]
        self._fail(channels, [one for one in incidents if one.kind != "stuck"])
        self._service(channels, day)
        self._fail(channels, [one for one in incidents if one.kind == "stuck"])  # it does not answer to gas either
        for channel in channels.values():
            channel.values = [max(0.0, round(value, channel.decimals)) for value in channel.values]
        return channels

    def _drifting(self, point: Point, day: int) -> list[float]:
        """The process plus the instrument's zero, creeping up until the day's calibration takes it back."""
        values = self.plant.series(point, day)
        if point.factor not in CALIBRATED or self.plant.medium not in MAINTAINED_MEDIA:
            return values
        creep = self.plant.levels[point.factor].level * DRIFT_PER_DAY / DAY_S
        since_s, calibrated_s = self._calibration_s(day - 1), self._calibration_s(day)
        shown = []
        for slot, value in enumerate(values):
            at_s = day * DAY_S + slot * point.interval_s
            shown.append(value + creep * (at_s - (calibrated_s if at_s >= calibrated_s else since_s)))
        return shown

    def _calibration_s(self, day: int) -> int:
        minute = stream(self._seed, self._station, "calibration", day).randrange(0, 1440 - CALIBRATION_MIN)
        return day * DAY_S + minute * 60

    def _service(self, channels: dict[str, Channel], day: int) -> None:
        """Daily zero and span gas (mark C), and about once a week a visit (mark M)."""
        if self.plant.medium not in MAINTAINED_MEDIA:
            return
        from_s = self._calibration_s(day)
        for factor in CALIBRATED:
            channel = channels.get(factor)
            if channel is None or channel.point.interval_s > 60:
                continue
            level = self.plant.levels[factor].level
            for slot in channel.slots(from_s, from_s + CALIBRATION_MIN * 60):
                zero = channel.first_s + slot * channel.point.interval_s < from_s + ZERO_GAS_MIN * 60
                wander = channel.values[slot] / level  # keeps some of the noise
                channel.values[slot] = level * (0.01 * wander if zero else 3.0 + 0.02 * wander)
                channel.marks[slot] = "C"
        visits = stream(self._seed, self._station, "maintenance", day)
        if visits.random() < 1 / 7:
            # half a day from the calibration: never both in one hour, so the hour keeps enough valid minutes
            visit_s = day * DAY_S + (from_s - day * DAY_S + DAY_S // 2) % (DAY_S - MAINTENANCE_MIN * 60)
            for channel in channels.values():
                for slot in channel.slots(visit_s, visit_s + MAINTENANCE_MIN * 60):
                    channel.marks.setdefault(slot, "M")

    def _fail(self, channels: dict[str, Channel], incidents: Iterable[Incident]) -> None:
        for one in incidents:
            channel = channels.get(one.factor) if one.factor and one.station == self._station else None
            level = self.plant.levels[channel.point.factor].level if channel is not None else 0.0
            if one.kind == "exceedance" and channel is not None:
                _multiply(channel, one, one.size * self.plant.limits[channel.point.factor] / level)
            elif one.kind == "stuck" and channel is not None:
                frozen = self._shown_at(channel, one.from_s)
                for slot in channel.slots(one.from_s, one.to_s):
                    channel.values[slot] = frozen
            elif one.kind == "treatment_off":
                if channel is not None:
                    idle_kw = min(pair.treatment_on_kw for pair in self._pairs) * 0.02
                    _multiply(channel, one, idle_kw / level, ramp_s=0)
                for station, factor in one.stacks:
                    if station == self._station:
                        _multiply(channels[factor], one, STACK_GAIN)

    def _shown_at(self, channel: Channel, at_s: int) -> float:
        """What the instrument showed when it froze, perhaps the day before."""
        day = at_s // DAY_S
        values = self._drifting(channel.point, day)
        slot = (
            at_s - -(-day * DAY_S // channel.point.interval_s) * channel.point.interval_s
        ) // channel.point.interval_s
        return round(values[max(0, min(slot, len(values) - 1))], channel.decimals)


def _multiply(channel: Channel, one: Incident, gain: float, ramp_s: int = RAMP_S) -> None:
    step = channel.point.interval_s
    for slot in channel.slots(one.from_s, one.to_s):
        at_s = channel.first_s + slot * step
        near_s = min(at_s - one.from_s, one.to_s - at_s)
        share = 1.0 if ramp_s == 0 else min(1.0, near_s / ramp_s)
        channel.values[slot] *= 1.0 + (gain - 1.0) * share
