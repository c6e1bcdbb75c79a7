"""The JSON codec by example: each mistake has its reason, and harms nothing beside it."""

import json
import re
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from contracts.reasons import Reject
from ingest.codecs.json_v1 import Envelope, JsonCodec
from tests.decoding_site import json_batch, json_payload

SCHEMA = json.loads((files("ingest") / "codecs" / "json_v1.schema.json").read_text(encoding="utf-8"))
GOOD = json_payload({"a19001": 9.5})


def decode(*payloads):
    return JsonCodec()(json_batch(*payloads), "Asia/Shanghai")


def rejects(result):
    return result.rejects.select("row", "factor", "reason").rows()


def values(result, *columns):
    return result.readings.select("row", "factor", "raw_text", *columns).rows()


GOOD_HEAD = '"v":1,"station":"S1","at":"2026-03-01T08:00:00+08:00"'


def raw(readings: str, head: str = GOOD_HEAD) -> bytes:
    return f'{{{head},"readings":{readings}}}'.encode()


def test_the_guides_examples_decode_without_a_reject():
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "json.md").read_text(encoding="utf-8")
    examples = re.findall(r"```json\n(.*?)```", guide, re.DOTALL)
    assert len(examples) >= 2
    result = decode(*(example.encode() for example in examples))
    assert rejects(result) == []
    assert set(result.readings["row"]) == set(range(len(examples)))


