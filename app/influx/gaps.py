"""What InfluxDB was not given, and what became of it since: `influx-gaps.ndjson`, one line a gap.

Promises: a line is never removed, only completed; housekeeping and the writer may change the file at the same time.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from store.parquet import replacing
from store.state_lock import state_lock

GAPS = "influx-gaps.ndjson"
LOCK = "influx-gaps.lock"


@dataclass(frozen=True)
class Gap:
    """Spans whose files were gone before InfluxDB had them. Instants are ISO 8601."""

    first_span: int
    last_span: int
    received_from: str
    received_to: str
    why: str
    at: str  # when it was found
    filling: Mapping[str, object] | None = None  # how far it is written from the archive: date, table, station, rows
    filled_at: str | None = None

    @property
    def spans(self) -> int:
        return self.last_span - self.first_span + 1


def read_gaps(state_dir: Path) -> list[Gap]:
    """All of them, the oldest first. Raises ValueError for a line that is none."""
    path = state_dir / GAPS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(Gap(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}:{number}: is not a gap: {error}") from error
    return found


def record_gap(state_dir: Path, gap: Gap) -> None:
    """Adds it; one that goes on where the last began to be is one with it, so long as nothing of that is filled."""
    with state_lock(state_dir, LOCK):
        gaps = read_gaps(state_dir)
        last = gaps[-1] if gaps else None
        grows = last is not None and last.first_span <= gap.first_span <= last.last_span + 1
        if last is not None and grows and last.filling is None and not last.filled_at:
            gaps.pop()
            gap = replace(gap, first_span=last.first_span, received_from=last.received_from)
        _write(state_dir, [*gaps, gap])


def complete_gap(state_dir: Path, gap: Gap) -> None:
    """Replaces the line of the same first span."""
    with state_lock(state_dir, LOCK):
        _write(state_dir, [gap if one.first_span == gap.first_span else one for one in read_gaps(state_dir)])


def _write(state_dir: Path, gaps: list[Gap]) -> None:
    lines = [{key: value for key, value in asdict(gap).items() if value is not None} for gap in gaps]
    with replacing(state_dir / GAPS) as temporary:
        temporary.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines), encoding="utf-8")
