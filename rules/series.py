"""Values in compact notation, as rule tests write them: `30x60 80.5x60 _x10 7@M 1+1x5`.

Promises: numbers are decimals exactly as written; what cannot be read is told with the word it stands in.
Does not promise: any time; a series is values in order, and whoever reads it says how far apart they are.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

VALUES_MAX = 1_000_000

_NUMBER = r"\d+(?:\.\d+)?"
_WORD = re.compile(
    rf"(?:(?P<missing>_)|(?P<first>-?{_NUMBER})(?P<step>[+-]{_NUMBER})?)(?:x(?P<times>\d+))?(?:@(?P<mark>[A-Za-z0-9]{{1,4}}))?"
)


class SeriesError(ValueError):
    """What is wrong with which word, and what would be right."""


@dataclass(frozen=True)
class Value:
    """One value; `text` is the number as a device would send it."""

    text: str
    mark: str | None = None


def parse_series(text: str) -> list[Value | None]:
    """The values in order, None for a missing one. Raises SeriesError.

    `50x30` fifty, thirty times; `1+0.5x4` 1 1.5 2 2.5 (the number after x counts the values); `_` missing, `_x5` five
    of them; `62x5@M` with the data mark M.
    """
    values: list[Value | None] = []
    for word in text.split():
        match = _WORD.fullmatch(word)
        if match is None:
            raise SeriesError(f"{word!r} is not a value; write for example 80.5, 50x30, 1+0.5x4, _x5, 62@M or 62x5@M")
        times = int(match["times"] or 1)
        if times < 1:
            raise SeriesError(f"{word!r} stands for no value at all; the number after x is how many there are")
        if len(values) + times > VALUES_MAX:
            raise SeriesError(f"{word!r} makes more than {VALUES_MAX} values; a series is shorter")
        if match["missing"]:
            if match["mark"]:
                raise SeriesError(f"{word!r}: a missing value has no mark")
            values += [None] * times
            continue
        if match["step"] and match["times"] is None:
            raise SeriesError(f"{word!r} does not say how many values; write {word}x5")
        first, step = Decimal(match["first"]), Decimal(match["step"] or 0)
        values += [Value(f"{first + n * step:f}", match["mark"]) for n in range(times)]
    if not values:
        raise SeriesError("is empty; write for example 30x60")
    return values
