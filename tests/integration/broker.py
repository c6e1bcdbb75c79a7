"""A real Mosquitto that runs on the shipped configuration, for tests of any room."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties

SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "mosquitto"
TLS_KEYS = ("cafile", "certfile", "keyfile", "tls_version")


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Polls until the condition holds. The one place where tests of servers and threads wait."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        pause.wait(0.02)


class Mosquitto:
    """The shipped mosquitto.conf and acl with only paths, port and TLS lines replaced.

    `certificates`: a folder with ca.crt, server.crt and server.key keeps TLS on; without it the listener is plain.
    A context manager; `stop` lets it save its queues, `kill` does not.
    """

    def __init__(self, folder: Path, port: int, program: str = "mosquitto", certificates: Path | None = None):
        self.folder, self.port, self._program = folder, port, program
        self._process: subprocess.Popen | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "acl").write_bytes((SHIPPED / "acl").read_bytes())
        (folder / "acl").chmod(0o600)
        (folder / "passwd").touch(mode=0o600)
        (folder / "data").mkdir(exist_ok=True)
        (folder / "mosquitto.conf").write_text(self._configuration(certificates), encoding="utf-8")

    def _configuration(self, certificates: Path | None) -> str:
        paths = {
            "password_file": self.folder / "passwd",
            "acl_file": self.folder / "acl",
            "persistence_location": f"{self.folder / 'data'}/",
        }
        lines = []
        for line in (SHIPPED / "mosquitto.conf").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(" ")
            if key == "listener":
                line = f"listener {self.port} 127.0.0.1"
            elif key in paths:
                line = f"{key} {paths[key]}"
            elif key in TLS_KEYS and certificates is None:
                continue
            elif key in ("cafile", "certfile", "keyfile"):
                line = f"{key} {certificates / Path(value).name}"
            lines.append(line)
        if os.geteuid() == 0:
            lines.append("user root")  # else it would become `mosquitto`, who may not write below a temporary folder
        return "\n".join(lines) + "\n"

    def add_user(self, name: str, password: str) -> None:
        """Before `start`."""
        subprocess.run(["mosquitto_passwd", "-b", self.folder / "passwd", name, password], check=True, timeout=10)

    def start(self) -> None:
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", self.folder / "mosquitto.conf"], stdout=log, stderr=log
            )
        wait_until(self._answers, f"Mosquitto answers; its log:\n{self.log()}")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> "Mosquitto":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"Mosquitto ended with {self._process.returncode}:\n{self.log()}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait(timeout=10)
        self._process = None


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

    def _on_connect(self, _client, _userdata, _flags, reason, _properties) -> None:
        self.connected.append(str(reason))
        if reason.is_failure:
            self._client.disconnect()
        elif self._subscribe is not None:
            self._client.subscribe(self._subscribe, 1)
