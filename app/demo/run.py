"""The demo from beginning to end: history, then live, then the summary.

Promises: history and live are decided by one and the same engine; when this returns, nothing of it runs any more.
"""

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live as LiveDisplay
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from contracts.catalogue import Language
from contracts.catalogue.screen import WORDS
from contracts.clock import ScaledClock
from contracts.site import Broker, Site
from ingest.mqtt import CollectorMetrics
from rules.spec import Rule
from simulators.simulate import LiveSimulator

from ..health.logs import TEXT, TextLines
from ..service.collector import run_collector
from ..service.processes import run_archive, run_parts
from .board import Board
from .broker import HOST, EmbeddedBroker
from .history import LENGTH, live_start, write_history
from .stations import Published, run_stations
from .summary import summary_of
from .view import Live, alert_text, plain_line, screen

if TYPE_CHECKING:
    from .pages import Pages

log = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CLOCK_EVERY = timedelta(seconds=10)  # of the simulated clock
DRAW_EVERY_S = 0.25
LINE_EVERY_S = 5.0  # without a terminal
DRAIN_TIMEOUT_S = 10.0  # for the last messages to be decided
JOIN_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Options:
    site: Site
    rules: list[Rule]
    seed: int
    speed: float
    for_s: float | None  # from going live; None: until told to stop
    state_dir: Path | None  # None: a temporary one, removed at the end
    language: Language
    site_dir: Path | None = None  # of explanations
    pages: bool = True  # boards and alerts in a browser


class DemoFailure(RuntimeError):
    """A part of the demo stopped; the message says which and why."""


class DemoClock:
    """Stands still until the demo goes live and again after its end; one for all parts."""

    def __init__(self, start_at: datetime, speed: float):
        self._start_at, self._speed = start_at, speed
        self._running: ScaledClock | None = None

    def start(self) -> None:
        self._running = ScaledClock(self._start_at, self._speed)

    def halt(self) -> None:
        """Time that ran on while the stations are already gone would look like their silence."""
        self._start_at, self._running = self.now(), None

    def now(self) -> datetime:
        running = self._running
        return self._start_at if running is None else running.now()

    def real_s(self, simulated_s: float) -> float:
        return simulated_s / self._speed


@dataclass
class Parts:
    """Threads of which the failure of one stops all."""

    stop: threading.Event
    failed: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # told by `check`
                log.exception("%s stopped", name)
                self.failed.append(f"{name}: {_innermost(error)}")
                self.stop.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def check(self) -> None:
        if self.failed:
            raise DemoFailure("; ".join(self.failed))

    def join(self) -> None:
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self.failed.append(f"{thread.name}: did not stop within {JOIN_TIMEOUT_S:g} s")


def run_demo(options: Options, console: Console, stop: threading.Event) -> dict[str, object]:
    """Runs until its time is over or `stop` is set; returns the summary. Raises DemoFailure."""
    with (
        _state_directory(options.state_dir) as state_dir,
        _logging_to(state_dir / "demo.log"),
        EmbeddedBroker() as broker,
    ):
        site = demo_site(options.site, broker.port)
        live_from = live_start(datetime.now(UTC))
        run = _Run(options, site, state_dir, console, stop, live_from)
        try:
            run.open_pages()
            if run.history():
                run.live()
        finally:
            run.end()
        run.parts.check()
        return summary_of(run.board, options.seed, options.speed, run.history_s, run.live_s, run.published.messages)


def demo_site(site: Site, port: int) -> Site:
    """The site on the embedded broker, with one collector, and telling nobody outside."""
    file = site.file.model_copy(
        update={
            "broker": Broker(host=HOST, port=port, protocol="3.1.1"),  # all the embedded broker knows
            "collectors": site.file.collectors[:1],
            "clock_every": CLOCK_EVERY,
            "influxdb": None,
            "channels": (),
        }
    )
    return site.model_copy(update={"file": file, "routing": None})


