"""`greenisland mass`: what it prints of an archive of twelve days of one stack, and how it tells what was wrong."""

import csv
import io
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from typer.testing import CliRunner

from app.accounts.mass import mass_account
from app.cli import app
from app.service.collector import journal_directory
from app.site.files import load_site
from contracts.facts import Stop, to_body
from contracts.ports import RawMessage
from contracts.records import RECORD_VERSION, Record, encode
from contracts.topics import JOURNAL_OPERATOR
from rules.ticks import clock_payload
from store.archive import CURSOR, TABLES
from store.journal import Journal
from store.parquet import write_parquet
from store.state_db import SpanRow, StateDb
from tests.conftest import ROOT
from tests.mass_hours import HOUR, windows_of

STATION, OUTLET, FACTOR = "XS-COAL-1", "XS-A-DA001", "a21026"
REGISTERED = "XS-COAL-1,a21026,mg/m3,avg,60,60,0,500,6,mean_then_convert,{},,3600\n"
BEGIN = datetime(2026, 3, 19, 16, tzinfo=UTC)  # the point is there from 2026-03-20 on: 288 hours of the quarter
AFTER = datetime(2026, 4, 2, tzinfo=UTC)  # the marking deadline of the quarter's last day is over
STOP = BEGIN + 200 * HOUR, BEGIN + 204 * HOUR
ONE = ["--station", STATION, "--factor", FACTOR, "--to", "2026-04-01"]


def history():
    """1 kg/h, 3 in the fifth hour; two hours missing after the tenth, 25 after the hundredth; four in a stop."""
    values = [1] * 288
    values[4] = 3
    for hour in (10, 11, *range(100, 125), *range(200, 204)):
        values[hour] = None
    return values


def state_in(folder, site, archived_at=AFTER, values=None):
    """A state directory of which all is archived by then, and in whose journal an approved stop stands."""
    rows = [windows_of(site, FACTOR, values or history(), BEGIN, station=STATION)]
    rows += [windows_of(site, "a00000", [1_000_000] * len(values or history()), BEGIN, station=STATION)]
    revised = rows[0].head(1).with_columns(revision=pl.lit(2, pl.UInt32), sum_scaled=pl.col("sum_scaled") * 2)
    days = pl.concat([*rows, revised]).with_columns(
        day=pl.col("window_at").dt.convert_time_zone("Asia/Shanghai").dt.date()
    )
    for (day,), part in days.partition_by("day", as_dict=True, include_key=False).items():
        path = folder / "archive" / "aggregates" / f"date={day}" / "part-000000000001-000000000001.parquet"
        write_parquet(part, path, TABLES["aggregates"].sort_by, TABLES["aggregates"].schema)
    clock_us = round(archived_at.timestamp() * 1_000_000)
    with StateDb(folder / "state.db") as db:
        db.commit_span(SpanRow(1, None, "", 0, clock_us, None, clock_us, {}), now_us=clock_us)
        db.set_cursor(CURSOR, 1)
    stop = to_body(Stop(station=STATION, from_at=STOP[0], to_at=STOP[1], number="7", reason="检修"))
    record = Record(v=RECORD_VERSION, actor="zhang", origin="test", at=BEGIN, action="stop", body=stop)
    clocks = [(at, RawMessage("mqtt", "$clock/main", clock_payload(at))) for at in (BEGIN, BEGIN + 2 * HOUR)]
    said = (BEGIN + HOUR, RawMessage("operator", JOURNAL_OPERATOR, encode(record)))
    with Journal(journal_directory(folder, "main")) as journal:
        journal.append_history([clocks[0], said, clocks[1]])
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mass")
    shutil.copytree(ROOT / "deploy" / "sites" / "zunyi", folder / "site")
    points = folder / "site" / "registry" / "points.csv"
    text = points.read_text(encoding="utf-8")
    assert REGISTERED.format("") in text
    points.write_text(text.replace(REGISTERED.format(""), REGISTERED.format("2026-03-20")), encoding="utf-8")
    return folder / "site", state_in(folder / "state", load_site(folder / "site"))


def run(place, *words, code=0):
    site, state = place
    result = CliRunner().invoke(
        app, ["mass", "--site", str(site), "--state", str(state), *words], env={"COLUMNS": "400"}
    )
    assert result.exit_code == code, result.output
    return result.output


def told(place, *words):
    return json.loads(run(place, *ONE, "--json", *words))


