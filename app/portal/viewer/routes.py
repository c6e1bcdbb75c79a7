"""The viewer's pages: / , /d/<board>, /alerts, /alerts/<id>, /cases, /cases/<id>. Declared once a process.

Promises: what can be drawn soon is in the page that is sent, and nothing waits for its socket; the rest follows there.
"""

import asyncio
from collections.abc import Coroutine
from html import escape
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from nicegui import app as pages
from nicegui import background_tasks, ui

from ..auth import check
from ..problems import Problem
from .boards import board, boards, in_language
from .frame import Frame
from .page_alert import AlertPage
from .page_alerts import AlertsPage
from .page_board import BoardPage
from .page_cases import CasePage, CasesPage
from .visit import Viewer, Visit, visit

SOON_S = 1.0  # a page is sent without what takes longer


def viewer_of() -> Viewer:
    viewer = pages.state.viewer
    assert isinstance(viewer, Viewer)
    return viewer


@ui.page("/")
def home(request: Request) -> Response | None:
    one = visit(viewer_of(), request)
    if not isinstance(one, Visit):
        return one
    Frame(one, "boards", _nothing).begin()
    ui.page_title("GreenIsland")
    cards = "".join(
        f'<a class="gi-card" href="/d/{escape(each.uid)}"><b>{escape(each.title)}</b><p>{escape(each.about)}</p></a>'
        for each in boards(one.language)
    )
    with ui.element("main").classes("gi-page"):
        ui.html(f"<h1>{escape(one.say('boards'))}</h1>", sanitize=False)
        ui.html(cards, sanitize=False).classes("gi-cards")
        ui.html(f"<p>{escape(one.say('about_viewer'))}</p>", sanitize=False).classes("gi-hint")
    return None


@ui.page("/d/{uid}")
async def one_board(request: Request, uid: str) -> Response | None:
    one = visit(viewer_of(), request)
    if not isinstance(one, Visit):
        return one
    found = board(uid)
    if found is None:
        return _told(one, "unknown_board")
    asked = request.query_params.get("lang")
    if asked in ("zh", "en") and asked != found.language:
        return _board_instead(request, in_language(found, asked).uid)  # type: ignore[arg-type]
    one.language = found.language
    page = BoardPage(one, found)
    page.build()
    await _first(page.frame.look(), page.refresh())
    page.begin()
    return None


@ui.page("/d/{uid}/{slug}")
def one_board_by_slug(request: Request, uid: str, slug: str) -> Response | None:  # noqa: ARG001
    """As Grafana's own addresses are."""
    return _board_instead(request, uid)


def _board_instead(request: Request, uid: str) -> Response:
    """With the same question. Without host and port: behind a proxy they are not what the browser asked for."""
    return RedirectResponse(f"/d/{quote(uid)}{request.url.query and '?'}{request.url.query}", 303)


@ui.page("/alerts")
async def alerts(request: Request) -> Response | None:
    one = visit(viewer_of(), request)
    if not isinstance(one, Visit):
        return one
    page = AlertsPage(one)
    page.build()
    await _first(page.frame.look(), page.refresh())
    page.begin()
    return None


@ui.page("/alerts/{name}")
async def one_alert(request: Request, name: str) -> Response | None:
    one = visit(viewer_of(), request)
    if not isinstance(one, Visit):
        return one
    try:
        check(one.user, "alerts.read")
        page = AlertPage(one, name)
    except Problem:
        return _told(one, "unknown_alert")
    page.build()
    await _first(page.frame.look(), page.refresh())
    page.begin()
    return None


@ui.page("/cases")
async def cases(request: Request) -> Response | None:
    one = visit(viewer_of(), request)
    if not isinstance(one, Visit):
        return one
    page = CasesPage(one)
    page.build()
    await _first(page.frame.look(), page.refresh())
    page.begin()
    return None


@ui.page("/cases/{name}")
async def one_case(request: Request, name: str) -> Response | None:
    one = visit(viewer_of(), request)
    if not isinstance(one, Visit):
        return one
    try:
        check(one.user, "cases.read")
        page = CasePage(one, name)
    except Problem:
        return _told(one, "unknown_case")
    page.build()
    await _first(page.frame.look(), page.refresh())
    page.begin()
    return None


async def _first(*drawings: Coroutine[None, None, None]) -> None:
    await asyncio.wait([background_tasks.create(one, name="first drawing") for one in drawings], timeout=SOON_S)


def _told(one: Visit, key: str) -> None:
    Frame(one, "", _nothing).begin()
    with ui.element("main").classes("gi-page"):
        ui.html(f"<h1>{escape(one.say(key))}</h1><a href='/'>{escape(one.say('boards'))}</a>", sanitize=False)


async def _nothing() -> None:
    """A page on which nothing changes but its head."""
