"""A centre whose boards can be drawn: a civil day of the example site, decided, archived and in a real InfluxDB."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.bench.mosquitto import wait_until
from app.influx.part import POLL_S, InfluxPart
from app.service.collector import journal_directory
from app.service.engine import Engine
from app.site.files import load_site
from app.site.rule_files import load_rules
from contracts.clock import ScaledClock
from contracts.facts import Mark, Qc, to_body
from contracts.ports import RawMessage
from contracts.records import RECORD_VERSION, Record, encode
from contracts.site import Influx, Site
from contracts.topics import JOURNAL_OPERATOR
from simulators.simulate import LiveSimulator, clock_rows
from store.archive import Archive
from store.journal import MICROSECOND, Journal
from store.spans import SpanFiles
from store.state_db import StateDb

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "sites" / "zunyi"
FROM_AT = datetime(2026, 2, 28, 15, 50, tzinfo=UTC)  # ten minutes before a civil day ...
TO_AT = datetime(2026, 3, 1, 17, 10, tzinfo=UTC)  # ... that has been decided by now, and an hour of the next as well
SHOWN_TO_AT = TO_AT + timedelta(hours=1)  # the writer's pulse comes a little later
# enough are left for every board, and it takes half the time
LEFT_OUT = {"XS-COAL-2", "BZ-SINTER-1", "BZ-ALU-1", "BZ-METAL-W", "XS-LIQUOR-W", "WUJIANG-R1"}
CLOCK_EVERY = timedelta(minutes=1)
SEED = 7
STEP_ROWS = 8_000  # messages a span: about a dozen of them


def fill(state_dir: Path, url: str) -> Site:
    """Everything as in a running centre, through the parts that run in one; returns the site."""
    site = load_site(EXAMPLE)
    rules = [one.rule for one in load_rules(EXAMPLE, site)]
    influx = Influx(url=url, raw_kept=timedelta(days=36500), minute_kept=timedelta(days=36500))
    site = smaller(site).model_copy(update={"file": site.file.model_copy(update={"influxdb": influx})})
    journal(site, state_dir)
    clock = ScaledClock(TO_AT, 1)
    with closing(Engine(site, rules, state_dir, clock)) as engine:
        engine.recover()
        while engine.step(STEP_ROWS) is not None:
            pass
    with StateDb(state_dir / "state.db") as db:
        archive = Archive(state_dir / "archive", SpanFiles(state_dir / "spans", db), db, site.time_zone)
        while archive.compact(10):
            pass
        with closing(InfluxPart(site, state_dir, db, clock)) as part:
            wait_until(lambda: part.round() == POLL_S, "InfluxDB has everything", timeout_s=120)
    return site


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


def journal(site: Site, state_dir: Path) -> None:
    """What the stations sent, the collector's clock, and what people said."""
    simulator = LiveSimulator(site, SEED, "default")
    rows = [
        (one.received_at, "mqtt", one.topic, one.payload)
        for one in [
            *simulator.messages(FROM_AT, TO_AT),
            *clock_rows(site, FROM_AT, TO_AT + CLOCK_EVERY, CLOCK_EVERY),
        ]
    ]
    rows += [(at, "operator", JOURNAL_OPERATOR, encode(record)) for at, record in records()]
    ordered, last_at = [], FROM_AT
    for at, source, topic, payload in sorted(rows):
        last_at = max(at, last_at + MICROSECOND)
        ordered.append((last_at, RawMessage(source, topic, payload)))
    with Journal(journal_directory(state_dir, site.file.collectors[0])) as writing:
        writing.append_history(ordered)


def records() -> list[tuple[datetime, Record]]:
    """A mark of an hour made in the afternoon, and a check of an analyser."""
    at = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
    about = {"from_at": at - timedelta(hours=2), "to_at": at - timedelta(hours=1)}
    mark = Mark(station="XS-COAL-1", factor="a21026", type="maintenance", reason="年度维护", **about)
    check = Qc(station="XS-CEMENT-1", factor="a21026", check="zero_drift", at=at, passed=True, values="0.3 %, 2 %")
    return [
        (at, Record(v=RECORD_VERSION, actor="plant", origin="test", at=at, action=kind, body=to_body(said)))
        for kind, said in (("mark", mark), ("qc", check))
    ]
