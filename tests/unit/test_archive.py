"""The archive holds every row of every span once, whatever crashed where, by the site's civil dates."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from contracts import frames
from store import archive
from store.archive import (
    AGGREGATE_KEY,
    TABLES,
    Archive,
    PartDamaged,
    damaged_parts,
    latest_revisions,
    read_archive,
)
from store.parquet import canonical

START = datetime(2026, 2, 28, 15, 59, tzinfo=UTC)  # 23:59 in Shanghai
ZONE = "Asia/Shanghai"


class Spans:
    """Spans kept in memory: contracts.ports.SpanSource."""

    def __init__(self):
        self.spans: list[dict[str, pl.DataFrame]] = []

    def spans_after(self, cursor):
        yield from list(enumerate(self.spans, start=1))[cursor:]


class Cursors:
    """Kept in memory; `fail` stands for the crash between the last rename and the cursor."""

    def __init__(self):
        self.values, self.fail = {}, False

    def cursor(self, name):
        return self.values.get(name, 0)

    def set_cursor(self, name, value):
        if self.fail:
            raise KeyboardInterrupt
        self.values[name] = value


def span(n: int) -> dict[str, pl.DataFrame]:
    """One minute's rows of two stations; every fifth span brings a reading of long ago and a revision."""
    at = START + timedelta(minutes=n)
    message = {"received_at": at, "source": "mqtt", "topic": "t", "message": n.to_bytes(16, "big")}
    readings = [
        {
            **message,
            "station": station,
            "factor": "a21026",
            "kind": "rtd",
            "period_s": 0,
            "event_at": at,
            "value": n / 7,
        }
        for station in ("S2", "S1")
    ]
    aggregates = [{"station": "S1", "factor": "a21026", "period": "minute", "window_at": at, "revision": 1}]
    if n % 5 == 0:
        readings.append({**readings[0], "event_at": at - timedelta(days=40)})
        aggregates.append({**aggregates[0], "window_at": START, "revision": 2 + n, "sum_scaled": -(10**25) * n})
    return {
        "readings": pl.DataFrame(readings, schema=frames.READINGS),
        "rejects": pl.DataFrame([{**message, "reason": "not_json"}], schema=frames.REJECTS),
        "events": pl.DataFrame([{**message, "event": "heartbeat"}], schema=frames.EVENTS),
        "aggregates": pl.DataFrame(aggregates, schema=frames.AGGREGATES),
        "verdicts": frames.empty(frames.VERDICTS),
        "transitions": pl.DataFrame({"episode": ["e"]}),
    }


@pytest.fixture
def parts(tmp_path):
    spans, cursors = Spans(), Cursors()
    return spans, cursors, Archive(tmp_path, spans, cursors, ZONE)


def assert_holds(directory, spans: list[dict[str, pl.DataFrame]]) -> None:
    for name, table in TABLES.items():
        expected = canonical(pl.concat([span[name] for span in spans]), table.sort_by)
        assert_frame_equal(canonical(read_archive(directory, name).collect(), table.sort_by), expected)


def test_archived_rows_are_the_rows_of_the_spans(parts, tmp_path):
    spans, cursors, archived = parts
    spans.spans = [span(n) for n in range(12)]
    assert [archived.compact(5) for _ in range(4)] == [5, 5, 2, 0]
    assert cursors.values == {"archive": 12}
    assert_holds(tmp_path, spans.spans)


def test_a_row_lies_under_its_civil_date_in_the_sites_zone(parts, tmp_path):
    spans, _, archived = parts
    spans.spans = [span(n) for n in range(3)]
    archived.compact(10)
    assert sorted(path.name for path in (tmp_path / "readings").iterdir()) == [
        "date=2026-01-19",  # 40 days before
        "date=2026-02-28",
        "date=2026-03-01",
    ]
    march = read_archive(tmp_path, "readings", date(2026, 3, 1), date(2026, 3, 1)).collect()
    assert march["event_at"].unique().sort().to_list() == [START + timedelta(minutes=n) for n in (1, 2)]
    february = read_archive(tmp_path, "readings", to_date=date(2026, 2, 28)).collect()
    assert march.height + february.height == read_archive(tmp_path, "readings").collect().height


@pytest.mark.parametrize("grown", [False, True], ids=["same spans again", "more spans by then"])
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("rhythm", [1, 2, 100])
def test_a_crash_between_rename_and_cursor_gives_no_row_twice(parts, tmp_path, grown, restarted, rhythm):
    spans, cursors, archived = parts
    spans.spans = [span(n) for n in range(8)]
    archived.compact(3)
    cursors.fail = True
    with pytest.raises(KeyboardInterrupt):
        archived.compact(3)
    cursors.fail = False
    (tmp_path / "readings" / "date=2026-03-01" / "part-1.parquet.77.tmp").write_text("half")
    if grown:
        spans.spans += [span(n) for n in range(8, 12)]
    if restarted:
        archived = Archive(tmp_path, spans, cursors, ZONE)
    while archived.compact(rhythm):
        pass
    assert_holds(tmp_path, spans.spans)
    assert list(tmp_path.rglob("*.tmp")) == []


