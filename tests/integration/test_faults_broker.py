"""The broker restarts, is away, is kept waiting or floods; the disk is slow: nothing acknowledged is lost."""

import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from store.journal_reader import verify_chain

from .broker import Peer
from .service_process import STATION, TOPIC, centre, numbered

pytestmark = pytest.mark.server


@pytest.fixture
def started(tmp_path, free_port, require_program):
    with centre(tmp_path, free_port(), require_program("mosquitto"), keep_alive_s=5) as one:
        yield one


def station(one):
    return Peer(one.broker.port, STATION, "s")


def test_what_a_station_publishes_while_broker_and_collector_come_back_arrives_in_order(started):
    collector = started.run("collector")
    started.until(started.clocks, "the collector is at work")
    with station(started) as peer:
        peer.publish_all(TOPIC, numbered(0, 100))
    started.stop(collector)
    with station(started) as peer:
        peer.publish_all(TOPIC, numbered(100, 200))  # nobody listens
    started.broker.stop()
    collector = started.run("collector")  # nobody answers
    started.until(lambda: "no connection to" in started.log(), "the collector has tried")
    started.broker.start()
    with station(started) as peer:
        peer.publish_all(TOPIC, numbered(200, 300))
    started.until(lambda: len(started.journalled()) == 300, "everything from before and after is journalled")
    started.broker.stop()  # this time under a collector that runs
    started.until(lambda: "connection lost" in started.log(), "the collector has noticed")
    started.broker.start()
    with station(started) as peer:
        peer.publish_all(TOPIC, numbered(300, 400))
    started.until(lambda: len(set(started.journalled())) == 400, "everything is journalled")
    clocks = len(started.clocks())
    started.until(lambda: len(started.clocks()) > clocks, "the clock is behind it")
    started.stop(collector)
    # What the broker had no acknowledgement of when it stopped comes a second time: never twice, never not at all.
    assert list(dict.fromkeys(started.journalled())) == numbered(0, 400)
    assert max(Counter(started.journalled()).values()) <= 2
    assert started.clocks() == sorted(set(started.clocks()))
    assert "forgotten" not in started.log()
    assert verify_chain(started.journal) is None


def test_a_disk_that_takes_longer_than_the_keep_alive_does_not_cost_the_connection(started, require_program):
    """strace holds one of the journal's fdatasync back for nine seconds; the broker gives up after seven and a half."""
    slow_disk = [require_program("strace"), "--daemonize", "--follow-forks", "--seccomp-bpf", "--output", "/dev/null"]
    slow_disk += ["--trace=fdatasync", "--inject=fdatasync:delay_enter=9000000:when=40"]
    process = started.run("collector", under=slow_disk)
    started.until(started.clocks, "the collector is at work")
    with station(started) as peer:
        sent = numbered(0, 100)
        for message in sent:
            peer.publish_all(TOPIC, [message])
        started.until(lambda: len(started.journalled()) == len(sent), "the disk has answered")
    rows = started.rows()
    pauses = rows["received_at"].diff().drop_nulls()
    started.stop(process)
    started.broker.stop()  # it writes its log down
    assert pauses.max() > timedelta(seconds=8)
    assert started.connections() == 1
    assert started.journalled() == sent


def test_a_collector_that_stands_still_is_waited_for_and_gets_everything(started):
    collector = started.run("collector")
    started.until(started.clocks, "the collector is at work")
    collector.send_signal(signal.SIGSTOP)
    started.until(lambda: " (stopped)" in Path(f"/proc/{collector.pid}/status").read_text(), "it stands still")
    sent = numbered(0, 3000)
    with station(started) as peer:
        peer.publish_all(TOPIC, sent)
    assert started.journalled() == []
    collector.send_signal(signal.SIGCONT)
    started.until(lambda: len(set(started.journalled())) == len(sent), "everything is journalled")
    started.stop(collector)
    assert list(dict.fromkeys(started.journalled())) == sent  # a lost connection would have repeated some
    assert verify_chain(started.journal) is None
