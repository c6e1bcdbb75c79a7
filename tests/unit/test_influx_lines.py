"""Line protocol: types by registry, tags and texts escaped as the server reads them, the newest revision last."""

import math
import re
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from contracts import frames
from contracts.series import MEASUREMENTS
from store.influx_layout import FACTORS, LIMITS, PLACES, Registry, span_rows
from store.influx_lines import lines_by_bucket

AT = datetime(2026, 3, 1, 0, 0, 0, 250_000, tzinfo=UTC)
NS = "1772323200250000000"

READING = {
    "station": "S1",
    "factor": "a21026",
    "kind": "rtd",
    "period_s": 0,
    "event_at": AT,
    "value": 12.5,
    "mark": "N",
    "device_revision": 0,
    "received_at": AT,
}
AGGREGATE = {
    "station": "S1",
    "factor": "a21026",
    "period": "hour",
    "window_at": AT,
    "revision": 1,
    "sum_scaled": 10,
    "valid_n": 3,
    "present_n": 4,
    "expected_n": 60,
    "min_scaled": 1,
    "max_scaled": 5,
    "decimals": 2,
    "unit": "mg/m3",
}
VERDICT = {
    "rule": "limit_hour",
    "station": "S1",
    "factor": "a21026",
    "period": "hour",
    "window_at": AT,
    "revision": 1,
    "state": "exceedance",
    "level": "red",
    "value_scaled": 5820,
    "limit_scaled": 5000,
    "limit_id": "upper",
    "decimals": 2,
    "unit": "mg/m3",
}


PLACE = {"county": "520330", "park": "xishui", "enterprise": "xs-a", "outlet": "DA001", "medium": "flue_gas"}
REGISTRY = Registry(
    pl.DataFrame([{"station": "S1", **PLACE, "place_zh": "一号", "place_en": "No. 1"}], schema=PLACES),
    pl.DataFrame([{"factor": "a21026", "factor_zh": "二氧化硫", "factor_en": "SO2"}], schema=FACTORS),
    pl.DataFrame(
        [
            {"limit_id": "upper", "basis": "permit", "is_lower": False},
            {"limit_id": "lower", "basis": "internal", "is_lower": True},
        ],
        schema=LIMITS,
    ),
)
NAMED = ",county=520330,park=xishui,enterprise=xs-a,outlet=DA001,medium=flue_gas"
NAMED += r",place_zh=一号,place_en=No.\ 1,factor_zh=二氧化硫,factor_en=SO2,unit=mg/m3"


def by_bucket(*, readings=(), aggregates=(), verdicts=(), registry=REGISTRY) -> dict[str, list[str]]:
    named = {
        "readings": pl.DataFrame(list(readings), schema=frames.READINGS),
        "aggregates": pl.DataFrame(list(aggregates), schema=frames.AGGREGATES),
        "verdicts": pl.DataFrame(list(verdicts), schema=frames.VERDICTS),
    }
    made: dict[str, list[str]] = {}
    for measurement, rows in span_rows(named, registry).items():
        for bucket, series in lines_by_bucket(measurement, rows).items():
            made.setdefault(bucket, []).extend(series)
    return made


def lines(**rows) -> list[str]:
    return [line for made in by_bucket(**rows).values() for line in made]


def test_one_line_of_each_measurement():
    assert by_bucket(readings=[READING], aggregates=[AGGREGATE], verdicts=[VERDICT]) == {
        "raw": [f'reading,station=S1,factor=a21026,kind=rtd,period_s=0 value=12.5,mark="N" {NS}'],
        "hour": [
            f"aggregate,station=S1,factor=a21026,period=hour{NAMED}"
            f" mean={10 / 300!r},min=0.01,max=0.05,valid_n=3.0,present_n=4.0,expected_n=60.0,revision=1.0,"
            f'reason="" {NS}',
            f"verdict,rule=limit_hour,station=S1,factor=a21026,limit_id=upper,period=hour,basis=permit{NAMED}"
            f" value=58.2,limit=50.0,limit_pct={100 * (58.2 / 50)!r},severity=3.0,revision=1.0,"
            f'state="exceedance",level="red",reason="" {NS}',
        ],
    }
    assert lines() == []


@pytest.mark.parametrize(
    ("period", "bucket"),
    [
        ("instant", "minute"),
        ("minute", "minute"),
        ("five_minute", "minute"),
        ("hour", "hour"),
        ("day", "day"),
        ("month", "day"),
        ("year", "day"),
    ],
)
def test_windows_go_into_the_bucket_of_their_period(period, bucket):
    made = by_bucket(aggregates=[{**AGGREGATE, "period": period}], verdicts=[{**VERDICT, "period": period}])
    assert {name: len(found) for name, found in made.items() if found} == {bucket: 2}


def test_who_is_not_in_the_registry_is_written_as_nobodys_under_its_own_name():
    [line] = lines(aggregates=[AGGREGATE], registry=Registry())
    assert ",county=-,park=-,enterprise=-,outlet=-,medium=-,place_zh=S1,place_en=S1,factor_zh=a21026," in line


