"""How a running, stopped or broken centre stands, from its state directory alone.

Promises: reads only, stops nothing, and takes no lock a writer waits for. What needs attention is said with what to do.
Does not promise to find every damage: it opens files and compares ends, it does not read them through.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from contracts.instants import EPOCH, epoch_us
from contracts.ports import JournalFailure
from contracts.records import Record
from contracts.site import Site
from contracts.topics import JOURNAL_CLOCK
from store.archive import CURSOR as ARCHIVE
from store.archive import PartDamaged, damaged_parts
from store.case_rows import CaseTables
from store.dead_letters import left_out
from store.influx import CURSOR as INFLUXDB
from store.journal import segment_paths
from store.journal_segment import Segment, SegmentGone, reading
from store.spans import SpanDamaged, read_span
from store.state_db import MIGRATIONS
from store.telling_rows import TellingTables

from ..influx.gaps import GAPS, Gap, read_gaps
from ..influx.part import DEAD_LETTERS
from ..operators import spool as operator_spool
from ..service.damage import Damage, read_damage
from ..service.recovery import DIFFERENCES
from ..site.record import last_activated
from .channel_status import ChannelStatus, channel_attention, channel_statuses
from .disk_forecast import Growth, LastDay, growth

CLOCK_SILENT_MAX = timedelta(seconds=60)
ENGINE_BEHIND_MAX = timedelta(seconds=60)
SPANS_BEHIND_MAX = 1_000
PENDING_MAX = timedelta(minutes=10)
FREE_SHARE_MIN = 0.05
FULL_IN_MIN = timedelta(days=7)
COUNTED = timedelta(hours=24)
ARCHIVE_LOOKED_AT = timedelta(days=31)
PARTS_LOOKED_AT = 100  # of each date and table: those of today are many, and merging reads them all
DAMAGED_SHOWN = 3
PARTS = ("journal", "raw", "spans", "checkpoints", "windows", "archive")


@dataclass(frozen=True)
class Collector:
    name: str
    last_received_at: datetime | None = None
    last_message_at: datetime | None = None  # of a station: the newest data
    clock_at: datetime | None = None  # what its last clock row says
    clock_received_at: datetime | None = None  # wall time of that row
    undecided: int = 0  # stations' messages after the engine's cursor
    damage: str | None = None


@dataclass(frozen=True)
class Decided:
    """What state.db says."""

    cursor_at: datetime | None = None  # last journal row whose decisions are committed
    span: int = 0
    clock_at: datetime | None = None  # the site's clock at that span's end
    behind: dict[str, int] = field(default_factory=dict)  # consumer -> spans it has not finished
    finished_to: dict[str, datetime] = field(default_factory=dict)  # consumer -> last row received it has finished
    outbox: dict[str, int] = field(default_factory=dict)
    oldest_pending_at: datetime | None = None
    channels: list[ChannelStatus] = field(default_factory=list)
    open_alerts: dict[str, int] = field(default_factory=dict)  # by level
    told_to_nobody: int = 0  # of them: no route took them
    open_cases: dict[str, int] = field(default_factory=dict)  # by state, and how many are `overdue`
    counts: dict[str, int] = field(default_factory=dict)  # of the last 24 h of the site's clock
    last_day: LastDay | None = None
    damage: str | None = None


@dataclass(frozen=True)
class Status:
    now: datetime
    collectors: list[Collector]
    decided: Decided | None  # None: no state.db
    dead_letters: int  # those that were only counted included
    disk: dict[str, int]  # bytes by part
    free_bytes: int
    total_bytes: int
    gaps: list[Gap] = field(default_factory=list)  # of InfluxDB
    gaps_damage: str | None = None
    differences: int = 0  # found by recoveries
    growth: Growth | None = None
    records_waiting: int = 0  # of operators, for longer than a collector takes
    records_refused: int = 0
    damage: list[Damage] = field(default_factory=list)  # what parts have met that run, or have ended for it
    damaged_parts: list[PartDamaged] = field(default_factory=list)  # of the archive's last month
    site: Record | None = None  # that activated the site that holds

    @property
    def newest_at(self) -> datetime | None:
        return max((c.last_message_at for c in self.collectors if c.last_message_at), default=None)

    @property
    def full_in(self) -> timedelta | None:
        return None if self.growth is None else self.growth.full_in(self.free_bytes)


def status_of(state_dir: Path, now: datetime, site: Site | None = None) -> Status:
    """`site` names collectors that have no journal yet, and says whether InfluxDB is used."""
    names = {path.name for path in (state_dir / "journal").glob("*") if path.is_dir()}
    names |= set(site.file.collectors) if site else set()
    state_db = state_dir / "state.db"
    uses_influxdb = None if site is None else site.file.influxdb is not None
    channels = () if site is None else tuple(channel.name for channel in site.file.channels)
    decided = _decided(state_dir, uses_influxdb, now, channels) if state_db.exists() else None
    cursor_us = 0 if decided is None or decided.cursor_at is None else epoch_us(decided.cursor_at)
    disk = shutil.disk_usage(state_dir)
    gaps, gaps_damage = _gaps(state_dir)
    last_day = None if decided is None else decided.last_day
    journals = [state_dir / "journal" / name for name in sorted(names)]
    return Status(
        now=now,
        collectors=[_collector(name, state_dir / "journal" / name, cursor_us) for name in sorted(names)],
        decided=decided,
        dead_letters=_lines(state_dir / DEAD_LETTERS) + left_out(state_dir / DEAD_LETTERS),
        disk={part: _bytes_below(state_dir / part) for part in PARTS},
        free_bytes=disk.free,
        total_bytes=disk.total,
        gaps=gaps,
        gaps_damage=gaps_damage,
        differences=_lines(state_dir / DIFFERENCES),
        growth=None if last_day is None else growth(state_dir, journals, last_day),
        records_waiting=operator_spool.waiting_since(state_dir, now - CLOCK_SILENT_MAX),
        records_refused=len(operator_spool.refused(state_dir)),
        damage=read_damage(state_dir),
        site=_site(state_dir),
        damaged_parts=damaged_parts(state_dir / "archive", (now - ARCHIVE_LOOKED_AT).date(), PARTS_LOOKED_AT),
    )


def _site(state_dir: Path) -> Record | None:
    try:
        return last_activated(state_dir)
    except (sqlite3.Error, JournalFailure, ValueError):
        return None  # the journal's own line says what is wrong with it


def attention(status: Status) -> list[str]:
    """What somebody has to look at, one line each: what is wrong; what to do. Empty: all is well."""
    found = []
    for one in status.collectors:
        found += _of_collector(one, status.now)
    decided = status.decided
    if decided is None:
        found.append("nothing was ever decided here; is --state right? start `greenisland run`")
    else:
        found += _of_engine(decided, status)
        found += _of_outbox(decided, status.now)
    found += [f"{one.part} does not go on since {one.since:%Y-%m-%d %H:%M} UTC: {one.what}" for one in status.damage]
    found += [f"archive: {damaged}" for damaged in status.damaged_parts[:DAMAGED_SHOWN]]
    if (more := len(status.damaged_parts) - DAMAGED_SHOWN) > 0:
        found.append(f"archive: {more:,} more of its parts cannot be read; see --json")
    if status.dead_letters:
        found.append(f"InfluxDB refused {status.dead_letters:,} lines; read {DEAD_LETTERS}, mend, move it away")
    found += _of_gaps(status)
    if status.records_waiting:
        found.append(
            f"{status.records_waiting:,} operators' records wait to be journalled; is the first collector running?"
        )
    if status.records_refused:
        found.append(
            f"{status.records_refused:,} operators' records were refused; read operator/refused/, have them made again,"
            " move them away"
        )
    if status.differences:
        found.append(
            f"recovery found {status.differences:,} differences from what was committed; read {DIFFERENCES}, run "
            "`greenisland verify`, move it away"
        )
    if status.free_bytes < FREE_SHARE_MIN * status.total_bytes:
        found.append(
            f"the disk is nearly full ({size_in_words(status.free_bytes)} free); make room before the journal stops"
        )
    elif status.growth and status.full_in is not None and status.full_in < FULL_IN_MIN:
        per_day = size_in_words(sum(status.growth.bytes_per_day.values()))
        found.append(f"the disk is full in {in_words(status.full_in)} at {per_day} a day; make room, or a larger one")
    return found


def _of_collector(one: Collector, now: datetime) -> Iterator[str]:
    if one.damage:
        yield f"journal {one.name}: {one.damage}; stop, copy all as it is, restore from backup"
    if one.clock_received_at is None and one.damage:
        return
    if one.clock_received_at is None:
        yield f"collector {one.name} has no clock row; is it running, may it write its clock topic?"
    elif now - one.clock_received_at > CLOCK_SILENT_MAX:
        silent = in_words(now - one.clock_received_at)
        yield f"collector {one.name}: no clock row for {silent}; look at it and at the broker"
    elif one.clock_received_at - now > CLOCK_SILENT_MAX:
        ahead = in_words(one.clock_received_at - now)
        yield f"collector {one.name} is {ahead} ahead of this clock; was the clock set back, or is it simulated?"


def _of_engine(decided: Decided, status: Status) -> Iterator[str]:
    if decided.damage:
        yield f"{decided.damage}; stop, copy all as it is, restore from backup"
        return
    clocks = [one.clock_at for one in status.collectors if one.clock_at]
    if clocks and (decided.clock_at is None or min(clocks) - decided.clock_at > ENGINE_BEHIND_MAX):
        by = (
            "has decided nothing yet"
            if decided.clock_at is None
            else f"is {in_words(min(clocks) - decided.clock_at)} behind"
        )
        yield f"the engine {by}; is it running? after a restart it catches up"
    for name, spans in decided.behind.items():
        if spans > SPANS_BEHIND_MAX:
            yield f"{name} is {spans:,} spans behind; is that part running, does its server answer?"


def _of_gaps(status: Status) -> Iterator[str]:
    if status.gaps_damage:
        yield f"{status.gaps_damage}; mend the line, or move the file away"
    if waiting := [gap for gap in status.gaps if not gap.filled_at]:
        spans = sum(gap.spans for gap in waiting)
        yield (
            f"InfluxDB lacks {spans:,} spans, see {GAPS}; they are written from the archive when both have caught up: "
            "do they run?"
        )


def _of_outbox(decided: Decided, now: datetime) -> Iterator[str]:
    if n := decided.told_to_nobody:
        yield f"{n:,} open alerts were told to nobody: no route or channel takes them; see `alerts list`, mend routes"
    for state, said in (("gave_up", "were given up"), ("refused", "were refused by their receiver")):
        if n := decided.outbox.get(state):
            yield (
                f"{n:,} notifications {said}; tell those concerned, mend the channel, then `greenisland outbox retry`:"
                " see `greenisland outbox list`"
            )
    waits_since = decided.oldest_pending_at
    if waits_since is not None and now - waits_since > PENDING_MAX:
        yield f"a notification waits for {in_words(now - waits_since)}; do the senders run, does the channel answer?"
    yield from channel_attention(decided.channels)


# -- journals


def _collector(name: str, directory: Path, cursor_us: int) -> Collector:
    """Newest first through the segments; once everything is known the rest is only opened."""
    known: dict[str, datetime] = {}
    undecided, damage, is_known = 0, None, False
    clock_topic = JOURNAL_CLOCK.format(collector=name)
    for path in reversed(segment_paths(directory)):
        try:
            with reading(path) as segment:
                began_us, _ = segment.began.received_us, segment.end
                if not is_known:
                    known = _ends(segment, clock_topic) | known
                    undecided += segment.stations_after(cursor_us)
                    is_known = began_us <= cursor_us and {"last_received_at", "last_message_at", "clock_at"} <= set(
                        known
                    )
        except SegmentGone:  # archived meanwhile
            break
        except (sqlite3.Error, JournalFailure, ValueError) as error:
            damage = f"{path.name} cannot be read ({getattr(error, 'what', error)})"
    return Collector(name, **known, undecided=undecided, damage=damage)


def _ends(segment: Segment, clock_topic: str) -> dict[str, datetime]:
    """The last instants of one segment, those it has."""
    found = {}
    if row := segment.last():
        found["last_received_at"] = _at(row[0])
    if row := segment.last_of_stations():
        found["last_message_at"] = _at(row[0])
    if row := segment.last_of(clock_topic):
        found |= {"clock_at": _at(int(row[4])), "clock_received_at": _at(row[1])}
    return found


# -- state.db


def _decided(state_dir: Path, uses_influxdb: bool | None, now: datetime, channels: tuple[str, ...]) -> Decided:
    try:
        with closing(_reading(state_dir / "state.db")) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != len(MIGRATIONS):
                return Decided(damage=f"state.db has version {version}, this program reads {len(MIGRATIONS)}")
            connection.execute("BEGIN")  # one state of it, however long this takes
            read = _read(connection, state_dir / "spans", uses_influxdb)
            return replace(read, channels=channel_statuses(connection, now, channels))
    except sqlite3.Error as error:
        return Decided(damage=f"state.db cannot be read ({error})")


def _read(connection: sqlite3.Connection, span_dir: Path, uses_influxdb: bool | None) -> Decided:
    last = connection.execute("SELECT seq, journal_to, clock_to FROM spans ORDER BY seq DESC LIMIT 1").fetchone()
    seq, journal_to, clock_to = last or (0, None, None)
    day_seq = None if clock_to is None else _first_after(connection, clock_to - COUNTED // timedelta(microseconds=1))
    cursors = dict(connection.execute("SELECT name, value FROM cursors"))
    consumers = {"archive": cursors.get(ARCHIVE, 0)}
    if uses_influxdb or (uses_influxdb is None and INFLUXDB in cursors):
        consumers["influxdb"] = cursors.get(INFLUXDB, 0)
    (pending_us,) = connection.execute("SELECT min(created_at) FROM outbox WHERE state = 'pending'").fetchone()
    return Decided(
        cursor_at=_at_or_none(journal_to),
        span=seq,
        clock_at=_at_or_none(clock_to),
        behind={name: seq - cursor for name, cursor in consumers.items()},
        finished_to={name: _at(to) for name, cursor in consumers.items() if (to := _ends_at(connection, cursor))},
        outbox=dict(connection.execute("SELECT state, count(*) FROM outbox GROUP BY state ORDER BY state")),
        oldest_pending_at=_at_or_none(pending_us),
        open_alerts=dict(
            connection.execute(
                "SELECT coalesce(level, ''), count(*) FROM episodes WHERE resolved_at IS NULL GROUP BY level"
            )
        ),
        told_to_nobody=len(TellingTables(connection).told_to_nobody()),
        open_cases=CaseTables(connection).counts(clock_to),
        counts={} if day_seq is None else _counts(connection, day_seq),
        last_day=None if day_seq is None else _last_day(connection, day_seq),
        damage=_span_damage(connection, span_dir),
    )


def _first_after(connection: sqlite3.Connection, after_us: int) -> int:
    """The first span that ends after an instant of the site's clock: by halving, so that no year of spans is read."""
    low, high = connection.execute("SELECT min(seq), max(seq) FROM spans").fetchone()
    while low < high:
        middle = (low + high) // 2
        (ends_us,) = connection.execute("SELECT clock_to FROM spans WHERE seq = ?", (middle,)).fetchone()
        if ends_us is None or ends_us <= after_us:
            low = middle + 1
        else:
            high = middle
    return low


