"""The collector against a real broker: journal first, acknowledge afterwards, whatever breaks in between."""

import contextlib
import gc
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from contracts.clock import ScaledClock, SystemClock
from contracts.site import Broker
from ingest.mqtt import IN_FLIGHT_BYTES_MAX, CollectorMetrics, MqttCollector
from store.journal import Journal, JournalFailure
from store.journal_reader import read_after, verify_chain

from .broker import Mosquitto, Peer, wait_until

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOPIC = "gi/S1/json"


@pytest.fixture
def broker(tmp_path, free_port, require_program):
    mosquitto = Mosquitto(tmp_path / "mosquitto", free_port(), require_program("mosquitto"))
    mosquitto.add_user("S1", "s")
    mosquitto.add_user("collector-main", "c")
    with mosquitto:
        yield mosquitto


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "journal" / "main"


class GatedJournal:
    """A real journal behind a gate; closed, it takes as long as a disk that has stalled."""

    def __init__(self, journal):
        self.journal, self.gate = journal, threading.Event()

    def append(self, messages, wall_at):
        self.gate.wait(timeout=30)
        return self.journal.append(messages, wall_at)


class BrokenJournal(GatedJournal):
    def append(self, messages, wall_at):  # noqa: ARG002
        self.gate.wait(timeout=30)
        raise JournalFailure("disk full")


class Running:
    """A collector in a thread; `failure` is what `run` raised."""

    def __init__(self, broker, journal, *, clock=None, password="c", connects=True, **options):
        settings = {"host": "127.0.0.1", "port": broker.port, "username": "collector-main", "keep_alive_s": 5}
        settings |= {key: options.pop(key) for key in list(options) if key in Broker.model_fields}
        self.metrics, self.stop, self.failure = CollectorMetrics(), threading.Event(), None
        self.collector = MqttCollector(
            Broker.model_construct(**settings),
            password,
            client_id="greenisland-test-main",
            collector="main",
            journal=journal,
            clock=clock or SystemClock(),
            metrics=self.metrics,
            reconnect_delay_s=(0.05, 0.1),
            **options,
        )
        self._connects = connects
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            self.collector.run(self.stop)
        except JournalFailure as error:
            self.failure = error

    def ended(self):
        return not self._thread.is_alive()

    def __enter__(self):
        self._thread.start()
        if self._connects:
            wait_until(lambda: self.metrics.connected, "the collector is connected")
        return self

    def __exit__(self, *_):
        self.stop.set()
        self._thread.join(timeout=20)
        assert self.ended()


def numbered(first, end, size=12):
    return [f"{i:0{size}d}".encode() for i in range(first, end)]


def journalled(directory, topic=TOPIC):
    frame = read_after(directory, 0, 10**6)
    return frame.filter(pl.col("topic") == topic)["payload"].to_list()


def clocks(directory):
    return [int(payload) for payload in journalled(directory, "$clock/main")]


def establish_session(broker, directory):
    """The broker queues for a collector it has seen."""
    with Journal(directory) as journal, Running(broker, journal) as running:
        wait_until(lambda: running.metrics.clock_rows, "subscriptions stand: our own clock came back")


def test_a_message_is_journalled_once_and_acknowledged_only_after_its_commit(broker, directory):
    sent = numbered(0, 300)
    with Journal(directory) as real, Peer(broker.port, "S1", "s") as station:
        journal = GatedJournal(real)
        with Running(broker, journal) as running:
            wait_until(lambda: running.collector._published_us, "the clock is out, after the subscriptions")
            station.publish_all(TOPIC, sent)
            wait_until(lambda: running.metrics.received > len(sent), "all received")
            assert (running.metrics.committed, running.metrics.acked) == (0, 0)
            journal.gate.set()
            wait_until(lambda: running.metrics.acked > len(sent), "all acknowledged")
            assert running.metrics.acked <= running.metrics.committed
        assert running.metrics.queue_depth == 0
        assert running.metrics.last_commit_at is not None
    assert journalled(directory) == sent
    assert verify_chain(directory) is None


def test_a_session_of_mqtt_3_1_1_is_kept_over_a_restart_of_the_collector(broker, directory):
    with Journal(directory) as journal:
        with Running(broker, journal, protocol="3.1.1") as first:
            wait_until(lambda: first.metrics.subscribed, "subscribed")
        with Peer(broker.port, "S1", "s") as station:
            station.publish_all(TOPIC, [b"while away"])
        with Running(broker, journal, protocol="3.1.1"):
            wait_until(lambda: journalled(directory), "what was queued while nobody listened")


