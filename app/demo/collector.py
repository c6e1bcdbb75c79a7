"""The collector over MQTT 3.1.1, which is all the embedded broker knows. Everything else is the collector of `run`.

Does not promise a session that outlives the connection: the broker ends with the demo.
"""

import threading
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from contracts import topics
from contracts.clock import Clock
from contracts.site import Site
from ingest.mqtt import MqttCollector
from store.journal import Journal
from store.journal_reader import last_payload

from ..collector import journal_directory


class Mqtt311Collector(MqttCollector):
    listening: threading.Event  # set once the broker has taken the subscriptions

    def _make_client(self, client_id: str, _password: str | None) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv311,
            clean_session=True,
            manual_ack=True,
        )
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        client.on_publish, client.on_unsubscribe = self._on_publish, self._on_unsubscribe
        client.on_socket_register_write = lambda _client, _userdata, _socket: None  # `_serve` writes
        return client

    def _connect(self) -> None:
        self._client.drop_out_messages()
        self._client.connect(self._broker.host, self._broker.port, keepalive=self._broker.keep_alive_s)

    def _on_connect(self, client, _userdata, _flags, reason, _properties) -> None:
        if reason.is_failure:
            self.metrics.refusals += 1
            return
        self._generation += 1
        self.metrics.connects += 1
        self.metrics.connected = True
        client.subscribe([(topic, 1) for topic in (*topics.SUBSCRIPTIONS, self._clock_topic)])

    def _on_subscribe(self, client, userdata, mid, reasons, properties) -> None:
        super()._on_subscribe(client, userdata, mid, reasons, properties)
        self.listening.set()


def run_collector(site: Site, state_dir: Path, clock: Clock, stop: threading.Event, listening: threading.Event) -> None:
    """Runs the site's first collector until `stop` is set; sets `listening` when messages are taken in."""
    name = site.file.collectors[0]
    directory = journal_directory(state_dir, name)
    with Journal(directory) as journal:
        last_clock = last_payload(directory, topics.JOURNAL_CLOCK.format(collector=name))
        collector = Mqtt311Collector(
            site.file.broker,
            None,
            client_id=f"greenisland-{site.file.site}-{name}",
            collector=name,
            journal=journal,
            clock=clock,
            clock_every=site.file.clock_every,
            tick_s=site.file.tick_s,
            last_clock_us=int(last_clock or 0),
        )
        collector.listening = listening
        collector.run(stop)
