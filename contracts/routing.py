"""Who is told of which alert, by what and when: the site's `routes.yaml`.

Promises: what is read is whole in itself (people and rosters that are named exist, hours can be read).
Does not promise: that a channel of that name is configured; whoever reads the whole site checks that.
"""

import re
from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .channels import MailAddress, Phone
from .durations import format_duration, parse_duration
from .matching import Matchers, check_key, check_values
from .reasons import CaseEvent, Transition
from .strict import Identifier, Strict

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Level = Literal["yellow", "orange", "red"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
GroupBy = Literal["enterprise", "park", "factor", "station", "none"]
DAY_MINUTES = 24 * 60

# Transitions people are told of, where a route does not name them.
TOLD = (
    *(Transition.FIRED, Transition.LEVEL_CHANGED, Transition.DATA_LOST, Transition.RESOLVED),
    *(Transition.WITHDRAWN, Transition.FIRED_IN_RETROSPECT, Transition.REOPENED, Transition.SUPERSEDED),
)
# Those that only correct history: they may wait for a fixed time of the day.
REVISIONS = (Transition.WITHDRAWN, Transition.AMENDED, Transition.FIRED_IN_RETROSPECT)

# Events of a case people are told of, where its terms do not name them.
CASE_TOLD = (
    *(CaseEvent.OPENED, CaseEvent.REPLIED, CaseEvent.RETURNED, CaseEvent.REPLY_OVERDUE, CaseEvent.CLOSE_OVERDUE),
    *(CaseEvent.CLOSED, CaseEvent.REOPENED),
)

_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def parse_hours(text: str) -> tuple[int, int]:
    """`22:00-07:00`: (1320, 420), minutes of the civil day; to <= from goes past midnight. Raises ValueError."""
    found = _HOURS.fullmatch(text)
    if found is not None:
        from_, to = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
        if from_ < DAY_MINUTES and to <= DAY_MINUTES and from_ != to:
            return from_, to
    raise ValueError(f"{text!r} is not a span of hours; write for example 08:00-18:00, 22:00-07:00 or 00:00-24:00")


def parse_time(text: str) -> int:
    """`08:30`: 510, minutes of the civil day. Raises ValueError."""
    if (found := _TIME.fullmatch(text)) is None:
        raise ValueError(f"{text!r} is not a time of the day; write for example 08:30")
    return int(found[1]) * 60 + int(found[2])


def _readable_hours(text: str) -> str:
    parse_hours(text)
    return text


def _readable_time(text: str) -> str:
    parse_time(text)
    return text


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError(f"{format_duration(duration)} is no time at all; write for example 15m")
    return duration


def _values(value: object) -> object:
    """One value stands for a list of one; numbers and truths are texts here."""
    if not isinstance(value, dict):
        return value
    return {
        key: tuple(str(one) for one in each) if isinstance(each, list | tuple) else (str(each),)
        for key, each in value.items()
    }


def _checked(matchers: Matchers, more: tuple[str, ...] = ()) -> Matchers:
    for key, values in matchers.items():
        check_key(key, more)
        check_values(key, values)
    return matchers


def _checked_target(matchers: Matchers) -> Matchers:
    return _checked(matchers, ("transition",))


def _some(values: tuple) -> tuple:
    if not values:
        raise ValueError("is empty; name at least one")
    return values


def _some_key(matchers: Matchers) -> Matchers:
    if not matchers:
        raise ValueError("is empty: every alert would be a case; say which, for example {level: [red]}")
    return matchers


Names = Annotated[tuple[Identifier, ...], AfterValidator(_some)]
Hours = Annotated[str, AfterValidator(_readable_hours)]
Span = Annotated[Duration, AfterValidator(_positive)]
Match = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_values), AfterValidator(_checked)]
TargetMatch = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_values), AfterValidator(_checked_target)]


class Person(Strict):
    person: Identifier
    name_zh: str
    name_en: str
    mail: MailAddress | None = None
    phone: Phone | None = None
    dingtalk: str | None = None  # the id by which a robot of the group can mention them
    wecom: str | None = None
    feishu: str | None = None


