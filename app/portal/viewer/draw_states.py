"""States over time as an ECharts option: a row a series, coloured by mapping or step; equal neighbours are one.

Promises: pure. Does not promise every row of a large site: as many as can be read, the worst first, and it says so.
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from html import escape
from itertools import chain, cycle
from typing import Any

import polars as pl

from .answers import Answer
from .boards import Panel, Target
from .chart import chart
from .look import SERIES, THEMES, UNKNOWN, WELL
from .series import Drawing, First, Look, Series, series_of
from .shown import civil, key_of
from .words import said

ROW_PX, HEAD_PX = 15, 66
LABEL_PX = 640  # of names, on a panel of the whole width
NARROW_PX = 520  # a telephone
UNIT_PX = 38  # of Grafana's grid
_NO_WIDTH = timedelta(minutes=5)


def draw(panel: Panel, answered: Sequence[tuple[Target, Answer]], look: Look) -> Drawing:
    fits = max(6, (panel.height * UNIT_PX - HEAD_PX) // ROW_PX)
    rows, n = series_of(panel, answered, fits, _worst(panel, answered))
    if not rows:
        return Drawing(is_empty=True)
    note = said("rows_cut", look.language, shown=len(rows), all=n) if n > len(rows) else ""
    is_merged = panel.kind == "state-timeline"
    data, seen, others = [], {}, _colours_of_words(rows)
    for n, one in enumerate(rows):
        for began, ended, value in stretches(one, look, is_merged):
            colour = one.field.colour_of(value) or others.get(value, UNKNOWN)
            words = one.field.text(value)
            if isinstance(value, str) or key_of(value) in one.field.words:
                seen[words] = colour
            when = f"{civil(began, look.zone)} – {civil(ended, look.zone, with_date=False)}"
            data.append(
                {
                    "value": [n, look.ms(began), look.ms(ended)],
                    "itemStyle": {"color": colour},
                    "name": f"{one.name}\n{when}\n{words}",
                }
            )
    option = chart(look, top=4, bottom=4, tip={"trigger": "item", ":formatter": "gi.lines"})
    option |= {
        "yAxis": {
            "type": "category",
            "inverse": True,
            "data": [one.name for one in rows],
            "axisLine": {"show": False},
            "axisTick": {"show": False},
            "axisLabel": {
                "color": THEMES[look.theme].text,
                "fontSize": 11,
                "interval": 0,
                "width": LABEL_PX * panel.width // 24,
                "overflow": "truncate",
            },
        },
        "media": [{"query": {"maxWidth": NARROW_PX}, "option": {"yAxis": {"axisLabel": {"width": NARROW_PX // 4}}}}],
        "series": [
            {
                "type": "custom",
                ":renderItem": f"gi.stretch({json.dumps(not is_merged)})",
                "encode": {"x": [1, 2], "y": 0},
                "data": data,
                "clip": True,
            }
        ],
    }
    return Drawing(option, _chips(rows[0], seen), note)


def stretches(one: Series, look: Look, is_merged: bool) -> list[tuple[Any, Any, Any]]:
    """(began, ended, value) of what has a value; a sample lasts for its bucket, or until the next one."""
    rows = one.points.sort("time").rows()
    width = one.width or _NO_WIDTH
    found: list[tuple[Any, Any, Any]] = []
    for at, value in rows:
        if value is None:
            continue
        began, ended = max(at, look.from_at), min(at + width, look.to_at)
        if began >= ended:
            continue
        if is_merged and found and found[-1][2] == value and found[-1][1] >= at:
            found[-1] = (found[-1][0], ended, value)
        else:
            found.append((began, ended, value))
    return found


def _worst(panel: Panel, answered: Sequence[tuple[Target, Answer]]) -> First:
    """Which rows come first where not all fit: the highest severity; of shares the lowest; of words most of them."""
    if panel.defaults.get("unit") == "percent":
        return "lowest"
    names = [(answer.frame, column.called) for target, answer in answered for column in target.query.columns]
    is_text = any(frame is not None and frame.schema.get(name) == pl.String for frame, name in names)
    return "most words" if is_text else "highest"


def _colours_of_words(rows: Sequence[Series]) -> dict[str, str]:
    """Of texts no mapping names: a quiet colour for the commonest, others for what is rarer."""
    counted: Counter[str] = Counter()
    for one in rows:
        if one.points.schema["value"] == pl.String:
            counted.update(one.points["value"].drop_nulls().to_list())
    words = [word for word, _ in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))]
    return dict(zip(words, chain([WELL], cycle(SERIES[1:])), strict=False)) if words else {}


def _chips(first: Series, seen: dict[str, str]) -> str:
    """What the colours mean: of words those that are there, in the mapping's order; of numbers the steps."""
    words = [(text, colour) for text, colour in first.field.words.values() if text in seen]
    words += [(text, colour) for text, colour in seen.items() if (text, colour) not in words]
    if not words and len(first.field.steps) > 1:
        words = [(_step(first, n), colour) for n, (_, colour) in enumerate(first.field.steps)]
    chips = "".join(
        f'<span><i class="gi-box" style="background:{escape(colour)}"></i>{escape(text)}</span>'
        for text, colour in words
    )
    return f'<div class="gi-chips">{chips}</div>'


def _step(one: Series, n: int) -> str:
    at = one.field.steps[n][0]
    after = one.field.steps[n + 1][0] if n + 1 < len(one.field.steps) else None
    return f"< {one.field.text(after)}" if at is None and after is not None else f"≥ {one.field.text(at)}"
