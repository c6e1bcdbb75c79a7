"""InfluxDB absent for long: what was pruned meanwhile is written from the archive; on a real influxd 1.x."""

import threading
from contextlib import closing, contextmanager

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from app.health.status import attention, status_of
from app.influx.gaps import read_gaps, record_gap
from app.influx.part import InfluxPart, gap_of, run_influx
from app.service.engine import Engine
from app.service.housekeeping import keep_house
from contracts.channels import Webhook
from contracts.clock import ScaledClock
from contracts.series import BUCKETS, MEASUREMENTS
from contracts.site import Influx
from rules.spec import LimitRule
from store import influx_refill
from store.archive import AGGREGATE_KEY, VERDICT_KEY, Archive, latest_revisions, read_archive
from store.influx import CURSOR as WRITTEN
from store.influx import query
from store.journal import Journal
from store.spans import SpanFiles
from store.state_db import StateDb
from tests.builders import START, minutes, site

from .broker import wait_until
from .test_engine import clock_row, journal_directory, message, payload

pytestmark = pytest.mark.server

STATIONS = ("S1", "S2", "S3")
RULES = [
    LimitRule(id="so2", kind="limit", period="minute", levels={"orange": 1.0}),
    LimitRule(id="so2_hour", kind="limit", period="hour", levels={"yellow": 0.9, "orange": 1.0}),
]


def site_at(url):
    points = [{"station": station} for station in STATIONS]
    limits = [{"period": "hour"}, {"period": "minute"}]
    hooks = (Webhook(name="duty", url="http://127.0.0.1:9"),)
    return site(
        points, limits=limits, influxdb=Influx(url=url, raw_kept="36500d", minute_kept="36500d"), channels=hooks
    )


def journal(state_dir):
    """Three hours across midnight of the site; an hour of S1 comes an hour late, and one value a second time."""
    begin = START + minutes(14 * 60)
    rows = [(begin, clock_row(begin))]
    for n in range(180):
        at = begin + minutes(n)
        for station in STATIONS:
            late = 62.0 if station == "S1" and 30 <= n < 90 else 1.0
            body = payload(at, {"a21026": 45.0 + n % 13}, station=station)
            rows.append((at + minutes(late), message(body, f"gi/{station}/json")))
    again = payload(begin + minutes(30), {"a21026": 99.0}, station="S2")
    rows.append((begin + minutes(170.5), message(again, "gi/S2/json")))
    rows += [(begin + minutes(10 * n + 0.99), clock_row(begin + minutes(10 * n))) for n in range(1, 20)]
    with Journal(journal_directory(state_dir, "main")) as writing:
        for at, row in sorted(rows, key=lambda row: row[0]):
            writing.append([row], at)


def decide(state_dir, site_):
    with closing(Engine(site_, RULES, state_dir, ScaledClock(START, 1))) as one:
        one.recover()
        while one.step(40) is not None:
            pass


def archive(state_dir, site_):
    with StateDb(state_dir / "state.db") as db:
        made = Archive(state_dir / "archive", SpanFiles(state_dir / "spans", db), db, site_.time_zone)
        while made.compact(3):
            pass


@pytest.fixture
def centre(tmp_path, influxd):
    """Everything decided and archived; of the spans after the second only the last is left for InfluxDB."""
    site_ = site_at(influxd.url)
    state_dir = tmp_path / "state"
    journal(state_dir)
    decide(state_dir, site_)
    archive(state_dir, site_)
    influxd.start()
    with StateDb(state_dir / "state.db") as db:
        db.set_cursor(WRITTEN, 2)
    done = keep_house(site_, state_dir, START, merge=False, free_share=0.01)
    assert done.unwritten > 10
    (gap,) = read_gaps(state_dir)
    assert (gap.first_span, gap.filled_at, gap.why) == (3, None, "disk nearly full")
    with StateDb(state_dir / "state.db") as db:  # the first two were written in their time
        record_gap(state_dir, gap_of(db, 1, 2, "InfluxDB emptied", "2026-03-01T00:00:00+00:00"))
    return state_dir, site_


