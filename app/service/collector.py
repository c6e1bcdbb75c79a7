"""The collector process: one broker's messages into one journal.

Promises: what it acknowledged is in the journal; it ends with an exception when the journal fails, never goes on. Where
the disk is full it waits for room, acknowledging nothing.
Does not promise: to decode or judge anything.
"""

import getpass
import logging
import threading
from pathlib import Path

from contracts import topics
from contracts.clock import Clock
from contracts.instants import EPOCH, MICROSECOND
from contracts.ports import JournalFull, JournalWriter
from contracts.site import Site
from ingest.mqtt import CollectorMetrics, MqttCollector
from store.journal import Journal
from store.journal_reader import last_payload
from store.journal_segment import SegmentDamaged
from store.parquet import make_directory

from ..operators import spool as operator_spool
from ..site.record import activation
from .journal_room import JournalRoom, WaitingJournal
from .steady_clock import SteadyClock

log = logging.getLogger(__name__)


def journal_directory(state_dir: Path, collector: str) -> Path:
    return state_dir / "journal" / collector


def run_collector(
    site: Site,
    state_dir: Path,
    clock: Clock,
    stop: threading.Event,
    *,
    collector: str | None = None,
    metrics: CollectorMetrics | None = None,
    site_sha256: str | None = None,
) -> None:
    """Runs the site's collector (its first one, if none is named) until `stop` is set. Raises JournalFailure.

    site_sha256: the activated site's name in the evidence; journalled when it is not the one of the last run.
    """
    name = collector or site.file.collectors[0]
    if name not in site.file.collectors:
        raise ValueError(f"collector {name!r} is not among the site's collectors: {', '.join(site.file.collectors)}")
    directory = journal_directory(state_dir, name)
    make_directory(directory.parent)
    metrics = metrics or CollectorMetrics()
    room = JournalRoom(directory.parent, stop, metrics)
    try:
        with room.waiting(lambda: Journal(directory)) as journal:
            waiting = WaitingJournal(journal, room)
            _collect(site, directory, name, waiting, clock, stop, metrics, site_sha256)
    except JournalFull as error:
        if not stop.is_set():
            raise
        log.warning("stopped while the disk was full (%s): what was not acknowledged is the broker's still", error)
    log.info("collector %s has stopped", name)


def _collect(
    site: Site,
    directory: Path,
    name: str,
    journal: JournalWriter,
    clock: Clock,
    stop: threading.Event,
    metrics: CollectorMetrics,
    site_sha256: str | None,
) -> None:
    damaged: list[SegmentDamaged] = []  # closed ones: what is taken in now needs nothing of them
    clock_topic = topics.JOURNAL_CLOCK.format(collector=name)
    last_clock_us = int(last_payload(directory, clock_topic, damaged.append) or 0)
    steady = SteadyClock(clock, EPOCH + last_clock_us * MICROSECOND if last_clock_us else None)
    if site_sha256 is not None:
        before = len(damaged)
        last_site, at = last_payload(directory, topics.JOURNAL_SITE, damaged.append), steady.now()
        if len(damaged) > before:
            last_site = None  # a later one may be in there: said again it does no harm
        if row := activation(site_sha256, last_site, getpass.getuser(), "cli", at):
            journal.append(row, at)
    for path in sorted({one.path: one for one in damaged}):
        log.error("taking in goes on without reading %s, which is damaged", path)
    broker = site.file.broker
    mqtt = MqttCollector(
        broker,
        _password(broker.password_file),
        # The broker keeps a session per client identifier: it must be the same after every restart.
        client_id=f"greenisland-{site.file.site}-{name}",
        collector=name,
        journal=journal,
        clock=steady,
        clock_every=site.file.clock_every,
        tick_s=site.file.tick_s,
        last_clock_us=last_clock_us,
        metrics=metrics,
    )
    is_first = name == site.file.collectors[0]  # one of them takes the operators' records
    with operator_spool.journalling(directory.parent.parent, journal, steady, is_first):
        mqtt.run(stop)


def _password(path: str | None) -> str | None:
    return None if path is None else Path(path).read_text(encoding="utf-8").rstrip("\r\n")
