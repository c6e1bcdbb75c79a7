"""/api/v1/proposals: changes of limits, ranges, permits and rules, which need a second person."""

from datetime import datetime
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from store.journal import epoch_us
from store.portal_db import PortalDbError

from .. import proposals
from ..auth import User, centre_of, needs
from ..centre import Centre
from ..paging import PAGE, Cursor, Limit, Page, cursor_of, read_cursor
from ..problems import DOCUMENTED, Problem
from ..submit import put

router = APIRouter(prefix="/proposals", tags=["proposals"], responses=DOCUMENTED)

Reader = Annotated[User, Depends(needs("proposals.read"))]
Decider = Annotated[User, Depends(needs("proposals.decide"))]
Number = Annotated[int, Path(ge=1, le=2**53)]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
COMMAND = "change_site_file"  # of the `$operator` record


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewProposal(Strict):
    path: Annotated[str, Field(max_length=200, description="registry/NAME.csv or rules/NAME.yaml")]
    content: Annotated[str, Field(max_length=proposals.CONTENT_MAX, description="The whole file as it shall be")]
    reason: Reason


class Decision(Strict):
    reason: Reason


class Summary(BaseModel):
    id: int
    made_at: datetime
    author: str
    path: str
    reason: str
    state: Literal["open", "approved", "rejected"]
    decided_at: datetime | None
    decided_by: str | None
    decision_reason: str | None


class Proposal(Summary):
    base_sha256: str | None = Field(description="The file it was made from; null: a new one")
    sha256: str = Field(description="The file as it shall be")
    diff: str
    content: str
    lines: list[str] = []


@router.get("", summary="Proposed changes, the newest first")
def list_proposals(
    request: Request,
    user: Reader,  # noqa: ARG001
    state: Literal["open", "approved", "rejected"] | None = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Page[Summary]:
    centre = centre_of(request)
    (before,) = read_cursor(cursor, (int,)) or (None,)
    rows = centre.db.proposals(state, before, limit + 1)
    items = [Summary(**_civil(centre, row)) for row in rows[:limit]]
    return Page(items=items, next=cursor_of(items[-1].id) if len(rows) > limit else None)


@router.get("/{number}", summary="One proposed change, with its difference")
def one_proposal(request: Request, user: Reader, number: Number) -> Proposal:  # noqa: ARG001
    centre = centre_of(request)
    return _shown(centre, _proposal(centre, number))


@router.post("", status_code=201, summary="Propose a changed file; the whole site is validated with it")
def propose(request: Request, user: Annotated[User, Depends(needs("proposals.write"))], body: NewProposal) -> Proposal:
    centre = centre_of(request)
    site_dir = _site_dir(centre)
    try:
        proposals.check_path(body.path)
    except proposals.NotAllowed as error:
        raise Problem("wrong-input", what=f"path: {error}") from error
    with centre.proposing:
        if proposals.digest_of(site_dir, body.path) == proposals.digest(body.content):
            raise Problem("conflict", what_zh="与现有文件相同", what_en="the file is like this already")
        _validated(site_dir, body.path, body.content)
        try:
            number = centre.db.add_proposal(
                author=user.name,
                path=body.path,
                base=proposals.digest_of(site_dir, body.path),
                content=body.content,
                diff=proposals.diff(site_dir, body.path, body.content),
                reason=body.reason,
                now_us=epoch_us(centre.clock.now()),
            )
        except PortalDbError as error:
            raise Problem("conflict", what_zh="待审批的变更过多", what_en=str(error)) from error
    return _shown(centre, _proposal(centre, number), ["another person has to approve it: nothing is changed yet"])


@router.post("/{number}/approve", summary="Approve another person's change: the file is written")
def approve(request: Request, user: Decider, number: Number, body: Decision) -> Proposal:
    centre = centre_of(request)
    site_dir = _site_dir(centre)
    with centre.proposing:
        row = _open(centre, number)
        if row["author"] == user.name:
            raise Problem("own-proposal")
        content, path = row["content"], row["path"]
        written, now = proposals.digest(content), proposals.digest_of(site_dir, path)
        if now not in (row["base"], written):  # written: by an approval that did not come to its end
            raise Problem(
                "conflict",
                what_zh="申请之后该文件已被修改,请重新提出",
                what_en=f"{path} was changed meanwhile: reject this, and propose it again from the file as it is",
            )
        _validated(site_dir, path, content)
        said = {"command": COMMAND, "path": path, "sha256": written, "replaces": row["base"] or ""}
        said |= {"proposal": str(number), "author": row["author"], "reason": body.reason}
        put(centre, user.name, "command", said)
        try:
            proposals.write(site_dir, path, content)
        except OSError as error:
            raise Problem("not-ready", what=f"the site's directory takes no file: {error.strerror}") from error
        centre.db.decide_proposal(number, "approved", user.name, body.reason, epoch_us(centre.clock.now()))
    lines = [f"{path} is written; it is in force once the site is reloaded, or `greenisland run` is restarted"]
    return _shown(centre, _proposal(centre, number), lines)


@router.post("/{number}/reject", summary="Reject a change, or take back one's own")
def reject(request: Request, user: Decider, number: Number, body: Decision) -> Proposal:
    centre = centre_of(request)
    with centre.proposing:
        _open(centre, number)
        centre.db.decide_proposal(number, "rejected", user.name, body.reason, epoch_us(centre.clock.now()))
    return _shown(centre, _proposal(centre, number))


def _open(centre: Centre, number: int) -> dict[str, Any]:
    row = _proposal(centre, number)
    if row["state"] != "open":
        raise Problem(
            "conflict", what_zh="此变更已有决定", what_en=f"it is {row['state']} already, by {row['decided_by']}"
        )
    return row


def _proposal(centre: Centre, number: int) -> dict[str, Any]:
    row = centre.db.proposal(number)
    if row is None:
        raise Problem("not-found", what_zh="变更申请", what_en="proposal")
    return row


def _site_dir(centre: Centre) -> FilePath:
    if centre.site_dir is None:
        raise Problem("not-ready", what="this portal was started without the site's files; nothing can be proposed")
    return centre.site_dir


def _validated(site_dir: FilePath, path: str, content: str) -> None:
    if wrong := proposals.validate(site_dir, path, content):
        raise Problem("wrong-input", what=f"with it the site would not be whole: {wrong[0]}", errors=wrong[:100])


def _civil(centre: Centre, row: dict[str, Any]) -> dict[str, Any]:
    times = {name: centre.civil_or_none(row[name]) for name in ("made_at", "decided_at")}
    return {name: row[name] for name in Summary.model_fields if name in row} | times


def _shown(centre: Centre, row: dict[str, Any], lines: list[str] = []) -> Proposal:  # noqa: B006
    return Proposal(
        **_civil(centre, row),
        base_sha256=row["base"],
        sha256=proposals.digest(row["content"]),
        diff=row["diff"],
        content=row["content"],
        lines=lines,
    )
