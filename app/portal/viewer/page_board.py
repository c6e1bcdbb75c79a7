"""One board: variables, time, its panels on the grid of 24 columns, drawn again as the state moves on.

Promises: a panel without data says why; a value that no variable offers is told and matches nothing; the address holds
what is chosen, so it can be kept and passed on.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from nicegui import events, ui

from grafana.query import Bindings

from ..auth import User
from .answers import Answer, Source
from .boards import ALL, Board, Panel, Variable, boards, in_language
from .chooser import Chooser
from .draw_cells import bars, stat, table
from .draw_series import draw as draw_series
from .draw_states import draw as draw_states
from .frame import Frame
from .series import Drawing, Look
from .shown import civil
from .span_of_time import NoInstant, Span, width_of
from .time_picker import TimePicker
from .visit import Visit
from .watch import Position

SOONEST_S = 1.0  # between two drawings, however much happens
ROTATE_S = 60
LATEST_MS = 4e12  # of a range: the year 2096
CHARTS = {"timeseries": draw_series, "state-timeline": draw_states, "status-history": draw_states}


@dataclass
class Place:
    """A panel's elements on the page."""

    panel: Panel
    body: Any
    chart: Any
    cells: Any
    say: Any
    note: Any
    drawn: tuple[Any, ...] | None = None