def test_the_schema_is_one_and_its_examples_decode_without_a_reject():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) == set(Envelope.__struct_fields__)
    result = decode(*(json.dumps(example).encode() for example in SCHEMA["examples"]))
    assert rejects(result) == []
    assert values(result, "kind", "period_s", "raw_unit", "mark") == [
        (0, "a21026", "35.2", "avg", 60, None, None),
        (0, "a21002", "48.1", "avg", 60, "mg/m3", "N"),
        (1, "p01001", "412", "rtd", 0, None, None),
    ]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\xfe{}", Reject.NOT_UTF8),
        (raw('{"a21026":"\xff"}').decode().encode("latin-1"), Reject.NOT_UTF8),
        (b"temperature=35", Reject.NOT_JSON),
        (b" ", Reject.NOT_JSON),
        (GOOD + b"," + GOOD, Reject.NOT_JSON),
        (GOOD + b"\n" + GOOD, Reject.NOT_JSON),
        (GOOD[:-1], Reject.NOT_JSON),
        (GOOD.replace(b"9.5", b"NaN"), Reject.NOT_JSON),
        (GOOD.replace(b"9.5", b"-Infinity"), Reject.NOT_JSON),
        (GOOD.replace(b"9.5", b"09.5"), Reject.NOT_JSON),
        (GOOD.replace(b"9.5", b"9."), Reject.NOT_JSON),
        (raw(r'{"\ud800":1}'), Reject.NOT_JSON),
        (b'{"v":2,"x":}', Reject.NOT_JSON),
        (b"\xef\xbb\xbf" + GOOD, Reject.NOT_JSON),
        (b"[" + GOOD + b"]", Reject.WRONG_SHAPE),
        (b"35.2", Reject.WRONG_SHAPE),
        (json_payload(v=2), Reject.WRONG_SHAPE),
        (json_payload(v="1"), Reject.WRONG_SHAPE),
        (json_payload(v=True), Reject.WRONG_SHAPE),
        (json_payload(v=None), Reject.WRONG_SHAPE),
        (json_payload(station=None), Reject.WRONG_SHAPE),
        (json_payload(station=""), Reject.WRONG_SHAPE),
        (json_payload(station=7), Reject.WRONG_SHAPE),
        (json_payload(at=None), Reject.WRONG_SHAPE),
        (json_payload(at=1772323200), Reject.WRONG_SHAPE),
        (json_payload(period_s=90), Reject.WRONG_SHAPE),
        (json_payload(kind="mean"), Reject.WRONG_SHAPE),
        (json_payload(rev=-1), Reject.WRONG_SHAPE),
        (json_payload(rev=2**31), Reject.WRONG_SHAPE),
        (json_payload(colour="blue"), Reject.WRONG_SHAPE),
        (json_payload({}), Reject.WRONG_SHAPE),
        (json_payload([35.2]), Reject.WRONG_SHAPE),
        (json_payload("35.2"), Reject.WRONG_SHAPE),
        (raw('{"a":1}', head='"v":1,"station":"S1","station":"S2","at":"2026-03-01T08:00:00Z"'), Reject.WRONG_SHAPE),
        (
            raw('{"a":1}', head=r'"v":1,"station":"S1","st\u0061tion":"S2","at":"2026-03-01T08:00:00Z"'),
            Reject.WRONG_SHAPE,
        ),
        (raw('{"a":{"value":1,"kind":"avg"}}', head=GOOD_HEAD + ',"kind":"avg","kind":"rtd"'), Reject.WRONG_SHAPE),
        (raw('{"a":' + "[" * 70 + "]" * 70 + "}"), Reject.WRONG_SHAPE),
        (raw('{"a":' + "[" * 100_000), Reject.WRONG_SHAPE),
        (json_payload(at="2026-03-01T08:00:00"), Reject.BAD_TIME),
        (json_payload(at="2026-03-01 08:00:00+08:00"), Reject.BAD_TIME),
        (json_payload(at="2026-02-29T08:00:00+08:00"), Reject.BAD_TIME),
        (json_payload(at="2026-03-01T24:00:00+08:00"), Reject.BAD_TIME),
        (json_payload(at="2026-03-01T08:00:60+08:00"), Reject.BAD_TIME),
        (json_payload(at="20260301080000"), Reject.BAD_TIME),
        (json_payload(at="2026-03-01T08:00:00Z\n"), Reject.BAD_TIME),
        (json_payload(at=""), Reject.BAD_TIME),
    ],
)
def test_a_wrong_message_is_one_reject_and_its_neighbours_are_unharmed(payload, reason):
    result = decode(GOOD, payload, GOOD)
    assert rejects(result) == [(1, None, reason)]
    assert values(result) == [(0, "a19001", "9.5"), (2, "a19001", "9.5")]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('"35.2"', Reject.VALUE_IS_TEXT),
        ('"ND"', Reject.VALUE_IS_TEXT),
        ('"<"', Reject.VALUE_IS_TEXT),
        ('"<-1"', Reject.VALUE_IS_TEXT),
        ('"<0,05"', Reject.VALUE_IS_TEXT),
        ('">0.05"', Reject.VALUE_IS_TEXT),
        ('"0.05 mg/L"', Reject.VALUE_IS_TEXT),
        ('"NaN"', Reject.VALUE_IS_TEXT),
        ('""', Reject.VALUE_IS_TEXT),
        ("true", Reject.VALUE_IS_BOOLEAN),
        ("false", Reject.VALUE_IS_BOOLEAN),
        ("null", Reject.VALUE_MISSING),
        ("[1]", Reject.WRONG_SHAPE),
        ("{}", Reject.VALUE_MISSING),
        ('{"mark":"D"}', Reject.VALUE_MISSING),
        ('{"value":null}', Reject.VALUE_MISSING),
        ('{"value":"35.2","mark":"N"}', Reject.VALUE_IS_TEXT),
        ('{"value":true}', Reject.VALUE_IS_BOOLEAN),
        ('{"value":{"value":1}}', Reject.WRONG_SHAPE),
        ('{"value":1,"value":2}', Reject.WRONG_SHAPE),
        ('{"value":1,"flag":"N"}', Reject.WRONG_SHAPE),
        ('{"value":1,"mark":0}', Reject.WRONG_SHAPE),
        ('{"value":1,"mark":null}', Reject.WRONG_SHAPE),
        ('{"value":1,"unit":[]}', Reject.WRONG_SHAPE),
        ('{"value":1,"kind":"mean"}', Reject.WRONG_SHAPE),
        ('{"value":1,"kind":7}', Reject.WRONG_SHAPE),
        ('{"value":1,"kind":{}}', Reject.WRONG_SHAPE),
    ],
)
def test_a_wrong_value_is_one_reject_and_the_other_readings_are_unharmed(value, reason):
    result = decode(raw(f'{{"a19001":9.5,"a21026":{value},"a21002":{{"value":48.10,"mark":"N"}}}}'))
    assert rejects(result) == [(0, "a21026", reason)]
    assert values(result, "mark") == [(0, "a19001", "9.5", None), (0, "a21002", "48.10", "N")]


