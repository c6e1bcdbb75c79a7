"""Notifications as MQTT messages, QoS 1: a connection an attempt, delivered when the broker has acknowledged.

Promises: never raises for what network or broker does; bounded time; a broker's refusal is told with what to look at.
Does not promise that anybody subscribes, nor that a broker of MQTT 3.1.1 says so where it drops what it does not allow.
"""

import json
import select
import ssl
import time
from collections.abc import Callable

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from contracts.broker import Broker
from contracts.channels import MqttTopic
from contracts.ports import Notification, Sent
from contracts.reasons import Receipt

from .http_post import TIMEOUT_S, certificate_words

BUSY = {"Server unavailable", "Server busy", "Quota exceeded", "Connection rate exceeded", "Receive maximum exceeded"}


class MqttSender:
    """contracts.ports.Sender. tls: what is trusted, for a broker with a ca_file; None: not encrypted."""

    def __init__(
        self,
        channel: MqttTopic,
        broker: Broker,
        password: str | None,
        tls: ssl.SSLContext | None,
        *,
        timeout_s: float = TIMEOUT_S,
    ):
        self._channel, self._broker, self._password, self._tls = channel, broker, password, tls
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"MqttSender({self._channel.name!r})"

    def send(self, notification: Notification, attempt: int) -> Sent:
        about = {"key": notification.key, "attempt": attempt, **notification.body}
        payload = json.dumps(about, ensure_ascii=False, allow_nan=False).encode()
        answers: list[Sent] = []
        client = self._client(payload, answers.append)
        try:
            client.connect(self._broker.host, self._broker.port, keepalive=30)
            ends_s = time.monotonic() + self._timeout_s
            while not answers and time.monotonic() < ends_s:
                if _turn(client, 0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    break
        except (OSError, ValueError) as error:
            return Sent(Receipt.FAILED, certificate_words(error) or _no_connection(error))
        finally:
            _leave(client)
        return answers[0] if answers else Sent(Receipt.FAILED, "the broker did not acknowledge it in time")

    def _client(self, payload: bytes, answered: Callable[[Sent], None]) -> mqtt.Client:
        protocol = mqtt.MQTTv5 if self._broker.protocol == "5" else mqtt.MQTTv311
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol, reconnect_on_failure=False)
        client.connect_timeout = self._timeout_s
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)

        def on_connect(_client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _more: object) -> None:
            if reason.is_failure:
                answered(_refusal("the broker refuses the connection", reason, "username and password_file"))
            else:
                client.publish(self._channel.topic, payload, qos=1)

        def on_publish(_client: mqtt.Client, _data: object, _mid: int, reason: ReasonCode, _more: object) -> None:
            if reason.is_failure:
                answered(_refusal("the broker refuses the message", reason, "topic and the broker's ACL"))
            else:
                answered(Sent(Receipt.DELIVERED, f"acknowledged ({reason})"))

        client.on_connect, client.on_publish = on_connect, on_publish
        return client


def _turn(client: mqtt.Client, wait_s: float) -> MQTTErrorCode:
    """Reads and writes what is there. Anything but success: the connection is over."""
    connection = client.socket()
    if connection is None:
        return MQTTErrorCode.MQTT_ERR_NO_CONN
    readable, writable, _ = select.select([connection], [connection] if client.want_write() else [], [], wait_s)
    result = client.loop_read() if readable else MQTTErrorCode.MQTT_ERR_SUCCESS
    if writable and result == MQTTErrorCode.MQTT_ERR_SUCCESS:
        result = client.loop_write()
    return result


def _leave(client: mqtt.Client) -> None:
    client.disconnect()
    if (connection := client.socket()) is not None:
        connection.close()


def _refusal(said: str, reason: ReasonCode, setting: str) -> Sent:
    if str(reason) in BUSY:
        return Sent(Receipt.FAILED, f"{said} for now ({reason})")
    return Sent(Receipt.REFUSED, f"{said} ({reason}); look at {setting}")


def _no_connection(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"no connection ({type(error).__name__}); look at host and port"
