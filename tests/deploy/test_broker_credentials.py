"""What `deploy init` makes, on a real Mosquitto with TLS: everybody speaks for himself, strangers not at all."""

import json
import os
import signal
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from app.deploying.certificates import Pair, make_authority
from app.deploying.directory import IN_PLACE, add_station, revoke_station
from app.deploying.secret_files import password_line, replace_users, users_of
from contracts.channels import MqttTopic
from contracts.ports import Notification, Sent
from contracts.reasons import Receipt
from notify.senders.mqtt import MqttSender

from ..integration.broker import wait_until
from .tls_broker import TlsPeer, broker_on, give

pytestmark = pytest.mark.server

REFUSED = "Not authorized"


@pytest.fixture(scope="module")
def broker(shared_deployment, tmp_path_factory, require_program):
    with broker_on(shared_deployment, tmp_path_factory.mktemp("mosquitto"), require_program) as running:
        yield running


@pytest.fixture
def peer(broker, shared_deployment):
    """peer(user) with that user's own password, as it stands in the directory."""

    def make(user: str, **options) -> TlsPeer:
        own = shared_deployment.own_password(user)
        password = (own if own.exists() else shared_deployment.station_password(user)).read_text()
        return TlsPeer(broker, shared_deployment.broker_certificates / "ca.crt", user, password, **options)

    return make


def answer_to(peer, user, topic) -> tuple[str, bool]:
    """What the broker says to one publication, and whether a collector heard it."""
    with peer("collector-main", subscribe="gi/#") as collector:
        with peer(user) as publisher:
            publisher.publish(topic, b"claim")
            wait_until(lambda: publisher.published, "an answer")
        with peer("S1") as honest:
            honest.publish("gi/S1/json", b"behind it")
            wait_until(lambda: ("gi/S1/json", b"behind it") in collector.heard, "what came behind it")
        return publisher.published[0], (topic, b"claim") in collector.heard


@pytest.mark.parametrize("topic", ["gi/S1/json", "gi/S1/hj212"])
def test_a_station_speaks_for_itself_over_tls(peer, topic):
    assert answer_to(peer, "S1", topic) == ("Success", True)


@pytest.mark.parametrize("topic", ["gi/S2/json", "gi/S2/hj212", "gi/clock/main", "gi/clock/east", "gi/clock/json"])
def test_with_its_credential_a_station_speaks_neither_for_another_nor_for_a_clock(peer, topic):
    assert answer_to(peer, "S1", topic) == (REFUSED, False)


@pytest.mark.parametrize(("user", "password"), [(None, None), ("S1", None), ("S1", "guessed"), ("S3", "guessed")])
def test_without_the_right_credential_nobody_comes_in(broker, shared_deployment, user, password):
    with TlsPeer(broker, shared_deployment.broker_certificates / "ca.crt", user, password) as stranger:
        assert stranger.connected == [REFUSED]


def test_another_stations_password_does_not_do(broker, shared_deployment):
    password = shared_deployment.station_password("S2").read_text()
    with TlsPeer(broker, shared_deployment.broker_certificates / "ca.crt", "S1", password) as stranger:
        assert stranger.connected == [REFUSED]


