"""Puts the viewer's pages on the portal's application; whoever imports this imports NiceGUI.

Promises: pages load nothing from elsewhere, and the browser is told so; the API answers as before, also what is not
there. One viewer a process: the toolkit keeps its pages in one place.
"""

import logging
from functools import partial

from fastapi import FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from nicegui import app as pages
from nicegui import ui
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..auth import known_user
from ..guard import API
from ..problems import Problem
from . import routes  # noqa: F401  # declares the pages
from .page_login import login_page
from .static_files import AT, FOLDER
from .visit import Viewer

RECONNECT_S = 5.0
GZIP_LEVEL = 3  # the charts' program in 20 ms of this process and not in 80, for a tenth more on the way
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # the toolkit compiles its templates in the browser
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


def mount(app: FastAPI, *, banner: str = "") -> Viewer:
    """banner: a word of `words.WORDS` above every page."""
    viewer = Viewer(app.state.centre, banner)
    pages.state.centre, pages.state.viewer = viewer.centre, viewer

    @app.get("/login", include_in_schema=False)
    def login(request: Request) -> Response:
        there = request.query_params.get("next") or "/"
        there = there if there.startswith("/") and not there.startswith(("//", "/\\")) else "/"
        if known_user(request) is not None:
            return RedirectResponse(there, 303)
        return HTMLResponse(login_page(request, there, viewer.banner))

    @app.api_route("/api/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    def no_such_route(rest: str) -> Response:  # noqa: ARG001  # else it would be a page
        raise Problem("no-such-page")

    if not any(getattr(route, "path", "") == AT for route in pages.routes):
        pages.add_static_files(AT, FOLDER)
    pages.middleware_stack = None  # of a portal that ran here before
    pages.user_middleware.clear()
    ui.run_with(
        app,
        title="GreenIsland",
        reconnect_timeout=RECONNECT_S,
        tailwind=False,
        show_welcome_message=False,
        gzip_middleware_factory=partial(GZipMiddleware, compresslevel=GZIP_LEVEL),
    )
    app.add_middleware(PagePolicy)
    server_log = logging.getLogger("uvicorn.error")
    if _is_told not in server_log.filters:
        server_log.addFilter(_is_told)
    viewer.answers.warm()
    return viewer


def _is_told(record: logging.LogRecord) -> bool:
    """The server names a page's socket with what would let others speak for it."""
    return "WebSocket" not in str(record.msg) and "connection" not in str(record.msg)


class PagePolicy:
    """An ASGI application around another one: what pages may load."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Content-Security-Policy", POLICY)
            await send(message)

        is_page = scope["type"] == "http" and not scope["path"].startswith(API)
        await self._app(scope, receive, with_policy if is_page else send)
