"""Stats, tables and bar gauges as HTML. Every word of a site is escaped here, names and texts alike.

Promises: pure; a link leads to a page of the viewer or is none.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import quote

import polars as pl

from .answers import Answer
from .boards import Panel, Target
from .series import Drawing, Look
from .shown import Field, civil, digits, field_of, overridden
from .words import said

ROWS_MAX = 300  # of a table on a page
_VALUE = re.compile(r"\$\{__value\.raw\}")


def stat(panel: Panel, answered: Sequence[tuple[Target, Answer]], why: str = "") -> Drawing:
    """The last value of each column, on the colour of its step. why: said where there is none."""
    base, tiles = field_of(panel.defaults), []
    for target, answer in answered:
        if answer.frame is None or answer.is_empty:
            continue
        for column in target.query.columns:
            value = answer.frame[column.called].drop_nulls()
            if value.len():
                tiles.append(_tile(base, value[-1]))
    if not tiles:
        none = f"<div><b>{escape(base.no_value or '–')}</b><small>{escape(why)}</small></div>"
        return Drawing(html=f'<div class="gi-stat gi-none">{none}</div>', is_empty=True)
    return Drawing(html="".join(tiles))


def _tile(base: Field, value: Any) -> str:
    colour = base.colour_of(value)
    style = f' style="background:{escape(colour)};color:{ink(colour)}"' if colour else ""
    text = base.text(value)
    size = "gi-long" if len(text) > 8 else ""
    return f'<div class="gi-stat {size}"{style}><b>{escape(text)}</b></div>'


def ink(colour: str) -> str:
    """Black or white, whichever is read on it."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        return "#ffffff"
    red, green, blue = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    return "#14181c" if 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.3 else "#ffffff"


def transformed(panel: Panel, answered: Sequence[tuple[Target, Answer]]) -> pl.DataFrame:
    """Rows under the names they are shown with: sorted, limited, ordered and renamed as the panel says."""
    frames = [answer.frame for _, answer in answered if answer.frame is not None and not answer.is_empty]
    if not frames:
        return pl.DataFrame()
    rows = pl.concat(frames, how="diagonal_relaxed").rename({"time": "Time"})
    for one in panel.transformations:
        options = one["options"]
        if one["id"] == "sortBy":
            by = options["sort"][0]
            rows = rows.sort(by["field"], descending=by["desc"], nulls_last=True, maintain_order=True)
        elif one["id"] == "limit":
            rows = rows.head(options["limitField"])
        elif one["id"] == "organize":
            order = options["indexByName"]
            kept = [name for name in rows.columns if not options["excludeByName"].get(name)]
            kept.sort(key=lambda name: order.get(name, len(order)))
            names = options["renameByName"]
            rows = rows.select(pl.col(name).alias(names.get(name, name)) for name in kept)
    return rows


def table(
    panel: Panel, answered: Sequence[tuple[Target, Answer]], look: Look, variables: Mapping[str, str] | None = None
) -> Drawing:
    """variables: of links, name -> how the range is written in an address."""
    rows = transformed(panel, answered)
    if rows.is_empty():
        return Drawing(is_empty=True)
    base = field_of(panel.defaults)
    fields = {name: overridden(base, panel.overrides, name) for name in rows.columns}
    head = "".join(f'<th data-column="{n}">{escape(name)}</th>' for n, name in enumerate(rows.columns))
    body = []
    for row in rows.head(ROWS_MAX).iter_rows():
        cells = (
            _cell(value, fields[name], look, variables or {}) for name, value in zip(rows.columns, row, strict=True)
        )
        body.append(f"<tr>{''.join(cells)}</tr>")
    note = said("table_cut", look.language, shown=ROWS_MAX, all=rows.height) if rows.height > ROWS_MAX else ""
    html = f'<table class="gi-table"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return Drawing(html=html, note=note)


def _cell(value: Any, about: Field, look: Look, variables: Mapping[str, str]) -> str:
    if isinstance(value, datetime):
        key = int(value.timestamp())
        return f'<td class="gi-at" data-key="{key}">{civil(value, look.zone)}</td>'
    text = escape("" if value is None else about.text(value))
    if value is not None and about.is_coloured and (colour := about.colour_of(value)):
        text = f'<span class="gi-level"><i class="gi-dot" style="background:{escape(colour)}"></i>{text}</span>'
    if about.link is not None and isinstance(value, str) and (address := linked(about.link[1], value, variables)):
        text = f'<a href="{escape(address)}" title="{escape(about.link[0])}">{text}</a>'
    is_number = isinstance(value, (int, float)) and not about.words
    key = f' data-key="{value}"' if isinstance(value, (int, float)) else ""
    return f"<td{' class=gi-number' if is_number else ''}{key}>{text}</td>"


def linked(address: str, value: str, variables: Mapping[str, str]) -> str | None:
    """Of this viewer; nothing else is followed."""
    filled = _VALUE.sub(lambda _: quote(value, safe=""), address)
    for name, said_ in variables.items():
        filled = filled.replace(f"${{{name}}}", said_)
    return filled if filled.startswith("/d/") and "${" not in filled else None


def bars(panel: Panel, answered: Sequence[tuple[Target, Answer]], look: Look) -> Drawing:
    """A bar a row: what it is on the left, how much on the right."""
    rows = transformed(panel, answered)
    numbers = [name for name, dtype in rows.schema.items() if dtype.is_numeric()]
    if rows.is_empty() or not numbers:
        return Drawing(is_empty=True)
    (column, *_), base = numbers, field_of(panel.defaults)
    rows = rows.filter(pl.col(column).is_not_null())
    most, note = panel.options["reduceOptions"].get("limit", 25), ""
    if rows.height > most:
        note = said("table_cut", look.language, shown=most, all=rows.height)
        rows = rows.sort(column, descending=base.unit != "percent" or base.maximum != 100.0).head(most)
    if rows.is_empty():
        return Drawing(is_empty=True)
    low = base.minimum or 0.0
    high = max(base.maximum or 0.0, low + 1e-12) if base.maximum else max(float(rows[column].max()), low + 1e-12)  # type: ignore[arg-type]
    made = []
    labels = [name for name in rows.columns if name != column and name != "Time"]
    for row in rows.to_dicts():
        value = float(row[column])
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        name = escape(" ".join(str(row[one]) for one in labels if row[one]))
        colour = escape(base.colour_of(value) or "#3D71A5")
        made.append(
            f'<div class="gi-bar"><span title="{name}">{name}</span>'
            f'<div><i style="width:{digits(share * 100, 1)}%;background:{colour}"></i></div>'
            f'<b style="--gi-step:{colour}">{escape(base.text(value))}</b></div>'
        )
    return Drawing(html=f'<div class="gi-bars">{"".join(made)}</div>', note=note)
