"""Asks a broker what a collector needs of it: an answer, TLS that can be verified, the credential, the clock.

Promises: connects under a client identifier of its own and leaves no session behind; publishes nothing.
"""

import os
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from contracts import topics
from contracts.broker import Broker
from contracts.instants import EPOCH, MICROSECOND


@dataclass
class Asked:
    failed: str | None = None
    do: str = ""
    certificates: list[tuple[str, datetime]] = field(default_factory=list)  # whose, until when
    skew: timedelta | None = None  # it is so much later here than the clock row says; None: none came


def ask_broker(broker: Broker, collector: str, now: Callable[[], datetime], wait_s: float, timeout_s: float) -> Asked:
    """wait_s: for a clock row of the collector; timeout_s: for each of the broker's answers."""
    asked = Asked()
    context = None
    try:
        password = _password(broker.password_file)
        if broker.ca_file is not None:
            context = ssl.create_default_context(cadata=Path(broker.ca_file).read_text(encoding="ascii"))
            _take_authorities(context, asked)
    except (OSError, ValueError) as error:
        return _failed(asked, str(error), "mend broker.password_file and broker.ca_file in site.yaml")
    try:
        with socket.create_connection((broker.host, broker.port), timeout=timeout_s) as plain:
            if context is not None:
                with context.wrap_socket(plain, server_hostname=broker.host) as tls:
                    asked.certificates.insert(0, ("the broker", _ends_at(tls.getpeercert() or {})))
    except ssl.SSLCertVerificationError as error:
        do = "is it by broker.ca_file, is it for this name, has it run out? docs/guide/install.md makes a new one"
        return _failed(asked, f"its certificate is not accepted: {error.verify_message}", do)
    except ssl.SSLError as error:
        return _failed(asked, f"no TLS there: {error.reason}", "is the port right? 8883 is TLS, 1883 is not")
    except OSError as error:
        return _failed(asked, f"does not answer: {error}", "is it running, is a firewall between?")
    return _speak(broker, password, context, collector, now, wait_s, timeout_s, asked)


def _speak(
    broker: Broker,
    password: str | None,
    context: ssl.SSLContext | None,
    collector: str,
    now: Callable[[], datetime],
    wait_s: float,
    timeout_s: float,
    asked: Asked,
) -> Asked:
    answered, heard = threading.Event(), threading.Event()
    refused: list[str] = []
    protocol = mqtt.MQTTv5 if broker.protocol == "5" else mqtt.MQTTv311
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"greenisland-doctor-{os.getpid()}",
        protocol=protocol,
        reconnect_on_failure=False,
    )

    def connected(_client: mqtt.Client, _userdata: object, _flags: object, reason: object, _properties: object) -> None:
        if getattr(reason, "is_failure", False):
            refused.append(f"it refuses the connection: {reason}")
            answered.set()
        else:
            client.subscribe(topics.CLOCK.format(collector=collector), 0)

    def subscribed(_client: mqtt.Client, _userdata: object, _mid: int, reasons: list, _properties: object) -> None:
        refused.extend(f"it refuses the clock's topic: {reason}" for reason in reasons if reason.is_failure)
        answered.set()

    def message(_client: mqtt.Client, _userdata: object, said: mqtt.MQTTMessage) -> None:
        if said.payload.isdigit() and not said.retain:
            asked.skew = now() - (EPOCH + int(said.payload) * MICROSECOND)
            heard.set()

    client.on_connect, client.on_subscribe, client.on_message = connected, subscribed, message
    if broker.username is not None:
        client.username_pw_set(broker.username, password)
    if context is not None:
        client.tls_set_context(context)
    try:
        client.connect(broker.host, broker.port, keepalive=broker.keep_alive_s)
    except OSError as error:
        return _failed(asked, f"does not answer: {error}", "is it running?")
    client.loop_start()
    try:
        if not answered.wait(timeout_s):
            return _failed(asked, f"says nothing within {timeout_s:.0f} s", "is it an MQTT broker, is it overloaded?")
        if refused:
            return _failed(asked, refused[0], "user, password and ACL: docs/guide/mqtt.md, `greenisland deploy check`")
        heard.wait(wait_s)
    finally:
        client.disconnect()
        client.loop_stop()
        if (left := client.socket()) is not None:
            left.close()
    return asked


def _failed(asked: Asked, what: str, do: str) -> Asked:
    asked.failed, asked.do = what, do
    return asked


def _password(path: str | None) -> str | None:
    return None if path is None else Path(path).read_text(encoding="utf-8").rstrip("\r\n")


def _take_authorities(context: ssl.SSLContext, asked: Asked) -> None:
    asked.certificates += [("its authority", _ends_at(one)) for one in context.get_ca_certs()]


def _ends_at(certificate: dict) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
