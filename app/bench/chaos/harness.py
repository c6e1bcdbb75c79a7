"""A whole centre under load, killed by plan until every death has been died; then drained, stopped and reconciled.

Promises: real processes, a real broker, SIGKILL; what was killed is started again at once. The seed fixes contents and
plan, not the interleaving of processes: the same seed meets the same points, hardly ever in the same microsecond.
"""

import logging
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import polars as pl

from contracts.instants import epoch_us
from contracts.site import Influx
from rules.ticks import CLOCK_PREFIX
from store.archive import CURSOR as ARCHIVED
from store.influx import CURSOR as WRITTEN
from store.state_db import SpanRow, StateDb

from ...feeds.record import NoJournal, record
from ...sending.senders import run_senders
from ...site.files import load_site
from ...site.rule_files import load_rules
from ..influxd import Influxd
from ..mosquitto import Mosquitto, wait_until
from .kill_points import KILL_POINTS, ROLES
from .ledger import PASSWORD, Publisher
from .made_site import STATIONS, write_site
from .plan import ALL_AT_ONCE_EVERY, Death, deaths
from .receiver import Receiver
from .reconcile import Outcome, reconcile
from .report import Check, Report
from .tempo import clock_from
from .victim import Victim, live

POLL_S = 0.01
DEATH_WITHIN_S = 150.0  # a kill point not reached by then is reported, and its process killed all the same
DRAIN_S = 240.0
STOP_S = 120.0
DECIDED_AFTER = timedelta(minutes=3)  # of the last message: its minute's decision, and more than a clock row
INFLUXDB = "influxdb"
Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)


class ChaosFailure(Exception):
    """The run itself failed: a process ended that nobody killed, or something never came about."""


@dataclass
class _Process:
    """One role: the process that runs now, and the deaths it still has to die."""

    role: str
    left: list[Death]
    running: BaseProcess | None = None
    began_s: float = 0.0
    kills: int = 0

    @property
    def death(self) -> Death | None:
        return self.left[0] if self.left else None


