"""Cases (督办): the list, and one with its history and its alerts; both follow the decisions.

Promises: what is outside of a person's scope is not there. An action goes through the API as this person.
"""

import asyncio
from html import escape

from nicegui import ui

from contracts.catalogue.cases import CONCLUSION

from ..auth import check
from ..cases import Case
from ..problems import Problem
from ..routes.cases import alerts, case_events, list_cases, one_case
from .alert_html import pairs, place_of, steps, tag, text_of
from .case_html import case_buttons, case_place, case_row, case_tag
from .frame import Frame
from .page_alerts import listen, pills
from .shown import civil
from .visit import Visit

PAGE = 50
MOST = 500


class CasesPage:
    def __init__(self, visit: Visit):
        self.visit = visit
        self.state = visit.first("state") if visit.first("state") in ("all", "overdue") else None
        asked = visit.first("n") or ""
        self.n = min(int(asked), MOST) if asked.isdecimal() else PAGE

    def build(self) -> None:
        visit = self.visit
        ui.page_title(f"{visit.say('cases')} – GreenIsland")
        self.frame = Frame(visit, "cases", self.refresh)
        listen(visit)
        states = (
            ("not_closed", None, self.state is None),
            ("overdue", "overdue", self.state == "overdue"),
            ("every_state", "all", self.state == "all"),
        )
        with ui.element("main").classes("gi-page"):
            ui.html(f"<h1>{escape(visit.say('cases'))}</h1>", sanitize=False)
            ui.html(pills(visit, "state", states), sanitize=False).classes("gi-filters")
            self._list = ui.html("", sanitize=False).classes("gi-alerts").props("data-state=loading")

    def begin(self) -> None:
        self.frame.begin()
        ui.timer(5.0, self.refresh, immediate=False)

    async def refresh(self) -> None:
        content = await asyncio.to_thread(self._content)
        if content != self._list.content:
            self._list.content = content
        self._list.props("data-state=drawn")

    def _content(self) -> str:
        visit, user = self.visit, self.visit.user
        try:
            check(user, "cases.read")
            is_open = None if self.state == "all" else True
            page = list_cases(visit.request, user, open=is_open, overdue=self.state == "overdue", limit=self.n)
        except Problem as problem:
            return f'<p class="gi-nothing">{escape(problem.told(visit.language))}</p>'
        if not page.items:
            return f'<p class="gi-nothing">{escape(visit.say("no_cases"))}</p>'
        zone = visit.centre.site.time_zone
        rows = "".join(case_row(case, user, visit.language, zone) for case in page.items)
        if page.next is None or self.n >= MOST:
            return rows
        address = visit.address(n=str(self.n + PAGE))
        return rows + f'<p class="gi-nothing"><a href="{escape(address)}">{escape(visit.say("load_more"))}</a></p>'


class CasePage:
    """Raises Problem where there is no such case in the person's scope."""

    def __init__(self, visit: Visit, name: str):
        self.visit, self.name = visit, name
        self.case = self._read()

    def _read(self) -> Case:
        return one_case(self.visit.request, self.visit.user, self.name)

    def build(self) -> None:
        visit = self.visit
        ui.page_title(f"{visit.say('case')} {case_place(self.case, visit.language)} – GreenIsland")
        self.frame = Frame(visit, "cases", self.refresh)
        listen(visit)
        with ui.element("main").classes("gi-page gi-one"):
            self._all = ui.html("", sanitize=False).props("data-state=loading")

    def begin(self) -> None:
        self.frame.begin()
        ui.timer(5.0, self.refresh, immediate=False)

    async def refresh(self) -> None:
        try:
            content = await asyncio.to_thread(self._content)
        except Problem as problem:
            content = f'<p class="gi-nothing">{escape(problem.told(self.visit.language))}</p>'
        if self._all.content != content:
            self._all.content = content
        self._all.props("data-state=drawn")

    def _content(self) -> str:
        self.case = self._read()
        case, visit, language = self.case, self.visit, self.visit.language
        acts = f'<div class="gi-filters">{case_buttons(case, visit.user, language)}</div>'
        words = f'<p class="gi-said">{case_tag(case, language)}{escape(visit.say("case"))} {case.id[:8]}</p>'
        head = f"<h1>{escape(case_place(case, language))}</h1>"
        return (
            head + f'<section class="gi-box-big">{words}{self._facts()}{acts}</section>' + self._history() + self._its()
        )

    def _facts(self) -> str:
        case, say, zone = self.case, self.visit.say, self.visit.centre.site.time_zone
        instants = (
            ("opened", case.opened_at),
            ("reply_due", case.reply_due_at),
            ("replied_at", case.replied_at),
            ("close_due", case.close_due_at),
            ("closed_at", case.closed_at),
        )
        return pairs(
            (
                *((say(key), None if at is None else civil(at, zone)) for key, at in instants),
                (say("conclusion"), CONCLUSION[case.conclusion][self.visit.language] if case.conclusion else None),
                (say("opened_by"), case.opened_by or None),
                (say("terms"), case.terms),
            )
        )

    def _history(self) -> str:
        visit = self.visit
        found = case_events(visit.request, visit.user, self.name, MOST, None).items
        rows = [(one.tick, one.text_zh if visit.language == "zh" else one.text_en, one.actor) for one in found]
        return self._section("history", steps(rows, visit.centre.site.time_zone))

    def _its(self) -> str:
        visit, language = self.visit, self.visit.language
        found = alerts(visit.request, visit.user, self.name, PAGE, None)
        rows = "".join(
            f'<p class="gi-said">{tag(one, language)}<a href="/alerts/{one.id}">{escape(place_of(one, language))}</a>'
            f"<br>{escape(text_of(one, language))}</p>"
            for one in found.items
        )
        if found.next is not None:
            rows += f'<p class="gi-hint">{escape(visit.say("n_alerts", n=self.case.alerts))}</p>'
        return self._section("alerts", rows) if rows else ""

    def _section(self, key: str, content: str) -> str:
        title = escape(self.visit.say(key))
        return f'<section class="gi-box-big" data-part="{key}"><h2>{title}</h2>{content}</section>'
