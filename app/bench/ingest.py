"""The whole way of a reading, from PUBLISH to what is decided and committed, by real processes on this machine.

Load generator, Mosquitto, collector and engine run together, then one after another: what each stage costs alone says
how fast the cores could be at best. Does not measure archive, InfluxDB and portal, nor latency.
"""

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from contracts.broker import Broker

from .generator import USER
from .harness import Figure, Size, Skipped, figure
from .mosquitto import Mosquitto, wait_until
from .stages import Counters, SiteTime, Stage, cpu_s, run_collector, run_engine, run_generator, stage
from .workload import FACTORS, INSTANT_RULE, MINUTE_RULE, START, sampled, site_of

OUTLETS, STATIONS_EACH = 72, 20  # with 14 factors 20,160 points under 1,008 limits
MESSAGES, LEAST_MESSAGES = 160_000, 4_000
BACKLOG = 14_400  # messages published and not yet decided, at most: about two seconds' worth
WARM_UP = 0.2  # share of the messages that goes before what is measured
RATE_MIN, RATIO_MIN = 150_000, 0.6
TIMEOUT_S = 300.0
RULES = {"minute": MINUTE_RULE, "instant": INSTANT_RULE}
SPEEDS = {"minute": 30.0, "instant": 1.0}  # of the site's clock: minutes are decided on time all the same
INTERVAL_S = 30  # of a point; at that speed it sends more often
STAGES = ("generator", "broker", "collector", "engine")


def measure(size: Size) -> list[Figure]:
    """QoS 1, 14 readings a message: every minute mean judged, then every single reading judged."""
    program = program_of()
    if program is None:
        raise Skipped("Mosquitto is not installed; apt-get install mosquitto")
    figures: list[Figure] = []
    alone_us: dict[str, float] = {}
    for period in SPEEDS:
        with tempfile.TemporaryDirectory(prefix="greenisland-bench-", dir=size.folder) as folder:
            run = _Run(size, Path(folder), program, period)
            with run.broker:
                together = run.together()
                if not alone_us:  # the same bytes in both: what is judged is the engine's affair
                    alone_us = run.taking_in_alone()
                alone_us["engine"] = run.engine_alone()
            figures += _figures(period, _cut(together, size.rounds), alone_us)
    return figures


