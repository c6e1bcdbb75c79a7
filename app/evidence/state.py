"""state.db as evidence: read as it is, never migrated, every value checked to be of its kind.

Promises: what comes back was read from one file that SQLite finds whole; anything else is Broken, naming table and row.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from contracts.reasons import Receipt
from store.spans import span_name
from store.state_db import MIGRATIONS, RECEIPTS_START, SpanRow, receipt_link

from .link import Broken, instant

FILE = "state.db"
LINK_SPANS, LINK_RECEIPTS = "spans", "receipts"
_CHAINED = 2  # user_version from which receipts carry a chain
_TOLD = 5  # ... from which it says how people are told
_CASES = 8  # ... from which it has cases

_UNREADABLE = (sqlite3.Error, OverflowError, UnicodeDecodeError)
_TEXT, _INTEGER = (str,), (int,)
_COLUMNS: dict[str, dict[str, tuple[type, ...]]] = {
    "spans": {
        "seq": _INTEGER,
        "file": (str, type(None)),
        "digest": _TEXT,
        "journal_after": _INTEGER,
        "journal_to": _INTEGER,
        "clock_from": (int, type(None)),
        "clock_to": (int, type(None)),
        "counts": _TEXT,
    },
    "cursors": {"name": _TEXT, "value": _INTEGER},
    "episodes": {
        "id": _TEXT,
        "rule": _TEXT,
        "station": (str, type(None)),
        "factor": (str, type(None)),
        "level": (str, type(None)),
        "state": _TEXT,
        "opened_at": (int, type(None)),
        "resolved_at": (int, type(None)),
        "body": _TEXT,
    },
    "transitions": {"seq": _INTEGER, "tick": _INTEGER, "episode": _TEXT, "transition": _TEXT, "body": _TEXT},
    "outbox": {
        "key": _TEXT,
        "channel": _TEXT,
        "created_at": _INTEGER,
        "body": _TEXT,
        "state": _TEXT,
        "attempts": _INTEGER,
    },
    "actions": {
        **dict.fromkeys(("name", "kind", "actor", "origin", "body"), _TEXT),
        "episode": (str, type(None)),
        "made_at": _INTEGER,
        "known_at": _INTEGER,
    },
    "attention": {
        "episode": _TEXT,
        "tick": _INTEGER,
        **dict.fromkeys(("acknowledged_by", "acknowledge_reason", "assigned_to", "assigned_by"), (str, type(None))),
        **dict.fromkeys(("acknowledged_at", "assigned_at"), (int, type(None))),
    },
    "held_back": {
        **dict.fromkeys(("seq", "tick"), _INTEGER),
        **dict.fromkeys(("route", "episode", "transition", "why", "detail"), _TEXT),
        "until": (int, type(None)),
    },
    "told": dict.fromkeys(("episode", "key", "channel"), _TEXT),
    "cases": {
        **dict.fromkeys(("id", "terms", "state", "level", "station", "body"), _TEXT),
        "opened_at": _INTEGER,
        **dict.fromkeys(("closed_at", "reply_due_at", "close_due_at"), (int, type(None))),
    },
    "case_events": {
        **dict.fromkeys(("seq", "tick"), _INTEGER),
        **dict.fromkeys(("case_id", "event", "actor", "text", "body"), _TEXT),
        "episode": (str, type(None)),
    },
    "receipts": {
        "seq": _INTEGER,
        "key": _TEXT,
        "channel": _TEXT,
        "attempt": _INTEGER,
        "at": _INTEGER,
        "outcome": _TEXT,
        "detail": _TEXT,
    },
}

Row = dict[str, object]


@dataclass(frozen=True)
class Committed:
    """What state.db says, but for its spans, as of one instant."""

    version: int
    last_seq: int  # of the spans; what a running engine commits after it is not looked at
    archived_to: int
    episodes: list[Row]
    transitions: list[Row]
    outbox: list[Row]
    receipts: list[Row]
    actions: list[Row]
    attention: list[Row]
    held_back: list[Row]
    told: list[Row]
    cases: list[Row]
    case_events: list[Row]


class StateEvidence:
    """One read-only connection. Raises Broken for a file that cannot be read."""

    def __init__(self, state_dir: Path):
        self._path = state_dir / FILE
        self._connection = sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True, isolation_level=None)
        self._connection.row_factory = sqlite3.Row

    def close(self) -> None:
        self._connection.close()

    def read(self) -> Committed:
        try:
            return self._read()
        except _UNREADABLE as error:
            raise Broken("state", FILE, f"cannot be read: {error}") from error

    def _read(self) -> Committed:
        execute = self._connection.execute
        execute("BEGIN")  # one instant, whatever an engine commits meanwhile
        try:
            (version,) = execute("PRAGMA user_version").fetchone()
            if not 1 <= version <= len(MIGRATIONS):
                raise Broken("state", FILE, f"has version {version}; this program reads 1 to {len(MIGRATIONS)}")
            if (shape := _shape(self._connection)) != (expected := _shape_of(version)):
                odd = sorted({str(one) for one in set(shape) ^ set(expected)})
                raise Broken("state", FILE, f"its tables are not those of version {version}: {odd[0]}")
            damage = [row[0] for row in execute("PRAGMA integrity_check(1)")]
            if damage != ["ok"]:
                raise Broken("state", FILE, f"SQLite finds it damaged: {damage[0]}")
            cursors = {str(row["name"]): row["value"] for row in self._rows("cursors", "name")}
            (last,) = execute("SELECT max(seq) FROM spans").fetchone()
            return Committed(
                version=version,
                last_seq=last or 0,
                archived_to=int(str(cursors.get("archive", 0))),
                episodes=list(self._rows("episodes", "id")),
                transitions=list(self._rows("transitions", "seq")),
                outbox=list(self._rows("outbox", "rowid", ["tick"] if version >= _TOLD else [])),
                receipts=list(self._rows("receipts", "seq", ["chain"] if version >= _CHAINED else [])),
                actions=list(self._rows("actions", "name")) if version >= _TOLD else [],
                attention=list(self._rows("attention", "episode")) if version >= _TOLD else [],
                held_back=list(self._rows("held_back", "seq")) if version >= _TOLD else [],
                told=list(self._rows("told", "rowid")) if version >= _TOLD else [],
                cases=list(self._rows("cases", "id")) if version >= _CASES else [],
                case_events=list(self._rows("case_events", "seq")) if version >= _CASES else [],
            )
        finally:
            execute("COMMIT")

    def spans(self, upto_seq: int) -> Iterator[SpanRow]:
        """Every span up to a number, in order; Broken at the first that does not follow the one before."""
        before: SpanRow | None = None
        seq = 0
        while seq < upto_seq:
            try:
                rows = list(self._rows("spans", "seq", where=f"seq > {seq} AND seq <= {upto_seq}", limit=10_000))
            except _UNREADABLE as error:
                raise Broken(LINK_SPANS, FILE, f"spans after {seq} cannot be read: {error}") from error
            for row in rows:
                span = _span(row)
                _follows(before, span)
                yield span
                before, seq = span, span.seq
            if not rows:
                raise Broken(LINK_SPANS, FILE, f"span {seq + 1} is missing; spans count up to {upto_seq}")

    def _rows(
        self, table: str, order: str, more: list[str] | None = None, where: str = "TRUE", limit: int = -1
    ) -> Iterator[Row]:
        kinds = _COLUMNS[table]
        columns = ", ".join([*kinds, *(more or [])])
        query = f"SELECT {columns} FROM {table} WHERE {where} ORDER BY {order} LIMIT {limit}"
        with closing(self._connection.execute(query)) as rows:
            for n, row in enumerate(rows, 1):
                for name, kind in kinds.items():
                    if not isinstance(row[name], kind):
                        raise Broken(table, FILE, f"row {n} of {table}: {name} is {row[name]!r}")
                yield dict(row)


def _shape(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """Every column of every table."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    return [
        (name[0], *column)
        for name in names
        for column in connection.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (name[0],))
    ]


