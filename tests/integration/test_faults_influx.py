"""InfluxDB is absent under real processes, or refuses lines: nobody waits for it, and it gets all it ever takes."""

import json
import re
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from app.health.status import attention, status_of
from app.influx.part import DEAD_LETTERS
from contracts.frames import AGGREGATES, READINGS, VERDICTS, empty
from contracts.instants import epoch_us
from store.influx import CURSOR, database_of, query
from store.spans import read_span, span_name, write_span
from store.state_db import SpanRow, StateDb

from .broker import Peer
from .influxd import Influxd
from .live import zunyi
from .service_process import BEGUN, FACTOR, STATION, TOPIC, Centre, centre, numbered, payload
from .test_run_metrics import figures

pytestmark = pytest.mark.server

MIB = 2**20
WARM, WAITING, ROWS, TEXT = 5, 50, 500, 10_000
GROWTH_MAX = 24 * MIB
RULE = f"""version: 1
rules: [{{id: too_high, kind: range, select: {{factor: [{FACTOR}]}}, period: minute, high: 1500, clause: test}}]
"""
DAY_BEFORE = BEGUN - timedelta(days=1)


@pytest.fixture(scope="module")
def influxd(require_program, tmp_path_factory, free_ports):
    """A real one, started and stopped by the tests."""
    server = Influxd(require_program("influxd", "influxdb"), tmp_path_factory.mktemp("influxd"), *free_ports(2))
    yield server
    server.stop()


class Started:
    """A running centre with an InfluxDB, and one station that gives it a number after the other."""

    def __init__(self, one: Centre, metrics_port: int):
        self.centre, self.influx, self._metrics_port = one, one.site.file.influxdb, metrics_port
        (one.directory / "rules").mkdir(exist_ok=True)
        (one.directory / "rules" / "own.yaml").write_text(RULE, encoding="utf-8")
        one.run("collector", "engine", "influxdb", "housekeeping", metrics=f"127.0.0.1:{metrics_port}")
        self._sent, self.given = 0, 0

    def decide(self, n, late=()):
        """Returns when `late` and the next n numbers are decided."""
        sent = [*late, *numbered(self.given, self.given + n)]
        with Peer(self.centre.broker.port, STATION, "s") as station:
            station.publish_all(TOPIC, sent)
        self._sent, self.given = self._sent + len(sent), self.given + n
        self.centre.until(lambda: self.centre.decided("readings").height == self._sent, "all readings are decided")

    def written(self):
        """The last span InfluxDB has."""
        with StateDb(self.centre.state_dir / "state.db") as db:
            return db.cursor(CURSOR)

    def caught_up(self):
        """How many of the numbers InfluxDB has, once it has been given all."""
        with StateDb(self.centre.state_dir / "state.db") as db:
            last = db.last_span().seq
        self.centre.until(lambda: self.written() >= last, "it has caught up")
        return self.held(f"time >= '{BEGUN:%Y-%m-%dT%H:%M:%SZ}'")

    def held(self, where):
        return int(query(self.influx, f"SELECT count(value) AS n FROM reading WHERE {where}")["n"].item())

    def transitions(self):
        with StateDb(self.centre.state_dir / "state.db") as db:
            return [(row["transition"], row["body"]["rule"]) for row in db.transitions()]

    def metric(self, name):
        return figures(self._metrics_port)[f"greenisland_{name}"]


class Waiting:
    """Spans as the engine leaves them, each number in which is that of its span."""

    def __init__(self, one: Centre):
        self.centre, self.state_dir, self.last = one, one.state_dir, 0
        (one.state_dir / "spans").mkdir(parents=True)
        self._begun = BEGUN - timedelta(days=20)
        self._written: list[tuple[str, str]] = []
        self.write(WARM)
        self.commit()
        self.process = one.run("influxdb")

    def write(self, n):
        for seq in range(len(self._written) + 1, len(self._written) + n + 1):
            digest = write_span(self.state_dir / "spans" / span_name(seq), self._frames(seq))
            self._written.append((span_name(seq), digest))

    def commit(self):
        """What was written and is not committed."""
        with StateDb(self.state_dir / "state.db") as db:
            for seq, (name, digest) in enumerate(self._written[self.last :], self.last + 1):
                db.commit_span(SpanRow(seq, name, digest, seq - 1, seq, None, None, {}), now_us=0)
        self.last = len(self._written)

    def _frames(self, seq):
        at = self._begun + timedelta(hours=seq)
        about = {"station": STATION, "factor": FACTOR, "kind": "rtd", "value": float(seq), "received_at": at}
        readings = pl.DataFrame([about] * ROWS, schema=READINGS).with_columns(
            event_at=at + pl.duration(seconds=pl.int_range(ROWS)),
            raw_text=pl.int_range(ROWS).cast(pl.String).str.zfill(TEXT),
        )
        return {"readings": readings, "aggregates": empty(AGGREGATES), "verdicts": empty(VERDICTS)}


