"""Telling in the whole path: what a feed tells, live in pieces with restarts and in a replay, byte for byte.

Golden stories: a folder of tests/golden/telling holds routes.yaml, story.yaml (what a station sends and what people
do) and expected.txt (what is told, held back, and by whom it is taken care of).
"""

import json
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml

from app.replay import replay
from app.service.collector import journal_directory
from app.service.engine import Engine
from app.service.export import export
from contracts.clock import ScaledClock
from contracts.durations import parse_duration
from contracts.ports import RawMessage
from contracts.routing import Routing
from notify.cases.follow import case_name
from rules.alerts.episodes import episode_id
from rules.spec import LimitRule, MissingRule
from rules.ticks import clock_payload
from store.alert_reads import reading
from store.journal import Journal
from store.journal_reader import read_after
from store.state_db import StateDb
from tests.builders import minutes, site
from tests.said import said

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "telling"
CASES = sorted(folder.name for folder in GOLDEN.iterdir())
START = datetime(2026, 11, 18, 0, 0, tzinfo=UTC)  # Wednesday 08:00 in Shanghai
RULES = [
    LimitRule(id="so2", kind="limit", period="minute", levels={"orange": 1.0, "red": 2.0}),
    MissingRule(id="silent", kind="missing", intervals=3, pending="5m", level="yellow"),
]
CHANNELS = [{"name": name, "type": "webhook", "url": "http://127.0.0.1:9/"} for name in ("duty", "boss")]
FILES = (
    *("aggregates.parquet", "verdicts.parquet", "alerts.ndjson", "notifications.ndjson", "cases.ndjson"),
    "summary.json",
)


def site_of(routes: str):
    base = site([{"interval_s": 60}], limits=[{"period": "minute", "status": "verified"}], channels=CHANNELS)
    return base.model_copy(update={"routing": Routing.model_validate(yaml.safe_load(routes))})


def value_row(n: int, value: str) -> RawMessage:
    at = (START + minutes(n)).isoformat()
    body = {"v": 1, "station": "S1", "at": at, "period_s": 60, "kind": "avg", "readings": {"a21026": float(value)}}
    return RawMessage("mqtt", "gi/S1/json", json.dumps(body).encode())


def rows_of(story: dict) -> list[tuple[datetime, RawMessage]]:
    """Received_at and message: a value a minute (`60x8`; `-x8` nothing; `60x8~25m` late), what people do, the clock."""
    rows, n = [], 0
    for part in story["values"].split():
        value, count, late = re.fullmatch(r"([\d.]+|-)x(\d+)(?:~(\w+))?", part).groups()
        for _ in range(int(count)):
            received_at = START + minutes(n + 1) + timedelta(seconds=2) + (parse_duration(late) if late else minutes(0))
            if value != "-":
                rows.append((received_at, value_row(n, value)))
            n += 1
    for act in story.get("acts", ()):
        at, by = START + parse_duration(act["at"]) + timedelta(seconds=5), act["by"]
        for kind in ("acknowledge", "assign"):
            if kind in act:
                opened_at = START + parse_duration(act[kind])
                about = {"episode": episode_id("so2", "S1", "a21026", "L0", opened_at), "reason": "看到"}
                rows.append((at, said(at, kind, by=by, **about, **({"to": act["to"]} if kind == "assign" else {}))))
        if "case" in act:  # a deed, about the case that the alert of `of` opened at `opened`
            opened_at = START + parse_duration(act["of"])
            where, tick = f"{act['terms']}|{act['place']}", START + parse_duration(act["opened"])
            name = case_name(where, episode_id("so2", "S1", "a21026", "L0", opened_at), tick.astimezone(UTC))
            rows.append((at, said(at, act["case"], by=by, case=name, **act["body"])))
        if "silence" in act:
            to_at = (at + parse_duration(act["for"])).isoformat()
            about = {"matchers": act["silence"], "from_at": at.isoformat(), "to_at": to_at, "reason": "检修"}
            rows.append((at, said(at, "silence", by=by, **about)))
    at, until = START - minutes(1), START + parse_duration(story["until"])
    while at <= until:
        rows.append((at, RawMessage("mqtt", "$clock/main", clock_payload(at))))
        at += timedelta(seconds=15)
    return sorted(rows, key=lambda row: (row[0], row[1].topic))


