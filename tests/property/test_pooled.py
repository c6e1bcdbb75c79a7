"""Windows that pool the parts of shorter ones: what those did not expect is not expected of the longer one either."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.plan import compile_plan
from rules.windows.advance import advance, start
from tests.builders import sample, samples, site

DECEMBER_25 = datetime(2026, 12, 24, 16, tzinfo=UTC)  # midnight in China
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SITE = site(
    [
        {"factor": "w01018", "unit": "mg/L", "kind": "rtd", "period_s": 0, "interval_s": 7200},
        {"factor": "w00000", "unit": "m3/h", "kind": "avg", "period_s": 3600, "interval_s": 3600},
    ],
    medium="waste_water",
)


@settings(max_examples=5)
@given(st.lists(st.sampled_from([0, 0, 1, 4, 12]), min_size=1, max_size=7))
def test_a_year_expects_the_cycles_its_days_expected(discharging):
    """Per day so many cycles with discharge, from midnight on; the year's other days are not known of."""
    plan = compile_plan(SITE, [])
    number = dict(plan.points.select("factor", "point").iter_rows())
    rows = []
    for day, cycles in enumerate(discharging):
        for hour in range(24):
            at = DECEMBER_25 + day * DAY + hour * HOUR
            flow = 10 if hour < 2 * cycles else 0
            rows.append(sample(number["w00000"], at, at + HOUR, flow * 10**4))
            if hour % 2 == 0:
                rows.append(sample(number["w01018"], at, at + timedelta(minutes=1), 50 * 10**6))
    made = advance(plan, start(DECEMBER_25), samples(rows), DECEMBER_25 + 8 * DAY).decisions
    ours = made.filter(pl.col("point") == number["fw_w01018"])
    days = ours.filter(pl.col("period") == "day").sort("window_at").head(len(discharging))
    assert days["expected"].to_list() == discharging
    year = ours.filter(pl.col("period") == "year").row(-1, named=True)
    assert year["expected"] == 12 * 365 - sum(12 - cycles for cycles in discharging)
    assert year["n"] == sum(discharging)