def part_of(state_dir, site_, db):
    return InfluxPart(site_, state_dir, db, ScaledClock(START, 1))


@contextmanager
def opened(state_dir, site_):
    with StateDb(state_dir / "state.db") as db, closing(part_of(state_dir, site_, db)) as part:
        yield part


def is_filled(state_dir):
    return all(gap.filled_at for gap in read_gaps(state_dir))


def fill(state_dir, site_):
    with opened(state_dir, site_) as part:
        for _ in range(200):
            part.round()
            if is_filled(state_dir):
                return
    raise AssertionError("not filled in 200 rounds")


def served(site_, measurement):
    about = MEASUREMENTS[measurement]
    frames = [query(site_.file.influxdb, f'SELECT * FROM "{measurement}"', bucket=bucket) for bucket in BUCKETS]
    frame = pl.concat([one for one in frames if not one.is_empty()], how="diagonal")
    columns = ["time", *about.tags, *about.fields]
    return frame.select(name if name in frame.columns else pl.lit(None).alias(name) for name in columns)


def assert_serves_what_the_archive_holds(state_dir, site_):
    folder = state_dir / "archive"
    winners = read_archive(folder, "readings").collect().sort("device_revision", "received_at")
    winners = winners.unique(influx_refill.READING_KEY, keep="last")
    tables = {
        "reading": (winners, "event_at", ["station", "time", "value"]),
        "aggregate": (
            latest_revisions(read_archive(folder, "aggregates"), AGGREGATE_KEY).collect(),
            "window_at",
            ["station", "period", "time", "revision", "valid_n"],
        ),
        "verdict": (
            latest_revisions(read_archive(folder, "verdicts"), VERDICT_KEY).collect(),
            "window_at",
            ["station", "rule", "period", "time", "revision", "state"],
        ),
    }
    for name, (rows, at, columns) in tables.items():
        expected = rows.rename({at: "time"}).with_columns(pl.col("^revision|valid_n|value$").cast(pl.Float64))
        found = served(site_, name).select(columns)
        assert expected.height > 50
        assert_frame_equal(found.sort(columns), expected.select(columns).sort(columns), check_exact=True)


def test_what_was_pruned_is_written_from_the_archive_in_its_latest_revision(centre, caplog):
    caplog.set_level("INFO")
    state_dir, site_ = centre
    waiting = [line for line in attention(status_of(state_dir, START, site_)) if "lacks" in line]
    assert len(waiting) == 1
    assert "influx-gaps.ndjson" in waiting[0]
    fill(state_dir, site_)
    assert_serves_what_the_archive_holds(state_dir, site_)
    revised = served(site_, "aggregate").filter(pl.col("revision") > 1)
    assert set(revised["station"]) == {"S1", "S2"}
    assert "filling the gap of spans 3 to" in caplog.text
    assert "is filled:" in caplog.text
    assert len(read_gaps(state_dir)) == 2  # the lines stay
    assert not [line for line in attention(status_of(state_dir, START, site_)) if "lacks" in line]


def place_of(gap):
    return gap.first_span, *(gap.filling[name] for name in ("date", "table", "station"))


def test_filling_goes_on_where_it_was_after_a_restart_and_after_an_absence(centre, influxd, monkeypatch):
    monkeypatch.setattr(influx_refill, "ROWS_AT_ONCE", 1)  # a piece is a station's day
    state_dir, site_ = centre
    places, before_round, rounds = [], set(), 0
    while not is_filled(state_dir):
        rounds += 1
        assert rounds < 100
        if rounds == 9:
            influxd.stop()
            with opened(state_dir, site_) as part:
                before = read_gaps(state_dir)
                for _ in range(2):
                    assert part.round() > 0
                assert read_gaps(state_dir) == before
            influxd.start()
        with opened(state_dir, site_) as part:  # a new one every time: nothing is remembered but the file
            part.round()
        now = {place_of(gap) for gap in read_gaps(state_dir) if gap.filling and not gap.filled_at}
        places += now - before_round
        before_round = now
    assert len(set(places)) == len(places) > 8  # no piece was begun again
    assert {date for _, date, _, _ in places} == {"2026-03-01", "2026-03-02"}
    assert_serves_what_the_archive_holds(state_dir, site_)


