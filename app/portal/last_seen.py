"""When each station was last heard: from span files as they come, at first from the archive's last two dates.

Promises: reads only, and each span once. Does not promise a station that was silent for longer than that.
"""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from contracts.civil_time import local
from contracts.instants import EPOCH, MICROSECOND
from store.alert_reads import reading
from store.archive import CURSOR as ARCHIVE
from store.archive import read_archive
from store.spans import SpanDamaged, read_span

LOOKED_BACK = timedelta(days=2)
SPANS_AT_ONCE = 500
_HEARD = ["station", "received_at", "event_at"]


@dataclass(frozen=True)
class Heard:
    received_at: datetime
    event_at: datetime


class LastSeen:
    def __init__(self, state_dir: Path, time_zone: str):
        self._state_dir, self._zone = state_dir, time_zone
        self._heard: dict[str, Heard] = {}
        self._seq: int | None = None  # the last span that is in it
        self._clock_at: datetime | None = None
        self._lock = threading.Lock()

    def now(self) -> tuple[dict[str, Heard], datetime | None]:
        """By station, and the site's clock it is as of. Raises alert_reads.NotReadable, sqlite3.Error."""
        with self._lock:
            while self._follow() == SPANS_AT_ONCE:
                pass
            return dict(self._heard), self._clock_at

    def _follow(self) -> int:
        """Takes in the next spans; how many there were."""
        with reading(self._state_dir) as db:
            archived, last = db.cursor(ARCHIVE), db.last_span()
            spans = db.spans_after(archived if self._seq is None else self._seq, SPANS_AT_ONCE)
        if last is not None and last.clock_to is not None:
            self._clock_at = EPOCH + last.clock_to * MICROSECOND
        if self._seq is None:
            self._from_archive()
            self._seq = archived
        for span in spans:
            if span.file is not None:
                try:
                    named = read_span(self._state_dir / "spans" / span.file, {"readings"}, span.digest)
                    self._take(named["readings"].select(_HEARD))
                except FileNotFoundError:  # archived and pruned meanwhile: begin with the archive again
                    self._seq = None
                    return 0
                except (SpanDamaged, KeyError):
                    pass  # others name it; here a station is only heard a little earlier
            self._seq = span.seq
        return len(spans)

    def _from_archive(self) -> None:
        if self._clock_at is None:
            return
        since = local(self._clock_at - LOOKED_BACK, self._zone).date()
        rows = read_archive(self._state_dir / "archive", "readings", since, None, lambda _: None)
        self._take(rows.select(_HEARD).group_by("station").agg(pl.all().max()).collect())

    def _take(self, rows: pl.DataFrame) -> None:
        latest = rows.group_by("station").agg(pl.all().max())
        for station, received_at, event_at in latest.iter_rows():
            was = self._heard.get(station)
            self._heard[station] = Heard(
                max(received_at, was.received_at) if was else received_at,
                max(event_at, was.event_at) if was else event_at,
            )
