"""/api/v1/silences: what tells nobody for a while, and why. A silence stops messages, never judging."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from contracts.actions import SILENCE_MAX
from contracts.matching import Matchers, matches, parse_matchers
from store.journal import epoch_us

from ..auth import User, centre_of, needs
from ..centre import Centre
from ..paging import PAGE, Cursor, Instant, Limit, Page, cursor_of, read_cursor
from ..problems import DOCUMENTED, Problem
from ..submit import Accepted, Key, submit

router = APIRouter(prefix="/silences", tags=["silences"], responses=DOCUMENTED)

Reader = Annotated[User, Depends(needs("silences.read"))]
Writer = Annotated[User, Depends(needs("silences.write"))]
Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
PLACE_KEYS = ("station", "outlet", "enterprise", "park", "county")  # by which a scope can be told


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewSilence(Strict):
    matchers: Annotated[Text, Field(description="`station=XS-COAL-1 kind=missing`; values with commas, `*` for any")]
    from_at: Instant
    to_at: Annotated[Instant, Field(description="End, not included; at most 31 days after from_at")]
    reason: Text


class End(Strict):
    reason: Text


class Silence(BaseModel):
    silence: str = Field(description="Its name")
    matchers: str
    from_at: datetime
    to_at: datetime
    reason: str
    actor: str
    origin: str
    known_at: datetime = Field(description="The tick from which it counts")
    ended_at: datetime | None = Field(description="Somebody ended it before its time")
    ended_by: str | None
    end_reason: str | None
    state: Literal["planned", "active", "over", "ended"]


@router.get("", summary="Silences, the latest made first")
def list_silences(
    request: Request,
    user: Reader,
    state: Annotated[Literal["planned", "active", "over", "ended"] | None, Query()] = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Page[Silence]:
    centre = centre_of(request)
    (after,) = read_cursor(cursor, (int,)) or (None,)
    items: list[Silence] = []
    with centre.state() as db:
        last = db.last_span()
        now_us = last.clock_to if last and last.clock_to is not None else epoch_us(centre.clock.now())
        while True:
            rows = db.silences(after, limit + 1)
            for row in rows:
                if len(items) == limit:
                    return Page(items=items, next=cursor_of(after))
                after = row["seq"]
                one = _shown(centre, row, now_us)
                if state in (None, one.state) and _touches(centre, user, one.matchers):
                    items.append(one)
            if len(rows) <= limit:
                return Page(items=items)


@router.post("", status_code=202, summary="Silence what matches, for a while")
def silence(request: Request, user: Writer, body: NewSilence, key: Key = None) -> Accepted:
    centre = centre_of(request)
    try:
        matchers = parse_matchers(body.matchers)
    except ValueError as error:
        raise Problem("wrong-input", what=f"matchers: {error}") from error
    if body.to_at - body.from_at > SILENCE_MAX:
        said = f"to_at: a silence lasts at most {SILENCE_MAX.days} days; make a new one then"
        raise Problem("wrong-input", what=said)
    check_reach(centre, user, matchers)
    return submit(centre, user, "silence", body.model_dump(), key)


@router.post("/{name}/end", status_code=202, summary="End a silence before its time")
def end(
    request: Request, user: Writer, name: Annotated[str, Path(pattern="^[0-9a-f]{32}$")], body: End, key: Key = None
) -> Accepted:
    centre = centre_of(request)
    with centre.state() as db:
        row = db.silence(name)
    if row is None or not _touches(centre, user, row["body"]["matchers"]):
        raise Problem("not-found", what_zh="静默", what_en="silence")
    check_reach(centre, user, parse_matchers(row["body"]["matchers"]))
    if row["ended_at"] is not None:
        raise Problem("conflict", what_zh="此静默已结束", what_en="the silence was ended already")
    return submit(centre, user, "unsilence", {"about": name, **body.model_dump()}, key)


def check_reach(centre: Centre, user: User, matchers: Matchers) -> None:
    """Whoever answers for some stations alone silences no others. Raises Problem."""
    if user.subjects is None:
        return
    reached = reach(centre, matchers)
    if not reached & user.subjects:
        raise Problem("not-found", what_zh="站点", what_en="station that matches")
    if beyond := reached - user.subjects:
        raise Problem(
            "beyond-scope",
            what_zh=f"此静默还会涉及您管理范围以外的 {len(beyond)} 个站点或园区;请加上 station= 或 county= 等条件",
            what_en="it would reach stations or parks that are not in your scope; name yours: station=..., county=...",
        )


def reach(centre: Centre, matchers: Matchers) -> set[str]:
    """The subjects whose alerts may match: what is not about places is taken to match."""
    if "episode" in matchers:
        with centre.state() as db:
            bodies = [db.episode(name) for name in matchers["episode"]]
        return {body["station"] for body in bodies if body is not None}
    asked = {key: values for key, values in matchers.items() if key in PLACE_KEYS}
    return {
        name
        for name, place in centre.places.of.items()
        if matches(asked, {**{key: getattr(place, key) or "" for key in PLACE_KEYS[1:]}, "station": name})
    }


def _touches(centre: Centre, user: User, text: str) -> bool:
    return user.subjects is None or bool(reach(centre, parse_matchers(text)) & user.subjects)


def _shown(centre: Centre, row: dict, now_us: int) -> Silence:
    body = row["body"]
    from_at, to_at = centre.civil_or_none(body["from_at"]), centre.civil_or_none(body["to_at"])
    assert from_at is not None
    assert to_at is not None
    state = "planned" if now_us < epoch_us(from_at) else "active" if now_us < epoch_us(to_at) else "over"
    if row["ended_at"] is not None and row["ended_at"] < epoch_us(to_at):
        state = "ended"
    return Silence(
        silence=row["name"],
        matchers=body["matchers"],
        from_at=from_at,
        to_at=to_at,
        reason=body["reason"],
        actor=row["actor"],
        origin=row["origin"],
        known_at=centre.civil(row["known_at"]),
        ended_at=centre.civil_or_none(row["ended_at"]),
        ended_by=row["ended_by"],
        end_reason=row["end_reason"],
        state=state,  # type: ignore[arg-type]
    )
