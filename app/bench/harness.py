"""Measuring: a case is a function of a size that gives figures with units.

Promises: what is compared was measured alternately, A B A B, inside one run; a figure shows its spread, not only its
middle. Does not promise that a figure of one machine says anything about another: ratios do, rates do not.
"""

import gc
import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

WIDTH = 80


@dataclass(frozen=True)
class Size:
    """How much work a case does, and where."""

    share: float  # of the full amount
    rounds: int  # how often each side is measured
    folder: Path  # for cases that write; they measure the disk it is on
    days: int | None = None  # of the archive that `rejudge` makes; none: its own amount

    def of(self, full: int, least: int = 1) -> int:
        return max(least, round(full * self.share))


@dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    low: float
    median: float
    high: float
    wanted: tuple[str, float] | None = None  # ("<=" or ">=", bound), held against the median

    @property
    def met(self) -> bool | None:
        if self.wanted is None:
            return None
        comparator, bound = self.wanted
        return self.median <= bound if comparator == "<=" else self.median >= bound

    def as_json(self) -> dict[str, object]:
        wanted = None if self.wanted is None else f"{self.wanted[0]} {self.wanted[1]:g}"
        numbers = {"min": self.low, "median": self.median, "max": self.high}
        return {"figure": self.name, "unit": self.unit, **numbers, "wanted": wanted, "met": self.met}


class Skipped(Exception):
    """The case cannot be measured on this machine; says why."""


Case = Callable[[Size], list[Figure]]


def figure(name: str, unit: str, samples: Iterable[float], wanted: tuple[str, float] | None = None) -> Figure:
    values = list(samples)
    return Figure(name, unit, min(values), statistics.median(values), max(values), wanted)


@dataclass(frozen=True)
class Seconds:
    """What one side took, a value a round."""

    wall: list[float]
    cpu: list[float]  # of all threads of this process: hardly moved by what else the machine does


def alternate(rounds: int, *sides: Callable[[], object]) -> list[Seconds]:
    """Seconds of each side, measured in turn after one turn that is not counted.

    So a machine that slows down meanwhile slows all sides, and what a first run pays nobody is charged for.
    """
    seconds = [Seconds([], []) for _ in sides]
    for turn in range(rounds + 1):
        for side, its in zip(sides, seconds, strict=True):
            gc.collect()  # the garbage of one side is not the next one's cost
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            side()
            wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
            if turn:
                its.wall.append(wall_s)
                its.cpu.append(cpu_s)
    return seconds


def rates(amount: float, seconds: Sequence[float]) -> list[float]:
    return [amount / s for s in seconds]


def ratios(upper: Sequence[float], lower: Sequence[float]) -> list[float]:
    """Round by round, so that each ratio is of neighbours in time."""
    return [a / b for a, b in zip(upper, lower, strict=True)]


def machine() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "polars_threads": pl.thread_pool_size(),
        "load_1min": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "polars": pl.__version__,
        "pyarrow": pa.__version__,
        "sqlite": sqlite3.sqlite_version,
    }


def machine_lines(about: dict[str, object]) -> str:
    return (
        f"{about['cores']} cores ({about['machine']}), {about['polars_threads']} Polars threads, load "
        f"{about['load_1min']}, Linux {about['kernel']}\n"
        f"Python {about['python']}, Polars {about['polars']}, PyArrow {about['pyarrow']}, SQLite {about['sqlite']}"
    )


def table(name: str, figures: Iterable[Figure]) -> str:
    """At most WIDTH columns."""
    lines = [f"{name:<40}{'unit':<12}{'min':>9}{'median':>9}{'max':>9}"]
    for one in figures:
        numbers = "".join(f"{_short(value):>9}" for value in (one.low, one.median, one.high))
        lines.append(f"  {one.name:<38}{one.unit:<12}{numbers}")
        if one.wanted is not None:
            lines.append(f"    wanted {one.wanted[0]} {one.wanted[1]:g}: {'met' if one.met else 'NOT met'}")
    return "\n".join(lines)


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.3g}"