def test_merging_leaves_one_part_a_date_and_changes_no_row(parts, tmp_path):
    spans, _, archived = parts
    spans.spans = [span(n) for n in range(12)]
    while archived.compact(5):
        pass
    march = tmp_path / "readings" / "date=2026-03-01"
    assert len(list(march.iterdir())) == 3
    assert archived.merge(before=date(2026, 3, 1)) > 0
    assert len(list(march.iterdir())) == 3, "a date that is not over is left alone"
    archived.merge(before=date(2026, 3, 2))
    assert_holds(tmp_path, spans.spans)
    assert len(list(march.iterdir())) == 4, "whoever reads the old parts can finish"
    assert archived.merge(before=date(2026, 3, 2)) == 0
    assert [path.name for path in march.iterdir()] == ["part-000000000001-000000000012.parquet"]
    spans.spans.append(span(15))
    archived.compact(1)
    archived.merge(before=date(2026, 3, 2))
    archived.merge(before=date(2026, 3, 2))
    assert [path.name for path in march.iterdir()] == ["part-000000000001-000000000013.parquet"]
    assert_holds(tmp_path, spans.spans)


def test_a_merged_date_has_the_same_bytes_however_its_spans_were_cut(tmp_path):
    contents = []
    for rhythm in (1, 4, 7):
        spans = Spans()
        spans.spans = [span(n) for n in range(12)]
        directory = tmp_path / str(rhythm)
        archived = Archive(directory, spans, Cursors(), ZONE)
        while archived.compact(rhythm):
            pass
        for _ in range(2):
            archived.merge(before=date(2027, 1, 1))
        contents.append(
            {str(path.parent.relative_to(directory)): path.read_bytes() for path in directory.rglob("*.parquet")}
        )
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) == 4 + 2 + 2 + 2


def test_all_revisions_are_kept_and_the_last_of_each_window_can_be_had(parts, tmp_path):
    spans, _, archived = parts
    spans.spans = [span(n) for n in range(12)]
    archived.compact(100)
    rows = read_archive(tmp_path, "aggregates")
    first_window = rows.filter(pl.col("window_at") == START)
    assert sorted(first_window.collect()["revision"].to_list()) == [1, 2, 7, 12]
    latest = latest_revisions(rows, AGGREGATE_KEY).collect()
    assert latest.height == 12
    assert latest.filter(pl.col("window_at") == START)["sum_scaled"].to_list() == [-(10**26)]


def test_an_absent_table_or_date_is_empty_and_has_its_schema(tmp_path):
    for name, table in TABLES.items():
        assert read_archive(tmp_path, name, date(2020, 1, 1)).collect_schema() == table.schema


def test_every_table_can_be_sorted_and_dated():
    for table in archive.TABLES.values():
        assert set(table.sort_by) | set(table.at) <= set(table.schema)


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "cut short":
        content = content[:-100]
    elif how == "overwritten":
        content[-300:] = bytes(300)
    elif how == "another file":
        frames.empty(frames.VERDICTS).write_parquet(path)
        return
    path.write_bytes(b"" if how == "empty" else content)


@pytest.mark.parametrize("how", ["cut short", "overwritten", "empty", "another file"])
def test_a_damaged_part_is_named_and_the_other_parts_are_served(parts, tmp_path, how):
    spans, _, archived = parts
    spans.spans = [span(n) for n in range(2, 12)]
    while archived.compact(4):
        pass
    first, *_ = sorted((tmp_path / "readings" / "date=2026-03-01").iterdir())
    there = read_archive(tmp_path, "readings").collect().height
    lost = pl.read_parquet(first).height
    damage(first, how)
    with pytest.raises(PartDamaged, match=str(first)):
        read_archive(tmp_path, "readings")
    told = []
    assert read_archive(tmp_path, "readings", passed_over=told.append).collect().height == there - lost
    assert [one.path for one in told] == [first]
    assert [one.path for one in damaged_parts(tmp_path)] == [first]
    assert read_archive(tmp_path, "readings", to_date=date(2026, 2, 28)).collect().height > 0


def test_merging_makes_a_damaged_part_again_from_its_span_files(parts, tmp_path, caplog):
    spans, _, archived = parts
    spans.spans = [span(n) for n in range(12)]
    while archived.compact(5):
        pass
    first, *_ = sorted((tmp_path / "readings" / "date=2026-03-01").iterdir())
    damage(first, "cut short")
    assert archived.merge(before=date(2026, 3, 2)) > 0
    assert "made again" in caplog.text
    assert_holds(tmp_path, spans.spans)


def test_a_date_with_a_damaged_part_is_not_merged_when_its_span_files_are_gone(parts, tmp_path, caplog):
    spans, _, archived = parts
    spans.spans = [span(n) for n in range(12)]
    while archived.compact(5):
        pass
    march = tmp_path / "readings" / "date=2026-03-01"
    first, *_ = sorted(march.iterdir())
    whole = first.read_bytes()
    damage(first, "cut short")
    spans.spans = spans.spans[:2]
    archived.merge(before=date(2026, 3, 2))
    assert len(list(march.iterdir())) == 3
    assert str(first) in caplog.text
    first.write_bytes(whole)  # put back from a backup
    spans.spans = [span(n) for n in range(12)]
    archived.merge(before=date(2026, 3, 2))
    assert_holds(tmp_path, spans.spans)
