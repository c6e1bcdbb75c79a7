"""What pages are drawn from: scopes, times, thinning and escaping, without a browser."""

import random
import re
import string
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.influx.board_rows import wanted
from app.portal.app import create_app
from app.portal.viewer.answers import Answer, Answers
from app.portal.viewer.boards import boards
from app.portal.viewer.draw_cells import linked, table
from app.portal.viewer.draw_series import POINTS_MAX, draw, thinned
from app.portal.viewer.kept import Kept
from app.portal.viewer.series import Look, series_of
from app.portal.viewer.shown import digits
from app.portal.viewer.span_of_time import NoInstant, Span, width_of
from app.portal.viewer.words import WORDS
from contracts.clock import ScaledClock
from grafana.query import Bindings, Column, Query

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 3, 1, 6, 28, 3, tzinfo=UTC)
ZONE = "Asia/Shanghai"
PLACES = ("Xishui Plant A",)
OURS = {"XS-COAL-1"}


@pytest.fixture(scope="module")
def answers(centre):
    app = create_app(centre.site, centre.rules, centre.state_dir, ScaledClock(centre.at, 1), site_dir=centre.directory)
    made = Answers(app.state.centre)
    yield made
    made.close()
    app.state.centre.close()


def bound(centre):
    return Bindings(centre.at - timedelta(hours=4), centre.at, {}, timedelta(minutes=1))


def test_no_query_of_any_board_tells_an_enterprise_of_somebody_else(answers, centre):
    subjects = frozenset(OURS)
    for board in boards("en"):
        for panel in board.panels:
            for target in panel.targets:
                answer = answers.answer(target.query, bound(centre), subjects, "archive")
                if answer.frame is None:
                    assert answer.why.told("en")
                    continue
                told = answer.frame.select(name for name in ("station", "place_en") if name in answer.frame.columns)
                for value in told.unpivot()["value"].drop_nulls().unique() if told.width else ():
                    assert value in OURS or value.startswith(PLACES), (board.name, panel.title, value)
        for variable in board.variables:
            labels = answers.offered(variable.query, bound(centre), subjects)
            if variable.name == "station":
                assert {variable.parted(one)[0] for one in labels} == OURS
            if variable.name == "enterprise":
                assert [variable.parted(one)[0] for one in labels] == ["xs-a"]


def test_open_alerts_of_an_enterprise_are_counted_in_its_scope_and_the_rest_of_the_pulse_is_not_told(answers, centre):
    counts = {name: Query("raw", "health", (Column(name, "last"),)) for name in ("open_yellow", "outbox_pending")}
    everyone = answers.answer(counts["open_yellow"], bound(centre), None, "archive").frame["open_yellow"][0]
    plant = answers.answer(counts["open_yellow"], bound(centre), frozenset(OURS), "archive").frame["open_yellow"][0]
    assert 0 <= plant < everyone
    hidden = answers.answer(counts["outbox_pending"], bound(centre), frozenset(OURS), "archive")
    assert hidden.is_empty
    assert hidden.why.key == "beyond_scope"


def test_nobody_without_a_station_is_told_of_any(answers, centre):
    alerts = Query("events", "alert", (Column("station"),), newest_first=10)
    nothing = answers.answer(alerts, bound(centre), frozenset(), "archive")
    assert nothing.frame is None
    assert nothing.why.key == "scope_is_empty"


def test_what_is_not_archived_yet_is_there_and_once(answers, centre):
    count = Query("hour", "verdict", (Column("value", "count"),), group=("station", "factor", "rule", "limit_id"))
    rows = answers.rows.rows(count, bound(centre)).collect()
    key = ["rule", "station", "factor", "limit_id", "period", "time"]
    assert rows.height == rows.unique(key).height > 0
    in_range = pl.col("window_at").is_between(bound(centre).from_at, bound(centre).to_at)
    recent = answers._centre.decided.recent("verdicts").filter(in_range, pl.col("period") == "hour")
    assert recent.height, "the test is about spans beside the archive"
    assert set(recent["window_at"]) <= set(rows["time"])


