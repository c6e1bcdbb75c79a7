"""One alert: what it says, its history, what people did, who was told, and how its worst window came about.

Promises: what a role may not read is not asked for. The explanation is derived again from the messages, when asked.
"""

import asyncio
from datetime import datetime
from html import escape
from urllib.parse import quote

from nicegui import ui

from ...operators.case_deeds import unfit_to_open
from ..alerts import Alert
from ..auth import permitted
from ..cases import is_seen
from ..problems import Problem
from ..routes.alerts import actions, notifications, one_alert, transitions
from ..routes.explain import Explanation, explain_alert
from .alert_html import buttons, number, pairs, place_of, steps, tag, taken_by, text_of
from .frame import Frame
from .page_alerts import listen
from .shown import civil
from .visit import Visit

PAGE = 200


class AlertPage:
    """Raises Problem where there is no such alert in the person's scope."""

    def __init__(self, visit: Visit, name: str):
        self.visit, self.name = visit, name
        self.alert = self._read()

    def _read(self) -> Alert:
        return one_alert(self.visit.request, self.visit.user, self.name)

    def build(self) -> None:
        visit = self.visit
        ui.page_title(f"{place_of(self.alert, visit.language)} – GreenIsland")
        self.frame = Frame(visit, "alerts", self.refresh)
        listen(visit)
        with ui.element("main").classes("gi-page gi-one"):
            self._main = ui.html("", sanitize=False)
            if permitted(visit.user, "explain.read"):
                with ui.element("section").classes("gi-box-big gi-explained"):
                    ui.html(f"<h2>{escape(visit.say('explain'))}</h2>", sanitize=False)
                    self._explained = ui.html("", sanitize=False)
                    with ui.element("button").classes("gi-act").props("type=button id=gi-explain") as self._ask:
                        ui.html(escape(visit.say("explain_now")), sanitize=False)
                    self._ask.on("click", self._explain)
            self._rest = ui.html("", sanitize=False).props("data-state=loading")

    def begin(self) -> None:
        self.frame.begin()
        ui.timer(10.0, self.refresh, immediate=False)

    async def refresh(self) -> None:
        try:
            main, rest = await asyncio.to_thread(self._content)
        except Problem as problem:
            main, rest = f'<p class="gi-nothing">{escape(problem.told(self.visit.language))}</p>', ""
        for element, content in ((self._main, main), (self._rest, rest)):
            if element.content != content:
                element.content = content
        self._rest.props("data-state=drawn")

    def _content(self) -> tuple[str, str]:
        self.alert = self._read()
        alert, language, say = self.alert, self.visit.language, self.visit.say
        board = f'<a class="gi-act" href="{escape(self._board())}">{escape(say("station_board"))}</a>'
        acts = f'<div class="gi-filters">{buttons(alert, self.visit.user, language)}{self._case()}{board}</div>'
        words = f'<p class="gi-said">{tag(alert, language)}{escape(text_of(alert, language))}</p>'
        head = f"<h1>{escape(place_of(alert, language))}</h1>"
        head += f'<section class="gi-box-big">{words}{self._facts()}{acts}</section>'
        return head, self._history() + self._actions() + self._told()

    def _facts(self) -> str:
        alert, say, zone = self.alert, self.visit.say, self.visit.centre.site.time_zone
        language = self.visit.language

        def at(when: datetime | None) -> str | None:
            return None if when is None else civil(when, zone)

        return pairs(
            (
                (say("value"), f"{number(alert.peak)} {alert.unit}" if alert.peak else None),
                (say("limit"), f"{alert.limit} {alert.unit}" if alert.limit else None),
                (say("clause"), alert.clause),
                (say("valid"), f"{alert.valid_n} / {alert.expected_n}" if alert.expected_n else None),
                (say("factor"), alert.factor_zh if language == "zh" else alert.factor_en),
                (say("rule"), alert.rule),
                (say("opened"), at(alert.opened_at)),
                (say("peaked"), at(alert.peak_at)),
                (say("resolved"), at(alert.resolved_at)),
                (say("final_from"), at(alert.final_from)),
                (say("actions"), taken_by(alert, language) or None),
            )
        )

    def _case(self) -> str:
        """The case it belongs to; where there is none, to open one."""
        visit, routing = self.visit, self.visit.centre.site.routing
        with visit.centre.state() as db:
            names = [name for name in db.cases.cases_of(self.name) if is_seen(db, visit.user, name)]
            is_free = unfit_to_open(db, self.name) is None
        links = "".join(
            f'<a class="gi-act" href="/cases/{name}">{escape(visit.say("case"))} {name[:8]}</a>' for name in names
        )
        if not (is_free and routing and routing.cases and permitted(visit.user, "cases.open", self.alert.station)):
            return links
        said = escape(visit.say("open_case"))
        return f'{links}<button type="button" class="gi-act" data-act="open_case" data-id="{self.name}">{said}</button>'

    def _board(self) -> str:
        station = quote(self.alert.station, safe="")
        return f"/d/gi-station-{self.visit.language}?var-station={station}"

    def _history(self) -> str:
        found = transitions(self.visit.request, self.visit.user, self.name, PAGE, None).items
        rows = [
            (one.tick, (one.text_zh if self.visit.language == "zh" else one.text_en) or one.transition, "")
            for one in found
        ]
        return self._section("history", steps(rows, self.visit.centre.site.time_zone))

    def _actions(self) -> str:
        found = actions(self.visit.request, self.visit.user, self.name, PAGE, None).items
        rows = [
            (
                one.known_at,
                f"{one.actor}: {self._act(one.action)}",
                one.body.get("reason") or one.body.get("text") or "",
            )
            for one in found
        ]
        if not rows:
            return self._section("actions", f'<p class="gi-hint">{escape(self.visit.say("no_actions"))}</p>')
        return self._section("actions", steps(rows, self.visit.centre.site.time_zone))

    def _act(self, action: str) -> str:
        return self.visit.say(action) if action in ("acknowledge", "silence", "comment") else action

    def _told(self) -> str:
        visit = self.visit
        if not permitted(visit.user, "evidence.read"):
            return ""
        rows = []
        for one in notifications(visit.request, visit.user, self.name).items:
            rows.append((one.created_at, f"{one.channel}: {one.state}", ""))
            rows += [(each.at, f"{each.attempt}. {each.outcome}", each.detail) for each in one.receipts]
        if not rows:
            return self._section("receipts", f'<p class="gi-hint">{escape(visit.say("no_receipts"))}</p>')
        return self._section("receipts", steps(rows, visit.centre.site.time_zone))

    def _section(self, key: str, content: str) -> str:
        title = escape(self.visit.say(key))
        return f'<section class="gi-box-big" data-part="{key}"><h2>{title}</h2>{content}</section>'

    async def _explain(self) -> None:
        self._ask.set_visibility(False)
        self._explained.content = f'<p class="gi-hint">{escape(self.visit.say("explaining"))}</p>'
        try:
            told = await asyncio.to_thread(explain_alert, self.visit.request, self.visit.user, self.name)
            self._explained.content = _steps(told.window)
        except Problem as problem:
            self._explained.content = f'<p class="gi-wrong">{escape(problem.told(self.visit.language))}</p>'
            self._ask.set_visibility(True)


def _steps(told: Explanation) -> str:
    made = [f"<p>{escape(line)}</p>" for line in told.head]
    for step in told.steps:
        made.append(f"<h3>{escape(step.title)}</h3>")
        made += [f"<p>{escape(line)}</p>" for line in step.lines]
    made += [f"<p>{escape(note)}</p>" for note in told.notes]
    return "".join(made)
