"""What a codec call has found so far, as columns; frames are built once, at the end.

Promises: the three frames of CodecResult. Does not promise: any judgement of what it is given.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl

from contracts.civil_time import zone
from contracts.frames import DECODE_EVENTS, DECODE_REJECTS, DECODED, INSTANT, check
from contracts.ports import CodecResult
from contracts.reasons import Reject

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DETAIL_MAX = 200


@dataclass
class Columns:
    time_zone: str
    row: int = 0  # of the message being decoded
    readings: dict[str, list] = field(default_factory=lambda: {name: [] for name in DECODED})
    rejects: dict[str, list] = field(default_factory=lambda: {name: [] for name in DECODE_REJECTS})
    events: dict[str, list] = field(default_factory=lambda: {name: [] for name in DECODE_EVENTS})
    _instants: dict[str, int | None] = field(default_factory=dict)
    _zone: ZoneInfo = field(init=False)

    def __post_init__(self) -> None:
        self._zone = zone(self.time_zone)

    @property
    def count(self) -> int:
        return len(self.readings["row"]) + len(self.rejects["row"]) + len(self.events["row"])

    def instant(self, text: str | None) -> int | None:
        """Microseconds since 1970 of a civil YYYYMMDDhhmmss, with or without zzz; None where it is no such time."""
        if text is None:
            return None
        if text not in self._instants:
            self._instants[text] = _instant(text, self._zone)
        return self._instants[text]

    def add_readings(
        self,
        station: str,
        period_s: int,
        event_at: int,
        quality: str | None,
        columns: tuple[list, list, list, list, list],
    ) -> None:
        """columns: factor, kind, raw_text, raw_unit, mark of one frame's readings."""
        n, own = len(columns[0]), self.readings
        own["row"] += [self.row] * n
        own["station"] += [station] * n
        own["period_s"] += [period_s] * n
        own["event_at"] += [event_at] * n
        own["device_revision"] += [0] * n
        own["quality"] += [quality] * n
        for name, values in zip(("factor", "kind", "raw_text", "raw_unit", "mark"), columns, strict=True):
            own[name] += values

    def add_reject(self, reason: Reject, detail: str, station: str | None = None, factor: str | None = None) -> None:
        for name, value in zip(
            DECODE_REJECTS, (self.row, station, factor, str(reason), detail[:DETAIL_MAX]), strict=True
        ):
            self.rejects[name].append(value)

    def add_event(self, event: str, detail: dict, station: str | None = None, event_at: int | None = None) -> None:
        text = json.dumps(detail, ensure_ascii=False, separators=(",", ":"))
        for name, value in zip(DECODE_EVENTS, (self.row, station, event, event_at, text), strict=True):
            self.events[name].append(value)

    def result(self) -> CodecResult:
        return CodecResult(
            readings=_frame(self.readings, DECODED),
            rejects=_frame(self.rejects, DECODE_REJECTS),
            events=_frame(self.events, DECODE_EVENTS),
        )


def _frame(columns: dict[str, list], schema: pl.Schema) -> pl.DataFrame:
    instants = [name for name, dtype in schema.items() if dtype == INSTANT]
    numbers = {name: pl.Int64() if name in instants else dtype for name, dtype in schema.items()}
    return check(pl.DataFrame(columns, schema=numbers).with_columns(pl.col(instants).cast(INSTANT)), schema)


def _instant(text: str, civil: ZoneInfo) -> int | None:
    if len(text) not in (14, 17) or not (text.isascii() and text.isdigit()):
        return None
    parts = (int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2)), int(text[14:] or 0) * 1000)
    try:
        since = datetime(*parts, tzinfo=civil) - _EPOCH
    except (ValueError, OverflowError):
        return None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
