"""Recovery from a checkpoint decides what the uninterrupted run decides; a damaged or foreign one is not used."""

from contextlib import closing

import pytest

from app.service.checkpoint import read_checkpoint
from app.service.engine import Engine
from app.service.export import export
from app.service.recovery import DIFFERENCES
from contracts.clock import ScaledClock
from rules.spec import LimitRule
from tests.builders import START, minutes, site

from .test_engine import RULES, clock_row, message, payload, write

POINTS = [
    {"factor": "a21026", "ref_o2_pct": 6},
    {"factor": "a19001", "unit": "%"},
    {"factor": "a21002", "kind": "rtd", "period_s": 0, "interval_s": 20},
]
SITE = site(POINTS, limits=[{"period": "hour", "factor": "zs_a21026"}, {"period": "minute", "factor": "a21002"}])
FILES = (
    *("aggregates.parquet", "verdicts.parquet", "alerts.ndjson", "notifications.ndjson", "cases.ndjson"),
    "summary.json",
)


def journal(state_dir):
    """Three hours with a late hour in between, a clock row every ten minutes."""
    rows = [(START, clock_row(START))]
    for n in range(180):
        at = START + minutes(n)
        received = at + minutes(61.0 if 40 <= n < 100 else 1.0)
        body = payload(at, {"a21026": 45 + n % 13, "a19001": 6 + n % 3})
        rows.append((received, message(body)))
        body = payload(at, {"a21002": 40 + n % 20}, period_s=0, kind="rtd")
        rows.append((received, message(body)))
    rows += [(START + minutes(10 * n + 0.99), clock_row(START + minutes(10 * n))) for n in range(1, 20)]
    write(state_dir, sorted(rows, key=lambda row: row[0]))


def engine(state_dir, rules=RULES):
    return Engine(SITE, [*rules, HOURLY], state_dir, ScaledClock(START, 1))


HOURLY = LimitRule(id="so2_hour", kind="limit", period="hour", levels={"yellow": 0.9, "orange": 1.0}, pending="1h")


def outputs(state_dir, out):
    export(state_dir).write(out)
    return [(out / name).read_bytes() for name in FILES]


@pytest.fixture
def uninterrupted(tmp_path):
    journal(tmp_path / "whole")
    one = engine(tmp_path / "whole")
    while one.step(40) is not None:
        pass
    one.close()
    return outputs(tmp_path / "whole", tmp_path / "whole-out")


def test_an_engine_that_goes_on_from_a_checkpoint_decides_the_same(tmp_path, uninterrupted):
    state_dir = tmp_path / "cut"
    journal(state_dir)
    again = 0
    for _ in range(50):
        one = engine(state_dir)
        again += one.recover()
        went_on = one.step(40) is not None
        one.checkpoint()
        one.close()
        if not went_on:
            break
    assert again == 0  # nothing had to be read again
    assert outputs(state_dir, tmp_path / "cut-out") == uninterrupted


def test_a_checkpoint_behind_the_cursor_is_caught_up_from_the_journal(tmp_path, uninterrupted):
    state_dir = tmp_path / "cut"
    journal(state_dir)
    one = engine(state_dir)
    one.step(40)
    one.checkpoint()
    for _ in range(3):
        one.step(40)
    one.close()
    other = engine(state_dir)
    assert other.recover() > 0
    while other.step(40) is not None:
        pass
    other.close()
    assert outputs(state_dir, tmp_path / "cut-out") == uninterrupted


def test_a_damaged_checkpoint_and_one_of_other_rules_are_not_used(tmp_path, caplog):
    state_dir = tmp_path / "state"
    journal(state_dir)
    one = engine(state_dir)
    one.step(40)
    one.checkpoint()
    one.close()
    (path,) = (state_dir / "checkpoints").iterdir()
    assert engine(state_dir).recover() == 0
    assert engine(state_dir, rules=RULES[:1]).recover() > 0
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert read_checkpoint(path.parent, "any", 1 << 62) is None
    assert f"the checkpoint {path} is damaged" in caplog.text
    assert engine(state_dir).recover() > 0


def test_what_is_decided_and_recovered_by_bytes_is_what_is_decided_at_once(tmp_path, uninterrupted, monkeypatch):
    """A message may be a megabyte: so few bytes at once that most reads end before a clock row."""
    monkeypatch.setattr("app.service.engine.BATCH_BYTES", 2_000)
    state_dir = tmp_path / "by-bytes"
    journal(state_dir)
    with closing(engine(state_dir)) as one:
        spans = 0
        while one.step() is not None:
            spans += 1
    assert spans > 25  # a clock row every ten minutes would give twenty at most
    with closing(engine(state_dir)) as again:
        assert again.recover() > 0
    assert not (state_dir / DIFFERENCES).exists()
    assert outputs(state_dir, tmp_path / "by-bytes-out") == uninterrupted
