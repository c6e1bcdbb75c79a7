"""What InfluxDB is told beside the series: how an alert stands, its history, marks, counts, the pulse."""

from datetime import timedelta

import polars as pl
import pytest

from app.influx.events import (
    Pulse,
    alert_rows,
    health_rows,
    mark_rows,
    pipeline_rows,
    reject_rows,
    transition_rows,
)
from app.influx.registry import registry_of, registry_rows
from app.texts.texts import Texts
from contracts.instants import epoch_us
from contracts.series import MEASUREMENTS
from store.state_db import SpanRow
from tests.builders import START, minutes
from tests.builders import site as made
from tests.marked_site import fact, frame

LATER = (START + minutes(60)).isoformat()
SITE = made(limits=[{}])
TEXTS, REGISTRY = Texts(SITE), registry_of(SITE)
EPISODE = {
    "id": "e1",
    "rule": "so2_hour",
    "kind": "limit",
    "station": "S1",
    "factor": "a21026",
    "period": "hour",
    "limit_id": "L0",
    "limit_scaled": 5000,
    "decimals": 2,
    "unit": "mg/m3",
    "state": "firing",
    "level": "orange",
    "exceeds": True,
    "peak_level": "orange",
    "peak_scaled": 5820,
    "peak_at": START.isoformat(),
    "peak_valid_n": 52,
    "peak_expected_n": 60,
    "opened_at": START.isoformat(),
    "fired_at": START.isoformat(),
    "last_at": None,
    "resolved_at": None,
    "open": True,
    "made_of": None,
}


def transition(seq: int, what: str, tick=START, **episode) -> dict:
    return {"seq": seq, "tick": epoch_us(tick), "transition": what, "body": EPISODE | episode}


def test_an_alert_is_one_point_that_shows_how_it_stands():
    told = [
        transition(1, "fired"),
        transition(2, "resolved", START + minutes(90), state="resolved", open=False, resolved_at=LATER),
    ]
    rows = alert_rows(told, TEXTS, REGISTRY)
    point = ["time", *MEASUREMENTS["alert"].tags]
    assert rows.select(point).n_unique() == 1
    assert rows["is_open"].to_list() == [1.0, 0.0]
    last = rows.row(-1, named=True)
    assert (last["time"], last["peak"], last["limit"], last["severity"]) == (START, 58.2, 50.0, 2.0)
    assert (last["state"], last["resolved"], last["place_zh"]) == ("resolved", "03-01 09:00", "排口S1")
    assert "58.2" in last["text_zh"]
    assert "58.2" in last["text_en"]


@pytest.mark.parametrize(
    ("what", "state", "is_open"),
    [("fired", "firing", 1), ("data_lost", "no_data", 1), ("superseded", "superseded", 0), ("resolved", "resolved", 0)],
)
def test_what_has_ended_is_not_open(what, state, is_open):
    ended = {} if is_open else {"resolved_at": LATER, "open": False}
    [row] = alert_rows([transition(1, what, state=state, **ended)], TEXTS, REGISTRY).to_dicts()
    assert row["is_open"] == is_open


def test_a_withdrawn_alert_is_not_open_whatever_its_last_state_was():
    [row] = alert_rows([transition(1, "withdrawn", state="firing")], TEXTS, REGISTRY).to_dicts()
    assert (row["is_open"], row["state"]) == (0.0, "withdrawn")


def test_two_transitions_of_one_tick_and_rule_are_two_points():
    told = [transition(8, "fired_in_retrospect"), transition(9, "fired_in_retrospect", id="e2")]
    rows = transition_rows(told, TEXTS, REGISTRY)
    assert rows.select("time", *MEASUREMENTS["transition"].tags).n_unique() == 2
    assert (rows["time"] - START).max() < timedelta(milliseconds=1)


def test_of_a_station_that_is_gone_the_alert_stays_under_its_own_name():
    [row] = alert_rows([transition(1, "fired", station="GONE", limit_id=None)], TEXTS, REGISTRY).to_dicts()
    assert "GONE" in row["text_zh"]
    assert "GONE" in row["text_en"]
    assert (row["place_zh"], row["county"], row["is_open"]) == ("GONE", "-", 1.0)


