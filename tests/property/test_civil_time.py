"""Civil time asked of one instant and of a column of them says the same."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.civil_time import PERIODS, last_boundary, next_boundary, window_end, window_start
from contracts.frames import INSTANT, instant

ZONES = ("Asia/Shanghai", "UTC", "Asia/Kathmandu", "America/New_York", "Europe/Berlin")
# the two tables of zones differ before 1970 and from 2100 on, to which Polars' one does not reach
BEGINS_AT, ENDS_AT = datetime(2000, 1, 1), datetime(2090, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize("zone", ZONES)
@given(ats=st.lists(st.datetimes(BEGINS_AT, ENDS_AT, timezones=st.just(UTC)), min_size=20, max_size=60))
def test_boundaries_around_an_instant_are_those_of_its_window(zone, ats):
    for turn in (datetime(2026, 3, 29, 0, tzinfo=UTC), datetime(2026, 11, 1, 5, tzinfo=UTC)):  # clocks are changed
        ats = [*ats, *(turn + timedelta(minutes=17 * n) for n in range(-6, 12))]
    frame = pl.DataFrame({"at": pl.Series(ats, dtype=INSTANT)})
    for period in PERIODS:
        start = window_start(pl.col("at"), period, zone)
        both = frame.select("at", start=start, end=window_end(start, period, zone))
        for at, start_at, end_at in both.iter_rows():
            assert last_boundary(at, period, zone) == start_at, (at, period)
            assert next_boundary(at, period, zone) == end_at, (at, period)


@given(at=st.none() | st.datetimes(datetime(1900, 1, 1), ENDS_AT, timezones=st.just(UTC)))  # noqa: DTZ001
def test_an_instant_as_a_literal_is_that_instant(at):
    made = pl.select(at=instant(at))
    assert made.schema["at"] == INSTANT
    assert made["at"].to_list() == [at]
