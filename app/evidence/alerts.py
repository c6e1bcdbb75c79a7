"""Alerts as evidence: episodes follow from transitions, notifications from transitions, receipts from notifications."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest

from contracts.instants import epoch_us
from contracts.ports import Notification
from contracts.reasons import Telling
from notify.telling.planned import key_of
from store.telling_rows import CARE, TellingRows, episodes_of

from ..pipeline import Episodes
from .derive import about_of
from .link import Broken, short
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


def check_outbox(
    committed: Committed, transitions: list[Row], expected: Mapping[tuple[object, object], Notification] | None
) -> None:
    """Notifications against transitions, receipts against notifications. Raises Broken.

    expected: by key and channel; None where nothing was derived: then each is held against the transitions alone.
    """
    decided: dict[str, int] = {}  # episode -> tick of its first transition
    for row in transitions:
        decided.setdefault(str(row["episode"]["id"]), int(str(row["tick"])))  # type: ignore[index]
    for row in committed.outbox:
        place = f"{FILE}, notification {row['key']} to {row['channel']}"
        if row.get("tick") is None:
            _check_earlier(place, row, transitions)
            continue
        _check_key(place, row, decided)
        if expected is None:
            continue
        item = expected.get(about_of(row))
        if item is None:
            raise Broken("alerts", place, "the site tells nothing of it to this channel")
        if row["body"] != _text(item.body):
            body = _object(place, row["body"])
            names = [key for key in {**item.body, **body} if body.get(key) != item.body.get(key)]
            said = ", ".join(f"{key} is {short(body.get(key))}, expected {short(item.body.get(key))}" for key in names)
            raise Broken("alerts", place, said or "its body is written in another way than it was")
    made = {about_of(row) for row in committed.outbox}
    its = {(name, *about_of(row)) for row in committed.outbox for name in episodes_of(json.loads(str(row["body"])))}
    named = {(row["episode"], *about_of(row)) for row in committed.told}
    for episode, key, channel in sorted(tuple(map(str, one)) for one in its ^ named):
        other = "its body does not" if (episode, key, channel) in named else "`told` does not"
        raise Broken("alerts", f"{FILE}, notification {key} to {channel}", f"tells of alert {episode}; {other} say so")
    earlier_to = _told_earlier_to(committed)
    for about, item in (expected or {}).items():
        if about not in made and epoch_us(datetime.fromisoformat(str(item.body["tick"]))) > earlier_to:
            raise Broken("alerts", FILE, f"notification {about[0]} to {about[1]} was never made")
    check_receipts(committed)


def _check_key(place: str, row: Row, decided: Mapping[str, int]) -> None:
    """The key says what the body says, and all of it was decided by then. Raises Broken."""
    body = _object(place, row["body"])
    try:
        tick = datetime.fromisoformat(body["tick"])
        about = body["episodes"].items()
        its = body["cases"].items() if body["kind"] == Telling.CASE else about
        expected = key_of(body["kind"], tick, str(row["channel"]), body["step"], its)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Broken("alerts", place, f"its body does not say what it tells of: {error!r}") from error
    if row["key"] != expected:
        raise Broken("alerts", place, f"its body has the key {expected}")
    if row["tick"] != epoch_us(tick):
        raise Broken("alerts", place, f"stands under the tick {row['tick']}; its body is of {body['tick']}")
    late = [episode for episode, _ in about if decided.get(episode, epoch_us(tick) + 1) > epoch_us(tick)]
    if late:
        raise Broken("alerts", place, f"no transition of alert {late[0]} was decided that it could tell of")


def _check_earlier(place: str, row: Row, transitions: list[Row]) -> None:
    """Of a release that told every transition at once; its key named it. Raises Broken."""
    if not any(row["key"] == f"{one['episode']['id']}:{one['transition']}:{one['tick']}" for one in transitions):  # type: ignore[index]
        raise Broken("alerts", place, "no transition was decided that it could tell of")


def _told_earlier_to(committed: Committed) -> int:
    """The last tick that such a release told of, us; what this program would have told then is not compared."""
    keys = [str(row["key"]) for row in committed.outbox if row.get("tick") is None]
    return max((int(key.rpartition(":")[2]) for key in keys if key.rpartition(":")[2].isdecimal()), default=-1)


def check_telling(committed: Committed, derived: Sequence[TellingRows]) -> None:
    """What was held back, operators' actions and in whose hands alerts are, as derived. Raises Broken."""
    earlier_to = _told_earlier_to(committed)
    held = [row for rows in derived for row in rows.held_back if int(str(row["tick"])) > earlier_to]
    for seq, (row, expected) in enumerate(zip_longest(committed.held_back, held), 1):
        found = None if row is None else {key: value for key, value in row.items() if key != "seq"}
        if found != expected or (row is not None and row["seq"] != seq):
            said = f"is {short(row)}; the journals give {short(expected)}"
            raise Broken("alerts", f"{FILE}, held_back {seq}", said)
    actions: dict[str, Row] = {}
    for action in (row for rows in derived for row in rows.actions):
        actions.setdefault(str(action["name"]), {**action, "body": _text(action["body"])})
    _compare("action", {str(row["name"]): row for row in committed.actions}, actions)
    attention: dict[str, Row] = {}
    for change in (row for rows in derived for row in rows.attention):
        episode = str(change["episode"])
        if episode in attention or any(change.get(name) is not None for name in CARE):
            attention[episode] = attention.get(episode, dict.fromkeys(CARE)) | change
    _compare("attention", {str(row["episode"]): row for row in committed.attention}, attention)


def _compare(what: str, found: Mapping[str, Row], expected: Mapping[str, Row]) -> None:
    for name in sorted({*found, *expected}):
        if found.get(name) != expected.get(name):
            said = f"is {short(found.get(name))}; the journals give {short(expected.get(name))}"
            raise Broken("alerts", f"{FILE}, {what} {name}", said)


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
