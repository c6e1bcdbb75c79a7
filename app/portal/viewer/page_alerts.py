"""The list of alerts, the latest opened first, with what may be done about each; it follows the decisions.

Promises: what is outside of a person's scope is not there. An action goes through the API as this person.
"""

import asyncio
import json
from collections.abc import Iterable
from datetime import timedelta
from html import escape
from typing import Any

from nicegui import events, ui

from contracts.catalogue.cases import CONCLUSION

from ..alerts import shown
from ..auth import check
from ..problems import Problem
from ..routes.alerts import episode_of, list_alerts
from .alert_html import row, silencing
from .frame import Frame, tell
from .visit import Visit

PAGE = 50
MOST = 500
SILENCE_HOURS = (1, 4, 12, 24, 72)
LEVELS = ("red", "orange", "yellow")
CASE_ACTS = ("reply_case", "return_case", "close_case", "reopen_case", "note_case")


class AlertsPage:
    def __init__(self, visit: Visit):
        self.visit = visit
        self.level = visit.first("level") if visit.first("level") in LEVELS else None
        self.is_open = visit.first("state") != "all"
        self.station = visit.first("station")
        asked = visit.first("n") or ""
        self.n = min(int(asked), MOST) if asked.isdecimal() else PAGE

    def build(self) -> None:
        visit = self.visit
        ui.page_title(f"{visit.say('alerts')} – GreenIsland")
        self.frame = Frame(visit, "alerts", self.refresh)
        listen(visit)
        with ui.element("main").classes("gi-page"):
            ui.html(f"<h1>{escape(visit.say('alerts'))}</h1>", sanitize=False)
            ui.html(self._filters(), sanitize=False).classes("gi-filters")
            self._list = ui.html("", sanitize=False).classes("gi-alerts").props("data-state=loading")

    def begin(self) -> None:
        self.frame.begin()
        ui.timer(10.0, self.refresh, immediate=False)

    def _filters(self) -> str:
        visit = self.visit
        states = (("open_only", None, self.is_open), ("every_state", "all", not self.is_open))
        levels = [("every_level", None, self.level is None), *((one, one, self.level == one) for one in LEVELS)]
        made = [pills(visit, "state", states), pills(visit, "level", levels)]
        if self.station:
            address = visit.address(station=None)
            made.append(
                f'<div class="gi-pills"><a class="gi-here" href="{escape(address)}">{escape(self.station)} ✕</a></div>'
            )
        return "".join(made)

    async def refresh(self) -> None:
        content = await asyncio.to_thread(self._content)
        if content != self._list.content:
            self._list.content = content
        self._list.props("data-state=drawn")

    def _content(self) -> str:
        visit, user = self.visit, self.visit.user
        try:
            check(user, "alerts.read")
            page = list_alerts(
                visit.request,
                user,
                open=True if self.is_open else None,
                level=self.level,  # type: ignore[arg-type]
                station=self.station,
                limit=self.n,
            )
        except Problem as problem:
            return f'<p class="gi-nothing">{escape(problem.told(visit.language))}</p>'
        if not page.items:
            return f'<p class="gi-nothing">{escape(visit.say("no_alerts"))}</p>'
        zone = visit.centre.site.time_zone
        rows = "".join(row(alert, user, visit.language, zone) for alert in page.items)
        if page.next is None or self.n >= MOST:
            return rows
        address = visit.address(n=str(self.n + PAGE))
        return rows + f'<p class="gi-nothing"><a href="{escape(address)}">{escape(visit.say("load_more"))}</a></p>'


def pills(visit: Visit, name: str, choices: Iterable[tuple[str, str | None, bool]]) -> str:
    """choices of a query's value: (word, value, whether it holds)."""
    links = "".join(
        f'<a href="{escape(visit.address(**{name: value, "n": None}))}"{" class=gi-here" if here else ""}>'
        f"{escape(visit.say(key))}</a>"
        for key, value, here in choices
    )
    return f'<div class="gi-pills">{links}</div>'


def listen(visit: Visit) -> None:
    """What the page's dialog asks for becomes a request of the browser to the API."""
    acts = ("acknowledge", "silence", "comment", "open_case", *CASE_ACTS)
    about = {key: visit.say(key) for key in (*acts, "reason", "your_comment", "cancel", "send")}
    routing = visit.centre.site.routing
    terms = [[one.case, one.case] for one in (routing.cases if routing else ())]
    choices = {
        "silence": {"label": "for_how_long", "of": [[str(n), visit.say("hours", n=n)] for n in SILENCE_HOURS]},
        "close_case": {"label": "conclusion", "of": [[one, CONCLUSION[one][visit.language]] for one in CONCLUSION]},
        "open_case": {"label": "terms", "of": terms},
    }
    named = {act: {**its, "label": visit.say(str(its["label"]))} for act, its in choices.items()}
    tell("dialogs", {"words": about, "choices": named})

    async def asked(event: events.GenericEventArguments) -> None:
        request = await asyncio.to_thread(request_of, visit, event.args)
        if request is not None:
            path, body = request
            ui.run_javascript(f"gi.act({json.dumps(path)}, {json.dumps(body, ensure_ascii=False)})")

    ui.on("gi-act", asked)


def request_of(visit: Visit, said: Any) -> tuple[str, dict[str, str]] | None:
    """The API's address and body for what a dialog sent; None: it is no sense, or not in the person's scope."""
    if not isinstance(said, dict):
        return None
    act, name, text, choice = (str(said.get(key, "")) for key in ("act", "id", "text", "choice"))
    if act in CASE_ACTS:
        deed = {"conclusion": choice} if act == "close_case" else {}
        body = {"text": text} if act in ("note_case", "reply_case") else {"reason": text}
        return f"/api/v1/cases/{name}/{act.removesuffix('_case')}", deed | body
    if act == "open_case":
        return "/api/v1/cases", {"alert": name, "terms": choice, "reason": text}
    if act == "comment":
        return f"/api/v1/alerts/{name}/comment", {"text": text}
    if act == "acknowledge":
        return f"/api/v1/alerts/{name}/acknowledge", {"reason": text}
    if act != "silence":
        return None
    centre = visit.centre
    try:
        with centre.state() as db:
            alert = shown(centre, db, episode_of(db, visit.user, name))
            last = db.last_span()
    except Problem:
        return None
    began = centre.clock.now() if last is None or last.clock_to is None else centre.civil(last.clock_to)
    hours = int(choice) if choice.isdecimal() else 0
    lasts = timedelta(hours=hours if 0 < hours <= 744 else SILENCE_HOURS[0])
    body = {
        "matchers": silencing(alert),
        "from_at": began.isoformat(),
        "to_at": (began + lasts).isoformat(),
        "reason": text,
    }
    return "/api/v1/silences", body
