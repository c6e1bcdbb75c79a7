"""CSV rows become messages whose numbers keep their text; whatever gives no reading is counted with its reason."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from app.commands.feed_from_csv import feed_from_csv
from app.feeds import csv_mapping
from app.feeds.csv_feed import Problem
from app.feeds.csv_files import read_feed_from_csv
from app.site.yaml_lines import SiteErrors
from contracts.frames import BATCH, MESSAGES
from ingest.codecs.json_v1 import JsonCodec
from store.feed import read_feed

ROOT = Path(__file__).resolve().parents[2]
HEAD = "version: 1\nfiles: [{path: data.csv}]\n"
TIME = "time: {column: t, zone: Asia/Shanghai}\n"
SO2 = "station: gas1\ncolumns: {a21026: so2}\n"


@pytest.fixture
def convert(tmp_path):
    """convert(mapping, csv) reads the CSV by the mapping."""

    def run(mapping: str, text: str | bytes, **more: str):
        (tmp_path / "mapping.yaml").write_text(mapping, encoding="utf-8")
        for name, content in {"data.csv": text, **more}.items():
            (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return read_feed_from_csv(tmp_path / "mapping.yaml", tmp_path)

    return run


def payloads(feed) -> list[str]:
    return [payload.decode() for payload in feed.messages["payload"]]


def problems(feed) -> list[tuple]:
    return feed.problems.select("line", "column", "reason", "text").rows()


def instants(feed) -> list[str]:
    return [json.loads(payload)["at"] for payload in payloads(feed)]


def test_a_row_becomes_one_message_of_the_projects_own_json(convert):
    feed = convert(HEAD + TIME + SO2 + "period_s: 3600\nkind: avg\n", "t,so2\n2024-03-01 08:00,81.950\n")
    assert payloads(feed) == [
        '{"v":1,"station":"gas1","at":"2024-03-01T08:00:00+08:00","period_s":3600,"kind":"avg",'
        '"readings":{"a21026":81.950}}'
    ]
    row = feed.messages.row(0, named=True)
    assert (row["topic"], row["source"]) == ("gi/gas1/json", "csv")
    assert row["received_at"] == datetime(2024, 3, 1, 1, tzinfo=UTC)
    assert feed.messages.schema == MESSAGES


def test_the_codec_reads_back_text_unit_and_mark(convert):
    mapping = "station: gas1\ncolumns: {a21026: {column: so2, unit: ppm, mark: m}, a19001: o2}\n"
    feed = convert(HEAD + TIME + mapping, "t,so2,m,o2\n2024-03-01T08:00:00,1.50,N,6\n2024-03-01T09:00:00,2,,7\n")
    batch = feed.messages.with_row_index("row").with_columns(message=pl.lit(b""), known_at="received_at")
    result = JsonCodec()(batch.match_to_schema(BATCH), "Asia/Shanghai")
    assert result.rejects.is_empty()
    assert result.readings.select("factor", "raw_text", "raw_unit", "mark").rows() == [
        ("a21026", "1.50", "ppm", "N"),
        ("a19001", "6", None, None),
        ("a21026", "2", "ppm", None),
        ("a19001", "7", None, None),
    ]


@pytest.mark.parametrize(
    ("cell", "sent"),
    [
        *[(same, same) for same in ("0.10", "-1e-3", "0", "0.5E+2", "81.950")],
        *[("+1.5", "1.5"), (".5", "0.5"), ("-.5", "-0.5"), ("5.", "5"), ("5.e3", "5e3")],
        *[("007", "7"), ("00", "0"), (" 3 ", "3")],
    ],
)
def test_a_number_is_sent_as_it_stands_or_as_json_wants_it(convert, cell, sent):
    feed = convert(HEAD + TIME + SO2, f"t,so2\n2024-03-01T08:00:00,{cell}\n")
    assert payloads(feed)[0].endswith(f'"readings":{{"a21026":{sent}}}}}')
    assert feed.counts["rewritten"].to_list() == [int(cell != sent)]


@pytest.mark.parametrize("cell", ["<LQ", "1.2.3", "NaN", "inf", "1 000", "12%", '"1,5"', "--1", ".", "1e", "0x10"])
def test_what_is_no_number_is_a_problem_and_not_a_reading(convert, cell):
    feed = convert(HEAD + TIME + SO2, f"t,so2\n2024-03-01T08:00:00,{cell}\n")
    assert feed.messages.is_empty()
    assert problems(feed) == [(2, "so2", "not_a_number", cell.strip('"')), (2, None, "no_values", None)]


def test_missing_values_are_left_out_and_counted(convert):
    mapping = 'station: s\ncolumns: {a: x, b: y}\nmissing: ["-200", "N/A"]\n'
    feed = convert(
        HEAD + TIME + mapping, "t,x,y\n2024-03-01T08:00,-200.0,1\n2024-03-01T09:00,N/A,\n2024-03-01T10:00,3,-200\n"
    )
    assert [json.loads(payload)["readings"] for payload in payloads(feed)] == [{"b": 1}, {"a": 3}]
    assert feed.counts.select("factor", "readings", "missing").rows() == [("a", 1, 2), ("b", 1, 2)]
    assert problems(feed) == [(3, None, "no_values", None)]


def test_a_reading_whose_mark_cannot_be_sent_is_left_out(convert):
    mapping = "station: s\ncolumns: {a: {column: x, mark: m}, b: y}\n"
    feed = convert(HEAD + TIME + mapping, 't,x,m,y\n2024-03-01T08:00,1,"N""",2\n')
    assert [json.loads(payload)["readings"] for payload in payloads(feed)] == [{"b": 2}]
    assert problems(feed) == [(2, "m", "bad_mark", 'N"')]


