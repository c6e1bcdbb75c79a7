"""Recovery is compared with what was committed: equal is silent; any difference is loud, kept, and stops nobody."""

import json
import sqlite3
from contextlib import closing

import polars as pl
import pytest

from app.health.status import attention, status_of
from app.service import recovery
from app.service.engine import Engine
from app.service.housekeeping import keep_house
from app.service.recovery import DIFFERENCES, Progress, Recovering
from contracts.channels import Webhook
from contracts.clock import ScaledClock
from contracts.instants import epoch_us
from store.archive import CURSOR as ARCHIVED
from store.spans import read_span, span_name, write_span
from store.state_db import StateDb
from tests.builders import START, minutes

from .test_checkpoint import HOURLY, RULES, SITE, journal

FILE = SITE.file.model_copy(update={"channels": (Webhook(name="duty", url="http://127.0.0.1:9"),)})
TOLD = SITE.model_copy(update={"file": FILE})


def engine(state_dir, rules=(*RULES, HOURLY)):
    return Engine(TOLD, list(rules), state_dir, ScaledClock(START, 1))


@pytest.fixture
def centre(tmp_path):
    """Twelve spans; the checkpoint is behind the fourth."""
    journal(tmp_path)
    with closing(engine(tmp_path)) as one:
        n = 0
        while one.step(20) is not None:
            n += 1
            if n == 4:
                one.checkpoint()
    assert n == 12
    # or no alert would be compared
    assert execute(tmp_path, "SELECT count(*) FROM transitions WHERE tick > 0") > [(2,)]
    assert execute(tmp_path, "SELECT count(*) FROM outbox") >= [(2,)]
    return tmp_path


def recover(state_dir, rules=(*RULES, HOURLY)):
    """Differences as they are on disk afterwards, by part; the engine goes on in any case."""
    with closing(engine(state_dir, rules)) as one:
        assert one.recover() > 0
        assert one.step() is None
    path = state_dir / DIFFERENCES
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {line["part"]: line for line in lines}


def execute(state_dir, statement, *values):
    with closing(sqlite3.connect(state_dir / "state.db")) as db, db:
        return db.execute(statement, values).fetchall()


def alter(state_dir, seq, name, change):
    """Commits another content of one span's table, as another program would have."""
    path = state_dir / "spans" / span_name(seq)
    named = read_span(path)
    assert named[name].height
    digest = write_span(path, {**named, name: change(named[name])})
    execute(state_dir, "UPDATE spans SET digest = ? WHERE seq = ?", digest, seq)


@pytest.mark.parametrize("at_once", [1, 45, 50_000])
def test_what_comes_out_as_it_was_committed_says_nothing(centre, monkeypatch, caplog, at_once):
    """However the spans are put together for it: one by one, some, all."""
    monkeypatch.setattr(recovery, "MESSAGES_AT_ONCE", at_once)
    assert recover(centre) == {}
    for path in (centre / "checkpoints").iterdir():
        path.unlink()
    assert recover(centre) == {}
    assert "recovery" not in caplog.text


def test_pruned_spans_are_compared_as_far_as_there_is_something_to_compare_with(centre, caplog):
    with StateDb(centre / "state.db") as db:
        last = db.last_span().seq
        db.set_cursor(ARCHIVED, last)
    pruned = keep_house(TOLD, centre, START, merge=False, free_share=0.5).pruned
    assert pruned == 4  # those behind the checkpoint; a recovery needs the others
    pruned = keep_house(TOLD, centre, START, merge=False, free_share=0.01).pruned
    assert pruned == last - 5
    caplog.set_level("INFO")
    assert recover(centre) == {}
    assert f"{last - 5} pruned spans are compared by counts and alerts alone" in caplog.text
    execute(centre, "UPDATE spans SET counts = json_set(counts, '$.readings', 7) WHERE seq = 6")
    assert set(recover(centre)) == {"counts"}


def at_mean(frame):
    return frame.with_columns(
        sum_scaled=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(77, pl.Int128)).otherwise("sum_scaled")
    )


