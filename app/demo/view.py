"""The board as a screen of text. Pure: a board, an instant and a size in, a renderable out.

Promises: no line is wider and no screen higher than asked for; a grade is never told by colour alone, and what is
missing is never shown as good. Names are text, never markup.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from contracts.catalogue import LEVEL, PERIOD, Language
from contracts.catalogue.screen import MARK, MEDIUM, WORDS
from contracts.civil_time import local
from contracts.durations import format_duration

from .board import Board, StationState, Told, base_factor

STYLE = {"red": "bold red", "orange": "bold dark_orange", "yellow": "bold yellow"}
NAME_CELLS, WIDE_NAME_CELLS, WIDE = 26, 34, 100
MIN_STATIONS, MIN_EXCEEDANCES, ALERT_LINES = 5, 2, 10


@dataclass(frozen=True)
class Live:
    """What the clock of the demo says at the moment of drawing."""

    now: datetime  # simulated
    speed: float
    elapsed_s: float
    whole_s: float | None  # None: until Ctrl-C
    messages_s: float
    readings_s: float


def screen(
    board: Board, live: Live, console: Console, width: int, height: int, viewer: str | None = None
) -> RenderableType:
    """At most `height` lines of at most `width` cells. viewer: a line about where else to look."""
    words, stations = _words(board.language), board.stations()
    header = _header(board, live, width)
    room = height - len(header) - 4 - bool(viewer)  # the table's head, two titles, the lines at the bottom
    exceedances = _fitted(_exceedances(board), max(MIN_EXCEEDANCES, room // 5), words, console, width)
    for_exceedances = len(exceedances)
    for_stations = len(stations)
    if room - for_exceedances - for_stations < ALERT_LINES:
        for_stations = min(for_stations, max(MIN_STATIONS, (room - for_exceedances) * 3 // 5))
    is_cut = for_stations < len(stations)
    shown = stations[: for_stations - 1] if is_cut else stations
    lines: list[RenderableType] = [*header, _table(board, shown, live.now, width)]
    if is_cut:
        lines.append(_line(Text("  " + words("more_stations", n=len(stations) - len(shown)), "dim"), width))
    lines.append(_title(words("exceedances"), width))
    lines += exceedances
    lines.append(_title(words("alerts"), width))
    lines += _alerts(board, room - for_exceedances - for_stations, console, width)
    if viewer:
        lines.append(_line(Text(viewer, "bold"), width))
    lines.append(_line(Text(words("quit"), "dim"), width))
    return Group(*lines)


def plain_line(board: Board, live: Live) -> str:
    """One line for a log."""
    stations = board.stations()
    return _words(board.language)(
        "plain",
        at=_clock(board, live.now),
        messages=live.messages_s,
        readings=live.readings_s,
        alerts=len(board.open_alerts()),
        silent=sum(one.silent for one in stations),
    )


def alert_text(board: Board, told: Told) -> Text:
    """An alert in plain words, with the instant it was decided at and the clause."""
    grade = _grade(told.level, board.language) if told.transition not in ("resolved", "withdrawn") else None
    text = Text().append(local(told.tick, board.site.time_zone).strftime("%H:%M "), "dim")
    if grade is not None:
        text.append_text(grade).append(" ")
    text.append(told.text)
    if told.clause:
        text.append(f" [{told.clause}]", "dim")
    return text


def _header(board: Board, live: Live, width: int) -> list[Text]:
    words = _words(board.language)
    name = board.site.file.name
    first = Text().append("GreenIsland demo ", "bold")
    first.append(name.zh if board.language == "zh" else name.en)
    second = Text(words("simulated_time") + " ").append(_clock(board, live.now), "bold")
    second.append("  " + words("faster", speed=live.speed))
    if board.clock is not None:
        at = local(board.clock, board.site.time_zone).strftime("%H:%M:%S")
        second.append("  " + words("decided_to", at=at), "dim")
    elapsed, whole = _seconds(live.elapsed_s), live.whole_s
    of = words("live_for", elapsed=elapsed) if whole is None else ""
    third = Text(of or words("live_of", elapsed=elapsed, whole=_seconds(whole or 0)))
    third.append("  " + words("messages_s", n=live.messages_s) + "  " + words("readings_s", n=live.readings_s))
    third.append("  " + words("rejected", n=sum(board.live.rejects.values())))
    return [_line(text, width) for text in (first, second, third)]


def _table(board: Board, stations: list[StationState], now: datetime, width: int) -> Table:
    words, language = _words(board.language), board.language
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, width=width, header_style="bold")
    name, medium, age, state = NAME_CELLS if width < WIDE else WIDE_NAME_CELLS, 11, 8, 10
    worst = max(8, width - name - medium - age - state - 4)
    table.add_column(words("station"), no_wrap=True, overflow="ellipsis", width=name)
    table.add_column(words("medium"), no_wrap=True, overflow="ellipsis", width=medium)
    table.add_column(words("age"), no_wrap=True, overflow="ellipsis", justify="right", width=age)
    table.add_column(words("worst"), no_wrap=True, overflow="ellipsis", width=worst)
    table.add_column(words("state"), no_wrap=True, overflow="ellipsis", width=state)
    for one in stations:
        table.add_row(
            Text(one.name),
            Text(MEDIUM[one.medium][language]),
            Text("-" if one.data_until is None else _age(now - one.data_until)),
            _worst(board, one, with_period=width >= WIDE),
            _state(one, language),
        )
    return table


def _worst(board: Board, one: StationState, *, with_period: bool) -> Text:
    if one.silent:
        return Text("   - ").append(_words(board.language)("no_data"), "bold")
    if one.worst is None:
        return Text("   -")
    text = Text(f"{one.worst.percent:4.0f} % ")
    text.append(board.texts.factor(base_factor(one.worst.factor), board.language), "dim")
    return text.append(", " + PERIOD[one.worst.period][board.language], "dim") if with_period else text


def _state(one: StationState, language: Language) -> Text:
    if one.level is not None:
        return _grade(one.level, language)
    return Text("-" if one.silent else _words(language)("no_alert"))


def _exceedances(board: Board) -> list[Text]:
    """What is above or below its limit now; the value is the episode's worst."""
    words, lines = _words(board.language), []
    names = {one.station: one.name_zh if board.language == "zh" else one.name_en for one in board.site.stations}
    for one in board.open_exceedances():
        value, limit = (_scaled(one[key], one["decimals"]) for key in ("peak_scaled", "limit_scaled"))
        text = Text().append_text(_grade(str(one["level"]), board.language))
        text.append(f" {board.texts.factor(str(one['factor']), board.language)} ")
        text.append(words("peak", value=value, unit=one["unit"]), "bold").append(", " + words("limit", limit=limit))
        text.append(f", {names[str(one['station'])]}, ")
        text.append(words("since", at=board.texts.at(one["opened_at"])[-5:]))
        clause = board.texts.clause(one)
        lines.append(text.append(f" [{clause}]", "dim") if clause else text)
    return lines


