"""An alert explained from raw message to what was sent, and derived again: equal, or what differs is named."""

import json
import shutil

import polars as pl
import pytest
from typer.testing import CliRunner

from app.cli import app
from store.alert_reads import Wanted, reading
from store.archive import TABLES
from store.parquet import write_parquet

from .evidence import MINUTES, decide, feed, journal, site_at, sql, tell


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    site_dir, state_dir = site_at(folder / "site"), folder / "state"
    journal(state_dir, site_dir, feed(0, MINUTES))
    decide(state_dir, site_dir)
    tell(state_dir)
    return state_dir


@pytest.fixture
def state_dir(made, tmp_path):
    return shutil.copytree(made, tmp_path / "elsewhere")


def first_alert(state_dir) -> dict:
    with reading(state_dir) as db:
        return db.episodes(Wanted(), None, 10)[-1]


def explained(state_dir, *arguments):
    return CliRunner().invoke(
        app, ["explain", first_alert(state_dir)["id"], "--state", str(state_dir), *arguments], env={"COLUMNS": "80"}
    )


def test_an_alert_is_told_from_its_messages_to_what_was_sent_and_is_equal_when_derived_again(state_dir):
    result = explained(state_dir, "--verify")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    said = " ".join(result.output.split())
    for words in (
        "rule so2 on S1/a21026",
        "60 mg/m3",
        "permit",
        "fired",
        "resolved",
        "duty, delivered",
        "attempt 1 at",
    ):
        assert words in said, words
    assert "derived again, equal:" in said


def test_scripts_get_the_same(state_dir):
    told = json.loads(explained(state_dir, "--verify", "--json").output)
    assert told["is_equal"]
    assert [one["transition"] for one in told["told"]] == ["fired", "resolved"]
    assert {one["channel"] for one in told["sent"]} == {"duty"}
    assert json.loads(explained(state_dir, "--json").output)["is_equal"] is None


def test_a_verdict_of_the_archive_that_was_changed_differs(state_dir):
    alert = first_alert(state_dir)
    for path in (state_dir / "archive" / "verdicts").rglob("*.parquet"):
        rows = pl.read_parquet(path)
        peak = pl.col("window_at").dt.strftime("%Y-%m-%dT%H:%M:%S+00:00") == alert["peak_at"]
        changed = rows.with_columns(
            pl.when(peak).then(1).otherwise("value_scaled").cast(pl.Int64).alias("value_scaled")
        )
        write_parquet(changed, path, TABLES["verdicts"].sort_by, TABLES["verdicts"].schema)
    result = explained(state_dir, "--verify")
    assert result.exit_code == 1
    assert "value_scaled" in result.output
    assert "expected 1" in " ".join(result.output.split())


def test_a_transition_that_was_changed_differs(state_dir):
    alert = first_alert(state_dir)["id"]
    assert sql(state_dir, "UPDATE transitions SET tick = tick + 1000000 WHERE episode = ? AND seq = 1", alert) == 1
    result = explained(state_dir, "--verify")
    assert result.exit_code == 1
    assert "DIFFERS: transition 1" in result.output


def test_an_alert_nobody_knows_is_refused_in_words(state_dir):
    result = CliRunner().invoke(app, ["explain", "0" * 20, "--state", str(state_dir)])
    assert result.exit_code == 2
    assert "there is no alert" in result.output
