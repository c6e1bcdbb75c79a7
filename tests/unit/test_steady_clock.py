"""A wall clock is believed as far as the passing of time bears it out."""

from datetime import UTC, datetime, timedelta

import pytest

from app.service.steady_clock import STEP_MAX, SteadyClock
from contracts.clock import SystemClock

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class Wall(SystemClock):
    """A wall clock and the passing of time, both set by hand."""

    def __init__(self):
        self.at, self.passed_s = START, 0.0

    def now(self):
        return self.at

    def monotonic(self):
        return self.passed_s

    def pass_(self, duration):
        self.at += duration
        self.passed_s += duration.total_seconds()


@pytest.fixture
def wall():
    return Wall()


def steady(wall, last_at=None):
    return SteadyClock(wall, last_at, wall.monotonic)


def test_time_that_passes_is_the_wall_clocks_time(wall):
    clock = steady(wall)
    for _ in range(5):
        wall.pass_(7 * DAY)  # nobody asked for a week
        assert clock.now() == wall.at


@pytest.mark.parametrize("step", [-400 * DAY, -MINUTE, MINUTE, STEP_MAX])
def test_a_step_back_or_by_a_day_at_most_is_believed(wall, step):
    clock = steady(wall)
    wall.at += step
    assert clock.now() == wall.at


def test_a_step_of_more_than_a_day_is_not_and_time_goes_on_until_it_is_put_right(wall, caplog):
    clock = steady(wall)
    wall.at += 3650 * DAY
    for minutes in range(1, 4):
        wall.pass_(MINUTE)
        assert clock.now() == START + minutes * MINUTE
    assert caplog.text.count("is not believed") == 1
    wall.at -= 3650 * DAY
    assert clock.now() == wall.at
    assert caplog.text.count("believed again") == 1


def test_a_clock_that_was_set_back_may_be_put_right_whatever_the_step(wall):
    clock = steady(wall)
    wall.at -= 400 * DAY
    assert clock.now() == wall.at
    wall.pass_(MINUTE)
    wall.at += 400 * DAY
    assert clock.now() == wall.at == START + MINUTE


def test_a_machine_that_starts_behind_its_own_journal_may_catch_up(wall):
    last_at = START
    wall.at = datetime(1970, 1, 1, tzinfo=UTC)
    clock = steady(wall, last_at)
    assert clock.now() == wall.at
    wall.at = START + DAY
    assert clock.now() == wall.at
