"""How a running, stopped or broken centre stands, from its state directory alone.

Promises: reads only, stops nothing, and takes no lock a writer waits for. What needs attention is said with what to do.
Does not promise to find every damage: it opens files and compares ends, it does not read them through.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from contracts.reasons import Alert
from contracts.site import Site
from contracts.topics import JOURNAL_CLOCK
from store.archive import CURSOR as ARCHIVE
from store.influx import CURSOR as INFLUXDB
from store.journal import EPOCH, epoch_us, segment_paths
from store.spans import SpanDamaged, read_span
from store.state_db import MIGRATIONS

CLOCK_SILENT_MAX = timedelta(seconds=60)
ENGINE_BEHIND_MAX = timedelta(seconds=60)
SPANS_BEHIND_MAX = 1_000
PENDING_MAX = timedelta(minutes=10)
FREE_SHARE_MIN = 0.05
COUNTED = timedelta(hours=24)
PARTS = ("journal", "spans", "archive")


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
    outbox: dict[str, int] = field(default_factory=dict)
    oldest_pending_at: datetime | None = None
    open_alerts: dict[str, int] = field(default_factory=dict)  # by level
    counts: dict[str, int] = field(default_factory=dict)  # of the last 24 h of the site's clock
    damage: str | None = None


@dataclass(frozen=True)
class Status:
    now: datetime
    collectors: list[Collector]
    decided: Decided | None  # None: no state.db
    dead_letters: int
    disk: dict[str, int]  # bytes by part
    free_bytes: int
    total_bytes: int

    @property
    def newest_at(self) -> datetime | None:
        return max((c.last_message_at for c in self.collectors if c.last_message_at), default=None)


def status_of(state_dir: Path, now: datetime, site: Site | None = None) -> Status:
    """`site` names collectors that have no journal yet, and says whether InfluxDB is used."""
    names = {path.name for path in (state_dir / "journal").glob("*") if path.is_dir()}
    names |= set(site.file.collectors) if site else set()
    state_db = state_dir / "state.db"
    uses_influxdb = None if site is None else site.file.influxdb is not None
    decided = _decided(state_dir, uses_influxdb) if state_db.exists() else None
    cursor_us = 0 if decided is None or decided.cursor_at is None else epoch_us(decided.cursor_at)
    disk = shutil.disk_usage(state_dir)
    return Status(
        now=now,
        collectors=[_collector(name, state_dir / "journal" / name, cursor_us) for name in sorted(names)],
        decided=decided,
        dead_letters=_lines(state_dir / "deadletter.ndjson"),
        disk={part: _bytes_below(state_dir / part) for part in PARTS},
        free_bytes=disk.free,
        total_bytes=disk.total,
    )


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
    if status.dead_letters:
        found.append(f"InfluxDB refused {status.dead_letters:,} lines; read deadletter.ndjson, mend, move it away")
    if status.free_bytes < FREE_SHARE_MIN * status.total_bytes:
        found.append(
            f"the disk is nearly full ({size_in_words(status.free_bytes)} free); make room before the journal stops"
        )
    return found


def _of_collector(one: Collector, now: datetime) -> Iterator[str]:
    if one.damage:
        yield f"journal {one.name}: {one.damage}; stop, copy all as it is, restore from backup"
    elif one.clock_received_at is None:
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


def _of_outbox(decided: Decided, now: datetime) -> Iterator[str]:
    for state, said in (("gave_up", "were given up"), ("refused", "were refused by their receiver")):
        if n := decided.outbox.get(state):
            yield f"{n:,} notifications {said}; tell those concerned, mend the channel"
    waits_since = decided.oldest_pending_at
    if waits_since is not None and now - waits_since > PENDING_MAX:
        yield f"a notification waits for {in_words(now - waits_since)}; do the senders run, does the channel answer?"


# -- journals


def _collector(name: str, directory: Path, cursor_us: int) -> Collector:
    """Newest first through the segments, until everything is known."""
    known: dict[str, datetime] = {}
    undecided, damage = 0, None
    clock_topic = JOURNAL_CLOCK.format(collector=name)
    for path in reversed(segment_paths(directory)):
        try:
            with closing(_reading(path)) as connection:
                known = _ends(connection, clock_topic) | known
                (n,) = connection.execute(
                    "SELECT count(*) FROM messages WHERE received_at > ? AND substr(topic, 1, 1) <> '$'", (cursor_us,)
                ).fetchone()
                undecided += n
                (began_us,) = connection.execute("SELECT previous_received_at FROM meta").fetchone()
        except (sqlite3.Error, ValueError) as error:
            if not path.exists():  # archived meanwhile
                break
            damage = f"{path.name} cannot be read ({error})"
            break
        if began_us <= cursor_us and {"last_received_at", "last_message_at", "clock_at"} <= set(known):
            break
    return Collector(name, **known, undecided=undecided, damage=damage)


def _ends(connection: sqlite3.Connection, clock_topic: str) -> dict[str, datetime]:
    """The last instants of one segment, those it has."""
    last = "SELECT received_at, wall_at, payload FROM messages {} ORDER BY received_at DESC LIMIT 1"
    found = {}
    if row := connection.execute(last.format("")).fetchone():
        found["last_received_at"] = _at(row[0])
        (batch_us,) = connection.execute("SELECT max(last_received_at) FROM batches").fetchone()
        if batch_us != row[0]:
            raise sqlite3.DatabaseError("its last message and its last batch disagree")
    if row := connection.execute(last.format("WHERE substr(topic, 1, 1) <> '$'")).fetchone():
        found["last_message_at"] = _at(row[0])
    if row := connection.execute(last.format("WHERE topic = ?"), (clock_topic,)).fetchone():
        found |= {"clock_at": _at(int(row[2])), "clock_received_at": _at(row[1])}
    return found


# -- state.db


def _decided(state_dir: Path, uses_influxdb: bool | None) -> Decided:
    try:
        with closing(_reading(state_dir / "state.db")) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != len(MIGRATIONS):
                return Decided(damage=f"state.db has version {version}, this program reads {len(MIGRATIONS)}")
            connection.execute("BEGIN")  # one state of it, however long this takes
            return _read(connection, state_dir / "spans", uses_influxdb)
    except sqlite3.Error as error:
        return Decided(damage=f"state.db cannot be read ({error})")


def _read(connection: sqlite3.Connection, span_dir: Path, uses_influxdb: bool | None) -> Decided:
    last = connection.execute("SELECT seq, journal_to, clock_to FROM spans ORDER BY seq DESC LIMIT 1").fetchone()
    seq, journal_to, clock_to = last or (0, None, None)
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
        outbox=dict(connection.execute("SELECT state, count(*) FROM outbox GROUP BY state ORDER BY state")),
        oldest_pending_at=_at_or_none(pending_us),
        open_alerts=dict(
            connection.execute(
                "SELECT coalesce(level, ''), count(*) FROM episodes WHERE state <> ? GROUP BY level", (Alert.RESOLVED,)
            )
        ),
        counts={} if clock_to is None else _counts(connection, clock_to - COUNTED // timedelta(microseconds=1)),
        damage=_span_damage(connection, span_dir),
    )


def _counts(connection: sqlite3.Connection, after_us: int) -> dict[str, int]:
    """Sums over the spans that end after the instant: found by halving, so that a year of spans is not read."""
    low, high = connection.execute("SELECT min(seq), max(seq) FROM spans").fetchone()
    while low < high:
        middle = (low + high) // 2
        (ends_us,) = connection.execute("SELECT clock_to FROM spans WHERE seq = ?", (middle,)).fetchone()
        if ends_us is None or ends_us <= after_us:
            low = middle + 1
        else:
            high = middle
    return dict(
        connection.execute(
            "SELECT key, sum(value) FROM spans, json_each(spans.counts) WHERE seq >= ? GROUP BY key ORDER BY key",
            (low,),
        )
    )


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
