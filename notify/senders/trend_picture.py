"""The last windows of an alert's series and its limit, as a small picture for a mail. Pure.

Promises: a window without a value is a gap, never a line across it; what is beyond the limit is red.
Does not promise to be read to the last digit: the text has the numbers.
"""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from contracts.civil_time import local

from .png import GLYPH_HEIGHT, Picture, width_of

WIDTH, HEIGHT = 480, 180
LEFT, RIGHT, TOP, BOTTOM = 70, 12, 12, 26
WHITE, GREY, BLUE, RED, BLACK = range(5)
COLOURS = ((255, 255, 255), (214, 214, 214), (32, 92, 164), (200, 32, 32), (64, 64, 64))


@dataclass(frozen=True)
class TrendPoint:
    at: datetime
    value: float | None  # none: the window could not be judged
    beyond: bool = False  # the limit


@dataclass(frozen=True)
class Trend:
    """Windows in the order of time, each once; the limit they are held against, where there is one."""

    points: tuple[TrendPoint, ...]
    limit: float | None
    time_zone: str


def picture_of(trend: Trend) -> bytes | None:
    """A PNG of 480 x 180; None where fewer than two windows have a value."""
    values = [point.value for point in trend.points if point.value is not None]
    if len(values) < 2:
        return None
    shown = [*values, *([] if trend.limit is None else [trend.limit])]
    low, high = min(0.0, *shown), max(shown)
    high = high if high > low else low + 1.0
    began, ended = trend.points[0].at, trend.points[-1].at
    seconds = (ended - began).total_seconds() or 1.0

    def x_of(at: datetime) -> int:
        return LEFT + round((WIDTH - LEFT - RIGHT) * (at - began).total_seconds() / seconds)

    def y_of(value: float) -> int:
        return HEIGHT - BOTTOM - round((HEIGHT - TOP - BOTTOM) * (value - low) / (high - low))

    picture = Picture(WIDTH, HEIGHT, COLOURS)
    for part in range(5):
        y = TOP + (HEIGHT - TOP - BOTTOM) * part // 4
        picture.line(LEFT, y, WIDTH - RIGHT, y, GREY)
    labels = {y_of(low): low, y_of(high): high}
    if trend.limit is not None:
        y = y_of(trend.limit)
        picture.line(LEFT, y, WIDTH - RIGHT, y, RED, dash=6)
        labels = {at: value for at, value in labels.items() if abs(at - y) > 3 * GLYPH_HEIGHT} | {y: trend.limit}
    for y, value in labels.items():
        text = f"{value:.4g}" if abs(value) < 1e6 else f"{value:.0f}"
        picture.write(text, LEFT - 6 - width_of(text), y - GLYPH_HEIGHT, RED if value == trend.limit else BLACK)
    for one, other in pairwise(trend.points):
        if one.value is not None and other.value is not None:
            picture.line(x_of(one.at), y_of(one.value), x_of(other.at), y_of(other.value), BLUE, size=2)
    for point in trend.points:
        if point.value is not None:
            picture.dot(x_of(point.at), y_of(point.value), RED if point.beyond else BLUE, 5 if point.beyond else 3)
    for at, is_end in ((began, False), (ended, True)):
        text = local(at, trend.time_zone).strftime("%m-%d %H:%M")
        picture.write(text, WIDTH - RIGHT - width_of(text) if is_end else LEFT, HEIGHT - BOTTOM + 8, BLACK)
    return picture.png()
