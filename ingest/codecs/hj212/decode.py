"""The codec: messages of HJ 212 bytes to readings, rejects and events.

Promises: nothing raises, nothing is silent; every message gives at least one row; no row holds a password.
Does not promise: that the station, factor or number is known or right; that is the registry join. Parts of a split
packet are decoded each by itself: they repeat DataTime and hold whole factors, so their readings merge by key.
"""

from typing import Literal, get_args

import polars as pl

from contracts.ports import CodecResult
from contracts.reasons import Reject

from . import crc, framing
from .columns import Columns
from .framing import Piece
from .items import add_data, layout_of
from .segment import Items, Segment, parse_segment, split_items
from .tables import commands

Policy = Literal["accept-known-variant", "strict", "accept-any"]
POLICIES: tuple[str, ...] = get_args(Policy)

PERIOD_S = {"2011": 0, "2051": 60, "2061": 3600, "2031": 86_400}
_ALSO_REQUESTED = frozenset({"2021", "2041"})  # events a centre asks for under the same CN, as it does for data
_EVENTS = {
    "9011": "ack",
    "9012": "ack",
    "9013": "ack",
    "9014": "ack",
    "9015": "heartbeat",
    "9051": "heartbeat",
    "9021": "login",
    "1011": "time",
    "1012": "time",
    "1013": "time",
    "2021": "facility_state",
    "2041": "facility_run_time",
    "2062": "quality_control",
    "2063": "quality_control",
    "2064": "quality_control",
    "2065": "quality_control",
    "2066": "quality_control",
    "2071": "alarm",
    "2072": "alarm",
    "2081": "restart",
    "3019": "instrument_id",
    "3020": "logger_info",
    "2013": "other_data",
    "2052": "other_data",
    "2082": "other_data",
    "2111": "other_data",
    "8013": "other_data",
}
_SECRET_COMMANDS = frozenset({"1014", "1072"})  # set key, set password: their items are not repeated
_REMARKS = {crc.MODBUS: "crc_modbus", crc.MODBUS_LE: "crc_modbus_le"}


class Hj212Codec:
    """policy: which CRCs a frame may carry. `accept-known-variant`: the standard's, Modbus in either byte order, and
    a dropped leading zero, each named in `quality`; `strict`: only the standard's, and only the right length;
    `accept-any`: also wrong and missing ones, named in `quality`."""

    def __init__(self, policy: Policy = "accept-known-variant"):
        if policy not in POLICIES:
            raise ValueError(f"{policy!r} is not a CRC policy; one of {', '.join(POLICIES)}")
        self.policy = policy

    def __call__(self, batch: pl.DataFrame, time_zone: str) -> CodecResult:
        columns = Columns(time_zone)
        for row, payload in zip(batch["row"].to_list(), batch["payload"].to_list(), strict=True):
            columns.row = row
            self._message(columns, payload or b"")
        return columns.result()

    def _message(self, columns: Columns, payload: bytes) -> None:
        before = columns.count
        for piece in framing.scan(payload, final=True)[0]:
            self._piece(columns, piece)
        if columns.count == before:
            columns.add_reject(Reject.EMPTY_PAYLOAD, f"{len(payload)} bytes, only terminators")

    def _piece(self, columns: Columns, piece: Piece) -> None:
        if piece.segment is None:
            size = piece.end - piece.start
            columns.add_reject(Reject.NO_FRAME, f"{size} bytes at byte {piece.start} hold no frame")
            return
        segment = parse_segment(piece.segment)
        station = segment.fields.get("MN") or None
        refusal = self._refusal(piece, segment)
        if refusal:
            reason, detail = refusal
            columns.add_reject(reason, _frame_detail(detail, segment), station)
        else:
            _accepted(columns, segment, station, _quality(piece, segment))

    def _refusal(self, piece: Piece, segment: Segment) -> tuple[Reject, str] | None:
        """Why the frame is refused. Content is never shown: a cut frame may begin inside its password."""
        sizes = f"declared {piece.declared}, found {len(piece.segment)} bytes"
        if segment.is_encrypted:
            return Reject.ENCRYPTED, "data area is encrypted (SM4), no key is configured"
        if not segment.is_closed:
            return Reject.TRUNCATED, f"data area is not closed; {sizes}"
        if piece.crc == framing.MISSING and segment.content is None and piece.declared > len(piece.segment):
            return Reject.TRUNCATED, sizes
        if self.policy == "accept-any":
            return None
        if piece.crc == framing.MISSING:
            return Reject.CRC_MISSING, sizes
        if piece.crc == framing.MISMATCH:
            return Reject.CRC_MISMATCH, f"CRC {piece.given}, should be {crc.standard(piece.segment):04X}; {sizes}"
        if self.policy == "strict":
            if piece.crc != crc.STANDARD or len(piece.given) < 4:
                return Reject.CRC_VARIANT_REFUSED, f"CRC {piece.given} is {piece.crc}, policy is strict"
            if piece.length == framing.WRONG:
                return Reject.BAD_LENGTH, sizes
        return None


