"""Alerts as evidence: episodes follow from transitions, notifications from transitions, receipts from notifications."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import polars as pl

from contracts.frames import AGGREGATES, EVENTS, READINGS, REJECTS, VERDICTS, empty
from contracts.ports import Notification
from store.journal import EPOCH, epoch_us

from ..pipeline import Episodes, Span
from .derive import Teller, key_of
from .link import Broken, short
from .site import KeptSite
from .state import FILE, Committed, Row, check_receipts

_NAMES = ("id", "rule", "station", "factor", "level", "state")


def check_transitions(committed: Committed) -> list[Row]:
    """The transitions with their bodies read. Raises Broken for a gap, or for one that cannot be read."""
    made: list[Row] = []
    for seq, row in enumerate(committed.transitions, 1):
        place = f"{FILE}, transition {seq}"
        if row["seq"] != seq:
            raise Broken("alerts", place, f"is missing; the next one is {row['seq']}")
        body = _object(place, row["body"])
        if body.get("id") != row["episode"]:
            raise Broken("alerts", place, f"is of episode {row['episode']}; its body is of {body.get('id')}")
        made.append({**row, "episode": body})
    return made


def check_episodes(committed: Committed, transitions: list[Row]) -> None:
    """The table is what the transitions leave. Raises Broken."""
    folded = Episodes()
    folded.apply(transitions)
    found = {str(row["id"]): row for row in committed.episodes}
    for name, body in sorted(folded.by_id.items()):
        place = f"{FILE}, episode {name}"
        if name not in found:
            raise Broken("alerts", place, "is missing; its transitions leave it standing")
        try:
            expected: Row = {key: body[key] for key in _NAMES}
            expected |= {key: _us(body[key]) for key in ("opened_at", "resolved_at")}
        except (KeyError, ValueError) as error:
            raise Broken("alerts", place, f"the body of its last transition cannot be read: {error}") from error
        expected["body"] = _text(body)
        for key, value in expected.items():
            if found[name][key] != value:
                said = f"{key} is {short(found[name][key])}; its transitions leave {short(value)}"
                raise Broken("alerts", place, said)
    if more := sorted(set(found) - set(folded.by_id)):
        raise Broken("alerts", f"{FILE}, episode {more[0]}", "no transition leaves it standing")


def expected_notifications(kept: KeptSite, transitions: list[Row]) -> dict[tuple[object, object], Notification]:
    """What the committed transitions tell, where nothing is derived."""
    rows: list[dict[str, object]] = []
    for row in transitions:
        tick = EPOCH + timedelta(microseconds=int(str(row["tick"])))
        rows.append({"tick": tick, "transition": row["transition"], "episode": row["episode"]})
    try:
        made = Teller(kept.site, kept.kept_judgements).notifications(_span(rows))
    except (KeyError, ValueError, ArithmeticError) as error:
        raise Broken("alerts", FILE, f"a transition's body cannot be put into words: {error!r}") from error
    return {(item.key, item.channel): item for item in made}


def check_outbox(
    committed: Committed, transitions: list[Row], expected: Mapping[tuple[object, object], Notification] | None
) -> None:
    """Notifications against transitions, receipts against notifications. Raises Broken.

    expected: by key and channel; None where it is not known what channels there were.
    """
    decided = {f"{row['episode']['id']}:{row['transition']}:{row['tick']}" for row in transitions}  # type: ignore[index]
    for row in committed.outbox:
        place = f"{FILE}, notification {row['key']} to {row['channel']}"
        if row["key"] not in decided:
            raise Broken("alerts", place, "no transition was decided that it could tell of")
        if expected is None:
            continue
        item = expected.get(key_of(row))
        if item is None:
            raise Broken("alerts", place, "the site tells nothing of it to this channel")
        if row["body"] != _text(item.body):
            body = _object(place, row["body"])
            names = [key for key in {**item.body, **body} if body.get(key) != item.body.get(key)]
            said = ", ".join(f"{key} is {short(body.get(key))}, expected {short(item.body.get(key))}" for key in names)
            raise Broken("alerts", place, said or "its body is written in another way than it was")
    made = {key_of(row) for row in committed.outbox}
    for about in expected or {}:
        if about not in made:
            raise Broken("alerts", FILE, f"notification {about[0]} to {about[1]} was never made")
    check_receipts(committed)


def _span(transitions: list[dict[str, object]]) -> Span:
    frames: tuple[pl.DataFrame, ...] = tuple(
        empty(schema) for schema in (READINGS, REJECTS, EVENTS, AGGREGATES, VERDICTS)
    )
    return Span(*frames, transitions, {}, None, None)  # type: ignore[arg-type]


def _object(place: str, text: object) -> dict[str, object]:
    try:
        body = json.loads(str(text))
    except ValueError as error:
        raise Broken("alerts", place, f"its body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Broken("alerts", place, "its body is not a JSON object")
    return body


def _text(body: object) -> str:
    return json.dumps(body, ensure_ascii=False, sort_keys=True, allow_nan=False)


def _us(text: object) -> int | None:
    return None if text is None else epoch_us(datetime.fromisoformat(str(text)).astimezone(UTC))
