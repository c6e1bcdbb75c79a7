"""Pages that need nothing but a browser: text in both languages, tables, one kind of plot as inline SVG.

Promises: no address is loaded, no script runs; every name is escaped. The reader switches the language, zh at first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM = 760, 170, 64, 22
_STYLE = """
body{font:15px/1.5 system-ui,"Noto Sans CJK SC",sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0 1.5em}
td,th{padding:.15em .7em;border-bottom:1px solid #ddd;text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}h2{margin-top:2em}figure{margin:1em 0}
figcaption{font-size:.9em}svg{width:100%;height:auto;background:#fafafa}svg text{font-size:11px;fill:#555}
.note{color:#666;font-size:.9em}#zh:checked~main .en,#en:checked~main .zh{display:none}
.v{fill:none;stroke:#2563a8}.band{fill:#2563a8;opacity:.18}
.old{fill:none;stroke:#888;stroke-dasharray:6 4;stroke-width:2}
.new{fill:none;stroke:#c0392b;stroke-width:2}
"""


@dataclass(frozen=True)
class Html:
    """Markup as it is: anything else is escaped where it is put in."""

    markup: str


def both(zh: str, en: str) -> Html:
    """Text in two languages, of which one is seen."""
    if zh == en:
        return Html(escape(zh))
    return Html(f'<span class="zh" lang="zh">{escape(zh)}</span><span class="en" lang="en">{escape(en)}</span>')


def shown(cell: object) -> str:
    return cell.markup if isinstance(cell, Html) else escape(str(cell))


def page(title: tuple[str, str], body: Iterable[Html]) -> str:
    """A whole document. title: zh, en."""
    inside = "\n".join(one.markup for one in body)
    return (
        f'<!doctype html>\n<html lang="zh"><head><meta charset="utf-8"><title>{escape(" / ".join(title))}</title>'
        f"<style>{_STYLE}</style></head><body>\n"
        '<input type="radio" name="language" id="zh" checked><label for="zh">中文</label> '
        '<input type="radio" name="language" id="en"><label for="en">English</label>\n'
        f"<main><h1>{both(*title).markup}</h1>\n{inside}\n</main></body></html>\n"
    )


def heading(text: Html) -> Html:
    return Html(f"<h2>{text.markup}</h2>")


def note(text: object) -> Html:
    return Html(f'<p class="note">{shown(text)}</p>')


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """Numbers are set to the right."""

    def row(cells: Sequence[object], tag: str, numeric: Sequence[bool]) -> str:
        made = (
            f"<{tag}{' class=n' if is_number else ''}>{shown(cell)}</{tag}>"
            for cell, is_number in zip(cells, numeric, strict=True)
        )
        return f"<tr>{''.join(made)}</tr>"

    cells = list(rows)
    numeric = [bool(cells) and all(isinstance(one[n], int) for one in cells) for n in range(len(header))]
    return Html(f"<table>{row(header, 'th', numeric)}{''.join(row(one, 'td', numeric) for one in cells)}</table>")


@dataclass(frozen=True)
class Line:
    """low and high of each place along the x axis; None: nothing there."""

    css: str  # v: values with a band between low and high; old, new: limits, as steps
    low: Sequence[float | None]
    high: Sequence[float | None]


def plot(lines: Sequence[Line], start: str, end: str, unit: str, caption: Html) -> Html:
    """The lines over one x axis from start to end, with the least and the greatest value beside it."""
    numbers = [value for line in lines for side in (line.low, line.high) for value in side if value is not None]
    least, most = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    least = min(least, 0.0) if least > 0 and least < 0.5 * most else least
    spread = (most - least) or 1.0
    count = max((len(line.high) for line in lines), default=1)

    def x(n: float) -> str:
        return f"{LEFT + (WIDTH - LEFT) * n / max(count, 1):.1f}"

    def y(value: float) -> str:
        return f"{(HEIGHT - BOTTOM - 8) * (1 - (value - least) / spread) + 4:.1f}"

    drawn = []
    for line in lines:
        for run in _runs(line.high):
            if line.css == "v":
                tops = [f"{x(n + 0.5)},{y(_number(line.high[n]))}" for n in run]
                lows = [f"{x(n + 0.5)},{y(_number(line.low[n]))}" for n in reversed(run)]
                drawn.append(f'<polygon class="band" points="{" ".join([*tops, *lows])}"/>')
            else:
                steps = _steps(line.high, run)
                tops = [f"{x(at)},{y(_number(line.high[first]))}" for first, last in steps for at in (first, last + 1)]
            drawn.append(f'<polyline class="{line.css}" points="{" ".join(tops)}"/>')
    ticks = "".join(
        f'<text x="{LEFT - 6}" y="{float(y(value)) + 4:.1f}" text-anchor="end">{value:.4g}</text>'
        for value in (least, most)
    )
    ends = (
        f'<text x="{LEFT}" y="{HEIGHT - 4}">{escape(start)}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">{escape(end)}</text>'
        f'<text x="2" y="{HEIGHT // 2}">{escape(unit)}</text>'
    )
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(drawn)}{ticks}{ends}</svg>'
    return Html(f"<figure>{svg}<figcaption>{caption.markup}</figcaption></figure>")


def _runs(values: Sequence[float | None]) -> list[list[int]]:
    """Stretches of places that have a value."""
    found: list[list[int]] = []
    for n, value in enumerate(values):
        if value is None:
            continue
        if found and found[-1][-1] == n - 1:
            found[-1].append(n)
        else:
            found.append([n])
    return found


def _steps(values: Sequence[float | None], run: list[int]) -> list[tuple[int, int]]:
    """First and last place of each stretch of a run with one value."""
    firsts = [n for n in run if n == run[0] or values[n] != values[n - 1]]
    return list(zip(firsts, [*(n - 1 for n in firsts[1:]), run[-1]], strict=True))


def _number(value: float | None) -> float:
    assert value is not None
    return value
