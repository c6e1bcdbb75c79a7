"""Matchers: which alerts are meant, as people write it: `station=XS-COAL-1 level=red,orange kind=miss*`.

Promises: one text means one thing; an unknown key is an error in words. Does not say what an alert's labels are; that
is notify.telling.labels' to say.
"""

import re
import shlex
from collections.abc import Mapping
from functools import lru_cache

from .nearest import suggestion

# What an alert can be matched by. A label an alert lacks (a river section has no enterprise) is the empty text.
ALERT_KEYS = (
    *("rule", "kind", "level", "basis", "period", "factor", "limit_id", "medium"),
    *("station", "outlet", "enterprise", "industry", "park", "county", "episode"),
)
Matchers = Mapping[str, tuple[str, ...]]  # key -> values of which one must fit; `*` stands for any characters


def parse_matchers(text: str) -> dict[str, tuple[str, ...]]:
    """`key=value[,value] ...`; values with spaces in quotes. Raises ValueError in the user's words."""
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} cannot be read: {error}") from error
    found: dict[str, tuple[str, ...]] = {}
    for part in parts:
        key, equals, values = part.partition("=")
        if not equals:
            raise ValueError(f"{part!r} is no matcher; write key=value, for example level=red,orange")
        check_key(key)
        if key in found:
            raise ValueError(f"{key!r} is there twice; write its values together: {key}=one,other")
        found[key] = tuple(values.split(","))
        check_values(key, found[key])
    if not found:
        raise ValueError("it matches nothing: write for example station=XS-COAL-1 or level=yellow")
    return found


def format_matchers(matchers: Matchers) -> str:
    """As `parse_matchers` reads it, keys in order."""
    return " ".join(shlex.quote(f"{key}={','.join(values)}") for key, values in sorted(matchers.items()))


def check_key(key: str, more: tuple[str, ...] = ()) -> None:
    """Raises ValueError."""
    known = (*ALERT_KEYS, *more)
    if key not in known:
        hint = suggestion(key, known) or f"; there are {', '.join(known)}"
        raise ValueError(f"{key!r} is nothing alerts are matched by{hint}")


def check_values(key: str, values: tuple[str, ...]) -> None:
    """Raises ValueError for a value that is empty: a slip, most often."""
    if not values or any(not value.strip() for value in values):
        raise ValueError(f"{key}: a value is empty; `*` stands for any")


def matches(matchers: Matchers, labels: Mapping[str, str]) -> bool:
    """Whether every key fits one of its values. No matchers: everything."""
    return all(_fits(values, labels.get(key, "")) for key, values in matchers.items())


def _fits(values: tuple[str, ...], label: str) -> bool:
    return any(value == label or ("*" in value and _pattern(value).fullmatch(label) is not None) for value in values)


@lru_cache(maxsize=4096)
def _pattern(value: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, value.split("*"))))
