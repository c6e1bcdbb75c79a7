"""The engine over a real state directory, days late: revisions and alerts from what was put away, also after restarts,
and what a lost, a damaged or a superseded piece costs.
"""

from contextlib import closing
from datetime import timedelta

import pytest

from app.service.checkpoint import names_put_away
from app.service.engine import Engine
from app.service.export import export
from contracts.clock import ScaledClock
from rules.spec import LimitRule
from store.archive import Archive, read_archive
from store.put_away import PieceDamaged
from store.spans import SpanFiles
from store.state_db import StateDb
from tests.builders import START, minutes, site

from .test_engine import clock_row, message, payload, write

DAY = timedelta(days=1)
SITE = site([{"factor": "a21026", "interval_s": 60}], limits=[{"period": "hour"}, {"period": "minute"}], lateness="2h")
RULES = [
    LimitRule(id="hour", kind="limit", period="hour", levels={"orange": 1.0}),
    LimitRule(id="minute", kind="limit", period="minute", levels={"orange": 1.0}, pending="3m", recovery="2m"),
]
LATE_AT = START + 3 * DAY
FILES = ("aggregates.parquet", "verdicts.parquet", "alerts.ndjson")


def first_days():
    """An hour of values near the limit, of which five minutes are missing, then three days of nothing."""
    sent = [
        (START + minutes(n + 1), message(payload(START + minutes(n), {"a21026": 49.0})))
        for n in range(60)
        if not 20 <= n < 25
    ]
    clocks = [(START + n * minutes(60) + minutes(0.5), clock_row(START + n * minutes(60))) for n in range(72)]
    return sorted([*sent, *clocks], key=lambda row: row[0])


def what_comes_late():
    """The five minutes, far above the limit: the hour's mean is above it with them."""
    sent = [(LATE_AT + minutes(n), message(payload(START + minutes(20 + n), {"a21026": 500.0}))) for n in range(5)]
    clocks = [(LATE_AT + minutes(n + 0.5), clock_row(LATE_AT + minutes(n))) for n in range(7)]
    return sorted([*sent, *clocks], key=lambda row: row[0])


def engine(state_dir):
    return Engine(SITE, RULES, state_dir, ScaledClock(START, 1))


def decide(state_dir, rows=40):
    """A run of the engine, ended in order."""
    with closing(engine(state_dir)) as one:
        read_again = one.recover()
        while one.step(rows) is not None:
            pass
        one.checkpoint()
    return read_again


def outputs(state_dir, out):
    export(state_dir).write(out)
    return [(out / name).read_bytes() for name in FILES]


@pytest.fixture
def three_days(tmp_path):
    state_dir = tmp_path / "state"
    write(state_dir, first_days())
    decide(state_dir)
    return state_dir


def pieces(state_dir):
    return {f"{path.parent.name}/{path.name}" for path in (state_dir / "windows").glob("*/*")}


def test_after_a_restart_what_comes_three_days_late_is_revised_alerted_and_archived(three_days):
    write(three_days, what_comes_late())
    assert decide(three_days) == 0  # from the checkpoint, which is up to date
    with StateDb(three_days / "state.db") as db:
        spans = SpanFiles(three_days / "spans", db)
        verdicts = [row for _, named in spans.spans_after(0) for row in named["verdicts"].iter_rows(named=True)]
        counts = [row.counts for row in db.spans_after(0)]
        episodes = list(export(three_days).alerts())
        Archive(three_days / "archive", spans, db, SITE.time_zone).compact(10_000)
        archived = read_archive(three_days / "archive", "verdicts").collect()
    hour = [row for row in verdicts if row["rule"] == "hour" and row["window_at"] == START]
    assert [(row["revision"], row["state"]) for row in hour][:1] == [(1, "within")]
    assert [row["revision"] for row in hour] == list(range(1, len(hour) + 1))
    assert hour[-1]["state"] == "exceedance"
    assert hour[-1]["decided_at"] > LATE_AT
    assert hour[-1]["valid_n"] == 60
    assert sum(one.get("from_archive", 0) for one in counts) == 5
    assert {(one["rule"], one["opened_at"]) for one in episodes if one["rule"] != "silent"} >= {
        ("minute", (START + minutes(20)).isoformat()),
        ("hour", START.isoformat()),
    }
    mine = archived.filter(rule="hour", window_at=START)
    assert sorted(mine["revision"]) == [row["revision"] for row in hour]


def test_however_it_is_stopped_the_outcome_is_that_of_one_run(three_days, tmp_path):
    write(three_days, what_comes_late())
    whole = tmp_path / "whole"
    write(whole, [*first_days(), *what_comes_late()])
    decide(whole, 100_000)
    for _ in range(20):
        with closing(engine(three_days)) as one:
            one.recover()
            went_on = one.step(2) is not None
            if went_on and one.db.last_span().seq % 2:
                one.checkpoint()  # else it is killed without one
        if not went_on:
            break
    assert outputs(three_days, tmp_path / "a") == outputs(whole, tmp_path / "b")


def test_pieces_no_checkpoint_names_are_removed_and_no_others(three_days):
    for n in range(4):
        write(three_days, what_comes_late()[n * 3 : n * 3 + 3])
        decide(three_days)
        assert pieces(three_days) == names_put_away(three_days / "checkpoints")


def test_a_lost_piece_costs_reading_the_journal_again_and_nothing_else(three_days, tmp_path):
    before = outputs(three_days, tmp_path / "before")
    next((three_days / "windows" / "hour").iterdir()).unlink()
    assert decide(three_days) > 0
    assert outputs(three_days, tmp_path / "after") == before


def test_a_damaged_piece_is_moved_aside_and_the_next_start_does_without_it(three_days, tmp_path):
    write(three_days, what_comes_late())
    for piece in (three_days / "windows" / "hour").iterdir():
        piece.write_bytes(piece.read_bytes()[:-1] + b"!")
    with closing(engine(three_days)) as one:
        assert one.recover() == 0
        with pytest.raises(PieceDamaged, match="moved aside"):
            list(iter(one.step, None))
    assert decide(three_days) > 0
    whole = tmp_path / "whole"
    write(whole, [*first_days(), *what_comes_late()])
    decide(whole)
    assert outputs(three_days, tmp_path / "a") == outputs(whole, tmp_path / "b")