def _shape_of(version: int) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statements in MIGRATIONS[:version]:
            for statement in statements:
                connection.execute(statement)
        return _shape(connection)


def _span(row: Row) -> SpanRow:
    try:
        counts = json.loads(str(row["counts"]))
    except ValueError as error:
        raise Broken(LINK_SPANS, FILE, f"span {row['seq']}: its counts are not JSON: {error}") from error
    if not isinstance(counts, dict) or not all(type(n) is int for n in counts.values()):
        raise Broken(LINK_SPANS, FILE, f"span {row['seq']}: its counts are not numbers by name")
    return SpanRow(**{**row, "counts": counts})  # type: ignore[arg-type]


def _follows(before: SpanRow | None, span: SpanRow) -> None:
    def broken(what: str) -> Broken:
        return Broken(LINK_SPANS, f"{FILE}, span {span.seq}", what)

    expected = (1, 0, None) if before is None else (before.seq + 1, before.journal_to, before.clock_to)
    if span.seq != expected[0]:
        raise Broken(LINK_SPANS, FILE, f"span {expected[0]} is missing; the next one is {span.seq}")
    if span.journal_after != expected[1]:
        said, where = instant(span.journal_after), instant(expected[1])
        raise broken(f"begins after the journal row of {said}; the span before ends with that of {where}")
    if span.journal_to <= span.journal_after:
        raise broken(f"ends with the journal row of {instant(span.journal_to)}, which is not after its beginning")
    if span.clock_from != expected[2]:
        raise broken(f"its clock begins at {instant(span.clock_from)}; expected {instant(expected[2])}")
    if span.file is not None and span.file != span_name(span.seq):
        raise broken(f"names the file {span.file!r}; expected {span_name(span.seq)}")


