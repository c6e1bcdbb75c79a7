"""What a board's time picker says: `now-6h`, `now/d`, or an instant; in the site's civil time where no offset is given.

Promises: pure; the same text and the same now give the same range, both ends included.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_RELATIVE = re.compile(r"now(?:-(\d{1,4})([smhdw]))?(?:/([dh]))?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
STEP = timedelta(seconds=10)  # of a moving range's end: pages that look at the same share their answers
LONGEST = timedelta(days=400)
QUICK = ("now-1h", "now-3h", "now-6h", "now-12h", "now-24h", "now-2d", "now-7d", "now-30d")
_WIDTHS_S = (1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
POINTS = 400  # about so many buckets where the query leaves the width to the panel


class NoInstant(ValueError):
    """The text; the message says what would be right."""


@dataclass(frozen=True)
class Span:
    """As written."""

    begins: str
    ends: str

    @property
    def is_moving(self) -> bool:
        return self.begins.startswith("now") or self.ends.startswith("now")

    def at(self, now: datetime, zone: str) -> tuple[datetime, datetime]:
        """Both ends, UTC. Raises NoInstant."""
        from_at, to_at = instant(self.begins, now, zone), instant(self.ends, now, zone, is_end=True)
        if from_at >= to_at:
            raise NoInstant(f"{self.begins} is not before {self.ends}")
        if to_at - from_at > LONGEST:
            raise NoInstant(f"{self.begins} .. {self.ends} is longer than {LONGEST.days} days")
        return from_at, to_at


def instant(text: str, now: datetime, zone: str, *, is_end: bool = False) -> datetime:
    """Raises NoInstant."""
    text = text.strip()
    if found := _RELATIVE.fullmatch(text):
        n, unit, whole = found.groups()
        step = STEP / timedelta(microseconds=1)
        us = (now - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=-(-us // step) * step)
        at -= timedelta(seconds=int(n) * _SECONDS[unit]) if n else timedelta()
        if whole:
            civil = at.astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0)
            civil = civil.replace(hour=0) if whole == "d" else civil
            if is_end:
                civil += timedelta(days=1) if whole == "d" else timedelta(hours=1)
                civil -= timedelta(milliseconds=1)
            at = civil.astimezone(UTC)
        return at
    try:
        if text.isdecimal():
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise NoInstant(f"'{text}' is no time; write now-6h, now/d or 2026-03-01 08:00") from error


def width_of(from_at: datetime, to_at: datetime) -> timedelta:
    """Of a bucket, where the query leaves it to the panel."""
    wanted = (to_at - from_at).total_seconds() / POINTS
    return timedelta(seconds=next((one for one in _WIDTHS_S if one >= wanted), 86400))
