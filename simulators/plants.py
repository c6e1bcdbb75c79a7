"""What a point of a station would read if its instrument were perfect and nothing went wrong: one day at a time.

Promises: load, oxygen and the factors of one station move together; converted values stay well within their limit.
Does not promise stoichiometry: a factor is a level, its share of the load, and memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import cos, floor, log10, pi

from contracts.civil_time import zone
from contracts.factors import ratio
from contracts.points import O2
from contracts.site import Point, Site

from .noise import DAY_S, autoregressive, stream
from .scenario import lower_limit, upper_limit

DAY_MIN = 1440
REGISTER = "p01003"
PRODUCTION, TREATMENT = "p01001", "p01002"
MEAN_LOAD = 0.85
REGISTER_SINCE_DAY = 20_089  # 2025-01-01: meters were read 0 then


@dataclass(frozen=True)
class Level:
    """How a factor behaves: its level, how much of it follows the load, and its own slow and fast movement."""

    level: float  # canonical unit
    load_share: float = 0.1
    slow: float = 0.06  # relative standard deviation, over about 40 minutes
    fast: float = 0.02  # relative standard deviation, from sample to sample


# Levels where no limit says what is usual.
LEVELS = {
    "a00000": Level(900_000.0, 0.9, 0.01, 0.006),
    "a01001": Level(18.0, 0.0, 0.02, 0.01),
    "a01007": Level(2.8, 0.0, 0.1, 0.08),
    "a01008": Level(200.0, 0.0, 0.03, 0.03),  # steady, from the south-south-west
    "a01011": Level(12.0, 0.9, 0.01, 0.006),
    "a01012": Level(92.0, 0.15, 0.01, 0.004),
    "a01014": Level(9.5, 0.05, 0.02, 0.01),
    "a24088": Level(160.0, 0.5, 0.08, 0.03),
    "a34013": Level(5.0),
    "w00000": Level(60.0, 0.8, 0.04, 0.01),
    "w01001": Level(7.4, 0.0, 0.012, 0.004),
    "w01009": Level(8.3, 0.02, 0.03, 0.005),
    "w01010": Level(17.0, 0.02, 0.02, 0.003),
    "w01019": Level(2.2, 0.02),
    "w21003": Level(0.2, 0.02),
    "w21011": Level(0.06, 0.02),
    PRODUCTION: Level(5200.0, 0.9, 0.02, 0.008),
    TREATMENT: Level(80.0, 0.05, 0.01, 0.006),
}
UNKNOWN = Level(10.0)
VOC_STACK_FLOW = 42_000.0
LIMITED_SHARE, LIMITED_SHARE_SAMPLED = 0.5, 0.4  # of the strictest limit, on a calm day


def decimals_of(point: Point, level: float) -> int:
    """Places an instrument would show: about four significant figures."""
    if point.factor == "w01001":
        return 2
    return min(4, max(0, 3 - floor(log10(level)))) if level > 0 else 2


class Plant:
    """One station's process. `day` counts days (UTC) since 1970."""

    def __init__(self, site: Site, seed: int, station: str):
        self._site, self._seed, self._station = site, seed, station
        outlet_of = {one.station: one.outlet for one in site.stations}
        self.medium = next(outlet.medium for outlet in site.outlets if outlet.outlet == outlet_of[station])
        sent = [one for one in site.points if one.station == station and one.kind != "no_no2"]
        self.points = sorted(sent, key=lambda one: one.factor)
        self._ref_o2 = max((one.ref_o2_pct for one in self.points if one.ref_o2_pct is not None), default=None)
        self._o2_point = next((one for one in self.points if one.factor == O2), None)
        self.levels = {one.factor: self._level(one) for one in self.points}  # sent unit; converted where it converts
        # the strictest upper limit of each factor that has one, as `levels`
        self.limits = {one.factor: limit for one in self.points if (limit := upper_limit(site, one)) is not None}
        self._load: tuple[int, list[float]] | None = None

    def series(self, point: Point, day: int) -> list[float]:
        """One value a slot of the point's interval, in the unit the device sends."""
        slots = range(-(-day * DAY_S // point.interval_s) * point.interval_s, (day + 1) * DAY_S, point.interval_s)
        minutes = [(event_s - day * DAY_S) // 60 for event_s in slots]
        if point.factor == REGISTER:
            return self._register(point, day, minutes)
        if self.medium == "energy" and point.factor == PRODUCTION:
            shares = self._shares(day)
            daily_kwh = self.levels[PRODUCTION].level * 24.0
            return [shares[minute // 15] * daily_kwh * 4.0 for minute in minutes]
        if point.factor == O2:
            return self._oxygen(point, day, minutes)
        plain = self._plain(point, day, minutes)
        if point.ref_o2_pct is None or self._o2_point is None:
            return plain
        oxygen = self._oxygen(self._o2_point, day, minutes)
        return [value * (21.0 - o2) / (21.0 - point.ref_o2_pct) for value, o2 in zip(plain, oxygen, strict=True)]

    def _level(self, point: Point) -> Level:
        usual = LEVELS.get(point.factor, UNKNOWN)
        canonical = self._site.factors[point.factor].unit
        scale = 1.0 / ratio(point.unit, canonical)  # canonical -> sent
        upper, lower = upper_limit(self._site, point), lower_limit(self._site, point)
        if upper is not None and lower is not None:
            level = (upper + lower) / 2
        elif upper is not None:
            level = upper * (LIMITED_SHARE if point.interval_s <= 60 else LIMITED_SHARE_SAMPLED)
        elif lower is not None:
            level = lower * 1.4
        else:
            level = self._power_level(point) or self._usual(point.factor, usual) * scale
        return Level(level, usual.load_share, usual.slow, usual.fast)

    def _usual(self, factor: str, usual: Level) -> float:
        """Plants differ in size; rivers and waters do not differ that much."""
        level = VOC_STACK_FLOW if factor == "a00000" and self.medium == "voc_stack" else usual.level
        sized = factor in (PRODUCTION, "w00000") or (factor == "a00000" and self.medium == "flue_gas")
        return level * stream(self._seed, self._station, "size").uniform(0.7, 1.4) if sized else level

    def _power_level(self, point: Point) -> float | None:
        """Four times what counts as running."""
        thresholds = [
            pair.production_on_kw
            for pair in self._site.pairs
            if (pair.production_station, pair.production_factor) == (point.station, point.factor)
        ] + [
            pair.treatment_on_kw
            for pair in self._site.pairs
            if (pair.treatment_station, pair.treatment_factor) == (point.station, point.factor)
        ]
        return max(thresholds) * 4.0 / ratio(point.unit, "kW") if thresholds else None

    def _plain(self, point: Point, day: int, minutes: Sequence[int]) -> list[float]:
        about, load = self.levels[point.factor], self.load(day)
        name = f"{self._station}:{point.factor}"
        slow = autoregressive(self._seed, name, day, len(minutes), point.interval_s, 2400)
        fast = stream(self._seed, name, "fast", day).gauss
        return [
            about.level
            * (1.0 + about.load_share * (load[minute] - MEAN_LOAD) + about.slow * drift + about.fast * fast(0.0, 1.0))
            for minute, drift in zip(minutes, slow, strict=True)
        ]

    def _oxygen(self, point: Point, day: int, minutes: Sequence[int]) -> list[float]:
        """Below the reference at full load, above it at low load; never near air's 21 %."""
        middle = 19.0 if self._ref_o2 is None else min(self._ref_o2 + 0.2, 17.0)
        load = self.load(day)
        slow = autoregressive(self._seed, f"{self._station}:{O2}", day, DAY_MIN, 60, 2400)
        scale = 1.0 / ratio(point.unit, "%")
        return [
            scale * min(19.5, max(2.0, middle + 3.0 * (MEAN_LOAD - load[minute]) + 0.12 * slow[minute]))
            for minute in minutes
        ]

    def load(self, day: int) -> list[float]:
        """Share of the rated load, minute by minute: an evening peak, a night valley, and the operators' hand."""
        if self._load is None or self._load[0] != day:
            midnight = datetime.fromtimestamp(day * DAY_S, UTC).astimezone(zone(self._site.time_zone))
            first = midnight.hour * 60 + midnight.minute
            daily = [0.08 * cos(2 * pi * (minute + first - 1140) / DAY_MIN) for minute in range(DAY_MIN)]
            hand = autoregressive(self._seed, f"{self._station}:load", day, DAY_MIN, 60, 3600)
            load = [min(1.05, max(0.6, MEAN_LOAD + d + 0.03 * h)) for d, h in zip(daily, hand, strict=True)]
            self._load = (day, load)
        return self._load[1]

    def _shares(self, day: int) -> list[float]:
        """How a day's energy falls on its quarter hours; a day's total is fixed, so the register joins at midnight."""
        quarters = self.load(day)[::15]
        total = sum(quarters)
        return [quarter / total for quarter in quarters]

    def _register(self, point: Point, day: int, minutes: Sequence[int]) -> list[float]:
        power = self.levels[PRODUCTION].level if PRODUCTION in self.levels else LEVELS[PRODUCTION].level
        shares, running, totals = self._shares(day), 0.0, []
        for share in shares:
            totals.append(running)
            running += share
        start = (day - REGISTER_SINCE_DAY) * 24.0 * power
        scale = 1.0 / ratio(point.unit, "kWh")
        return [scale * (start + 24.0 * power * totals[minute // 15]) for minute in minutes]
