"""The shipped broker configuration: a station speaks below its own branch, a collector reads, nobody does more."""

import socket

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from .broker import Mosquitto, Peer, wait_until

pytestmark = pytest.mark.server

REFUSED = "Not authorized"
STATIONS = ("S1", "S2", "clock")


@pytest.fixture(scope="module")
def broker(tmp_path_factory, require_program):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mosquitto = Mosquitto(tmp_path_factory.mktemp("mosquitto"), port, require_program("mosquitto"))
    for user in (*STATIONS, "collector-main"):
        mosquitto.add_user(user, "secret")
    with mosquitto:
        yield mosquitto


def heard_by_the_collector(broker, user, topic, **options):
    """The broker's answer to one publication, and whether the collector heard it."""
    with Peer(broker.port, "collector-main", "secret", subscribe="gi/#") as collector:
        with Peer(broker.port, user, "secret", **options) as publisher:
            publisher.publish(topic, b"claim")
            wait_until(lambda: publisher.published, "an answer")
        # Mosquitto 2.0.11 cuts an MQTT 5 client off after a refused message: hence another connection.
        with Peer(broker.port, "S1", "secret") as honest:
            honest.publish("gi/S1/json", b"behind it")
            wait_until(lambda: ("gi/S1/json", b"behind it") in collector.heard, "what came behind it")
        return publisher.published[0], (topic, b"claim") in collector.heard


@pytest.mark.parametrize("topic", ["gi/S1/json", "gi/S1/hj212"])
def test_a_station_publishes_below_its_own_branch(broker, topic):
    assert heard_by_the_collector(broker, "S1", topic) == ("Success", True)


@pytest.mark.parametrize(
    "topic", ["gi/S2/json", "gi/S2/hj212", "gi/clock/main", "gi/clock/json", "gi", "other/S1/json", "$SYS/x"]
)
def test_a_station_publishes_nowhere_else(broker, topic):
    assert heard_by_the_collector(broker, "S1", topic) == (REFUSED, False)


def test_a_station_of_mqtt_3_is_told_nothing_but_heard_no_more(broker):
    heard = heard_by_the_collector(broker, "S1", "gi/S2/json", protocol=MQTTProtocolVersion.MQTTv311)
    assert heard == ("Success", False)


@pytest.mark.parametrize("topic", ["gi/clock/main", "gi/clock/json"])
def test_not_even_a_station_called_clock_sets_a_clock(broker, topic):
    assert heard_by_the_collector(broker, "clock", topic) == (REFUSED, False)


def test_a_message_beyond_the_brokers_size_limit_is_not_heard(broker):
    with Peer(broker.port, "collector-main", "secret", subscribe="gi/#") as collector:
        for n in (4_194_305, 4_194_304):
            with Peer(broker.port, "S1", "secret", protocol=MQTTProtocolVersion.MQTTv311) as station:
                station.publish_all("gi/S1/json", [b"x" * n])  # MQTT 3 is told that all is well
        wait_until(lambda: collector.heard, "the one within the limit has come")
        assert [len(payload) for _, payload in collector.heard] == [4_194_304]


def test_a_last_will_is_bound_like_a_publication(broker):
    with Peer(broker.port, "collector-main", "secret", subscribe="gi/#") as collector:
        for will in ("gi/S2/json", "gi/S1/json"):
            with Peer(broker.port, "S1", "secret", will=will) as station:
                if station.connected == ["Success"]:
                    station.vanish()
        wait_until(lambda: ("gi/S1/json", b"will") in collector.heard, "its own will has come")
        assert [topic for topic, _ in collector.heard] == ["gi/S1/json"]


@pytest.mark.parametrize("subscription", ["gi/S2/json", "gi/S1/json", "gi/clock/main", "#", "$SYS/#"])
def test_a_station_reads_nothing(broker, subscription):
    with Peer(broker.port, "S1", "secret", subscribe=subscription) as reader:
        for topic in ("gi/S2/json", "gi/S1/json"):
            assert heard_by_the_collector(broker, topic[3:5], topic) == ("Success", True)
        assert reader.heard == []


def test_a_collector_takes_back_its_own_clock_and_publishes_nothing_else(broker):
    with Peer(broker.port, "collector-main", "secret", subscribe="gi/#") as collector:
        for n, topic in enumerate(("gi/S1/json", "gi/clock/other", "gi/clock/main"), 1):
            with Peer(broker.port, "collector-main", "secret") as publisher:
                publisher.publish(topic, b"%d" % n)
                wait_until(lambda publisher=publisher: publisher.published, "it is answered")
                assert publisher.published == ["Success" if topic == "gi/clock/main" else REFUSED]
        wait_until(lambda: collector.heard, "the clock has come back")
        assert collector.heard == [("gi/clock/main", b"3")]


@pytest.mark.parametrize(("user", "password"), [(None, None), ("S1", None), ("S1", "wrong"), ("nobody", "secret")])
def test_nobody_connects_without_the_right_password(broker, user, password):
    with Peer(broker.port, user, password) as stranger:
        assert stranger.connected == [REFUSED]
