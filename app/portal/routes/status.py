"""/api/v1/status: how the centre stands, as `greenisland status` says it; at most so old."""

import threading
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from ...commands.status import as_dict
from ...health.status import attention, status_of
from ..auth import User, centre_of, needs
from ..centre import Centre
from ..problems import DOCUMENTED

router = APIRouter(tags=["status"], responses=DOCUMENTED)
FRESH = timedelta(seconds=15)  # it looks at every directory


class Status(BaseModel):
    as_of: datetime
    attention: list[str] = Field(description="What somebody has to look at, and what to do; empty: all is well")
    status: dict[str, Any] = Field(description="As `greenisland status --json` prints it")


class LastStatus:
    """The last answer, and one at a time who makes the next."""

    def __init__(self, centre: Centre):
        self._centre, self._lock = centre, threading.Lock()
        self._last: Status | None = None

    def now(self) -> Status:
        with self._lock:
            now = self._centre.clock.now()
            if self._last is None or not timedelta(0) <= now - self._last.as_of < FRESH:
                found = status_of(self._centre.state_dir, now, self._centre.site)
                self._last = Status(as_of=self._centre.civil(now), attention=attention(found), status=as_dict(found))
            return self._last


@router.get("/status", summary="How the centre stands")
def status(request: Request, user: Annotated[User, Depends(needs("status.read"))]) -> Status:  # noqa: ARG001
    state = request.app.state
    if not hasattr(state, "last_status"):
        state.last_status = LastStatus(centre_of(request))
    return state.last_status.now()
