"""People's facts about data: what an operator's record may say, and the frames it becomes.

Promises: a record that `facts_of` took fits FACTS; a fact's name is the hash of its record, so copies are one fact.
Does not promise: that its station exists or that it has an effect; that is the registry's and rules.facts' to say.
"""

from datetime import datetime
from hashlib import sha256
from typing import Annotated, Literal

import msgspec
import polars as pl

from .frames import INSTANT
from .topics import JOURNAL_OPERATOR

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
FactName = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]

ACCEPT, RETURN, APPROVE_LATE = "accept", "return", "approve_late"
CHECKS = ("zero_drift", "span_drift", "standard_sample", "comparison")


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Mark(_Body, kw_only=True):
    """The enterprise says why its data of [from_at, to_at) are not what they should be."""

    station: Text
    factor: Text | None = None  # none: every factor of the station
    type: Text  # of rules/library/mark_types.csv
    from_at: Instant
    to_at: Instant
    reason: Text

    def __post_init__(self) -> None:
        _in_order(self.from_at, self.to_at)


class Review(_Body, kw_only=True):
    """The centre's word on a mark."""

    about: FactName
    decision: Literal["accept", "return", "approve_late"]
    reason: Text


class Withdrawal(_Body, kw_only=True):
    """Takes a fact back: a mark before its review, any other fact (not a review) at any time."""

    about: FactName
    reason: Text


class Stop(_Body, kw_only=True):
    """An approved stop of a station, or of an outlet with all its stations."""

    station: Text | None = None
    outlet: Text | None = None
    from_at: Instant
    to_at: Instant
    number: Text  # of the approval
    reason: Text

    def __post_init__(self) -> None:
        _in_order(self.from_at, self.to_at)
        if (self.station is None) == (self.outlet is None):
            raise ValueError("names either a station or an outlet")


class Qc(_Body, kw_only=True):
    """The result of a check of an analyser."""

    station: Text
    factor: Text
    check: Literal["zero_drift", "span_drift", "standard_sample", "comparison"]
    at: Instant
    passed: bool
    values: Text  # as on the sheet, for example "zero 0.3 %, allowed 2 %"


class Manual(_Body, kw_only=True):
    """A reading taken by hand: shown beside the automatic ones, never judged as one of them."""

    station: Text
    factor: Text
    at: Instant
    value: Annotated[str, msgspec.Meta(pattern=r"^[+-]?[0-9]{1,15}(\.[0-9]{1,12})?$")]  # as the laboratory wrote it
    unit: Text
    laboratory: Text
    reason: str = ""


# The action of a record -> what its body must be.
KINDS: dict[str, type[_Body]] = {
    "mark": Mark,
    "review": Review,
    "withdrawal": Withdrawal,
    "stop": Stop,
    "qc": Qc,
    "manual": Manual,
}

# One row a fact, from its first record. Append-only: what became of a fact is in other facts about it.
FACTS = pl.Schema(
    {
        "fact": pl.String,  # `fact_name` of its record
        "kind": pl.String,  # of KINDS
        "station": pl.String,  # null: of an outlet, or about another fact
        "outlet": pl.String,
        "factor": pl.String,  # null: every factor
        "from_at": INSTANT,  # of a check or a manual reading: when it was made
        "to_at": INSTANT,  # end, not included; null for an instant
        "type": pl.String,  # type of a mark, check of a qc, decision of a review
        "passed": pl.Boolean,  # qc
        "about": pl.String,  # the fact a review or withdrawal speaks of
        "value": pl.Float64,  # manual; in `unit`
        "unit": pl.String,
        "detail": pl.String,  # number of an approval, values of a check, "value as written; laboratory" of a reading
        "reason": pl.String,
        "actor": pl.String,  # who made the record
        "origin": pl.String,
        "made_at": INSTANT,  # wall time at which it was made; decides nothing but the order within a tick
        "known_at": INSTANT,  # first tick that may use it; null before the site's clock began
    }
)

# What facts do to data. It holds for event times in [from_at, to_at) and decision ticks in [tick, until).
EFFECTS = pl.Schema(
    {
        "point": pl.UInt32,
        "from_at": INSTANT,
        "to_at": INSTANT,  # null: no end is known yet (a failed check that no passed one followed)
        "tick": INSTANT,
        "until": INSTANT,  # null: still
        "effect": pl.String,  # "invalid": does not count; "excused": counts, and an exceedance is not held against it
        "kind": pl.String,  # mark, stop, qc
        "type": pl.String,  # of the mark, "stop", or the check that failed
        "review": pl.String,  # of a mark: "submitted" (under review) or "accepted"; null for others
        "status": pl.String,  # how sure the table rows it rests on are: verified, verified_weak, unverified
        "fact": pl.String,
    }
)


def fact_name(payload: bytes) -> str:
    """The evidence's name of an `$operator` row: first 16 bytes of SHA-256 over topic, NUL, payload; as hex."""
    return sha256(JOURNAL_OPERATOR.encode() + b"\0" + payload).hexdigest()[:32]


def to_body(fact: _Body) -> dict[str, str]:
    """A record's body: texts only, instants in ISO 8601, nothing for what is not given."""
    told: dict[str, str] = {}
    for name, value in msgspec.to_builtins(fact, builtin_types=(datetime,)).items():
        if isinstance(value, datetime):
            told[name] = value.isoformat()
        elif isinstance(value, bool):
            told[name] = "true" if value else "false"
        elif value is not None:
            told[name] = value
    return told


def from_body(kind: str, body: dict[str, str]) -> _Body:
    """Raises msgspec.ValidationError in words; KeyError for a kind there is not."""
    return msgspec.convert(body, KINDS[kind], strict=False)


def _in_order(from_at: datetime, to_at: datetime) -> None:
    if from_at >= to_at:
        raise ValueError(f"its end {to_at.isoformat()} is not after its beginning {from_at.isoformat()}")