def test_what_the_archive_has_is_read_once_for_all_panels_of_a_board(answers, centre):
    board = next(one for one in boards("en") if one.name == "limits")
    verdicts = [target.query for one in board.panels for target in one.targets if target.query.measurement == "verdict"]
    assert len(verdicts) > 3
    read = [answers.rows.newest(wanted(one, bound(centre))) for one in verdicts]
    assert all(one is read[0] for one in read)
    narrower = Bindings(bound(centre).from_at, centre.at, {"station": ["XS-COAL-1"]})
    assert set(answers.rows.newest(wanted(verdicts[0], narrower))["station"]) == {"XS-COAL-1"}


def test_who_asks_what_is_being_worked_out_waits_for_it_and_a_failure_is_asked_again():
    kept, calls, begun, go_on = Kept(2), [], threading.Event(), threading.Event()

    def slow():
        calls.append("slow")
        begun.set()
        assert go_on.wait(10)
        return "made"

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(kept.once, "key", slow)
        assert begun.wait(10)
        second = threads.submit(kept.once, "key", slow)
        go_on.set()
        assert (first.result(), second.result(), calls) == ("made", "made", ["slow"])
    with pytest.raises(ZeroDivisionError):
        kept.once("other", lambda: 1 // 0)
    assert kept.once("other", lambda: "now") == "now"
    assert kept.once("third", lambda: "third") == "third"  # and the oldest goes
    assert kept.once("key", lambda: "again") == "again"


def test_the_pages_toolkit_is_imported_by_the_viewer_alone_and_the_viewer_only_where_it_is_served():
    viewer = ROOT / "app" / "portal" / "viewer"
    others = [path for path in (ROOT / "app").rglob("*.py") if viewer not in path.parents]
    text = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in others}
    assert [name for name, said in text.items() if re.search(r"\bimport nicegui|\bfrom nicegui", said)] == []
    assert [name for name, said in text.items() if re.search(r"^(from|import) .*\bviewer\b", said, re.M)] == []
    assert [name for name, said in text.items() if re.search(r"^ +(from|import) .*\bviewer\b", said, re.M)] == [
        "app/portal/serve.py"
    ]


# -- time


@pytest.mark.parametrize(
    ("begins", "ends", "from_at", "to_at"),
    [
        ("now-6h", "now", "2026-03-01T00:28:10+00:00", "2026-03-01T06:28:10+00:00"),
        ("now/d", "now", "2026-02-28T16:00:00+00:00", "2026-03-01T06:28:10+00:00"),  # the site's midnight
        ("now-1d/d", "now-1d/d", "2026-02-27T16:00:00+00:00", "2026-02-28T15:59:59.999000+00:00"),
        ("2026-03-01 08:00", "2026-03-01T02:00:00Z", "2026-03-01T00:00:00+00:00", "2026-03-01T02:00:00+00:00"),
        ("1772323200000", "1772326800000", "2026-03-01T00:00:00+00:00", "2026-03-01T01:00:00+00:00"),
    ],
)
def test_ranges_mean_what_grafana_means_in_the_sites_time(begins, ends, from_at, to_at):
    assert Span(begins, ends).at(NOW, ZONE) == (datetime.fromisoformat(from_at), datetime.fromisoformat(to_at))


@pytest.mark.parametrize("begins", ["yesterday", "now-6x", "2026-13-01", "now", "now-9999w", "9" * 30])
def test_a_range_that_is_none_is_told_in_words(begins):
    with pytest.raises(NoInstant, match=r"write now-6h|is not before|is longer than"):
        Span(begins, "now").at(NOW, ZONE)


def test_buckets_are_as_wide_as_a_panel_can_show():
    assert width_of(NOW - timedelta(hours=6), NOW) == timedelta(minutes=1)
    assert width_of(NOW - timedelta(days=30), NOW) == timedelta(hours=2)


