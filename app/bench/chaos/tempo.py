"""A centre that lives fast: time runs so many times as fast, and what happens rarely happens every few seconds.

Everything is set from outside, before the ordinary `greenisland run`; the program has no such options.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from contracts.clock import ScaledClock

START_AT = datetime(2026, 3, 1, 15, 50, tzinfo=UTC)  # ten minutes to midnight at the site: dates change in every run
SPEED = 120.0

# module, function or "", name, value: a module's constant, or the default of a function's keyword
QUICK: tuple[tuple[str, str, str, Any], ...] = (
    ("store.journal", "Journal.__init__", "segment_max_bytes", 40_000),
    ("app.service.engine", "", "CHECKPOINT_EVERY", timedelta(minutes=3)),
    ("app.service.housekeeping", "run_housekeeping", "every_s", 0.4),
    ("app.service.housekeeping", "", "MERGE_EVERY", timedelta(minutes=10)),
    ("app.service.processes", "", "ARCHIVE_EVERY_S", 0.3),
)


def quick_places() -> Iterator[tuple[dict[str, Any], str, Any]]:
    """(where, name, value). Raises AttributeError or KeyError for what is no longer there: it would change nothing."""
    for module_name, function, name, value in QUICK:
        owner: Any = import_module(module_name)
        for part in filter(None, function.split(".")):
            owner = getattr(owner, part)
        place = owner.__kwdefaults__ if function else vars(owner)
        if name not in place:
            raise KeyError(f"{module_name}.{function} has no {name}")
        yield place, name, value


def set_quick() -> None:
    for place, name, value in quick_places():
        place[name] = value


def clock_from(zero_s: float) -> ScaledClock:
    """The same clock in every process, after every restart: START_AT at `zero_s` of the machine's monotonic clock."""
    passed_s = time.monotonic() - zero_s
    return ScaledClock(START_AT + timedelta(seconds=passed_s * SPEED), SPEED)
