"""/api/v1/events: what happens to alerts, as it is decided, as server-sent events.

Promises: every transition of the client's scope once and in order; who comes back with Last-Event-ID goes on where it
was. A client that reads slowly holds no more here than one page. Who may no longer come in is sent away.
Does not promise exceedances of spans that were archived meanwhile: then an event `gap` says so.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from store.spans import SpanDamaged

from ..alerts import number, transition
from ..auth import User, centre_of, known_user, needs, permitted
from ..centre import Centre
from ..problems import DOCUMENTED, Problem

router = APIRouter(tags=["events"], responses=DOCUMENTED)

POLL_S = 1.0
HEARTBEAT_S = 15.0
RECHECK_S = 5.0  # how long somebody may listen on who may no longer come in, or whose scope was changed
AT_ONCE = 200  # transitions, and spans, a page


@router.get(
    "/events",
    summary="What happens to alerts, as it is decided (text/event-stream)",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events"}},
)
async def events(
    request: Request,
    user: Annotated[User, Depends(needs("alerts.read"))],
    verdicts: Annotated[bool, Query(description="Exceedances as well, as they are decided")] = False,
    after: Annotated[str | None, Query(pattern=r"^\d{1,18}(\.\d{1,18})?$", description="As Last-Event-ID")] = None,
    last_event_id: Annotated[str | None, Header(max_length=50)] = None,
) -> StreamingResponse:
    """Without a position: from now on; 0: from the beginning. An event's id is the last transition's number, a dot,
    and the last span's; the first of them alone will do."""
    centre = centre_of(request)
    position = await run_in_threadpool(_begin, centre, last_event_id or after, verdicts)
    stream = _stream(request, centre, user, position, verdicts)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


class Position:
    def __init__(self, seq: int, span: int):
        self.seq, self.span = seq, span

    @property
    def id(self) -> str:
        return f"{self.seq}.{self.span}"


def _begin(centre: Centre, given: str | None, verdicts: bool) -> Position:
    seq, _, span = (given or "").partition(".")
    with centre.state() as db:
        last = db.last_span()
        newest = last.seq if last else 0
        if not seq.isdecimal():
            if given:
                raise Problem("wrong-input", what="Last-Event-ID: it is none that an event had")
            return Position(db.last_transition(), newest)
        return Position(int(seq), int(span) if span.isdecimal() else newest if verdicts else 0)


async def _stream(
    request: Request, centre: Centre, user: User, position: Position, verdicts: bool
) -> AsyncIterator[str]:
    if not centre.clients.acquire(blocking=False):  # here, where the end of the stream gives it back
        yield _event("busy", None, {"detail": "too many clients follow the events; try again in a while"})
        return
    try:
        yield "retry: 3000\n\n"
        loop = asyncio.get_running_loop()
        told_s = known_s = loop.time()
        while not centre.stop.is_set():
            if loop.time() - known_s >= RECHECK_S:  # also of a stream that is never quiet
                known_s = loop.time()
                known = await run_in_threadpool(known_user, request)
                if known is None or not permitted(known, "alerts.read"):
                    yield _event("signed_out", None, {})
                    return
                user = known
            try:
                told, is_more = await run_in_threadpool(_next, centre, user, position, verdicts)
            except (Problem, sqlite3.Error) as error:
                yield _event("failed", None, {"detail": str(error)})
                return
            for one in told:
                yield one
            if told:
                told_s = loop.time()
            elif loop.time() - told_s >= HEARTBEAT_S:
                told_s = loop.time()
                yield ": still here\n\n"
            if not is_more:
                await asyncio.sleep(POLL_S)
    finally:
        centre.clients.release()


def _next(centre: Centre, user: User, position: Position, verdicts: bool) -> tuple[list[str], bool]:
    """The next events, and whether there are more. Moves the position on."""
    with centre.state() as db:
        rows = db.transitions_after(position.seq, AT_ONCE)
        spans = db.spans_after(position.span, AT_ONCE) if verdicts else []
    told = []
    for row in rows:
        position.seq = row["seq"]
        if user.sees(row["body"]["station"]):
            told.append(_event("transition", position.id, transition(centre, row).model_dump(mode="json")))
    for span in spans:
        position.span = span.seq
        try:
            found = centre.decided.exceedances(span)
        except (FileNotFoundError, SpanDamaged):
            if span.counts.get("readings"):
                told.append(_event("gap", position.id, {"span": span.seq, "detail": "archived; see /api/v1/verdicts"}))
            continue
        if user.subjects is not None:
            found = found.filter(pl.col("station").is_in(list(user.subjects)))
        told += [_event("exceedance", position.id, _exceedance(centre, row)) for row in found.to_dicts()]
    return told, len(rows) == AT_ONCE or len(spans) == AT_ONCE


def _exceedance(centre: Centre, row: dict[str, Any]) -> dict[str, Any]:
    names = ("rule", "station", "factor", "period", "revision", "level", "unit", "limit_id", "valid_n", "expected_n")
    return {
        **{name: row[name] for name in names},
        "window_at": centre.civil(row["window_at"]).isoformat(),
        "decided_at": centre.civil(row["decided_at"]).isoformat(),
        "value": number(row["value_scaled"], row["decimals"]),
        "limit": number(row["limit_scaled"], row["decimals"]),
    }


def _event(name: str, position: str | None, data: dict[str, Any]) -> str:
    head = f"id: {position}\n" if position else ""
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
