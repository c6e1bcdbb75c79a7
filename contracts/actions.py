"""Operators' actions on alerts and cases: what an operator's record may say, and who said it when.

Promises: a record that `action_of` took can be applied; an action's name is the hash of its record, so copies are one.
Does not promise: that its episode or case exists or is still open; an action on none changes nothing and is kept all
the same.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec

from .facts import FactName, Instant, Text, fact_name
from .matching import parse_matchers
from .reasons import Conclusion
from .records import Record

EpisodeName = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{20}$")]  # `id` of an alert's record
CaseName = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{20}$")]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Acknowledge(_Body, kw_only=True):
    """Somebody has taken the alert up: repeats and escalation stop until its level rises or it reopens."""

    episode: EpisodeName
    reason: Text


class Assign(_Body, kw_only=True):
    """The alert is somebody's to deal with. It says who; it stops nothing."""

    episode: EpisodeName
    to: Text
    reason: Text


class Comment(_Body, kw_only=True):
    """A remark that stands in the alert's history."""

    episode: EpisodeName
    text: Text


class OpenCase(_Body, kw_only=True):
    """Opens a case about an alert by hand; where its place has one open on these terms, the alert joins that."""

    episode: EpisodeName
    station: Text  # of the alert, with the level it had by then
    level: Literal["yellow", "orange", "red"]
    terms: Text  # name of a row of `cases:` in routes.yaml
    reason: Text


class NoteCase(_Body, kw_only=True):
    """A remark that stands in the case's history."""

    case: CaseName
    text: Text


class ReplyCase(_Body, kw_only=True):
    """What the enterprise answers."""

    case: CaseName
    text: Text


class ReturnCase(_Body, kw_only=True):
    """The reply does not do: the time to reply begins anew."""

    case: CaseName
    reason: Text


class CloseCase(_Body, kw_only=True):
    """Ends the case, whatever its alerts do."""

    case: CaseName
    conclusion: Conclusion
    reason: Text


class ReopenCase(_Body, kw_only=True):
    """Takes a closed case up again; its times begin anew."""

    case: CaseName
    reason: Text


SILENCE_MAX = timedelta(days=31)  # what is forgotten silences nobody for good


class Silence(_Body, kw_only=True):
    """Alerts that match tell nobody in [from_at, to_at) of site time. They are judged and shown as ever."""

    matchers: Text  # contracts.matching: `station=XS-COAL-1 kind=missing`
    from_at: Instant
    to_at: Instant
    reason: Text

    def __post_init__(self) -> None:
        parse_matchers(self.matchers)
        if self.from_at >= self.to_at:
            raise ValueError(f"its end {self.to_at.isoformat()} is not after its beginning {self.from_at.isoformat()}")
        if self.to_at - self.from_at > SILENCE_MAX:
            raise ValueError(f"a silence lasts at most {SILENCE_MAX.days} days; make a new one then")


class Unsilence(_Body, kw_only=True):
    """Ends a silence before its time; `about` is the silence's name."""

    about: FactName
    reason: Text


# The action of a record -> what its body must be. contracts.facts.to_body writes a body.
ACTIONS: dict[str, type[_Body]] = {
    "acknowledge": Acknowledge,
    "assign": Assign,
    "comment": Comment,
    "silence": Silence,
    "unsilence": Unsilence,
    "open_case": OpenCase,
    "note_case": NoteCase,
    "reply_case": ReplyCase,
    "return_case": ReturnCase,
    "close_case": CloseCase,
    "reopen_case": ReopenCase,
}


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One operator's action, from its first record."""

    name: str  # contracts.facts.fact_name of its record
    kind: str  # of ACTIONS
    actor: str
    origin: str
    made_at: datetime  # wall time at which it was made; decides nothing but the order within a tick
    known_at: datetime  # the tick from which it has its effect
    body: dict[str, str]  # as recorded


def action_of(record: Record, payload: bytes, known_at: datetime) -> Action:
    """Raises msgspec.ValidationError or ValueError, in words; KeyError for an action that is none of ACTIONS."""
    msgspec.convert(record.body, ACTIONS[record.action], strict=False)
    if record.at.tzinfo is None:
        raise ValueError(f"the time it was made at, {record.at.isoformat()}, has no offset")
    if not record.actor.strip():
        raise ValueError("it does not say who made it (actor)")
    return Action(
        name=fact_name(payload),
        kind=record.action,
        actor=record.actor,
        origin=record.origin,
        made_at=record.at.astimezone(UTC),
        known_at=known_at,
        body=record.body,
    )


def body_of(action: Action) -> _Body:
    """The action's body, typed."""
    return msgspec.convert(action.body, ACTIONS[action.kind], strict=False)
