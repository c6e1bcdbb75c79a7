"""The writer against a real influxd 1.x: what is read back is what the spans hold, whatever happened on the way."""

import json
import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from contracts import frames
from contracts.series import BUCKETS
from contracts.site import Influx
from store.archive import AGGREGATE_KEY, Archive, latest_revisions, read_archive
from store.influx import InfluxWriter, QueryRefused, Retry, create_databases, database_of, query
from store.spans import SpanFiles, span_name, write_span
from store.state_db import SpanRow, StateDb
from tests.integration.influxd import Influxd

pytestmark = pytest.mark.server

START = datetime(2026, 3, 1, tzinfo=UTC)
STATIONS = ["ZY-001", "习水 电厂,一号=A", 'say "hi"', "back\\slash"]
BATCH_LINES = 40
FOR_GOOD = {"raw_kept": "36500d", "minute_kept": "36500d"}  # the samples are of a day gone by
BUCKET = {"reading": "raw", "aggregate": "minute", "verdict": "minute"}


def span(n: int) -> dict[str, pl.DataFrame]:
    """Ten seconds' readings, an aggregate and a verdict of every station; spans 3, 6, ... revise the first window."""
    rng = random.Random(n)
    at = START + timedelta(seconds=10 * n)
    about = [{"station": station, "factor": "a21026"} for station in STATIONS]
    received = {"kind": "rtd", "period_s": 0, "device_revision": 0, "received_at": at, "mark": rng.choice(["N", None])}
    seconds = [timedelta(seconds=s, microseconds=n + 1) for s in range(10)]
    readings = [
        {**who, **received, "event_at": at + second, "value": rng.uniform(-1e3, 1e3)}
        for who in about
        for second in seconds
    ]
    window = {"period": "minute", "window_at": START if n % 3 == 0 else at, "revision": 1 + n}
    counted = {"valid_n": n, "present_n": 60, "expected_n": 60, "decimals": 3, "reason": None if n else "no_data"}
    aggregates = [{**who, **window, **counted, "sum_scaled": rng.randrange(-(10**20), 10**20)} for who in about]
    judged = {"rule": "limit_minute", "state": "exceedance", "value_scaled": n, "limit_scaled": 5, "level": "red"}
    verdicts = [{**who, **window, **judged, "decimals": 3} for who in about]
    return {
        "readings": pl.DataFrame(readings, schema=frames.READINGS),
        "aggregates": pl.DataFrame(aggregates, schema=frames.AGGREGATES),
        "verdicts": pl.DataFrame(verdicts, schema=frames.VERDICTS),
    }


@pytest.fixture(scope="module")
def program(require_program):
    return require_program("influxd", "influxdb")


@pytest.fixture
def influxd(program, tmp_path, free_port):
    directory = tmp_path / "influxd"
    directory.mkdir()
    server = Influxd(program, directory, free_port(), free_port())
    server.start()
    yield server
    server.stop()


class Room:
    """state.db, span files, archive and writer, wired as the engine wires them."""

    def __init__(self, directory, url: str):
        self.directory = directory
        self.influx = Influx(url=url, database="贵 island", batch_lines=BATCH_LINES, **FOR_GOOD)
        self.state = StateDb(directory / "state.db")
        self.spans = SpanFiles(directory, self.state)
        self.archive = Archive(directory / "archive", self.spans, self.state, "Asia/Shanghai")
        self.dead_letters = directory / "deadletter.ndjson"
        self.writer = self.new_writer()

    def new_writer(self) -> InfluxWriter:
        return InfluxWriter(self.influx, None, self.spans, self.state, self.dead_letters, jitter=random.Random(1))

    def commit(self, named: dict[str, pl.DataFrame]) -> None:
        last = self.state.last_span()
        seq = last.seq + 1 if last else 1
        digest = write_span(self.directory / span_name(seq), named)
        self.state.commit_span(SpanRow(seq, span_name(seq), digest, seq - 1, seq, None, None, {}), now_us=0)

    def query(self, influxql: str) -> pl.DataFrame:
        bucket = next((bucket for name, bucket in BUCKET.items() if f"FROM {name}" in influxql), "raw")
        return query(self.influx, influxql, bucket=bucket)

    def close(self) -> None:
        self.writer.close()
        self.state.close()


@pytest.fixture
def room(influxd, tmp_path):
    opened = Room(tmp_path, influxd.url)
    create_databases(opened.influx)
    yield opened
    opened.close()


def assert_serves_what_the_archive_holds(room: Room) -> None:
    while room.archive.compact(4):
        pass
    archive = room.directory / "archive"

    readings = read_archive(archive, "readings").select("station", "event_at", "value", "mark").collect()
    served = room.query("SELECT station, value, mark FROM reading")
    assert_frame_equal(
        served.select("station", event_at="time", value="value", mark="mark").sort("station", "event_at"),
        readings.with_columns(pl.col("mark").fill_null("")).sort("station", "event_at"),
        check_exact=True,
    )
    aggregates = latest_revisions(read_archive(archive, "aggregates"), AGGREGATE_KEY).collect()
    expected = sorted(
        (
            row["station"],
            row["window_at"],
            float(row["sum_scaled"]) / (row["valid_n"] * 10 ** row["decimals"]) if row["valid_n"] else None,
            float(row["valid_n"]),
            float(row["revision"]),
            row["reason"] or "",
        )
        for row in aggregates.to_dicts()
    )
    served = room.query("SELECT station, mean, valid_n, revision, reason FROM aggregate")
    columns = ["station", "time", "mean", "valid_n", "revision", "reason"]
    assert sorted(served.select(columns).rows()) == expected


def test_what_is_read_back_is_what_the_archive_holds(room):
    for n in range(1, 10):
        room.commit(span(n))
    while room.writer.drain(4):
        pass
    assert_serves_what_the_archive_holds(room)
    counts = room.writer.counts
    assert (counts.spans, counts.lines, counts.lines_dead) == (9, 9 * 48, 0)
    verdicts = room.query('SELECT last(value) AS value, "limit", level FROM verdict GROUP BY station, rule')
    assert sorted(verdicts["station"].to_list()) == sorted(STATIONS)
    assert verdicts.select("value", "limit", "level").unique().rows() == [(0.008, 0.005, "red")]


def test_writing_again_changes_nothing(room):
    for n in range(1, 5):
        room.commit(span(n))
    room.writer.drain(10)
    before = {name: room.query(f"SELECT * FROM {name}") for name in ("reading", "aggregate", "verdict")}
    room.state.set_cursor("influx", 0)
    assert room.writer.drain(10) == 4
    for name, frame in before.items():
        assert_frame_equal(room.query(f"SELECT * FROM {name}"), frame, check_exact=True)


def test_the_winner_of_a_rewritten_reading_is_served_in_whatever_order_a_span_holds_them(room):
    named = span(1)
    first = named["readings"][:1]
    later = first.with_columns(received_at=pl.lit(START + timedelta(days=1)), value=2.0, mark=pl.lit(None, pl.String))
    corrected = first.with_columns(device_revision=pl.lit(1, pl.Int32), value=3.0)
    room.commit({**named, "readings": pl.concat([corrected, later, first])})
    room.writer.drain(1)
    assert room.query("SELECT value, mark FROM reading").drop("time").rows() == [(3.0, first["mark"].item() or "")]
    room.commit({**named, "readings": pl.concat([later.with_columns(device_revision=pl.lit(2, pl.Int32)), corrected])})
    room.writer.drain(1)
    assert room.query("SELECT value, mark FROM reading").drop("time").rows() == [(2.0, "")]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_line_the_server_refuses_is_put_aside_and_the_rest_is_written(room, bad):
    named = span(1)
    spoiled = named["readings"].with_row_index("n")
    value = pl.when(pl.col("n") == 13).then(bad).otherwise(pl.col("value"))
    room.commit({**named, "readings": spoiled.with_columns(value=value).drop("n")})
    room.commit(span(2))
    assert room.writer.drain(10) == 2
    [dead] = [json.loads(line) for line in room.dead_letters.read_text().splitlines()]
    assert dead["span"] == 1
    assert dead["line"].startswith("reading,station=习水\\ 电厂\\,一号\\=A,")
    assert "invalid" in dead["message"]
    assert room.query("SELECT count(value) FROM reading")["count"].to_list() == [79.0]
    assert (room.writer.counts.lines, room.writer.counts.lines_dead) == (95, 1)