def check_receipts(committed: Committed) -> None:
    """Numbers without gap, the chain, and receipts against the outbox. Raises Broken."""
    outbox = {(row["key"], row["channel"]): row for row in committed.outbox}
    chain: object = None
    made: dict[tuple[object, object], list[Row]] = {}
    for seq, row in enumerate(committed.receipts, 1):
        place, about = f"{FILE}, receipt {seq}", (row["key"], row["channel"])
        if row["seq"] != seq:
            raise Broken(LINK_RECEIPTS, place, f"is missing; the next one is {row['seq']}")
        if about not in outbox:
            raise Broken(LINK_RECEIPTS, place, f"is for notification {about[0]} to {about[1]}, which nobody made")
        if row["outcome"] not in set(Receipt):
            raise Broken(LINK_RECEIPTS, place, f"its outcome is {row['outcome']!r}; one of {', '.join(Receipt)}")
        made.setdefault(about, []).append(row)
        if committed.version < _CHAINED or (row["chain"] is None and chain is None):
            continue  # written by a release that did not chain them
        values = tuple(row[name] for name in ("key", "channel", "attempt", "at", "outcome", "detail"))
        expected = receipt_link(str(chain or RECEIPTS_START), values, int(str(outbox[about]["created_at"])))
        if row["chain"] != expected:
            raise Broken(LINK_RECEIPTS, place, "its hash does not follow from it and the receipts before")
        chain = expected
    for about, row in outbox.items():
        _check_outbox(about, row, made.get(about, []))


def _check_outbox(about: tuple[object, object], row: Row, receipts: list[Row]) -> None:
    place = f"{FILE}, notification {about[0]} to {about[1]}"
    again = max((n for n, one in enumerate(receipts, 1) if one["outcome"] == Receipt.SENT_AGAIN), default=0)
    before, receipts = receipts[:again], receipts[again:]
    settled = [str(one["outcome"]) for one in receipts if one["outcome"] != Receipt.FAILED]
    expected = settled[0] if settled else "pending"
    if row["state"] != expected:
        told = "no receipt says so" if expected == "pending" else f"its receipt says {expected}"
        raise Broken(LINK_RECEIPTS, place, f"stands as {row['state']}; {told}")
    # an attempt after it was settled (a second sender that lost its answer) leaves a receipt and no count
    first = next((n for n, one in enumerate(receipts) if one["outcome"] != Receipt.FAILED), len(receipts))
    attempts = max((int(str(one["attempt"])) for one in [*before[-1:], *receipts[: first + 1]]), default=0)
    if row["attempts"] != attempts:
        raise Broken(LINK_RECEIPTS, place, f"counts {row['attempts']} attempts; its receipts {attempts}")
