"""Operators' records out of the journal's `$operator` rows, as FACTS.

Promises: pure; nothing raises and nothing is dropped: a record is a fact, or a reject with what is wrong, or of an
action on alerts (notify.telling.action_records). Copies of a record are one fact, known as soon as the first of them.
"""

from datetime import UTC

import msgspec
import polars as pl

from contracts.actions import ACTIONS, action_of
from contracts.facts import FACTS, Manual, Mark, Qc, Review, Stop, Withdrawal, fact_name, from_body
from contracts.frames import REJECTS
from contracts.reasons import Reject
from contracts.records import OTHER_ACTIONS, Record, decode
from contracts.topics import JOURNAL_OPERATOR

DETAIL_MAX = 200


def facts_of(messages: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(FACTS, REJECTS) of feed rows as `rules.ticks.stamp` gives them: frames.MESSAGES plus `known_at`, any topics."""
    facts: list[dict[str, object]] = []
    rejects: list[dict[str, object]] = []
    for row in messages.filter(pl.col("topic") == JOURNAL_OPERATOR).iter_rows(named=True):
        payload = row["payload"]
        try:
            record = decode(payload)
            if record.action in ACTIONS:
                action_of(record, payload, row["known_at"])
            elif record.action not in OTHER_ACTIONS:
                facts.append(fact_of(record, payload) | {"known_at": row["known_at"]})
        except (msgspec.DecodeError, ValueError, OverflowError) as error:
            about = {"reason": Reject.UNREADABLE_RECORD.value, "detail": str(error)[:DETAIL_MAX]}
            name = bytes.fromhex(fact_name(payload))
            kept = {key: row[key] for key in ("received_at", "known_at", "source", "topic")}
            rejects.append(kept | about | {"message": name})
    return unique_facts(pl.DataFrame(facts, schema=FACTS)), pl.DataFrame(rejects, schema=REJECTS)


def unique_facts(facts: pl.DataFrame) -> pl.DataFrame:
    """Each fact once, from its first record, in the order in which they became known."""
    return facts.sort("known_at", "made_at", "fact", nulls_last=True).unique("fact", keep="first", maintain_order=True)


def fact_of(record: Record, payload: bytes) -> dict[str, object]:
    """A row of FACTS without `known_at`. Raises msgspec.ValidationError or ValueError, in words."""
    try:
        body = from_body(record.action, record.body)
    except KeyError as unknown:
        raise ValueError(f"{record.action!r} is no action this program knows") from unknown
    if record.at.tzinfo is None:
        raise ValueError(f"the time it was made at, {record.at.isoformat()}, has no offset")
    if not record.actor.strip():
        raise ValueError("it does not say who made it (actor)")
    return {
        "fact": fact_name(payload),
        "kind": record.action,
        "actor": record.actor,
        "origin": record.origin,
        "made_at": record.at.astimezone(UTC),
        **_columns(body),
    }


def _columns(body: object) -> dict[str, object]:
    match body:
        case Mark():
            return _interval(body) | {"factor": body.factor, "type": body.type, "reason": body.reason}
        case Review():
            return {"about": body.about, "type": body.decision, "reason": body.reason}
        case Withdrawal():
            return {"about": body.about, "reason": body.reason}
        case Stop():
            return _interval(body) | {"outlet": body.outlet, "detail": body.number, "reason": body.reason}
        case Qc():
            return _instant(body) | {"type": body.check, "passed": body.passed, "detail": body.values}
        case Manual():
            detail = f"{body.value}; {body.laboratory}"
            value = {"value": float(body.value), "unit": body.unit}
            return _instant(body) | value | {"detail": detail, "reason": body.reason}
    raise TypeError(f"{type(body).__name__} is no body of a fact")


def _interval(body: Mark | Stop) -> dict[str, object]:
    return {"station": body.station, "from_at": body.from_at.astimezone(UTC), "to_at": body.to_at.astimezone(UTC)}


def _instant(body: Qc | Manual) -> dict[str, object]:
    return {"station": body.station, "factor": body.factor, "from_at": body.at.astimezone(UTC)}
