"""What a process tells a Prometheus server about itself and, where it keeps house, about the centre.

Promises: names, units and labels as in docs/guide/metrics.md; nothing in them is a secret or names a person. A scrape
takes no lock a writer waits for, and looks at the state directory once in STATUS_EVERY at most.
Does not promise: that counters survive a restart; they count since this process started.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Info, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector as Source

from contracts.clock import Clock
from contracts.instants import epoch_us
from contracts.site import Site
from ingest.mqtt import IN_FLIGHT_BYTES_MAX, CollectorMetrics
from store.case_rows import LATE

from ..pipeline import Span
from ..service.housekeeping import INFLUX_BEHIND_MAX
from ..service.journal_room import reserve_bytes
from .status import ENGINE_BEHIND_MAX, Status, attention, status_of

log = logging.getLogger(__name__)
disable_created_metrics()  # when a counter began is when the process did, and that is told once

STATUS_EVERY = timedelta(seconds=30)
PREFIX = "greenisland_"
STAGES = ("decode", "windows", "rules", "alerts")

# field of CollectorMetrics -> name and help. Counters since the process started.
COUNTED = {
    "received": ("collector_received_messages", "Messages the broker delivered"),
    "committed": ("collector_committed_messages", "Messages durable in the journal"),
    "acked": ("collector_acknowledged_messages", "Messages acknowledged to the broker"),
    "stale_acks": ("collector_stale_acknowledgements", "Acknowledgements whose connection was gone"),
    "dropped_qos0": ("collector_dropped_qos0_messages", "QoS 0 messages beyond the bound in memory"),
    "clock_rows": ("collector_clock_rows", "Clock rows journalled"),
    "clock_repeats": ("collector_clock_repeats", "Own clock messages that came a second time"),
    "foreign_clocks": ("collector_foreign_clocks", "Messages on the clock's topic that are not its own"),
    "connects": ("collector_connections", "Connections made to the broker"),
    "failed_connects": ("collector_failed_connections", "Attempts to connect that failed"),
    "sessions_lost": ("collector_lost_sessions", "Times the broker had forgotten the session and its queue"),
    "refusals": ("collector_refusals", "Connections, subscriptions and clocks the broker refused"),
    "journal_full_times": ("collector_journal_full", "Times the disk had no room for the journal"),
}
STANDING = {
    "connected": ("collector_connected", "1 while connected to the broker"),
    "subscribed": ("collector_subscribed", "1 while the broker has taken the subscriptions"),
    "journal_full": ("collector_journal_waiting", "1 while nothing is acknowledged because the disk is full"),
    "queue_depth": ("collector_in_flight_messages", "Messages received and not yet settled"),
    "queue_bytes": ("collector_in_flight_bytes", "Payload bytes of those"),
}


def gauge(name: str, about: str, labels: Collection[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, about, labels=tuple(labels))


class Figures:
    """One process's figures. `told` counts a committed span; `text` is what a scrape gets."""

    def __init__(self, site: Site, state_dir: Path, clock: Clock, parts: Collection[str], collector: str | None = None):
        self._clock, self._parts = clock, tuple(parts)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        Info("greenisland_build", "The release that runs", registry=self.registry).info(
            {"version": version("greenisland")}
        )
        self.collector = CollectorMetrics() if "collector" in parts else None
        if self.collector is not None:
            name = collector or site.file.collectors[0]
            self.registry.register(_OfCollector(name, self.collector, site, clock))
        self._decided = _Decided(self.registry) if "engine" in parts else None
        if self._decided is not None:
            self.registry.register(_OfClock(self._decided, clock))
        if "housekeeping" in parts:
            self.registry.register(_OfState(site, state_dir, clock))
        running = gauge("part", "1 for each part of this process", ["part"])
        for part in self._parts:
            running.add_metric([part], 1)
        self.registry.register(_Constant(running))

    def told(self, span: Span) -> None:
        if self._decided is not None:
            self._decided.count(span)

    def text(self) -> bytes:
        """In the text format 0.0.4."""
        return generate_latest(self.registry)

    def not_ready(self) -> list[str]:
        """Why this process does not do its work right now; empty: it does."""
        why = []
        if self.collector is not None:
            if not self.collector.connected:
                why.append("not connected to the broker")
            elif not self.collector.subscribed:
                why.append("the broker has not taken the subscriptions")
            if self.collector.journal_full:
                why.append("the disk is full: nothing is acknowledged")
        if self._decided is not None:
            age_s = self._decided.clock_age_s(self._clock)
            if age_s is None:
                why.append("nothing was decided since the start")
            elif age_s > ENGINE_BEHIND_MAX.total_seconds():
                why.append(f"the last decision is {age_s:.0f} s old")
        return why


@dataclass(frozen=True, eq=False)
class _Constant(Source):
    family: Metric

    def collect(self) -> Iterator[Metric]:
        yield self.family