@dataclass
class Centre:
    """The processes of one run. A context manager: nothing of it is left behind but files."""

    folder: Path
    site_dir: Path
    seed: int
    zero_s: float
    processes: list[_Process]
    met: set[str] = field(default_factory=set)  # kill points that were died at
    missed: list[Death] = field(default_factory=list)
    all_at_once: int = 0

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def kills(self) -> int:
        return sum(process.kills for process in self.processes)

    def kills_of(self, role: str) -> int:
        return sum(process.kills for process in self.processes if process.role == role)

    def __enter__(self) -> "Centre":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.running is not None:
                process.running.kill()
                process.running.join()

    def start(self, process: _Process) -> None:
        death = process.death
        victim = Victim(
            process.role,
            self.site_dir,
            self.state_dir,
            self.folder / f"{process.role}.log",
            self.zero_s,
            death.point.name if death and death.point else None,
            death.nth if death else 1,
        )
        context = multiprocessing.get_context("forkserver")  # a fork of one that has imported everything, no more
        context.set_forkserver_preload([live.__module__, run_senders.__module__])
        process.running = context.Process(target=live, args=(victim,), name=process.role)
        process.running.start()
        process.began_s = time.monotonic()

    def run(self, check: Callable[[], None], progress: Progress) -> None:
        """Until every death has been died. check: raises when the load has failed."""
        rng, planned = Random(f"{self.seed}/all at once"), sum(len(process.left) for process in self.processes)
        next_all, died = rng.randint(2, ALL_AT_ONCE_EVERY), 0
        for process in self.processes:
            self.start(process)
        pause = threading.Event()
        while any(process.left for process in self.processes):
            check()
            pause.wait(POLL_S)
            for process in self.processes:
                died += self._look_after(process)
            progress(died, planned)
            if died >= next_all:
                self._kill_all()
                next_all += ALL_AT_ONCE_EVERY

    def _look_after(self, process: _Process) -> int:
        """Starts what has died again; how many planned deaths were died."""
        assert process.running is not None
        death, lived_s = process.death, time.monotonic() - process.began_s
        is_due = death is not None and lived_s >= (DEATH_WITHIN_S if death.point else death.after_s)
        if process.running.is_alive() and not is_due:
            return 0
        by_us = process.running.is_alive()
        if by_us:
            process.running.kill()
        process.running.join()
        self._must_be_killed(process)
        process.kills += 1
        if death is not None:
            process.left.pop(0)
            if death.point and by_us:
                self.missed.append(death)
            elif death.point:
                self.met.add(death.point.name)
            log.info("died: %s", death.said)
        self.start(process)
        return death is not None

    def _kill_all(self) -> None:
        """As if the machine had gone, but for what its kernel still holds. The deaths to die stay to be died."""
        for process in self.processes:
            assert process.running is not None
            process.running.kill()
        for process in self.processes:
            assert process.running is not None
            process.running.join()
            self._must_be_killed(process)
            process.kills += 1
            self.start(process)
        self.all_at_once += 1

    def _must_be_killed(self, process: _Process) -> None:
        assert process.running is not None
        if process.running.exitcode != -signal.SIGKILL:
            raise ChaosFailure(
                f"{process.role} ended by itself with {process.running.exitcode}; the end of its log:\n"
                + self.log_of(process.role)
            )

    def meet_the_broker(self) -> None:
        """A first collector, not killed: from here on the broker keeps a session for it."""
        first = _Process("collector", [])
        self.processes.append(first)
        self.start(first)
        wait_until(lambda: self._has_clock(first), "the first clock row", DRAIN_S)
        self._end(first)
        self.processes.remove(first)

    def _has_clock(self, first: _Process) -> bool:
        self._check_alive(first)
        try:
            return not _clock_rows(self.state_dir).is_empty()
        except NoJournal:
            return False

    def check_alive(self) -> None:
        """Of those that were not told to stop. Raises ChaosFailure."""
        for process in self.processes:
            self._check_alive(process)

    def _check_alive(self, process: _Process) -> None:
        if process.running is not None and not process.running.is_alive():
            raise ChaosFailure(
                f"{process.role} ended by itself with {process.running.exitcode}; the end of its log:\n"
                + self.log_of(process.role)
            )

    def stop(self, role: str) -> None:
        """As an operator would, and it must end well."""
        (process,) = [one for one in self.processes if one.role == role]
        self._end(process)

    def _end(self, process: _Process) -> None:
        assert process.running is not None
        process.running.terminate()
        process.running.join(STOP_S)
        if process.running.exitcode != 0:
            raise ChaosFailure(
                f"{process.role} was told to stop and ended with {process.running.exitcode}:\n"
                + self.log_of(process.role)
            )
        process.running = None

    def log_of(self, role: str) -> str:
        path = self.folder / f"{role}.log"
        return path.read_text(encoding="utf-8", errors="replace")[-3000:] if path.exists() else ""


def chaos(kills: int, seed: int, folder: Path, progress: Progress = lambda _died, _planned: None) -> Report:
    """A run in `folder`, which holds state directory, site and logs afterwards. Raises ChaosFailure, NotWithin.

    progress: told how many of the planned deaths were died, of how many.
    """
    began_s = time.monotonic()
    with drained(kills, seed, folder, progress) as (outcome, report):
        report.checks += reconcile(outcome)
    report.seconds = time.monotonic() - began_s
    return report


