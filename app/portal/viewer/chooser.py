"""A variable of a board as a button with a list behind it, searched on the server: a site may have thousands.

Promises: the list holds what the variable offers given those before it, and what is in the person's scope.
"""

from collections.abc import Awaitable, Callable
from html import escape

from nicegui import ui

from .boards import Variable
from .visit import Visit

LISTED = 60

Offers = Callable[[Variable], Awaitable[list[tuple[str, str]]]]
Choose = Callable[[Variable, list[str]], Awaitable[None]]


class Chooser:
    def __init__(self, visit: Visit, variable: Variable, chosen: list[str], offers: Offers, choose: Choose):
        self._visit, self._variable, self._chosen = visit, variable, list(chosen)
        self._offers, self._choose = offers, choose
        self._named: dict[str, str] = {}
        with ui.element("button").classes("gi-choose").props(f'type=button data-variable="{variable.name}"'):
            self._label = ui.html(self._said(), sanitize=False)
            with ui.menu().classes("gi-menu").props("no-refocus") as self._menu:
                self._search = (
                    ui.input(placeholder=visit.say("search")).props("dense outlined autofocus").classes("gi-search")
                )
                self._search.on_value_change(self._fill)
                self._list = ui.element("div").classes("gi-options").props("role=listbox")
        self._menu.on("before-show", self._opened)

    def show(self, values: list[str], named: dict[str, str]) -> None:
        """What is chosen, here or elsewhere, by its names."""
        self._chosen, self._named = list(values), named
        self._label.content = self._said()

    def _said(self) -> str:
        say, n = self._visit.say, len(self._chosen)
        if n == 0:
            value = say("all") if self._variable.is_multi else say("choose")
        elif n == 1:
            value = self._named.get(self._chosen[0], self._chosen[0])
        else:
            value = say("n_chosen", n=n)
        return f"<span>{escape(self._variable.label)}</span><b>{escape(value)}</b>"

    async def _opened(self) -> None:
        self._search.value = ""
        await self._fill()

    async def _fill(self) -> None:
        offered = await self._offers(self._variable)
        self._named = dict(offered)
        wanted = (self._search.value or "").strip().lower()
        found = [pair for pair in offered if wanted in pair[1].lower() or wanted in pair[0].lower()]
        found.sort(key=lambda pair: pair[0] not in self._chosen)
        self._list.clear()
        with self._list:
            if self._variable.is_multi:
                self._option(None, self._visit.say("clear"))
            for value, text in found[:LISTED]:
                self._option(value, text)
            if len(found) > LISTED:
                self._hint(self._visit.say("more_type", n=len(found) - LISTED))
            if not found:
                self._hint(self._visit.say("nothing_matches"))

    def _option(self, value: str | None, text: str) -> None:
        on = value in self._chosen if value is not None else not self._chosen
        item = ui.element("button").classes("gi-option" + (" gi-on" if on else "")).props("type=button role=option")
        with item:
            ident = f"<small>{escape(value)}</small>" if value is not None and value != text else ""
            ui.html(f"<span>{escape(text)}</span>{ident}", sanitize=False)
        item.on("click", lambda: self._taken(value))

    def _hint(self, text: str) -> None:
        ui.html(escape(text), sanitize=False).classes("gi-hint")

    async def _taken(self, value: str | None) -> None:
        if value is None:
            self._chosen = []
        elif not self._variable.is_multi:
            self._chosen = [value]
        elif value in self._chosen:
            self._chosen.remove(value)
        else:
            self._chosen.append(value)
        self._label.content = self._said()
        if value is None or not self._variable.is_multi:
            self._menu.close()
        await self._choose(self._variable, list(self._chosen))
        if self._variable.is_multi and value is not None:
            await self._fill()
