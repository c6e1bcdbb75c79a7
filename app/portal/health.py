"""/healthz: this process answers. /readyz: and what it shows is of now. Both tell nothing about anybody."""

import sqlite3
from datetime import timedelta

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from contracts.instants import EPOCH, MICROSECOND
from store.alert_reads import NotReadable, reading
from store.sqlite_damage import StateDamaged

from .auth import centre_of

router = APIRouter(tags=["health"])

LAG_MAX = timedelta(seconds=60)  # a clock row comes every second


class Health(BaseModel):
    status: str = "ok"


class Readiness(BaseModel):
    is_ready: bool
    lag_s: float | None = Field(description="How old the last journal row is whose decisions are committed")
    why: str | None = None


@router.get("/healthz", summary="Whether this process answers")
def healthz() -> Health:
    return Health()


@router.get("/readyz", summary="Whether what it shows is of now", responses={503: {"model": Readiness}})
def readyz(request: Request, response: Response) -> Readiness:
    found = _readiness(request)
    if not found.is_ready:
        response.status_code = 503
    return found


def _readiness(request: Request) -> Readiness:
    centre = centre_of(request)
    try:
        centre.db.users()
        with reading(centre.state_dir) as db:
            last = db.last_span()
    except (NotReadable, StateDamaged, sqlite3.Error) as error:
        return Readiness(is_ready=False, lag_s=None, why=type(error).__name__)
    if last is None:
        return Readiness(is_ready=False, lag_s=None, why="nothing was decided yet")
    lag = centre.clock.now() - (EPOCH + last.journal_to * MICROSECOND)
    why = None if lag <= LAG_MAX else "the engine is behind, or the collector does not run"
    return Readiness(is_ready=why is None, lag_s=lag.total_seconds(), why=why)
