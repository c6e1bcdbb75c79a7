"""state.db: what was decided and committed, cursors, alert episodes and the outbox, in SQLite.

Promises: a span, its episodes, transitions, notifications and what was held back are committed together, durably, or
not at all; spans follow each other without gap; what was delivered is never pending again.
Does not promise: that a notification is sent once only (at least once; its key lets receivers drop a second one).
"""

import hashlib
import json
import sqlite3
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.ports import Notification
from contracts.reasons import Receipt

from .case_rows import MIGRATION as CASES
from .case_rows import CaseTables
from .parquet import TEMPORARY, unlink_durably
from .spans import SUFFIX, span_name
from .sqlite_damage import StateDamaged
from .sqlite_tables import open_tables, transaction
from .telling_rows import MIGRATION, TellingRows, TellingTables, tick_of

_BUSY_TIMEOUT_S = 30.0  # a commit holds the lock for milliseconds; so long means a stuck process

# A release that changes the tables appends a migration; those that have shipped are never edited.
# Instants are us since 1970 UTC; `body` and `counts` are JSON objects.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE spans (
            seq INTEGER PRIMARY KEY, file TEXT, digest TEXT NOT NULL,
            journal_after INTEGER NOT NULL, journal_to INTEGER NOT NULL,
            clock_from INTEGER, clock_to INTEGER, counts TEXT NOT NULL)""",
        "CREATE TABLE cursors (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
        """CREATE TABLE episodes (
            id TEXT PRIMARY KEY, rule TEXT NOT NULL, station TEXT, factor TEXT, level TEXT, state TEXT NOT NULL,
            opened_at INTEGER, resolved_at INTEGER, body TEXT NOT NULL)""",
        """CREATE TABLE transitions (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, tick INTEGER NOT NULL, episode TEXT NOT NULL,
            transition TEXT NOT NULL, body TEXT NOT NULL)""",
        "CREATE INDEX transitions_by_episode ON transitions (episode)",
        """CREATE TABLE outbox (
            key TEXT NOT NULL, channel TEXT NOT NULL, created_at INTEGER NOT NULL, body TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'refused', 'gave_up')),
            attempts INTEGER NOT NULL, next_at INTEGER NOT NULL, PRIMARY KEY (key, channel))""",
        "CREATE INDEX outbox_pending ON outbox (next_at) WHERE state = 'pending'",
        """CREATE TABLE receipts (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, channel TEXT NOT NULL,
            attempt INTEGER NOT NULL, at INTEGER NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL)""",
        "CREATE INDEX receipts_by_key ON receipts (key, channel)",
    ),
    # Receipts alone cannot be derived from the journal: each one carries the hash of itself and all before it.
    ("ALTER TABLE receipts ADD COLUMN chain TEXT",),  # null: written before there was a chain
    ("CREATE INDEX spans_kept ON spans (seq) WHERE file IS NOT NULL",),  # pruning must not look at years of spans
    (
        # by which site and rules spans were decided, from a number on: a recovery compares only what it can derive
        "CREATE TABLE deciders (from_seq INTEGER PRIMARY KEY, made_for TEXT NOT NULL)",
        "CREATE INDEX transitions_by_tick ON transitions (tick)",
    ),
    MIGRATION,
    # each channel looks for its own, five times a second, past whatever waits for another
    ("CREATE INDEX outbox_of_channel ON outbox (channel, next_at) WHERE state = 'pending'",),
    (
        "CREATE INDEX episodes_by_opening ON episodes (opened_at, id)",  # lists begin with the latest ...
        # ... and are most often of what is open (store.alert_reads)
        "CREATE INDEX episodes_open ON episodes (opened_at, id) WHERE state IN ('pending', 'firing', 'no_data')",
    ),
    CASES,
)
RECEIPTS_START = "0" * 64  # what the first receipt continues

# what an attempt makes of a pending notification
_OUTBOX_STATE = {
    Receipt.DELIVERED: "delivered",
    Receipt.REFUSED: "refused",
    Receipt.GAVE_UP: "gave_up",
    Receipt.FAILED: "pending",
    Receipt.SENT_AGAIN: "pending",
}
_WAIT_MAX_US = 2 * 3600 * 1_000_000  # nothing waits so long for its next attempt; what does, the clock was set back
_LATEST_RECEIPTS = 20_000  # looked through for a channel's own


class StateError(Exception):
    """state.db cannot be used as it is; the message says why and what to do."""


class SpanOutOfOrder(StateError):
    """The span does not follow the last committed one: two engines, or an engine that missed its own commit."""


@dataclass(frozen=True)
class SpanRow:
    seq: int
    file: str | None  # name in the span directory; None: pruned, the digest stays
    digest: str
    journal_after: int  # received_at of the last journal row before the span, us since 1970
    journal_to: int  # received_at of its last row
    clock_from: int | None  # site clock before and after; None before the first clock row
    clock_to: int | None
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Pending:
    """A notification that is due."""

    notification: Notification
    attempts: int  # so many were made
    created_at: int  # us


class StateDb:
    """One connection; a thread opens its own. Instants are integers, us since 1970 UTC."""

    def __init__(self, path: Path):
        self._path = path
        self._connection = open_tables(path, MIGRATIONS, StateError, busy_timeout_s=_BUSY_TIMEOUT_S)
        self.telling = TellingTables(self._connection)
        self.cases = CaseTables(self._connection)

    def __enter__(self) -> "StateDb":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    # -- spans

    def commit_span(
        self,
        span: SpanRow,
        *,
        episodes: Sequence[Mapping[str, object]] = (),
        withdrawn: Sequence[str] = (),
        transitions: Sequence[Mapping[str, object]] = (),
        notifications: Sequence[Notification] = (),
        telling: TellingRows = TellingRows(),
        cases: Sequence[Mapping[str, object]] = (),
        now_us: int,
        made_for: str | None = None,
    ) -> None:
        """Commits a span whose file is already durable, with everything it decided.

        episodes replace those of the same id; withdrawn ids are deleted; a notification whose (key, channel) is known
        already is left as it is. cases: events of cases, as CaseTables.add takes them. made_for: fingerprint of the
        site and rules that decided it; None: not known.
        Raises SpanOutOfOrder, and then nothing was changed.
        """
        with transaction(self._connection) as connection:
            last = self.last_span()
            if last is not None and (span.seq, span.journal_after) != (last.seq + 1, last.journal_to):
                raise SpanOutOfOrder(
                    f"span {span.seq} begins after {span.journal_after}; the last one is {last.seq} and ends at "
                    f"{last.journal_to}. Is a second engine running on this state.db?"
                )
            connection.execute(
                "INSERT INTO spans VALUES (:seq, :file, :digest, :journal_after, :journal_to, :clock_from, :clock_to,"
                " :counts)",
                {**vars(span), "counts": _to_json(dict(span.counts))},
            )
            if made_for is not None and made_for != self._last_decider():
                connection.execute("INSERT INTO deciders VALUES (?, ?)", (span.seq, made_for))
            connection.executemany("DELETE FROM episodes WHERE id = ?", [(episode,) for episode in withdrawn])
            connection.executemany(
                "INSERT OR REPLACE INTO episodes VALUES (:id, :rule, :station, :factor, :level, :state, :opened_at,"
                " :resolved_at, :body)",
                [{**episode, "body": _to_json(episode["body"])} for episode in episodes],
            )
            connection.executemany(
                "INSERT INTO transitions (tick, episode, transition, body)"
                " VALUES (:tick, :episode, :transition, :body)",
                [{**transition, "body": _to_json(transition["body"])} for transition in transitions],
            )
            connection.executemany(
                "INSERT INTO outbox (key, channel, created_at, body, state, attempts, next_at, tick)"
                " VALUES (?, ?, ?, ?, 'pending', 0, ?, ?) ON CONFLICT (key, channel) DO NOTHING",
                [
                    (item.key, item.channel, now_us, _to_json(item.body), now_us, tick_of(item.body))
                    for item in notifications
                ],
            )
            self.telling.add(telling, notifications)
            self.cases.add(cases)

    def last_span(self) -> SpanRow | None:
        row = self._connection.execute("SELECT * FROM spans ORDER BY seq DESC LIMIT 1").fetchone()
        return None if row is None else _span(row)

    def engine_cursor(self) -> int | None:
        """received_at of the last journal row whose decisions are committed; None before the first span."""
        last = self.last_span()
        return None if last is None else last.journal_to

    def spans_after(self, seq: int, limit: int = 1_000) -> list[SpanRow]:
        """The first so many spans after `seq`, in order."""
        rows = self._connection.execute("SELECT * FROM spans WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
        return [_span(row) for row in rows]

    def last_seq_upto(self, journal_us: int) -> int:
        """The last span that ends with this journal row or before it; 0 where there is none. Found by halving."""
        last = self.last_span()
        find = "SELECT journal_to FROM spans WHERE seq = ?"
        seqs = range(1, 1 if last is None else last.seq + 1)  # no number is left out
        return bisect_right(seqs, journal_us, key=lambda seq: self._connection.execute(find, (seq,)).fetchone()[0])

    def messages_after(self, seq: int) -> int:
        """How many stations' messages all spans after `seq` hold."""
        (n,) = self._connection.execute(
            "SELECT coalesce(sum(json_extract(counts, '$.messages')), 0) FROM spans WHERE seq > ?", (seq,)
        ).fetchone()
        return n

    def deciders(self) -> dict[int, str]:
        """First span -> fingerprint of the site and rules that decided from there on."""
        rows = self._connection.execute("SELECT from_seq, made_for FROM deciders ORDER BY from_seq")
        return {row["from_seq"]: row["made_for"] for row in rows}

    def _last_decider(self) -> str | None:
        row = self._connection.execute("SELECT made_for FROM deciders ORDER BY from_seq DESC LIMIT 1").fetchone()
        return None if row is None else row["made_for"]

    def prune_spans(self, upto_seq: int, span_directory: Path) -> int:
        """Removes the files of all spans up to this one, for good; their rows and digests stay. Returns how many."""
        with transaction(self._connection) as connection:
            rows = connection.execute("SELECT file FROM spans WHERE seq <= ? AND file IS NOT NULL", (upto_seq,))
            files = [span_directory / row["file"] for row in rows]
            connection.execute("UPDATE spans SET file = NULL WHERE seq <= ? AND file IS NOT NULL", (upto_seq,))
        unlink_durably(files)
        return len(files)

    def check_not_emptied(self, span_directory: Path) -> None:
        """Raises StateDamaged where no span is committed and there are files of more than the first: whoever went on
        would delete what was committed."""
        if self.last_span() is not None:
            return
        others = [file for file in sorted(span_directory.glob(f"*{SUFFIX}")) if file.name != span_name(1)]
        if others:
            raise StateDamaged(
                f"{self._path} holds no span, and {others[-1]} was committed: stop everything, copy the state directory"
                " as it is, restore it from a backup"
            )

    def delete_unreferenced(self, span_directory: Path) -> list[Path]:
        """Deletes span files no committed span names, and half-written ones. Only the engine, before its first span."""
        self.check_not_emptied(span_directory)
        kept = {row["file"] for row in self._connection.execute("SELECT file FROM spans WHERE file IS NOT NULL")}
        files = sorted(span_directory.glob(f"*{SUFFIX}")) + sorted(span_directory.glob(f"*{SUFFIX}.*{TEMPORARY}"))
        rest = [file for file in files if file.name not in kept]
        unlink_durably(rest)
        return rest

    # -- cursors of the span files' consumers

    def cursor(self, name: str) -> int:
        """seq of the last span the consumer has finished; 0 before the first."""
        row = self._connection.execute("SELECT value FROM cursors WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else row["value"]

    def set_cursor(self, name: str, value: int) -> None:
        with transaction(self._connection) as connection:
            connection.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (name, value))

    # -- alerts

    def episodes(self) -> list[dict[str, object]]:
        """As they were committed, in the order of their ids."""
        rows = self._connection.execute("SELECT * FROM episodes ORDER BY id")
        return [{**row, "body": json.loads(row["body"])} for row in rows]

    def open_episodes(self) -> list[dict[str, object]]:
        """The records of those that are not resolved."""
        rows = self._connection.execute("SELECT body FROM episodes WHERE resolved_at IS NULL")
        return [json.loads(row["body"]) for row in rows]

    def transitions(self, after_seq: int = 0, limit: int = -1) -> list[dict[str, object]]:
        """The history in the order of commitment, each with its `seq`; the first so many, or all."""
        rows = self._connection.execute(
            "SELECT * FROM transitions WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, limit)
        )
        return [{**row, "body": json.loads(row["body"])} for row in rows]

    def transitions_between(self, after_tick: int, to_tick: int) -> list[dict[str, object]]:
        """Those of the ticks after the first and up to the second, us, in the order of commitment."""
        rows = self._connection.execute(
            "SELECT tick, episode, transition, body FROM transitions WHERE tick > ? AND tick <= ? ORDER BY seq",
            (after_tick, to_tick),
        )
        return [{**row, "body": json.loads(row["body"])} for row in rows]

    # -- outbox

    def due_notifications(self, now_us: int, limit: int, channel: str | None = None) -> list[Pending]:
        """Pending ones in the order in which their time came; of one channel, or of all.

        Those too whose time is further off than any wait: they were made or tried before the clock was set back.
        """
        of_channel, names = ("", ()) if channel is None else (" AND channel = ?", (channel,))
        rows = self._connection.execute(
            f"SELECT * FROM outbox WHERE state = 'pending' AND (next_at <= ? OR next_at > ?){of_channel}"
            " ORDER BY next_at, rowid LIMIT ?",
            (now_us, now_us + _WAIT_MAX_US, *names, limit),
        )
        return [
            Pending(
                Notification(key=row["key"], channel=row["channel"], body=json.loads(row["body"])),
                attempts=row["attempts"],
                created_at=row["created_at"],
            )
            for row in rows
        ]

    def record_receipt(
        self,
        *,
        key: str,
        channel: str,
        attempt: int,
        at_us: int,
        outcome: Receipt,
        detail: str,
        next_at_us: int | None = None,
    ) -> None:
        """Keeps the receipt and moves the notification on; a failed attempt needs the instant of the next one.

        A notification that is no longer pending keeps its state; the receipt is kept all the same. Raises KeyError.
        """
        if (outcome == Receipt.FAILED) != (next_at_us is not None):
            raise ValueError("next_at_us goes with a failed attempt and with no other")
        with transaction(self._connection) as connection:
            told = connection.execute("SELECT created_at FROM outbox WHERE key = ? AND channel = ?", (key, channel))
            if (created := told.fetchone()) is None:
                raise KeyError(f"no notification {key} for {channel}")
            _add_receipt(connection, (key, channel, attempt, at_us, str(outcome), detail), created["created_at"])
            connection.execute(
                "UPDATE outbox SET state = ?, attempts = max(attempts, ?), next_at = coalesce(?, next_at)"
                " WHERE key = ? AND channel = ? AND state = 'pending'",
                (_OUTBOX_STATE[outcome], attempt, next_at_us, key, channel),
            )

    def send_again(self, key: str, channel: str, *, at_us: int, detail: str) -> bool:
        """Makes a refused or given up notification pending, with a receipt that says so; False where it is neither.

        Its attempts go on being counted. detail: who had it sent again, and why.
        """
        with transaction(self._connection) as connection:
            row = connection.execute(
                "SELECT * FROM outbox WHERE key = ? AND channel = ? AND state IN ('refused', 'gave_up')", (key, channel)
            ).fetchone()
            if row is None:
                return False
            about = (key, channel, row["attempts"], at_us, str(Receipt.SENT_AGAIN), detail)
            _add_receipt(connection, about, row["created_at"])
            connection.execute(
                "UPDATE outbox SET state = 'pending', next_at = ? WHERE key = ? AND channel = ?", (at_us, key, channel)
            )
        return True

    def pending_channels(self) -> set[str]:
        rows = self._connection.execute("SELECT DISTINCT channel FROM outbox WHERE state = 'pending'")
        return {row["channel"] for row in rows}

    def latest_attempts(self, channel: str, after_us: int, limit: int) -> list[dict[str, object]]:
        """The channel's last receipts of attempts that ended after an instant, in the order they came.

        Each with `next_at` of its notification. Only the latest receipts of all channels are looked through.
        """
        rows = self._connection.execute(
            "SELECT receipts.*, outbox.next_at FROM receipts JOIN outbox USING (key, channel)"
            " WHERE receipts.seq > (SELECT coalesce(max(seq), 0) FROM receipts) - ? AND channel = ? AND receipts.at > ?"
            " AND outcome <> ? ORDER BY receipts.seq DESC LIMIT ?",
            (_LATEST_RECEIPTS, channel, after_us, str(Receipt.SENT_AGAIN), limit),
        )
        return [dict(row) for row in rows][::-1]

    def receipts(self, after_seq: int = 0) -> list[dict[str, object]]:
        """In the order they came, each with its `seq`."""
        rows = self._connection.execute(
            "SELECT seq, key, channel, attempt, at, outcome, detail FROM receipts WHERE seq > ? ORDER BY seq",
            (after_seq,),
        )
        return [dict(row) for row in rows]

    def outbox_counts(self) -> dict[str, int]:
        """Notifications by state: pending, delivered, refused, gave_up."""
        rows = self._connection.execute("SELECT state, count(*) AS n FROM outbox GROUP BY state ORDER BY state")
        return {row["state"]: row["n"] for row in rows}


def receipt_link(previous: str, row: tuple[object, ...], created_at: int) -> str:
    """SHA-256 over the link before, the receipt (key, channel, attempt, at, outcome, detail) and its notification's
    created_at."""
    return hashlib.sha256(_to_json([previous, *row, created_at]).encode()).hexdigest()


def _add_receipt(connection: sqlite3.Connection, row: tuple[object, ...], created_at: int) -> None:
    """row: key, channel, attempt, at, outcome, detail; chained to the receipt before."""
    last = connection.execute("SELECT chain FROM receipts ORDER BY seq DESC LIMIT 1").fetchone()
    chain = receipt_link((last and last["chain"]) or RECEIPTS_START, row, created_at)
    connection.execute(
        "INSERT INTO receipts (key, channel, attempt, at, outcome, detail, chain) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*row, chain),
    )


def _span(row: sqlite3.Row) -> SpanRow:
    return SpanRow(**{**row, "counts": json.loads(row["counts"])})


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
