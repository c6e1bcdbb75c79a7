"""A whole centre in one process, or parts of it in several: they share the journal and state.db, nothing else.

Promises: a part that fails ends the process with its error; the others finish what they are doing first. Where state.db
is damaged all parts end but the collector, which does not need it. Damaged spans and journal segments are waited for.
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
from store.spans import SpanDamaged, SpanFiles
from store.sqlite_damage import StateDamaged
from store.state_db import StateDb
from store.state_lock import ARCHIVE, state_lock

from ..health.logs import configured_form
from ..influx.part import run_influx
from ..pipeline import Span
from .collector import run_collector
from .damage import DamageNote, when_readable
from .disk_room import NoRoom, when_there_is_room
from .engine import Engine, run_engine
from .housekeeping import run_housekeeping
from .recovery import logged

log = logging.getLogger(__name__)

COLLECTOR = "collector"
PARTS = (COLLECTOR, "engine", "archive", "influxdb", "senders", "housekeeping", "portal")
ARCHIVE_EVERY_S = 5.0
SPANS_AT_ONCE = 200
MEND = "put this one file back from a backup"
SAID_AGAIN_S = 60.0  # that parts do not run


def run_archive(site: Site, state_dir: Path, stop: threading.Event) -> None:
    """Span files into the Parquet archive, by civil date.

    It waits before a span file that is damaged or gone, for as long as it is not put back: no row is passed over.
    """
    note = DamageNote(state_dir, "archive")
    with StateDb(state_dir / "state.db") as db:
        archive = Archive(state_dir / "archive", SpanFiles(state_dir / "spans", db), db, site.time_zone)

        def compact() -> int:
            with state_lock(state_dir, ARCHIVE):  # housekeeping merges
                try:
                    return archive.compact(SPANS_AT_ONCE)
                except FileNotFoundError as error:
                    raise SpanDamaged(Path(error.filename), "file", "is gone") from error
                except SpanDamaged as damaged:
                    raise SpanDamaged(damaged.path, damaged.part, f"{damaged.what}: {MEND}") from damaged

        def when_possible() -> int:
            return when_there_is_room(compact, stop, "spans for the archive")

        try:
            while not stop.is_set():
                if (when_readable(when_possible, stop, note) or 0) < SPANS_AT_ONCE:
                    stop.wait(ARCHIVE_EVERY_S)
            while when_readable(when_possible, stop, note):
                pass
        except NoRoom as error:
            log.error("stopped before there was room: the next start archives it (%s)", error)


def _run_portal(
    site: Site,
    rules: list[Rule],
    state_dir: Path,
    clock: Clock,
    stop: threading.Event,
    site_dir: Path | None,
    site_sha256: str | None,
    is_apart: bool,
) -> None:
    """Apart from a collector: what pages compute must not delay an acknowledgement."""
    from ..portal.apart import Setup, run_portal_apart  # a web server only where one is asked for
    from ..portal.serve import NotServed, run_portal

    if is_apart:
        setup = Setup(site, rules, state_dir, site_dir, clock, log_form=configured_form(), site_sha256=site_sha256)
        run_portal_apart(setup, stop, NotServed)
    else:
        run_portal(site, rules, state_dir, clock, stop, site_dir, site_sha256=site_sha256)


def _run_senders(site: Site, state_dir: Path, clock: Clock, stop: threading.Event) -> None:
    from ..sending.senders import run_senders  # the clients of all channels only where something is sent

    run_senders(site, state_dir, clock, stop)


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
    site_dir: Path | None = None,
    told: Callable[[Span], None] = lambda _: None,
) -> None:
    """Runs the parts until `stop` is set or one of them fails; then raises what it failed of.

    site_sha256: the name of the site's files as `app.site.record.keep` has them, for the journal. site_dir: where they
    are, for the portal.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    halt = threading.Event()  # what the other parts end for; the collector ends for `stop` alone

    def engine() -> None:
        note = DamageNote(state_dir, "engine")

        def goes_on(span: Span) -> None:
            note.over()
            told(span)

        def decide() -> None:
            one = Engine(site, rules, state_dir, clock, site_sha256)
            try:
                run_engine(one, halt, goes_on, logged)
            finally:
                one.close()

        when_readable(decide, halt, note)

    work: dict[str, Callable[[], None]] = {
        COLLECTOR: lambda: run_collector(
            site, state_dir, clock, stop, collector=collector, metrics=metrics, site_sha256=site_sha256
        ),
        "engine": engine,
        "archive": lambda: run_archive(site, state_dir, halt),
        "senders": lambda: _run_senders(site, state_dir, clock, halt),
        "housekeeping": lambda: run_housekeeping(site, state_dir, clock, halt),
    }
    if site.file.influxdb is not None:
        work["influxdb"] = lambda: run_influx(site, state_dir, clock, halt, site_sha256)
    if site.file.portal is not None:
        work["portal"] = lambda: _run_portal(
            site, rules, state_dir, clock, halt, site_dir, site_sha256, COLLECTOR in names
        )
    names = [name for name in parts if name in work]
    notes = {name: DamageNote(state_dir, name) for name in names}
    failed: list[BaseException] = []

    def fail(name: str, error: BaseException) -> None:
        log.error("%s stopped: %s", name, error)
        failed.append(error)
        if isinstance(error, StateDamaged):
            notes[name].write(str(error))
            halt.set()
        if not isinstance(error, StateDamaged) or COLLECTOR not in names:
            stop.set()

    def guarded(name: str) -> None:
        try:
            work[name]()
        except BaseException as error:  # noqa: BLE001  # told by whoever joins the threads
            fail(name, error)

    if others := [name for name in names if name != COLLECTOR]:
        try:
            with StateDb(state_dir / "state.db") as db:  # its tables exist before anybody reads them
                db.check_not_emptied(state_dir / "spans")
        except StateDamaged as error:
            fail(others[0], error)
            names = [name for name in names if name == COLLECTOR]
    threads = [threading.Thread(target=guarded, args=(name,), name=name) for name in names]
    for thread in threads:
        thread.start()
    while not stop.wait(SAID_AGAIN_S):
        if failed:
            log.error("only the collector runs, nothing is decided and nobody is told: %s", failed[0])
    halt.set()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
