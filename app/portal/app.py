"""The portal's FastAPI application: `create_app` puts it together, for `run`, for `greenisland portal` and for tests.

Promises: every route of the API declares the one permission it needs, or stands in PUBLIC; an app with any other route
is not made. Errors are problem details, also those of the framework.
"""

import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from contracts.clock import Clock
from contracts.portal import Portal
from contracts.site import Site
from rules.spec import Rule
from store.portal_db import PORTAL_DB, PortalDb

from . import health
from .auth import COOKIE, centre_of
from .centre import Centre
from .guard import BODY_BYTES_MAX, Guard
from .problems import Problem, language_of
from .routes import account, alerts, cases, data, events, explain, links, marks, proposals, registry, silences, status

log = logging.getLogger(__name__)

PREFIX = "/api/v1"
ROUTERS = (
    account,
    alerts,
    cases,
    silences,
    data,
    registry,
    marks,
    explain,
    proposals,
    status,
    events,
)
# Answered without knowing who asks: signing in, links that carry their own signature, and whether it runs.
PUBLIC = {
    ("POST", f"{PREFIX}/session"),
    ("GET", "/link/acknowledge"),
    ("POST", "/link/acknowledge"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
}
ABOUT = """Alerts, verdicts, series and marks of a monitoring centre, and what people do about them.

Send `Authorization: Bearer gi_...`, or sign in for a session cookie; a change made with the cookie also needs
`X-CSRF-Token`. Instants are ISO 8601 with offset. Lists come in pages: give `next` back as `cursor`. Errors are problem
details (RFC 9457). What is outside of your scope is answered as if it did not exist."""


def create_app(
    site: Site,
    rules: Sequence[Rule],
    state_dir: Path,
    clock: Clock,
    *,
    site_dir: Path | None = None,
    settings: Portal | None = None,
    link_key: bytes | None = None,
) -> FastAPI:
    """The application over one state directory; `app.state.centre` is what its pages and routes share, and is to be
    closed when it has ended.

    site_dir: the site's files, for proposals and explanations; link_key: without it there are no signed links.
    Raises PortalDbError, sqlite3.Error, OSError.
    """
    centre = Centre(
        site=site,
        rules=list(rules),
        state_dir=state_dir,
        site_dir=site_dir,
        clock=clock,
        db=PortalDb(state_dir / PORTAL_DB),
        settings=settings or site.file.portal or Portal(),
        link_key=link_key,
    )

    app = FastAPI(
        title="GreenIsland",
        description=ABOUT,
        version="1",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.centre = centre
    app.openapi = lambda: _with_security(app)  # type: ignore[method-assign]
    for one in ROUTERS:
        app.include_router(one.router, prefix=PREFIX)
    app.include_router(links.router)
    app.include_router(health.router)
    _handle_errors(app)
    app.add_middleware(Guard)
    if undeclared := {route for route, permission in declared().items() if permission is None} - PUBLIC:
        raise AssertionError(f"these routes declare no permission: {sorted(undeclared)}")
    return app


def declared() -> dict[tuple[str, str], str | None]:
    """(method, path) of every route -> the permission it needs; None: it is open to everybody."""
    routers = [(PREFIX, one.router) for one in ROUTERS] + [("", links.router), ("", health.router)]
    found: dict[tuple[str, str], str | None] = {}
    for prefix, router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            needed = [getattr(one.call, "permission", None) for one in route.dependant.dependencies]
            permission = next((one for one in needed if one is not None), None)
            found |= {(method, prefix + route.path): permission for method in route.methods or ()}
    return found


def _with_security(app: FastAPI) -> dict[str, Any]:
    """The document, with how to come in, and what it takes, a route."""
    if app.openapi_schema is None:
        made = FastAPI.openapi(app)
        made.setdefault("components", {})["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
        for (method, path), permission in declared().items():
            if permission is not None:
                made["paths"][path][method.lower()] |= {"security": [{"token": []}, {"session": []}]}
                made["paths"][path][method.lower()]["x-permission"] = permission
    assert app.openapi_schema is not None
    return app.openapi_schema


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return error.response(language_of(request))

    @app.exception_handler(RequestValidationError)
    async def wrong_input(request: Request, error: RequestValidationError) -> Response:
        found = [_finding(one) for one in error.errors()]
        return Problem("wrong-input", what=found[0], errors=found).response(language_of(request))

    @app.exception_handler(HTTPException)
    async def of_framework(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            answer = Problem("method-not-allowed", method=request.method, headers=error.headers)
        elif error.status_code == 413:
            answer = Problem("too-large", bytes=f"{BODY_BYTES_MAX:,}")
        elif error.status_code == 404:
            answer = Problem("no-such-page")
        else:
            answer = Problem("wrong-input", what=str(error.detail))
        return answer.response(language_of(request))

    @app.exception_handler(sqlite3.OperationalError)
    async def busy(request: Request, error: sqlite3.OperationalError) -> Response:
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return Problem("busy", seconds=5).response(language_of(request))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return Problem("failed").response(language_of(request))


def _finding(error: Any) -> str:
    """`query limit: ...`, without what was sent: it may be a password."""
    place = " ".join(str(part) for part in error["loc"])
    said = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {said}"


__all__ = ["PREFIX", "PUBLIC", "centre_of", "create_app", "declared"]