class _OfCollector(Source):
    def __init__(self, name: str, metrics: CollectorMetrics, site: Site, clock: Clock):
        self._name, self._metrics, self._clock = name, metrics, clock
        self._in_flight_max = site.file.broker.receive_maximum

    def collect(self) -> Iterator[Metric]:
        label, now = ["collector"], self._clock.now()
        for field, (name, about) in COUNTED.items():
            counter = CounterMetricFamily(PREFIX + name, about, labels=label)
            counter.add_metric([self._name], getattr(self._metrics, field))
            yield counter
        standing = [(name, about, float(getattr(self._metrics, field))) for field, (name, about) in STANDING.items()]
        standing += [
            ("collector_in_flight_messages_max", "Their bound: receive_maximum", self._in_flight_max),
            ("collector_in_flight_bytes_max", "Bound of their bytes, but for one message", IN_FLIGHT_BYTES_MAX),
        ]
        for name, about, value in standing:
            family = gauge(name, about, label)
            family.add_metric([self._name], value)
            yield family
        age = gauge("collector_last_commit_age_seconds", "Since the last commit; none yet: absent", label)
        if self._metrics.last_commit_at is not None:
            age.add_metric([self._name], (now - self._metrics.last_commit_at).total_seconds())
        yield age


class _Decided:
    """Counters of the engine."""

    def __init__(self, registry: CollectorRegistry):
        def counter(name: str, about: str, labels: Collection[str] = ()) -> Counter:
            return Counter(PREFIX + "engine_" + name, about, tuple(labels), registry=registry)

        self._spans = counter("spans", "Spans committed")
        self._rejects = counter("rejects", "Rejects by reason", ["reason"])
        self._verdicts = counter("verdicts", "Verdicts by state, revisions included", ["state"])
        self._transitions = counter("transitions", "Alerts' transitions", ["transition"])
        self._took = counter("stage_seconds", "Time spent deciding, by stage", ["stage"])
        for stage in STAGES:
            self._took.labels(stage)
        self._counts = {
            "messages": counter("messages", "Stations' messages decided"),
            "readings": counter("readings", "Readings decoded"),
            "events": counter("events", "Events decoded"),
            "duplicates": counter("duplicates", "Readings that came again"),
            "rewritten": counter("rewritten", "Readings that came again with another value"),
            "late": counter("late", "Readings that came after their window was decided"),
            "from_archive": counter("put_away_windows", "Windows brought back for late readings"),
            "beyond_max_age": counter("beyond_max_age", "Readings too old to be judged"),
        }
        self._clock_to_us: int | None = None

    def count(self, span: Span) -> None:
        self._spans.inc()
        for key, made in self._counts.items():
            made.inc(span.counts.get(key, 0))
        for reason, n in span.rejects["reason"].value_counts().iter_rows():
            self._rejects.labels(reason).inc(n)
        for state, n in span.verdicts["state"].value_counts().iter_rows():
            self._verdicts.labels(state).inc(n)
        for row in span.transitions:
            self._transitions.labels(row["transition"]).inc()
        for stage, seconds in span.took_s.items():
            self._took.labels(stage).inc(seconds)
        if span.clock_to is not None:
            self._clock_to_us = epoch_us(span.clock_to)

    def clock_age_s(self, clock: Clock) -> float | None:
        """None: nothing was decided since the start."""
        return None if self._clock_to_us is None else (epoch_us(clock.now()) - self._clock_to_us) / 1_000_000


@dataclass(frozen=True, eq=False)
class _OfClock(Source):
    decided: _Decided
    clock: Clock

    def collect(self) -> Iterator[Metric]:
        family = gauge("engine_clock_age_seconds", "Age of the site's clock as last decided; none yet: absent")
        if (age_s := self.decided.clock_age_s(self.clock)) is not None:
            family.add_metric([], age_s)
        yield family


class _OfState(Source):
    """What `greenisland status` says, as numbers; by the process that keeps house, of which there is one."""

    def __init__(self, site: Site, state_dir: Path, clock: Clock):
        self._site, self._state_dir, self._clock = site, state_dir, clock
        self._looking = threading.Lock()
        self._seen: Status | None = None

    def _status(self) -> Status:
        with self._looking:
            now = self._clock.now()
            if self._seen is None or not timedelta(0) <= now - self._seen.now < STATUS_EVERY:
                self._seen = status_of(self._state_dir, now, self._site)
            return self._seen

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry would look at the whole directory before anything runs."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        try:
            status = self._status()
        except OSError as error:
            log.error("the state directory cannot be looked at: %s", error)
            return
        yield _one("status_age_seconds", "How old what follows is", (self._clock.now() - status.now).total_seconds())
        yield _one("attention", "Lines of `greenisland status` that ask for attention", len(attention(status)))
        yield from _of_journals(status)
        yield from _of_consumers(status)
        yield from _of_outbox(status)
        yield from _of_disk(status, self._state_dir)
        yield from _of_the_rest(status)


def _one(name: str, about: str, value: float | None) -> Metric:
    family = gauge(name, about)
    if value is not None:
        family.add_metric([], value)
    return family


