"""What was probably meant, where somebody wrote a name there is none of."""

from collections.abc import Iterable
from difflib import get_close_matches

_SUGGESTED_FROM_MAX = 5_000  # beyond that a did-you-mean costs more than it helps


def nearest(wrong: str, known: Iterable[str]) -> str | None:
    near = get_close_matches(wrong, list(known)[:_SUGGESTED_FROM_MAX], n=1)
    return near[0] if near else None


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean 'tick_s'?`, or nothing."""
    near = nearest(wrong, known)
    return f"; did you mean {near!r}?" if near else ""
