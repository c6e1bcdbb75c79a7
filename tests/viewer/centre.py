"""A centre whose pages are looked at: hours of the example site, decided by the real engine, and a portal process."""

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from argon2 import PasswordHasher

from app.bench.mosquitto import wait_until
from app.operators import spool
from app.portal.apart import PortalProcess, Setup
from app.service.collector import journal_directory
from app.service.engine import Engine
from app.site.files import load_site
from app.site.rule_files import load_rules
from contracts.clock import ScaledClock
from contracts.portal import Portal
from contracts.ports import RawMessage
from contracts.site import Influx, Site
from rules.spec import Rule
from rules.ticks import clock_payload
from simulators.simulate import LiveSimulator, clock_rows
from store.archive import Archive
from store.journal import MICROSECOND, Journal, epoch_us
from store.portal_db import Account, PortalDb
from store.spans import SpanFiles
from store.state_db import StateDb

ZUNYI = Path(__file__).resolve().parents[2] / "deploy" / "sites" / "zunyi"
ENDED_AT = datetime(2026, 3, 1, 6, 28, tzinfo=UTC)
HISTORY = timedelta(hours=3)
CLOCK_EVERY = timedelta(minutes=1)
SEED = 7
PASSWORD = "correct-horse-9"
PEOPLE = {
    "duty": ("duty", "city", ()),
    "viewer": ("viewer", "city", ()),
    "plant": ("enterprise", "enterprise", ("xs-a",)),
}
HOSTILE = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
HOSTILE_OUTLET = "XS-A-DA001"  # of a station that exceeds its limits


@dataclass
class Centre:
    directory: Path
    site: Site
    rules: list[Rule]
    state_dir: Path
    at: datetime  # up to which it is decided

    def decide(self) -> None:
        clock = ScaledClock(self.at, 1)
        engine = Engine(self.site, self.rules, self.state_dir, clock)
        try:
            engine.recover()
            while engine.step(800) is not None:
                pass
            engine.checkpoint()
        finally:
            engine.close()

    def archive(self, spans: int) -> None:
        with StateDb(self.state_dir / "state.db") as db:
            files = SpanFiles(self.state_dir / "spans", db)
            Archive(self.state_dir / "archive", files, db, self.site.time_zone).compact(spans)

    def journal(self, lasts: timedelta, *, is_silent: bool = False) -> None:
        """What the stations send next, what people said meanwhile, and the clock."""
        until = self.at + lasts
        sent = [] if is_silent else LiveSimulator(self.site, SEED, "default").messages(self.at, until)
        rows = sorted([*sent, *clock_rows(self.site, self.at, until + CLOCK_EVERY, CLOCK_EVERY)])
        last_at, ordered = self.at, []
        for row in rows:
            last_at = max(row.received_at, last_at + MICROSECOND)
            ordered.append((last_at, RawMessage("mqtt", row.topic, row.payload)))
        with Journal(journal_directory(self.state_dir, "main")) as journal:
            journal.append_history(ordered)
        self.at = until + CLOCK_EVERY

    def take_in(self) -> None:
        """As the collector does: records from the spool, and the clock a second later."""
        clock = ScaledClock(self.at, 1)
        with Journal(journal_directory(self.state_dir, "main")) as journal:
            spool.drain(self.state_dir, journal, clock)
            self.at = clock.now() + timedelta(seconds=2)
            journal.append([RawMessage("mqtt", "$clock/main", clock_payload(self.at))], self.at)


def fill(folder: Path) -> Centre:
    """Three hours, decided; the first spans archived, the others not; everybody's account; one hostile name."""
    directory = folder / "site"
    shutil.copytree(ZUNYI, directory)
    rename(directory / "registry" / "outlets.csv", HOSTILE_OUTLET)
    site = load_site(directory)
    rules = [one.rule for one in load_rules(directory, site)]
    state_dir = folder / "state"
    state_dir.mkdir()
    centre = Centre(directory, site, rules, state_dir, ENDED_AT - HISTORY)
    centre.journal(HISTORY)
    centre.decide()
    centre.archive(1)
    add_people(state_dir)
    return centre


def rename(path: Path, outlet: str) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["outlet"] == outlet:
            row["name_zh"] = row["name_en"] = HOSTILE
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def add_people(state_dir: Path) -> None:
    kept = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    with PortalDb(state_dir / "portal.db") as db:
        for name, (role, kind, scope) in PEOPLE.items():
            db.add_user(Account(name, name.title(), role, kind, scope, epoch_us(ENDED_AT), None), kept, "test")


@contextmanager
def serving(centre: Centre, port: int, influx: Influx | None = None) -> Iterator[str]:
    """The portal in its own process, its clock at the end of what is decided; its address."""
    about = {"portal": Portal(port=port), "influxdb": influx}
    site = centre.site.model_copy(update={"file": centre.site.file.model_copy(update=about)})
    setup = Setup(site, centre.rules, centre.state_dir, centre.directory, ScaledClock(centre.at, 1))
    process, url = PortalProcess(setup), f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.ended() is None, process.ended()
        try:
            return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, "the portal answers", 60)
        yield url
    finally:
        process.close()
