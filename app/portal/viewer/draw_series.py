"""Time series as an ECharts option: an axis a unit, gaps as gaps, limits dashed, annotations; the legend as rows.

Promises: pure. Of more points than a screen has, each stretch keeps its lowest and its highest.
Does not promise to draw every series of thousands: it says how many were left out.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from html import escape
from typing import Any

import polars as pl

from .answers import Answer
from .boards import Annotation, Panel, Target
from .chart import chart
from .look import THEMES
from .series import Drawing, Look, Series, series_of
from .words import said

SERIES_MAX = 60
POINTS_MAX = 720  # of a series; above it the stretches' extremes are drawn
NOTES_MAX = 40  # annotations


def draw(
    panel: Panel,
    answered: Sequence[tuple[Target, Answer]],
    notes: Sequence[tuple[Annotation, Answer]],
    look: Look,
) -> Drawing:
    shown, n = series_of(panel, answered, SERIES_MAX, "highest")
    if not shown:
        return Drawing(is_empty=True)
    note = said("series_cut", look.language, shown=len(shown), all=n) if n > len(shown) else ""
    is_bars = panel.defaults.get("custom", {}).get("drawStyle") == "bars"
    units = list(dict.fromkeys(one.field.suffix for one in shown))
    pointer = {"type": "line", "lineStyle": {"color": THEMES[look.theme].faint, "width": 1}}
    words = f"gi.tip({json.dumps([one.field.suffix for one in shown])})"
    option = chart(look, top=12, bottom=6, tip={"trigger": "axis", "axisPointer": pointer, ":formatter": words})
    option |= {
        "yAxis": [_axis(panel, unit, n, look) for n, unit in enumerate(units)],
        "legend": {"show": False},
        "series": [_series(one, is_bars, look.shift) | {"yAxisIndex": units.index(one.field.suffix)} for one in shown],
    }
    if marks := _marks(notes, look):
        option["series"][0] |= marks
    return Drawing(option, legend(shown, look), note)


def _axis(panel: Panel, unit: str, n: int, look: Look) -> dict[str, Any]:
    """Of one unit; two are told, further ones by the tooltip alone."""
    colours = THEMES[look.theme]
    return {
        "type": "value",
        "min": panel.defaults.get("min"),
        "max": panel.defaults.get("max"),
        "scale": panel.defaults.get("min") is None,
        "splitNumber": 4,
        "position": "right" if n else "left",
        "axisLabel": {
            "show": n < 2,
            "color": colours.faint,
            "fontSize": 11,
            ":formatter": f"gi.digits({json.dumps(unit)})",
        },
        "splitLine": {"show": n == 0, "lineStyle": {"color": colours.line}},
    }


def _series(one: Series, is_bars: bool, shift: timedelta) -> dict[str, Any]:
    rows = thinned(one.points)
    times = (rows["time"].dt.epoch("ms") + int(shift.total_seconds() * 1000)).to_list()
    values = rows["value"].round_sig_figs(8).to_list()
    isolated = _is_isolated(values)
    made: dict[str, Any] = {
        "name": one.name,
        "type": "bar" if is_bars else "line",
        "data": list(zip(times, values, strict=True)),
        "itemStyle": {"color": one.colour},
        "emphasis": {"focus": "series"},
    }
    if is_bars:
        return made | {"barMaxWidth": 18, "barCategoryGap": "25%"}
    return made | {
        "showSymbol": isolated,
        "symbol": "circle",
        "symbolSize": 4,
        "connectNulls": False,
        "step": "end" if one.is_dashed else False,
        "lineStyle": {
            "width": 2 if one.is_dashed else 1.5,
            "type": [8, 6] if one.is_dashed else "solid",
            "color": one.colour,
        },
        "z": 1 if one.is_dashed else 2,
    }


def _is_isolated(values: Sequence[float | None]) -> bool:
    """Whether a point stands alone, which a line does not show."""
    padded = [None, *values, None]
    return any(
        now is not None and before is None and after is None
        for before, now, after in zip(padded, padded[1:], padded[2:], strict=False)
    )


def thinned(points: pl.DataFrame) -> pl.DataFrame:
    """time, value in order; of many, the lowest and the highest of each stretch, and gaps."""
    points = points.sort("time")
    if points.height <= POINTS_MAX:
        return points
    stretch = points.height * 2 / POINTS_MAX
    numbered = points.with_row_index("n").with_columns(_s=(pl.col("n") / stretch).floor().cast(pl.Int32))
    value = pl.col("value")
    kept = numbered.filter(
        (value == value.min().over("_s"))
        | (value == value.max().over("_s"))
        | (value.is_null() & value.shift(1).is_not_null())
    )
    by_value = kept.unique(["_s", "value"], keep="first", maintain_order=True)
    return by_value.sort("n").select("time", "value")


def _marks(notes: Sequence[tuple[Annotation, Answer]], look: Look) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    areas: list[list[dict[str, Any]]] = []
    for note, answer in notes:
        if answer.frame is None:
            continue
        for row in answer.frame.tail(NOTES_MAX).to_dicts():
            at = look.ms(row["time"])
            words = " · ".join(str(row[name]) for name in (note.text, note.tags) if name and row.get(name))
            style = {"color": note.colour, "opacity": 0.55, "width": 1, "type": "dotted"}
            lines.append({"xAxis": at, "name": f"{note.name}: {words}", "lineStyle": style})
            if note.until and row.get(note.until):
                until = int(row[note.until] + look.shift.total_seconds() * 1000)
                areas.append([{"xAxis": at, "itemStyle": {"color": note.colour, "opacity": 0.12}}, {"xAxis": until}])
    if not lines:
        return {}
    quiet = {"silent": False, "symbol": ["none", "triangle"], "symbolSize": 6, "label": {"show": False}}
    tip = {"tooltip": {"trigger": "item", ":formatter": "gi.note"}}
    made = {"markLine": {**quiet, **tip, "animation": False, "data": lines[:NOTES_MAX]}}
    return made | ({"markArea": {"silent": True, "data": areas[:NOTES_MAX]}} if areas else {})


def legend(shown: Sequence[Series], look: Look) -> str:
    """Rows: swatch, name, the last and the highest value. Clicked, a series goes and comes back."""
    rows, seen = [], set()
    for one in shown:
        if one.name in seen:
            continue
        seen.add(one.name)
        values = one.points.sort("time")["value"].drop_nulls()
        style = "gi-dash" if one.is_dashed else "gi-swatch"
        rows.append(
            f'<tr class="gi-key" data-name="{escape(one.name)}"><td><i class="{style}" style="color:{one.colour}"></i>'
            f"{escape(one.name)}</td><td>{escape(one.field.text(values[-1]))}</td>"
            f"<td>{escape(one.field.text(values.max()))}</td></tr>"
        )
    head = f"<tr><th></th><th>{said('newest', look.language)}</th><th>{said('highest', look.language)}</th></tr>"
    return f'<table class="gi-legend"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