def _alerts(board: Board, room: int, console: Console, width: int) -> list[Text]:
    """The newest alerts, wrapped, as many as find room."""
    lines: list[Text] = []
    for told in board.newest():
        wrapped = _wrapped(alert_text(board, told), console, width)
        if lines and len(lines) + len(wrapped) > room:
            break
        lines += wrapped
    if not lines:
        lines.append(Text(_words(board.language)("none_yet"), "dim"))
    return (lines + [Text("")] * room)[: max(room, 0)]


def _fitted(lines: list[Text], room: int, words, console: Console, width: int) -> list[Text]:
    """Wrapped where all find room so, else a line each, and of those as many as find room."""
    if not lines:
        return [_line(Text(words("no_exceedances"), "dim"), width)]
    wrapped = [part for line in lines for part in _wrapped(line, console, width)]
    if len(wrapped) <= room:
        return wrapped
    if len(lines) <= room:
        return [_line(line, width) for line in lines]
    more = Text(words("more", n=len(lines) - room + 1), "dim")
    return [*(_line(line, width) for line in lines[: room - 1]), _line(more, width)]


def _wrapped(text: Text, console: Console, width: int) -> list[Text]:
    lines = []
    for number, line in enumerate(text.wrap(console, width - 2)):
        line.rstrip()
        lines.append(Text("  ").append_text(line) if number else line)
    return lines


def _title(text: str, width: int) -> Text:
    return _line(Text(text, "bold underline"), width)


def _line(text: Text, width: int) -> Text:
    """On one line, cut where it is too long."""
    text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text


def _grade(level: str, language: Language) -> Text:
    return Text(f"{MARK[level]} {LEVEL[level][language]}", STYLE[level])


def _clock(board: Board, at: datetime) -> str:
    return local(at, board.site.time_zone).strftime("%Y-%m-%d %H:%M:%S")


def _scaled(scaled: object, decimals: object) -> str:
    """A scaled integer as people write it: at most three decimals, no trailing zeros."""
    value = f"{Decimal(int(str(scaled))).scaleb(-int(str(decimals))):.3f}"
    return value.rstrip("0").rstrip(".")


def _age(age: timedelta) -> str:
    """In its greatest unit and the next: 45s, 3m10s, 4h02m."""
    seconds = max(0, int(age.total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


def _seconds(seconds: float) -> str:
    return format_duration(timedelta(seconds=int(seconds)))


def _words(language: Language):
    def say(key: str, **values: object) -> str:
        return WORDS[key][language].format(**values)

    return say