def test_a_quarters_row_says_what_was_measured_substituted_due_and_valid(place):
    """288 hours, 4 stopped, 27 missing: 257 valid of 284, which is 90.49 %. 2 kg by its revision, 3 kg, 255 of 1 kg."""
    (row,) = told(place)["rows"]
    assert {name: row[name] for name in ("outlet", "station", "factor", "from", "to")} == {
        "outlet": OUTLET,
        "station": STATION,
        "factor": FACTOR,
        "from": "2026-01-01T00:00+08:00",
        "to": "2026-04-01T00:00+08:00",
    }
    assert (row["measured_kg"], row["substituted_kg"], row["kg"]) == ("260.000000", "81.000000", "341.000000")
    names = ("hours_due", "hours_valid", "hours_substituted", "hours_unknown", "hours_stopped")
    assert [row[name] for name in names] == [284, 257, 27, 0, 4]
    assert (row["quarter"], row["quarter_is"], row["quarter_capture_pct"], row["quarter_usable"]) == (
        "2026 Q1",
        "final",
        90.49,
        True,
    )


def test_each_gap_and_each_hour_says_of_which_hours_it_is_and_by_which_rule(place):
    gaps = told(place)["gaps"]
    assert [(gap["from"], gap["hours"], gap["kg"], gap["of_n"], gap["of_wanted"], gap["rule"]) for gap in gaps] == [
        ("2026-03-20T10:00+08:00", 2, "6.000000", 10, 180, "VR11"),
        ("2026-03-24T04:00+08:00", 25, "75.000000", 98, 720, "VR11"),
    ]
    assert (gaps[1]["of_from"], gaps[1]["of_to"]) == ("2026-03-20T00:00+08:00", "2026-03-24T04:00+08:00")
    hours = told(place, "--by", "hour")["rows"]
    assert len(hours) == 288
    assert sum(Decimal(hour["kg"]) for hour in hours if hour["kg"] is not None) == 341
    of_gaps = [hour for hour in hours if hour["state"] == "substituted"]
    assert {(h["kg"], h["substituted"], h["rule"], h["reason"]) for h in of_gaps} == {
        ("3.000000", "mass", "VR11", "no_data")
    }
    assert [h["of_n"] for h in of_gaps] == [10] * 2 + [98] * 25
    assert [h["kg"] for h in hours if h["state"] == "stopped"] == [None] * 4


def test_days_add_up_to_the_range_they_are_of_and_the_quarter_stays_the_whole_one(place):
    rows = told(place, "--by", "day", "--from", "2026-03-24", "--to", "2026-03-26")["rows"]
    assert [(row["from"][:10], row["kg"], row["hours_substituted"]) for row in rows] == [
        ("2026-03-24", "64.000000", 20),
        ("2026-03-25", "34.000000", 5),
    ]
    assert {row["quarter_capture_pct"] for row in rows} == {90.49}
    assert told(place, "--from", "2026-03-24", "--to", "2026-03-24T01:00:00+08:00")["rows"][0]["kg"] == "1.000000"


def test_the_text_tells_it_in_lines_that_fit_a_terminal(place):
    text = run(place, *ONE)
    assert max(len(line) for line in text.splitlines()) <= 80
    said = " ".join(text.split())
    for part in (
        "XS-A-DA001, XS-COAL-1: a21026 Sulfur dioxide",
        "2026-01-01 to 2026-04-01: 341.000 kg",
        "measured 260.000 kg in 257 of 284 hours due",
        "substituted 81.000 kg in 27 h; unknown 0 h; stopped 4 h",
        "2026 Q1 (final): 90.49 % of its hours are valid",
        "25 h: 75.000 kg, each hour as the greatest of 98 valid ones from 2026-03-20T00:00+08:00 to"
        " 2026-03-24T04:00+08:00 (VR11)",
        "VR11 HJ 75-2017 Table (out-of-control periods): gap <=24 h: max of last 180 valid hours",
        "[verified_weak]",
    ):
        assert part in said
    assert "2026-03-20T10:00+08:00 substituted 3.000 kg, each hour" in " ".join(
        run(place, *ONE, "--by", "hour").split()
    )


def test_csv_has_the_same_rows(place):
    (row,) = csv.DictReader(io.StringIO(run(place, *ONE, "--csv")))
    (same,) = told(place)["rows"]
    assert row == {name: "" if value is None else str(value) for name, value in same.items()}


