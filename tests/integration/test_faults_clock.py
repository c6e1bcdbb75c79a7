"""The wall clock is set back and ahead under a collector process: received_at and the clock rows only ever increase."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest

from app.service.collector import journal_directory
from contracts.topics import STATION_JSON
from store.journal_reader import read_after, verify_chain

from .broker import Mosquitto, Peer, wait_until
from .live import ROOT

pytestmark = pytest.mark.server

TOPIC = STATION_JSON.format(station="S1")
DAY_S = 86_400


class Collector:
    """A process whose clock can be set, and a station that publishes through its broker."""

    def __init__(self, state_dir, port, station):
        self.state_dir, self._station, self._n = state_dir, station, 0
        self.journal = journal_directory(state_dir, "main")
        self._log = (state_dir / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.collector_process", state_dir, str(port)],
            cwd=ROOT,
            stderr=self._log,
        )

    def set_clock(self, offset_s):
        made = self.state_dir / "new-offset"
        made.write_text(str(offset_s), encoding="ascii")
        os.replace(made, self.state_dir / "clock-offset-s")

    def rows(self):
        return read_after(self.journal, 0, 1_000_000) if self.journal.is_dir() else None

    def clocks(self):
        rows = self.rows()
        return [] if rows is None else [int(text) for text in rows.filter(topic="$clock/main")["payload"]]

    def ticks(self, n):
        before = len(self.clocks())
        wait_until(lambda: len(self.clocks()) >= before + n, f"{n} clock rows", 90)

    def take_in(self, n=20):
        """The station publishes; returns the last received_at."""
        self._station.publish_all(TOPIC, [f"{self._n + i}".encode() for i in range(n)])
        self._n += n
        wait_until(lambda: self.rows().filter(topic=TOPIC).height == self._n, "all are journalled", 90)
        return self.rows().filter(topic=TOPIC)["received_at"][-1]

    def log(self):
        return (self.state_dir / "log").read_text(encoding="utf-8")

    def close(self):
        self.process.kill()
        self.process.wait(timeout=10)
        self._log.close()


@pytest.fixture
def collector(tmp_path, free_port, require_program):
    mosquitto = Mosquitto(tmp_path / "mosquitto", free_port(), require_program("mosquitto"))
    mosquitto.add_user("S1", "s")
    mosquitto.add_user("collector-main", "c")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "password").write_text("c\n", encoding="utf-8")
    with mosquitto, Peer(mosquitto.port, "S1", "s") as station:
        one = Collector(tmp_path / "state", mosquitto.port, station)
        try:
            yield one
        finally:
            one.close()


def test_a_wall_clock_that_is_set_back_and_ahead_never_turns_the_journal_back(collector):
    collector.ticks(1)
    started_at = collector.take_in()

    collector.set_clock(3 * 3600)  # ahead by less than a day: a machine that was suspended
    collector.ticks(1)
    ahead_at = collector.take_in()
    assert timedelta(hours=3) <= ahead_at - started_at < timedelta(hours=4)

    collector.set_clock(0)  # and back: readings are taken in, the clock waits
    clocks = collector.clocks()
    held_at = collector.take_in()
    assert held_at - ahead_at < timedelta(seconds=90)
    assert collector.clocks() == clocks

    collector.set_clock(3 * 3600 + 120)
    collector.ticks(2)
    caught_up_at = collector.take_in()
    assert timedelta(hours=3) < caught_up_at - started_at < timedelta(hours=4)

    collector.set_clock(3650 * DAY_S)  # ten years: not believed
    wait_until(lambda: "is not believed" in collector.log(), "it is said", 90)
    collector.ticks(2)
    assert collector.take_in() - caught_up_at < timedelta(seconds=180)

    collector.set_clock(3 * 3600 + 120)
    wait_until(lambda: "is believed again" in collector.log(), "it is said", 90)
    collector.ticks(1)
    collector.process.terminate()
    assert collector.process.wait(timeout=60) == 0

    rows = collector.rows()
    assert rows["received_at"].is_sorted()
    assert rows["received_at"].is_unique().all()
    assert rows.filter(topic=TOPIC)["payload"].to_list() == [f"{n}".encode() for n in range(100)]
    assert collector.clocks() == sorted(set(collector.clocks()))
    assert verify_chain(collector.journal) is None
