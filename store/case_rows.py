"""Tables of state.db about cases (督办): their history, and how each stands.

Promises: written in the transaction of the span that decided it (store.state_db); `cases` is what the last event of
each left. Instants are us since 1970 UTC.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.instants import epoch_us
from contracts.reasons import CaseEvent, CaseState

from .telling_rows import to_json

Row = Mapping[str, object]

MIGRATION = (
    """CREATE TABLE cases (
        id TEXT PRIMARY KEY, terms TEXT NOT NULL, state TEXT NOT NULL, level TEXT NOT NULL, station TEXT NOT NULL,
        opened_at INTEGER NOT NULL, closed_at INTEGER, reply_due_at INTEGER, close_due_at INTEGER,
        body TEXT NOT NULL)""",
    "CREATE INDEX cases_by_opening ON cases (opened_at, id)",
    "CREATE INDEX cases_open ON cases (opened_at, id) WHERE closed_at IS NULL",
    """CREATE TABLE case_events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, tick INTEGER NOT NULL, case_id TEXT NOT NULL, event TEXT NOT NULL,
        actor TEXT NOT NULL, text TEXT NOT NULL, episode TEXT, body TEXT NOT NULL)""",
    "CREATE INDEX case_events_by_case ON case_events (case_id, seq)",
    "CREATE INDEX case_events_by_episode ON case_events (episode) WHERE episode IS NOT NULL",
    "CREATE INDEX case_events_by_tick ON case_events (tick)",
)
_EVENTS = "tick, case_id, event, actor, text, episode, body"
LATE = "overdue"  # among the counts by state
_INSTANTS = ("opened_at", "closed_at", "reply_due_at", "close_due_at")
_IN = (CaseEvent.OPENED, CaseEvent.JOINED)


@dataclass(frozen=True)
class WantedCases:
    """Which cases; None: any. Instants are us since 1970 UTC."""

    stations: Collection[str] | None = None  # names verdicts stand under: stations, parks, facilities
    states: Collection[str] | None = None
    level: str | None = None
    terms: str | None = None
    overdue_at: int | None = None  # a time of it has passed by then


class CaseTables:
    """Over one connection of store.state_db, or of one that only reads."""

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection

    def add(self, events: Sequence[Row]) -> None:
        """Inside the caller's transaction. events: columns of `case_events` but `seq`, `body` the case after it."""
        self._connection.executemany(
            f"INSERT INTO case_events ({_EVENTS}) VALUES (:tick, :case_id, :event, :actor, :text, :episode, :body)",
            [{**event, "body": to_json(event["body"])} for event in events],
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO cases VALUES (:id, :terms, :state, :level, :station, :opened_at, :closed_at,"
            " :reply_due_at, :close_due_at, :body)",
            [case_row(body) for body in {str(event["case_id"]): event["body"] for event in events}.values()],  # type: ignore[arg-type]
        )

    def cases(self, wanted: WantedCases, after: tuple[int, str] | None = None, limit: int = -1) -> list[dict[str, Any]]:
        """Records, the latest opened first, each with `opened_us`. after: (opened_at, id) of the last one before."""
        where, values = ["1"], []
        for column, given in (("station", wanted.stations), ("state", wanted.states)):
            if given is not None:
                where.append(f"{column} IN (SELECT value FROM json_each(?))")
                values.append(json.dumps(sorted(given)))
        for column, one in (("level", wanted.level), ("terms", wanted.terms)):
            if one is not None:
                where.append(f"{column} = ?")
                values.append(one)
        if wanted.states is not None and CaseState.CLOSED not in wanted.states:
            where.append("closed_at IS NULL")
        if wanted.overdue_at is not None:
            where.append(f"({OVERDUE})")
            values += [wanted.overdue_at] * 2  # type: ignore[list-item]
        if after is not None:
            where.append("(opened_at, id) < (?, ?)")
            values += after  # type: ignore[arg-type]
        rows = self._connection.execute(
            f"SELECT body, opened_at FROM cases WHERE {' AND '.join(where)} ORDER BY opened_at DESC, id DESC LIMIT ?",
            (*values, limit),
        )
        return [{**json.loads(row["body"]), "opened_us": row["opened_at"]} for row in rows]

    def records(self) -> list[dict[str, Any]]:
        """Of all cases, by name."""
        return [json.loads(row["body"]) for row in self._connection.execute("SELECT body FROM cases ORDER BY id")]

    def case(self, name: str) -> dict[str, Any] | None:
        row = self._connection.execute("SELECT body FROM cases WHERE id = ?", (name,)).fetchone()
        return None if row is None else json.loads(row["body"])

    def names_like(self, beginning: str) -> list[str]:
        """Names of cases that begin so: hexadecimal digits."""
        rows = self._connection.execute(
            "SELECT id FROM cases WHERE substr(id, 1, ?) = ? ORDER BY id", (len(beginning), beginning)
        )
        return [row["id"] for row in rows]

    def events(self, name: str, after_seq: int = 0, limit: int = -1) -> list[dict[str, Any]]:
        """The case's history in the order of commitment, each with its `seq` and the case after it as `body`."""
        rows = self._connection.execute(
            f"SELECT seq, {_EVENTS} FROM case_events WHERE case_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            (name, after_seq, limit),
        )
        return [_event(row) for row in rows]

    def events_between(self, after_tick: int, to_tick: int) -> list[dict[str, Any]]:
        """Of all cases, of the ticks after the first and up to the second, in the order of commitment."""
        rows = self._connection.execute(
            f"SELECT {_EVENTS} FROM case_events WHERE tick > ? AND tick <= ? ORDER BY seq", (after_tick, to_tick)
        )
        return [_event(row) for row in rows]

    def alerts_of(self, name: str) -> list[str]:
        """Episodes that belong to it, in the order in which they came."""
        found: dict[str, None] = {}
        for row in self._connection.execute(
            "SELECT event, episode FROM case_events WHERE case_id = ? AND episode IS NOT NULL ORDER BY seq", (name,)
        ):
            if row["event"] in _IN:
                found[row["episode"]] = None
            elif row["event"] == CaseEvent.LEFT:
                found.pop(row["episode"], None)
        return list(found)

    def cases_of(self, episode: str) -> list[str]:
        """Names of the cases the alert belongs or belonged to, the first one first."""
        rows = self._connection.execute(
            "SELECT case_id FROM case_events WHERE episode = ? AND event IN (?, ?) GROUP BY case_id ORDER BY min(seq)",
            (episode, *map(str, _IN)),
        )
        return [row["case_id"] for row in rows]

    def counts(self, now_us: int | None) -> dict[str, int]:
        """Open cases by state, and how many of them are `overdue` by then."""
        rows = self._connection.execute(
            "SELECT state, count(*) FROM cases WHERE closed_at IS NULL GROUP BY state ORDER BY state"
        )
        counts = dict(rows.fetchall())
        (overdue,) = self._connection.execute(
            f"SELECT count(*) FROM cases WHERE closed_at IS NULL AND ({OVERDUE})", (now_us, now_us)
        ).fetchone()
        return counts | {LATE: overdue}


# Two values: the instant, twice. A reply that came in time, or late, is overdue no more.
OVERDUE = f"(state = '{CaseState.AWAITING_REPLY}' AND reply_due_at <= ?) OR (closed_at IS NULL AND close_due_at <= ?)"


def case_row(record: Mapping[str, object]) -> dict[str, object]:
    """A row of `cases` from a case's record."""
    columns = {key: record[key] for key in ("id", "terms", "state", "level", "station")}
    instants = {key: _us(record[key]) for key in _INSTANTS}
    return {**columns, **instants, "body": to_json(record)}


def _us(text: object) -> int | None:
    return None if text is None else epoch_us(datetime.fromisoformat(str(text)))


def _event(row: sqlite3.Row) -> dict[str, Any]:
    return {**row, "body": json.loads(row["body"])}