class BoardPage:
    def __init__(self, visit: Visit, board: Board):
        self.visit, self.board = visit, board
        self.span = Span(visit.first("from") or board.range[0], visit.first("to") or board.range[1])
        asked: Source = "influxdb" if visit.first("source") == "influxdb" else "archive"
        self.source: Source = asked if visit.centre.site.file.influxdb is not None else "archive"
        self.chosen = {one.name: self._asked(one) for one in board.variables}
        # as the board begins, until something is chosen
        self.untouched = {one.name for one in board.variables if one.default and not visit.every(f"var-{one.name}")}
        self.before_zoom: Span | None = None
        self.places: list[Place] = []
        self.choosers: dict[str, Chooser] = {}
        self._drawing, self._again = False, False
        self._drawn_s = 0.0

    def _asked(self, variable: Variable) -> list[str]:
        return [one for one in self.visit.every(f"var-{variable.name}") if one not in (ALL, "")]

    # -- building

    def build(self) -> None:
        visit = self.visit
        ui.page_title(f"{self.board.title} – GreenIsland")
        self.frame = Frame(visit, "boards", self.refresh)
        if not visit.is_wall:
            self._toolbar()
        self.notice = ui.html("", sanitize=False).classes("gi-notice")
        grid = ui.element("main").classes("gi-grid").style(f"--gi-rows:{self.board.rows}")
        with grid:
            for panel in self.board.panels:
                self._place(panel)
        if visit.is_wall:
            self._wall()

    def begin(self) -> None:
        self.frame.begin()
        ui.timer(max(5.0, self.board.refresh_s), self.refresh, immediate=False)

    def _toolbar(self) -> None:
        visit = self.visit
        with ui.element("div").classes("gi-bar-top"):
            others = "".join(
                f'<a href="{escape(self.link(one))}"{" class=gi-here" if one.uid == self.board.uid else ""}>'
                f"{escape(one.title)}</a>"
                for one in boards(self.board.language)
            )
            title = f"<summary>{escape(self.board.title)}</summary>"
            ui.html(f'<details class="gi-others">{title}<div>{others}</div></details>', sanitize=False)
            with ui.element("div").classes("gi-chosen"):
                for one in self.board.variables:
                    self.choosers[one.name] = Chooser(visit, one, self.chosen[one.name], self._offers, self._choose)
            with ui.element("div").classes("gi-when"):
                if visit.centre.site.file.influxdb is not None:
                    ui.html(self._sources(), sanitize=False).classes("gi-sources")
                self.picker = TimePicker(visit, self.span, self._set_span, lambda: self.frame.position.clock_at)
                ui.on("gi-zoom", self._zoomed)
                wall, title = escape(visit.address(wall="1")), escape(visit.say("wall"))
                ui.html(f'<a class="gi-icon" href="{wall}" title="{title} (w)">{_WALL}</a>', sanitize=False)

    def _sources(self) -> str:
        made = []
        for name in ("archive", "influxdb"):
            here = " class=gi-here" if name == self.source else ""
            address = self.visit.address(source=None if name == "archive" else name)
            made.append(f'<a href="{escape(address)}"{here}>{escape(self.visit.say(name))}</a>')
        return "".join(made)

    def _place(self, panel: Panel) -> None:
        style = f"--x:{panel.x + 1};--y:{panel.y + 1};--w:{panel.width};--h:{panel.height}"
        section = ui.element("section").classes(f"gi-panel gi-{panel.kind}").style(style)
        section.props(f'id="panel-{panel.id}" data-state=loading')
        with section:
            about = escape(f"{panel.about}\n{panel.empty}")
            ui.html(f'<h2 title="{about}">{escape(panel.title)}</h2>', sanitize=False).classes("gi-title")
            note = ui.html("", sanitize=False).classes("gi-note")
            chart = None
            if panel.kind in CHARTS:
                chart = ui.echart({"series": []}).classes("gi-chart")
                chart.on("chart:finished", js_handler=f'() => gi.drawn("panel-{panel.id}")')
            cells = ui.html("", sanitize=True).classes("gi-cells")
            say = ui.html(f"<p>{escape(self.visit.say('loading'))}</p>", sanitize=False).classes("gi-say")
        self.places.append(Place(panel, section, chart, cells, say, note))

    def _wall(self) -> None:
        every = [one for one in boards(self.board.language) if all(v.is_multi for v in one.variables)]
        rotate = self.visit.first("rotate")
        after_s = 0 if rotate in ("off", "0") else int(rotate) if rotate and rotate.isdecimal() else ROTATE_S
        here = next((n for n, one in enumerate(every) if one.uid == self.board.uid), -1)
        after = every[(here + 1) % len(every)] if every else self.board
        address = self.visit.address(f"/d/{after.uid}")
        words = f"<b>{escape(self.board.title)}</b><span>GreenIsland {escape(self.visit.say('viewer'))}</span><i></i>"
        turn = f'data-next="{escape(address)}" data-after="{after_s}"'
        ui.html(f'<div class="gi-wall-title" {turn}>{words}</div>', sanitize=False).classes("gi-wall-strip")

    # -- what is chosen

    def link(self, other: Board) -> str:
        """Another board with the same range and what it knows of the same variables."""
        names = {f"var-{one.name}" for one in other.variables} | {"from", "to", "source"}
        kept = [(key, value) for key, value in self._query() if key in names]
        return f"/d/{other.uid}" + (f"?{urlencode(kept)}" if kept else "")

    def _query(self) -> list[tuple[str, str]]:
        made = []
        for one in self.board.variables:
            if one.name not in self.untouched:
                values = self.chosen[one.name] or ([ALL] if one.default else [])
                made += [(f"var-{one.name}", value) for value in values]
        if (self.span.begins, self.span.ends) != self.board.range:
            made += [("from", self.span.begins), ("to", self.span.ends)]
        if self.source == "influxdb":
            made.append(("source", "influxdb"))
        return made

    async def _changed(self) -> None:
        kept = [pair for pair in self.visit.asked if not pair[0].startswith("var-") and pair[0] not in _ITS_OWN]
        self.visit.asked = [*self._query(), *kept]
        ui.navigate.history.replace(self.visit.address())
        await self.refresh()

    async def _choose(self, variable: Variable, values: list[str]) -> None:
        self.chosen[variable.name] = values
        self.untouched.discard(variable.name)
        await self._changed()

    async def _set_span(self, span: Span) -> None:
        self.span = span
        await self._changed()

    async def _zoomed(self, event: events.GenericEventArguments) -> None:
        """To what was dragged over on a chart, whose instants are civil time; back to what it was before."""
        said = event.args if isinstance(event.args, dict) else {}
        ends = [said.get(name) for name in ("from", "to")]
        if all(isinstance(one, (int, float)) and 0 < one < LATEST_MS for one in ends):
            civil_at = [datetime.fromtimestamp(round(one / 1000), UTC).replace(tzinfo=None) for one in ends]
            self.before_zoom = self.before_zoom or self.span
            await self.picker.take(Span(*(f"{at:%Y-%m-%d %H:%M:%S}" for at in civil_at)))
        elif self.before_zoom is not None:
            span, self.before_zoom = self.before_zoom, None
            await self.picker.take(span)

    async def _offers(self, variable: Variable) -> list[tuple[str, str]]:
        """(value, text) of everything the variable can be, given those before it."""
        answers, user = self.visit.viewer.answers, self.visit.user
        bound = Bindings(_EPOCH, _EPOCH, {name: tuple(values) for name, values in self.chosen.items() if values})
        labels = await answers.run(answers.offered, variable.query, bound, user.subjects)
        return sorted((variable.parted(one) for one in labels), key=lambda one: one[1])

    async def _unknown(self) -> list[str]:
        """Sentences about chosen values that there are not, and about what must be chosen first."""
        found = []
        for one in self.board.variables:
            values = self.chosen[one.name]
            if not values and one.is_multi and one.name not in self.untouched:
                continue
            known = dict(await self._offers(one))
            if one.name in self.untouched:
                values = self.chosen[one.name] = [value for value in one.default if value in known]
            if not values and known and not one.is_multi:
                self.chosen[one.name] = [min(known)]
            if one.name in self.choosers:
                self.choosers[one.name].show(self.chosen[one.name], known)
            for value in values:
                if value not in known:
                    found.append(self.visit.say("unknown_value", label=one.label, value=value[:80]))
        return found

    # -- drawing

    async def refresh(self) -> None:
        """Draws what has changed; one drawing at a time, and one more where something came meanwhile."""
        if self._drawing:
            self._again = True
            return
        self._drawing = True
        try:
            while True:
                self._again = False
                await self._draw()
                if not self._again:
                    return
                await asyncio.sleep(SOONEST_S)
        finally:
            self._drawing = False

    async def _draw(self) -> None:
        visit = self.visit
        viewer, user = visit.viewer, visit.user
        position = await asyncio.to_thread(viewer.watch.look)
        now, zone = visit.centre.clock.now(), visit.centre.site.time_zone
        sentences = await self._unknown()
        try:
            from_at, to_at = self.span.at(now, zone)
        except NoInstant as error:
            sentences.append(str(error))
            from_at, to_at = Span(*self.board.range).at(now, zone)
        self.notice.content = "".join(f"<p>{escape(one)}</p>" for one in sentences)
        chosen = {name: tuple(values) for name, values in self.chosen.items() if values}
        bound = Bindings(from_at, to_at, chosen, width_of(from_at, to_at))
        look = Look(visit.language, visit.theme, zone, from_at, to_at)

        async def one(place: Place) -> None:
            made = await viewer.answers.run(self._panel, place.panel, bound, look, user, position, now)
            self._show(place, *made)

        await asyncio.gather(*(one(place) for place in self.places))
        self._drawn_s = time.monotonic()

    def _panel(
        self, panel: Panel, bound: Bindings, look: Look, user: User, position: Position, now: datetime
    ) -> tuple[Drawing, str]:
        """In a thread: the drawing, and why it is empty."""
        answers, state = self.visit.viewer.answers, (position.span, position.transition)
        if any(one.query.measurement == "health" for one in panel.targets):
            state = (*state, now)  # type: ignore[assignment]  # it ages by itself
        asked = [(one, answers.ask(one.query, bound, user.subjects, self.source, state)) for one in panel.targets]
        if panel.kind not in CHARTS and panel.kind not in ("stat", "table", "bargauge"):
            return Drawing(is_empty=True), self.visit.say("kind_is_unknown", kind=panel.kind)
        if panel.kind == "timeseries":
            notes = [
                (one, answers.ask(one.query, bound, user.subjects, self.source, state))
                for one in self.board.annotations
            ]
            drawing = draw_series(panel, asked, notes, look)
        elif panel.kind in CHARTS:
            drawing = draw_states(panel, asked, look)
        elif panel.kind == "stat":
            drawing = stat(panel, asked, self._why(panel, [answer for _, answer in asked], look, position))
        elif panel.kind == "bargauge":
            drawing = bars(panel, asked, look)
        else:
            drawing = table(panel, asked, look, {"__url_time_range": self._range_asked()})
        if any(answer.is_live_instead for _, answer in asked):
            drawing = Drawing(drawing.option, drawing.html, self.visit.say("live_instead"), drawing.is_empty)
        return drawing, self._why(panel, [answer for _, answer in asked], look, position) if drawing.is_empty else ""

    def _range_asked(self) -> str:
        return f"from={quote(self.span.begins, safe='')}&to={quote(self.span.ends, safe='')}"

    def _why(self, panel: Panel, answered: list[Answer], look: Look, position: Position) -> str:
        """Why nothing is there: what failed, else what the board says of an empty panel and how far it is decided."""
        say, zone = self.visit.say, look.zone
        if position.why:
            return position.why
        told = [answer.why.told(self.visit.language) for answer in answered if answer.why is not None]
        if told:
            return told[0]
        parts = [panel.empty] if panel.empty else []
        ranged = any(one.query.is_in_range for one in panel.targets)
        if ranged:
            parts.append(say("nothing_in_range", from_at=civil(look.from_at, zone), to_at=civil(look.to_at, zone)))
        if ranged and position.clock_at is not None and position.clock_at < look.from_at:
            parts.append(say("only_decided_to", at=civil(position.clock_at, zone)))
        return "\n".join(parts) or say("no_data")

    def _show(self, place: Place, drawing: Drawing, why: str) -> None:
        key = (drawing.option, drawing.html, drawing.note, drawing.is_empty, why)
        if key == place.drawn:
            return
        place.drawn = key
        place.note.content = escape(drawing.note)
        place.cells.content = drawing.html
        is_said = drawing.is_empty and not drawing.html
        place.say.content = f"<b>{escape(self.visit.say('no_data'))}</b><p>{escape(why)}</p>" if is_said else ""
        state = "empty" if drawing.is_empty else "drawn"
        place.body.props(f"data-state={state}")
        if place.chart is not None and drawing.option is not None:
            place.chart.options.clear()
            place.chart.options.update(drawing.option)
            place.chart.update()


_WALL = (
    '<svg width="15" height="15" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.6">'
    '<path d="M1 5V1h4M11 1h4v4M15 11v4h-4M5 15H1v-4"/></svg>'
)
_ITS_OWN = ("from", "to", "source")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def board_of(visit: Visit, board: Board) -> Board:
    """In the language that is read."""
    return in_language(board, visit.language)
