"""A load generator: PUBLISH packets made beforehand, written to a socket as fast as the broker acknowledges them.

Promises: QoS 1, every packet acknowledged before the run ends, so little work that it is no stage worth speaking of.
Does not promise to be an MQTT client: one connection speaks for all stations, and lost packets are not sent again.
"""

import socket
import struct
import time
from collections.abc import Callable
from datetime import timedelta

from contracts.clock import Clock
from contracts.site import Site
from contracts.topics import STATION_JSON

from .workload import IN_ALARM_EVERY

USER = "load"
VARIANTS = 8  # rounds of different values; even and odd ones differ in their packet identifiers
WINDOW_ROUNDS = 2  # unacknowledged at most
_AT = "0000-00-00T00:00:00.000000Z"
PUBACK_BYTES = 4
PAUSE_S = 0.002


def _one_in_a_hundred(number: int, _variant: int) -> bool:
    return number % IN_ALARM_EVERY == IN_ALARM_EVERY - 1


def rounds_of(
    site: Site, parts: int = 1, is_in_alarm: Callable[[int, int], bool] = _one_in_a_hundred
) -> list[list[bytes]]:
    """One message a station, all factors: PUBLISH packets of MQTT 3.1.1 back to back, with `_AT` for the instant.

    A list a variant: its bytes in so many parts. is_in_alarm: of a station's number and a variant's.
    """
    codes = sorted({point.factor for point in site.points})
    made = []
    for variant in range(VARIANTS):
        packets = []
        for number, station in enumerate(site.stations):
            base = 600 if is_in_alarm(number, variant) else 100
            values = ",".join(
                f'"{code}":{(base + (7 * number + 37 * variant + n) % 300) / 10}' for n, code in enumerate(codes)
            )
            payload = f'{{"v":1,"station":"{station.station}","at":"{_AT}","readings":{{{values}}}}}'.encode()
            identifier = 1 + number + len(site.stations) * (variant % WINDOW_ROUNDS)
            packets.append(_publish(STATION_JSON.format(station=station.station), identifier, payload))
        each = -(-len(packets) // parts)
        made.append([b"".join(packets[at : at + each]) for at in range(0, len(packets), each)])
    return made


def send(
    site: Site,
    port: int,
    password: str,
    clock: Clock,
    rounds: int,
    may_send: Callable[[int], bool] = lambda _: True,
    parts: int = 1,
    is_in_alarm: Callable[[int, int], bool] = _one_in_a_hundred,
) -> None:
    """Sends so many rounds, each part stamped with the clock's now. may_send: asked with the messages sent so far.

    Raises ConnectionError where the broker refuses or leaves.
    """
    made, stations = rounds_of(site, parts, is_in_alarm), len(site.stations)
    with socket.create_connection(("127.0.0.1", port)) as broker:
        broker.sendall(_connect(USER, password))
        if broker.recv(4) != b"\x20\x02\x00\x00":
            raise ConnectionError(f"the broker refuses the user {USER!r}")
        answered_bytes, at = 0, clock.now()

        def wait_for(messages: int) -> None:
            nonlocal answered_bytes
            while answered_bytes < messages * PUBACK_BYTES:
                if not (answer := broker.recv(65536)):
                    raise ConnectionError("the broker closed the connection")
                answered_bytes += len(answer)

        for number in range(rounds):
            wait_for((number + 1 - WINDOW_ROUNDS) * stations)
            for n, packets in enumerate(made[number % VARIANTS]):
                while not may_send(number * stations + n * -(-stations // parts)):
                    time.sleep(PAUSE_S)
                at = max(clock.now(), at + timedelta(microseconds=1))  # two values of one instant would be a rewrite
                stamp = f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"
                broker.sendall(packets.replace(_AT.encode(), stamp.encode()))
        wait_for(rounds * stations)
        broker.sendall(b"\xe0\x00")  # DISCONNECT


def _publish(topic: str, identifier: int, payload: bytes) -> bytes:
    """MQTT 3.1.1, 3.3: QoS 1."""
    return b"\x32" + _counted(_text(topic) + struct.pack(">H", identifier) + payload)


def _connect(user: str, password: str) -> bytes:
    """MQTT 3.1.1, 3.1: clean session, user and password, no keep-alive."""
    return b"\x10" + _counted(
        _text("MQTT") + b"\x04\xc2\x00\x00" + _text("greenisland-bench") + _text(user) + _text(password)
    )


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _counted(rest: bytes) -> bytes:
    """Behind the packet's remaining length, seven bits a byte."""
    length, count = len(rest), b""
    while True:
        length, low = divmod(length, 128)
        count += bytes([low | (128 if length else 0)])
        if not length:
            return count + rest
