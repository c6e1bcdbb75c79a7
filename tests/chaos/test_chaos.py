"""A whole centre under load, killed again and again: nothing acknowledged is lost, nothing is counted or told twice."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import polars as pl
import pytest

from app.bench.chaos.harness import chaos, drained
from app.bench.chaos.kill_points import KILL_POINTS
from app.bench.chaos.reconcile import reconcile
from app.bench.harness import WIDTH
from app.feeds.record import record
from contracts.ports import RawMessage
from store.influx import query
from store.journal import Journal

pytestmark = pytest.mark.server


def figures(report) -> dict[str, str]:
    return {check.name: check.figure for check in report.checks}


@pytest.mark.timeout(900)
def test_killed_at_every_point_once_a_centre_loses_nothing_and_tells_nothing_twice(tmp_path, require_program):
    require_program("mosquitto")
    report = chaos(len(KILL_POINTS), 20261122, tmp_path)
    assert report.holds, report.table()
    assert report.kills >= len(KILL_POINTS)
    assert max(map(len, report.table().splitlines())) <= WIDTH
    told = int(figures(report)["notifications decided, delivered"].replace(",", ""))
    assert told > 100  # a run in which nobody is told proves nothing about telling


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_hundred_kills(tmp_path, require_program):
    require_program("mosquitto")
    report = chaos(200, 7, tmp_path)
    assert report.holds, report.table()


def first_part(state_dir, table):
    return min((state_dir / "archive" / table).glob("date=*/part-*.parquet"))


def lose_an_archived_reading(state_dir):
    part = first_part(state_dir, "readings")
    rows = pl.read_parquet(part)
    rows[1:].write_parquet(part)
    return f"readings lacks station {rows['station'][0]}, factor {rows['factor'][0]}"


def archive_verdicts_twice(state_dir):
    part = first_part(state_dir, "verdicts")
    shutil.copy(part, part.with_name("part-000000900000-000000900000.parquet"))
    return "twice: rule"


def change_a_window(state_dir):
    part = first_part(state_dir, "aggregates")
    rows = pl.read_parquet(part)
    later = pl.when(pl.int_range(pl.len()) == 0).then(pl.col("revision") + 50).otherwise(pl.col("revision"))
    rows.with_columns(later.cast(pl.UInt32)).write_parquet(part)
    return "aggregates.parquet is not the replay's"


def lose_a_journal_message(state_dir):
    """The journal written anew without one message: every hash of it fits."""
    rows = pl.concat(record(state_dir).values())
    lost = rows.filter(pl.col("topic").str.ends_with("/json")).row(0, named=True)
    kept = rows.filter(pl.col("received_at") != lost["received_at"])
    shutil.rmtree(state_dir / "journal" / "main")
    shutil.rmtree(state_dir / "raw", ignore_errors=True)
    with Journal(state_dir / "journal" / "main") as journal:
        journal.append_history([(at, RawMessage(*message)) for at, *message in kept.iter_rows()])
    return lost["topic"]


def lose_row(table, n):
    def lose(state_dir):
        with closing(sqlite3.connect(state_dir / "state.db")) as connection, connection:
            connection.execute(f"DELETE FROM {table} WHERE rowid = {n}")
        return {
            "receipts": "has 0 receipts of its delivery",
            "transitions": f"transition {n}",
            "outbox": "not in the outbox",
        }[table]

    return lose


# What is done to copies of a finished centre, a copy a line -> the check that must name it, in the words it returns.
ON_DISK = (
    {
        lose_an_archived_reading: "archived readings, the journal's",
        archive_verdicts_twice: "verdict keys, no revision twice",
        lose_row("receipts", 3): "receipts, one a notification",
        lose_row("outbox", 5): "notifications decided, delivered",
    },
    {
        change_a_window: "outputs, equal in bytes to a replay's",
        lose_row("transitions", 3): "alert transitions, the replay's in order",
    },
    {lose_a_journal_message: "acknowledged messages, in the journal"},
)


def seen_otherwise(outcome):
    """The same centre beside a ledger and a receiver that saw something else: (outcome, check -> its words)."""
    said, deliveries = list(outcome.said), list(outcome.deliveries)
    counted = [n for n, one in enumerate(said) if one.tenths]
    changed, gone = said[counted[-1]], said[counted[0]]
    said[counted[-1]] = replace(changed, tenths={**changed.tenths, "a21026": 1})
    said.pop(counted[0])
    lost, again = deliveries[0], next(one for one in deliveries if one.key != deliveries[0].key)
    deliveries = [one for one in deliveries if (one.key, one.channel) != (lost.key, lost.channel)]
    deliveries += [again] * (outcome.sender_kills + 1)
    return replace(outcome, said=said, deliveries=deliveries), {
        "minutes, each acknowledged value once": "the window counts",
        "messages of the journal, acknowledged": f"nobody published {gone.topic}",
        "notifications decided, delivered": f"{lost.key} to {lost.channel} was decided and never arrived",
        "deliveries, again only after a kill": "deliveries too many",
    }


def failed(outcome) -> dict[str, str]:
    return {check.name: check.difference for check in reconcile(outcome) if not check.holds}


@pytest.mark.timeout(900)
def test_whatever_is_taken_from_a_finished_centre_is_named(tmp_path, require_program):
    require_program("mosquitto")
    folder = tmp_path / "run"
    folder.mkdir()
    with drained(2, 5, folder) as (outcome, _):
        assert failed(outcome) == {}
        for number, harms in enumerate(ON_DISK):
            copy = tmp_path / f"copy-{number}"
            shutil.copytree(outcome.state_dir, copy)
            words = {name: harm(copy) for harm, name in harms.items()}
            found = failed(replace(outcome, state_dir=copy))
            assert {name for name in words if words[name] not in found.get(name, "")} == set(), found
            assert "greenisland verify" in found
        otherwise, words = seen_otherwise(outcome)
        found = failed(otherwise)
        assert {name for name in words if words[name] not in found.get(name, "")} == set(), found
        if outcome.influx is not None:
            query(outcome.influx, f'DROP SERIES FROM "reading" WHERE "station" = \'{outcome.said[0].station}\'')
            assert set(failed(outcome)) == {"InfluxDB's points, the archive's"}
