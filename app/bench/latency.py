"""How long it takes from PUBLISH to a committed verdict, and to a webhook that was told, at a tenth of the full rate.

Load generator, Mosquitto, collector, engine and senders as processes on this machine; every reading judged by itself.
Does not measure a backlog: what is sent is decided as it comes.
"""

import json
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from contracts.channels import Webhook
from contracts.clock import SystemClock
from contracts.site import Site

from ..pipeline import Span
from ..sending.senders import run_senders
from ..service.engine import Engine
from ..service.engine import run_engine as run
from . import generator
from .chaos.receiver import Delivery, Receiver
from .harness import Figure, Size, Skipped, figure
from .ingest import BenchSite, program_of
from .mosquitto import wait_until
from .stages import Counters, SiteTime, run_collector, stage, told_to_stop
from .workload import FACTORS, INSTANT_RULE, START

RATE = 15_000  # readings/s
SECONDS = 60
PARTS = 100  # of a round of all stations, so that messages come one after another as stations send them
ALARM_EVERY, ALARM_ROUNDS = 400, 4  # one station in so many is above its limits, in one round of so many
HOLD_S, TICKS = 2.0, 2.0  # an instant's decision waits so long; a verdict may take two ticks more
TIMEOUT_S = 120.0


def measure(size: Size) -> list[Figure]:
    """Percentiles over all verdicts, and over all notifications."""
    program = program_of()
    if program is None:
        raise Skipped("Mosquitto is not installed; apt-get install mosquitto")
    with tempfile.TemporaryDirectory(prefix="greenisland-bench-", dir=size.folder) as folder, Receiver() as receiver:
        return _measured(BenchSite(size, Path(folder), program, "instant"), size, receiver)


def _measured(made: BenchSite, size: Size, receiver: Receiver) -> list[Figure]:
    channel = Webhook(name="bench", type="webhook", url=f"{receiver.url}/bench")
    site = made.site.model_copy(update={"file": made.site.file.model_copy(update={"channels": (channel,)})})
    stations = len(site.stations)
    rounds = max(4, round(size.of(SECONDS, 6) * RATE / FACTORS / stations))
    when, done = SiteTime(START, time.monotonic(), 1.0), Counters()
    state_dir, latencies = made.folder / "state", made.folder / "latencies.parquet"
    with made.broker, ExitStack() as running:
        engine = running.enter_context(stage(_run_engine, site, state_dir, when, latencies, done))
        running.enter_context(stage(run_collector, site, state_dir, when, done))
        wait_until(lambda: all(done.ready[name].value for name in ("collector", "engine")), "both have started", 60)
        running.enter_context(stage(_run_senders, site, state_dir, done))  # state.db is there
        wait_until(lambda: done.ready["senders"].value, "the senders have started", 60)
        running.enter_context(stage(_run_generator, site, made.port, when, rounds, done))

        def is_decided() -> bool:
            engine.check()
            return done.verdicts.value >= rounds * stations * FACTORS

        wait_until(is_decided, "what was sent is judged", size.of(SECONDS, 6) + TIMEOUT_S)
        wait_until(lambda: len(receiver.deliveries) >= done.notified.value > 0, "all are told", TIMEOUT_S)
    decided_s = pl.read_parquet(latencies)["seconds"]
    told_s = pl.Series([_told_after_s(one, when) for one in receiver.deliveries if b'"transition":"fired"' in one.body])
    return [
        *_percentiles("verdict committed", decided_s, ("<=", HOLD_S + TICKS)),
        *_percentiles("webhook told", told_s, None),
        figure("notifications", "a second", [len(receiver.deliveries) / (rounds * stations * FACTORS / RATE)]),
    ]


def _percentiles(name: str, seconds: pl.Series, wanted: tuple[str, float] | None) -> list[Figure]:
    low, high = float(seconds.min()), float(seconds.max())  # type: ignore[arg-type]
    at = {share: float(seconds.quantile(share, "higher")) for share in (0.5, 0.99)}  # type: ignore[arg-type]
    return [
        Figure(f"{name}, median", "s", low, at[0.5], high),
        Figure(f"{name}, p99 (hold {HOLD_S:g} s)", "s", low, at[0.99], high, wanted),
    ]


def _told_after_s(delivery: Delivery, when: SiteTime) -> float:
    opened_at = datetime.fromisoformat(json.loads(delivery.body)["alert"]["opened_at"])
    return delivery.at_s - when.monotonic_s - (opened_at - when.at) / timedelta(seconds=1)


def _run_generator(site: Site, port: int, when: SiteTime, rounds: int, done: Counters) -> None:
    began_s = time.monotonic()

    def may_send(sent: int) -> bool:
        done.sent.value = sent
        return sent * FACTORS <= RATE * (time.monotonic() - began_s)

    def is_in_alarm(number: int, variant: int) -> bool:
        return number % ALARM_EVERY == 0 and variant % ALARM_ROUNDS == 0

    generator.send(site, port, "l", when.clock(), rounds, may_send, PARTS, is_in_alarm)


def _run_engine(site: Site, state_dir: Path, when: SiteTime, latencies: Path, done: Counters) -> None:
    stop, clock = told_to_stop(), when.clock()
    engine = Engine(site, INSTANT_RULE, state_dir, SystemClock())
    found: list[pl.Series] = []

    def told(span: Span) -> None:
        if span.verdicts.height:
            found.append((pl.lit(clock.now()) - pl.col("window_at")).pipe(span.verdicts.select).to_series())
        done.notified.value += len(span.notifications)
        done.verdicts.value += span.verdicts.height

    done.ready["engine"].value = 1
    try:
        run(engine, stop, told)
    finally:
        engine.close()
        seconds = pl.concat(found).dt.total_microseconds() / 1e6
        seconds.alias("seconds").to_frame().write_parquet(latencies)


def _run_senders(site: Site, state_dir: Path, done: Counters) -> None:
    done.ready["senders"].value = 1
    run_senders(site, state_dir, SystemClock(), told_to_stop())
