"""/api/v1/marks, /checks: people's facts about data, with what they change and since when."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from contracts.facts import ACCEPT, APPROVE_LATE
from rules.facts.history import IN_TIME, LATE

from ...operators.mark_words import will_do
from ..auth import User, centre_of, needs
from ..centre import Centre
from ..paging import PAGE, Cursor, Instant, Limit, Page, cursor_of, read_cursor
from ..problems import DOCUMENTED, Problem
from ..submit import Accepted, Key, submit
from .registry import known_station

router = APIRouter(tags=["marks"], responses=DOCUMENTED)

Reader = Annotated[User, Depends(needs("marks.read"))]
Marker = Annotated[User, Depends(needs("marks.write"))]
Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
Fact = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="The mark's name")]
State = Literal["submitted", "accepted", "returned", "withdrawn"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewMark(Strict):
    station: Text
    factor: Annotated[str | None, Field(description="null: every factor of the station")] = None
    type: Annotated[str, Field(description="A name GET /marks/types gives", max_length=100)]
    from_at: Instant
    to_at: Instant
    reason: Text


class Withdraw(Strict):
    reason: Text


class Review(Strict):
    decision: Literal["accept", "return", "approve_late"]
    reason: Text


class NewCheck(Strict):
    """The result of a check of an analyser (质控)."""

    station: Text
    factor: Text
    check: Literal["zero_drift", "span_drift", "standard_sample", "comparison"]
    at: Instant
    passed: bool
    values: Annotated[str, Field(min_length=1, max_length=500, description="As on the sheet: zero 0.3 %, allowed 2 %")]


class Step(BaseModel):
    tick: datetime
    fact: str
    outcome: str
    actor: str
    reason: str


class Effect(BaseModel):
    from_at: datetime
    to_at: datetime | None
    tick: datetime
    until: datetime | None = Field(description="null: still")


class Cap(BaseModel):
    """Of an event, quarter or year: how much is used; beyond the cap a mark has no effect."""

    of: str
    from_at: datetime | None = None
    used_h: float
    cap_h: float


class Mark(BaseModel):
    fact: str
    station: str
    factor: str | None
    type: str
    from_at: datetime
    to_at: datetime
    reason: str
    actor: str
    made_at: datetime
    known_at: datetime
    state: str
    steps: list[Step]
    effect: str
    effects: list[Effect]
    timing: str | None
    deadline_at: datetime | None = None
    in_time_from: datetime | None = None
    why: str | None = None
    caps: list[Cap] = []


class MarkType(BaseModel):
    type: str
    name_zh: str
    name_en: str
    effect: str
    needs_review: bool
    condition: str
    status: str


@router.get("/marks", summary="Marks, the latest known first")
def marks(
    request: Request,
    user: Reader,
    station: Annotated[str | None, Query(max_length=100)] = None,
    state: State | None = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Page[Mark]:
    centre = centre_of(request)
    found, notes = centre.facts.marks()
    mine = [
        one
        for one in reversed(found)
        if user.sees(one["station"]) and station in (None, one["station"]) and state in (None, one["state"])
    ]
    (after,) = read_cursor(cursor, (str,)) or (None,)
    if after is not None:
        names = [one["fact"] for one in mine]
        if after not in names:
            raise Problem("wrong-input", what="cursor: the mark it named is no longer in this list; begin again")
        mine = mine[names.index(after) + 1 :]
    items = [_shown(centre, one) for one in mine[:limit]]
    return Page(items=items, next=cursor_of(items[-1].fact) if len(mine) > limit else None, notes=notes)


@router.get("/marks/types", summary="The types of marks a station may use")
def types(request: Request, user: Reader, station: Annotated[str, Query(max_length=100)]) -> Page[MarkType]:
    centre = centre_of(request)
    known_station(centre, user, station)
    names = MarkType.model_fields
    kinds = centre.marking.types[station].values()
    return Page(items=[MarkType(**{name: getattr(kind, name) for name in names}) for kind in kinds])


@router.get("/marks/{fact}", summary="One mark, with everything that was said of it")
def one_mark(request: Request, user: Reader, fact: Fact) -> Mark:
    centre = centre_of(request)
    return _shown(centre, _mark(centre, user, fact))


@router.post("/marks", status_code=202, summary="Mark data, as whoever answers for them")
def make_mark(request: Request, user: Marker, body: NewMark, key: Key = None) -> Accepted:
    centre = centre_of(request)
    known_station(centre, user, body.station)
    if body.factor is not None:
        _check_factor(centre, body.station, body.factor)
    kind = centre.marking.types[body.station].get(body.type)
    if kind is None:
        known = ", ".join(centre.marking.types[body.station])
        raise Problem("wrong-input", what=f"type: {body.type!r} is no type of mark at {body.station}; one of {known}")
    if body.from_at >= body.to_at:
        raise Problem("wrong-input", what=f"to_at: {body.to_at.isoformat()} is not after from_at")
    lines = will_do(centre.site, centre.marking, body.station, kind, body.from_at, centre.clock.now())
    return submit(centre, user, "mark", body.model_dump(), key, lines)


@router.post("/marks/{fact}/withdraw", status_code=202, summary="Take a mark back, before it was reviewed")
def withdraw(request: Request, user: Marker, fact: Fact, body: Withdraw, key: Key = None) -> Accepted:
    centre = centre_of(request)
    mark = _mark(centre, user, fact)
    if mark["state"] != "submitted":
        raise Problem(
            "conflict", what_zh="标记已审核或已撤回", what_en=f"the mark is {mark['state']}: it stays as it is"
        )
    return submit(centre, user, "withdrawal", {"about": fact, **body.model_dump()}, key)


@router.post("/marks/{fact}/review", status_code=202, summary="Accept a mark, return it, or approve a late one")
def review(
    request: Request,
    user: Annotated[User, Depends(needs("marks.review"))],
    fact: Fact,
    body: Review,
    key: Key = None,
) -> Accepted:
    centre = centre_of(request)
    mark = _mark(centre, user, fact)
    refused = None
    if user.name == mark["actor"]:
        refused = ("标记人不能审核自己的标记", f"{user.name} made the mark; somebody else reviews it")
    elif mark["state"] == "withdrawn":
        refused = ("标记已撤回", "the mark was withdrawn; there is nothing to review")
    elif body.decision == ACCEPT and mark["timing"] == LATE:
        refused = ("标记已逾期,请用 approve_late 或 return", "it came after its deadline: approve_late or return it")
    elif body.decision == APPROVE_LATE and mark["timing"] == IN_TIME:
        refused = ("标记未逾期,请用 accept 或 return", "the mark was in time: accept or return it")
    if refused:
        raise Problem("conflict", what_zh=refused[0], what_en=refused[1])
    return submit(centre, user, "review", {"about": fact, **body.model_dump()}, key)


@router.post("/checks", status_code=202, summary="Enter the result of a check of an analyser (质控)")
def enter_check(
    request: Request, user: Annotated[User, Depends(needs("checks.write"))], body: NewCheck, key: Key = None
) -> Accepted:
    centre = centre_of(request)
    known_station(centre, user, body.station)
    _check_factor(centre, body.station, body.factor)
    return submit(centre, user, "qc", body.model_dump(), key)


def _check_factor(centre: Centre, station: str, factor: str) -> None:
    measured = sorted(one.factor for one in centre.site.points if one.station == station)
    if factor not in measured:
        raise Problem(
            "wrong-input", what=f"factor: {factor!r} is not measured at {station}; one of {', '.join(measured)}"
        )


def _mark(centre: Centre, user: User, fact: str) -> dict[str, Any]:
    found, _ = centre.facts.marks()
    for one in found:
        if one["fact"] == fact and user.sees(one["station"]):
            return one
    raise Problem("not-found", what_zh="标记(刚提交的须先记入日志)", what_en="mark (one just made is first journalled)")


def _shown(centre: Centre, mark: dict[str, Any]) -> Mark:
    def civil(value: Any) -> Any:
        if isinstance(value, datetime):
            return centre.civil(value)
        if isinstance(value, dict):
            return {key: civil(one) for key, one in value.items()}
        return [civil(one) for one in value] if isinstance(value, list) else value

    told = civil({key: mark[key] for key in Mark.model_fields if key in mark})
    return Mark(**told)