def _quality(piece: Piece, segment: Segment) -> str | None:
    if piece.crc == crc.STANDARD and piece.length == framing.RIGHT and len(piece.given) == 4:
        remarks = []
    else:
        remarks = [_REMARKS[piece.crc]] if piece.crc in _REMARKS else []
        remarks += [f"crc_{piece.crc}"] if piece.crc in (framing.MISMATCH, framing.MISSING) else []
        remarks += ["crc_zero_dropped"] if 0 < len(piece.given) < 4 else []
        remarks += ["bad_length"] if piece.length == framing.WRONG else []
        remarks += ["length_in_characters"] if piece.length == framing.IN_CHARACTERS else []
        remarks += ["no_header"] if piece.length == framing.ABSENT else []
    if segment.encoding != "utf-8":
        remarks.append("gb18030" if segment.encoding == "gb18030" else "undecodable_text")
    if segment.fields.get("RF") == "1":
        remarks.append("resent")  # 2025: 补传
    return ",".join(remarks) or None


def _accepted(columns: Columns, segment: Segment, station: str | None, quality: str | None) -> None:
    command = segment.fields.get("CN", "")
    names, values = split_items(segment.content) if segment.content else ((), [])
    layout = layout_of(names, segment.is_2005)
    items = names, values
    if command not in PERIOD_S:
        name = _EVENTS.get(command) or ("command" if command in commands() else "unknown_command")
        if command in _ALSO_REQUESTED and layout.is_request:
            name = "request"
        _event(columns, name, segment, station, items, quality)
    elif segment.content is None:
        columns.add_reject(Reject.NO_DATA_AREA, _frame_detail("no CP=&&...&&", segment), station)
    elif layout.is_request:
        _event(columns, "request", segment, station, items, quality)
    elif not layout.values:
        _event(columns, "other_items", segment, station, items, quality)
    elif station is None:
        columns.add_reject(Reject.UNKNOWN_STATION, _frame_detail("no MN", segment))
    else:
        sent_at = values[layout.time_at] if layout.time_at >= 0 else None
        event_at = columns.instant(sent_at)
        if event_at is None:
            what = f"DataTime {_shown(sent_at)}" if sent_at else "DataTime is missing"
            columns.add_reject(Reject.BAD_TIME, _frame_detail(what, segment), station)
            return
        period_s = PERIOD_S[command]
        add_data(columns, layout, values, station=station, period_s=period_s, event_at=event_at, quality=quality)
        if layout.others:
            others = tuple(names[at] for at in layout.others), [values[at] for at in layout.others]
            _event(columns, "other_items", segment, station, others, quality, event_at)


def _event(
    columns: Columns,
    event: str,
    segment: Segment,
    station: str | None,
    items: Items,
    quality: str | None,
    event_at: int | None = None,
) -> None:
    """detail: header fields, and the items by name (a list of values where a name comes twice).

    event_at: the frame's DataTime or AlarmTime, else its QN (an acknowledgement carries the QN it answers), else null.
    """
    fields = segment.fields
    values: dict[str, str | list[str | None] | None] = {}
    for name, value in zip(*items, strict=True) if fields.get("CN") not in _SECRET_COMMANDS else ():
        shown = "***" if _is_secret(name, value) else value
        if name in values:
            known = values[name]
            values[name] = [*known, shown] if isinstance(known, list) else [known, shown]
        else:
            values[name] = shown
    if event_at is None:
        times = [value for name, value in zip(*items, strict=True) if name in ("DataTime", "AlarmTime")]
        times.append(fields.get("QN"))
        event_at = next((at for at in map(columns.instant, times) if at is not None), None)
    detail: dict = {name.lower(): value for name, value in fields.items() if name != "MN"}
    if values:
        detail["items"] = values
    if quality:
        detail["quality"] = quality
    columns.add_event(event, detail, station, event_at)


def _is_secret(name: str, value: str | None) -> bool:
    """Passwords and SM4 keys (PW, NewPW, NewSK), also where a lost separator has glued one to its neighbour."""
    return name.lower().endswith(("pw", "sk")) or "pw=" in f"{name}={value}".lower()


def _frame_detail(what: str, segment: Segment) -> str:
    return f"CN {_shown(segment.fields.get('CN', '-'))}: {what}"


def _shown(text: str) -> str:
    return text[:20] if (text.isascii() and text.isalnum()) or text == "-" else f"of {len(text)} characters"