def test_a_lower_limit_is_taken_the_more_the_nearer_the_value_comes_to_it():
    def taken(**row) -> float | None:
        [line] = lines(verdicts=[{**VERDICT, **row}])
        found = re.search(r"limit_pct=([0-9.]+)", line)
        return float(found[1]) if found else None

    assert taken(limit_id="upper", value_scaled=2500) == 50
    assert taken(limit_id="lower", value_scaled=10000) == 50
    assert taken(limit_id="lower", value_scaled=0) is None
    assert taken(limit_id="upper", limit_scaled=0) is None
    assert taken(limit_id=None) is None  # of a rule's own number it is not known which side is the good one
    assert taken(factor="w01001") is None  # pH


@pytest.mark.parametrize(
    ("state", "level", "severity"),
    [
        ("exceedance", "red", 3),
        ("exceedance", "orange", 2),
        ("within", "yellow", 1),
        ("within", None, 0),
        ("no_judgement", None, -1),
        ("not_applicable", None, -2),
    ],
)
def test_a_verdict_always_has_a_severity_and_no_judgement_is_not_the_good_one(state, level, severity):
    [line] = lines(verdicts=[{**VERDICT, "state": state, "level": level}])
    assert f",severity={float(severity)}," in line


@pytest.mark.parametrize("total", [10**30 + 7, -(2**53) - 1, 1, 0, -123456789])
@pytest.mark.parametrize(("n", "decimals"), [(1, 0), (3, 3), (4_294_967_295, 9)])
def test_the_mean_is_the_sum_divided_once(total, n, decimals):
    [line] = lines(aggregates=[{**AGGREGATE, "sum_scaled": total, "valid_n": n, "decimals": decimals}])
    mean = float(line.split("mean=")[1].split(",")[0])
    assert mean == float(total) / (n * 10**decimals)


def test_without_valid_samples_there_is_no_mean():
    [line] = lines(aggregates=[{**AGGREGATE, "valid_n": 0, "sum_scaled": 0, "reason": "no_data"}])
    assert " valid_n=0.0," in line
    assert 'reason="no_data"' in line


def test_absent_texts_are_written_empty_and_absent_numbers_not_at_all():
    [reading] = lines(readings=[{**READING, "mark": None}])
    assert reading.split(" ")[1] == 'value=12.5,mark=""'
    [verdict] = lines(verdicts=[{**VERDICT, "value_scaled": None, "limit_scaled": None, "level": None}])
    assert ' severity=0.0,revision=1.0,state="exceedance",level="",reason="" ' in verdict


@pytest.mark.parametrize(
    ("tag", "written"),
    [
        ("遵义 1#机组", r",station=遵义\ 1#机组"),
        ("a,b=c", r",station=a\,b\=c"),
        (r"a\b", r",station=a\b"),
        ("a\\", r",station=a\\ "),
        ('"q"', ',station="q"'),
        ("a\nb", r",station=a\nb"),
        ("", ""),
        (None, ""),
    ],
)
def test_tags_are_escaped_and_empty_ones_left_out(tag, written):
    [line] = lines(readings=[{**READING, "station": tag}])
    assert line == f'reading{written},factor=a21026,kind=rtd,period_s=0 value=12.5,mark="N" {NS}'


def test_texts_are_escaped():
    [line] = lines(readings=[{**READING, "mark": 'a"b\\c d'}])
    assert 'mark="a\\"b\\\\c d"' in line


@pytest.mark.parametrize("value", [0.1, 1e22, 5e-324, -1.7976931348623157e308, 123456789.123456789, -0.0])
def test_a_float_is_written_so_that_it_reads_back_the_same(value):
    [line] = lines(readings=[{**READING, "value": value}])
    back = float(line.split("value=")[1].split(",")[0])
    assert (back, math.copysign(1, back)) == (value, math.copysign(1, value))


def test_the_newest_of_a_point_is_written_last():
    readings = [
        {**READING, "device_revision": 1, "value": 3.0},
        {**READING, "received_at": AT.replace(second=9), "value": 2.0},
        {**READING, "value": 1.0},
    ]
    written = lines(readings=readings, aggregates=[{**AGGREGATE, "revision": n} for n in (3, 1, 2)])
    assert [line.split("value=")[1][:3] for line in written[:3]] == ["1.0", "2.0", "3.0"]
    assert [line.split("revision=")[1][:3] for line in written[3:]] == ["1.0", "2.0", "3.0"]


def test_every_field_is_a_float_or_a_text_whatever_the_row():
    rows = {
        "readings": [READING, {**READING, "value": 5.0}],
        "aggregates": [AGGREGATE, {**AGGREGATE, "sum_scaled": 300}],
        "verdicts": [VERDICT, {**VERDICT, "value_scaled": 100}],
    }
    for line in lines(**rows):
        head, fields, _ = re.split(r"(?<!\\) ", line)
        kinds = MEASUREMENTS[head.split(",")[0]].fields
        for field in fields.split(","):
            name, value = field.split("=")
            assert value.startswith('"') == (kinds[name] == "text")
            assert not value.endswith("i"), "an integer would conflict with every float before it"


def test_the_guide_names_every_measurement_tag_and_field():
    guide = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "influxdb.md").read_text(encoding="utf-8")
    for name, about in MEASUREMENTS.items():
        [row] = [line for line in guide.splitlines() if line.startswith(f"| `{name}` |")]
        assert set(re.findall(r"`(\w+)`", row)) == {name, *about.tags, *about.fields}
