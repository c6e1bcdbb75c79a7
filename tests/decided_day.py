"""A civil day of the example site, through simulator, journal and engine: decided once for every test that draws it.

Whichever worker of the tests comes first makes it; another one waits, and everybody takes a copy.
"""

import csv
import os
import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.service.collector import journal_directory
from app.service.engine import Engine
from app.site.files import load_site
from app.site.rule_files import load_rules
from contracts.clock import ScaledClock
from contracts.facts import Mark, Qc, to_body
from contracts.instants import MICROSECOND
from contracts.ports import RawMessage
from contracts.records import RECORD_VERSION, Record, encode
from contracts.site import Site
from contracts.topics import JOURNAL_OPERATOR
from simulators.simulate import LiveSimulator, clock_rows
from store.archive import Archive
from store.journal import Journal
from store.spans import SpanFiles
from store.state_db import StateDb
from store.state_lock import state_lock

EXAMPLE = Path(__file__).resolve().parents[1] / "deploy" / "sites" / "zunyi"
FROM_AT = datetime(2026, 2, 28, 15, 50, tzinfo=UTC)  # ten minutes before a civil day ...
TO_AT = datetime(2026, 3, 1, 17, 10, tzinfo=UTC)  # ... that has been decided by now, and an hour of the next as well
# enough are left for every board, and it takes half the time
LEFT_OUT = {"XS-COAL-2", "BZ-SINTER-1", "BZ-ALU-1", "BZ-METAL-W", "XS-LIQUOR-W", "WUJIANG-R1"}
CLOCK_EVERY = timedelta(minutes=1)
SEED = 7
STEP_ROWS = 8_000  # messages a span: about a dozen of them
UNARCHIVED = 2  # spans
HOSTILE = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
HOSTILE_OUTLET = "XS-A-DA001"  # of a station that exceeds its limits


def decided_day(tmp_path_factory, folder: Path) -> tuple[Site, Path, Path]:
    """The site, its directory and its state directory, in the folder; all but the last spans are archived."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all workers
    made = shared / "decided-day"
    with state_lock(shared, "decided-day.lock"):
        if not made.is_dir():
            _make(shared / "decided-day.partial")
            (shared / "decided-day.partial").rename(made)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return site_in(folder / "site"), folder / "site", folder / "state"


def site_in(directory: Path) -> Site:
    return smaller(load_site(directory))


def send(site: Site, state_dir: Path, from_at: datetime, to_at: datetime, said: list[tuple[datetime, Record]]) -> None:
    """Into the journal: what the stations sent, the collector's clock, and what people said."""
    simulator = LiveSimulator(site, SEED, "default")
    clock = clock_rows(site, from_at, to_at + CLOCK_EVERY, CLOCK_EVERY)
    rows = [(one.received_at, "mqtt", one.topic, one.payload) for one in [*simulator.messages(from_at, to_at), *clock]]
    rows += [(at, "operator", JOURNAL_OPERATOR, encode(record)) for at, record in said]
    ordered, last_at = [], from_at
    for at, source, topic, payload in sorted(rows):
        last_at = max(at, last_at + MICROSECOND)
        ordered.append((last_at, RawMessage(source, topic, payload)))
    with Journal(journal_directory(state_dir, site.file.collectors[0])) as writing:
        writing.append_history(ordered)


def archive(site: Site, state_dir: Path, leave: int) -> None:
    """All spans but so many."""
    with StateDb(state_dir / "state.db") as db:
        last = db.last_span()
        assert last is not None
        made = Archive(state_dir / "archive", SpanFiles(state_dir / "spans", db), db, site.time_zone)
        while (waiting := last.seq - leave - db.cursor("archive")) > 0:
            assert made.compact(min(waiting, 10))


def _make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of a worker that was killed
    directory, state_dir = folder / "site", folder / "state"
    shutil.copytree(EXAMPLE, directory)
    state_dir.mkdir()
    _rename(directory / "registry" / "outlets.csv", HOSTILE_OUTLET)
    site = site_in(directory)
    send(site, state_dir, FROM_AT, TO_AT, _records())
    rules = [one.rule for one in load_rules(directory, site)]
    with closing(Engine(site, rules, state_dir, ScaledClock(TO_AT, 1))) as engine:
        engine.recover()
        while engine.step(STEP_ROWS) is not None:
            pass
        engine.checkpoint()
    archive(site, state_dir, UNARCHIVED)


def _rename(path: Path, outlet: str) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["outlet"] == outlet:
            row["name_zh"] = row["name_en"] = HOSTILE
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def smaller(site: Site) -> Site:
    stations = tuple(one for one in site.stations if one.station not in LEFT_OUT)
    outlets = tuple(one for one in site.outlets if one.outlet in {station.outlet for station in stations})
    kept = {one.outlet for one in outlets}
    return site.model_copy(
        update={
            "stations": stations,
            "outlets": outlets,
            "points": tuple(one for one in site.points if one.station not in LEFT_OUT),
            "limits": tuple(one for one in site.limits if one.outlet in kept),
        }
    )


def _records() -> list[tuple[datetime, Record]]:
    """A mark of an hour made in the afternoon, and a check of an analyser."""
    at = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
    about = {"from_at": at - timedelta(hours=2), "to_at": at - timedelta(hours=1)}
    mark = Mark(station="XS-COAL-1", factor="a21026", type="maintenance", reason="年度维护", **about)
    check = Qc(station="XS-CEMENT-1", factor="a21026", check="zero_drift", at=at, passed=True, values="0.3 %, 2 %")
    return [
        (at, Record(v=RECORD_VERSION, actor="plant", origin="test", at=at, action=kind, body=to_body(said)))
        for kind, said in (("mark", mark), ("qc", check))
    ]