class _Run:
    def __init__(
        self,
        options: Options,
        site: Site,
        state_dir: Path,
        console: Console,
        stop: threading.Event,
        live_from: datetime,
    ):
        self.options, self.site, self.state_dir, self.console, self.stop = options, site, state_dir, console, stop
        self.live_from = live_from
        self.board = Board(site, options.language, live_from)
        self.clock = DemoClock(live_from, options.speed)
        self.simulator = LiveSimulator(site, options.seed)
        self.published = Published()
        # Two events: stations first, so that what they sent can still be decided.
        self.stations_end, self.parts_end = threading.Event(), threading.Event()
        self.parts = Parts(self.parts_end)
        self.pages: Pages | None = None
        self.history_s: float | None = None
        self.live_s: float | None = None

    def open_pages(self) -> None:
        """Its process starts while the history is worked off, behind everything else."""
        if not self.options.pages:
            return
        from .pages import Pages  # the portal only where it is wanted

        self.pages = Pages(self.site, self.options.rules, self.state_dir, self.options.site_dir, self.clock)
        self.console.print(self._viewer() or "", markup=False, highlight=False)

    def _viewer(self) -> str | None:
        """Where boards and alerts are shown, and how to get in; None: they are not."""
        if self.pages is None:
            return None
        if why := self.pages.ended():
            return self._word("viewer_ended").format(why=why)
        return self._word("viewer").format(**self.pages.address.__dict__)

    def history(self) -> bool:
        """Works off the history while it is being written. False when stopped before its end."""
        began_s, from_at = time.monotonic(), self.live_from - LENGTH
        self.parts.start(
            "engine",
            lambda: run_parts(
                self.site,
                self.options.rules,
                self.state_dir,
                self.clock,
                self.parts_end,
                ("engine",),
                told=lambda span: self.board.apply(span, time.monotonic()),
            ),
        )
        written = [from_at]
        writer = self.parts.start(
            "history",
            lambda: write_history(
                self.site, self.simulator, self.state_dir, self.live_from, self.parts_end, written.append
            ),
        )
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
        )
        quiet = not self.console.is_terminal or self.console.is_dumb_terminal
        if quiet:
            self._say("history")
        with Progress(*columns, console=self.console, disable=quiet, transient=True) as bar:
            # Writing is the lesser part of the work; its share makes the bar move from the first second on.
            task = bar.add_task(self._word("history"), total=4.0)
            while self._goes_on() and (self.board.clock is None or self.board.clock < self.live_from):
                decided = (self.board.clock or from_at) - from_at
                bar.update(task, completed=(written[-1] - from_at) / LENGTH + 3 * (decided / LENGTH))
                self.stop.wait(0.1)
        if not self._goes_on():
            return False
        writer.join()
        self.history_s = time.monotonic() - began_s
        return True

    def live(self) -> None:
        """Everybody is connected before the clock starts: at this speed a second's delay would look like silence."""
        site, state_dir, taken = self.site, self.state_dir, CollectorMetrics()
        self.parts.start("collector", lambda: run_collector(site, state_dir, self.clock, self.parts_end, metrics=taken))
        self.parts.start("archive", lambda: run_archive(site, state_dir, self.parts_end))
        stations = self.parts.start(
            "stations",
            lambda: run_stations(
                self.simulator,
                sorted(station.station for station in site.stations),
                site.file.broker,
                self.clock,
                self.live_from,
                self.stations_end,
                self.published,
            ),
        )
        while self._goes_on() and not (taken.subscribed and self.published.ready.is_set()):
            self.stop.wait(0.01)
        self.board.forget_rates()
        self.clock.start()
        if self.pages is not None:
            self.pages.set_clock(self.clock)
        began_s = time.monotonic()
        self._show(began_s)
        was_told = self.stop.is_set()
        self.live_s = time.monotonic() - began_s
        self.clock.halt()
        self.stations_end.set()
        stations.join(JOIN_TIMEOUT_S)
        if not was_told:
            self._decide_the_rest()

    def end(self) -> None:
        self.stations_end.set()
        self.parts_end.set()
        if self.pages is not None:
            self.pages.close()
        self.parts.join()

    def _show(self, began_s: float) -> None:
        """Draws until the time is over."""
        for_s = self.options.for_s
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            with LiveDisplay(console=self.console, screen=True, auto_refresh=False) as display:
                while self._goes_on() and (for_s is None or time.monotonic() - began_s < for_s):
                    width, height = self.console.size
                    drawn = screen(self.board, self._now(began_s), self.console, width, height, self._viewer())
                    display.update(drawn, refresh=True)
                    self.stop.wait(self._pause_s(began_s, DRAW_EVERY_S))
            return
        said = self.board.told_n
        while self._goes_on() and (for_s is None or time.monotonic() - began_s < for_s):
            self.stop.wait(self._pause_s(began_s, LINE_EVERY_S))
            new, said = self.board.told_since(said)
            for told in new:
                self.console.print(alert_text(self.board, told))
            self.console.print(plain_line(self.board, self._now(began_s)), markup=False, highlight=False)

    def _pause_s(self, began_s: float, usual_s: float) -> float:
        if self.options.for_s is None:
            return usual_s
        return max(0.0, min(usual_s, began_s + self.options.for_s - time.monotonic()))

    def _now(self, began_s: float) -> Live:
        now_s = time.monotonic()
        messages_s, readings_s = self.board.rates(now_s)
        return Live(self.clock.now(), self.options.speed, now_s - began_s, self.options.for_s, messages_s, readings_s)

    def _decide_the_rest(self) -> None:
        """Waits until the collector's last clock row has been decided."""
        until, deadline = _floor(self.clock.now()), time.monotonic() + DRAIN_TIMEOUT_S
        while self._goes_on() and time.monotonic() < deadline and (self.board.clock or self.live_from) < until:
            self.stop.wait(0.05)

    def _goes_on(self) -> bool:
        return not (self.stop.is_set() or self.parts_end.is_set())

    def _word(self, key: str) -> str:
        return WORDS[key][self.options.language]

    def _say(self, key: str) -> None:
        self.console.print(self._word(key) + " ...", markup=False, highlight=False)


@contextmanager
def _state_directory(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="greenisland-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Everything into a file: the terminal belongs to the view."""
    root, handler = logging.getLogger(), logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(TextLines(TEXT))
    before, level = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("amqtt").setLevel(logging.WARNING)
    logging.getLogger("transitions").setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        handler.close()


def _floor(at: datetime) -> datetime:
    """The last instant at which a collector publishes its clock."""
    return at - (at - EPOCH) % CLOCK_EVERY


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