def test_without_names_every_outlets_factor_with_a_flow_is_told_and_unknown_is_no_zero(place):
    rows = json.loads(run(place, "--json", "--to", "2026-04-01"))["rows"]
    assert len(rows) > 10
    empty = next(row for row in rows if row["factor"] == "w01018")
    assert (empty["kg"], empty["measured_kg"], empty["is_lower_bound"], empty["quarter_usable"]) == (
        None,
        None,
        True,
        None,
    )
    assert "unknown" in run(place, "--outlet", empty["outlet"], "--to", "2026-04-01")


WRONG = {
    "a typo in a station": (["--station", "XS-COAL1"], "is no station of this site; did you mean 'XS-COAL-1'"),
    "a typo in an outlet": (["--outlet", "XS-A-DA01"], "is no outlet of this site; did you mean 'XS-A-DA001'"),
    "a typo in a factor": (
        ["--factor", "a2l026"],
        "no factor with a mass: concentration and flow; did you mean 'a21026'",
    ),
    "names that do not fit": ([*ONE, "--outlet", "XS-C-DW001"], "no mass; it takes a concentration and the flow"),
    "no instant": (["--from", "yesterday"], "'yesterday' is not an instant"),
    "the wrong way round": (["--from", "2026-03-02", "--to", "2026-03-01"], "--to must be later"),
    "before the archive": (["--from", "2025-01-01", "--to", "2025-04-01"], "reaches from 2026-03-20 to 2026-03-31"),
    "two forms": (["--json", "--csv"], "give one of them"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_was_given_wrong_is_told_in_words(place, what):
    words, said = WRONG[what]
    assert said in " ".join(run(place, *words, code=2).replace("│", " ").split())


def test_a_state_directory_without_decisions_is_told_in_words(place, tmp_path):
    assert "nothing was decided here yet" in run((place[0], tmp_path), code=1)


def test_while_the_quarter_runs_it_is_provisional_and_hours_to_come_are_not_due(place, tmp_path):
    site = load_site(place[0])
    state = state_in(tmp_path, site, archived_at=BEGIN + 100 * HOUR + timedelta(minutes=5))
    (row,) = told((place[0], state))["rows"]
    assert (row["hours_due"], row["hours_valid"], row["quarter_is"], row["kg"]) == (
        100,
        98,
        "provisional",
        "107.000000",
    )
    account = mass_account(state, site, stations=[STATION], factors=[FACTOR])
    assert account.hours["window_at"].max() == BEGIN + 99 * HOUR


def test_what_could_not_be_counted_is_told(place, tmp_path):
    site = load_site(place[0])
    ug = site.model_copy(update={"factors": {**site.factors, FACTOR: replace(site.factors[FACTOR], unit="ug/m3")}})
    state = state_in(tmp_path, ug)
    (note,) = mass_account(state, site, BEGIN, BEGIN + HOUR, stations=[STATION], factors=[FACTOR]).notes
    assert note == "257 archived windows are in another unit or of other decimals: not counted"
    text = run((place[0], state), *ONE)
    assert note in " ".join(text.split())


def test_without_a_range_it_is_the_quarter_that_runs(place):
    (row,) = json.loads(run(place, *ONE[:4], "--json"))["rows"]
    assert (row["from"], row["to"]) == ("2026-04-01T00:00+08:00", "2026-07-01T00:00+08:00")
    assert (row["quarter_is"], row["hours_unknown"], row["kg"]) == ("provisional", 31, None)


def test_a_gap_is_as_long_as_it_is_and_its_hours_as_long_ago_as_they_were(place, tmp_path, monkeypatch):
    """However little is read at first: ten hours missing before the border of two quarters, and twenty after it."""
    monkeypatch.setattr("app.accounts.mass.LEAD", 3 * HOUR)
    monkeypatch.setattr("app.accounts.mass.TAIL", 3 * HOUR)
    site = load_site(place[0])
    values = [*[1] * 150, 8, *[1] * 127, *[None] * 30, *[1] * 100, None]
    end = BEGIN + len(values) * HOUR
    state = state_in(tmp_path, site, end + timedelta(minutes=5), values)
    one = {"stations": [STATION], "factors": [FACTOR]}
    border = BEGIN + 288 * HOUR
    (last,) = mass_account(state, site, border - HOUR, border, **one).hours.to_dicts()
    assert (last["rate"], last["of_wanted"], last["of_n"], last["of_from"]) == (
        8_000_000,
        720,
        274,
        BEGIN,
    )  # but for the stop
    (missing,) = mass_account(state, site, end - HOUR, end, **one).hours.to_dicts()  # of 121 hours 100 are valid
    assert (missing["rate"], missing["rule"], missing["of_n"], missing["of_from"]) == (8_000_000, "VR12", 374, BEGIN)
