"""The demo's screen: fits its terminal, hides nothing behind colour, shows missing data as missing."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import get_args

import polars as pl
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from app.commands.demo import language_of
from app.demo.board import Board, Tally, incident_of
from app.demo.history import live_start
from app.demo.summary import print_summary, summary_of
from app.demo.view import Live, alert_text, plain_line, screen
from app.pipeline import Pipeline, PipelineState
from app.site.files import load_site
from app.site.rule_files import load_rules
from contracts.catalogue.screen import INCIDENT, MARK, MEDIUM, WORDS
from rules.kinds import BINDERS
from rules.ticks import SiteClock
from simulators.simulate import simulate

ROOT = Path(__file__).resolve().parents[2]
ZUNYI = ROOT / "deploy" / "sites" / "zunyi"
START = datetime(2026, 11, 21, 22, 28, tzinfo=UTC)
LIVE_FROM = START + timedelta(hours=2)
NOW = START + timedelta(hours=3)
MARKUP = "[bold red]Stack[/] [link=x] 锅炉"


@pytest.fixture(scope="module")
def site():
    whole = load_site(ZUNYI)
    stations = [
        one.model_copy(update={"name_en": MARKUP}) if one.station == "XS-COAL-2" else one for one in whole.stations
    ]
    return whole.model_copy(update={"stations": tuple(stations)})


@pytest.fixture(scope="module")
def spans(site):
    """Three hours of the default scenario as the engine decides them; the last of them is live."""
    feed, _ = simulate(site, 1, START, NOW - START, clock_every=timedelta(minutes=1))
    pipeline, state = Pipeline(site, [one.rule for one in load_rules(ZUNYI, site)]), PipelineState(SiteClock(("main",)))
    before = pl.col("received_at") <= LIVE_FROM
    return [pipeline.step(state, part) for part in (feed.filter(before), feed.filter(~before))]


def filled(site, spans, language="en"):
    board = Board(site, language, LIVE_FROM)
    for number, span in enumerate(spans):
        board.apply(span, float(number))
    return board


def live(now=NOW, whole_s=60.0):
    return Live(now, 60.0, 59.0, whole_s, 16.4, 82.8)


def lines_of(board, width, height, now=NOW):
    """The screen drawn on a wider terminal: a line that is too long is seen, not wrapped."""
    console = Console(width=400, record=True, quiet=False, file=_Nowhere())
    console.print(screen(board, live(now), console, width, height))
    return [line.rstrip() for line in console.export_text().splitlines()]


class _Nowhere:
    def write(self, text):
        return len(text)

    def flush(self):
        return None


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 20), (200, 60)])
def test_the_screen_is_never_wider_or_higher_than_the_terminal(site, spans, language, width, height):
    lines = lines_of(filled(site, spans, language), width, height)
    assert max(map(cell_len, lines)) <= width
    assert height - 3 <= len(lines) <= height
    assert any(WORDS["alerts"][language] in line for line in lines)


def test_a_line_about_the_browser_takes_its_place_from_the_alerts(site, spans):
    console = Console(width=80, height=24, record=True, force_terminal=True, file=StringIO())
    console.print(
        screen(filled(site, spans), live(), console, 80, 24, "In a browser: http://127.0.0.1:8212  name demo")
    )
    lines = console.export_text().rstrip("\n").split("\n")
    assert len(lines) <= 24
    assert "http://127.0.0.1:8212" in lines[-2]


def test_eighty_by_twenty_four_names_clock_station_share_value_limit_and_clause(site, spans):
    text = "\n".join(lines_of(filled(site, spans), 80, 24))
    assert "simulated time 2026-11-22 09:28:00" in text
    assert "60 x real time" in text
    assert "16 messages/s  83 readings/s" in text
    assert "more stations" in text
    assert "mg/m3, limit" in text
    assert "%" in text


def test_every_station_is_on_a_screen_that_has_room_for_them(site, spans):
    lines = lines_of(filled(site, spans), 120, 60)
    names = {one.name_en for one in site.stations}
    assert {name for name in names if any(line.startswith(name) for line in lines)} == names


def test_a_name_that_looks_like_markup_is_shown_as_it_is(site, spans):
    assert any(line.startswith(MARKUP) for line in lines_of(filled(site, spans), 120, 60))


def test_what_is_coloured_says_its_grade_in_words_too_and_nothing_is_green(site, spans):
    console = Console(width=120, force_terminal=True, color_system="truecolor", file=_Nowhere())
    drawn = screen(filled(site, spans), live(), console, 120, 50)
    coloured = [part.text for part in console.render(drawn) if part.style and part.style.color]
    assert coloured
    words = [f"{MARK[level]} {level}" for level in MARK]
    assert all(text.strip() in words for text in coloured)
    assert not [part for part in console.render(drawn) if part.style and "green" in str(part.style)]


def test_a_station_without_data_says_so_and_shows_no_value(site):
    board = Board(site, "en", LIVE_FROM)
    assert all("no data" in line for line in lines_of(board, 120, 60)[4 : 4 + len(site.stations)])
    assert all(one.worst is None and one.silent for one in board.stations())
    half = START + timedelta(hours=2, minutes=8)  # a station has been silent since 22:30 + 2 h
    feed, truth = simulate(site, 1, START, half - START, clock_every=timedelta(minutes=1))
    pipeline, state = Pipeline(site, [one.rule for one in load_rules(ZUNYI, site)]), PipelineState(SiteClock(("main",)))
    board.apply(pipeline.step(state, feed), 0.0)
    silent = {one.station for one in board.stations() if one.silent}
    gone = truth.filter((pl.col("incident") == "dropout") & (pl.col("to_at") > half))["station"].to_list()
    assert silent == set(gone) != set()
    shown = [one for one in board.stations() if one.silent]
    assert all(one.worst is None and one.level is not None for one in shown)


def test_history_and_live_are_counted_apart(site, spans):
    board = filled(site, spans)
    summary = summary_of(board, 1, 60.0, 12.5, 60.0, 900)
    history, now = summary["history"], summary["live"]
    assert history["messages"] + now["messages"] == sum(span.counts["messages"] for span in spans)
    assert now["messages"] == spans[1].counts["messages"]
    assert now["rejects"] == dict(sorted(spans[1].rejects["reason"].value_counts().iter_rows()))
    assert len(summary["kinds_raised"]) >= 4
    assert now["readings_per_s"] == round(spans[1].readings.height / 60, 2)


def test_a_minute_above_an_hours_limit_is_an_early_warning_not_an_exceedance(site, spans):
    limits = {limit.limit_id: limit for limit in site.limits}
    episodes = [row["episode"] for span in spans for row in span.transitions if row["episode"]["kind"] == "limit"]
    by_period = {(one["period"], incident_of(one, limits)) for one in episodes if one["exceeds"]}
    assert ("minute", "early_warning") in by_period
    assert ("hour", "exceedance") in by_period
    assert ("minute", "exceedance") not in by_period


@pytest.mark.parametrize("language", ["en", "zh"])
def test_alerts_and_summary_wrap_at_eighty_columns(site, spans, language):
    board = filled(site, spans, language)
    console = Console(width=80, record=True, file=_Nowhere())
    for told in board.newest():
        console.print(alert_text(board, told))
    console.print(plain_line(board, live()), markup=False)
    print_summary(summary_of(board, 1, 60.0, 12.5, 60.0, 900), site.time_zone, language, console)
    lines = console.export_text().splitlines()
    assert max(map(cell_len, lines)) <= 80
    whole = "".join(lines)
    assert Text(WORDS["summary_alerts"][language]).plain in whole
    assert "GB 25465-2010" in whole


def test_a_summary_of_a_demo_stopped_in_its_history_says_so(site):
    console = Console(width=80, record=True, file=_Nowhere())
    summary = summary_of(Board(site, "en", LIVE_FROM), 1, 60.0, None, None, 0)
    print_summary(summary, site.time_zone, "en", console)
    assert "before the history" in console.export_text()
    assert summary["live"]["seconds"] is None
    assert Tally().incidents("raised") == []


def test_an_incident_of_any_kind_of_rule_has_words_in_both_languages():
    kinds = {kind for model in BINDERS for kind in get_args(model.model_fields["kind"].annotation)}
    shown = {incident_of({"limit_id": None, "exceeds": True, "period": "hour", "kind": kind}, {}) for kind in kinds}
    assert sorted(shown - set(INCIDENT)) == []
    assert all(words["zh"] and words["en"] for words in INCIDENT.values())


def test_every_medium_and_word_is_there_in_both_languages():
    assert all(set(words) == {"zh", "en"} for words in [*WORDS.values(), *MEDIUM.values()])


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": ""}, "en"),
        ({}, "en"),
    ],
)
def test_the_locale_chooses_the_language(environment, language):
    assert language_of(environment) == language


@pytest.mark.parametrize(
    ("now", "start"),
    [("10:28:00", "10:28:00"), ("10:27:59", "09:28:00"), ("00:05:00", "23:28:00")],
)
def test_live_begins_at_a_minute_of_the_hour_that_is_past(now, start):
    at = datetime.fromisoformat(f"2026-03-02T{now}+00:00")
    assert f"{live_start(at):%H:%M:%S}" == start
    assert live_start(at) <= at
