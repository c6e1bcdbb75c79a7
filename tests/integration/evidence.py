"""A small state directory with everything a centre leaves as evidence: journal, spans, archive, alerts, receipts."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from app.service.collector import journal_directory
from app.service.engine import Engine
from app.site.files import load_site
from app.site.record import activation, keep, site_content
from app.site.rule_files import load_rules
from contracts.clock import ScaledClock
from contracts.reasons import Receipt
from rules.alerts.episodes import episode_id
from store.archive import Archive
from store.journal import Journal
from store.spans import SpanFiles
from store.state_db import StateDb
from tests.builders import START, minutes
from tests.said import said_of

from .test_engine import clock_row, message, payload

SITE = {
    "site.yaml": """version: 1
site: test
name: {zh: 测试, en: test}
time_zone: Asia/Shanghai
channels: [{name: duty, type: webhook, url: "http://127.0.0.1:9/"}]
""",
    "routes.yaml": "version: 1\nroutes: [{route: all, channels: [duty], group_by: station, wait: 30s}]\n"
    "cases: [{case: beyond, match: {kind: [limit]}, channels: [duty], wait: 30s, close_within: 10m}]\n",
    "registry/counties.csv": "county,name_zh,name_en\n520330,习水县,Xishui\n",
    "registry/outlets.csv": "outlet,county,medium,name_zh,name_en\nO1,520330,flue_gas,排口,outlet\n",
    "registry/stations.csv": "station,outlet,name_zh,name_en\nS1,O1,站,station\n",
    "registry/points.csv": "station,factor,unit,kind,period_s,interval_s\nS1,a21026,mg/m3,avg,60,60\n",
    "registry/limits.csv": "limit_id,outlet,factor,period,limit,unit,basis,standard,status\n"
    "L1,O1,a21026,minute,50,mg/m3,permit,permit,verified\n",
    "rules/own.yaml": "version: 1\nrules:\n  - {id: so2, kind: limit, period: minute, levels: {orange: 1.0}}\n",
}
ZONE = "Asia/Shanghai"
MADE_AT = START - minutes(1)
MINUTES = 40
SPAN_ROWS = 12


def site_at(folder: Path, **changed: str) -> Path:
    """The site's directory; a file is named by its stem."""
    for name, text in SITE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.get(path.stem, text), encoding="utf-8")
    return folder


def feed(from_minute: int, to_minute: int, high: float = 60.0):
    """One value a minute, ten of forty of them beyond the limit, now and then something that is no message."""
    rows = []
    for n in range(from_minute, to_minute):
        at = START + minutes(n)
        rows.append((at + minutes(1.1), message(payload(at, {"a21026": high if n % 20 in range(5, 10) else 10.0 + n}))))
        if n % 10 == 3:
            rows.append((at + minutes(1.2), message(b"no JSON")))
        rows.append((at + minutes(1.9), clock_row(at + minutes(1.9))))
    return rows


def journal(state_dir: Path, site_dir: Path, rows):
    digest = keep(site_content(site_dir, ()), state_dir)
    with Journal(journal_directory(state_dir, "main"), segment_max_age=timedelta(minutes=15)) as opened:
        first = rows[0][0] - minutes(1)
        opened.append([*activation(digest, None, "chen", "cli", MADE_AT), clock_row(first)], first)
        its = said_of(episode_id("so2", "S1", "a21026", "L1", START + minutes(5)), MADE_AT)
        opened.append(its, first + timedelta(seconds=1))
        for at, row in rows:
            opened.append([row], at)


def decide(state_dir: Path, site_dir: Path, spans_max: int = 1000, rows: int = SPAN_ROWS):
    site = load_site(site_dir)
    rules = [one.rule for one in load_rules(site_dir, site)]
    engine = Engine(site, rules, state_dir, ScaledClock(START, 1))
    engine.recover()
    for _ in range(spans_max):
        if engine.step(rows) is None:
            break
    archive = Archive(state_dir / "archive", SpanFiles(state_dir / "spans", engine.db), engine.db, ZONE)
    while archive.compact(4):
        pass
    engine.close()


def tell(state_dir: Path):
    """Receipts of every kind; the last notification stays pending."""
    with StateDb(state_dir / "state.db") as db:
        due = db.due_notifications(1 << 60, 100)
        at = max(one.created_at for one in due)
        for n, one in enumerate(due[:-1]):
            about = {"key": one.notification.key, "channel": "duty"}
            at += 1_000_000
            if n == 0:
                failed = {"outcome": Receipt.FAILED, "detail": "500", "next_at_us": at + 1}
                db.record_receipt(**about, attempt=1, at_us=at, **failed)
            outcome = Receipt.REFUSED if n == 1 else Receipt.DELIVERED
            db.record_receipt(**about, attempt=2 if n == 0 else 1, at_us=at + 2, outcome=outcome, detail="said")


def sql(state_dir: Path, statement: str, *values) -> int:
    with closing(sqlite3.connect(state_dir / "state.db")) as connection:
        changed = connection.execute(statement, values).rowcount
        connection.commit()
    return changed
