"""Wire bytes of a logger: GreenIsland's JSON and HJ 212-2017 frames, and the ways both arrive broken.

Promises: bytes a real device could send, checks and lengths right unless the frame is meant to be broken.
Does not promise the 2025 edition, splitting or encryption.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

PASSWORD = "123456"  # the standard's own example
SYSTEM_TYPE = {"waste_water": "32", "surface_water": "21", "ambient_air": "22"}  # else 31, air pollution source
COMMAND = {0: "2011", 60: "2051", 3600: "2061", 86400: "2031"}
SUFFIX = {"rtd": "Rtd", "avg": "Avg", "min": "Min", "max": "Max", "cou": "Cou", "zs_rtd": "ZsRtd", "zs_avg": "ZsAvg"}
_json = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Sample:
    factor: str
    value: float
    decimals: int
    mark: str | None = None
    spread: float = 0.0  # half of max - min inside the period
    converted: float | None = None  # to reference O2, where the device converts


@dataclass(frozen=True)
class Report:
    """What one message says: a station's samples of one kind, period and instant (civil time of the site)."""

    station: str
    at: datetime
    kind: str
    period_s: int
    samples: Sequence[Sample]


def json_message(report: Report) -> bytes:
    readings: dict[str, object] = {
        one.factor: one.value if one.mark is None else {"value": one.value, "mark": one.mark} for one in report.samples
    }
    return _json(
        {
            "v": 1,
            "station": report.station,
            "at": report.at.isoformat(),
            "period_s": report.period_s,
            "kind": report.kind,
            "readings": readings,
        }
    )


def hj212_message(report: Report, *, mn: str, medium: str, sent_at: datetime, modbus: bool) -> bytes:
    """A whole frame. Period data carry the period's start (HJ 212-2017 Table 4); Flag=5 asks for a 9014."""
    parts = [f"DataTime={report.at:%Y%m%d%H%M%S}"]
    for one in report.samples:
        number = f".{one.decimals}f"
        fields = []
        if report.kind == "avg":
            fields.append(f"{one.factor}-Min={max(0.0, one.value - one.spread):{number}}")
            fields.append(f"{one.factor}-Avg={one.value:{number}}")
            fields.append(f"{one.factor}-Max={one.value + one.spread:{number}}")
            if one.converted is not None:
                fields.append(f"{one.factor}-ZsAvg={one.converted:{number}}")
        else:
            fields.append(f"{one.factor}-{SUFFIX[report.kind]}={one.value:{number}}")
        fields.append(f"{one.factor}-Flag={one.mark or 'N'}")
        parts.append(",".join(fields))
    qn = f"{sent_at:%Y%m%d%H%M%S}{sent_at.microsecond // 1000:03d}"
    head = f"QN={qn};ST={SYSTEM_TYPE.get(medium, '31')};CN={COMMAND[report.period_s]};PW={PASSWORD};MN={mn};Flag=5"
    return frame(f"{head};CP=&&{';'.join(parts)}&&".encode("ascii"), modbus=modbus)


def frame(segment: bytes, *, modbus: bool = False) -> bytes:
    check = crc_modbus(segment) if modbus else crc_hj212(segment)
    return b"##%04d%s%04X\r\n" % (len(segment), segment, check)


def _byte_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = (register >> 1) ^ (0xA001 if register & 1 else 0)
        table.append(register)
    return tuple(table)


_TABLE = _byte_table()


def crc_hj212(segment: bytes) -> int:
    """HJ 212-2017 Appendix A. The register loses its low byte each round: this is not Modbus."""
    register = 0xFFFF
    for byte in segment:
        mixed = (register >> 8) ^ byte
        register = (mixed >> 8) ^ _TABLE[mixed & 0xFF]
    return register


def crc_modbus(segment: bytes) -> int:
    """CRC-16/MODBUS, which many loggers put where the standard's check belongs."""
    register = 0xFFFF
    for byte in segment:
        register = (register >> 8) ^ _TABLE[(register ^ byte) & 0xFF]
    return register


def broken_json(station: str, factor: str, at: datetime, number: int) -> bytes:
    """The number-th way a JSON message goes wrong; none of them holds a reading that could be taken."""
    stamp = at.isoformat()
    head = f'{{"v":1,"station":"{station}","at":"{stamp}","period_s":60,"kind":"avg","readings":'
    ways = (
        b"\xff\xfe" + head.encode() + b"{}}",
        f'{head}{{"{factor}":'.encode(),
        head.replace(station, f"{station}-X", 1).encode() + f'{{"{factor}":1.5}}}}'.encode(),
        f'{head}{{"{factor}":"偏高"}}}}'.encode(),
        f'{head}{{"{factor}":NaN}}}}'.encode(),
        f"[{number},1,2,3]".encode(),
        head.replace(stamp, "昨天", 1).encode() + f'{{"{factor}":1.5}}}}'.encode(),
        f'{head}{{"{factor}":true}}}}'.encode(),
        b"",
    )
    return ways[number % len(ways)]


def broken_hj212(station_frame: bytes, number: int) -> bytes:
    """The number-th way a frame goes wrong, made from a good one."""
    digit = station_frame.index(b"-Flag=") - 1
    changed = bytes([48 + (station_frame[digit] - 47) % 10]) if chr(station_frame[digit]).isdigit() else b"?"
    ways = (
        station_frame[:digit] + changed + station_frame[digit + 1 :],  # one digit changed: the check must notice
        station_frame[: len(station_frame) // 2],
        b"+++ATH0\r\n",
        station_frame[:2] + b"9999" + station_frame[6:-6] + b"ZZZZ\r\n",
    )
    return ways[number % len(ways)]
