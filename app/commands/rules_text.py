"""Text of the rule commands: lines no wider than a terminal."""

import re
from collections.abc import Iterator

from rich.cells import cell_len, chop_cells

from ..explain.explanation import Explanation

WIDTH = 80
_PIECES = re.compile(r"[\u2e80-\uffef]|[^\s\u2e80-\uffef]+|\s+")


def wrapped(text: str, first: str, then: str) -> Iterator[str]:
    """Lines of at most WIDTH columns: broken between words, and between any two Chinese characters."""
    room = WIDTH - max(len(first), len(then))
    lines = [""]
    for piece in _PIECES.findall(text):
        if cell_len(lines[-1]) + cell_len(piece.rstrip()) <= room:
            lines[-1] += piece
            continue
        *whole, rest = chop_cells(piece.lstrip(), room) or [""]
        lines += [*whole, rest]
    for n, line in enumerate(lines if lines[0] or len(lines) == 1 else lines[1:]):
        yield ((first if n == 0 else then) + line).rstrip()


def steps_text(explanation: Explanation, margin: str = "") -> Iterator[str]:
    """The steps, numbered; an empty line before each, or none below a margin."""
    for n, step in enumerate(explanation.steps, 1):
        if not margin:
            yield ""
        yield from wrapped(step.title, f"{margin}{n}. ", f"{margin}   ")
        for line in step.lines:
            deeper = " " * (3 + len(line) - len(line.lstrip()))
            yield from wrapped(line.strip(), f"{margin}{deeper}", f"{margin}{deeper}  ")
