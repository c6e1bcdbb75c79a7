"""`routes.test.yaml`: who is to be told of a made-up alert at a civil time."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from contracts.civil_time import with_offset
from contracts.matching import check_key, parse_matchers
from contracts.reasons import CaseEvent, HeldBack, Telling, Transition
from contracts.routing import Level, Span
from contracts.strict import Identifier, Strict

from .trial import LOOKED_AT, Trial


class Rise(Strict):
    after: Span
    level: Level


class Silenced(Strict):
    match: str  # as `greenisland alerts silence` takes it
    for_: Span = Field(alias="for")

    @field_validator("match")
    @classmethod
    def _readable(cls, text: str) -> str:
        parse_matchers(text)
        return text


class ToldRow(Strict):
    """A notification that is to be; only keys that are written are compared."""

    channel: Identifier
    at: str | None = None  # 30s after the alert, or an instant
    people: tuple[Identifier, ...] | None = None
    kind: Literal[tuple(map(str, Telling))] | None = None  # type: ignore[valid-type]
    transition: Literal[(*map(str, Transition), *map(str, CaseEvent))] | None = None  # type: ignore[valid-type]
    step: int | None = None
    route: Identifier | None = None


class HeldRow(Strict):
    why: Literal[tuple(map(str, HeldBack))]  # type: ignore[valid-type]
    at: str | None = None
    until: str | None = None
    route: Identifier | None = None


class RouteTest(Strict):
    name: Annotated[str, Field(min_length=1)]
    alert: dict[str, str]
    at: Annotated[str, AfterValidator(with_offset)]
    transition: Literal[tuple(map(str, Transition))] = "fired"  # type: ignore[valid-type]
    lasts: Span | None = None  # none: it stays open
    rises: Rise | None = None
    acknowledged: Span | None = None
    silences: tuple[Silenced, ...] = ()
    until: Span = LOOKED_AT
    expect: tuple[ToldRow, ...] = ()  # all there is to be told until then
    held_back: tuple[HeldRow, ...] = ()  # these among others

    @field_validator("alert")
    @classmethod
    def _known_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for key in labels:
            check_key(key)
        return labels

    @property
    def trial(self) -> Trial:
        return Trial(
            labels=self.alert,
            at=datetime.fromisoformat(self.at),
            transition=self.transition,
            lasts=self.lasts,
            rises=None if self.rises is None else (self.rises.after, self.rises.level),
            acknowledged=self.acknowledged,
            silences=[(one.match, one.for_) for one in self.silences],
            until=self.until,
        )


class RouteTestFile(Strict):
    version: Literal[1]
    tests: Annotated[tuple[RouteTest, ...], Field(min_length=1)]
