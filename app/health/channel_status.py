"""How each channel stands: what waits, was refused or given up; its last receipt; a template that cannot be filled.

Reads state.db through a connection of whoever asks; changes nothing.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.instants import EPOCH, epoch_us
from notify.senders.wording import TEMPLATE_ERROR

RECEIPTS_MAX = 20_000  # the latest; looked through for each channel's last
FLAGGED_FOR = timedelta(hours=24)


@dataclass(frozen=True)
class ChannelStatus:
    channel: str
    pending: int = 0
    oldest_pending_at: datetime | None = None
    refused: int = 0
    gave_up: int = 0
    last_at: datetime | None = None  # of its last receipt
    last_outcome: str = ""
    last_detail: str = ""
    template_error: str = ""  # the last one of a day

    @property
    def dead(self) -> int:
        return self.refused + self.gave_up


def channel_statuses(connection: sqlite3.Connection, now: datetime, configured: Iterable[str]) -> list[ChannelStatus]:
    """In the order of the site, then those that only the outbox knows."""
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    for channel, state, n, oldest_us in connection.execute(
        "SELECT channel, state, count(*), min(created_at) FROM outbox GROUP BY channel, state ORDER BY channel"
    ):
        counts.setdefault(channel, {})[state] = (n, oldest_us)
    recent = "seq > (SELECT coalesce(max(seq), 0) FROM receipts) - ?"
    last = {
        channel: (at, outcome, detail)
        for _, channel, at, outcome, detail in connection.execute(
            f"SELECT max(seq), channel, at, outcome, detail FROM receipts WHERE {recent} GROUP BY channel",
            (RECEIPTS_MAX,),
        )
    }
    flagged = {
        channel: detail
        for _, channel, detail in connection.execute(
            f"SELECT max(seq), channel, detail FROM receipts WHERE {recent} AND at > ? AND detail LIKE ?"
            " GROUP BY channel",
            (RECEIPTS_MAX, epoch_us(now - FLAGGED_FOR), f"{TEMPLATE_ERROR}%"),
        )
    }
    names = list(dict.fromkeys([*configured, *counts]))
    return [_one(name, counts.get(name, {}), last.get(name), flagged.get(name, "")) for name in names]


def _one(
    name: str, counts: dict[str, tuple[int, int]], last: tuple[int, str, str] | None, template_error: str
) -> ChannelStatus:
    pending, oldest_us = counts.get("pending", (0, None))
    at_us, outcome, detail = last or (None, "", "")
    return ChannelStatus(
        name,
        pending,
        None if oldest_us is None else EPOCH + timedelta(microseconds=oldest_us),
        counts.get("refused", (0, 0))[0],
        counts.get("gave_up", (0, 0))[0],
        None if at_us is None else EPOCH + timedelta(microseconds=at_us),
        outcome,
        detail,
        template_error.partition(";")[0],
    )


def channel_attention(channels: Iterable[ChannelStatus]) -> Iterator[str]:
    for one in channels:
        if one.template_error:
            yield f"channel {one.channel}: {one.template_error}; the plain text is sent instead, mend its template"