def test_a_broker_by_an_unknown_authority_is_not_believed(broker, tmp_path):
    stranger = Pair(tmp_path / "ca.crt", tmp_path / "ca.key")
    make_authority(stranger, "somebody else")
    trusts = ssl.create_default_context(cafile=str(stranger.certificate))
    with (
        socket.create_connection(("127.0.0.1", broker.port), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"),
    ):
        trusts.wrap_socket(plain, server_hostname="127.0.0.1")


def test_without_tls_the_port_says_nothing(broker):
    with socket.create_connection(("127.0.0.1", broker.port), timeout=10) as plain:
        plain.sendall(b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03S1x")  # CONNECT, as MQTT 5 has it
        with suppress(ConnectionResetError):
            assert not plain.recv(64).startswith(b"\x20")  # at most a TLS alert, no CONNACK


@pytest.mark.parametrize("name", ["main", "east"])
def test_a_collector_writes_and_reads_its_own_clock_and_no_other(peer, name):
    other = "east" if name == "main" else "main"
    user = f"collector-{name}"
    with peer(user, subscribe="gi/#") as collector:
        for topic, said in ((f"gi/clock/{other}", REFUSED), (f"gi/clock/{name}", "Success")):
            with peer(user) as publisher:
                publisher.publish(topic, b"1")
                wait_until(lambda publisher=publisher: publisher.published, "an answer")
                assert publisher.published == [said]
        wait_until(lambda: collector.heard, "the clock has come back")
        assert collector.heard == [(f"gi/clock/{name}", b"1")]


NOTIFICATION = Notification("k" * 64, "alerts", {"text": "二氧化硫超标", "level": "red"})


def channel_of_site_sections(layout, port) -> MqttTopic:
    """As `deploy init` proposes it, on this broker."""
    text = (layout.root / "site-sections.yaml").read_text(encoding="utf-8")
    commented = text[text.index("# channels:") :].replace(IN_PLACE, str(layout.root)).replace("8883", str(port))
    (about,) = yaml.safe_load(commented.replace("# ", ""))["channels"]
    return MqttTopic.model_validate(about)


def test_notifications_go_over_the_sites_broker_as_a_user_of_their_own_to_whoever_may_read_them(
    deployment, tmp_path, require_program
):
    with (deployment.acl).open("a", encoding="utf-8") as acl:  # as the guide says: one block for whoever takes them
        acl.write("\nuser wall\ntopic read greenisland/alerts\n")
    users = users_of(deployment.passwd)
    replace_users(deployment.passwd, {**users, "wall": password_line("wall", "w")})
    authority = deployment.broker_certificates / "ca.crt"
    with broker_on(deployment, tmp_path / "mosquitto", require_program) as running:
        channel = channel_of_site_sections(deployment, running.port)
        trusted = ssl.create_default_context(cafile=channel.broker.ca_file)
        password = Path(channel.broker.password_file).read_text()

        def send(topic: str) -> Sent:
            return MqttSender(channel.model_copy(update={"topic": topic}), channel.broker, password, trusted).send(
                NOTIFICATION, 1
            )

        with TlsPeer(running, authority, "wall", "w", subscribe="greenisland/alerts") as wall:
            assert send(channel.topic).receipt == Receipt.DELIVERED
            wait_until(lambda: wall.heard, "the notification")
            ((topic, said),) = wall.heard
        assert (topic, json.loads(said)["text"]) == ("greenisland/alerts", "二氧化硫超标")
        for elsewhere in ("gi/S1/json", "gi/clock/main", "other"):
            assert send(elsewhere)[:2] == (
                Receipt.REFUSED,
                "the broker refuses the message (Not authorized); look at topic and the broker's ACL",
            )
        station = deployment.station_password("S1").read_text()
        with TlsPeer(running, authority, "S1", station) as publisher:
            publisher.publish("greenisland/alerts", b"all is well")
            wait_until(lambda: publisher.published, "an answer")
            assert publisher.published == [REFUSED]


def test_a_station_does_not_hear_a_clock(peer):
    with peer("S1", subscribe="gi/clock/main") as reader:
        with peer("collector-main", subscribe="gi/#") as collector:
            collector.publish("gi/clock/main", b"2")
            wait_until(lambda: ("gi/clock/main", b"2") in collector.heard, "the collector has heard it")
        assert reader.heard == []


def test_a_revoked_station_is_cut_off_and_a_new_one_let_in_when_the_broker_reads_again(
    deployment, tmp_path, require_program
):
    authority = deployment.broker_certificates / "ca.crt"
    passwords = {name: deployment.station_password(name).read_text() for name in ("S1", "S2")}
    with broker_on(deployment, tmp_path / "mosquitto", require_program) as running:
        with (
            TlsPeer(running, authority, "S1", passwords["S1"]) as revoked,
            TlsPeer(running, authority, "S2", passwords["S2"]) as kept,
        ):
            revoke_station(deployment.root, "S1")
            path = add_station(deployment.root, "S3")
            give(deployment, running)
            os.kill(running.pid, signal.SIGHUP)
            wait_until(lambda: not revoked._client.is_connected(), "the revoked one is cut off")
            assert kept._client.is_connected()
        with TlsPeer(running, authority, "S1", passwords["S1"]) as again:
            assert again.connected == [REFUSED]
        with TlsPeer(running, authority, "S3", path.read_text()) as new:
            assert new.connected == ["Success"]