@contextmanager
def drained(
    kills: int, seed: int, folder: Path, progress: Progress = lambda _died, _planned: None
) -> Iterator[tuple[Outcome, Report]]:
    """A run up to the reconciliation: every process has ended, only broker and InfluxDB are still there."""
    report, influxd = Report(seed), shutil.which("influxd")
    roles = [role for role in ROLES if role != INFLUXDB or influxd]
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        influx = None
        if influxd is None:
            report.notes.append("InfluxDB was not part of it: influxd is not installed (apt-get install influxdb)")
        else:
            influx = _influxdb(influxd, folder, stack)
        port = _free_port()
        (folder / "password").write_text("c", encoding="utf-8")
        site_dir = write_site(folder, port, folder / "password", receiver.url, influx)
        site = load_site(site_dir)
        rules = [one.rule for one in load_rules(site_dir, site)]
        stack.enter_context(_broker(folder, port))
        zero_s, planned = time.monotonic(), deaths(kills, seed, roles)
        processes = [_Process(role, planned[role]) for role in roles]
        centre = stack.enter_context(Centre(folder, site_dir, seed, zero_s, processes))
        centre.meet_the_broker()
        publisher = Publisher(port, clock_from(zero_s), seed)
        publisher.start()
        try:
            centre.run(publisher.check, progress)
        finally:
            publisher.stop()
        said = publisher.ledger.kept()
        _drain(centre, max(one.due_at for one in said) + DECIDED_AFTER)
        report.kills = centre.kills
        report.checks.append(_points(centre, planned))
        together = centre.all_at_once * len(roles)
        report.notes.append(f"{together} of the kills in {centre.all_at_once} moments in which all processes died")
        yield (
            Outcome(centre.state_dir, site, rules, said, list(receiver.deliveries), centre.kills_of("senders"), influx),
            report,
        )


def _drain(centre: Centre, decided_to: datetime) -> None:
    """Until all that was published has been decided, archived, written and told; then every process ends."""
    with StateDb(centre.state_dir / "state.db") as db:

        def until(condition: Callable[[SpanRow], bool], what: str) -> None:
            def holds() -> bool:
                centre.check_alive()
                last = db.last_span()
                return last is not None and condition(last)

            wait_until(holds, what, DRAIN_S)

        until(lambda last: (last.clock_to or 0) >= epoch_us(decided_to), "every published message decided")
        centre.stop("collector")
        end_us = epoch_us(_clock_rows(centre.state_dir)["received_at"][-1])
        until(lambda last: last.journal_to == end_us, "the journal decided to its end")
        centre.stop("engine")
        until(lambda last: db.cursor(ARCHIVED) == last.seq, "every span in the archive")
        centre.stop("keeper")
        until(lambda _: not db.outbox_counts().get("pending"), "every notification delivered")
        centre.stop("senders")
        if any(process.role == INFLUXDB for process in centre.processes):
            until(lambda last: db.cursor(WRITTEN) == last.seq, "every span in InfluxDB")
            centre.stop(INFLUXDB)


def _clock_rows(state_dir: Path) -> pl.DataFrame:
    return pl.concat(record(state_dir).values()).filter(pl.col("topic").str.starts_with(CLOCK_PREFIX))


def _points(centre: Centre, planned: dict[str, list[Death]]) -> Check:
    wanted = {death.point.name for several in planned.values() for death in several if death.point}
    of_all = [point.name for point in KILL_POINTS if point.role in planned]
    missed = [death.said for death in centre.missed]
    difference = f"not reached in {DEATH_WITHIN_S:g} s: {'; '.join(missed)}" if missed else None
    if difference is None and (rest := wanted - centre.met):
        difference = f"never died at: {', '.join(sorted(rest))}"
    return Check("kill points died at", f"{len(centre.met)} of {len(of_all)}", difference)


def _influxdb(program: str, folder: Path, stack: ExitStack) -> Influx:
    (folder / "influxdb").mkdir()
    influxd = Influxd(program, folder / "influxdb", _free_port(), _free_port())
    influxd.start()
    stack.callback(influxd.stop)
    return Influx(url=influxd.url, database="chaos")


def broker_program() -> str | None:
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")  # Debian's is in sbin


def _broker(folder: Path, port: int) -> Mosquitto:
    program = broker_program()
    if program is None:
        raise ChaosFailure("mosquitto is not installed (apt-get install mosquitto)")
    mosquitto = Mosquitto(folder / "mosquitto", port, program)
    mosquitto.add_user("collector-main", "c")
    for station in STATIONS:
        mosquitto.add_user(station, PASSWORD)
    return mosquitto


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
