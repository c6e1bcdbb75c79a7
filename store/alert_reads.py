"""Alerts, their history and what was told of them, as state.db has them, for readers: in pages, from one snapshot.

Promises: reads only, and takes no lock a writer waits for. What a `Reading` returns is one state of the database.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from contracts.reasons import OVER

from .case_rows import CaseTables
from .sqlite_damage import NamingConnection
from .state_db import MIGRATIONS, SpanRow
from .telling_rows import TOLD_TO_NOBODY, TellingTables

STATE_DB = "state.db"
_BUSY_TIMEOUT_S = 5.0


_OPEN = "state IN ('pending', 'firing', 'no_data')"  # as the index `episodes_open` has it


class NotReadable(Exception):
    """There is no state.db, or one of another release; the message says what to do."""


@dataclass(frozen=True)
class Wanted:
    """Which episodes; None: any. Instants are us since 1970 UTC."""

    stations: Collection[str] | None = None  # names verdicts stand under: stations, parks, facilities
    states: Collection[str] | None = None
    level: str | None = None
    rule: str | None = None
    since: int | None = None  # not over before it
    until: int | None = None  # opened before it
    acknowledged: bool | None = None
    told_to_nobody: bool = False  # open, and no route or no channel of theirs took them


@contextmanager
def reading(state_dir: Path) -> Iterator["Reading"]:
    """Raises NotReadable; sqlite3.Error, StateDamaged."""
    path = state_dir / STATE_DB
    if not path.exists():
        raise NotReadable("nothing was decided here yet: is the engine running, is this its state directory?")
    uri = f"file:{quote(str(path))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, factory=NamingConnection)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("BEGIN")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != len(MIGRATIONS):
            raise NotReadable(
                f"state.db has version {version}, this program reads {len(MIGRATIONS)}: run the same release everywhere"
            )
        yield Reading(connection)
    finally:
        connection.close()


class Reading:
    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection
        self.telling = TellingTables(connection)
        self.cases = CaseTables(connection)

    # -- episodes

    def episodes(self, wanted: Wanted, after: tuple[int, str] | None, limit: int) -> list[dict[str, Any]]:
        """Bodies, the latest opened first. after: (opened_at, id) of the last one of the page before."""
        where, values = ["1"], []
        for column, given in (("station", wanted.stations), ("state", wanted.states)):
            if given is not None:
                where.append(f"{column} IN (SELECT value FROM json_each(?))")
                values.append(json.dumps(sorted(given)))
        for column, given in (("level", wanted.level), ("rule", wanted.rule)):
            if given is not None:
                where.append(f"{column} = ?")
                values.append(given)
        if wanted.since is not None:
            where.append("(resolved_at IS NULL OR resolved_at >= ?)")
            values.append(wanted.since)
        if wanted.until is not None:
            where.append("opened_at < ?")
            values.append(wanted.until)
        if wanted.states is not None and not set(wanted.states) & set(OVER):
            where.append(_OPEN)
        if wanted.acknowledged is not None:
            taken = "EXISTS (SELECT 1 FROM attention WHERE episode = episodes.id AND acknowledged_by IS NOT NULL)"
            where.append(taken if wanted.acknowledged else f"NOT {taken}")
        if wanted.told_to_nobody:
            where.append(TOLD_TO_NOBODY)
        if after is not None:
            where.append("(opened_at, id) < (?, ?)")
            values += after
        rows = self._connection.execute(
            f"SELECT body, opened_at FROM episodes WHERE {' AND '.join(where)}"
            " ORDER BY opened_at DESC, id DESC LIMIT ?",
            (*values, limit),
        )
        return [{**json.loads(row["body"]), "opened_us": row["opened_at"]} for row in rows]

    def episode(self, name: str) -> dict[str, Any] | None:
        """As it stands; of one that late data withdrew, as it stood last, with `is_withdrawn`."""
        row = self._connection.execute("SELECT body FROM episodes WHERE id = ?", (name,)).fetchone()
        if row is not None:
            return {**json.loads(row["body"]), "is_withdrawn": False}
        row = self._connection.execute(
            "SELECT body FROM transitions WHERE episode = ? ORDER BY seq DESC LIMIT 1", (name,)
        ).fetchone()
        return None if row is None else {**json.loads(row["body"]), "is_withdrawn": True}

    def episode_at(self, name: str, tick_us: int) -> dict[str, Any] | None:
        """As it stood after a tick; None before anything was known of it."""
        row = self._connection.execute(
            "SELECT body FROM transitions WHERE episode = ? AND tick <= ? ORDER BY seq DESC LIMIT 1", (name, tick_us)
        ).fetchone()
        return None if row is None else json.loads(row["body"])

    def open_levels(self) -> list[tuple[str, str]]:
        """(station, level) of every open episode."""
        over = ", ".join(f"'{state}'" for state in OVER)
        rows = self._connection.execute(f"SELECT station, level FROM episodes WHERE state NOT IN ({over})")
        return [(row["station"], row["level"]) for row in rows]

    # -- history

    def transitions_of(self, episode: str, after: int, limit: int) -> list[dict[str, Any]]:
        rows = self._connection.execute(
            "SELECT * FROM transitions WHERE episode = ? AND seq > ? ORDER BY seq LIMIT ?", (episode, after, limit)
        )
        return [_transition(row) for row in rows]

    def last_transition_of(self, episode: str) -> dict[str, Any] | None:
        row = self._connection.execute(
            "SELECT * FROM transitions WHERE episode = ? ORDER BY seq DESC LIMIT 1", (episode,)
        ).fetchone()
        return None if row is None else _transition(row)

    def transitions_after(self, seq: int, limit: int) -> list[dict[str, Any]]:
        rows = self._connection.execute("SELECT * FROM transitions WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
        return [_transition(row) for row in rows]

    def last_transition(self) -> int:
        return self._connection.execute("SELECT coalesce(max(seq), 0) FROM transitions").fetchone()[0]

    # -- what was told

    def notifications_about(self, episode: str) -> list[dict[str, Any]]:
        """Every notification that tells of the episode, alone or with others, each with its `receipts` in order."""
        found = []
        for row in self.telling.told_of(episode):
            receipts = self._connection.execute(
                "SELECT attempt, at, outcome, detail FROM receipts WHERE key = ? AND channel = ? ORDER BY seq",
                (row["key"], row["channel"]),
            )
            found.append({**row, "receipts": [dict(one) for one in receipts]})
        return found

    # -- spans

    def cursor(self, name: str) -> int:
        row = self._connection.execute("SELECT value FROM cursors WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else row["value"]

    def last_span(self) -> SpanRow | None:
        row = self._connection.execute("SELECT * FROM spans ORDER BY seq DESC LIMIT 1").fetchone()
        return None if row is None else SpanRow(**{**row, "counts": json.loads(row["counts"])})

    def journal_to(self, tick: int) -> int | None:
        """received_at of the last journal row of the span that decided a tick; None: it was not decided yet."""
        find = "SELECT seq, clock_to, journal_to FROM spans WHERE seq >= ? ORDER BY seq LIMIT 1"
        low, high = 0, self._connection.execute("SELECT coalesce(max(seq), 0) FROM spans").fetchone()[0]
        found = None
        while low <= high:  # years of spans, and the clock never steps back
            row = self._connection.execute(find, ((low + high) // 2,)).fetchone()
            if row["clock_to"] is not None and row["clock_to"] >= tick:
                found, high = row["journal_to"], (low + high) // 2 - 1
            else:
                low = row["seq"] + 1
        return found

    def spans_after(self, seq: int, limit: int) -> list[SpanRow]:
        rows = self._connection.execute("SELECT * FROM spans WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
        return [SpanRow(**{**row, "counts": json.loads(row["counts"])}) for row in rows]

    # -- what people did

    def actions_of(self, episode: str, after_seq: int, limit: int) -> list[dict[str, Any]]:
        """In the order in which they were taken in, each with its `seq`."""
        rows = self._connection.execute(
            "SELECT rowid AS seq, * FROM actions WHERE episode = ? AND rowid > ? ORDER BY rowid LIMIT ?",
            (episode, after_seq, limit),
        )
        return [_action(row) for row in rows]

    def attention_of(self, episode: str) -> dict[str, Any] | None:
        """In whose hands it is; None: nobody ever took it up."""
        row = self._connection.execute("SELECT * FROM attention WHERE episode = ?", (episode,)).fetchone()
        return None if row is None else dict(row)

    def silences(self, before_seq: int | None, limit: int) -> list[dict[str, Any]]:
        """The latest first, each with its `seq`, and `ended_at`, `ended_by`, `end_reason` of its first end, or null."""
        rows = self._connection.execute(
            f"{_SILENCES} AND (? IS NULL OR one.rowid < ?) GROUP BY one.rowid ORDER BY one.rowid DESC LIMIT ?",
            (before_seq, before_seq, limit),
        )
        return [_action(row) for row in rows]

    def silence(self, name: str) -> dict[str, Any] | None:
        row = self._connection.execute(f"{_SILENCES} AND one.name = ? GROUP BY one.rowid", (name,)).fetchone()
        return None if row is None else _action(row)


# of several ends the bare columns are those of the first, as SQLite has it with min()
_SILENCES = (
    "SELECT one.rowid AS seq, one.*, min(back.known_at) AS ended_at, back.actor AS ended_by,"
    " json_extract(back.body, '$.reason') AS end_reason FROM actions AS one LEFT JOIN actions AS back"
    " ON back.kind = 'unsilence' AND json_extract(back.body, '$.about') = one.name WHERE one.kind = 'silence'"
)


def _action(row: sqlite3.Row) -> dict[str, Any]:
    return {**row, "body": json.loads(row["body"])}


def _transition(row: sqlite3.Row) -> dict[str, Any]:
    return {**row, "body": json.loads(row["body"])}
