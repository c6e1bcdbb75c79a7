"""Made points against a naive oracle in plain Python, revision by revision, whatever came late, however it was cut.

The oracle knows hours: what was known of each by a tick, as exact fractions. Everything else is computed from them as
the guide words it. Values lie on and beside the bounds on purpose.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from rules.kinds import limits, plausibility
from rules.plan import compile_plan
from rules.windows.advance import advance, start
from tests.builders import sample, samples, site

MIDNIGHT = datetime(2026, 2, 28, 16, tzinfo=UTC)  # 2026-03-01 in Shanghai
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HELD_HOUR, HELD_DAY = timedelta(seconds=300), timedelta(seconds=1800)
few = settings(max_examples=max(4, settings().max_examples // 4))

SO2, NOX, O2 = "a21026", "a21002", "a19001"
SCALE = 10**6
LIMIT = Fraction(50)


@dataclass(frozen=True)
class W:
    """A window: the sum over n parts in the factor's unit; `reason` where it may not be judged."""

    total: Fraction
    n: int
    reason: str | None

    @property
    def mean(self) -> Fraction | None:
        return self.total / self.n if self.reason is None and self.n else None


@dataclass(frozen=True)
class Reading:
    factor: str
    hour: int  # from MIDNIGHT on
    scaled: int
    valid: bool
    late_h: int


class Known:
    """What was known at a tick."""

    def __init__(self, readings: list[Reading], tick: datetime):
        self._of = {(r.factor, r.hour): r for r in readings if tick_of(r) <= tick}
        self._tick = tick

    def hour(self, factor: str, hour: int) -> W | None:
        """None: not decided by then."""
        reading = self._of.get((factor, hour))
        if reading is None:
            over = MIDNIGHT + (hour + 1) * HOUR + HELD_HOUR <= self._tick
            return W(Fraction(0), 0, "no_data") if hour >= 0 and over else None
        if not reading.valid:
            return W(Fraction(0), 0, "all_marked")
        return W(Fraction(reading.scaled, SCALE), 1, None)

    def day(self, part: Callable[[int], W | None], day: int, *, skip: str | None = "not_applicable") -> W:
        """Of 24 hourly parts, each as one value: 20 of those that apply must be valid."""
        parts = [part(24 * day + n) for n in range(24)]
        means = [one.mean for one in parts if one is not None and one.mean is not None]
        expected = 24 - sum(one is not None and one.reason == skip for one in parts)
        if expected == 0:
            return W(Fraction(0), 0, "not_applicable")
        total = sum(means, Fraction(0))
        if not means:
            return W(total, 0, "?")  # for want of data, or of valid ones
        return W(total, len(means), None if len(means) * 24 >= 20 * expected else "too_few_valid")

    # -- what the rules below make of the hours

    def beyond(self, hour: int, low: Fraction | None, high: Fraction | None, factor: str = SO2) -> W | None:
        own = self.hour(factor, hour)
        if own is None or own.mean is None:
            return own
        is_beyond = (low is not None and own.mean < low) or (high is not None and own.mean > high)
        return W(Fraction(int(is_beyond)), 1, None)

    def between(self, hour: int, low: Fraction, high: Fraction) -> W | None:
        own = self.hour(SO2, hour)
        if own is None or own.mean is None:
            return own
        return W(Fraction(100 if low <= own.mean <= high else 0), 1, None)

    def deviation(self, a: W | None, b: W | None, least: int) -> W:
        if a is None or a.mean is None:
            return W(Fraction(0), 0, "no_data" if a is None else a.reason)
        if b is None or b.mean is None:
            return W(Fraction(0), 0, "no_data" if b is None else b.reason)
        if abs(b.mean) < least:
            return W(Fraction(0), 0, "not_applicable")
        if b.mean == 0:
            return W(Fraction(0), 0, "not_computable")
        return W(100 * abs(a.mean - b.mean) / abs(b.mean), 1, None)

    def same(self, hour: int, b: W | None) -> W | None:
        a = self.hour(SO2, hour)
        for one in (a, b):
            if one is None or one.mean is None:
                return W(Fraction(0), 0, "no_data" if one is None else one.reason)
        assert a is not None
        assert b is not None
        return W(Fraction(0), 0, "not_applicable") if a.mean == 0 else W(Fraction(int(a.mean == b.mean)), 1, None)

    def together(self, hour: int) -> W:
        a, b = self.hour(SO2, hour), self.hour(O2, hour)
        if a is None or b is None or a.mean is None or b.mean is None:
            return W(Fraction(0), 0, "signal_missing")
        return W(Fraction(int(a.mean >= 10 and b.mean < 5)), 1, None)

    def when(self, hour: int, holds: Callable[[Fraction], bool]) -> W | None:
        a, b = self.hour(SO2, hour), self.hour(O2, hour)
        if b is None or b.mean is None:
            return W(Fraction(0), 0, "condition_unknown")
        if not holds(b.mean):
            return W(Fraction(0), 0, "not_applicable")
        return W(Fraction(0), 0, "no_data") if a is None else a

    def pooled(self, parts: list[W | None], least: int) -> W:
        good = [one for one in parts if one is not None and one.mean is not None]
        if len(good) < least:
            reasons = sorted(one.reason for one in parts if one is not None and one.reason)
            return W(Fraction(0), 0, reasons[0] if reasons else "too_few_valid")
        return W(sum((one.total for one in good), Fraction(0)), sum(one.n for one in good), None)


