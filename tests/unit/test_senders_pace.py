"""When an attempt is made: back-off of a notification, pace and rest of a channel. Time is an argument."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.reasons import Receipt
from notify.outbox import ATTEMPTS_MAX, WAIT_MAX_S, next_attempt_at, retry_after_s, settled
from notify.senders.pace import ASKED_MAX_S, REST_MAX_S, Pace, opens_at

AT = datetime(2026, 3, 1, tzinfo=UTC)


def seconds(n):
    return timedelta(seconds=n)


def test_waits_double_within_their_bounds_and_repeat_exactly():
    for attempt in range(1, ATTEMPTS_MAX + 1):
        bound = min(WAIT_MAX_S, 5.0 * 2 ** (attempt - 1))
        waits = [retry_after_s(attempt, f"key-{n}") for n in range(20)]
        assert all(bound / 2 <= wait <= bound for wait in waits)
        assert len(set(waits)) == 20
        assert waits == [retry_after_s(attempt, f"key-{n}") for n in range(20)]


def test_a_receiver_down_for_a_day_is_still_told():
    for n in range(20):
        waits_s = sum(retry_after_s(attempt, f"key-{n}") for attempt in range(1, ATTEMPTS_MAX))
        assert 26 * 3600 <= waits_s <= 55 * 3600


def test_only_a_failure_before_the_last_attempt_is_tried_again():
    assert next_attempt_at(Receipt.FAILED, 1, "key", AT) == AT + seconds(retry_after_s(1, "key"))
    assert settled(Receipt.FAILED, ATTEMPTS_MAX - 1) == Receipt.FAILED
    assert settled(Receipt.FAILED, ATTEMPTS_MAX) == Receipt.GAVE_UP
    for receipt, attempt in ((Receipt.FAILED, ATTEMPTS_MAX), (Receipt.DELIVERED, 1), (Receipt.REFUSED, 1)):
        assert next_attempt_at(receipt, attempt, "key", AT) is None


def test_what_is_sent_again_after_it_was_given_up_has_a_whole_round_of_attempts():
    assert settled(Receipt.FAILED, ATTEMPTS_MAX + 1) == Receipt.FAILED
    assert retry_after_s(ATTEMPTS_MAX + 1, "key") <= 5.0
    assert settled(Receipt.FAILED, 2 * ATTEMPTS_MAX) == Receipt.GAVE_UP


def test_a_receiver_that_asks_for_a_wait_gets_it():
    assert next_attempt_at(Receipt.FAILED, 1, "key", AT, 600.0) == AT + seconds(600)
    assert next_attempt_at(Receipt.FAILED, 1, "key", AT, 10**9) == AT + seconds(WAIT_MAX_S)
    assert next_attempt_at(Receipt.FAILED, 20, "key", AT, 1.0) == AT + seconds(retry_after_s(20, "key"))


@given(
    st.lists(st.floats(0, 5), min_size=30, max_size=120),
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from([1.0, 10.0, 60.0])), min_size=1, max_size=2),
)
def test_no_window_of_time_ever_holds_more_than_its_bound(takes_s, bounds):
    """A naive count over every window, of attempts made as early as the pace lets them."""
    pace, now, ended = Pace("robot", tuple(bounds)), AT, []
    for take_s in takes_s:
        now = max(now, pace.opens_at(now))
        began, now = now, now + seconds(take_s)
        pace.attempted(now, failed=False)
        ended.append((began, now))
    for n, window_s in bounds:
        for _, first in ended:  # an attempt reaches its receiver between its beginning and its end
            inside = [began for began, end in ended if end >= first and began - first < seconds(window_s)]
            assert len(inside) <= n
    assert opens_at([end for _, end in ended], (), now) == now


def test_twenty_messages_go_at_once_and_the_twenty_first_a_minute_after_the_first():
    pace = Pace("robot", ((20, 60.0),))
    for n in range(20):
        assert pace.opens_at(AT + seconds(n)) == AT + seconds(n)
        pace.attempted(AT + seconds(n), failed=False)
    assert pace.opens_at(AT + seconds(20)) == AT + seconds(60)
    assert pace.opens_at(AT + seconds(60)) == AT + seconds(60)


def test_a_channel_whose_receiver_is_down_rests_ever_longer_up_to_a_minute_and_a_success_ends_it():
    pace, now, rests = Pace("dead"), AT, []
    for _ in range(12):
        pace.attempted(now, failed=True)
        rests.append((pace.opens_at(now) - now).total_seconds())
        now = pace.opens_at(now)
    assert 2.5 <= rests[0] <= 5
    assert rests[-3:] == [REST_MAX_S] * 3
    pace.attempted(now, failed=False)
    assert pace.opens_at(now) == now


def test_a_channel_is_left_alone_for_as_long_as_its_receiver_asks_within_reason():
    pace = Pace("limited")
    pace.attempted(AT, failed=True, wait_s=600.0)
    assert pace.opens_at(AT) == AT + seconds(600)
    pace.attempted(AT, failed=True, wait_s=10**7)
    assert pace.opens_at(AT) == AT + seconds(ASKED_MAX_S)


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=400)])
def test_a_clock_that_is_set_back_holds_a_channel_up_for_a_window_at_most(back):
    pace = Pace("robot", ((2, 60.0),))
    for n in range(3):
        pace.attempted(AT + seconds(n), failed=n == 2, wait_s=3000.0)
    assert pace.opens_at(AT - back) <= AT - back + seconds(60)