def _by(name: str, about: str, label: str, values: Callable[[], Iterator[tuple[str, float | None]]]) -> Metric:
    family = gauge(name, about, [label])
    for key, value in values():
        if value is not None:
            family.add_metric([key], value)
    return family


def _of_journals(status: Status) -> Iterator[Metric]:
    def age_s(name: str) -> Iterator[tuple[str, float | None]]:
        for one in status.collectors:
            at = getattr(one, name)
            yield one.name, None if at is None else (status.now - at).total_seconds()

    yield _by(
        "journal_clock_age_seconds", "Since a clock row came back", "collector", lambda: age_s("clock_received_at")
    )
    yield _by(
        "journal_last_message_age_seconds", "Since a station's message", "collector", lambda: age_s("last_message_at")
    )
    yield _by(
        "journal_undecided_messages",
        "Stations' messages the engine has not decided",
        "collector",
        lambda: ((one.name, one.undecided) for one in status.collectors),
    )


def _of_consumers(status: Status) -> Iterator[Metric]:
    decided = status.decided
    behind = {} if decided is None else decided.behind

    def lag_s() -> Iterator[tuple[str, float | None]]:
        for name, spans in behind.items():
            to = None if decided is None else decided.finished_to.get(name)
            ends = None if decided is None else decided.cursor_at
            yield name, 0.0 if not spans else None if to is None or ends is None else (ends - to).total_seconds()

    lag = None if decided is None or decided.cursor_at is None else (status.now - decided.cursor_at).total_seconds()
    yield _one("engine_lag_seconds", "Age of the last journal row whose decisions are committed", lag)
    yield _by("consumer_behind_spans", "Spans a consumer has not finished", "consumer", lambda: iter(behind.items()))
    yield _by("consumer_lag_seconds", "How much later the last span is than what it has finished", "consumer", lag_s)
    most = {"influxdb": INFLUX_BEHIND_MAX.total_seconds()} if "influxdb" in behind else {}
    yield _by("consumer_lag_max_seconds", "From here on it gets a gap", "consumer", lambda: iter(most.items()))


def _of_outbox(status: Status) -> Iterator[Metric]:
    channels = [] if status.decided is None else status.decided.channels
    yield _by(
        "outbox_pending_notifications",
        "Notifications that wait",
        "channel",
        lambda: ((one.channel, one.pending) for one in channels),
    )
    yield _by(
        "outbox_oldest_pending_seconds",
        "For how long the oldest one waits; 0: none does",
        "channel",
        lambda: (
            (one.channel, 0 if (at := one.oldest_pending_at) is None else (status.now - at).total_seconds())
            for one in channels
        ),
    )
    dead = gauge("outbox_undelivered_notifications", "Refused or given up, not sent again yet", ["channel", "state"])
    for one in channels:
        dead.add_metric([one.channel, "refused"], one.refused)
        dead.add_metric([one.channel, "gave_up"], one.gave_up)
    yield dead


def _of_disk(status: Status, state_dir: Path) -> Iterator[Metric]:
    yield _one("disk_free_bytes", "Free on the state directory's disk", status.free_bytes)
    yield _one("disk_total_bytes", "Size of that disk", status.total_bytes)
    yield _one("disk_reserve_bytes", "Below this much free nothing is acknowledged", reserve_bytes(state_dir))
    full = None if status.full_in is None else status.full_in.total_seconds()
    yield _one("disk_full_in_seconds", "Until it is full, at the growth of a day; not foreseeable: absent", full)
    yield _by("state_bytes", "Size of a part of the state directory", "part", lambda: iter(status.disk.items()))


def _of_the_rest(status: Status) -> Iterator[Metric]:
    open_alerts = {} if status.decided is None else status.decided.open_alerts
    yield _by("open_alerts", "Alerts that are open", "level", lambda: iter(open_alerts.items()))
    untold = 0 if status.decided is None else status.decided.told_to_nobody
    yield _one("open_alerts_told_to_nobody", "Open alerts that no route or channel takes", untold)
    cases = {} if status.decided is None else status.decided.open_cases
    by_state = [(state, n) for state, n in cases.items() if state != LATE]
    yield _by("open_cases", "Cases that are not closed", "state", lambda: iter(by_state))
    yield _one("open_cases_overdue", "Of them: a time has passed", cases.get(LATE, 0))
    yield _one("influxdb_refused_lines", "Lines put aside in deadletter.ndjson", status.dead_letters)
    missing = sum(gap.spans for gap in status.gaps if not gap.filled_at)
    yield _one("influxdb_gap_spans", "Spans InfluxDB lacks until they are written from the archive", missing)
    yield _one("operator_records_waiting", "Operators' records not journalled for a minute", status.records_waiting)
    yield _one("operator_records_refused", "Operators' records that could not be read", status.records_refused)
    yield _one("recovery_differences", "Differences recoveries found", status.differences)
    damaged = [one.part for one in status.damage]
    yield _by("damaged", "1 for a part that waits for a damaged file", "part", lambda: ((one, 1) for one in damaged))
