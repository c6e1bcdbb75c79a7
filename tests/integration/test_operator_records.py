"""A real run: an operator's command, the spool, the collector, the journal, and the facts decoded back from it."""

import json
import threading
from contextlib import contextmanager

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from app.cli import app
from app.operators.facts_read import read_facts
from app.operators.spool import refused, waiting
from app.replay import replay
from app.service.collector import journal_directory
from app.service.processes import run_parts
from contracts.clock import SystemClock
from rules.facts.records import facts_of
from rules.ticks import SiteClock, stamp
from store.journal_reader import read_after, verify_chain

from .broker import wait_until
from .live import broker_for, zunyi

pytestmark = pytest.mark.server

MARK = ["mark", "add", "--station", "XS-COAL-1", "--type", "启动", "--reason", "检修后启动", "--by", "zhang", "--json"]
MARK += ["--from", "2026-03-01T08:00:00+08:00", "--to", "2026-03-01T10:00:00+08:00"]


@contextmanager
def running(site, rules, state_dir):
    stop, failed = threading.Event(), []

    def run():
        try:
            run_parts(site, rules, state_dir, SystemClock(), stop, ("collector", "engine"))
        except Exception as error:  # noqa: BLE001  # raised below, in the test's thread
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=30)
    assert failed == []


def test_a_command_reaches_the_journal_of_a_running_centre_and_comes_back_as_a_fact(
    tmp_path, free_port, require_program
):
    directory, site, rules = zunyi(tmp_path, free_port())
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    where = ["--state", str(state_dir), "--site", str(directory)]
    journal = journal_directory(state_dir, "main")

    def command(*words):
        result = CliRunner().invoke(app, [*words, *where])
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    before = command(*MARK, "--wait", "0s")
    assert (before["journalled"], len(waiting(state_dir))) == (False, 1)
    with broker_for(site, tmp_path, require_program("mosquitto")), running(site, rules, state_dir):
        wait_until(lambda: waiting(state_dir) == [], "the mark made before the start is taken")
        wait_until(lambda: clocks(journal), "the site's clock has begun")
        (state_dir / "operator" / "0.json").write_bytes(b"nonsense")
        after = command(*MARK, "--wait", "20s")
        assert after["journalled"]
        wait_until(lambda: refused(state_dir), "what cannot be read is moved aside")
        name = after["fact"][:10]
        words = ["mark", "review", name, "--approve-late", "--reason", "现场核实", "--reviewer", "wang", "--json"]
        assert command(*words, "--wait", "20s")["journalled"]
        count = clocks(journal)
        wait_until(lambda: clocks(journal) > count, "the clock goes on")
        told = command("mark", "list", "--json")
    assert [(one["fact"], one["timing"], len(one["effects"])) for one in told["marks"]] == [
        (before["fact"], "late", 0),
        (after["fact"], "late", 1),
    ]
    assert "0.json" in told["refused"][0]["file"]

    facts, rejects = read_facts(state_dir, site)
    feed = read_after(journal, 0, 10**6)
    stamped, _ = stamp(feed, SiteClock(site.file.collectors))
    whole, _ = facts_of(stamped)
    assert_frame_equal(facts, whole)
    assert (facts["kind"].to_list(), rejects.height) == (["mark", "mark", "review"], 0)
    assert set(feed.filter(pl.col("topic") == "$operator")["source"]) == {"operator"}
    assert verify_chain(journal) is None
    assert replay(feed, site, rules, close=False) is not None


def clocks(journal) -> int:
    return read_after(journal, 0, 10**6).filter(pl.col("topic") == "$clock/main").height if journal.is_dir() else 0
