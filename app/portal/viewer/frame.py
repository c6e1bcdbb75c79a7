"""What stands around every page: the head with live counts, the keyboard, help, and what happens while it is open.

Promises: the head shows the live state whatever source the boards draw from. In wall mode none of it is there.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from html import escape
from typing import Any

from nicegui import ui

from ..alerts import words as told
from ..problems import Problem
from ..roles import ROLES
from .shown import civil, lasting
from .static_files import head
from .visit import Visit
from .watch import Position

LOOK_EVERY_S = 1.0
TOASTS_MAX = 3
NEWS = ("fired", "level_changed", "reopened")  # what a person is told of at once
ROUND = {"red": "#E02F44", "orange": "#FF780A", "yellow": "#F2CC0C"}


class Frame:
    """Build inside of a page; `changed` is awaited when alerts of the user's scope changed.

    Until `begin` nothing waits for the page's socket, for what does is sent as it is.
    """

    def __init__(self, visit: Visit, here: str, changed: Callable[[], Awaitable[None]]):
        self.visit, self._changed = visit, changed
        self.position = Position()
        self._seen: int | None = None
        ui.add_head_html(head(visit.language, visit.theme))
        ui.dark_mode(visit.theme == "dark")
        tell("page", self._page())
        self._live = None
        if not visit.is_wall:
            with ui.element("header").classes("gi-head"):
                ui.html(self._brand(here), sanitize=False).classes("gi-brand")
                self._live = ui.html("", sanitize=False).classes("gi-live")
                ui.html(self._person(), sanitize=False).classes("gi-person")
            if visit.viewer.banner:
                ui.html(escape(visit.say(visit.viewer.banner)), sanitize=False).classes("gi-banner")

    async def look(self) -> None:
        """How far the centre is, and the counts of the head."""
        self.position = await asyncio.to_thread(self.visit.viewer.watch.look)
        if self._seen is None and not self.position.why:
            self._seen = self.position.transition  # what comes after it is news
        if self._live is not None:
            self._live.content = self._counts(self.position)

    def begin(self) -> None:
        """From now on the page follows the decisions."""
        ui.timer(LOOK_EVERY_S, self._tick)

    async def _tick(self) -> None:
        visit = self.visit
        user = await asyncio.to_thread(visit.renewed)
        if user is None:
            ui.navigate.to(f"/login?next={visit.request.url.path}")
            return
        visit.user = user
        await self.look()
        position, seen = self.position, self._seen
        if position.why or seen is None or position.transition == seen:
            return
        try:
            rows = await asyncio.to_thread(visit.viewer.watch.transitions_after, seen, user)
        except Problem:
            return  # the next look tells
        self._seen = position.transition
        self._announce([row for row in rows if row["transition"] in NEWS])
        if rows:
            await self._changed()

    def _announce(self, rows: list[dict[str, Any]]) -> None:
        for row in rows[-TOASTS_MAX:]:
            zh, en = told(self.visit.centre, row)
            said = (zh if self.visit.language == "zh" else en) or row["body"]["station"]
            about = {"text": said, "level": row["body"]["level"], "href": f"/alerts/{row['episode']}"}
            ui.run_javascript(f"gi.toast({json.dumps(about, ensure_ascii=False)})")

    def _brand(self, here: str) -> str:
        say = self.visit.say
        links = "".join(
            f'<a href="{href}"{" class=gi-here" if key == here else ""}>{escape(say(key))}</a>'
            for key, href in (("boards", "/"), ("alerts", "/alerts"), ("cases", "/cases"))
        )
        return (
            f'<a class="gi-logo" href="/"><i></i><b>GreenIsland</b><span>{escape(say("viewer"))}</span></a>'
            f"<nav>{links}</nav>"
        )

    def _counts(self, position: Position) -> str:
        say, zone = self.visit.say, self.visit.centre.site.time_zone
        if position.why:
            return f'<span class="gi-bad">{escape(position.why)}</span>'
        levels = position.levels(self.visit.user)
        counts = "".join(
            f'<a href="/alerts?level={level}" title="{escape(say("open_" + level))}" class="gi-count"'
            f' data-level="{level}" data-n="{levels[level]}"><i style="background:{colour}"></i>{levels[level]}</a>'
            for level, colour in ROUND.items()
        )
        if position.clock_at is None:
            return f"{counts}<span>{escape(say('nothing_decided'))}</span>"
        behind = (self.visit.centre.clock.now() - position.clock_at).total_seconds()
        late = f' <em class="gi-late">{escape(say("as_of", age=lasting(behind)))}</em>' if behind > 120 else ""
        at = escape(say("decided_to", at=civil(position.clock_at, zone)))
        return f'{counts}<span class="gi-clock">{at}{late}</span>'

    def _person(self) -> str:
        visit, role = self.visit, ROLES[self.visit.user.role]
        other, to = ("English", "en") if visit.language == "zh" else ("中文", "zh")
        theme = "light" if visit.theme == "dark" else "dark"
        path = visit.path
        if path.startswith("/d/") and path.endswith(("-zh", "-en")):
            path = path[:-2] + to
        return (
            f'<a href="{escape(visit.address(theme=theme))}" title="{escape(visit.say(theme))}">{_THEME[theme]}</a>'
            f'<a href="{escape(visit.address(path, lang=to))}">{other}</a>'
            f'<button type="button" class="gi-link" data-help="1" title="{escape(visit.say("help"))}">?</button>'
            f'<span class="gi-who" title="{escape(role.zh if visit.language == "zh" else role.en)}">'
            f"{escape(visit.user.full_name or visit.user.name)}</span>"
            f'<button type="button" class="gi-link" data-signout="1">{escape(visit.say("sign_out"))}</button>'
        )

    def _page(self) -> dict[str, Any]:
        """What the page's script needs."""
        visit = self.visit
        keys = (
            ("g b", "key_gb"),
            ("g a", "key_ga"),
            ("g c", "key_gc"),
            ("t", "key_t"),
            ("w", "key_w"),
            ("?", "key_help"),
            ("Esc", "key_esc"),
        )
        return {
            "language": visit.language,
            "theme": visit.theme,
            "csrf": visit.csrf,
            "isWall": visit.is_wall,
            "keys": [[key, visit.say(word)] for key, word in keys],
            "words": {key: visit.say(key) for key in ("keys", "about_viewer", "sent", "refused", "lost", "new_alert")},
        }


def tell(function: str, about: Any) -> None:
    """Calls a function of the page's script with it, as soon as the page comes."""
    told_ = json.dumps(about, ensure_ascii=False).replace("<", "\\u003c")  # it would end the script
    ui.add_body_html(f"<script>gi.{function}({told_})</script>")


_THEME = {"dark": "☾", "light": "☀"}
