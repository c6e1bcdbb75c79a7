"""The codec by example: editions, units, marks, events, refusals; and fuzz that nothing raises or is silent."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.factors import UNITS
from contracts.reasons import Reject
from ingest.codecs.hj212 import POLICIES, Hj212Codec
from ingest.codecs.hj212.tables import commands, legacy_codes, system_types
from tests.hj212_frames import MN, ZONE, crc_modbus, decode, frame_of, segment_of

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "hj212"
AT = "DataTime=20260301080000"
UTC_AT = datetime(2026, 3, 1, tzinfo=UTC)


def sent(cp: str, cn: str = "2011", flag: str = "5", **policy: str):
    return decode(frame_of(segment_of(cp, cn, flag)), **policy)


def readings(result, *columns):
    return result.readings.select("factor", "kind", "raw_text", *columns).rows()


def only_event(result):
    assert (len(result.readings), len(result.rejects), len(result.events)) == (0, 0, 1)
    event = result.events.row(0, named=True)
    return event["event"], event["event_at"], json.loads(event["detail"])


def reasons(result):
    return result.rejects["reason"].to_list()


def test_a_realtime_frame_gives_its_readings():
    result = sent(f"{AT};a21026-Rtd=35.20,a21026-ZsRtd=48.1,a21026-Flag=N;a19001-Rtd=-9.5,a19001-Flag=D")
    assert result.readings.drop("row").rows() == [
        (MN, "a21026", "rtd", 0, UTC_AT, "35.20", None, "N", 0, None),
        (MN, "a21026", "zs_rtd", 0, UTC_AT, "48.1", None, "N", 0, None),
        (MN, "a19001", "rtd", 0, UTC_AT, "-9.5", None, "D", 0, None),
    ]
    assert len(result.rejects) == len(result.events) == 0


@pytest.mark.parametrize(("cn", "period_s"), [("2011", 0), ("2051", 60), ("2061", 3600), ("2031", 86400)])
def test_the_command_says_the_period_and_data_time_its_start(cn, period_s):
    result = sent(f"{AT};a21026-Min=1,a21026-Avg=2,a21026-Max=3,a21026-Cou=4,a21026-ZsAvg=5,a21026-Flag=N", cn)
    assert readings(result, "period_s", "event_at") == [
        ("a21026", kind, text, period_s, UTC_AT)
        for kind, text in (("min", "1"), ("avg", "2"), ("max", "3"), ("cou", "4"), ("zs_avg", "5"))
    ]


def test_civil_time_is_that_of_the_time_zone():
    assert sent(f"{AT};a21026-Rtd=1", time_zone="Etc/GMT-5").readings["event_at"].to_list() == [
        datetime(2026, 3, 1, 3, tzinfo=UTC)
    ]


def test_data_time_of_17_digits_keeps_its_milliseconds():
    assert sent("DataTime=20260301080000123;a21026-Rtd=1").readings["event_at"].to_list() == [
        UTC_AT.replace(microsecond=123_000)
    ]


@pytest.mark.parametrize("time", ["", "DataTime=;", "DataTime=2026030108;", "DataTime=20261301080000;", "DataTime;"])
def test_data_without_a_time_are_one_reject(time):
    result = sent(f"{time}a21026-Rtd=1,a21026-Flag=N;a19001-Rtd=2")
    assert (reasons(result), len(result.readings)) == ([Reject.BAD_TIME], 0)


@pytest.mark.parametrize("text", ["00010101000000", "99991231235959"])
def test_the_ends_of_the_calendar_do_not_raise(text):
    result = sent(f"DataTime={text};a21026-Rtd=1")
    assert len(result.readings) + len(result.rejects) == 1


@pytest.mark.parametrize(("flag", "is_2005"), [("0", True), ("3", True), ("", True), ("4", False), ("9", False)])
def test_2005_codes_are_renamed_in_2005_frames_only(flag, is_2005):
    result = sent(f"{AT};011-Rtd=231.0,011-Flag=N;w01018-Avg=1", flag=flag)
    assert readings(result, "mark")[0] == ("w01018" if is_2005 else "011", "rtd", "231.0", "N")


def test_a_renamed_code_keeps_the_unit_of_2005_where_it_differs():
    result = sent(f"{AT};024-Rtd=0.05;S08-Rtd=0.001;S02-Rtd=8;011-Rtd=3;02-Rtd=4;024-Cou=7", flag="0")
    assert readings(result, "raw_unit") == [
        ("w20117", "rtd", "0.05", "mg/L"),
        ("a01013", "rtd", "0.001", "MPa"),
        ("a01011", "rtd", "8", "m3/h"),
        ("w01018", "rtd", "3", None),
        ("a21026", "rtd", "4", None),
        ("w20117", "cou", "7", None),  # an amount, in a unit no frame names
    ]


def test_the_unit_of_a_2017_code_is_never_assumed():
    for flag in ("0", "5"):
        assert readings(sent(f"{AT};w20117-Rtd=50", flag=flag), "raw_unit") == [("w20117", "rtd", "50", None)]


def test_every_unit_of_2005_that_is_passed_on_is_one_the_registry_knows():
    units = {unit for _, unit in legacy_codes().values() if unit}
    assert units == {"mg/L", "mg/m3", "MPa", "m3/h"}
    assert units <= set(UNITS)
    assert len(legacy_codes()) == 93


def test_day_and_night_levels_of_2005_are_not_trusted_silently():
    assert sent(f"{AT};Ld-Data=50", "2031", "0").readings["quality"].to_list() == ["ld_ln_2005"]
    assert sent(f"{AT};Ld-Data=50", "2031", "5").readings["quality"].to_list() == [None]


def test_noise_levels_of_a_period_and_its_parts_are_told_apart():
    result = sent(f"{AT};L5-Data=53.0;L5-DayData=54.0;L5-NightData=52.0", "2031")
    assert readings(result) == [("L5", "data", "53.0"), ("L5", "day_data", "54.0"), ("L5", "night_data", "52.0")]


def test_misspelt_case_is_read():
    result = sent(f"{AT};W01018-rtd=1,W01018-flag=N;a21026-zsrtd=2")
    assert readings(result, "mark") == [("w01018", "rtd", "1", "N"), ("a21026", "zs_rtd", "2", None)]


def test_a_mark_of_the_converted_value_is_its_own():
    result = sent(f"{AT};a21026-Rtd=1,a21026-Flag=N,a21026-ZsRtd=2,a21026-ZsFlag=T")
    assert readings(result, "mark") == [("a21026", "rtd", "1", "N"), ("a21026", "zs_rtd", "2", "T")]


def test_an_unknown_mark_is_kept_as_sent():
    assert sent(f"{AT};a21026-Rtd=1,a21026-Flag=zz").readings["mark"].to_list() == ["zz"]


def test_what_is_neither_value_nor_mark_is_kept_in_one_event():
    result = sent(f"{AT};w01018-SampleTime=20260301070000,w01018-Rtd=2.2,w01018-EFlag=A01;02-RealOrigin=-54.660;lng=1")
    assert readings(result, "event_at") == [("w01018", "rtd", "2.2", UTC_AT)]
    assert result.events["event"].to_list() == ["other_items"]
    assert result.events["event_at"].to_list() == [UTC_AT]
    assert json.loads(result.events["detail"][0])["items"] == {
        "w01018-SampleTime": "20260301070000",
        "w01018-EFlag": "A01",
        "02-RealOrigin": "-54.660",
        "lng": "1",
    }


def test_an_empty_value_is_a_reject_and_its_neighbours_stand():
    result = sent(f"{AT};a21026-Rtd=,a21026-Flag=B;a19001-Rtd=9.5;a01012-Rtd")
    assert readings(result) == [("a19001", "rtd", "9.5")]
    assert result.rejects.select("factor", "reason").rows() == [
        ("a21026", Reject.VALUE_MISSING),
        ("a01012", Reject.VALUE_MISSING),
    ]


def test_text_that_is_no_number_is_left_to_the_registry_join():
    assert readings(sent(f"{AT};a21026-Rtd=NaN;a19001-Rtd=--")) == [("a21026", "rtd", "NaN"), ("a19001", "rtd", "--")]


def test_two_values_for_one_key_are_neither_believed():
    result = sent(f"{AT};e01001-Rtd=1.1;e01001-Rtd=2.2;a19001-Rtd=9;a19001-Rtd=9")
    assert readings(result) == [("a19001", "rtd", "9")]
    assert result.rejects.select("factor", "reason").rows() == [("e01001", Reject.WRONG_SHAPE)]


def test_an_old_and_a_new_code_of_one_factor_are_one_key():
    assert reasons(sent(f"{AT};011-Rtd=1;w01018-Rtd=2", flag="0")) == [Reject.WRONG_SHAPE]
    assert readings(sent(f"{AT};011-Rtd=1;w01018-Rtd=1", flag="0")) == [("w01018", "rtd", "1")]


def test_parts_of_a_split_packet_merge_by_their_keys():
    parts = [
        segment_of(f"{AT};a21026-Avg=1", "2061", "7").replace(b";CP=", b";PNUM=2;PNO=%d;CP=" % number)
        for number in (1, 2)
    ]
    result = decode(frame_of(parts[0]), frame_of(parts[1].replace(b"a21026", b"a21002")))
    assert result.readings.select("row", "factor", "event_at").rows() == [(0, "a21026", UTC_AT), (1, "a21002", UTC_AT)]


@pytest.mark.parametrize("cp", ["", " ", "BeginTime=20260301000000,EndTime=20260301010000"])
@pytest.mark.parametrize("cn", ["2011", "2021", "2031", "2041", "2051", "2061"])
def test_a_request_for_data_is_an_event(cn, cp):
    name, at, detail = only_event(sent(cp, cn))
    assert (name, detail["cn"]) == ("request", cn)
    assert at == datetime(2026, 3, 1, tzinfo=UTC)  # of its QN


@pytest.mark.parametrize(
    ("cn", "cp", "event"),
    [
        ("9011", "QnRtn=1", "ack"),
        ("9012", "ExeRtn=1", "ack"),
        ("9013", "", "ack"),
        ("9014", "", "ack"),
        ("9015", "", "heartbeat"),
        ("9051", "", "heartbeat"),
        ("9021", "", "login"),
        ("1012", "SystemTime=20260301080000", "time"),
        ("1013", "PolId=w01018", "time"),
        ("2081", f"{AT};RestartTime=20260301075700", "restart"),
        ("2021", f"{AT};SB1-RS=1;SB2-RS=0", "facility_state"),
        ("2041", f"{AT};SB1-RT=1.1", "facility_run_time"),
        ("3020", f"{AT};PolId=w01018;i12001-Info=1", "logger_info"),
        ("3011", "PolId=w01018", "command"),
        ("2072", "AlarmTime=20260301080000;a21026-Ala=1.1", "alarm"),
        ("7777", "x=1", "unknown_command"),
    ],
)
def test_what_is_not_data_is_an_event_with_its_items(cn, cp, event):
    name, at, detail = only_event(sent(cp, cn))
    assert (name, at) == (event, UTC_AT)
    assert detail.get("items", {}) == dict(item.split("=") for item in cp.split(";") if item)
    assert (detail["qn"], detail["flag"]) == ("20260301080000000", "5")


def test_a_heartbeat_without_data_area_is_an_event():
    assert only_event(decode(frame_of(b"CN=9051;MN=868957048175048;MD=0")))[0] == "heartbeat"


def test_an_acknowledgement_of_2005_needs_no_station():
    result = decode(frame_of(b"ST=91;CN=9014;CP=&&QN=20040516010101001;CN=2051;PNO=1;PNUM=1;&&"))
    assert only_event(result)[2]["items"] == {"QN": "20040516010101001", "CN": "2051", "PNO": "1", "PNUM": "1"}
    assert result.events["station"].to_list() == [None]


def test_log_text_may_hold_separators():
    detail = only_event(sent(f"{AT};PolId=w01018;i11001-Info=//清洗;管路,a=1//", "3020"))[2]
    assert detail["items"]["i11001-Info"] == "//清洗;管路,a=1//"


def test_chinese_text_is_read_as_utf8_and_as_gb18030():
    text = f"{AT};PolId=w01018;i11001-Info=//清洗管路//"
    for encoding, quality in (("utf-8", None), ("gb18030", "gb18030")):
        detail = only_event(decode(frame_of(segment_of("@", "3020").replace(b"@", text.encode(encoding)))))[2]
        assert (detail["items"]["i11001-Info"], detail.get("quality")) == ("//清洗管路//", quality)


def test_a_length_in_characters_is_accepted_and_said():
    segment = segment_of(f"{AT};i11001-Info=//清洗管路//;a21026-Rtd=1")
    result = decode(frame_of(segment, length=len(segment.decode())), policy="strict")
    assert result.readings["quality"].to_list() == ["length_in_characters"]


@pytest.mark.parametrize("secret", ["s3cr3t", "hunter22"])
@pytest.mark.parametrize("cn", ["1072", "1014", "3021", "2011", "7777"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_password_never_leaves_the_codec(secret, cn, policy):
    cp = f"{AT};NewPW=hunter22;PW=hunter22;NewSK=hunter22;a=1PW=hunter22;lng=1"
    whole = frame_of(segment_of(cp, cn))
    bare = segment_of(cp, cn)
    cut = [whole[:at] for at in range(0, len(whole), 7)] + [whole[at:] for at in range(0, len(whole), 7)]
    glued = frame_of(bare.replace(b";MN=", b"MN=")), frame_of(bare.replace(b";PW=", b"PW="))
    result = decode(whole, frame_of(bare, crc=0x1234), bare, *glued, *cut, policy=policy)
    for frame in (result.rejects, result.events, result.readings.drop("raw_text")):
        assert secret not in str(frame.rows())


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("accept-known-variant", "crc_modbus"), ("accept-any", "crc_modbus"), ("strict", None)],
)
def test_a_modbus_crc_is_accepted_by_name_or_refused(policy, expected):
    segment = segment_of(f"{AT};a21026-Rtd=1")
    result = decode(frame_of(segment, crc=crc_modbus(segment)), policy=policy)
    assert result.readings["quality"].to_list() == ([expected] if expected else [])
    assert reasons(result) == ([] if expected else [Reject.CRC_VARIANT_REFUSED])


def test_a_dropped_leading_zero_is_a_known_variant():
    segment = next(
        segment
        for segment in (segment_of(f"{AT};a21026-Rtd={value}") for value in range(1000))
        if frame_of(segment)[-6:-5] == b"0" and frame_of(segment)[-5:-4] != b"0"
    )
    payload = frame_of(segment)[:-6] + frame_of(segment)[-5:]
    assert decode(payload).readings["quality"].to_list() == ["crc_zero_dropped"]
    assert reasons(decode(payload, policy="strict")) == [Reject.CRC_VARIANT_REFUSED]


def test_a_wrong_length_with_a_right_crc_is_a_remark_or_under_strict_a_reject():
    payload = frame_of(segment_of(f"{AT};a21026-Rtd=1"), length=400)
    assert decode(payload).readings["quality"].to_list() == ["bad_length"]
    assert reasons(decode(payload, policy="strict")) == [Reject.BAD_LENGTH]


def test_a_cut_frame_is_truncated_under_every_policy():
    payload = frame_of(segment_of(f"{AT};a21026-Rtd=12.5"))
    for policy in POLICIES:
        assert reasons(decode(payload[:-12], policy=policy)) == [Reject.TRUNCATED]
        assert reasons(decode(payload[:60], policy=policy)) == [Reject.TRUNCATED]


def test_data_without_a_station_or_a_data_area_are_rejects():
    segment = segment_of(f"{AT};a21026-Rtd=1")
    assert reasons(decode(frame_of(segment.replace(f";MN={MN}".encode(), b"")))) == [Reject.UNKNOWN_STATION]
    assert reasons(decode(frame_of(b"ST=31;CN=2011;MN=A1;Flag=5"))) == [Reject.NO_DATA_AREA]


@pytest.mark.parametrize("payload", [b"", b"\r\n", b"**\r\n\0"])
def test_a_payload_of_nothing_is_a_reject(payload):
    assert reasons(decode(payload)) == [Reject.EMPTY_PAYLOAD]


def test_a_resent_record_of_2025_says_so():
    segment = segment_of(f"{AT};a21026-Avg=1", "2051", "9").replace(b";CP=", b";RF=1;CP=")
    assert decode(frame_of(segment)).readings["quality"].to_list() == ["resent"]


def test_an_encrypted_data_area_is_named_in_each_wire_form(data_folder):
    vectors = json.loads((data_folder / "hj212" / "sm4_vectors.json").read_text(encoding="utf-8"))
    for vector in vectors:
        plain = vector["plaintext_frame"].encode()
        bare_hex = plain[6:].split(b"CP=&&")[0] + b"CP=&&" + vector["ciphertext_hex"].encode() + b"&&"
        forms = [
            bytes.fromhex(vector["wire_raw_bytes_hex"]),
            vector["wire_text_declared_plain"].encode(),
            vector["wire_text_declared_actual"].encode(),
            b"##%04d" % len(bare_hex) + bare_hex + vector["crc_over_plaintext"].encode(),
        ]
        for policy in POLICIES:
            for form in forms:
                result = decode(form, policy=policy)
                assert reasons(result) == [Reject.ENCRYPTED], (policy, form[:90])
                assert result.rejects["station"].to_list() == [MN]
        assert len(decode(plain).readings) > 0


def spec_examples():
    with (GOLDEN / "spec_examples.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row for row in rows if row["has_ellipsis"] == "no"]


def test_every_whole_example_of_the_standards_is_decoded_without_a_reject():
    examples = spec_examples()
    assert len(examples) > 80
    for example in examples:
        payload = example["computed_frame_without_crlf"].encode()
        result = decode(payload, policy="strict")
        segment = example["data_segment_as_printed"]
        assert len(result.rejects) == 0, segment
        assert len(result.readings) == segment.count("-Rtd=") + segment.count("Data="), segment
        assert len(result.readings) + len(result.events) >= 1, segment


def test_the_two_parts_of_a_split_packet_of_the_standard_merge():
    """Table C.49, the ellipsis taken out."""
    with (GOLDEN / "spec_examples.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    parts = [
        row["data_segment_as_printed"].replace(";…", "") for row in rows if row["table_or_item"].startswith("表C.49")
    ]
    result = decode(*(frame_of(part.encode()) for part in parts))
    assert len(parts) == 2
    assert len(result.rejects) == len(result.events) == 0
    assert result.readings.select("row", "factor").unique().sort("factor").rows() == [
        (0, "w00000"),
        (0, "w01001"),
        (1, "w01018"),
    ]
    assert result.readings["event_at"].n_unique() == 1


def test_an_unknown_policy_is_refused_with_the_right_ones():
    with pytest.raises(ValueError, match="accept-known-variant, strict, accept-any"):
        Hj212Codec("lenient")


def test_the_tables_name_ranges_and_both_meanings():
    assert commands()["2064"] == commands()["2066"]
    assert " / " in commands()["1001"]
    assert system_types()["31"] == "Air pollution source (CEMS)"


names = st.text("0123456789aSwx-RtdAvgFlagZs", max_size=12)
values = st.text("0123456789.-eN&=;,/ #清", max_size=12)
areas = st.lists(st.builds("{}={}".format, names, values) | names, max_size=8).map(";".join)


@given(
    st.binary(max_size=300)
    | st.builds(
        lambda area, cn, flag, crc, length: frame_of(segment_of(area, cn, flag), crc, length),
        areas | st.just(AT) | areas.map(lambda area: f"{AT};{area}"),
        st.sampled_from(["2011", "2051", "2021", "9014", "1072", "3020", "", "x"]),
        st.sampled_from(["", "0", "5", "9", "x", "²"]),
        st.none() | st.integers(0, 0xFFFF),
        st.none() | st.integers(0, 9999),
    ),
    st.sampled_from(POLICIES),
)
def test_no_bytes_raise_and_none_are_silent(payload, policy):
    result = decode(payload, policy=policy)
    assert len(result.readings) + len(result.rejects) + len(result.events) >= 1


generated = st.dictionaries(
    st.tuples(
        st.from_regex(r"[aw][0-9]{5}", fullmatch=True), st.sampled_from(["Rtd", "Min", "Avg", "Max", "Cou", "ZsAvg"])
    ),
    st.decimals(-(10**6), 10**6, allow_nan=False, allow_infinity=False, places=3).map(str),
    min_size=1,
    max_size=20,
)


@given(generated, st.integers(0, 10**9).map(lambda seconds: UTC_AT + timedelta(seconds=seconds)))
def test_a_generated_frame_comes_back_whole(sent_values, at):
    items = ";".join(f"{code}-{suffix}={value}" for (code, suffix), value in sent_values.items())
    result = sent(f"DataTime={at.astimezone(ZoneInfo(ZONE)):%Y%m%d%H%M%S};{items}", "2051")
    assert set(result.readings["event_at"]) == {at}
    kind = {"Rtd": "rtd", "Min": "min", "Avg": "avg", "Max": "max", "Cou": "cou", "ZsAvg": "zs_avg"}
    assert readings(result) == [(code, kind[suffix], value) for (code, suffix), value in sent_values.items()]
    assert len(result.rejects) == len(result.events) == 0
