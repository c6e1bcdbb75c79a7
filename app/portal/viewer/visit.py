"""Who looks at a page, in which language and theme, and what its address says.

Promises: nobody who is not signed in sees a page; who may no longer come in is sent away within a refresh.
"""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import RedirectResponse

from .. import passwords
from ..auth import COOKIE, User, known_user
from ..centre import Centre
from ..problems import language_of
from .answers import Answers
from .boards import Language
from .look import Theme
from .watch import Watch
from .words import said

LANGUAGE_COOKIE, THEME_COOKIE = "gi_language", "gi_theme"


class Viewer:
    """One a portal; kept in the pages' `app.state.viewer`."""

    def __init__(self, centre: Centre, banner: str = ""):
        self.centre, self.banner = centre, banner
        self.answers, self.watch = Answers(centre), Watch(centre)

    def close(self) -> None:
        self.answers.close()


@dataclass
class Visit:
    viewer: Viewer
    request: Request
    user: User
    csrf: str
    language: Language
    theme: Theme
    is_wall: bool
    path: str
    asked: list[tuple[str, str]]  # of the address

    @property
    def centre(self) -> Centre:
        return self.viewer.centre

    def say(self, key: str, **about: object) -> str:
        return said(key, self.language, **about)

    def renewed(self) -> User | None:
        """The person as they may come in now."""
        return known_user(self.request)

    def first(self, name: str) -> str | None:
        return next((value for key, value in self.asked if key == name), None)

    def every(self, name: str) -> list[str]:
        return [value for key, value in self.asked if key == name]

    def address(self, path: str | None = None, **changed: str | list[str] | None) -> str:
        """This page's address, or another one's, with some of what it asks changed; None: left out."""
        kept = [(key, value) for key, value in self.asked if key not in changed]
        for key, value in changed.items():
            if isinstance(value, list):
                kept += [(key, one) for one in value]
            elif value is not None:
                kept.append((key, value))
        return (path or self.path) + (f"?{urlencode(kept)}" if kept else "")


def visit(viewer: Viewer, request: Request) -> "Visit | RedirectResponse":
    """Or the way to the sign-in page."""
    user = known_user(request)
    if user is None:
        there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(there, safe='')}", 303)
    asked = [(key, value) for key, value in request.query_params.multi_items() if key not in ("lang", "theme")]
    is_wall = request.query_params.get("wall") == "1"
    return Visit(
        viewer=viewer,
        request=request,
        user=user,
        csrf=passwords.csrf_of(request.cookies[COOKIE]) if user.by == "session" else "",
        language=language_asked(request),
        theme=_theme(request, is_wall),
        is_wall=is_wall,
        path=request.url.path,
        asked=asked,
    )


def language_asked(request: Request) -> Language:
    """Of the address, else as chosen before, else as the browser prefers."""
    for one in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if one in ("zh", "en"):
            return one  # type: ignore[return-value]
    return language_of(request)  # type: ignore[return-value]


def _theme(request: Request, is_wall: bool) -> Theme:
    for one in (request.query_params.get("theme"), request.cookies.get(THEME_COOKIE)):
        if one in ("light", "dark"):
            return one  # type: ignore[return-value]
    return "dark" if is_wall else "light"
