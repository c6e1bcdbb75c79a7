"""Pages and instants as they stand in addresses: opaque cursors, hard limits, ISO 8601 with offset."""

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from .problems import Problem

PAGE_MAX, PAGE = 500, 100
ROWS_MAX, ROWS = 10_000, 1_000  # of values, which are small

_Item = TypeVar("_Item")


class Page(BaseModel, Generic[_Item]):
    items: list[_Item]
    next: str | None = Field(None, description="Cursor of the next page; null: this is the last one")
    notes: list[str] = Field([], description="What is missing here, and why")


def instant(value: object) -> datetime:
    """UTC. Takes the blank a plus sign becomes in an address that was not encoded. Raises ValueError."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    text = str(value)
    if len(text) > 6 and text[-6] == " ":
        text = f"{text[:-6]}+{text[-5:]}"
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError("no offset")
        at = at.astimezone(UTC)
        if not 1970 <= at.year <= 9000:
            raise ValueError("out of range")
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not an instant; write one like 2026-03-01T08:00:00+08:00") from None
    return at


Instant = Annotated[datetime, BeforeValidator(instant), WithJsonSchema({"type": "string", "format": "date-time"})]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Items of a page")]
Rows = Annotated[int, Query(ge=1, le=ROWS_MAX, description="Rows of a page")]
Cursor = Annotated[str | None, Query(max_length=1_000, description="`next` of the page before")]


def cursor_of(*values: object) -> str:
    told = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(text: str | None, kinds: Sequence[type]) -> tuple[Any, ...] | None:
    """The values of a cursor, of these types (datetime: an instant; any may be null but the first). Raises Problem."""
    if text is None:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(values, list) or len(values) != len(kinds):
            raise ValueError(text)
        found = []
        for n, (kind, value) in enumerate(zip(kinds, values, strict=True)):
            if value is None and n:
                found.append(None)
            elif kind is datetime:
                found.append(instant(value))
            elif type(value) is kind and (kind is not int or 0 <= value < 2**63):
                str(value).encode()  # half a character is none, and no database takes it
                found.append(value)
            else:
                raise ValueError(text)
    except (ValueError, binascii.Error, RecursionError) as error:
        raise Problem("wrong-input", what="cursor: it is none that a page before gave") from error
    return tuple(found)
