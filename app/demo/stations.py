"""The stations, live: each publishes as a client of its own, at its time on the clock, QoS 1.

Promises: a station's messages leave in their order, each once its predecessor is acknowledged.
"""

import asyncio
import threading
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import aiomqtt

from contracts.clock import Clock
from contracts.site import Broker
from simulators.simulate import LiveSimulator, Message

AHEAD = timedelta(minutes=10)  # simulated at once: asking for every second's messages would cost a whole core
POLL_S = 0.02


@dataclass
class Published:
    messages: int = 0
    connected: int = 0  # stations
    ready: threading.Event = field(default_factory=threading.Event)  # all of them, and the first messages are made


def run_stations(
    simulator: LiveSimulator,
    stations: list[str],
    broker: Broker,
    clock: Clock,
    from_at: datetime,
    stop: threading.Event,
    published: Published,
) -> None:
    """Publishes what the stations send from `from_at` on, until `stop` is set. Raises aiomqtt.MqttError."""
    asyncio.run(_publish(simulator, stations, broker, clock, from_at, stop, published))


async def _publish(
    simulator: LiveSimulator,
    stations: list[str],
    broker: Broker,
    clock: Clock,
    from_at: datetime,
    stop: threading.Event,
    published: Published,
) -> None:
    lines: dict[str, asyncio.Queue[Message]] = {station: asyncio.Queue() for station in stations}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_station(name, broker, lines[name], published)) for name in stations]
        await _release(simulator, lines, clock, from_at, stop, published)
        for task in tasks:
            task.cancel()


async def _release(
    simulator: LiveSimulator,
    lines: dict[str, asyncio.Queue[Message]],
    clock: Clock,
    from_at: datetime,
    stop: threading.Event,
    published: Published,
) -> None:
    """Hands every message to its station when its time has come."""
    until = from_at
    waiting: list[Message] = []
    ahead = asyncio.create_task(asyncio.to_thread(simulator.messages, until, until + AHEAD))
    is_last = False  # round: what is due when the end comes is still sent
    while not is_last:
        is_last = stop.is_set()
        if ahead.done() and published.connected == len(lines):
            published.ready.set()
        now = clock.now()
        while now >= until:
            waiting += await ahead
            until += AHEAD
            ahead = asyncio.create_task(asyncio.to_thread(simulator.messages, until, until + AHEAD))
        due = bisect_right(waiting, now, key=lambda message: message.received_at)
        for message in waiting[:due]:
            lines[message.topic.split("/")[1]].put_nowait(message)
        del waiting[:due]
        await asyncio.sleep(POLL_S)
    await ahead
    for line in lines.values():
        await line.join()


async def _station(name: str, broker: Broker, line: "asyncio.Queue[Message]", published: Published) -> None:
    async with aiomqtt.Client(
        broker.host, broker.port, identifier=name, protocol=aiomqtt.ProtocolVersion.V311, keepalive=broker.keep_alive_s
    ) as client:
        published.connected += 1
        while True:
            message = await line.get()
            await client.publish(message.topic, message.payload, qos=1)
            published.messages += 1
            line.task_done()
