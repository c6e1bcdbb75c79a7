"""Poison among good messages, and a consumer that stands still: all is decided, nothing is wedged, nothing grows."""

import signal
from collections import Counter
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from contracts.reasons import Reject

from .broker import Peer
from .service_process import FACTOR, STATION, TOPIC, centre, payload

pytestmark = pytest.mark.server

BEGUN = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=24)
SIZE_MAX = 1_048_576  # the site's max_payload_bytes

POISON = {
    b"": Reject.EMPTY_PAYLOAD,
    b"\xff\xfe\x00": Reject.NOT_UTF8,
    b"not json": Reject.NOT_JSON,
    b"[" * 100_000: Reject.WRONG_SHAPE,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000: Reject.WRONG_SHAPE,
    b'{"v":1' + b" " * (SIZE_MAX - 6): Reject.NOT_JSON,  # of just the size that is read
    b"[1" + b",1" * 400_000 + b"]": Reject.WRONG_SHAPE,
    b"x" * (SIZE_MAX + 1): Reject.TOO_LARGE,
    b"\x00" * 3_900_000: Reject.TOO_LARGE,
    payload(BEGUN, 1).replace(STATION.encode(), b"ZA-ELSEWHERE"): Reject.STATION_TOPIC_MISMATCH,
}


def good(n):
    return [payload(BEGUN + timedelta(minutes=m), m) for m in range(n)]


@pytest.fixture
def started(tmp_path, free_port, require_program):
    with centre(tmp_path, free_port(), require_program("mosquitto")) as one:
        yield one


def test_a_hundred_poisoned_messages_among_a_thousand_become_rejects_with_their_reasons(started):
    running = started.run("collector", "engine")
    started.until(started.clocks, "the collector is at work")
    sent = good(1000)
    with Peer(started.broker.port, STATION, "s") as station:
        for n, poison in enumerate([*POISON] * 10):
            for message in sent[n * 10 : n * 10 + 10]:
                station.publish(TOPIC, message)
            station.publish(TOPIC, poison)
        wanted = len(sent) + 10 * len(POISON)
        started.until(lambda: len(station.published) == wanted, "the broker has them all")
    started.until(lambda: started.decided("rejects").height >= 100, "every poisoned one is a reject")
    started.until(lambda: started.decided("readings").height >= 1000, "every good one is a reading")
    started.stop(running)
    readings, rejects = started.decided("readings"), started.decided("rejects")
    assert sorted(readings.filter(pl.col("factor") == FACTOR)["value"]) == [float(n) for n in range(1000)]
    assert Counter(rejects["reason"]) == Counter(reason.value for reason in [*POISON.values()] * 10)


def test_an_engine_that_stands_still_holds_nobody_up_and_catches_up(started):
    collector, engine = started.run("collector"), started.run("engine")
    started.until(started.clocks, "the collector is at work")
    with Peer(started.broker.port, STATION, "s") as station:
        station.publish_all(TOPIC, good(100))
        started.until(lambda: started.decided("readings").height == 100, "the engine is at work")
        engine.send_signal(signal.SIGSTOP)
        station.publish_all(TOPIC, good(1400)[100:])
        clocks = len(started.clocks())
        started.until(lambda: len(started.journalled()) == 1400, "the collector goes on")
        started.until(lambda: len(started.clocks()) > clocks + 1, "and so does its clock")
        assert started.decided("readings").height == 100
        engine.send_signal(signal.SIGCONT)
        started.until(lambda: started.decided("readings").height == 1400, "the engine has caught up")
    started.stop(collector)
    started.stop(engine)
    values = started.decided("readings")["value"].to_list()
    assert sorted(values) == [float(n) for n in range(1400)]
