"""Keeping the state directory small without losing what must be kept: seal, prune, merge, expire.

Promises: raw messages stay readable for `raw_messages_kept`; a span file goes only after the archive has it. What
InfluxDB will never get for it is written down before it goes. A round that is cut short is finished by the next one.
"""

import logging
import shutil
import sqlite3
import threading
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from contracts.civil_time import local
from contracts.clock import Clock
from contracts.instants import epoch_us
from contracts.site import Site
from store.archive import CURSOR as ARCHIVED
from store.archive import Archive
from store.influx import CURSOR as WRITTEN
from store.journal import JournalFailure
from store.raw_files import raw_directory
from store.seal import SealRefused, remove_expired, seal_segments
from store.spans import SpanFiles
from store.sqlite_damage import StateDamaged
from store.state_db import StateDb
from store.state_lock import ARCHIVE, UPKEEP, Held, state_lock

from ..influx.gaps import GAPS, record_gap
from ..influx.part import gap_of
from .checkpoint import SUFFIX as CHECKPOINT
from .collector import journal_directory

log = logging.getLogger(__name__)

EVERY_S = 60.0
MERGE_EVERY = timedelta(hours=1)
SPARE_DAY = timedelta(days=1)  # five years that begin and end with a leap year have 1827 days
INFLUX_BEHIND_MAX = timedelta(days=3)  # so long spans wait for an absent InfluxDB
FREE_SHARE_MIN = 0.10  # with less of the disk free they do not wait at all


@dataclass(frozen=True)
class Round:
    """What one round did."""

    sealed: int = 0  # journal segments rewritten as Parquet
    expired: int = 0  # sealed files removed after their time
    pruned: int = 0  # span files removed
    unwritten: int = 0  # of them those InfluxDB did not have
    merged: int = 0  # dates of the archive
    refused: tuple[str, ...] = field(default=())  # what could not be done, and why


def keep_house(
    site: Site,
    state_dir: Path,
    now: datetime,
    *,
    merge: bool = True,
    free_share: float | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Round:
    """One round. Raises Held while a backup is being taken. free_share: of the disk; None: looked up."""
    if free_share is None:
        disk = shutil.disk_usage(state_dir)
        free_share = disk.free / disk.total
    refused: list[str] = []
    with state_lock(state_dir, UPKEEP, wait=False), StateDb(state_dir / "state.db") as db:
        floor_us = recovery_floor(state_dir, db)
        # A wall clock that is ahead, or stands in a machine long switched off, must not make anything old.
        kept = site.file.raw_messages_kept + SPARE_DAY
        expired_us = min(epoch_us(now), floor_us) - kept // timedelta(microseconds=1)
        sealed = expired = 0
        for collector in site.file.collectors:
            journal = journal_directory(state_dir, collector)
            try:
                sealed += len(seal_segments(journal, floor_us, is_stopping=is_stopping))
                expired += len(remove_expired(raw_directory(journal), expired_us, now))
            except (SealRefused, JournalFailure, sqlite3.Error, OSError) as error:
                refused.append(str(error))
        merged = _merge(site, state_dir, db, now) if merge and not is_stopping() else 0
        pruned, unwritten = _prune(db, state_dir, site.file.influxdb is not None, free_share, now)
    return Round(sealed, expired, pruned, unwritten, merged, tuple(refused))


def recovery_floor(state_dir: Path, db: StateDb) -> int:
    """received_at up to which no recovery reads the journal: of the oldest checkpoint kept, for the latest may turn out
    to be damaged. 0 where there is none."""
    checkpoints = _checkpoints(state_dir)
    return min([*checkpoints, db.engine_cursor() or 0]) if checkpoints else 0


def _compared_upto(state_dir: Path, db: StateDb, last_seq: int) -> int:
    """The last span whose file no recovery compares any more: a checkpoint is behind it. All, where there is none."""
    checkpoints = _checkpoints(state_dir)
    return db.last_seq_upto(max(checkpoints)) if checkpoints else last_seq


def _checkpoints(state_dir: Path) -> list[int]:
    """received_at up to which each of them holds the journal."""
    return [int(path.stem) for path in (state_dir / "checkpoints").glob(f"*{CHECKPOINT}") if path.stem.isdigit()]


def _merge(site: Site, state_dir: Path, db: StateDb, now: datetime) -> int:
    before = local(now - site.file.lateness, site.time_zone).date()
    with state_lock(state_dir, ARCHIVE):
        archive = Archive(state_dir / "archive", SpanFiles(state_dir / "spans", db), db, site.time_zone)
        archive.compact(0)  # removes parts of a compaction that was cut short: they must not be merged into others
        return archive.merge(before)


def _prune(db: StateDb, state_dir: Path, uses_influxdb: bool, free_share: float, now: datetime) -> tuple[int, int]:
    """Span files every consumer has. For InfluxDB they wait so long as the bounds allow, for the archive always."""
    last = db.last_span()
    if last is None:
        return 0, 0
    archived = min(db.cursor(ARCHIVED), last.seq - 1)  # the last one tells that the directory is whole
    written = db.cursor(WRITTEN) if uses_influxdb else archived
    upto = archived if free_share < FREE_SHARE_MIN else min(archived, _compared_upto(state_dir, db, last.seq))
    if written < upto and free_share >= FREE_SHARE_MIN:
        waits_since_us = last.journal_to - INFLUX_BEHIND_MAX // timedelta(microseconds=1)
        too_old = _first_seq(db, last.seq, lambda row: row.journal_to > waits_since_us) - 1
        upto = min(upto, max(written, too_old))
    first = _first_seq(db, last.seq, lambda row: row.file is not None)
    if first > upto:
        return 0, 0
    unwritten = max(0, upto - max(first - 1, written))
    if unwritten:
        why = "disk nearly full" if free_share < FREE_SHARE_MIN else "InfluxDB behind"
        record_gap(state_dir, gap_of(db, upto - unwritten + 1, upto, why, now.isoformat()))
    return db.prune_spans(upto, state_dir / "spans"), unwritten


def _first_seq(db: StateDb, last_seq: int, is_there: Callable) -> int:
    """The first span for which it is so, by halving: it is so for all after it. Spans have no gap in their numbers."""
    return 1 + bisect_left(range(last_seq), True, key=lambda at: is_there(db.spans_after(at, 1)[0]))


def run_housekeeping(
    site: Site,
    state_dir: Path,
    clock: Clock,
    stop: threading.Event,
    told: Callable[[Round], None] = lambda _: None,
    *,
    every_s: float = EVERY_S,
) -> None:
    """A round a minute until told to stop. What fails is logged and tried again: it must not stop the collector."""
    merged_at: datetime | None = None
    while not stop.is_set():
        now = clock.now()
        is_due = merged_at is None or now - merged_at >= MERGE_EVERY
        try:
            done = keep_house(site, state_dir, now, merge=is_due, is_stopping=stop.is_set)
        except Held:
            log.info("housekeeping waits for a backup")
        except StateDamaged:
            raise
        except (sqlite3.Error, OSError) as error:
            log.error("housekeeping: %s", error)
        else:
            merged_at = now if is_due else merged_at
            _log(done)
            told(done)
        stop.wait(every_s)


def _log(done: Round) -> None:
    for reason in done.refused:
        log.error("housekeeping left as it is: %s", reason)
    if done.unwritten:
        log.error("InfluxDB will not get %d spans: pruned before it had them, see %s", done.unwritten, GAPS)
    counts = {name: n for name, n in asdict(done).items() if n and name != "refused"}
    if counts:
        log.info("housekeeping: %s", ", ".join(f"{name} {n}" for name, n in counts.items()))
