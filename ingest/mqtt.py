"""The MQTT collector: journal first, acknowledge afterwards. Only this file and mqtt_client.py know paho.

Promises: a message is acknowledged to the broker only after the journal has it; what was not acknowledged comes again;
what is held in memory is bounded, in messages and in bytes.
Does not promise: that a message is journalled once (a lost connection repeats it), nor anything the broker does before.
"""

import logging
import queue
import re
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from contracts import topics
from contracts.clock import Clock
from contracts.ports import JournalWriter, RawMessage
from contracts.site import Broker

from .mqtt_client import Client

log = logging.getLogger(__name__)

SOURCE = "mqtt"
SESSION_EXPIRY_S = 7 * 86400  # how long the broker keeps our session, and what it queued for us, while we are away
GROUP_WAIT_S = 0.005  # how long the first message of a commit waits for others
GROUP_MAX = 500  # from so many on a commit waits no longer
BURST_MAX = 250  # messages read before they are handed over, so that reading and committing overlap
IN_FLIGHT_BYTES_MAX = 64 * 1024 * 1024  # with so much received and not settled, nothing more is read
STOP_POLL_S = 0.05  # how soon `stop`, which anyone may set, is noticed
FAREWELL_POLLS = 100  # of STOP_POLL_S at most each, for the broker's answer when we leave
FOREIGN_PREFIX = "mqtt/"  # before a topic that would pass for one of the journal's own

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK_PAYLOAD = re.compile(rb"[1-9][0-9]{0,18}")


@dataclass
class CollectorMetrics:
    """Counters and gauges of one collector. Each is written by one thread; a reader may be one group behind."""

    received: int = 0
    committed: int = 0
    acked: int = 0
    stale_acks: int = 0  # acknowledgements dropped because their connection was gone; the broker sends those again
    dropped_qos0: int = 0  # QoS 0 beyond the queue's bound; of QoS 1 the broker keeps the bound
    clock_rows: int = 0
    clock_repeats: int = 0  # our own clock messages, delivered a second time: not journalled
    foreign_clocks: int = 0  # on our clock's topic, but not ours as far as can be told
    queue_depth: int = 0  # received, not yet settled; at most receive_maximum
    queue_bytes: int = 0  # of their payloads; at most IN_FLIGHT_BYTES_MAX and one message
    connects: int = 0
    failed_connects: int = 0  # nobody answers, or its certificate is not trusted
    sessions_lost: int = 0  # reconnected, and the broker no longer knew us: what it had queued is gone
    refusals: int = 0  # connections and subscriptions the broker refused
    connected: bool = False
    subscribed: bool = False  # the broker has taken our subscriptions on this connection
    last_commit_at: datetime | None = None
    journal_full: bool = False  # the journal waits for room on the disk: nothing is acknowledged
    journal_full_times: int = 0

    @property
    def reconnects(self) -> int:
        return max(self.connects - 1, 0)


class _Delivery(NamedTuple):
    """A message and the token that acknowledges it, valid only on the connection it came by."""

    topic: str
    payload: bytes
    mid: int
    qos: int
    is_repeat: bool  # MQTT's DUP
    generation: int


