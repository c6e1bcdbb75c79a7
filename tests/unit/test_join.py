"""The registry join by example: who may speak, when, of what, in which unit, and what is said when not."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from contracts.frames import DECODE_EVENTS, DECODE_REJECTS, DECODED, empty
from contracts.points import point_table
from contracts.ports import CodecResult
from contracts.reasons import Reject
from contracts.site import Point
from ingest.join import RegistryJoin
from tests.decoding_site import KNOWN_AT, RECEIVED_AT, json_batch, small_site

SITE = small_site()
CLAIM = {
    "row": 0,
    "station": "S1",
    "factor": "a21026",
    "kind": "avg",
    "period_s": 60,
    "event_at": RECEIVED_AT - timedelta(minutes=2),
    "raw_text": "35.2",
    "device_revision": 0,
}


def join(*claims, topic="gi/S1/json", site=SITE, events=()):
    """Each claim is CLAIM but for its changes; all are of one message on `topic`."""
    claimed = CodecResult(
        pl.DataFrame([CLAIM | claim for claim in claims], schema=DECODED),
        empty(DECODE_REJECTS),
        pl.DataFrame(list(events), schema=DECODE_EVENTS),
    )
    return RegistryJoin(site)(json_batch(b"payload", topic=topic), claimed)


def only_reject(result):
    assert len(result.readings) == 0
    assert len(result.rejects) == 1
    return result.rejects.row(0, named=True)


def test_a_reading_carries_the_registry_the_receipt_and_the_evidence():
    (row,) = join({"mark": "N", "quality": "crc_modbus", "device_revision": 2}).readings.rows(named=True)
    point = point_table(SITE).filter(station="S1", factor="a21026")
    assert row == {
        "partition": point["partition"][0],
        "station": "S1",
        "factor": "a21026",
        "kind": "avg",
        "period_s": 60,
        "event_at": RECEIVED_AT - timedelta(minutes=2),
        "value": 35.2,
        "unit": "mg/m3",
        "raw_text": "35.2",
        "raw_unit": "mg/m3",
        "mark": "N",
        "device_revision": 2,
        "quality": "crc_modbus",
        "point": point["point"][0],
        "received_at": RECEIVED_AT,
        "known_at": KNOWN_AT,
        "message": bytes(16),
    }


@pytest.mark.parametrize(
    ("claim", "value", "raw_unit"),
    [
        ({"raw_text": "35.20"}, 35.2, "mg/m3"),
        ({"raw_text": "35200", "raw_unit": "ug/m3"}, 35.2, "ug/m3"),
        ({"raw_text": "0.0352", "raw_unit": "g/m3"}, 35.2, "g/m3"),
        ({"factor": "a21002", "raw_text": "48100"}, 48.1, "ug/m3"),
        ({"factor": "a21002", "raw_text": "48.1", "raw_unit": "mg/m3"}, 48.1, "mg/m3"),
        ({"raw_text": "+1.5e1"}, 15.0, "mg/m3"),
    ],
)
def test_a_value_is_converted_once_from_the_unit_sent_else_from_the_registrys(claim, value, raw_unit):
    (row,) = join(claim).readings.rows(named=True)
    assert (row["value"], row["unit"], row["raw_unit"], row["raw_text"]) == (
        value,
        "mg/m3",
        raw_unit,
        claim["raw_text"],
    )


@pytest.mark.parametrize(
    ("claim", "value", "quality"),
    [
        ({"raw_text": "<0.05"}, 0.025, "censored"),
        ({"raw_text": "0.05L"}, 0.025, "censored"),
        ({"raw_text": "< 0.05"}, 0.025, "censored"),
        ({"raw_text": "<50", "raw_unit": "ug/m3"}, 0.025, "censored"),
        ({"raw_text": "<0.05", "quality": "crc_modbus"}, 0.025, "crc_modbus,censored"),
        ({"raw_text": "0.05", "quality": "crc_modbus"}, 0.05, "crc_modbus"),
    ],
)
def test_below_a_limit_of_quantification_half_of_it_stands_for_the_value_and_it_says_so(claim, value, quality):
    # beside it one that makes no number, which is rejected, and one that is a number, which is left alone
    result = join(claim, {"raw_text": "ND"}, {"raw_text": "35.2"})
    assert result.rejects["reason"].to_list() == ["not_a_number"]
    rows = result.readings.select("value", "quality", "raw_text").rows()
    assert rows == [(value, quality, claim["raw_text"]), (35.2, None, "35.2")]


def test_minus_zero_is_zero():
    assert str(join({"raw_text": "-0"}).readings["value"][0]) == "0.0"


def test_only_the_feeding_kind_and_period_have_a_point():
    result = join({}, {"kind": "max"}, {"kind": "zs_avg"}, {"period_s": 3600}, {"kind": "cou"})
    assert [point is not None for point in result.readings["point"]] == [True, False, False, False, False]
    assert len(result.rejects) == 0


def test_the_devices_own_hours_feed_points_of_their_own_beside_the_minutes():
    points = [
        Point(station="S1", factor="a21026", unit="mg/m3", kind="avg", period_s=60, ref_o2_pct=6, device_period_s=3600),
        Point(station="S1", factor="a19001", unit="%", kind="avg", period_s=60),
    ]
    site = SITE.model_copy(update={"points": tuple(points)})
    name_of = dict(point_table(site).select("point", "factor").iter_rows())
    sent = [
        {},
        {"period_s": 3600},
        {"period_s": 3600, "kind": "zs_avg"},
        {"period_s": 3600, "kind": "max"},
        {"period_s": 86400},
        {"factor": "a19001", "raw_text": "11"},
        {"factor": "a19001", "raw_text": "11", "period_s": 3600},
    ]
    readings = join(*sent, site=site).readings
    fed = [None if point is None else name_of[point] for point in readings["point"]]
    assert fed == ["a21026", "dev_a21026", "dev_zs_a21026", None, None, "a19001", None]
    assert readings["factor"].to_list() == ["a21026"] * 5 + ["a19001"] * 2  # as sent, in the archive


def test_an_amount_over_a_period_has_no_unit_unless_one_is_sent():
    rows = join({"kind": "cou"}, {"kind": "cou", "raw_unit": "mg/m3"}).readings
    assert rows.select("value", "unit", "raw_unit").rows() == [(35.2, None, None), (35.2, "mg/m3", "mg/m3")]


def test_an_event_that_names_nobody_is_its_topics_stations():
    event = {"row": 0, "station": None, "event": "ack", "event_at": None, "detail": "{}"}
    result = join(events=[event])
    assert result.events["station"].to_list() == ["S1"]
    assert result.rejects.is_empty()


@pytest.mark.parametrize(
    ("claim", "reason", "detail"),
    [
        ({"event_at": None}, Reject.BAD_TIME, "no instant"),
        ({"event_at": RECEIVED_AT + timedelta(seconds=301)}, Reject.TIME_IN_FUTURE, "2026-03-01T00:07:01Z"),
        ({"event_at": datetime(9999, 12, 31, tzinfo=UTC)}, Reject.TIME_IN_FUTURE, "9999"),
        ({"event_at": RECEIVED_AT - timedelta(days=400, seconds=1)}, Reject.TIME_TOO_OLD, "2025-01-25"),
        ({"event_at": datetime(1000, 1, 1, tzinfo=UTC)}, Reject.TIME_TOO_OLD, "1000"),
        ({"factor": "a99999"}, Reject.UNKNOWN_FACTOR, "no point"),
        ({"factor": "w01018"}, Reject.UNKNOWN_FACTOR, "no point"),
        ({"factor": "$rejects"}, Reject.UNKNOWN_FACTOR, "no point"),
        ({"factor": "$station"}, Reject.UNKNOWN_FACTOR, "no point"),
        ({"raw_unit": "mg/L"}, Reject.UNKNOWN_UNIT, "mg/L cannot be converted to mg/m3"),
        ({"raw_unit": "furlong"}, Reject.UNKNOWN_UNIT, "furlong"),
        ({"raw_unit": ""}, Reject.UNKNOWN_UNIT, "mg/m3"),
        ({"raw_text": "--"}, Reject.NOT_A_NUMBER, "found --"),
        ({"raw_text": ""}, Reject.NOT_A_NUMBER, "found"),
        ({"raw_text": None}, Reject.NOT_A_NUMBER, "found nothing"),
        ({"raw_text": "35.2 "}, Reject.NOT_A_NUMBER, "35.2"),
        ({"raw_text": "35,2"}, Reject.NOT_A_NUMBER, "35,2"),
        ({"raw_text": "0x1F"}, Reject.NOT_A_NUMBER, "0x1F"),
        ({"raw_text": "1e999"}, Reject.NOT_FINITE, "1e999"),
        ({"raw_text": "NaN"}, Reject.NOT_FINITE, "NaN"),
        ({"raw_text": "-inf"}, Reject.NOT_FINITE, "-inf"),
        ({"raw_text": "9.3e12"}, Reject.OUT_OF_NUMERIC_RANGE, "9.3e12 mg/m3"),
        ({"raw_text": "-9.3e12"}, Reject.OUT_OF_NUMERIC_RANGE, "-9.3e12"),
        ({"raw_text": "1.7e308", "raw_unit": "g/m3"}, Reject.OUT_OF_NUMERIC_RANGE, "1.7e308 g/m3"),
    ],
)
def test_a_refused_claim_says_why_and_its_neighbours_are_unharmed(claim, reason, detail):
    result = join({}, claim, {"kind": "max"})
    assert result.readings["kind"].to_list() == ["avg", "max"]
    (row,) = result.rejects.rows(named=True)
    assert (row["reason"], row["factor"], row["station"]) == (reason, claim.get("factor", "a21026"), "S1")
    assert detail in row["detail"]
    assert (row["received_at"], row["known_at"], row["source"], row["topic"], row["message"]) == (
        *(RECEIVED_AT, KNOWN_AT, "mqtt", "gi/S1/json"),
        bytes(16),
    )


def test_times_at_the_bounds_are_taken():
    result = join({"event_at": RECEIVED_AT + timedelta(seconds=300)}, {"event_at": RECEIVED_AT - timedelta(days=400)})
    assert (len(result.readings), len(result.rejects)) == (2, 0)


def test_the_largest_value_that_fits_64_bits_at_the_factors_decimals_is_taken():
    assert join({"raw_text": "9.1e12"}).readings["value"].to_list() == [9.1e12]


def test_a_station_may_call_itself_by_its_id_or_its_equipment_number():
    assert join({"station": "MN-1"}).readings["station"].to_list() == ["S1"]


@pytest.mark.parametrize("claimed", ["S2", "MN-2", "s1", "S1 ", "", None])
def test_a_payload_speaking_for_another_station_is_refused_once_and_counted_at_the_topics_station(claimed):
    row = only_reject(join({"station": claimed}, {"station": claimed, "factor": "a21002"}))
    assert (row["reason"], row["station"], row["factor"]) == (Reject.STATION_TOPIC_MISMATCH, "S1", None)
    assert row["detail"] == f"the payload speaks for {'no station' if claimed is None else claimed}"


def test_an_equipment_number_is_no_way_to_speak_on_another_stations_topic():
    row = only_reject(join({"station": "MN-1"}, topic="gi/S2/json"))
    assert (row["reason"], row["station"]) == (Reject.STATION_TOPIC_MISMATCH, "S2")


def test_an_unknown_station_is_quarantined_with_the_name_it_claimed():
    row = only_reject(join({"station": "X9"}, {"station": "X9", "kind": "max"}, topic="gi/X9/json"))
    assert (row["reason"], row["station"]) == (Reject.UNKNOWN_STATION, "X9")
    assert "X9" in row["detail"]


def test_an_equipment_number_is_not_a_topic():
    assert only_reject(join({"station": "MN-1"}, topic="gi/MN-1/json"))["reason"] == Reject.UNKNOWN_STATION


@pytest.mark.parametrize(
    ("event_at", "is_in_use"),
    [
        (datetime(2026, 3, 1, 15, 59, 59, tzinfo=UTC), False),  # 23:59:59 on the 1st in Shanghai
        (datetime(2026, 3, 1, 16, 0, tzinfo=UTC), True),
        (datetime(2026, 3, 3, 15, 59, 59, tzinfo=UTC), True),  # valid_to is the last day
        (datetime(2026, 3, 3, 16, 0, tzinfo=UTC), False),
    ],
)
def test_a_dated_point_holds_on_its_civil_days_and_no_others(event_at, is_in_use):
    claim = {"station": "S2", "factor": "w01018", "kind": "rtd", "period_s": 0, "event_at": event_at}
    result = join(claim, topic="gi/S2/json", site=small_site(max_future_s=10**6))
    assert len(result.readings) == is_in_use
    if not is_in_use:
        row = only_reject(result)
        assert row["reason"] == Reject.UNKNOWN_FACTOR
        assert "registered from 2026-03-02 to 2026-03-03" in row["detail"]


def test_a_station_out_of_its_dates_is_unknown_and_told_its_dates():
    row = only_reject(
        join({"station": "S3", "event_at": datetime(2026, 2, 28, 15, 59, tzinfo=UTC)}, topic="gi/S3/json")
    )
    assert row["reason"] == Reject.UNKNOWN_STATION
    assert row["detail"] == "S3 is not in use on 2026-02-28; registered from 2026-03-01 to 2026-03-31"
    assert len(
        join({"station": "S3", "event_at": datetime(2026, 2, 28, 16, 0, tzinfo=UTC)}, topic="gi/S3/json").readings
    )


def test_events_pass_under_the_same_rule_of_speaking_for_oneself():
    event = {"row": 0, "station": "MN-1", "event": "heartbeat", "event_at": RECEIVED_AT, "detail": "{}"}
    result = join(events=[event, event | {"station": "S2"}])
    assert result.events.select("station", "event", "topic", "message").rows() == [
        ("S1", "heartbeat", "gi/S1/json", bytes(16))
    ]
    assert only_reject(result)["reason"] == Reject.STATION_TOPIC_MISMATCH


def test_what_the_codec_refused_is_counted_at_the_topics_station():
    refused = pl.DataFrame([(0, "S2", None, "wrong_shape", "d" * 900)], schema=DECODE_REJECTS, orient="row")
    claims = CodecResult(empty(DECODED), refused, empty(DECODE_EVENTS))
    row = only_reject(RegistryJoin(SITE)(json_batch(b"x"), claims))
    assert (row["station"], row["reason"], row["detail"]) == ("S1", "wrong_shape", "d" * 200)


def test_computed_points_cannot_be_sent():
    points = (Point(station="S1", factor="a21026", unit="mg/m3", ref_o2_pct=6.0),)
    site = small_site().model_copy(update={"points": points})
    assert only_reject(join({"factor": "zs_a21026"}, site=site))["reason"] == Reject.UNKNOWN_FACTOR


def test_two_points_of_one_factor_at_one_station_are_an_error_at_start():
    again = Point(station="S1", factor="a21026", unit="mg/m3", valid_from=date(2027, 1, 1))
    site = small_site().model_copy(update={"points": (*SITE.points, again)})
    with pytest.raises(ValueError, match="S1 has two points of factor a21026"):
        RegistryJoin(site)