def test_a_failed_journal_ends_the_collector_and_the_broker_keeps_what_was_not_committed(broker, directory):
    establish_session(broker, directory)
    before = len(journalled(directory, "$clock/main"))
    sent = numbered(0, 50)
    journal = BrokenJournal(None)
    with Running(broker, journal) as running, Peer(broker.port, "S1", "s") as station:
        station.publish_all(TOPIC, sent)
        wait_until(lambda: running.metrics.received >= 50, "all received")
        journal.gate.set()
        wait_until(running.ended, "the collector has ended")
        assert str(running.failure) == "disk full"
        assert running.metrics.acked == 0
    with Journal(directory) as recovered, Running(broker, recovered):
        wait_until(lambda: len(journalled(directory)) >= 50, "all come again")
    assert journalled(directory) == sent
    assert len(clocks(directory)) >= before


def test_a_clean_stop_in_the_middle_loses_nothing_and_repeats_nothing(broker, directory):
    establish_session(broker, directory)
    sent = numbered(0, 4000)
    with Peer(broker.port, "S1", "s") as station, Journal(directory) as journal:
        publishing = threading.Thread(target=station.publish_all, args=(TOPIC, sent))
        publishing.start()
        for part in (500, 1000):
            with Running(broker, journal, receive_maximum=100) as running:
                wait_until(lambda part=part: running.metrics.committed > part, "some are journalled")
            assert running.metrics.queue_depth == 0
        publishing.join()
        # a clock row of the runs before may be queued in the middle of them: one row does not mean that all are there
        with Running(broker, journal, last_clock_us=clocks(directory)[-1]):
            wait_until(lambda: len(journalled(directory)) >= len(sent), "the rest is journalled")
    assert journalled(directory) == sent