@pytest.mark.parametrize(
    ("time", "cell", "at"),
    [
        ("{column: t, zone: Etc/GMT+5, format: epoch_s, shift: -30m}", "1477891800", "2016-10-31T00:00:00-05:00"),
        ("{column: t, zone: UTC, format: epoch_s}", "1477891800.25", "2016-10-31T05:30:00.250+00:00"),
        ("{column: t, zone: Asia/Shanghai}", "2024-03-01T00:00:00Z", "2024-03-01T08:00:00+08:00"),
        ("{column: t, zone: Asia/Shanghai}", "2024-03-01 01:30+01:00", "2024-03-01T08:30:00+08:00"),
        ("{column: t, zone: Asia/Shanghai}", "2024-03-01 08:00:00.5", "2024-03-01T08:00:00.500+08:00"),
        ("{column: t, zone: Asia/Shanghai, format: '%d/%m/%Y %H:%M'}", "01/03/2024 08:00", "2024-03-01T08:00:00+08:00"),
        ("{column: t, zone: Asia/Shanghai, format: '%y%m%d %H'}", "240301 7", "2024-03-01T07:00:00+08:00"),
        ("{column: t, zone: Asia/Shanghai, format: '%Y-%m-%d', shift: 8h}", "2024-03-01", "2024-03-01T08:00:00+08:00"),
        (
            "{column: t, zone: Asia/Shanghai, format: '%Y%m%d%H%M%S%z'}",
            "20240301000000+0000",
            "2024-03-01T08:00:00+08:00",
        ),
    ],
)
def test_times_are_read_as_the_mapping_says(convert, time, cell, at):
    assert instants(convert(HEAD + SO2 + f"time: {time}\n", f"t,so2\n{cell},1\n")) == [at]


def test_a_time_may_stand_in_two_columns(convert):
    time = "time: {column: [d, h], format: '%Y-%m-%d %H:%M', zone: Asia/Shanghai}\n"
    assert instants(convert(HEAD + time + SO2, "d,h,so2\n2024-03-01,08:00,1\n")) == ["2024-03-01T08:00:00+08:00"]


def test_times_that_cannot_be_told_are_problems(convert):
    time = "time: {column: t, zone: America/New_York}\n"
    rows = "yesterday,1\n2024-03-10 02:30,2\n2024-11-03 01:30,3\n2024-11-03 03:30,4\n,\n"
    feed = convert(HEAD + time + SO2, "t,so2\n" + rows)
    assert instants(feed) == ["2024-11-03T03:30:00-05:00"]
    assert problems(feed) == [
        (2, "t", "bad_time", "yesterday"),
        (3, "t", "time_not_in_zone", "2024-03-10 02:30"),
        (4, "t", "time_not_in_zone", "2024-11-03 01:30"),
        (6, None, "empty_line", None),
    ]


def test_rows_without_times_are_laid_step_by_step_from_each_files_start(convert):
    files = "version: 1\nfiles: [{path: data.csv, year: 2011}, {path: b.csv, start: 2013-05-01T12:00}]\n"
    time = 'time: {start: "{year}-01-01T00:00", step: 1h, zone: Asia/Shanghai}\n'
    feed = convert(files + time + SO2, "so2,x\n1,\n,\n2,\n", **{"b.csv": "so2,x\n3,\n"})
    expected = ["2011-01-01T00:00:00+08:00", "2011-01-01T01:00:00+08:00", "2013-05-01T12:00:00+08:00"]
    assert instants(feed) == expected