def test_what_has_no_words_in_this_release_is_named_plainly():
    [row] = transition_rows([transition(1, "of_a_later_release")], TEXTS, REGISTRY).to_dicts()
    assert row["text_en"] == row["text_zh"] == "so2_hour: S1 a21026"


def span(seq: int, clock_to, **counts: int) -> SpanRow:
    return SpanRow(seq, None, "", seq - 1, seq, None, None if clock_to is None else epoch_us(clock_to), counts)


def test_counts_of_spans_are_points_at_the_sites_clock_and_rejects_by_reason():
    spans = [
        span(1, None, messages=3),  # before the clock began
        span(2, START, messages=10, readings=140, rejects=3, **{"reject:not_json": 2, "reject:bad_time": 1}),
    ]
    [row] = pipeline_rows(spans).to_dicts()
    assert (row["time"], row["messages"], row["readings"], row["late"]) == (START, 10, 140, 0)
    assert sorted(reject_rows(spans).select("reason", "n").rows()) == [("bad_time", 1.0), ("not_json", 2.0)]


def test_the_pulse_counts_open_alerts_by_level_and_stations_without_data_once():
    alerts = [
        {**EPISODE, "level": "red"},
        {**EPISODE, "level": "red"},
        {**EPISODE, "level": "yellow", "kind": "missing", "station": "S2"},
        {**EPISODE, "level": "yellow", "kind": "missing", "station": "S2"},
    ]
    pulse = Pulse(START, START - minutes(2), {"archive": 3, "influxdb": 0}, {"pending": 7}, alerts, 4, 0)
    [row] = health_rows(pulse).to_dicts()
    assert (row["open_red"], row["open_orange"], row["open_yellow"], row["open_silent"]) == (2, 0, 2, 1)
    assert (row["clock_age_s"], row["archive_behind"], row["outbox_pending"], row["outbox_gave_up"]) == (120, 3, 7, 0)


def test_a_mark_shows_what_became_of_it():
    about = {"station": "S1", "factor": "a21026", "type": "fault", "reason": "探头堵塞"}
    mark = fact("mark", START, **about, from_at=START, to_at=START + minutes(60))
    review = fact(
        "review", START + minutes(5), actor="centre", about=mark["fact"], decision="return", reason="证据不足"
    )
    other = fact("mark", START, **about, from_at=START + minutes(60), to_at=START + minutes(90))
    back = fact("withdrawal", START + minutes(1), about=other["fact"], reason="误报")
    check = fact("qc", START, station="S1", factor="a21026", check="zero_drift", at=START, passed=False, values="9 %")
    stop = fact("stop", START, station="S1", from_at=START, to_at=START + minutes(600), number="7", reason="停产")
    rows = mark_rows(frame(mark, review, other, back, check, stop), REGISTRY)
    assert sorted(rows.select("kind", "state").rows()) == [
        ("mark", "returned"),
        ("mark", "withdrawn"),
        ("qc", "failed"),
        ("stop", "submitted"),
    ]
    [first] = rows.filter(pl.col("fact") == mark["fact"][:12]).to_dicts()
    assert first["to_ms"] == epoch_us(START + minutes(60)) / 1000
    assert (first["text"], first["actor"], first["place_en"]) == ("探头堵塞", "plant", "outlet S1")
    assert mark_rows(frame(), REGISTRY).is_empty()


def test_the_registry_has_a_row_a_point_with_labels_that_can_be_taken_apart():
    rows = registry_rows(SITE)
    assert rows.select("time", "station", "factor").n_unique() == rows.height
    [row] = rows.filter(pl.col("factor") == "a21026").to_dicts()
    assert (row["station_zh"], row["station_en"]) == ("排口S1 站S1 [S1]", "outlet S1 station S1 [S1]")
    assert row["factor_zh"].endswith(" [a21026]")
    assert (row["park_en"], row["enterprise_zh"]) == ("none [-]", "无 [-]")