class MqttCollector:
    """Takes in one broker's messages.

    Two threads. The network thread owns paho: it reads, keeps alive, publishes the clock, sends acknowledgements,
    reconnects; that one thread does all of these is why a stale token cannot slip out between two of them. The thread
    that called `run` commits. A slow journal stops the flow of messages, never the keep-alive.
    """

    def __init__(
        self,
        broker: Broker,
        password: str | None,
        *,
        client_id: str,
        collector: str,
        journal: JournalWriter,
        clock: Clock,
        clock_every: timedelta = timedelta(seconds=1),
        tick_s: int = 1,
        last_clock_us: int = 0,
        metrics: CollectorMetrics | None = None,
        reconnect_delay_s: tuple[float, float] = (1.0, 30.0),
    ):
        """`last_clock_us`: the last `$clock` of this collector in the journal; an earlier one is never journalled."""
        self._broker, self._journal, self._clock = broker, journal, clock
        self._clock_topic = topics.CLOCK.format(collector=collector)
        self._journal_clock = topics.JOURNAL_CLOCK.format(collector=collector)
        self._clock_every_us, self._tick_us = _microseconds(clock_every), tick_s * 1_000_000
        self._reconnect_delay_s = reconnect_delay_s
        self.metrics = metrics or CollectorMetrics()

        # Written by the committing thread.
        self._last_clock_us = last_clock_us
        # Written by the network thread.
        self._generation = 0  # of the connection that is open, or was last
        self._burst: list[_Delivery] = []
        self._taken = self._settled = 0
        self._unsettled_bytes = 0
        self._published_us, self._clock_slot = last_clock_us, -1
        # Between them.
        self._received: queue.SimpleQueue[list[_Delivery]] = queue.SimpleQueue()
        self._committed: deque[list[_Delivery]] = deque()
        self._taking = True
        self._ending = threading.Event()
        self._farewell = False
        self._client = self._make_client(client_id, password)

    def run(self, stop: threading.Event) -> None:
        """Takes messages in until `stop` is set; then commits and acknowledges what is queued, and disconnects.

        Raises what the journal raises, acknowledging nothing of what it did not take: let the process exit.
        """
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        with self._wake_read, self._wake_write, ThreadPoolExecutor(1, "mqtt-network") as threads:
            network = threads.submit(self._network)
            try:
                while not (stop.is_set() or network.done()):
                    self._commit(self._next_group(stop))
                self._taking = False  # what arrives from here on stays with the broker
                self._commit(self._drain([]))
            finally:
                self._taking = False
                self._ending.set()
                self._wake()
            _raise_failure(network)

    # --- the committing thread

    def _next_group(self, stop: threading.Event) -> list[_Delivery]:
        try:
            group = list(self._received.get(timeout=STOP_POLL_S))
        except queue.Empty:
            return []
        if len(self._drain(group)) < GROUP_MAX and not stop.wait(GROUP_WAIT_S):
            self._drain(group)
        return group

    def _drain(self, group: list[_Delivery]) -> list[_Delivery]:
        while not self._received.empty():
            group += self._received.get()
        return group

    def _commit(self, group: list[_Delivery]) -> None:
        if not group:
            return
        records = [record for delivery in group if (record := self._record(delivery)) is not None]
        now = self._clock.now()
        self._journal.append(records, now)
        self.metrics.committed += len(records)
        self.metrics.last_commit_at = now
        self._committed.append(group)
        self._wake()

    def _record(self, delivery: _Delivery) -> RawMessage | None:
        if delivery.topic == self._clock_topic:
            return self._clock_record(delivery)
        topic = FOREIGN_PREFIX + delivery.topic if delivery.topic.startswith("$") else delivery.topic
        return RawMessage(SOURCE, topic, delivery.payload)

    def _clock_record(self, delivery: _Delivery) -> RawMessage | None:
        """A `$clock` row where the message is ours; its raw topic, which no decoder knows, where it is not."""
        us = int(delivery.payload) if _CLOCK_PAYLOAD.fullmatch(delivery.payload) else None
        if us is not None and us % self._tick_us == 0:
            # Published by this run or, still queued from the run before, earlier: never later than our own clock.
            if self._last_clock_us < us <= max(self._published_us, self._now_us()):
                self._last_clock_us = us
                self.metrics.clock_rows += 1
                return RawMessage(SOURCE, self._journal_clock, delivery.payload)
            if us <= self._last_clock_us and delivery.is_repeat:
                self.metrics.clock_repeats += 1
                return None
        self.metrics.foreign_clocks += 1
        log.warning("a message on %s is not this collector's clock: %r", delivery.topic, delivery.payload[:40])
        return RawMessage(SOURCE, delivery.topic, delivery.payload)

    def _wake(self) -> None:
        try:
            self._wake_write.send(b"\0")
        except BlockingIOError:
            return  # full of wake-ups it has not read yet

    # --- the network thread

    def _network(self) -> None:
        first_s, most_s = self._reconnect_delay_s
        delay_s = first_s
        while not self._ending.is_set():
            connects = self.metrics.connects
            try:
                self._connect()
            except OSError as error:  # refused, unreachable, no such name, certificate not trusted
                self.metrics.failed_connects += 1
                log.warning("no connection to %s:%d: %s", self._broker.host, self._broker.port, error)
            else:
                self._serve()
            delay_s = first_s if self.metrics.connects > connects else min(delay_s * 2, most_s)
            self._settle_all()
            self._ending.wait(delay_s)
        self._disconnect()
        self.metrics.queue_depth = self.metrics.queue_bytes = 0  # what was read too late is the broker's still

    def _connect(self) -> None:
        self._client.drop_out_messages()  # clocks of the old connection: sent again they would follow newer ones
        if self._broker.protocol == "3.1.1":  # the session's persistence is the client's clean_session
            self._client.connect(self._broker.host, self._broker.port, keepalive=self._broker.keep_alive_s)
            return
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = self._broker.receive_maximum
        self._client.connect(
            self._broker.host,
            self._broker.port,
            keepalive=self._broker.keep_alive_s,
            clean_start=False,
            properties=properties,
        )

    def _serve(self) -> None:
        """Until the connection or the collector ends."""
        has_more = False  # read ahead: the socket no longer shows it
        while not self._ending.is_set() and self._client.socket() is not None:
            may_read = self._has_room()
            due_s = min(self._publish_clock() if may_read else 1.0, 1.0)  # paho looks after the keep-alive when called
            is_ready = self._poll(0 if has_more and may_read else due_s, may_read)
            if may_read and (is_ready or has_more):
                has_more = self._read_burst()
            self._settle()
            self._client.loop_write()
            if is_ready or not may_read:
                self._client.expect_no_answer()
            self._client.loop_misc()

    def _has_room(self) -> bool:
        return self._unsettled_bytes < IN_FLIGHT_BYTES_MAX

    def _poll(self, timeout_s: float, may_read: bool = True) -> bool:
        """Waits for the network or the committing thread; whether there is something to read."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        events = (select.POLLIN if may_read else 0) | (select.POLLOUT if self._client.want_write() else 0)
        if events and (connection := self._client.socket()) is not None:
            poll.register(connection, events)
        ready = poll.poll(timeout_s * 1000)
        wake = self._wake_read.fileno()
        if any(fd == wake for fd, _ in ready):
            self._wake_read.recv(4096)
        return any(fd != wake and event != select.POLLOUT for fd, event in ready)

    def _read_burst(self) -> bool:
        """What has arrived: paho itself would go back to wait after every packet. Whether there may be more."""
        has_more = True
        while has_more and len(self._burst) < BURST_MAX and self._has_room():
            before = self.metrics.received
            self._client.take_ready(BURST_MAX - len(self._burst))
            self._client.loop_read()
            is_open = self._client.socket() is not None
            has_more = is_open and (self.metrics.received > before or self._client.has_read_ahead())
        if self._burst:
            self._received.put(self._burst)
            self._burst = []
        return has_more

    def _settle(self) -> None:
        """Acknowledges what was committed, in the order of receipt, as far as it came by the connection now open."""
        identifiers: list[int] = []
        stale = 0
        is_open = self._client.is_connected()
        while self._committed:
            group = self._committed.popleft()
            self._settled += len(group)
            for delivery in group:
                self._unsettled_bytes -= len(delivery.payload)
                if delivery.qos == 0:
                    continue
                if is_open and delivery.generation == self._generation:
                    identifiers.append(delivery.mid)
                else:
                    stale += 1
        self._client.acknowledge(identifiers)
        self.metrics.acked += len(identifiers)
        self.metrics.stale_acks += stale
        self.metrics.queue_depth = self._taken - self._settled
        self.metrics.queue_bytes = self._unsettled_bytes

    def _settle_all(self) -> None:
        """A new connection brings up to receive_maximum messages: only with nothing left of the old is that a bound."""
        self._settle()
        while self._settled < self._taken and not self._ending.is_set():
            self._poll(STOP_POLL_S)
            self._settle()

    def _disconnect(self) -> None:
        """Leaves, once the broker has taken our last acknowledgements.

        Closing a socket with something unread in it resets the connection, and what the broker has not yet read of
        ours is lost with it. So a request that changes nothing goes behind them; its answer says they have arrived.
        """
        self._settle()
        if self._client.is_connected():
            self._client.unsubscribe(f"{self._clock_topic}/end")
            self._poll_until(lambda: self._farewell)
        self._client.disconnect()
        self._poll_until(lambda: False)
        if (connection := self._client.socket()) is not None:
            log.warning("the broker does not take our last acknowledgements; it will repeat those messages")
            connection.close()

    def _poll_until(self, condition: Callable[[], bool]) -> None:
        """Or the connection has ended, or the broker has not moved for some seconds."""
        for _ in range(FAREWELL_POLLS):
            self._client.loop_write()
            if condition() or self._client.socket() is None:
                return
            if self._poll(STOP_POLL_S):
                self._read_burst()

    def _publish_clock(self) -> float:
        """Publishes the clock where it is due; returns how many real seconds until it is due again."""
        now_us = self._now_us()
        slot, into_slot_us = divmod(now_us, self._clock_every_us)
        if slot != self._clock_slot and self._client.is_connected():
            self._clock_slot = slot
            us = now_us - now_us % self._tick_us
            if us > self._published_us:  # else the wall clock was set back: silent until it has caught up
                self._published_us = us
                self._client.publish(self._clock_topic, str(us).encode(), qos=1)
        return self._clock.real_s((self._clock_every_us - into_slot_us) / 1e6)

    def _now_us(self) -> int:
        return _microseconds(self._clock.now() - _EPOCH)

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic.encode()
        except UnicodeDecodeError as error:
            topic = error.object
        self._take(topic, message.payload, message.mid, message.qos, message.dup)

    def _take(self, topic: bytes, payload: bytes, mid: int, qos: int, is_repeat: bool) -> None:
        self.metrics.received += 1
        if not self._taking:
            return
        if qos == 0 and self._taken - self._settled >= self._broker.receive_maximum:
            self.metrics.dropped_qos0 += 1
            return
        self._taken += 1
        self._unsettled_bytes += len(payload)
        # A broker must not let a topic through that is not UTF-8; if it does, it shall be seen, not raise.
        text = topic.decode("utf-8", "replace")
        self._burst.append(_Delivery(text, payload, mid, qos, is_repeat, self._generation))

    def _on_connect(self, client, _userdata, flags, reason, _properties) -> None:
        if reason.is_failure:
            self.metrics.refusals += 1
            log.error("the broker refuses the connection: %s", reason)
            return
        self._generation += 1
        self.metrics.connects += 1
        self.metrics.connected = True
        if self.metrics.reconnects and not flags.session_present:
            self.metrics.sessions_lost += 1
            log.error("the broker has forgotten this collector's session; what it had queued is lost")
        how: SubscribeOptions | int = 1
        if self._broker.protocol == "5":
            how = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        client.subscribe([(topic, how) for topic in (*topics.SUBSCRIPTIONS, self._clock_topic)])
        log.info("connected to %s:%d", self._broker.host, self._broker.port)

    def _on_subscribe(self, _client, _userdata, _mid, reasons, _properties) -> None:
        self.metrics.subscribed = not any(reason.is_failure for reason in reasons)
        for reason in reasons:
            if reason.is_failure:
                self.metrics.refusals += 1
                log.error("the broker refuses a subscription: %s", reason)

    def _on_publish(self, _client, _userdata, _mid, reason, _properties) -> None:
        if reason.is_failure:
            self.metrics.refusals += 1
            log.error("the broker refuses our clock on %s: %s; see deploy/mosquitto/acl", self._clock_topic, reason)

    def _on_unsubscribe(self, _client, _userdata, _mid, _reasons, _properties) -> None:
        self._farewell = True

    def _on_disconnect(self, _client, _userdata, _flags, reason, _properties) -> None:
        self.metrics.connected = self.metrics.subscribed = False
        if not self._ending.is_set():
            log.warning("connection lost: %s", reason)

    def _make_client(self, client_id: str, password: str | None) -> Client:
        if self._broker.protocol == "5":
            client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5, manual_ack=True)
        else:
            client = Client(
                CallbackAPIVersion.VERSION2,
                client_id=client_id,
                protocol=mqtt.MQTTv311,
                clean_session=False,
                manual_ack=True,
            )
        client.take = self._take
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        client.on_publish, client.on_unsubscribe = self._on_publish, self._on_unsubscribe
        # With this set, paho queues what it sends and leaves the sending to our loop_write.
        client.on_socket_register_write = lambda _client, _userdata, _socket: None
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, password)
        if self._broker.ca_file is not None:
            authority = Path(self._broker.ca_file).read_text(encoding="ascii")
            client.tls_set_context(ssl.create_default_context(cadata=authority))
        return client


def _raise_failure(network: Future) -> None:
    """A network thread that fails has a defect; unnoticed, the collector would look alive and take nothing in."""
    if (error := network.exception()) is not None:
        raise error


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