def _counts(connection: sqlite3.Connection, from_seq: int) -> dict[str, int]:
    return dict(
        connection.execute(
            "SELECT key, sum(value) FROM spans, json_each(spans.counts) WHERE seq >= ? GROUP BY key ORDER BY key",
            (from_seq,),
        )
    )


def _last_day(connection: sqlite3.Connection, first_seq: int) -> LastDay:
    (began_us,) = connection.execute("SELECT journal_to FROM spans ORDER BY seq LIMIT 1").fetchone()
    last_seq, ends_us = connection.execute("SELECT seq, journal_to FROM spans ORDER BY seq DESC LIMIT 1").fetchone()
    return LastDay(_at(began_us), _at(ends_us), first_seq, last_seq)


def _ends_at(connection: sqlite3.Connection, seq: int) -> int | None:
    row = connection.execute("SELECT journal_to FROM spans WHERE seq = ?", (seq,)).fetchone()
    return None if row is None else row[0]


def _span_damage(connection: sqlite3.Connection, span_dir: Path) -> str | None:
    """A committed span file that is gone, or a last one that is not what was committed."""
    kept = connection.execute("SELECT file, digest FROM spans WHERE file IS NOT NULL ORDER BY seq").fetchall()
    present = set(os.listdir(span_dir)) if span_dir.is_dir() else set()
    if missing := [file for file, _ in kept if file not in present]:
        return f"{len(missing):,} committed span files are gone, first {missing[0]}"
    if kept:
        file, digest = kept[-1]
        try:
            read_span(span_dir / file, digest=digest)
        except (SpanDamaged, OSError) as error:
            # an engine prunes only what is long consumed, never the last
            return f"span file damaged ({getattr(error, 'part', error)} of {file})"
    return None


# -- files


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)


def _gaps(state_dir: Path) -> tuple[list[Gap], str | None]:
    try:
        return read_gaps(state_dir), None
    except ValueError as error:
        return [], str(error)


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _bytes_below(directory: Path) -> int:
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512  # what it takes, not what it holds
            except FileNotFoundError:  # replaced or pruned meanwhile
                continue
    return total


def _at(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def _at_or_none(us: int | None) -> datetime | None:
    return None if us is None else _at(us)


# -- words


def in_words(duration: timedelta) -> str:
    """`12 s`, `3 min`, `5 h`, `2 d`: as precise as anybody acts on."""
    seconds = duration.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size_in_words(n: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"