@pytest.fixture(scope="module")
def waiting(tmp_path_factory, influxd):
    """The part that writes to InfluxDB, as a process on a state directory of its own."""
    folder = tmp_path_factory.mktemp("waiting")
    directory, site, _ = zunyi(folder, 1883, influxdb={"url": influxd.url, "database": "waiting"})
    spans = Waiting(Centre(directory, site, None, folder / "state"))
    yield spans
    spans.centre.end()


@pytest.fixture(scope="module")
def started(request, require_program, tmp_path_factory, free_ports, influxd):
    request.getfixturevalue("waiting")  # its process starts meanwhile
    program, (broker_port, metrics_port) = require_program("mosquitto"), free_ports(2)
    about = {"influxdb": {"url": influxd.url}}
    with centre(tmp_path_factory.mktemp("centre"), broker_port, program, file=about) as one:
        yield Started(one, metrics_port)


def test_an_influxdb_that_comes_late_delays_nobody_and_has_everything_in_the_end(started, influxd):
    influxd.stop()
    logged = len(started.centre.log())
    started.centre.until(lambda: "does not answer" in started.centre.log()[logged:], "it is missed")
    before = started.written()
    started.decide(400)
    assert started.written() == before
    influxd.start()
    assert started.caught_up() == started.given


def test_what_influxdb_refuses_is_put_aside_and_said_and_the_rest_and_every_decision_go_on(started, influxd):
    """Another program wrote `value` as a whole number the day before: of that day 1.x then takes no other kind."""
    influxd.start()
    database = database_of(started.influx, "raw")
    query(started.influx, f'CREATE DATABASE "{database}"')
    foreign = f"reading,station=S9 value=1i {epoch_us(DAY_BEFORE)}000".encode()
    with urllib.request.urlopen(f"{influxd.url}/write?db={database}", foreign, timeout=10) as answer:
        assert answer.status == 204
    late = [DAY_BEFORE + timedelta(seconds=n) for n in range(20)]
    started.decide(100, [payload(at, 7) for at in late])
    assert started.caught_up() == started.given
    letters = [json.loads(line) for line in (started.centre.state_dir / DEAD_LETTERS).read_text().splitlines()]
    assert [letter["line"].rpartition(" ")[2] for letter in letters] == [f"{epoch_us(at)}000" for at in late]
    assert {letter["line"].partition(",factor")[0] for letter in letters} == {f"reading,station={STATION}"}
    assert {(letter["bucket"], letter["status"]) for letter in letters} == {("raw", 400)}
    assert all("field type conflict" in letter["message"] for letter in letters)
    assert started.held(f"time < '{BEGUN:%Y-%m-%dT%H:%M:%SZ}'") == 1  # the other program's
    found = attention(status_of(started.centre.state_dir, datetime.now(UTC), started.centre.site))
    assert [line for line in found if "InfluxDB" in line] == [
        f"InfluxDB refused {len(late)} lines; read {DEAD_LETTERS}, mend, move it away"
    ]
    assert started.metric("influxdb_refused_lines") == len(late)
    assert started.transitions() == []
    started.decide(10, [payload(DAY_BEFORE + timedelta(hours=1), 1800)])
    assert started.transitions() == [("fired_in_retrospect", "too_high")]
    assert started.caught_up() == started.given


def most_resident(process):
    """Bytes, since it started."""
    said = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", said)[1]) * 1024


def test_spans_for_an_influxdb_that_goes_away_wait_on_disk_and_are_written_in_order_when_it_is_back(waiting, influxd):
    """50 spans of 500 values sent with 10,000 digits take 250 MB once they are read, ten times what may be added.

    They wait while InfluxDB is absent, and then all are written; the writer may hold one and its lines.
    """
    one, influx = waiting.centre, waiting.centre.site.file.influxdb

    def written():
        with StateDb(one.state_dir / "state.db") as db:
            return db.cursor(CURSOR)

    def behind():
        return status_of(one.state_dir, datetime.now(UTC), one.site).decided.behind["influxdb"]

    influxd.start()
    waiting.write(WAITING)
    one.until(lambda: written() == WARM, "the first are written")
    warm = most_resident(waiting.process)
    influxd.stop()
    waiting.commit()
    one.until(lambda: f"{WAITING} spans left" in one.log(), "they are missed")
    assert behind() == WAITING
    influxd.start()
    left = set()

    def is_written():
        left.add(behind())
        before = written()
        newest = int(query(influx, "SELECT last(value) AS n FROM reading")["n"].item())
        assert before <= newest <= written() + 1  # in order
        return 0 in left

    one.until(is_written, "all are written")
    assert {0} < left - {WAITING}  # `status` shows how it comes on
    assert most_resident(waiting.process) - warm < GROWTH_MAX
    in_memory = sum(frame.estimated_size() for frame in read_span(one.state_dir / "spans" / span_name(1)).values())
    assert in_memory * WAITING > 10 * GROWTH_MAX
