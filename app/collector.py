"""The collector process: one broker's messages into one journal.

Promises: what it acknowledged is in the journal; it ends with an exception when the journal fails, never goes on.
Does not promise: to decode or judge anything.
"""

import getpass
import logging
import threading
from pathlib import Path

from contracts import topics
from contracts.clock import Clock
from contracts.site import Site
from ingest.mqtt import CollectorMetrics, MqttCollector
from store.journal import Journal
from store.journal_reader import last_payload

from .site_record import activation

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
    broker = site.file.broker
    directory = journal_directory(state_dir, name)
    with Journal(directory) as journal:
        if site_sha256 is not None:
            last_site, at = last_payload(directory, topics.JOURNAL_SITE), clock.now()
            if row := activation(site_sha256, last_site, getpass.getuser(), "cli", at):
                journal.append(row, at)
        last_clock = last_payload(directory, topics.JOURNAL_CLOCK.format(collector=name))
        MqttCollector(
            broker,
            _password(broker.password_file),
            # The broker keeps a session per client identifier: it must be the same after every restart.
            client_id=f"greenisland-{site.file.site}-{name}",
            collector=name,
            journal=journal,
            clock=clock,
            clock_every=site.file.clock_every,
            tick_s=site.file.tick_s,
            last_clock_us=int(last_clock or 0),
            metrics=metrics,
        ).run(stop)
    log.info("collector %s has stopped", name)


def _password(path: str | None) -> str | None:
    return None if path is None else Path(path).read_text(encoding="utf-8").rstrip("\r\n")