def collector_process(state_dir, port):
    (state_dir / "password").write_text("c\n", encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.collector_process", state_dir, str(port)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_every_message_outlives_a_kill_of_the_collector(broker, tmp_path, directory):
    sent = numbered(0, 3000, size=200)
    process = collector_process(tmp_path, broker.port)
    wait_until(lambda: directory.exists() and clocks(directory), "the first collector is at work")
    with Peer(broker.port, "S1", "s") as station:
        publishing = threading.Thread(target=station.publish_all, args=(TOPIC, sent))
        publishing.start()
        wait_until(lambda: read_after(directory, 0, 300).height == 300, "in the middle of it")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        publishing.join()
    killed_at = len(journalled(directory))
    process = collector_process(tmp_path, broker.port)
    wait_until(lambda: len(set(journalled(directory))) == len(sent), "all are journalled")
    process.terminate()
    assert (process.communicate(timeout=30)[1], process.returncode) == ("", 0)
    assert killed_at < len(sent)
    assert max(Counter(journalled(directory)).values()) <= 2
    assert clocks(directory) == sorted(set(clocks(directory)))
    assert verify_chain(directory) is None


def test_a_second_collector_process_on_one_journal_ends_with_an_error(broker, tmp_path, directory):
    with Journal(directory):
        process = collector_process(tmp_path, broker.port)
        assert "another process" in process.communicate(timeout=30)[1]
    assert process.returncode == 1


def test_acknowledgements_of_a_lost_connection_are_dropped_and_the_broker_repeats(broker, directory):
    sent = numbered(0, 40)
    with Journal(directory) as real:
        journal = GatedJournal(real)
        with Running(broker, journal) as running:
            with Peer(broker.port, "S1", "s") as station:
                wait_until(lambda: running.collector._published_us, "the clock is out, after the subscriptions")
                station.publish_all(TOPIC, sent)
            wait_until(lambda: running.metrics.received > len(sent), "all received")
            broker.stop()
            wait_until(lambda: not running.metrics.connected, "the collector has noticed")
            broker.start()
            assert running.metrics.connects == 1  # not before the queue is empty: it would hold two windows
            journal.gate.set()
            wait_until(lambda: running.metrics.reconnects == 1, "reconnected")
            wait_until(lambda: len(journalled(directory)) == 2 * len(sent), "repeated")
            wait_until(lambda: running.metrics.acked >= len(sent), "acknowledged")
            with Peer(broker.port, "S1", "s") as station:
                station.publish_all(TOPIC, [b"after"])
            wait_until(lambda: b"after" in journalled(directory), "at work again")
        assert running.metrics.stale_acks >= len(sent)
        assert running.metrics.sessions_lost == 0
        with Running(broker, real, last_clock_us=clocks(directory)[-1]) as running:
            wait_until(lambda: running.metrics.clock_rows, "what was queued is through")
    assert journalled(directory) == sent + sent + [b"after"]
    assert clocks(directory) == sorted(set(clocks(directory)))
    assert journalled(directory, "gi/clock/main") == []


def test_a_broker_that_crashes_without_its_queues_is_noticed_as_a_lost_session(broker, directory):
    with Journal(directory) as journal, Running(broker, journal) as running:
        broker.kill()
        wait_until(lambda: not running.metrics.connected, "the collector has noticed")
        broker.start()
        wait_until(lambda: running.metrics.connected, "reconnected")
        assert running.metrics.sessions_lost == 1
        with Peer(broker.port, "S1", "s") as station:
            station.publish_all(TOPIC, [b"after"])
        wait_until(lambda: journalled(directory) == [b"after"], "subscribed again")


def test_the_clock_comes_back_behind_everything_queued_while_the_collector_was_away(broker, directory):
    establish_session(broker, directory)
    old = clocks(directory)
    sent = numbered(0, 3000)  # more than a broker queues by default
    with Peer(broker.port, "S1", "s") as station:
        station.publish_all(TOPIC, sent)
    with Journal(directory) as journal, Running(broker, journal, last_clock_us=old[-1]):
        wait_until(lambda: len(clocks(directory)) > len(old) + 1, "two clocks of this run")
    rows = read_after(directory, 0, 10**6)[len(old) :]
    is_clock = rows["topic"] == "$clock/main"
    assert is_clock.to_list() == sorted(is_clock)
    assert rows.filter(~is_clock)["payload"].to_list() == sent
    assert set(rows.filter(is_clock)["source"]) == {"mqtt"}
    assert all(us % 1_000_000 == 0 for us in clocks(directory))
    assert clocks(directory) == sorted(set(clocks(directory)))


def test_nobody_else_sets_the_clock(broker, directory):
    future = b"%d" % (4_000_000_000 * 1_000_000)
    odd = b"%d" % (int(START.timestamp()) * 1_000_000 + 1)
    forged = [b"", b"junk", b"-1000000", b"0", b"01000000", b"1e6", "１".encode(), b"9" * 30, future, odd, b"1000000"]
    clock = ScaledClock(START, speed=20)
    with Journal(directory) as journal, Running(broker, journal, clock=clock) as running:
        wait_until(lambda: running.metrics.clock_rows, "the clock ticks")
        with Peer(broker.port, "collector-main", "c") as thief:
            thief.publish_all("gi/clock/main", forged)
        ticks = running.metrics.clock_rows
        wait_until(lambda: running.metrics.foreign_clocks >= len(forged), "the forged clocks are through")
        wait_until(lambda: running.metrics.clock_rows > ticks + 3, "the clock ticks on")
    assert journalled(directory, "gi/clock/main") == forged
    assert all(START.timestamp() <= us / 1e6 <= clock.now().timestamp() for us in clocks(directory))
    assert clocks(directory) == sorted(set(clocks(directory)))


def test_a_wall_clock_set_back_makes_the_clock_wait(broker, directory):
    late_us = int(START.timestamp() + 30) * 1_000_000
    clock = ScaledClock(START, speed=20)
    with Journal(directory) as journal, Running(broker, journal, clock=clock, last_clock_us=late_us) as running:
        wait_until(lambda: running.metrics.clock_rows, "the clock has caught up")
    assert clocks(directory)[0] == late_us + 1_000_000
    assert journalled(directory, "gi/clock/main") == []


def test_a_stalled_journal_does_not_cost_the_connection(broker, directory):
    with Journal(directory) as real:
        journal = GatedJournal(real)
        with Running(broker, journal, keep_alive_s=1) as running, Peer(broker.port, "S1", "s") as station:
            station.publish_all(TOPIC, numbered(0, 10))
            wait_until(lambda: running.metrics.received >= 10, "received")
            patience = threading.Event()
            patience.wait(2.5)  # the broker gives up after one and a half keep-alives of silence
            assert running.metrics.connected
            assert running.metrics.acked == 0
            journal.gate.set()
            wait_until(lambda: running.metrics.acked > 10, "all acknowledged")
        assert running.metrics.connects == 1


def test_large_messages_are_bounded_in_bytes_and_the_connection_outlives_the_wait(broker, directory):
    sent = [bytes([n]) * 4_000_000 for n in range(30)]
    with Journal(directory) as real:
        journal = GatedJournal(real)
        with Running(broker, journal, keep_alive_s=2) as running, Peer(broker.port, "S1", "s") as station:
            wait_until(lambda: running.metrics.subscribed, "subscribed")
            station.publish_all(TOPIC, sent)
            wait_until(lambda: running.collector._unsettled_bytes >= IN_FLIGHT_BYTES_MAX, "as much as it may hold")
            patience = threading.Event()
            patience.wait(4)  # the broker gives up after one and a half keep-alives of silence
            assert running.collector._unsettled_bytes < IN_FLIGHT_BYTES_MAX + 4_100_000
            assert running.metrics.connected
            journal.gate.set()
            wait_until(lambda: running.metrics.acked >= len(sent), "all acknowledged")
            wait_until(lambda: running.metrics.clock_rows > 2, "the clock goes on")
        assert running.metrics.connects == 1
    assert [payload[:1] for payload in journalled(directory)] == [payload[:1] for payload in sent]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_messages_of_all_sizes_come_through_whole_and_in_order(broker, directory, protocol):
    rng = random.Random(20261123)
    sizes = [0, 1, 99, 127, 128, 16_300, 16_383, 16_384, 300_000, 2_097_152]  # around the steps of MQTT's length field
    sent = [rng.randbytes(rng.choice(sizes)) for _ in range(60)] + [rng.randbytes(size) for size in sizes]
    sent += [rng.randbytes(rng.randrange(600, 900)) for _ in range(3000)]
    rng.shuffle(sent)
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("a", "b")
    with Journal(directory) as journal, Running(broker, journal, protocol=protocol) as running:
        wait_until(lambda: running.metrics.subscribed, "subscribed")
        with Peer(broker.port, "S1", "s") as station:
            for n, payload in enumerate(sent):
                station.publish(TOPIC, payload, properties=properties if n % 50 == 0 else None)
            wait_until(lambda: running.metrics.acked >= len(sent), "all acknowledged")
        assert running.metrics.connects == 1
    assert journalled(directory) == sent


def test_every_kind_of_message_is_journalled_as_it_came(broker, directory):
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("a", "b")
    sent = [b"", b"\x00\xff", b"x" * 300_000, b"with properties", b"qos 0", b"retained", "中文".encode()]
    with Journal(directory) as journal, Running(broker, journal) as running:
        wait_until(lambda: running.metrics.clock_rows, "subscriptions stand")
        with Peer(broker.port, "S1", "s") as station:
            for payload in sent:
                station.publish(
                    "gi/S1/hj212",
                    payload,
                    qos=0 if payload == b"qos 0" else 1,
                    retain=payload == b"retained",
                    properties=properties if payload == b"with properties" else None,
                )
            wait_until(lambda: len(journalled(directory, "gi/S1/hj212")) == len(sent), "all are journalled")
    assert journalled(directory, "gi/S1/hj212") == sent


def test_a_wrong_password_is_counted_as_a_refusal_and_tried_again(broker, directory):
    with Journal(directory) as journal, Running(broker, journal, password="wrong", connects=False) as running:
        wait_until(lambda: running.metrics.refusals >= 2, "refused twice")
        assert not running.metrics.connected


def test_a_defect_of_the_network_thread_ends_the_collector(directory):
    with Journal(directory) as journal:
        collector = MqttCollector(
            Broker(host=""), None, client_id="x", collector="main", journal=journal, clock=SystemClock()
        )
        with pytest.raises(ValueError, match="Invalid host"):
            collector.run(threading.Event())


def certificate(folder, name, issuer=None):
    """A key and a certificate of 127.0.0.1, signed by the issuer or by itself."""
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    request += ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt", "-days", "2", "-subj", f"/CN={name}"]
    if issuer:
        request += ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
        request += ["-CA", folder / f"{issuer}.crt", "-CAkey", folder / f"{issuer}.key"]
    subprocess.run(request, check=True, capture_output=True, timeout=20)


@pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")  # paho does not close what it distrusts
def test_tls_is_verified_against_the_sites_authority(tmp_path, free_port, require_program, directory):
    require_program("openssl")
    folder = tmp_path / "certificates"
    folder.mkdir()
    certificate(folder, "ca")
    certificate(folder, "stranger")
    certificate(folder, "server", issuer="ca")
    mosquitto = Mosquitto(tmp_path / "mosquitto", free_port(), require_program("mosquitto"), certificates=folder)
    mosquitto.add_user("collector-main", "c")
    with contextlib.ExitStack() as stack:
        stack.enter_context(mosquitto)
        journal = stack.enter_context(Journal(directory))
        with Running(mosquitto, journal, ca_file=str(folder / "ca.crt")) as running:
            wait_until(lambda: running.metrics.clock_rows, "the clock comes back")
        with Running(mosquitto, journal, ca_file=str(folder / "stranger.crt"), connects=False) as running:
            wait_until(lambda: running.metrics.failed_connects, "the certificate is refused")
            assert running.metrics.connects == 0
    gc.collect()