# -- drawing


@given(st.integers(POINTS_MAX + 1, 5 * POINTS_MAX), st.integers(0, 2**32))
def test_thinned_series_keep_their_extremes(n, seed):
    chance = random.Random(seed)
    values = [None if chance.random() < 0.1 else chance.uniform(-1e6, 1e6) for _ in range(n)]
    times = pl.datetime_range(NOW, NOW + timedelta(minutes=len(values) - 1), "1m", time_unit="us", eager=True)
    points = pl.DataFrame({"time": times, "value": pl.Series(values, dtype=pl.Float64)})
    kept = thinned(points)
    assert kept.height <= len(values)
    assert kept["time"].is_sorted()
    assert (kept["value"].min(), kept["value"].max()) == (points["value"].min(), points["value"].max())
    assert kept.join(points, on=["time", "value"], how="anti", nulls_equal=True).is_empty()


def test_of_thousands_the_foremost_are_series_and_all_are_counted():
    panel = next(one for one in boards("en")[0].panels if one.kind == "status-history")
    (target,) = panel.targets
    frame = pl.DataFrame(
        {
            "time": [NOW] * 5000,
            "place_en": [f"P{n}" for n in range(5000)],
            "severity": [3.0 if n == 4321 else float(n % 2) for n in range(5000)],
        }
    )
    shown, n = series_of(panel, [(target, Answer(frame))], 12, "highest")
    assert (len(shown), n) == (12, 5000)
    assert "P4321" in {one.name for one in shown}


def test_series_of_two_units_have_two_axes_and_each_says_its_own():
    board = next(one for one in boards("en") if one.name == "limits")
    panel = next(one for one in board.panels if one.title == "Minute means")
    frame = pl.DataFrame(
        {
            "time": [NOW, NOW, NOW],
            "place_en": ["A", "A", "B"],
            "factor_en": ["SO2", "O2", "SO2"],
            "unit": ["mg/m3", "%", "mg/m3"],
            "mean": [30.0, 8.0, 20.0],
        }
    )
    (target,) = panel.targets
    drawn = draw(panel, [(target, Answer(frame))], [], Look("en", "light", ZONE, NOW - timedelta(hours=6), NOW))
    told = [(one["name"], one["yAxisIndex"]) for one in drawn.option["series"]]
    assert told == [("A O2 %", 0), ("A SO2 mg/m3", 1), ("B SO2 mg/m3", 1)]
    assert [one["axisLabel"][":formatter"] for one in drawn.option["yAxis"]] == ['gi.digits("%")', 'gi.digits("mg/m3")']
    assert "30 mg/m3" in drawn.html


def test_a_cell_is_words_and_a_link_leads_nowhere_else():
    panel = next(one for one in boards("en")[0].panels if one.kind == "table")
    look = Look("en", "light", ZONE, NOW - timedelta(hours=6), NOW)
    frame = pl.DataFrame(
        {"time": [NOW], "severity": [3.0], "station": ['"><script>x</script>'], "text_en": ["<img src=x onerror=y>"]}
    )
    (target,) = panel.targets
    drawn = table(panel, [(target, Answer(frame))], look, {"__url_time_range": "from=now-6h"})
    assert "<script" not in drawn.html
    assert "<img" not in drawn.html
    assert "var-station=%22%3E%3Cscript%3E" in drawn.html
    for address in ("https://example.org/${__value.raw}", "javascript:alert(1)", "//example.org", "/d/x?${unknown}"):
        assert linked(address, "S", {}) is None


@given(st.floats(-1e9, 1e9))
def test_shown_digits_are_the_numbers_own(value):
    shown = float(digits(value).replace(",", ""))
    assert shown == pytest.approx(value, rel=0.01, abs=0.0001)


def test_both_languages_say_the_same_with_the_same_parameters():
    for key, (zh, en) in WORDS.items():
        named = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (zh, en)]
        assert named[0] == named[1], key
        assert zh, key
        assert en, key
