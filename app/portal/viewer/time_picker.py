"""The time range of a board: quick ranges, typed ones, and one that ends with what is decided."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from html import escape

from nicegui import ui

from .shown import civil
from .span_of_time import QUICK, NoInstant, Span
from .visit import Visit

LATEST = timedelta(hours=6)


class TimePicker:
    def __init__(
        self,
        visit: Visit,
        span: Span,
        picked: Callable[[Span], Awaitable[None]],
        decided_to: Callable[[], datetime | None],
    ):
        self._visit, self._span, self._picked, self._decided_to = visit, span, picked, decided_to
        say = visit.say
        with ui.element("button").classes("gi-choose").props("type=button id=gi-time"):
            self._label = ui.html(self._said(), sanitize=False)
            with ui.menu().classes("gi-menu gi-times").props("no-refocus") as self._menu:
                with ui.element("div").classes("gi-quick"):
                    for begins in QUICK:
                        self._choice(
                            say("last", span=begins.removeprefix("now-")), lambda begins=begins: Span(begins, "now")
                        )
                    self._choice(say("latest"), self._latest)
                with ui.element("div").classes("gi-typed"):
                    self._from = ui.input(say("from"), value=span.begins).props("dense outlined")
                    self._to = ui.input(say("to"), value=span.ends).props("dense outlined")
                    ui.html(escape(say("time_hint")), sanitize=False).classes("gi-hint")
                    self._wrong = ui.html("", sanitize=False).classes("gi-wrong")
                    with ui.element("button").classes("gi-do").props("type=button") as apply:
                        ui.html(escape(say("apply")), sanitize=False)
                    apply.on("click", self._typed)

    def _choice(self, text: str, made: Callable[[], Span | None]) -> None:
        async def taken() -> None:
            span = made()
            if span is not None:
                await self.take(span)

        with ui.element("button").classes("gi-option").props("type=button") as one:
            ui.html(escape(text), sanitize=False)
        one.on("click", taken)

    def _latest(self) -> Span | None:
        at = self._decided_to()
        if at is None:
            return None
        end = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
        return Span((end - LATEST).isoformat(), end.isoformat())

    async def _typed(self) -> None:
        span = Span(str(self._from.value or ""), str(self._to.value or ""))
        try:
            span.at(self._visit.centre.clock.now(), self._visit.centre.site.time_zone)
        except NoInstant as error:
            self._wrong.content = escape(str(error))
            return
        await self.take(span)

    async def take(self, span: Span) -> None:
        """Here it is shown, and the page told."""
        self._span, self._wrong.content = span, ""
        self._from.value, self._to.value = span.begins, span.ends
        self._label.content = self._said()
        self._menu.close()
        await self._picked(span)

    def _said(self) -> str:
        span = self._span
        if span.ends == "now" and span.begins.startswith("now-") and "/" not in span.begins:
            return f"<b>{escape(self._visit.say('last', span=span.begins.removeprefix('now-')))}</b>"
        zone, now = self._visit.centre.site.time_zone, self._visit.centre.clock.now()
        try:
            from_at, to_at = span.at(now, zone)
        except NoInstant:
            return f"<b>{escape(f'{span.begins} – {span.ends}'[:60])}</b>"
        return f"<b>{civil(from_at, zone)} – {civil(to_at, zone)}</b>"
