"""Tables of state.db about telling: what operators did, in whose hands an alert is, what was held back and why.

Promises: written in the transaction of the span that decided it (store.state_db). Instants are us since 1970 UTC.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.ports import Notification
from contracts.reasons import HeldBack

Row = Mapping[str, object]

CARE = (
    *("acknowledged_by", "acknowledged_at", "acknowledge_reason"),
    *("assigned_to", "assigned_by", "assigned_at"),
)
MIGRATION = (
    "ALTER TABLE outbox ADD COLUMN tick INTEGER",  # at which it was to be sent; null: of an earlier release
    "CREATE INDEX outbox_by_tick ON outbox (tick)",
    """CREATE TABLE actions (
        name TEXT PRIMARY KEY, kind TEXT NOT NULL, episode TEXT, actor TEXT NOT NULL, origin TEXT NOT NULL,
        made_at INTEGER NOT NULL, known_at INTEGER NOT NULL, body TEXT NOT NULL)""",
    "CREATE INDEX actions_by_episode ON actions (episode)",
    "CREATE INDEX actions_by_kind ON actions (kind, known_at)",
    """CREATE TABLE attention (
        episode TEXT PRIMARY KEY, tick INTEGER NOT NULL, acknowledged_by TEXT, acknowledged_at INTEGER,
        acknowledge_reason TEXT, assigned_to TEXT, assigned_by TEXT, assigned_at INTEGER)""",
    """CREATE TABLE held_back (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, tick INTEGER NOT NULL, route TEXT NOT NULL, episode TEXT NOT NULL,
        transition TEXT NOT NULL, why TEXT NOT NULL, until INTEGER, detail TEXT NOT NULL)""",
    # which notifications tell of an episode: one of many has its name in its body alone
    "CREATE TABLE told (episode TEXT NOT NULL, key TEXT NOT NULL, channel TEXT NOT NULL)",
    "CREATE UNIQUE INDEX told_by_episode ON told (episode, key, channel)",
    "CREATE INDEX held_back_by_episode ON held_back (episode)",
    "CREATE INDEX held_back_by_tick ON held_back (tick)",
)
# Of episodes: open, and no route or no channel of theirs took them, and no notification tells of them.
TOLD_TO_NOBODY = (
    "state IN ('pending', 'firing', 'no_data') AND NOT EXISTS (SELECT 1 FROM told WHERE told.episode = episodes.id)"
    " AND EXISTS (SELECT 1 FROM held_back WHERE held_back.episode = episodes.id"
    f" AND why IN ('{HeldBack.NO_ROUTE}', '{HeldBack.NO_CHANNEL}'))"
)
_ACTIONS = "name, kind, episode, actor, origin, made_at, known_at, body"
_HELD = "tick, route, episode, transition, why, until, detail"


@dataclass(frozen=True)
class TellingRows:
    """What one span adds."""

    actions: Sequence[Row] = ()  # columns of `actions`; `body` an object
    attention: Sequence[Row] = ()  # `episode`, `tick`, and those of CARE that change
    held_back: Sequence[Row] = ()  # columns of `held_back` but `seq`


class TellingTables:
    """Over one connection of store.state_db."""

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection

    def add(self, rows: TellingRows, notifications: Sequence[Notification] = ()) -> None:
        """Inside the caller's transaction. What is there already stays as it is."""
        execute = self._connection.execute
        self._connection.executemany(
            "INSERT OR IGNORE INTO told (episode, key, channel) VALUES (?, ?, ?)",
            [(episode, one.key, one.channel) for one in notifications for episode in episodes_of(one.body)],
        )
        self._connection.executemany(
            f"INSERT OR IGNORE INTO actions ({_ACTIONS})"
            " VALUES (:name, :kind, :episode, :actor, :origin, :made_at, :known_at, :body)",
            [{**row, "body": to_json(row["body"])} for row in rows.actions],
        )
        for row in rows.attention:
            changed = {name: row[name] for name in CARE if name in row}
            values = {**changed, "episode": row["episode"], "tick": row["tick"]}
            if any(value is not None for value in changed.values()):  # to take back needs no row
                execute("INSERT OR IGNORE INTO attention (episode, tick) VALUES (:episode, :tick)", values)
            columns = ", ".join(f"{name} = :{name}" for name in ("tick", *changed))
            execute(f"UPDATE attention SET {columns} WHERE episode = :episode", values)
        self._connection.executemany(
            f"INSERT INTO held_back ({_HELD}) VALUES (:tick, :route, :episode, :transition, :why, :until, :detail)",
            rows.held_back,
        )

    def actions(self, kind: str | None = None, episode: str | None = None) -> list[dict[str, object]]:
        """In the order in which they took effect; of one kind, about one alert, or all."""
        rows = self._connection.execute(
            f"SELECT {_ACTIONS} FROM actions WHERE (:kind IS NULL OR kind = :kind)"
            " AND (:episode IS NULL OR episode = :episode) ORDER BY known_at, made_at, name",
            {"kind": kind, "episode": episode},
        )
        return [{**row, "body": json.loads(row["body"])} for row in rows]

    def attention(self) -> dict[str, dict[str, object]]:
        """By episode: who acknowledged it and to whom it is assigned."""
        rows = self._connection.execute("SELECT * FROM attention ORDER BY episode")
        return {row["episode"]: {name: row[name] for name in CARE} for row in rows}

    def held_back(self, episode: str | None = None, limit: int = -1) -> list[dict[str, object]]:
        """Of one alert or all, in the order of commitment; with a limit the latest so many."""
        rows = self._connection.execute(
            f"SELECT seq, {_HELD} FROM held_back WHERE (:episode IS NULL OR episode = :episode)"
            " ORDER BY seq DESC LIMIT :limit",
            {"episode": episode, "limit": limit},
        )
        return [dict(row) for row in rows][::-1]

    def held_between(self, after_tick: int, to_tick: int) -> list[dict[str, object]]:
        """Those of the ticks after the first and up to the second, in the order of commitment."""
        rows = self._connection.execute(
            f"SELECT {_HELD} FROM held_back WHERE tick > ? AND tick <= ? ORDER BY seq", (after_tick, to_tick)
        )
        return [dict(row) for row in rows]

    def notified_between(self, after_tick: int, to_tick: int) -> set[tuple[str, str]]:
        """(key, channel) of every notification of these ticks, whatever became of it."""
        rows = self._connection.execute(
            "SELECT key, channel FROM outbox WHERE tick > ? AND tick <= ?", (after_tick, to_tick)
        )
        return {tuple(row) for row in rows}

    def told_to_nobody(self) -> set[str]:
        """Episodes that are open, that no route or no channel of theirs took, and that no notification tells of."""
        return {row[0] for row in self._connection.execute(f"SELECT id FROM episodes WHERE {TOLD_TO_NOBODY}")}

    def told_of(self, episode: str) -> list[dict[str, Any]]:
        """Every notification that tells of the alert, in the order of commitment: a row of the outbox, body read."""
        rows = self._connection.execute(
            "SELECT outbox.* FROM told JOIN outbox USING (key, channel) WHERE told.episode = ? ORDER BY outbox.rowid",
            (episode,),
        )
        return [{**row, "body": json.loads(row["body"])} for row in rows]

    def notifications(self) -> list[dict[str, Any]]:
        """`key`, `channel`, `body` of all, in the order of commitment."""
        rows = self._connection.execute("SELECT key, channel, body FROM outbox ORDER BY rowid")
        return [{**row, "body": json.loads(row["body"])} for row in rows]


def tick_of(body: Mapping[str, object]) -> int | None:
    """us, of a notification's body."""
    text = body.get("tick")
    if text is None:
        return None
    at = datetime.fromisoformat(str(text))
    return round(at.timestamp()) * 1_000_000


def episodes_of(body: Mapping[str, object]) -> list[str]:
    """Whom a notification tells of."""
    about = body.get("episodes")
    return list(about) if isinstance(about, dict) else []


def to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