def tick_of(reading: Reading) -> datetime:
    return MIDNIGHT + (reading.hour + 1) * HOUR + reading.late_h * HOUR + timedelta(seconds=60)


RULES = [
    limits.LimitRule(id="rolling", kind="limit", select={"factor": [NOX]}, period="hour", rolling=8),
    limits.LimitRule(id="when", kind="limit", select={"factor": [SO2]}, period="hour"),
    plausibility.OccurrencesRule(
        id="count", kind="occurrences", select={"factor": [SO2]}, period="hour", above=1.0, of_limit=True, more_than=3
    ),
    plausibility.OccurrencesRule(
        id="month", kind="occurrences", select={"factor": [SO2]}, period="hour", below=10, per="month", more_than=3
    ),
    plausibility.OccurrencesRule(
        id="days",
        kind="occurrences",
        select={"factor": [SO2]},
        period="hour",
        between=(10, 50),
        days=3,
        share_from_pct=80,
    ),
    plausibility.StepRule(id="step", kind="step", select={"factor": [SO2]}, more_than_pct=60, from_value=1),
    plausibility.DeviationRule(id="differs", kind="deviation", of=SO2, from_factor=NOX, more_than_pct=5),
    plausibility.SameRule(id="copied", kind="same", select={"factor": [SO2]}),
    plausibility.SameRule(id="mirrored", kind="same", select={"factor": [SO2]}, as_factor=NOX),
    plausibility.TogetherRule(id="both", kind="together", high=SO2, high_from=10, low=O2, low_below=5),
]
LIMITS = [
    {"limit_id": "plain", "factor": NOX, "limit": 50},
    {"limit_id": "cold", "limit": 50, "when_factor": O2, "when_comparator": "<=", "when_value": 12},
    {"limit_id": "warm", "limit": 90, "when_factor": O2, "when_comparator": ">", "when_value": 12},
]


@cache
def hourly_plan():
    points = [{"factor": factor, "interval_s": 3600, "period_s": 3600} for factor in (SO2, NOX)]
    points.append({"factor": O2, "unit": "%", "interval_s": 3600, "period_s": 3600})
    # the limit counted by "count" has no condition
    given = [*LIMITS, {"limit_id": "always", "limit": 50}]
    return compile_plan(site(points, limits=given), RULES)


def scaled(factor: str) -> int:
    return 10 ** (4 if factor == O2 else 6)


DAYS = 3
value = st.sampled_from([0, 9_999_999, 10_000_000, 30_000_000, 50_000_000, 50_000_001, 80_000_000])
o2 = st.sampled_from([4_999_900, 5_000_000, 12_000_000, 12_000_100])  # four decimals
late = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 5, 25])


@st.composite
def hours_of(draw):
    """Runs of hours: mostly there, mostly the same, so that days can be judged and repeated."""
    rows = []
    for factor, values in ((SO2, value), (NOX, value), (O2, o2)):
        hour = 0
        while hour < 24 * DAYS:
            length, its = draw(st.integers(1, 30)), draw(values)
            mood = draw(st.sampled_from(["there", "there", "there", "gone", "marked", "late"]))
            late_h = draw(late) if mood == "late" else 0
            if mood != "gone":
                run = range(hour, min(hour + length, 24 * DAYS))
                rows += [Reading(factor, n, its + n % 24 % 3 * 10**6, mood != "marked", late_h) for n in run]
            hour += length
    return rows


def as_samples(plan, readings):
    number = dict(plan.points.filter(pl.col("kind").is_not_null()).select("factor", "point").iter_rows())
    return [
        sample(
            number[r.factor],
            MIDNIGHT + r.hour * HOUR,
            tick_of(r),
            r.scaled // (SCALE // scaled(r.factor)) if r.factor == O2 else r.scaled,
            r.valid,
        )
        for r in readings
    ]


def decisions(plan, rows, cuts=(), to=MIDNIGHT + (DAYS + 3) * DAY):
    state = start(MIDNIGHT)
    made = [advance(plan, state, samples([]), MIDNIGHT - timedelta(seconds=1)).decisions]
    ticks = [*sorted(MIDNIGHT + cut * HOUR for cut in set(cuts)), to]
    before = MIDNIGHT - timedelta(seconds=1)
    for tick in ticks:
        inside = [row for row in rows if before < row["tick"] <= tick]
        made.append(advance(plan, state, samples(inside), tick).decisions)
        before = tick
    return pl.concat(made).sort("point", "period", "window_at", "revision")


def hour_of(at: datetime) -> int:
    return (at - MIDNIGHT) // HOUR


