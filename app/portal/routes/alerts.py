"""/api/v1/alerts: what was found, what became of it, who was told, and what people do about it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from contracts.reasons import OVER
from contracts.reasons import Alert as AlertState
from store.alert_reads import Reading, Wanted
from store.journal import epoch_us

from ..alerts import Alert, Transition, shown, transition
from ..auth import User, centre_of, needs
from ..centre import Centre
from ..paging import PAGE, Cursor, Instant, Limit, Page, cursor_of, read_cursor
from ..problems import DOCUMENTED, Problem
from ..submit import Accepted, Key, submit

router = APIRouter(prefix="/alerts", tags=["alerts"], responses=DOCUMENTED)

Reader = Annotated[User, Depends(needs("alerts.read"))]
Name = Annotated[str, Path(pattern="^[0-9a-f]{20}$", description="The alert's id")]
Level = Literal["yellow", "orange", "red"]
State = Literal["pending", "firing", "no_data", "resolved", "superseded"]
Word = Annotated[str | None, Query(max_length=200)]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]


class Receipt(BaseModel):
    attempt: int
    at: datetime
    outcome: str
    detail: str


class Notification(BaseModel):
    key: str
    channel: str
    created_at: datetime
    state: str
    attempts: int
    body: dict[str, Any]
    receipts: list[Receipt]


class HeldBack(BaseModel):
    seq: int
    tick: datetime
    route: str = Field(description="Empty: no route matched")
    transition: str = Field(description="Or repeat, escalation")
    why: str
    until: datetime | None
    detail: str


class Said(BaseModel):
    """What a person did about an alert."""

    record: str
    action: str
    actor: str
    origin: str
    known_at: datetime = Field(description="The tick from which it counts")
    body: dict[str, str]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Acknowledge(Strict):
    reason: Reason


class Assign(Strict):
    to: Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S", description="A person's account")]
    reason: Reason


class Comment(Strict):
    text: Reason


@router.get("", summary="List alerts, the latest opened first")
def list_alerts(
    request: Request,
    user: Reader,
    state: Annotated[list[State] | None, Query()] = None,
    open: Annotated[bool | None, Query(description="true: those that are not over")] = None,
    level: Level | None = None,
    rule: Word = None,
    station: Word = None,
    enterprise: Word = None,
    park: Word = None,
    county: Word = None,
    acknowledged: Annotated[bool | None, Query(description="Whether somebody has taken it up")] = None,
    told_to_nobody: Annotated[bool, Query(description="Only open ones that no route or channel took")] = False,
    since: Annotated[Instant | None, Query(description="Not over before it")] = None,
    until: Annotated[Instant | None, Query(description="Opened before it")] = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Page[Alert]:
    centre = centre_of(request)
    states = set(state) if state else None
    if open is not None:
        wanted = {str(one) for one in AlertState if (one not in OVER) == open}
        states = wanted if states is None else states & wanted
    asked = Wanted(
        stations=stations_asked(centre, user, station, enterprise, park, county),
        states=states,
        level=level,
        rule=rule,
        since=None if since is None else epoch_us(since),
        until=None if until is None else epoch_us(until),
        acknowledged=acknowledged,
        told_to_nobody=told_to_nobody,
    )
    after = read_cursor(cursor, (int, str))
    with centre.state() as db:
        rows = db.episodes(asked, after, limit + 1)  # type: ignore[arg-type]
        items = [shown(centre, db, row) for row in rows[:limit]]
    more = cursor_of(rows[limit - 1]["opened_us"], rows[limit - 1]["id"]) if len(rows) > limit else None
    return Page(items=items, next=more)


@router.get("/{name}", summary="One alert")
def one_alert(request: Request, user: Reader, name: Name) -> Alert:
    centre = centre_of(request)
    with centre.state() as db:
        return shown(centre, db, episode_of(db, user, name))


@router.get("/{name}/transitions", summary="What happened to it, decision by decision")
def transitions(
    request: Request, user: Reader, name: Name, limit: Limit = PAGE, cursor: Cursor = None
) -> Page[Transition]:
    centre = centre_of(request)
    (after,) = read_cursor(cursor, (int,)) or (0,)
    with centre.state() as db:
        episode_of(db, user, name)
        rows = db.transitions_of(name, after, limit + 1)
    more = cursor_of(rows[limit - 1]["seq"]) if len(rows) > limit else None
    return Page(items=[transition(centre, row) for row in rows[:limit]], next=more)


@router.get("/{name}/actions", summary="What people did about it")
def actions(request: Request, user: Reader, name: Name, limit: Limit = PAGE, cursor: Cursor = None) -> Page[Said]:
    centre = centre_of(request)
    (after,) = read_cursor(cursor, (int,)) or (0,)
    with centre.state() as db:
        episode_of(db, user, name)
        rows = db.actions_of(name, after, limit + 1)
    items = [
        Said(
            record=row["name"],
            action=row["kind"],
            actor=row["actor"],
            origin=row["origin"],
            known_at=centre.civil(row["known_at"]),
            body=row["body"],
        )
        for row in rows[:limit]
    ]
    return Page(items=items, next=cursor_of(rows[limit - 1]["seq"]) if len(rows) > limit else None)


@router.get("/{name}/notifications", summary="Who was told of it by what, with every receipt")
def notifications(
    request: Request, user: Annotated[User, Depends(needs("evidence.read"))], name: Name
) -> Page[Notification]:
    centre = centre_of(request)
    with centre.state() as db:
        episode_of(db, user, name)
        rows = db.notifications_about(name)
    items = [
        Notification(
            **{key: row[key] for key in ("key", "channel", "state", "attempts", "body")},
            created_at=centre.civil(row["created_at"]),
            receipts=[Receipt(**{**one, "at": centre.civil(one["at"])}) for one in row["receipts"]],
        )
        for row in rows
    ]
    return Page(items=items)


@router.get("/{name}/held-back", summary="What was due to be told of it and was not, and why")
def held_back(
    request: Request, user: Annotated[User, Depends(needs("evidence.read"))], name: Name, limit: Limit = PAGE
) -> Page[HeldBack]:
    """The latest."""
    centre = centre_of(request)
    with centre.state() as db:
        episode_of(db, user, name)
        rows = db.telling.held_back(name, limit)
    about = ("seq", "route", "transition", "why", "detail")
    return Page(
        items=[
            HeldBack(
                **{key: row[key] for key in about},
                tick=centre.civil(row["tick"]),  # type: ignore[arg-type]
                until=centre.civil_or_none(row["until"]),  # type: ignore[arg-type]
            )
            for row in rows
        ]
    )


@router.post("/{name}/acknowledge", status_code=202, summary="Take it up: repeats and escalation stop")
def acknowledge(
    request: Request,
    user: Annotated[User, Depends(needs("alerts.acknowledge"))],
    name: Name,
    body: Acknowledge,
    key: Key = None,
) -> Accepted:
    return _submit(request, user, name, "acknowledge", body, key)


@router.post("/{name}/assign", status_code=202, summary="Say whose it is to deal with")
def assign(
    request: Request, user: Annotated[User, Depends(needs("alerts.assign"))], name: Name, body: Assign, key: Key = None
) -> Accepted:
    return _submit(request, user, name, "assign", body, key)


@router.post("/{name}/comment", status_code=202, summary="Put a remark into its history")
def comment(
    request: Request,
    user: Annotated[User, Depends(needs("alerts.comment"))],
    name: Name,
    body: Comment,
    key: Key = None,
) -> Accepted:
    return _submit(request, user, name, "comment", body, key)


def _submit(request: Request, user: User, name: str, action: str, body: Strict, key: str | None) -> Accepted:
    centre = centre_of(request)
    with centre.state() as db:
        episode_of(db, user, name)
    return submit(centre, user, action, {"episode": name, **body.model_dump()}, key)


def episode_of(db: Reading, user: User, name: str) -> dict[str, Any]:
    """Raises Problem (404) where there is none, or it is not in the user's scope."""
    body = db.episode(name)
    if body is None or not user.sees(body["station"]):
        raise Problem("not-found", what_zh="告警", what_en="alert")
    return body


def stations_asked(
    centre: Centre, user: User, station: str | None, enterprise: str | None, park: str | None, county: str | None
) -> set[str] | frozenset[str] | None:
    """The subjects the filters leave of the user's scope; None: all. What lies outside is simply not among them."""
    if station is None and enterprise is None and park is None and county is None:
        return user.subjects
    found = centre.places.where(station=station, enterprise=enterprise, park=park, county=county)
    if user.subjects is None:
        # a station that is no longer in the registry may still have alerts
        return found | ({station} if station is not None and not (enterprise or park or county) else set())
    return found & user.subjects
