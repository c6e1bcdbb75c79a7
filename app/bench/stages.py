"""The stages of the way in as processes of their own, with what each has done and what CPU it has used.

Promises: a stage that dies is told at the next look; all are gone when their block ends.
"""

import contextlib
import logging
import multiprocessing as mp
import signal
import threading
import time
from collections.abc import Callable, Iterator
from ctypes import c_int64
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from contracts.clock import ScaledClock, SystemClock
from contracts.site import Site
from ingest.mqtt import CollectorMetrics
from rules.spec import Rule

from ..pipeline import Span
from ..service import collector
from ..service.engine import Engine
from ..service.engine import run_engine as run
from . import generator

LOOK_EVERY_S = 0.02
_SECOND = timedelta(seconds=1)
STOP_TIMEOUT_S = 60.0
_SPAWN = mp.get_context("spawn")


class Counters:
    """What the stages have done, in memory they share; each number has one writer."""

    def __init__(self) -> None:
        # of messages, by the stage that has done with them; each is ready when it has started up
        self.sent, self.journalled, self.decided = (_SPAWN.RawValue(c_int64, 0) for _ in range(3))
        self.ready = {name: _SPAWN.RawValue(c_int64, 0) for name in ("generator", "collector", "engine", "senders")}
        self.readings, self.verdicts, self.rejects, self.notified = (_SPAWN.RawValue(c_int64, 0) for _ in range(4))


@dataclass(frozen=True)
class SiteTime:
    """One clock for all processes: it stood at `at` when the machine's monotonic clock stood at `monotonic_s`."""

    at: datetime
    monotonic_s: float
    speed: float

    def clock(self) -> ScaledClock:
        gone_s = time.monotonic() - self.monotonic_s
        return ScaledClock(self.at + gone_s * self.speed * _SECOND, self.speed)


@contextlib.contextmanager
def stage(target: Callable[..., None], *arguments: Any) -> Iterator["Stage"]:
    """A process that runs until the block ends, and ends well."""
    process = _SPAWN.Process(target=target, args=arguments, daemon=True)
    process.start()
    try:
        yield Stage(process)
        process.terminate()  # a stage takes it as the wish to stop
        process.join(STOP_TIMEOUT_S)
    finally:
        process.kill()
        process.join()


@dataclass(frozen=True)
class Stage:
    process: BaseProcess

    def cpu_s(self) -> float:
        return cpu_s(self.process.pid)

    def check(self) -> None:
        if self.process.exitcode:
            raise RuntimeError(f"a stage ended with {self.process.exitcode}; what it said is above")


def cpu_s(pid: int | None) -> float:
    """CPU seconds of a running process, all threads. Linux gives every process a clock of its own."""
    assert pid is not None
    return time.clock_gettime(((~pid) << 3) | 2)


def run_generator(
    site: Site, port: int, password: str, when: SiteTime, rounds: int, backlog: int, done: Counters
) -> None:
    """backlog: how many messages it may be ahead of the decisions."""

    def may_send(sent: int) -> bool:
        done.ready["generator"].value = 1
        done.sent.value = sent
        return sent - done.decided.value < backlog

    generator.send(site, port, password, when.clock(), rounds, may_send)
    done.sent.value = rounds * len(site.stations)
    threading.Event().wait()  # its CPU clock is read until the run ends


def run_collector(site: Site, state_dir: Path, when: SiteTime, done: Counters) -> None:
    stop, metrics = told_to_stop(), CollectorMetrics()

    def count() -> None:
        while not stop.wait(LOOK_EVERY_S):
            done.ready["collector"].value = metrics.subscribed
            done.journalled.value = metrics.committed - metrics.clock_rows

    threading.Thread(target=count, daemon=True).start()
    collector.run_collector(site, state_dir, when.clock(), stop, metrics=metrics)


def run_engine(site: Site, rules: list[Rule], state_dir: Path, done: Counters) -> None:
    def told(span: Span) -> None:
        done.readings.value += span.readings.height
        done.verdicts.value += span.verdicts.height
        done.rejects.value += span.rejects.height
        done.decided.value += span.counts.get("messages", 0)

    stop = told_to_stop()
    engine = Engine(site, rules, state_dir, SystemClock())
    done.ready["engine"].value = 1
    try:
        run(engine, stop, told)
    finally:
        engine.close()


def told_to_stop() -> threading.Event:
    """Set when the process is to end."""
    logging.basicConfig(level=logging.ERROR)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop
