"""A panel's query gives the same numbers from InfluxDB and from frames; what would not is refused."""

import json
import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.series import MEASUREMENTS
from contracts.site import Influx
from grafana.plan import plan, values
from grafana.query import (
    AUTO,
    Bindings,
    Column,
    NotPortable,
    Query,
    TagValues,
    Where,
    as_json,
    from_json,
    has_zone,
    influxql,
)
from store.influx import InfluxWriter, create_databases, query
from tests.integration.influxd import Influxd

from .answers import assert_same

START = datetime(2026, 2, 27, 16, tzinfo=UTC)  # midnight in China
NUMBERS = ("mean", "max", "valid_n", "expected_n")
TAGS = ("station", "factor", "place_zh")
STATIONS = ("S1", "S.2", "a|b", "facility:F")


def made_rows() -> pl.DataFrame:
    """Three days of hours, some missing, some without a mean, one tag absent from a station."""
    rng = random.Random(5)
    rows = []
    for station in STATIONS:
        for factor in ("a21026", "p01003"):
            for hour in range(72):
                if rng.random() < 0.3:
                    continue
                is_lost = rng.random() < 0.2
                rows.append(
                    {
                        "time": START + timedelta(hours=hour),
                        "station": station,
                        "factor": factor,
                        "period": "hour",
                        "place_zh": None if station == "S1" else f"排口 {station[0]}",
                        "mean": None if is_lost else rng.choice([0.0, -1.5, rng.uniform(0, 100)]),
                        "max": None if is_lost else rng.choice([hour * 10.0, hour * 10.0, rng.uniform(0, 700)]),
                        "valid_n": float(rng.randrange(61)),
                        "expected_n": rng.choice([60.0, 60.0, 0.0]),
                        "revision": float(rng.randrange(1, 4)),
                        "reason": "no_data" if is_lost else "",
                    }
                )
    return pl.DataFrame(rows, schema=MEASUREMENTS["aggregate"].schema())


ROWS = made_rows()


@pytest.fixture(scope="module")
def influx(require_program, tmp_path_factory, free_ports):
    folder = tmp_path_factory.mktemp("query")
    server = Influxd(require_program("influxd", "influxdb"), folder, *free_ports(2))
    server.start()
    about = Influx(url=server.url, minute_kept=timedelta(days=36500), raw_kept=timedelta(days=36500))
    create_databases(about)
    writer = InfluxWriter(about, None, None, None, folder / "dead.ndjson")
    writer.write_rows({}, {"aggregate": ROWS})
    writer.close()
    yield about
    server.stop()


names = st.sampled_from(NUMBERS)
instants = st.integers(-3, 75).flatmap(
    lambda hour: st.sampled_from([timedelta(), timedelta(minutes=17, milliseconds=3)]).map(
        lambda more: START + timedelta(hours=hour) + more
    )
)
conditions = st.lists(
    st.one_of(
        st.just(Where("reason", "=", "")),
        st.just(Where("station", "=~", "station")),
        st.just(Where("place_zh", "=~", "place")),
        st.sampled_from(STATIONS).map(lambda one: Where("station", "!=", one)),
        st.builds(Where, names, st.sampled_from([">", ">=", "<", "<=", "=", "!="]), st.sampled_from([0.0, 10.0, 55.5])),
    ),
    max_size=2,
    unique=True,
).map(tuple)
groups = st.lists(st.sampled_from(TAGS), max_size=2, unique=True).map(tuple)
widths = st.sampled_from(["1h", "1d", "6h", AUTO])


@st.composite
def aggregates(draw):
    columns, group = [], draw(groups)
    for n in range(draw(st.integers(1, 2))):
        how = draw(st.sampled_from(["mean", "min", "max", "sum", "count", "last"]))
        over = draw(st.sampled_from([None, "expected_n"])) if how == "sum" else None
        times = draw(st.sampled_from([1.0, 100.0, 0.1229]))
        columns.append(Column(draw(names), how, f"c{n}", over, times))
    if any(one.aggregation == "last" for one in columns):  # of points of one instant it may be any
        group = ("station", "factor")
    every = draw(st.none() | widths)
    fill = draw(st.sampled_from(["none", "null", "0", "previous"])) if every else "none"
    return Query("hour", "aggregate", tuple(columns), draw(conditions), group, every, fill)


differences = st.builds(
    lambda where, group, every, times: Query(
        "hour", "aggregate", (Column("max", "max", "step", times=times, is_difference=True),), where, group, every
    ),
    conditions,
    groups,
    st.sampled_from(["1h", "1d", "6h"]),
    st.sampled_from([1.0, 0.1229]),
)
newest = st.builds(
    lambda where, group, is_in_range: Query(
        "hour",
        "aggregate",
        (Column("revision", "last"), Column("mean"), Column("reason"), Column("place_zh")),
        where,
        group,
        is_in_range=is_in_range,
    ),
    conditions,
    st.just(("station", "factor")),
    st.booleans(),
)
points = st.builds(
    lambda where, is_in_range: Query(
        "hour",
        "aggregate",
        (Column("mean"), Column("max"), Column("station"), Column("reason")),
        where,
        is_in_range=is_in_range,
    ),
    conditions,
    st.booleans(),
)
bindings = st.builds(
    lambda one, other, stations, places, minutes: Bindings(
        min(one, other),
        max(one, other),
        {key: chosen for key, chosen in (("station", stations), ("place", places)) if chosen is not None},
        timedelta(minutes=minutes),
    ),
    instants,
    instants,
    st.none() | st.lists(st.sampled_from(STATIONS), min_size=1, max_size=2),
    st.none() | st.just(["排口 S"]),
    st.sampled_from([17, 60, 90]),
)


@pytest.mark.server
@settings(max_examples=150)
@given(st.one_of(aggregates(), aggregates(), differences, newest, points), bindings)
def test_server_and_plan_give_the_same_numbers(influx, asked, bound):
    served = query(influx, influxql(asked, bound), bucket="hour")
    assert_same(asked, served, plan(asked, ROWS.lazy(), bound).collect())


@pytest.mark.server
@given(bindings, st.sampled_from(["station", "factor"]))
def test_a_variable_offers_the_same_values(influx, bound, tag):
    asked = TagValues("hour", "aggregate", tag, (Where("station", "=~", "station"), Where("period", "=", "hour")))
    served = query(influx, influxql(asked, bound), bucket="hour")
    found = [] if served.is_empty() else sorted(served["value"].to_list())
    assert found == values(asked, ROWS.lazy(), bound)


@given(st.one_of(aggregates(), differences, newest, points))
def test_a_query_travels_as_json(asked):
    assert from_json(json.loads(json.dumps(as_json(asked)))) == asked


def test_a_variables_query_travels_as_json():
    asked = TagValues("events", "registry", "station_zh", (Where("park", "=~", "park"),))
    assert from_json(json.loads(json.dumps(as_json(asked)))) == asked


def test_the_text_without_bindings_holds_grafanas_own_placeholders():
    asked = Query(
        "hour", "aggregate", (Column("mean", "mean"),), (Where("station", "=~", "station"),), ("factor",), AUTO, "null"
    )
    assert influxql(asked) == (
        'SELECT mean("mean") AS "mean" FROM "aggregate" WHERE "station" =~ /^${station:regex}$/ AND $timeFilter'
        " GROUP BY time($__interval), \"factor\" fill(null) tz('Asia/Shanghai')"
    )


def test_days_follow_civil_time():
    asked = Query("hour", "aggregate", (Column("mean", "mean"),), every="1d")
    assert has_zone(asked)
    assert influxql(asked).endswith("fill(none) tz('Asia/Shanghai')")
    bound = Bindings(START, START + timedelta(days=3))
    days = plan(asked, ROWS.lazy(), bound).collect()["time"].to_list()
    assert days == [START + timedelta(days=n) for n in range(3)]


MEAN = Column("mean", "mean")


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"columns": ()}, "no column"),
        ({"columns": (MEAN, Column("max"))}, "beside one last"),
        ({"columns": (Column("max"),), "group": ("station",)}, "cannot be grouped"),
        ({"columns": (MEAN,), "every": "1w"}, "no width"),
        ({"columns": (MEAN,), "every": "30d"}, "one day at most"),
        ({"columns": (MEAN,), "fill": "null"}, "only time buckets"),
        ({"columns": (MEAN,), "every": "1h", "is_in_range": False}, "need a range"),
        ({"columns": (MEAN,), "newest_first": 3}, "have a newest"),
        ({"columns": (Column("mean", "mean", over="max"),)}, "only a sum"),
        ({"columns": (Column("max", "max", is_difference=True),)}, "fixed time buckets"),
        ({"columns": (MEAN, MEAN)}, "two columns"),
    ],
)
def test_what_a_server_or_the_plan_would_understand_differently_is_refused(about, why):
    with pytest.raises(NotPortable, match=why):
        Query("hour", "aggregate", **about)
