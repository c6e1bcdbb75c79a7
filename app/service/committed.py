"""What of a decided span goes into state.db: counts, transitions, episodes, what was held back, cases. Pure."""

from datetime import datetime
from typing import Any

import polars as pl

from contracts.instants import epoch_us
from contracts.reasons import Transition
from store.archive import TABLES
from store.telling_rows import TellingRows

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


def held_rows(span: Span) -> list[dict[str, Any]]:
    return [
        {
            "tick": epoch_us(one.tick),
            "route": one.route,
            "episode": one.episode,
            "transition": one.transition,
            "why": str(one.why),
            "until": None if one.until is None else epoch_us(one.until),
            "detail": one.detail,
        }
        for one in span.told.held
    ]


def case_rows(span: Span) -> list[dict[str, Any]]:
    """Events of cases, as store.case_rows takes them."""
    return [
        {
            "tick": epoch_us(one.tick),
            "case_id": one.record["id"],
            "event": str(one.event),
            "actor": one.actor,
            "text": one.text,
            "episode": one.episode,
            "body": one.record,
        }
        for one in span.cases.rows
    ]


def telling_rows(span: Span) -> TellingRows:
    """What the span adds to operators' actions, to whose hands alerts are in, and to what was held back."""
    actions = [
        {
            **{key: getattr(one, key) for key in ("name", "kind", "actor", "origin", "body")},
            "episode": one.body.get("episode"),
            "made_at": epoch_us(one.made_at),
            "known_at": epoch_us(one.known_at),
        }
        for one in span.told.actions
    ]
    attention = [
        {"episode": one.episode, "tick": epoch_us(one.tick)}
        | {name: epoch_us(value) if isinstance(value, datetime) else value for name, value in one.columns.items()}
        for one in span.told.care
    ]
    return TellingRows(actions, attention, held_rows(span))


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
