"""The decoder by example: what goes to which codec, and what is refused before any."""

import re
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from contracts.frames import BATCH
from contracts.reasons import Reject
from ingest.decode import Decoder, batch_of
from tests.decoding_site import KNOWN_AT, RECEIVED_AT, hj212_frame, json_payload, messages_of, small_site

DECODER = Decoder(small_site())
GOOD = json_payload({"a21026": 35.2})


def decode(*sent):
    return DECODER.decode(batch_of(messages_of(*sent), KNOWN_AT))


@pytest.mark.parametrize(
    ("topic", "payload", "reason", "station"),
    [
        ("gi/S1/json", b"", Reject.EMPTY_PAYLOAD, "S1"),
        ("gi/S1/hj212", b"", Reject.EMPTY_PAYLOAD, "S1"),
        ("gi/S1/json", b"[" * 10_000_000, Reject.TOO_LARGE, "S1"),
        ("gi/S1/json", b"\xff", Reject.NOT_UTF8, "S1"),
        ("gi/S1/json", b"nonsense", Reject.NOT_JSON, "S1"),
        ("gi/S1/hj212", b"nonsense", Reject.NO_FRAME, "S1"),
        ("gi/S1/json", json_payload(at="2027-03-01T08:00:00+08:00"), Reject.TIME_IN_FUTURE, "S1"),
        ("gi/S1/json", json_payload(at="2020-03-01T08:00:00+08:00"), Reject.TIME_TOO_OLD, "S1"),
        ("gi/S1/json", json_payload(station="S2"), Reject.STATION_TOPIC_MISMATCH, "S1"),
        ("gi/NEW-1/json", json_payload(station="NEW-1"), Reject.UNKNOWN_STATION, "NEW-1"),
        ("gi/S1/json", json_payload({"a99999": 1}), Reject.UNKNOWN_FACTOR, "S1"),
        ("gi/S1/json", json_payload({"a21026": {"value": 1, "unit": "ppb?"}}), Reject.UNKNOWN_UNIT, "S1"),
        ("gi/S1/json", json_payload().replace(b"35.2", b"1e999"), Reject.NOT_FINITE, "S1"),
        ("gi/S1/json", json_payload().replace(b"35.2", b"1e99"), Reject.OUT_OF_NUMERIC_RANGE, "S1"),
        ("gi/S1/xml", b"<a/>", Reject.UNKNOWN_TOPIC, None),
        ("gi/S1/json/more", GOOD, Reject.UNKNOWN_TOPIC, None),
        ("gi//json", GOOD, Reject.UNKNOWN_TOPIC, None),
        ("other/S1/json", GOOD, Reject.UNKNOWN_TOPIC, None),
        ("", GOOD, Reject.UNKNOWN_TOPIC, None),
    ],
)
def test_a_bad_message_is_one_reject_with_its_evidence_and_its_neighbours_are_unharmed(topic, payload, reason, station):
    result = decode(("gi/S1/json", GOOD), (topic, payload), ("gi/S1/json", GOOD))
    assert result.readings["value"].to_list() == [35.2, 35.2]
    (row,) = result.rejects.rows(named=True)
    assert (row["reason"], row["station"], row["topic"]) == (reason, station, topic)
    assert row["message"] == sha256(topic.encode() + b"\0" + payload).digest()[:16]


@pytest.mark.parametrize("text", ["<0.05", "0.05L"])
def test_a_result_below_a_limit_of_quantification_is_half_of_it_in_both_protocols(text):
    frame = hj212_frame("MN-1", f"a21026-Avg={text},a21026-Flag=N")
    result = decode(("gi/S1/json", json_payload({"a21026": text})), ("gi/S1/hj212", frame))
    assert result.rejects.is_empty()
    rows = result.readings.select("value", "raw_text", "quality").rows()
    assert rows == [(0.025, text, "censored")] * 2


def test_the_guide_explains_every_reason():
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "rejects.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE)
    assert sorted(explained) == sorted(reason.value for reason in Reject)


def test_rows_of_the_journals_own_are_left_to_others():
    result = decode(("$clock/main", b"{}"), ("$operator", b""), ("gi/S1/json", GOOD), ("$site", b"\xff"))
    assert (len(result.readings), len(result.rejects), len(result.events)) == (1, 0, 0)


def test_the_size_limit_is_the_sites():
    decoder = Decoder(small_site(max_payload_bytes=len(GOOD)))
    result = decoder.decode(batch_of(messages_of(("gi/S1/json", GOOD), ("gi/S1/json", GOOD + b" ")), KNOWN_AT))
    assert len(result.readings) == 1
    assert result.rejects.select("reason", "detail").rows() == [
        ("too_large", f"{len(GOOD) + 1} bytes; at most {len(GOOD)} are taken")
    ]


def test_good_and_bad_readings_of_one_message_part_ways():
    readings = {"a21026": 35.2, "a21002": "48", "a19001": None, "a99999": 1}
    result = decode(("gi/S1/json", json_payload(readings)))
    assert result.readings["factor"].to_list() == ["a21026"]
    assert result.rejects.select("factor", "reason").rows() == [
        ("a21002", "value_is_text"),
        ("a19001", "value_missing"),
        ("a99999", "unknown_factor"),
    ]


def test_hj212_over_mqtt_speaks_by_its_equipment_number_and_only_for_itself():
    frame = hj212_frame("MN-1", "a21026-Avg=35.20,a21026-Max=40.1,a21026-Flag=N;a21002-Avg=48100,a21002-Flag=D")
    result = decode(
        ("gi/S1/json", GOOD),
        ("gi/S1/hj212", frame),
        ("gi/S2/hj212", frame),
        ("gi/S1/json", json_payload({"a19001": 9})),
    )
    columns = ("station", "factor", "kind", "value", "raw_text", "mark")
    assert sorted(result.readings.filter(pl.col("mark").is_not_null()).select(columns).rows()) == [
        ("S1", "a21002", "avg", 48.1, "48100", "D"),
        ("S1", "a21026", "avg", 35.2, "35.20", "N"),
        ("S1", "a21026", "max", 40.1, "40.1", "N"),
    ]
    assert (result.readings["factor"][0], result.readings["factor"][-1]) == ("a21026", "a19001")  # order of messages
    assert result.rejects.select("station", "reason", "detail").rows() == [
        ("S2", "station_topic_mismatch", "the payload speaks for MN-1")
    ]


def test_an_empty_batch_gives_empty_frames():
    result = decode()
    assert (len(result.readings), len(result.rejects), len(result.events)) == (0, 0, 0)


def test_a_batch_numbers_its_messages_and_names_their_evidence():
    messages = messages_of(("gi/S1/json", b"a"), ("gi/S2/json", b"a"))
    known_at = pl.Series("whatever", [KNOWN_AT, KNOWN_AT + timedelta(seconds=1)])
    batch = batch_of(messages, known_at, first_row=7)
    assert batch.schema == BATCH
    assert batch.select("row", "known_at").rows() == [(7, KNOWN_AT), (8, KNOWN_AT + timedelta(seconds=1))]
    assert batch["message"][0] == sha256(b"gi/S1/json\0a").digest()[:16]
    assert batch["message"].n_unique() == 2
    assert batch_of(messages, KNOWN_AT)["known_at"].to_list() == [KNOWN_AT, KNOWN_AT]
    assert batch["received_at"].to_list() == [RECEIVED_AT, RECEIVED_AT]