def program_of() -> str | None:
    """Mosquitto, where it is installed."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@dataclass(frozen=True)
class _Look:
    """What had been done when."""

    at_s: float
    decided: int
    cpu_s: dict[str, float]


class BenchSite:
    """A made site, and its broker on the shipped configuration."""

    def __init__(self, size: Size, folder: Path, program: str, period: str):
        self.folder, self.port = folder, _free_port()
        (folder / "password").write_text("c", encoding="utf-8")
        site = sampled(site_of(size.of(OUTLETS, 2), STATIONS_EACH, period=period), INTERVAL_S)
        broker = Broker(port=self.port, username="collector-main", password_file=str(folder / "password"))
        self.site = sampled(
            site.model_copy(update={"file": site.file.model_copy(update={"broker": broker})}), INTERVAL_S
        )
        self.broker = Mosquitto(folder / "mosquitto", self.port, program)
        self.broker.add_user("collector-main", "c")
        self.broker.add_user(USER, "l")
        acl = folder / "mosquitto" / "acl"
        # the one difference to what is shipped: a user that speaks for every station
        acl.write_text(f"user {USER}\ntopic write gi/+/json\n\n{acl.read_text(encoding='utf-8')}", encoding="utf-8")


class _Run:
    def __init__(self, size: Size, folder: Path, program: str, period: str):
        made = BenchSite(size, folder, program, period)
        self.folder, self.period, self.rules = folder, period, RULES[period]
        self.site, self.broker, self.port = made.site, made.broker, made.port
        stations = len(self.site.stations)
        self.rounds = -(-size.of(MESSAGES, LEAST_MESSAGES) // stations)
        self.messages = self.rounds * stations

    def together(self) -> list[_Look]:
        """All stages at once; what was seen between the warm-up and the last message sent."""
        done, state_dir, when = Counters(), self.folder / "state", self._site_time()
        with ExitStack() as running:
            collector = running.enter_context(stage(run_collector, self.site, state_dir, when, done))
            engine = running.enter_context(stage(run_engine, self.site, self.rules, state_dir, done))
            wait_until(lambda: all(done.ready[name].value for name in ("collector", "engine")), "both have started", 60)
            made = (self.site, self.port, "l", when, self.rounds, min(BACKLOG, self.messages // 4), done)
            load = running.enter_context(stage(run_generator, *made))
            stages = {"generator": load, "collector": collector, "engine": engine}
            looks = self._watch(stages, lambda: done.decided.value, done)
            # every point's last window closes: what was sent is judged
            due = self.messages * FACTORS if self.period == "instant" else len(self.site.points)
            wait_until(lambda: done.verdicts.value >= due, "what was sent is judged", TIMEOUT_S)
            if done.readings.value != self.messages * FACTORS or done.rejects.value:
                was = f"{done.readings.value} decided, {done.rejects.value} rejects"
                raise RuntimeError(f"{self.messages * FACTORS} readings sent, {was}")
        steady = [look for look in looks if WARM_UP * self.messages <= look.decided and look.at_s <= self._sent_at_s]
        return steady if len(steady) > 1 else looks  # a quick run is over before it is steady

    def taking_in_alone(self) -> dict[str, float]:
        """CPU us a reading of each stage while the others rest: into the broker's queue, then into a journal."""
        queued, kept, when = Counters(), Counters(), self._site_time()
        made = (self.site, self.port, "l", when, self.rounds, self.messages + 1, queued)
        with stage(run_generator, *made) as load:
            sending = self._watch({"generator": load}, lambda: queued.sent.value, queued)
        with stage(run_collector, self.site, self.folder / "alone", when, kept) as collector:
            taking = self._watch({"collector": collector}, lambda: kept.journalled.value, kept)
        return {
            "generator": _us_each(sending[0], sending[-1], "generator"),
            "broker": _us_each(sending[0], sending[-1], "broker") + _us_each(taking[0], taking[-1], "broker"),
            "collector": _us_each(taking[0], taking[-1], "collector"),
        }

    def engine_alone(self) -> float:
        """On the journal of all together: its clock rows stand where they stood then."""
        decided, again = Counters(), self.folder / "again"
        again.mkdir()
        (self.folder / "state" / "journal").rename(again / "journal")
        with stage(run_engine, self.site, self.rules, again, decided) as engine:
            deciding = self._watch({"engine": engine}, lambda: decided.decided.value, decided)
        return _us_each(deciding[0], deciding[-1], "engine")

    def _watch(self, stages: dict[str, Stage], progress: Callable[[], int], done: Counters) -> list[_Look]:
        """Looks until all messages are done, the first when the stages have started."""
        looks: list[_Look] = []
        self._sent_at_s = float("inf")

        def is_done() -> bool:
            for one in stages.values():
                one.check()
            reached, now_s = progress(), time.monotonic()
            if done.sent.value == self.messages:
                self._sent_at_s = min(self._sent_at_s, now_s)
            if all(done.ready[name].value for name in stages) and (not looks or reached > looks[-1].decided):
                used = {name: one.cpu_s() for name, one in stages.items()} | {"broker": cpu_s(self.broker.pid)}
                looks.append(_Look(now_s, reached, used))
            return reached >= self.messages

        wait_until(is_done, f"{self.messages} messages are done", TIMEOUT_S)
        return looks

    def _site_time(self) -> SiteTime:
        return SiteTime(START, time.monotonic(), SPEEDS[self.period])


def _figures(period: str, parts: list[tuple[_Look, _Look]], alone_us: dict[str, float]) -> list[Figure]:
    cores = len(os.sched_getaffinity(0))
    ceiling = cores / sum(alone_us.values()) * 1e6
    rates = [(b.decided - a.decided) * FACTORS / (b.at_s - a.at_s) for a, b in parts]
    used_us = [sum(_us_each(a, b, name) for name in STAGES) for a, b in parts]
    by = f"by {period}"
    return [
        figure(f"sustained, {by}", "readings/s", rates, (">=", RATE_MIN) if period == "minute" else None),
        figure(f"all stages together, {by}", "CPU us each", used_us),
        *(
            figure(f"{name} alone{', ' + by if name == 'engine' else ''}", "CPU us each", [us])
            for name, us in alone_us.items()
            if name == "engine" or period == "minute"
        ),
        figure(f"ceiling of {cores} cores, {by}", "readings/s", [ceiling]),
        figure(f"over the ceiling, {by}", "ratio", [rate / ceiling for rate in rates], (">=", RATIO_MIN)),
    ]


def _us_each(first: _Look, last: _Look, name: str) -> float:
    """CPU microseconds a stage used per reading."""
    return (last.cpu_s[name] - first.cpu_s[name]) * 1e6 / ((last.decided - first.decided) * FACTORS)


def _cut(looks: list[_Look], parts: int) -> list[tuple[_Look, _Look]]:
    """Into so many parts of about the same number of looks; fewer where there are not enough."""
    at = sorted({round(n * (len(looks) - 1) / parts) for n in range(parts + 1)})
    return [(looks[a], looks[b]) for a, b in pairwise(at)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
