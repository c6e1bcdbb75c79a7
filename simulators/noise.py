"""Seeded randomness that can be entered at any day: a series' day depends on its seed, name and day only.

Promises: no state runs from one call to the next, so chunks of a simulation agree wherever they are cut.
"""

import random
from collections.abc import Sequence
from functools import lru_cache
from math import ceil, exp, sqrt

DAY_S = 86_400


def stream(seed: int, *names: object) -> random.Random:
    """The generator of one named thing. Strings are hashed by SHA-512, not by the process's hash seed."""
    return random.Random(":".join([str(seed), *map(str, names)]))


@lru_cache(maxsize=512)
def _white(seed: int, name: str, day: int, n: int) -> Sequence[float]:
    gauss = stream(seed, name, day).gauss
    return [gauss(0.0, 1.0) for _ in range(n)]


def autoregressive(seed: int, name: str, day: int, n: int, step_s: int, memory_s: int) -> list[float]:
    """AR(1) of unit variance, `n` steps of a day, correlated over about `memory_s`.

    It starts from the end of the day before, warmed up long enough to join it without a visible step.
    """
    phi = exp(-step_s / memory_s)
    scale = sqrt(1.0 - phi * phi)
    warm_up = min(n, ceil(8 * memory_s / step_s))
    level = 0.0
    for shock in _white(seed, name, day - 1, n)[n - warm_up :]:
        level = phi * level + scale * shock
    series = []
    for shock in _white(seed, name, day, n):
        level = phi * level + scale * shock
        series.append(level)
    return series
