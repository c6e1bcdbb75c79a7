"""Stations that publish by QoS 1 under their own identities, and the ledger of what the broker acknowledged.

Promises: what a station says of a minute follows from the seed, the station and the minute alone; its messages are
published one after another, and each stands in the ledger once. When they are published depends on the machine.
"""

import asyncio
import heapq
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

import aiomqtt

from contracts.clock import Clock
from contracts.topics import STATION_JSON

from .made_site import FACTORS, STATIONS
from .tempo import START_AT

MINUTE = timedelta(minutes=1)
PASSWORD = "s"  # of every station, on a broker that lives as long as the run
BLOCK = 8  # minutes a station stays as it is: within its limits, above them, or silent
SHARE_ABOVE, SHARE_SILENT = 0.25, 0.06  # of the blocks
SHARE_LATE, SHARE_CORRECTED, SHARE_BROKEN = 0.04, 0.04, 0.02  # of the messages
POLL_S = 0.02
ANSWER_S = 60.0


@dataclass(frozen=True)
class Said:
    """One message. `tenths`: factor -> value in 0.1 mg/m3; empty where the message is broken on purpose."""

    due_at: datetime  # when it is published, on the centre's clock
    station: str
    minute_at: datetime
    tenths: dict[str, int]
    payload: bytes

    @property
    def topic(self) -> str:
        return STATION_JSON.format(station=self.station)


@dataclass
class Ledger:
    """In the order of publishing; `acknowledged` holds the places of those the broker said it has."""

    said: list[Said] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)

    def kept(self) -> list[Said]:
        return [self.said[place] for place in sorted(self.acknowledged)]


def says(seed: int, station: str, minute: int) -> Iterator[Said]:
    """What the station says of one minute after START_AT: nothing, its readings, later other ones, or rubbish."""
    block = Random(f"{seed}/{station}/block {minute // BLOCK}").random()
    if block < SHARE_SILENT:
        return
    rng = Random(f"{seed}/{station}/{minute}")
    at = START_AT + minute * MINUTE
    due_at = at + MINUTE + timedelta(seconds=rng.uniform(1, 25))
    if rng.random() < SHARE_LATE:
        due_at += timedelta(minutes=rng.uniform(2, 12))
    low, high = (550, 1200) if block > 1 - SHARE_ABOVE else (300, 450)
    yield _said(due_at, station, at, {factor: rng.randint(low, high) for factor in FACTORS})
    if rng.random() < SHARE_CORRECTED:
        tenths = {factor: rng.randint(300, 1200) for factor in FACTORS}
        yield _said(due_at + timedelta(minutes=rng.uniform(1, 5)), station, at, tenths)
    if rng.random() < SHARE_BROKEN:
        yield Said(due_at, station, at, {}, b'{"v": 1, "station": "%s", "broken": %d' % (station.encode(), minute))


def _said(due_at: datetime, station: str, at: datetime, tenths: dict[str, int]) -> Said:
    readings = {factor: value / 10 for factor, value in tenths.items()}
    body = {"v": 1, "station": station, "at": at.isoformat(), "period_s": 60, "kind": "avg", "readings": readings}
    return Said(due_at, station, at, tenths, json.dumps(body).encode())


class Refused(Exception):
    """The broker did not take a message: the run proves nothing."""


class _Device(aiomqtt.Client):
    """aiomqtt drops the broker's reason for a message it refused; without it a refusal would count as acknowledged."""

    refusal: str | None = None

    def _on_publish(self, client, userdata, mid, reason_code, properties) -> None:  # type: ignore[no-untyped-def]
        if reason_code.is_failure:
            self.refusal = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)


class Publisher:
    """All stations, in a thread of their own. `stop` returns when everything published is acknowledged."""

    def __init__(self, port: int, clock: Clock, seed: int):
        self.ledger = Ledger()
        self._port, self._clock, self._seed = port, clock, seed
        self._ending = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="stations")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Raises what the stations failed of."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.check()

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._publish_all())
        except (aiomqtt.MqttError, Refused, ExceptionGroup) as error:
            self._failure = error

    async def _publish_all(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for station in STATIONS:
                tasks.create_task(self._publish(station))

    async def _publish(self, station: str) -> None:
        device = _Device(
            "127.0.0.1",
            self._port,
            username=station,
            password=PASSWORD,
            identifier=station,
            protocol=aiomqtt.ProtocolVersion.V5,  # 3.1.1 acknowledges what it refuses
            timeout=ANSWER_S,
        )
        waiting: list[tuple[datetime, int, Said]] = []
        minute = 0
        async with device:
            while not self._ending.is_set():
                now = self._clock.now()
                while START_AT + minute * MINUTE < now:
                    for n, said in enumerate(says(self._seed, station, minute)):
                        heapq.heappush(waiting, (said.due_at, 10 * minute + n, said))
                    minute += 1
                while waiting and waiting[0][0] <= now:
                    await self._publish_one(device, heapq.heappop(waiting)[2])
                await asyncio.sleep(POLL_S)

    async def _publish_one(self, device: _Device, said: Said) -> None:
        place = len(self.ledger.said)
        self.ledger.said.append(said)
        await device.publish(said.topic, said.payload, qos=1)
        if device.refusal is not None:
            raise Refused(f"{said.topic}: {device.refusal}")
        self.ledger.acknowledged.add(place)