def test_several_stations_of_a_file_each_have_their_columns(convert):
    stations = "stations:\n  - {station: s1, columns: {a: x}}\n  - {station: s2, columns: {a: y}}\n"
    feed = convert(HEAD + TIME + stations, "t,x,y\n2024-03-01T08:00,1,2\n")
    assert feed.messages["topic"].to_list() == ["gi/s1/json", "gi/s2/json"]
    assert [json.loads(payload)["readings"]["a"] for payload in payloads(feed)] == [1, 2]


def test_a_column_may_name_the_station(convert):
    station = "station: {column: unit, rename: {2BLR: boiler-2}}\ncolumns: {a: x}\n"
    rows = "2024-03-01T08:00,2BLR,1\n2024-03-01T08:00,b3,2\n2024-03-01T08:00,b 4,3\n"
    feed = convert(HEAD + TIME + station, "t,unit,x\n" + rows)
    assert feed.messages["topic"].to_list() == ["gi/boiler-2/json", "gi/b3/json"]
    assert problems(feed) == [(4, "unit", "bad_station", "b 4")]


def test_derived_columns_are_computed_row_by_row(convert):
    derived = "derived: {sum: x + y, share: 100 * x / sum}\nstation: s\ncolumns: {a: share, b: x}\n"
    rows = "2024-03-01T08:00,1,3\n2024-03-01T09:00,0,0\n2024-03-01T10:00,,3\n2024-03-01T11:00,1,?\n"
    feed = convert(HEAD + TIME + derived, "t,x,y\n" + rows)
    assert [json.loads(payload)["readings"] for payload in payloads(feed)] == [{"a": 25.0, "b": 1}, {"b": 0}, {"b": 1}]
    assert problems(feed) == [
        (3, "share", "not_finite", "NaN"),
        (4, None, "no_values", None),
        (5, "y", "not_a_number", "?"),
    ]


def test_semicolons_decimal_commas_other_encodings_and_files_without_header(convert):
    mapping = "station: s\ncolumns: {a: 值}\ndelimiter: ;\ndecimal_comma: true\nencoding: gb18030\nheader: [t, 值]\n"
    feed = convert(HEAD + TIME + mapping, "2024-03-01T08:00;1,50\n2024-03-01T09:00;2.5\n".encode("gb18030"))
    assert [payload.rpartition(":")[2] for payload in payloads(feed)] == ["1.50}}", "2.5}}"]


def test_a_patterns_files_are_read_by_name_and_a_files_own_station_counts(convert):
    files = "version: 1\nfiles: [{glob: '[ab].csv', station: s2}]\n"
    more = {"b.csv": "t,so2\n2024-03-01T09:00,2\n", "a.csv": "t,so2\n2024-03-01T08:00,1\n"}
    feed = convert(files + TIME + SO2, "", **more)
    assert feed.messages["topic"].unique().to_list() == ["gi/s2/json"]
    assert feed.counts["file"].to_list() == ["a.csv", "b.csv"]