Oracle = Callable[[Known, int], W | None]
NO = Fraction(10)
ORACLES: dict[tuple[str, str], Oracle] = {
    ("$step:a21026", "hour"): lambda k, h: k.deviation(k.hour(SO2, h), k.hour(SO2, h - 1), 1),
    ("$differs:a21026", "hour"): lambda k, h: k.deviation(k.hour(SO2, h), k.hour(NOX, h), 0),
    ("$copied:a21026", "hour"): lambda k, h: k.same(h, k.hour(SO2, h - 24)),
    ("$copied:a21026", "day"): lambda k, h: k.day(lambda n: k.same(n, k.hour(SO2, n - 24)), h // 24),
    ("$mirrored:a21026", "hour"): lambda k, h: k.same(h, k.hour(NOX, h)),
    ("$mirrored:a21026", "day"): lambda k, h: k.day(lambda n: k.same(n, k.hour(NOX, n)), h // 24),
    ("$both:a21026", "hour"): lambda k, h: k.together(h),
    ("$count:a21026?always", "hour"): lambda k, h: k.beyond(h, None, LIMIT),
    ("$count:a21026?always", "day"): lambda k, h: k.day(lambda n: k.beyond(n, None, LIMIT), h // 24),
    ("$month:a21026", "day"): lambda k, h: k.day(lambda n: k.beyond(n, NO, None), h // 24),
    ("$days:a21026", "day"): lambda k, h: k.day(lambda n: k.between(n, NO, LIMIT), h // 24),
    ("$days:a21026~3d", "day"): lambda k, h: k.pooled(
        [k.day(lambda n: k.between(n, NO, LIMIT), d) if d >= 0 else None for d in range(h // 24, h // 24 - 3, -1)], 1
    ),
    ("a21026?cold", "hour"): lambda k, h: k.when(h, lambda o2: o2 <= 12),
    ("a21026?warm", "hour"): lambda k, h: k.when(h, lambda o2: o2 > 12),
    ("a21002~8hour", "hour"): lambda k, h: k.pooled([k.hour(NOX, n) for n in range(h, h - 8, -1)], 6),
}


@few
@given(hours_of())
def test_every_revision_of_every_made_point_is_what_the_oracle_says(readings):
    plan = hourly_plan()
    made = decisions(plan, as_samples(plan, readings))
    about = {
        n: (factor, 10**decimals)
        for n, factor, decimals in plan.points.select("point", "factor", "decimals").iter_rows()
    }
    at = cache(lambda tick: Known(readings, tick))
    seen = set()
    for row in made.iter_rows(named=True):
        factor, scale = about[row["point"]]
        oracle = ORACLES.get((factor, row["period"]))
        if oracle is None or not MIDNIGHT <= row["window_at"] < MIDNIGHT + DAYS * DAY:
            continue
        seen.add((factor, row["period"]))
        expected = oracle(at(row["tick"]), hour_of(row["window_at"]))
        assert expected is not None, (factor, row)
        if expected.reason == "?":
            assert row["reason"] is not None
        else:
            assert (row["n"] if expected.reason != "too_few_valid" else expected.n, row["reason"]) == (
                expected.n,
                expected.reason,
            ), (factor, row)
        if expected.mean is not None:  # rounded once to the decimals of the made point
            assert abs(Fraction(row["sum"], row["n"]) / scale - expected.mean) * scale <= 1, (factor, row, expected)
    assert seen == set(ORACLES)


@few
@given(hours_of())
def test_at_the_end_every_made_window_stands_as_if_nothing_had_been_late(readings):
    plan = hourly_plan()
    prompt = [Reading(r.factor, r.hour, r.scaled, r.valid, 0) for r in readings]
    assert_frame_equal(*(latest(decisions(plan, as_samples(plan, rows))) for rows in (readings, prompt)))


@few
@given(hours_of(), st.lists(st.integers(1, 24 * (DAYS + 2)), max_size=4), st.randoms(use_true_random=False))
def test_order_and_cuts_change_no_made_point(readings, cuts, rng):
    plan = hourly_plan()
    rows = as_samples(plan, readings)
    shuffled = rng.sample(rows, len(rows))
    assert_frame_equal(decisions(plan, rows), decisions(plan, shuffled, cuts))


def latest(made):
    last = made.unique(["point", "period", "window_at"], keep="last", maintain_order=True)
    return last.drop("revision", "tick", "on_time")


def test_the_same_number_is_the_same_whatever_decimals_it_is_kept_with():
    points = [{"interval_s": 3600, "period_s": 3600}, {"factor": O2, "unit": "%", "interval_s": 3600, "period_s": 3600}]
    rule = plausibility.SameRule(id="mirror", kind="same", select={"factor": [SO2]}, as_factor=O2)
    plan = compile_plan(site(points), [rule])
    readings = [Reading(factor, 0, 5_000_000, True, 0) for factor in (SO2, O2)]
    readings += [Reading(SO2, 1, 5_000_001, True, 0), Reading(O2, 1, 5_000_000, True, 0)]
    made = decisions(plan, as_samples(plan, readings), to=MIDNIGHT + 3 * HOUR)
    point = plan.points.filter(pl.col("factor") == "$mirror:a21026")["point"].item()
    mine = made.filter((pl.col("point") == point) & (pl.col("period") == "hour"))
    assert mine["sum"].to_list()[:2] == [1, 0]
