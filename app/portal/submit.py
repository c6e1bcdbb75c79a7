"""What people do becomes an operator's record in the spool; the same Idempotency-Key gives the same record.

Promises: when this returns the record is durable; a repeated request with its key is one record, also after a crash.
Does not promise that it is in the journal already: the collector takes it within about a second while it runs.
"""

import hashlib
import json
from typing import Annotated

import msgspec
from fastapi import Header
from pydantic import BaseModel, Field

from contracts.actions import ACTIONS
from contracts.facts import KINDS, fact_name, to_body
from contracts.instants import epoch_us
from contracts.records import RECORD_VERSION, Record, decode, encode
from store.portal_db import PortalDbError

from ..operators import spool
from .auth import User
from .centre import Centre
from .problems import Problem

ORIGIN = "api"
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key within a day: the same record, however often it is sent",
    ),
]


class Accepted(BaseModel):
    """202: it is kept and counts from when it is in the journal."""

    record: str = Field(description="The record's name: what it is known by from now on")
    action: str
    actor: str
    lines: list[str] = Field([], description="What it will do")


def submit(
    centre: Centre,
    user: User,
    action: str,
    body: dict[str, object],
    key: str | None = None,
    lines: list[str] = [],  # noqa: B006
) -> Accepted:
    """body: of the action's struct in contracts.actions or contracts.facts. Raises Problem."""
    kind = ACTIONS.get(action) or KINDS[action]
    try:
        said = to_body(msgspec.convert(body, kind))  # type: ignore[arg-type]
    except (msgspec.ValidationError, ValueError) as error:
        raise Problem("wrong-input", what=str(error)) from error
    return put(centre, user.name, action, said, key=key, lines=lines)


def put(
    centre: Centre,
    actor: str,
    action: str,
    body: dict[str, str],
    *,
    key: str | None = None,
    origin: str = ORIGIN,
    lines: list[str] = [],  # noqa: B006
) -> Accepted:
    """Raises Problem where the record is none, or the spool takes none."""
    now = centre.clock.now()
    record = Record(v=RECORD_VERSION, actor=actor, origin=origin, at=now, action=action, body=body)
    payload = encode(record)
    if key is not None:
        asked = hashlib.sha256(json.dumps([action, body], sort_keys=True).encode()).hexdigest()
        try:
            kept = centre.db.keep_request(actor, key, asked, payload, epoch_us(now))
        except PortalDbError as error:
            raise Problem("key-used") from error
        if kept is not None:
            record, payload = decode(kept.record), kept.record
        if kept is None or not kept.is_put:
            _spool(centre, record)
            centre.db.request_put(actor, key)
    else:
        _spool(centre, record)
    return Accepted(record=fact_name(payload), action=action, actor=actor, lines=lines)


def _spool(centre: Centre, record: Record) -> None:
    try:
        spool.put(centre.state_dir, record)
    except ValueError as error:
        raise Problem("wrong-input", what=str(error)) from error
    except OSError as error:
        raise Problem("not-ready", what=f"the operators' spool takes no record: {error.strerror}") from error