class Hourly(Strict):
    """Some hours of some civil days; hours that go past midnight belong to the day on which they begin."""

    days: Literal["all", "workdays", "days_off"] | tuple[Weekday, ...] = "all"  # the last two: China's calendar
    dates: tuple[date, ...] = ()  # these days and no others, whatever `days` says
    hours: Hours = "00:00-24:00"


class Turn(Hourly):
    """Who is on duty when."""

    who: tuple[Identifier, ...]


class Roster(Strict):
    """Duty: of the turns in order the first that covers the instant; where none does, `otherwise`."""

    roster: Identifier
    turns: tuple[Turn, ...] = ()
    otherwise: Names


class Informed(Strict):
    """Whom something tells, and by what."""

    channels: Names
    people: tuple[Identifier, ...] = ()
    roster: Identifier | None = None


class Step(Informed):
    """Who is told as well, so long after the alert was told and while nobody has acknowledged it."""

    after: Span


class Quiet(Hourly):
    """Hours in which alerts of these levels wait for their end, or go to other channels."""

    levels: Annotated[tuple[Level, ...], AfterValidator(_some)]
    channels: tuple[Identifier, ...] = ()  # told by these instead; none: held until the hours end


class Route(Strict):
    """Alerts that match, and whom they tell by what."""

    route: Identifier
    match: Match = Field({})  # nothing: every alert
    channels: Names
    people: tuple[Identifier, ...] = ()
    roster: Identifier | None = None
    language: Literal["zh", "en"] | None = None  # none: the channel's
    tells: tuple[Transition, ...] = TOLD
    revisions_at: Annotated[str, AfterValidator(_readable_time)] | None = None  # withdrawn, amended, ... once a day
    group_by: GroupBy = "none"
    wait: Duration = timedelta(0)  # so long a group gathers before it is told
    repeat_every: Span | None = None
    escalate: tuple[Step, ...] = ()
    quiet: tuple[Quiet, ...] = ()
    goes_on: bool = Field(False, alias="continue")  # later routes are looked at as well

    @model_validator(mode="after")
    def _steps_follow(self) -> Self:
        after = [step.after for step in self.escalate]
        if any(one >= other for one, other in pairwise(after)):
            raise ValueError("escalate: each step comes later than the one before it")
        return self


class Inhibition(Strict):
    """While an alert that fits `source` is open, those that fit `target` and have equal labels tell nobody."""

    inhibition: Identifier
    source: Match
    target: TargetMatch  # may also match by `transition`
    equal: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known_labels(self) -> Self:
        for key in self.equal:
            check_key(key)
        if not self.source or not self.target:
            raise ValueError("source and target must each match something")
        return self


class Storm(Strict):
    """More alerts of one rule than `more_than` within `within` are told together."""

    more_than: Annotated[int, Field(ge=1)] = 20
    within: Span = timedelta(minutes=1)


class Flapping(Strict):
    """An alert that changes `changes` times within `within` is told once as flapping, and again when it is quiet."""

    changes: Annotated[int, Field(ge=3)] = 6
    within: Span = timedelta(minutes=30)


class CaseTerms(Informed):
    """Alerts that match open a case (督办), or join the one that is open at their place on the same terms."""

    case: Identifier
    match: Annotated[Match, AfterValidator(_some_key)]
    per: Literal["station", "outlet", "enterprise", "park"] = "outlet"  # the place; alerts without one: their station
    reply_within: Span | None = None  # so long the enterprise has to reply; none: no reply is asked for
    close_within: Span | None = None
    language: Literal["zh", "en"] | None = None  # none: the channel's
    tells: tuple[CaseEvent, ...] = CASE_TOLD
    wait: Duration = timedelta(minutes=1)  # what happens to its cases meanwhile is told together
    told_in: Hourly | None = None  # what happens outside of these hours is told when they begin; none: at any hour
    overdue: Informed | None = None  # told as well of what is overdue


class Routing(Strict):
    """`routes.yaml`."""

    version: Literal[1]
    people: tuple[Person, ...] = ()
    rosters: tuple[Roster, ...] = ()
    routes: Annotated[tuple[Route, ...], AfterValidator(_some)]
    inhibit: tuple[Inhibition, ...] = ()
    storm: Storm | None = Storm()
    flapping: Flapping | None = Flapping()
    cases: tuple[CaseTerms, ...] = ()