def test_no_gap_is_filled_before_the_archive_has_all_that_was_written(centre):
    state_dir, site_ = centre
    with StateDb(state_dir / "state.db") as db:
        last = db.last_span().seq
        db.set_cursor("archive", last - 1)
    with opened(state_dir, site_) as part:
        for _ in range(5):
            part.round()
    with StateDb(state_dir / "state.db") as db:
        assert db.cursor(WRITTEN) == last
        assert read_gaps(state_dir)[0].filling is None  # it might hold older revisions
        db.set_cursor("archive", last)
    fill(state_dir, site_)
    assert_serves_what_the_archive_holds(state_dir, site_)


def test_an_influxdb_that_is_absent_from_the_start_delays_nobody_and_catches_up_in_order(tmp_path, influxd, caplog):
    caplog.set_level("INFO")
    site_ = site_at(influxd.url)
    state_dir = tmp_path / "state"
    journal(state_dir)
    StateDb(state_dir / "state.db").close()
    stop = threading.Event()
    writer = threading.Thread(target=run_influx, args=(site_, state_dir, ScaledClock(START, 1), stop))
    writer.start()
    try:
        wait_until(lambda: "does not answer" in caplog.text, "it is missed")
        decide(state_dir, site_)
        with StateDb(state_dir / "state.db") as db:
            last = db.last_span().seq
            assert db.outbox_counts()["pending"] > 0  # whoever is concerned is told without it
            assert db.cursor(WRITTEN) == 0
            assert status_of(state_dir, START, site_).decided.behind["influxdb"] == last
            influxd.start()
            wait_until(lambda: db.cursor(WRITTEN) == last, "InfluxDB has all")
    finally:
        stop.set()
        writer.join(30)
    archive(state_dir, site_)
    assert_serves_what_the_archive_holds(state_dir, site_)


def test_a_damaged_span_file_becomes_a_gap_and_does_not_hold_up_those_after_it(tmp_path, influxd, caplog):
    site_ = site_at(influxd.url)
    state_dir = tmp_path / "state"
    journal(state_dir)
    decide(state_dir, site_)
    archive(state_dir, site_)
    path = sorted((state_dir / "spans").iterdir())[4]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    influxd.start()
    with opened(state_dir, site_) as part:
        part.round()
    (gap,) = read_gaps(state_dir)
    assert (gap.first_span, gap.last_span, gap.why) == (5, 5, "span file damaged")
    assert "is not given span 5" in caplog.text
    fill(state_dir, site_)
    with opened(state_dir, site_) as part:
        while part.round() == 0.0:
            pass
    assert_serves_what_the_archive_holds(state_dir, site_)


def test_alerts_and_counts_come_after_an_absence_and_written_again_are_the_same_points(centre):
    state_dir, site_ = centre
    asked = {"alert": "events", "transition": "events", "registry": "events", "pipeline": "raw"}

    def everything():
        influx = site_.file.influxdb
        return {name: query(influx, f'SELECT * FROM "{name}"', bucket=bucket) for name, bucket in asked.items()}

    fill(state_dir, site_)
    first = everything()
    with StateDb(state_dir / "state.db") as db:
        told, spans = db.transitions(), db.last_span().seq
        assert first["transition"].height == len(told) > 2
        assert first["alert"].height == len({row["episode"] for row in told})
        assert 1 < first["pipeline"].height <= spans  # those that were pruned as well
        for cursor in ("influx_transitions", "influx_counts"):
            db.set_cursor(cursor, 0)
    with opened(state_dir, site_) as part:
        part.round()
    for name, frame in everything().items():
        assert_frame_equal(frame, first[name])