@pytest.mark.parametrize("number", ["35.20", "0", "-0", "1e999", "-1.50E-07", "123456789012345678901234567890.10"])
@pytest.mark.parametrize(
    "form", ["{}", ' {}\t, "b" : 1', '{{"value":{}}}', '{{ "value" : {} , "mark":"N"}}', '{{"mark":"N","value":{}}}']
)
def test_a_number_keeps_the_text_it_was_sent_in(number, form):
    result = decode(raw(f'{{"a":{form.format(number)}}}'))
    assert rejects(result) == []
    assert result.readings["raw_text"][0] == number


@pytest.mark.parametrize("text", ["<0.05", "< 0.05", "＜0.05", "0.05L", "0.05 L", "<1"])
@pytest.mark.parametrize("form", ["{}", '{{"value":{},"mark":"N"}}'])
def test_a_result_below_a_limit_of_quantification_keeps_its_text(text, form):
    result = decode(raw(f'{{"a":{form.format(json.dumps(text, ensure_ascii=False))},"b":2}}'))
    assert rejects(result) == []
    assert values(result) == [(0, "a", text), (0, "b", "2")]


def test_nd_is_told_what_to_send_instead():
    (detail,) = decode(raw('{"a":"ND"}')).rejects["detail"]
    assert '"<0.05"' in detail


def test_a_factor_given_twice_gives_no_reading_because_neither_can_be_preferred():
    result = decode(
        raw('{"a":1,"b":2,"a":1}'),
        raw('{"a":{"value":1},"b":2,"a":3}'),
        raw(r'{"a":1,"b":2,"\u0061":3}'),
        raw('{"a":1,"b":2}'),
    )
    assert rejects(result) == [(0, "a", "wrong_shape"), (1, "a", "wrong_shape"), (2, "a", "wrong_shape")]
    assert values(result) == [(0, "b", "2"), (1, "b", "2"), (2, "b", "2"), (3, "a", "1"), (3, "b", "2")]


def test_text_that_looks_like_structure_stays_text():
    result = decode(
        raw('{"a":{"value":1,"unit":"\\",\\"mark\\":","mark":"},{"},"b:,c":2,"d":{"value":3,"mark":"\\"value\\":4"}}')
    )
    assert rejects(result) == []
    assert values(result, "raw_unit", "mark") == [
        (0, "a", "1", '","mark":', "},{"),
        (0, "b:,c", "2", None, None),
        (0, "d", "3", None, '"value":4'),
    ]


def test_a_reading_may_be_of_another_kind_than_its_message():
    result = decode(json_payload({"a": 1, "b": {"value": 2, "kind": "max"}, "c": {"value": 3, "kind": "zs_avg"}}))
    assert values(result, "kind", "period_s") == [
        (0, "a", "1", "avg", 60),
        (0, "b", "2", "max", 60),
        (0, "c", "3", "zs_avg", 60),
    ]


@pytest.mark.parametrize(
    ("at", "instant"),
    [
        ("2026-03-01T08:00:00+08:00", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T00:00:00Z", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-02-28T18:30:00.25-05:30", datetime(2026, 3, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-03-01T00:00:00.123456789Z", datetime(2026, 3, 1, 0, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_an_instant_with_any_offset_is_kept_to_the_microsecond(at, instant):
    assert decode(json_payload(at=at)).readings["event_at"].to_list() == [instant]


def test_readings_with_kinds_of_their_own_need_no_kind_of_the_message():
    result = decode(raw('{"a":{"value":1,"kind":"max"},"b":{"value":2,"unit":"%","kind":"min"},"c":3}'))
    assert values(result, "kind") == [(0, "a", "1", "max"), (0, "b", "2", "min"), (0, "c", "3", "rtd")]


def test_the_device_revision_and_the_stations_own_name_for_itself_are_claims_passed_on():
    row = decode(json_payload(rev=3, station="站 1")).readings.row(0, named=True)
    assert (row["device_revision"], row["station"]) == (3, "站 1")


def test_an_empty_batch_gives_empty_frames():
    result = decode()
    assert (len(result.readings), len(result.rejects), len(result.events)) == (0, 0, 0)


def test_details_are_short_whatever_was_sent():
    result = decode(json_payload({"a": "x" * 10_000}), json_payload(at="y" * 10_000), json_payload(**{"k" * 9000: 1}))
    assert result.rejects["detail"].str.len_chars().max() <= 200
    assert len(result.rejects) == 3
