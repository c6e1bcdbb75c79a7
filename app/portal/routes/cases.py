"""/api/v1/cases: what an exceedance asks of people (督办), how it stands, and what people do about it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from contracts.reasons import CaseState, Conclusion
from store.alert_reads import Reading
from store.case_rows import WantedCases

from ...operators.case_deeds import OPEN, Words, unfit, unfit_to_open
from ..alerts import Alert
from ..alerts import shown as alert_shown
from ..auth import User, centre_of, needs
from ..cases import Case, CaseEvent, event, shown
from ..paging import PAGE, Cursor, Limit, Page, cursor_of, read_cursor
from ..problems import DOCUMENTED, Problem
from ..submit import Accepted, Key, submit
from .alerts import Level, Reason, Word, episode_of, stations_asked

router = APIRouter(prefix="/cases", tags=["cases"], responses=DOCUMENTED)

Reader = Annotated[User, Depends(needs("cases.read"))]
Decider = Annotated[User, Depends(needs("cases.decide"))]
Name = Annotated[str, Path(pattern="^[0-9a-f]{20}$", description="The case's id")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Opened(Strict):
    alert: Annotated[str, Field(pattern="^[0-9a-f]{20}$", description="The alert it is about")]
    terms: Annotated[str, Field(min_length=1, max_length=200, description="A name under `cases` in routes.yaml")]
    reason: Reason


class Said(Strict):
    text: Reason


class Why(Strict):
    reason: Reason


class Closed(Strict):
    conclusion: Conclusion
    reason: Reason


@router.get("", summary="List cases, the latest opened first")
def list_cases(
    request: Request,
    user: Reader,
    state: Annotated[list[CaseState] | None, Query()] = None,
    open: Annotated[bool | None, Query(description="true: those that are not closed")] = None,
    overdue: Annotated[bool, Query(description="Only those of which a time has passed")] = False,
    level: Level | None = None,
    terms: Word = None,
    station: Word = None,
    enterprise: Word = None,
    park: Word = None,
    county: Word = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Page[Case]:
    centre = centre_of(request)
    states = set(state) if state else None
    if open is not None:
        wanted = set(OPEN) if open else {CaseState.CLOSED}
        states = wanted if states is None else states & wanted
    after = read_cursor(cursor, (int, str))
    with centre.state() as db:
        now_us = _now_us(db)
        asked = WantedCases(
            stations=stations_asked(centre, user, station, enterprise, park, county),
            states=states,
            level=level,
            terms=terms,
            overdue_at=(now_us or 0) if overdue else None,
        )
        rows = db.cases.cases(asked, after, limit + 1)  # type: ignore[arg-type]
    more = cursor_of(rows[limit - 1]["opened_us"], rows[limit - 1]["id"]) if len(rows) > limit else None
    return Page(items=[shown(centre, row, now_us) for row in rows[:limit]], next=more)


@router.get("/{name}", summary="One case")
def one_case(request: Request, user: Reader, name: Name) -> Case:
    centre = centre_of(request)
    with centre.state() as db:
        return shown(centre, case_of(db, user, name), _now_us(db))


@router.get("/{name}/events", summary="What happened to it, by whom and when")
def case_events(
    request: Request, user: Reader, name: Name, limit: Limit = PAGE, cursor: Cursor = None
) -> Page[CaseEvent]:
    centre = centre_of(request)
    (after,) = read_cursor(cursor, (int,)) or (0,)
    with centre.state() as db:
        case_of(db, user, name)
        rows = db.cases.events(name, after, limit + 1)
        items = [event(centre, db, user, row) for row in rows[:limit]]
    return Page(items=items, next=cursor_of(rows[limit - 1]["seq"]) if len(rows) > limit else None)


@router.get("/{name}/alerts", summary="The alerts that belong to it, as far as your scope goes")
def alerts(request: Request, user: Reader, name: Name, limit: Limit = PAGE, cursor: Cursor = None) -> Page[Alert]:
    centre = centre_of(request)
    (done,) = read_cursor(cursor, (int,)) or (0,)
    with centre.state() as db:
        case_of(db, user, name)
        bodies = [body for one in db.cases.alerts_of(name) if (body := db.episode(one)) is not None]
        seen = [body for body in bodies if user.sees(body["station"])]
        items = [alert_shown(centre, db, body) for body in seen[done : done + limit]]
    return Page(items=items, next=cursor_of(done + limit) if len(seen) > done + limit else None)


@router.post("", status_code=202, summary="Open one about an alert, or let it join the one at its place")
def open_case(
    request: Request, user: Annotated[User, Depends(needs("cases.open"))], body: Opened, key: Key = None
) -> Accepted:
    centre = centre_of(request)
    routing = centre.site.routing
    if body.terms not in {one.case for one in (routing.cases if routing else ())}:
        said = f"terms: {body.terms!r} is none of `cases` in routes.yaml"
        raise Problem("wrong-input", what=said)
    with centre.state() as db:
        alert = episode_of(db, user, body.alert)
        _refuse(unfit_to_open(db, body.alert))
    about = {"episode": body.alert, "station": alert["station"], "level": alert["level"]}
    return submit(centre, user, "open_case", {**about, "terms": body.terms, "reason": body.reason}, key)


@router.post("/{name}/note", status_code=202, summary="Put a remark into its history")
def note(
    request: Request, user: Annotated[User, Depends(needs("cases.note"))], name: Name, body: Said, key: Key = None
) -> Accepted:
    return _submit(request, user, name, "note_case", body, key)


@router.post("/{name}/reply", status_code=202, summary="Reply to it, as the enterprise")
def reply(
    request: Request, user: Annotated[User, Depends(needs("cases.reply"))], name: Name, body: Said, key: Key = None
) -> Accepted:
    return _submit(request, user, name, "reply_case", body, key)


@router.post("/{name}/return", status_code=202, summary="Return the reply: another one is due")
def return_reply(request: Request, user: Decider, name: Name, body: Why, key: Key = None) -> Accepted:
    return _submit(request, user, name, "return_case", body, key)


@router.post("/{name}/close", status_code=202, summary="Close it with a conclusion; its alerts go on as they are")
def close(request: Request, user: Decider, name: Name, body: Closed, key: Key = None) -> Accepted:
    return _submit(request, user, name, "close_case", body, key)


@router.post("/{name}/reopen", status_code=202, summary="Take a closed one up again; its times begin anew")
def reopen(request: Request, user: Decider, name: Name, body: Why, key: Key = None) -> Accepted:
    return _submit(request, user, name, "reopen_case", body, key)


def _submit(request: Request, user: User, name: str, action: str, body: Strict, key: str | None) -> Accepted:
    centre = centre_of(request)
    with centre.state() as db:
        _refuse(unfit(db, case_of(db, user, name), action))
    return submit(centre, user, action, {"case": name, **body.model_dump()}, key)


def case_of(db: Reading, user: User, name: str) -> dict[str, Any]:
    """Raises Problem (404) where there is none, or the alert that opened it is not in the user's scope."""
    record = db.cases.case(name)
    if record is None or not user.sees(record["station"]):
        raise Problem("not-found", what_zh="督办", what_en="case")
    return record


def _refuse(why: Words | None) -> None:
    if why is not None:
        raise Problem("conflict", what_zh=why[0], what_en=why[1])


def _now_us(db: Reading) -> int | None:
    last = db.last_span()
    return None if last is None else last.clock_to
