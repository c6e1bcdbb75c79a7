"""Clients of a real broker, for tests of any room."""

import socket

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties

from app.bench.mosquitto import SHIPPED, Mosquitto, wait_until

__all__ = ["SHIPPED", "Mosquitto", "Peer", "wait_until"]


class Peer:
    """A client of the broker's: a station, or somebody who would pass for one. A context manager; does not reconnect.

    `connected` holds the broker's answer as text, `published` its answers to QoS 1 messages, `heard` what it sent us.
    """

    def __init__(
        self,
        port: int,
        user: str | None = None,
        password: str | None = None,
        *,
        client_id: str = "",
        subscribe: str | None = None,
        will: str | None = None,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
    ):
        self.connected: list[str] = []
        self.published: list[str] = []
        self.subscribed: list[str] = []
        self.heard: list[tuple[str, bytes]] = []
        self._port, self._subscribe = port, subscribe
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, reconnect_on_failure=False
        )
        client.max_inflight_messages = 500
        client.on_connect = self._on_connect
        client.on_publish = lambda _c, _u, _mid, reason, _p: self.published.append(str(reason))
        client.on_subscribe = lambda _c, _u, _mid, reasons, _p: self.subscribed.extend(map(str, reasons))
        client.on_message = lambda _c, _u, message: self.heard.append((message.topic, message.payload))
        if user is not None:
            client.username_pw_set(user, password)
        if will is not None:
            client.will_set(will, b"will", qos=1)

    def publish(
        self, topic: str, payload: bytes, qos: int = 1, retain: bool = False, properties: Properties | None = None
    ) -> None:
        self._client.publish(topic, payload, qos, retain, properties)

    def publish_all(self, topic: str, payloads: list[bytes]) -> None:
        """Returns when the broker has acknowledged every one."""
        expected = len(self.published) + len(payloads)
        for payload in payloads:
            self.publish(topic, payload)
        wait_until(lambda: len(self.published) == expected, f"{expected} messages acknowledged by the broker")

    def vanish(self) -> None:
        """Drops the connection without a farewell, so that the broker publishes the will."""
        self._client.socket().shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Peer":
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        wait_until(lambda: self.connected, "an answer to CONNECT")
        if self._subscribe is not None:
            wait_until(lambda: self.subscribed, "an answer to SUBSCRIBE")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client._reset_sockets()  # paho leaves this to the garbage collector, which may come to its sockets first

    def _on_connect(self, _client, _userdata, _flags, reason, _properties) -> None:
        self.connected.append(str(reason))
        if reason.is_failure:
            self._client.disconnect()
        elif self._subscribe is not None:
            self._client.subscribe(self._subscribe, 1)