def journal(state_dir: Path, rows) -> Path:
    directory = journal_directory(state_dir, "main")
    with Journal(directory) as opened:
        for at, row in rows:
            opened.append([row], at)
    return directory


def decide(site_, state_dir: Path, rows: int, restart_every: int) -> None:
    """Live in pieces; every few of them another engine goes on, from a checkpoint or from the journal."""
    for n in range(1000):
        with closing(Engine(site_, RULES, state_dir, ScaledClock(START, 1))) as engine:
            engine.recover()
            for _ in range(restart_every):
                if engine.step(rows) is None:
                    return
            if n % 2:
                engine.checkpoint()
    raise AssertionError("it never came to an end")


def at(us: int) -> str:
    return f"{(us // 1_000_000 - START.timestamp()) / 60:g}m"


def story_told(state_dir: Path) -> str:
    lines = []
    with reading(state_dir) as found:
        for row in found.telling.notifications():
            body = row["body"]
            tick = at(round(datetime.fromisoformat(body["tick"]).timestamp() * 1_000_000))
            people = "".join(f" @{person['person']}" for person in body["people"])
            lines.append(f"{tick} {row['channel']} {body['kind']} {body['level']}{people} | {body['text']}")
        for held in found.telling.held_back():
            until = "" if held["until"] is None else f" until {at(held['until'])}"
            lines.append(f"{at(held['tick'])} held back by {held['route']}: {held['transition']}, {held['why']}{until}")
        for row in found.cases.events_between(0, 1 << 60):
            by = f" by {row['actor']}: {row['text']}" if row["actor"] else ""
            lines.append(f"{at(row['tick'])} case {row['body']['place']}: {row['event']}{by}, {row['body']['state']}")
        for care in found.telling.attention().values():
            lines.append("care: " + ", ".join(f"{key}={care[key]}" for key in ("acknowledged_by", "assigned_to")))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_golden_stories_tell_what_is_expected_live_in_pieces_and_in_a_replay(case, tmp_path):
    story = yaml.safe_load((GOLDEN / case / "story.yaml").read_text(encoding="utf-8"))
    site_ = site_of((GOLDEN / case / "routes.yaml").read_text(encoding="utf-8"))
    directory = journal(tmp_path, rows_of(story))
    decide(site_, tmp_path, rows=25, restart_every=3)
    assert story_told(tmp_path) == (GOLDEN / case / "expected.txt").read_text(encoding="utf-8")
    export(tmp_path).write(tmp_path / "live")
    for step_rows in (31, 100_000):
        feed = read_after(directory, 0, 1_000_000)
        replay(feed, site_, RULES, step_rows=step_rows, close=False).write(tmp_path / "replayed")
        for name in FILES:
            assert (tmp_path / "live" / name).read_bytes() == (tmp_path / "replayed" / name).read_bytes(), name
    assert not (tmp_path / "recovery-differences.ndjson").exists()


def test_an_action_that_cannot_be_read_is_a_reject_with_its_reason_and_others_count(tmp_path):
    rows = rows_of({"values": "60x5", "until": "10m"})
    when = START + minutes(4)
    rows.append((when, said(when, "silence", matchers="plant=X", from_at="?", to_at="?", reason="r")))
    rows.append((when, said(when, "acknowledge", episode="short", reason="r")))
    rows.append((when, said(when, "comment", episode="0" * 20, text="nothing there")))
    journal(tmp_path, sorted(rows, key=lambda row: row[0]))
    site_ = site_of("version: 1\nroutes: [{route: all, channels: [duty]}]")
    with closing(Engine(site_, RULES, tmp_path, ScaledClock(START, 1))) as engine:
        engine.recover()
        spans = list(iter(engine.step, None))
    rejects = pl.concat([span.rejects for span in spans])
    assert rejects["reason"].to_list() == ["unreadable_record"] * 2
    assert "episode" in " ".join(rejects["detail"])
    with StateDb(tmp_path / "state.db") as db:
        assert [row["kind"] for row in db.telling.actions()] == ["comment"]
        assert db.telling.notifications()
