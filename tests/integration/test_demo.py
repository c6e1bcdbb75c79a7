"""`greenisland demo` as somebody runs it who has just cloned the repository."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.demo.board import Tally
from app.demo.history import LIVE_MINUTE, write_history
from app.pipeline import Pipeline, PipelineState
from app.replay import cut
from app.site.files import load_site
from app.site.rule_files import load_rules
from contracts.topics import JOURNAL_CLOCK
from rules.ticks import SiteClock
from simulators.simulate import LiveSimulator, simulate
from store.journal_reader import last_payload, read_after, verify_chain

from .broker import wait_until

ROOT = Path(__file__).resolve().parents[2]
ZUNYI = ROOT / "deploy" / "sites" / "zunyi"
SMALL = ROOT / "tests" / "golden" / "site_errors" / "base"  # three stations: a day of them is soon worked off
KINDS = {"exceedance", "stuck", "dropout", "malformed", "treatment_off"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "app.cli", "demo", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "COLUMNS"))}
    return {**kept, "TERM": "dumb", "LANG": "C.UTF-8", **more}


def summary_of_a_run(*arguments: str, timeout_s: float) -> dict:
    done = subprocess.run(
        command(*arguments, "--json"),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "simulated time" in done.stderr
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def check_live(summary: dict) -> None:
    live = summary["live"]
    assert len(KINDS & set(summary["kinds_raised"])) >= 4, live["alerts"]
    assert KINDS & set(summary["kinds_resolved"]), live["alerts"]
    assert live["published"] > 800
    assert 0 <= live["published"] - live["messages"] < 60  # what came after the last clock row is not decided
    assert sum(live["rejects"].values()) >= 12
    assert summary["history"]["messages"] > 20_000
    decided = datetime.fromisoformat(live["decided_to"]) - datetime.fromisoformat(live["from"])
    assert timedelta(minutes=59, seconds=30) <= decided <= timedelta(minutes=61)


def test_sixty_simulated_minutes_raise_four_kinds_of_incident_and_resolve_some():
    check_live(summary_of_a_run("--speed", "240", "--for", "15s", timeout_s=200))


@pytest.mark.long
def test_sixty_seconds_at_the_usual_speed_after_less_than_a_minute_of_history():
    summary = summary_of_a_run("--for", "60s", timeout_s=220)
    check_live(summary)
    assert summary["history"]["seconds"] < 60
    assert 60 <= summary["live"]["seconds"] < 63


@pytest.mark.parametrize(
    ("when", "says", "site"),
    [("24 h of history", "before the history", ZUNYI), ("simulated time", "Alerts while live", SMALL)],
    ids=["history", "live"],
)
def test_ctrl_c_ends_it_cleanly_in_history_and_live(when, says, site, tmp_path):
    state_dir = tmp_path / "state"
    with subprocess.Popen(
        command("--state", str(state_dir), "--site", str(site)),
        cwd=ROOT,
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(iter(process.stdout.readline, "")))
        reader.start()
        wait_until(lambda: process.poll() is not None or any(when in line for line in said), when, 150)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=15) == 0, process.stderr.read()
        reader.join(timeout=5)
        assert process.stderr.read() == ""
    assert says in "".join(said)
    assert verify_chain(state_dir / "journal" / "main") is None


def test_a_state_directory_in_use_is_refused_in_words(tmp_path):
    (tmp_path / "state.db").touch()
    done = subprocess.run(
        command("--state", str(tmp_path)), cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "not an empty directory" in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.long
def test_every_live_hour_of_every_seed_holds_four_kinds_and_a_recovery():
    """What the minute at which live begins was chosen for; replayed, not waited for."""
    site = load_site(ZUNYI)
    rules = [one.rule for one in load_rules(ZUNYI, site)]
    limits = {limit.limit_id: limit for limit in site.limits}
    for seed, hour in ((1, 3), (2, 16)):
        start = datetime(2026, 11, 20, hour, LIVE_MINUTE, tzinfo=UTC)
        feed, _ = simulate(site, seed, start, timedelta(hours=7), clock_every=timedelta(minutes=1))
        pipeline, state = Pipeline(site, rules), PipelineState(SiteClock(("main",)))
        hours: dict[int, Tally] = {}
        for messages in cut(feed, 4000):
            for row in pipeline.step(state, messages).transitions:
                tally = hours.setdefault((row["tick"] - start) // timedelta(hours=1), Tally())
                tally.count(row, limits)
        for number in range(2, 7):  # the first two have no history that would let an hour be judged
            assert len(KINDS & set(hours[number].incidents("raised"))) >= 4, (seed, hour, number)
            assert hours[number].incidents("resolved"), (seed, hour, number)


def test_history_is_what_the_stations_would_have_sent_and_ends_with_a_clock_row(tmp_path):
    site, to_at = load_site(ZUNYI), datetime(2026, 11, 21, 2, LIVE_MINUTE, tzinfo=UTC)
    told: list[datetime] = []
    write_history(site, LiveSimulator(site, 5), tmp_path, to_at, threading.Event(), told.append)
    journal = tmp_path / "journal" / "main"
    rows = read_after(journal, 0, 1_000_000)
    sent = LiveSimulator(site, 5).messages(to_at - timedelta(hours=24), to_at)
    mine = rows.filter(~rows["topic"].str.starts_with("$"))
    assert mine["payload"].to_list() == [message.payload for message in sent]
    shifts = (at - message.received_at for at, message in zip(mine["received_at"], sent, strict=True))
    assert max(shifts) < timedelta(milliseconds=1)
    assert rows["topic"][-1] == JOURNAL_CLOCK.format(collector="main")
    assert last_payload(journal, rows["topic"][-1]) == b"%d" % (to_at.timestamp() * 1e6)
    assert told[-1] == to_at
    assert verify_chain(journal) is None