@pytest.mark.parametrize("at_once", [1, 50_000])
def test_a_row_that_was_committed_otherwise_is_named_with_its_span_and_columns(centre, monkeypatch, caplog, at_once):
    monkeypatch.setattr(recovery, "MESSAGES_AT_ONCE", at_once)
    alter(centre, 9, "aggregates", at_mean)
    alter(centre, 7, "readings", lambda frame: frame[1:])
    found = recover(centre)
    assert {part: line["first_span"] for part, line in found.items()} == {"aggregates": 9, "readings": 7}
    assert "sum_scaled 77, expected" in found["aggregates"]["difference"]
    assert "is expected and missing" in found["readings"]["difference"]
    assert "span 9, aggregates: what was committed is not what the journals give: station=S1 factor=" in caplog.text
    lines = (centre / DIFFERENCES).read_text()
    recover(centre)
    assert (centre / DIFFERENCES).read_text() == lines  # a second restart finds the same and adds nothing
    said = [line for line in attention(status_of(centre, START)) if DIFFERENCES in line]
    assert len(said) == 1
    assert "2 differences" in said[0]


@pytest.mark.parametrize(
    ("statement", "part", "said"),
    [
        ("DELETE FROM transitions WHERE seq = (SELECT max(seq) FROM transitions)", "alerts", "it was not committed"),
        (
            "UPDATE transitions SET body = json_set(body, '$.level', 'red') WHERE seq = (SELECT max(seq) FROM"
            " transitions)",
            "alerts",
            "the journals do not give it",
        ),
        (
            "DELETE FROM outbox WHERE rowid = (SELECT max(rowid) FROM outbox)",
            "notifications",
            "it was never put into the outbox",
        ),
    ],
)
def test_a_transition_or_a_notification_that_was_committed_otherwise_is_named(centre, statement, part, said):
    execute(centre, statement)
    found = recover(centre)
    assert part in found
    assert said in found[part]["difference"]
    assert found[part]["first_span"] > 4


def test_a_damaged_span_file_is_named_and_does_not_stop_the_engine(centre):
    path = centre / "spans" / span_name(8)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (line,) = recover(centre).values()
    assert (line["part"], line["first_span"]) == ("span files", 8)
    assert "does not match its hash" in line["difference"]


def test_what_other_rules_decided_is_not_compared(centre, caplog):
    caplog.set_level("INFO")
    assert recover(centre, RULES[:1]) == {}
    assert "spans of another site or other rules are not compared" in caplog.text
    with StateDb(centre / "state.db") as db:
        last = db.last_span().seq
    alter(centre, last, "aggregates", at_mean)
    assert set(recover(centre)) == {"aggregates"}  # the rules it was decided by are compared


def test_a_recovery_that_is_stopped_leaves_no_checkpoint_of_half_the_windows(centre, monkeypatch):
    monkeypatch.setattr(recovery, "MESSAGES_AT_ONCE", 1)
    before = sorted((centre / "checkpoints").iterdir())
    asked = iter([False, False, True])
    with closing(engine(centre)) as one:
        one.recover(is_stopping=lambda: next(asked))
        one.checkpoint()
    assert sorted((centre / "checkpoints").iterdir()) == before
    assert recover(centre) == {}


def test_half_a_checkpoint_left_by_a_kill_is_removed(centre):
    left = centre / "checkpoints" / f"{epoch_us(START + minutes(9)):020d}.checkpoint.77.tmp"
    left.write_bytes(b"half")
    assert recover(centre) == {}
    assert not left.exists()


def test_progress_is_told_once_a_second_with_the_time_left():
    now_s, told = [0.0], []
    pace = Progress(100, told.append, lambda: now_s[0])
    for _ in range(8):
        now_s[0] += 0.5
        pace.add(10)
    assert [(one.messages, one.share, one.left_s) for one in told] == [
        (20, 0.2, pytest.approx(4.0)),
        (40, 0.4, pytest.approx(3.0)),
        (60, 0.6, pytest.approx(2.0)),
        (80, 0.8, pytest.approx(1.0)),
    ]
    assert Recovering(0, 0, 1.0).share == 1.0
    assert Recovering(0, 10, 1.0).left_s is None


def test_an_engine_tells_the_end_of_its_recovery(centre):
    told = []
    with closing(engine(centre)) as one:
        one.recover(told.append)
    assert (told[-1].share, told[-1].messages > 0) == (1.0, True)
