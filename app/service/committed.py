"""What of a decided span goes into state.db: counts, transitions, episodes, keys of notifications. Pure."""

from datetime import datetime
from typing import Any

import polars as pl

from contracts.reasons import Transition
from store.archive import TABLES
from store.journal import epoch_us

from ..pipeline import Span


def frames_of(span: Span) -> dict[str, pl.DataFrame]:
    """The tables of a span, in the columns of their schemas."""
    return {name: getattr(span, name).match_to_schema(table.schema) for name, table in TABLES.items()}


def counts_of(span: Span) -> dict[str, int]:
    """By name; rejects by their reason too, where there are any."""
    rejects = {f"reject:{reason}": n for reason, n in span.rejects["reason"].value_counts().iter_rows()}
    return {**span.counts, **rejects}


def transition_rows(span: Span) -> list[dict[str, Any]]:
    return [
        {
            "tick": epoch_us(row["tick"]),
            "episode": row["episode"]["id"],
            "transition": row["transition"],
            "body": row["episode"],
        }
        for row in span.transitions
    ]


def notification_key(episode: str, transition: str, tick_us: int) -> str:
    """Says the decision, so that a second notification of it can be dropped."""
    return f"{episode}:{transition}:{tick_us}"


def episodes_after(span: Span) -> dict[str, dict[str, object]]:
    """Episode rows as they stand after the span, by id."""
    rows: dict[str, dict[str, object]] = {}
    for row in span.transitions:
        episode = row["episode"]
        rows.pop(episode["id"], None)
        if row["transition"] != Transition.WITHDRAWN:
            rows[episode["id"]] = {
                **{key: episode[key] for key in ("id", "rule", "station", "factor", "level", "state")},
                "opened_at": _us_of(episode["opened_at"]),
                "resolved_at": _us_of(episode["resolved_at"]),
                "body": episode,
            }
    return rows


def withdrawn(span: Span) -> list[str]:
    """Ids of the episodes that are no more after the span."""
    gone = {str(row["episode"]["id"]) for row in span.transitions if row["transition"] == Transition.WITHDRAWN}
    return sorted(gone - set(episodes_after(span)))


def _us_of(text: object) -> int | None:
    return None if text is None else epoch_us(datetime.fromisoformat(str(text)))
