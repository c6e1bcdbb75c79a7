"""/api/v1/explain: how a verdict or an alert came about, from the production path run once more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path as FilePath
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field

from contracts.ports import JournalFailure

from ...evidence.link import Broken
from ...explain.explanation import Explanation as Derivation
from ...explain.explanation import explain
from ...explain.journals import activations, held_at, kept_file
from ...explain.of_alert import NoAlert
from ...explain.of_alert import explain_alert as derive_alert
from ...explain.run import NotJudged
from ...explain.source import Explained, from_state, rule_named, site_named
from ...feeds.record import NoJournal
from ...site.yaml_lines import SiteErrors
from ..auth import User, centre_of, check, needs, seen
from ..centre import Centre
from ..paging import Instant
from ..problems import DOCUMENTED, Problem
from .alerts import episode_of

router = APIRouter(prefix="/explain", tags=["explain"], responses=DOCUMENTED)

Reader = Annotated[User, Depends(needs("explain.read"))]
All = Annotated[bool, Query(description="Every input on its own line, with its message's hash; needs evidence.read")]
BUSY_S = 30
_Made = TypeVar("_Made")


class Step(BaseModel):
    title: str
    lines: list[str]
    facts: dict[str, Any]


class Explanation(BaseModel):
    rule: str
    point: str
    head: list[str]
    is_decided: bool
    facts: dict[str, Any]
    steps: list[Step]
    notes: list[str]
    messages: int = Field(description="How many messages were judged again")


class Told(BaseModel):
    at: datetime
    transition: str
    zh: str
    en: str


class AlertExplanation(BaseModel):
    window: Explanation = Field(description="Its worst one")
    told: list[Told]
    compared: list[str] = Field(description="What was held against what was committed; empty: not asked for")
    differences: list[str] = Field(description="Empty, and something was compared: it comes out equal")


@router.get("/verdicts", summary="How a verdict came about")
def explain_verdict(
    request: Request,
    user: Reader,
    rule: Annotated[str, Query(max_length=100)],
    station: Annotated[str, Query(max_length=100)],
    factor: Annotated[str, Query(max_length=100)],
    at: Annotated[Instant, Query(description="Any instant of the window")],
    limit_id: Annotated[str | None, Query(max_length=100)] = None,
    all: All = False,
) -> Explanation:
    centre = centre_of(request)
    seen(user, station, "站点", "station")
    if all:
        check(user, "evidence.read")
    point = f"{station}/{factor}" + (f"?{limit_id}" if limit_id else "")

    def derived() -> Explanation:
        site = _site_of(centre, at)
        kept = site_named(site)
        its = rule_named(kept.rules, rule)
        if its is None:
            raise Problem("not-found", what_zh="规则", what_en="rule")
        found = from_state(kept, site, its, point, centre.state_dir, at)
        return _shown(explain(found.run, at, show_all=all), found)

    return _one_at_a_time(centre, derived)


@router.get("/alerts/{name}", summary="How an alert's worst window came about, and what was told of it")
def explain_alert(
    request: Request,
    user: Reader,
    name: Annotated[str, Path(pattern="^[0-9a-f]{20}$")],
    verify: Annotated[bool, Query(description="Derive it again and compare it with what was committed")] = False,
    all: All = False,
) -> AlertExplanation:
    centre = centre_of(request)
    with centre.state() as db:
        episode_of(db, user, name)
    if all:
        check(user, "evidence.read")

    def derived() -> AlertExplanation:
        site = None if activations(centre.state_dir) else _given(centre)  # None: each site for its time
        found = derive_alert(centre.state_dir, name, site, compare=verify, show_all=all)
        return AlertExplanation(
            window=_shown(found.window, found.found),
            told=[Told(at=centre.civil(one.at), transition=one.transition, zh=one.zh, en=one.en) for one in found.told],
            compared=found.compared,
            differences=found.differences,
        )

    return _one_at_a_time(centre, derived)


def _one_at_a_time(centre: Centre, work: Callable[[], _Made]) -> _Made:
    """It takes a core for many seconds: a second one is asked to come again. Raises Problem."""
    with _turn(centre):
        try:
            return work()
        except (NotJudged, NoAlert) as error:
            raise Problem("wrong-input", what=str(error)) from error
        except (NoJournal, JournalFailure, Broken, SiteErrors) as error:
            raise Problem("not-ready", what=str(error)) from error


@contextmanager
def _turn(centre: Centre) -> Iterator[None]:
    if not centre.explaining.acquire(blocking=False):
        raise Problem("busy", seconds=BUSY_S)
    try:
        yield
    finally:
        centre.explaining.release()


def _site_of(centre: Centre, at: datetime) -> FilePath:
    """As it was kept, the one that held at the instant; where the journal names none, the portal's own."""
    held = held_at(activations(centre.state_dir), at)
    return _given(centre) if held is None else kept_file(centre.state_dir, held)


def _given(centre: Centre) -> FilePath:
    """The files the portal was started with. Raises Problem."""
    if centre.site_dir is None:
        raise Problem("not-ready", what="the journal names no site, and this portal was started without its files")
    return centre.site_dir


def _shown(told: Derivation, found: Explained) -> Explanation:
    return Explanation(
        rule=told.rule,
        point=told.point,
        head=told.head,
        is_decided=bool(told.steps),
        facts=told.facts,
        steps=[Step(title=step.title, lines=step.lines, facts=step.facts) for step in told.steps],
        notes=told.notes + found.notes,
        messages=found.run.messages,
    )
