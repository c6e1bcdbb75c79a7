"""paho, made to read and to acknowledge many messages at once.

Promises: bytes are used once, in order; a packet that is not a plain QoS 1 message goes paho's way.
Does not promise to outlive any release of paho: the ways used are its own and private; renamed, they fail loudly.
"""

import struct
from collections.abc import Callable, Sequence

import paho.mqtt.client as mqtt

# paho asks the system three times for a message's header, makes the table of all property names anew for each message,
# and sends each acknowledgement by itself. Measured: 9 us of a core a message of 900 bytes instead of 27.
READ_BYTES = 262_144

_PUBLISH_QOS1 = 0x32
_TYPE_AND_QOS = 0xF6
_DUP = 0x08
_PUBACK_HEAD = 0x4002  # packet type, two bytes follow

Take = Callable[[bytes, bytes, int, int, bool], None]  # topic, payload, identifier, QoS, MQTT's DUP


class Client(mqtt.Client):
    """`take` is given every plain message; `on_message` the others."""

    take: Take
    _ahead: bytes = b""  # read from the connection and not used yet, from `_at` on
    _at: int = 0

    def take_ready(self, most: int) -> None:
        """Hands over whole messages that have arrived, up to the first packet that is something else."""
        if self._at == len(self._ahead):
            self._read_ahead()
        if self._in_packet["command"]:
            return  # paho is in the middle of a packet
        ahead, at, end = self._ahead, self._at, len(self._ahead)
        no_properties = b"\0" if self._protocol == mqtt.MQTTv5 else b""
        while most and end - at > 4 and ahead[at] & _TYPE_AND_QOS == _PUBLISH_QOS1:
            header, length, begin, shift = ahead[at], ahead[at + 1], at + 2, 7
            if length & 128:
                length &= 127
                while shift < 28 and begin < end:
                    length |= (ahead[begin] & 127) << shift
                    shift, begin = shift + 7, begin + 1
                    if ahead[begin - 1] < 128:
                        break
            topic_at = begin + 2
            topic_end = topic_at + int.from_bytes(ahead[begin:topic_at], "big")
            payload_at = topic_end + 2 + len(no_properties)
            packet_end = begin + length
            if packet_end > end or payload_at > packet_end or topic_end == topic_at:
                break  # not all of it is here, or it is no message of ours
            if no_properties and ahead[payload_at - 1 : payload_at] != no_properties:
                break
            mid = int.from_bytes(ahead[topic_end : topic_end + 2], "big")
            self.take(ahead[topic_at:topic_end], ahead[payload_at:packet_end], mid, 1, bool(header & _DUP))
            at, most = packet_end, most - 1
        self._at = at

    def has_read_ahead(self) -> bool:
        """Whether there is more to read, though the connection may show nothing."""
        return self._at < len(self._ahead)

    def acknowledge(self, identifiers: Sequence[int]) -> None:
        """PUBACKs, in this order, in as few packets of the network as they take."""
        if identifiers:
            words = [word for identifier in identifiers for word in (_PUBACK_HEAD, identifier)]
            self._packet_queue(mqtt.PUBACK, struct.pack(f">{len(words)}H", *words), 0, 0)

    def expect_no_answer(self) -> None:
        """The broker's answer to a ping waits behind what it sent before: where that comes in, or is not read for now,
        its absence says nothing."""
        self._ping_t = 0.0

    def _read_ahead(self) -> None:
        try:
            self._ahead, self._at = super()._sock_recv(READ_BYTES), 0
        except OSError:
            return  # nothing there, or the connection is broken: paho's own next read will tell

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._at == len(self._ahead):
            self._ahead, self._at = super()._sock_recv(READ_BYTES), 0
        part = self._ahead[self._at : self._at + bufsize]
        self._at += len(part)
        return part

    def _sock_close(self) -> None:
        self._ahead, self._at = b"", 0  # of a connection that is over; the broker repeats it
        super()._sock_close()
