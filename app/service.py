"""A whole centre in one process, or parts of it in several: they share the journal and state.db, nothing else.

Promises: a part that fails ends the process with its error; the others finish what they are doing first.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from contracts.clock import Clock
from contracts.site import Site
from ingest.mqtt import CollectorMetrics
from rules.spec import Rule
from store.archive import Archive
from store.spans import SpanFiles
from store.state_db import StateDb
from store.state_lock import ARCHIVE, state_lock

from .collector import run_collector
from .disk_room import NoRoom, when_there_is_room
from .engine import Engine, run_engine
from .housekeeping import run_housekeeping
from .influx_part import run_influx
from .pipeline import Span
from .recovery import logged
from .senders import run_senders

log = logging.getLogger(__name__)

PARTS = ("collector", "engine", "archive", "influxdb", "senders", "housekeeping")
ARCHIVE_EVERY_S = 5.0
SPANS_AT_ONCE = 200


def run_archive(site: Site, state_dir: Path, stop: threading.Event) -> None:
    """Span files into the Parquet archive, by civil date."""
    with StateDb(state_dir / "state.db") as db:
        archive = Archive(state_dir / "archive", SpanFiles(state_dir / "spans", db), db, site.time_zone)

        def compact() -> int:
            with state_lock(state_dir, ARCHIVE):  # housekeeping merges
                return archive.compact(SPANS_AT_ONCE)

        try:
            while not stop.is_set():
                if when_there_is_room(compact, stop, "spans for the archive") < SPANS_AT_ONCE:
                    stop.wait(ARCHIVE_EVERY_S)
            while when_there_is_room(compact, stop, "spans for the archive"):
                pass
        except NoRoom as error:
            log.error("stopped before there was room: the next start archives it (%s)", error)


def run_parts(
    site: Site,
    rules: list[Rule],
    state_dir: Path,
    clock: Clock,
    stop: threading.Event,
    parts: Iterable[str] = PARTS,
    *,
    collector: str | None = None,
    metrics: CollectorMetrics | None = None,
    site_sha256: str | None = None,
    told: Callable[[Span], None] = lambda _: None,
) -> None:
    """Runs the parts until `stop` is set or one of them fails; then raises what it failed of.

    site_sha256: the name of the site's files as `app.site_record.keep` has them, for the journal.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    StateDb(state_dir / "state.db").close()  # its tables exist before anybody reads them

    def engine() -> None:
        one = Engine(site, rules, state_dir, clock)
        try:
            run_engine(one, stop, told, logged)
        finally:
            one.close()

    work: dict[str, Callable[[], None]] = {
        "collector": lambda: run_collector(
            site, state_dir, clock, stop, collector=collector, metrics=metrics, site_sha256=site_sha256
        ),
        "engine": engine,
        "archive": lambda: run_archive(site, state_dir, stop),
        "senders": lambda: run_senders(site, state_dir, clock, stop),
        "housekeeping": lambda: run_housekeeping(site, state_dir, clock, stop),
    }
    if site.file.influxdb is not None:
        work["influxdb"] = lambda: run_influx(site, state_dir, clock, stop)
    failed: list[BaseException] = []

    def guarded(name: str) -> None:
        try:
            work[name]()
        except BaseException as error:  # noqa: BLE001  # told by whoever joins the threads
            log.error("%s stopped: %s", name, error)
            failed.append(error)
            stop.set()

    threads = [threading.Thread(target=guarded, args=(name,), name=name) for name in parts if name in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
