"""What operators said, as the journal's rows: an action of each kind on one alert."""

from datetime import datetime, timedelta

from contracts.ports import RawMessage
from contracts.records import Record, encode


def said(at: datetime, kind: str, *, by: str = "wang", **body: str) -> RawMessage:
    """The `$operator` row of one record."""
    record = Record(v=1, actor=by, origin="cli", at=at, action=kind, body=body)
    return RawMessage("operator", "$operator", encode(record))


def said_of(episode: str, at: datetime) -> list[RawMessage]:
    """Acknowledged and assigned; and a silence of another station, an hour long."""
    to_at = (at + timedelta(hours=1)).isoformat()
    return [
        said(at, "acknowledge", episode=episode, reason="seen"),
        said(at, "assign", episode=episode, to="li", reason="his shift"),
        said(at, "silence", matchers="station=S9", from_at=at.isoformat(), to_at=to_at, reason="work"),
    ]