def test_columns_nobody_uses_and_rows_back_in_time_are_told(convert):
    feed = convert(HEAD + TIME + SO2 + "skip: [z]\n", "t,so2,nox,z\n2024-03-01T08:00,1,1,1\n2024-03-01T07:00,1,1,1\n")
    assert feed.unused == ["nox"]
    assert feed.backwards == 1


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (
            HEAD + TIME + "station: s\ncolumns:\n  a: S02\n",
            "yaml:6: columns.a: data.csv: there is no column 'S02'; there are t, so2, x, x",
        ),
        (HEAD + TIME + "station: s\ncolumns: {a: so}\n", "there is no column 'so'; did you mean 'so2'?"),
        (HEAD + TIME + "station: s\ncolumns: {a: x}\n", "there are several columns 'x'"),
        (
            HEAD + TIME + SO2 + "derived:\n  d: sum(so2)\n",
            "yaml:7: derived.d: data.csv: 'sum(so2)': sum is an aggregate",
        ),
        (HEAD + TIME + SO2 + "derived: {so2: t + 1}\n", "is a column of the file already"),
        (HEAD + TIME + SO2 + "perod_s: 60\n", "mapping.yaml:6: unknown key 'perod_s'; did you mean 'period_s'?"),
        (HEAD + TIME + SO2 + "missing: [-200]\n", "missing[0]: -200 is not text; put it in quotes"),
        (
            HEAD + TIME + SO2 + "stations: [{station: s, columns: {a: so2}}]\n",
            "write either station and columns, or stations",
        ),
        (HEAD + TIME + "station: s\n", "no columns"),
        (HEAD + TIME + "columns: {a: so2}\n", "no station for data.csv"),
        (HEAD + SO2 + "time: {column: t, zone: Mars}\n", "'Mars' is not a time zone"),
        (HEAD + SO2 + "time: {column: t, zone: UTC, format: epoch}\n", "'epoch' is not a time format"),
        (HEAD + SO2 + "time: {zone: UTC}\n", "time: write either column (and format), or start and step"),
        (HEAD + SO2 + "time: {zone: UTC, step: 1h}\n", "data.csv has no start"),
        (HEAD + SO2 + 'time: {zone: UTC, step: 1h, start: "{year}-01-01"}\n', "data.csv has no year"),
        (HEAD + TIME + SO2 + "encoding: utf9\n", "'utf9' is not an encoding"),
        ("version: 1\nfiles: [{path: dat.csv}]\n" + TIME + SO2, "dat.csv does not exist; did you mean 'data.csv'?"),
        ("version: 1\nfiles: [{glob: '*.txt'}]\n" + TIME + SO2, "fits '*.txt'"),
        ("version: 1\nfiles: [{year: 2011}]\n" + TIME + SO2, "mapping.yaml:2: files[0]: write either path or glob"),
    ],
)
def test_a_wrong_mapping_is_told_in_the_users_words(convert, mapping, told):
    with pytest.raises(SiteErrors) as refused:
        convert(mapping, "t,so2,x,x\n2024-03-01T08:00,1,1,1\n")
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("t,so2\n2024-03-01T08:00,1,2\n", "data.csv: cannot be read as CSV with ',' between cells"),
        ("t,so2\n2024-03-01T08:00,µ\n".encode("latin-1"), "data.csv: is not utf-8 text at byte 23"),
        ("", "data.csv: cannot be read as CSV"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(convert, content, told):
    with pytest.raises(SiteErrors) as refused:
        convert(HEAD + TIME + SO2, content)
    assert told in str(refused.value)


def run_command(*arguments: object):
    app = typer.Typer()
    app.command()(feed_from_csv)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_writes_a_feed_and_tells_what_it_left_out(tmp_path):
    (tmp_path / "mapping.yaml").write_text(HEAD + TIME + SO2, encoding="utf-8")
    (tmp_path / "data.csv").write_text("t,so2,nox\n2024-03-01T08:00,1,2\n2024-03-01T08:00,1,2\n2024-03-01T09:00,?,2\n")
    feed = tmp_path / "out.parquet"
    result = run_command(tmp_path / "mapping.yaml", "--data", tmp_path, "--out", feed, "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert (summary["rows"], summary["messages"], summary["equal_messages"]) == (3, 1, 1)
    assert summary["problems"] == {"no_values": 1, "not_a_number": 1}
    assert "data.csv:4: so2: '?'" in result.stderr
    assert "columns not used: nox" in result.stderr
    assert read_feed(feed).height == 1


def test_the_command_refuses_a_wrong_mapping_without_a_trace_of_python(tmp_path):
    (tmp_path / "mapping.yaml").write_text("version: 1\n", encoding="utf-8")
    result = run_command(tmp_path / "mapping.yaml", "--data", tmp_path, "--out", tmp_path / "out.parquet")
    assert result.exit_code == 2
    assert f"{tmp_path}/mapping.yaml:1: files: is missing" in result.stderr
    assert not (tmp_path / "out.parquet").exists()


def test_the_command_writes_no_feed_without_a_reading(tmp_path):
    (tmp_path / "mapping.yaml").write_text(HEAD + TIME + SO2, encoding="utf-8")
    (tmp_path / "data.csv").write_text("t,so2\n2024-03-01T08:00,\n")
    result = run_command(tmp_path / "mapping.yaml", "--data", tmp_path, "--out", tmp_path / "out.parquet")
    assert result.exit_code == 1
    assert "no row gave a reading" in result.stderr


def test_every_key_of_a_mapping_is_in_the_guide():
    guide = (ROOT / "docs" / "guide" / "csv.md").read_text(encoding="utf-8")
    models = [csv_mapping.Mapping, csv_mapping.SourceFile, csv_mapping.Time, csv_mapping.Value, csv_mapping.StationOf]
    assert [name for model in models for name in model.model_fields if f"`{name}`" not in guide] == []
    assert [problem.value for problem in Problem if f"| `{problem.value}` |" not in guide] == []