def test_a_type_conflict_puts_aside_the_lines_of_that_field_only(room):
    """An integer `value` of another program in one measurement; 1.x then takes nothing of the series."""
    room.commit(span(1))
    readings = room.writer._client.api_client
    at_ns = int((START + timedelta(seconds=10)).timestamp()) * 10**9
    readings.call_api(
        "/write",
        "POST",
        query_params=[("db", f"{room.influx.database}_minute")],
        header_params={"Content-Type": "text/plain; charset=utf-8"},
        body=f"verdict,rule=limit_minute,station=ZY-001 value=1i {at_ns}".encode(),
    )
    room.writer.drain(1)
    dead = [json.loads(line) for line in room.dead_letters.read_text().splitlines()]
    assert {item["line"].split(",")[0] for item in dead} == {"verdict"}
    assert all("conflict" in item["message"] for item in dead)
    assert len(dead) == len(STATIONS)
    assert room.query("SELECT count(value) FROM reading")["count"].to_list() == [40.0]
    assert room.query("SELECT count(mean) FROM aggregate")["count"].to_list() == [4.0]


def test_an_absent_server_costs_only_lag(room, influxd):
    room.commit(span(1))
    room.writer.drain(10)
    influxd.stop()
    for n in range(2, 7):
        room.commit(span(n))
        with pytest.raises(Retry, match="does not answer") as raised:
            room.writer.drain(10)
    assert raised.value.after_s > 4
    assert room.state.cursor("influx") == 1
    influxd.start()
    assert room.writer.drain(3) == 3
    assert room.query("SELECT max(valid_n) FROM aggregate")["max"].to_list() == [4.0], "oldest first"
    assert room.writer.drain(10) == 2
    assert_serves_what_the_archive_holds(room)


def test_a_writer_that_died_before_its_cursor_moved_begins_the_span_again(room):
    class Dying:
        cursor = room.state.cursor

        def set_cursor(self, name: str, value: int) -> None:
            raise KeyboardInterrupt(name, value)

    room.commit(span(1))
    room.commit(span(2))
    dying = InfluxWriter(room.influx, None, room.spans, Dying(), room.dead_letters)
    with pytest.raises(KeyboardInterrupt):
        dying.drain(10)
    dying.close()
    assert room.state.cursor("influx") == 0
    assert room.writer.drain(10) == 2
    assert_serves_what_the_archive_holds(room)


def test_a_database_that_is_not_there_is_waited_for(room):
    query(room.influx, f'DROP DATABASE "{room.influx.database}_raw"')
    room.commit(span(1))
    with pytest.raises(Retry, match="404: database not found"):
        room.writer.drain(1)
    create_databases(room.influx)
    assert room.writer.drain(1) == 1


def test_points_beyond_retention_are_counted_and_do_not_hold_up_the_rest(room):
    ten_years = room.influx.model_copy(update={"raw_kept": timedelta(days=3650)})
    create_databases(ten_years)  # what there is, is changed
    old = span(1)
    ancient = old["readings"].with_columns(event_at=pl.col("event_at") - timedelta(days=9000))
    room.commit({**old, "readings": ancient})
    room.commit({**span(2), "readings": pl.concat([ancient[:3], span(2)["readings"]])})
    assert room.writer.drain(10) == 2
    counts = room.writer.counts
    assert (counts.lines_expired, counts.lines_dead, counts.lines) == (43, 0, 8 + 48)
    assert room.query("SELECT count(value) FROM reading")["count"].to_list() == [40.0]


def test_each_bucket_keeps_as_long_as_the_site_says_and_hours_days_and_events_for_good(room):
    bounded = room.influx.model_copy(update={"raw_kept": timedelta(days=90), "minute_kept": timedelta(days=400)})
    for _ in range(2):  # again: nothing changes
        create_databases(bounded)
        told = {
            bucket: query(bounded, f'SHOW RETENTION POLICIES ON "{database_of(bounded, bucket)}"', bucket=bucket)
            for bucket in BUCKETS
        }
        kept = {bucket: frame.select("name", "duration", "default").rows() for bucket, frame in told.items()}
        assert kept == {
            "raw": [("autogen", "2160h0m0s", 1.0)],
            "minute": [("autogen", "9600h0m0s", 1.0)],
            **{bucket: [("autogen", "0s", 1.0)] for bucket in ("hour", "day", "events")},
        }


def test_a_query_that_cannot_be_answered_says_why(room, influxd):
    with pytest.raises(QueryRefused, match="error parsing query"):
        room.query("SELECT nonsense(")
    with pytest.raises(QueryRefused, match="undefined function nonsense"):
        room.query("SELECT nonsense(value) FROM reading")
    assert room.query("SELECT value FROM nothing").is_empty()
    influxd.stop()
    with pytest.raises(QueryRefused, match="does not answer"):
        room.query("SHOW DATABASES")
