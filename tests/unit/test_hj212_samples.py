"""Every public frame gives the readings, the event or the reject that stands in it, under each policy.

The oracle reads the frame's text with regular expressions and the collection's own columns; it shares no code.
"""

import csv
import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.hj212_frames import ZONE, decode, without_row

VALUE = re.compile(r"([0-9A-Za-z_]+)-((?:Zs)?(?:Rtd|Min|Avg|Max|Cou))=([^,;&]+)")
TIME = re.compile(r"DataTime=([0-9]{14})")
PERIOD_S = {"2011": 0, "2051": 60, "2061": 3600, "2031": 86400}
KINDS = {"Rtd": "rtd", "Min": "min", "Avg": "avg", "Max": "max", "Cou": "cou"}
ACCEPTED = {
    "strict": {"std"},
    "accept-known-variant": {"std", "modbus", "modbus_le"},
    "accept-any": {"std", "modbus", "modbus_le", "none"},
}


@pytest.fixture(scope="module")
def samples(data_folder):
    text = (data_folder / "hj212" / "samples.tsv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(text[0].split("\t"), line.split("\t"), strict=True)) for line in text[1:]]
    assert len(rows) == 81
    return rows


@pytest.fixture(scope="module")
def legacy(data_folder):
    with (data_folder / "hj212" / "legacy_2005_to_2017.csv").open(encoding="utf-8") as lines:
        return {row["code_2005"]: row["code_2017"] for row in csv.DictReader(lines)}


def expected_readings(sample, legacy):
    """(factor, kind, period_s, event_at, raw_text, mark) of a data frame; nothing for any other."""
    time = TIME.search(sample["frame"])
    if sample["CN"] not in PERIOD_S or not time:
        return []
    at = datetime.strptime(time.group(1), "%Y%m%d%H%M%S").replace(tzinfo=ZoneInfo(ZONE))
    is_2005 = sample["version_bits"] in ("2005", "none(2005 style)")
    found = []
    for code, suffix, value in VALUE.findall(sample["frame"]):
        mark = re.search(rf"[;,]{code}-Flag=([^,;&]+)", sample["frame"])
        kind = "zs_" * suffix.startswith("Zs") + KINDS[suffix.removeprefix("Zs")]
        factor = legacy.get(code, code) if is_2005 else code
        found.append((factor, kind, PERIOD_S[sample["CN"]], at, value, mark and mark.group(1)))
    return sorted(found, key=str)


def decoded(result):
    columns = ("factor", "kind", "period_s", "event_at", "raw_text", "mark")
    return sorted(result.readings.select(columns).rows(), key=str)


@pytest.mark.parametrize("policy", ACCEPTED)
def test_each_sample_gives_what_stands_in_it(samples, legacy, policy):
    for sample in samples:
        result = decode(sample["frame"].encode(), policy=policy)
        where = f"{policy}: {sample['frame'][:80]}"
        is_accepted = sample["crc_variant"] in ACCEPTED[policy] or (
            policy == "accept-any" and "CP=&&&&" in sample["frame"]  # the CRC is missing, the frame is whole
        )
        if not is_accepted:
            assert (len(result.readings), len(result.events), len(result.rejects)) == (0, 0, 1), where
            continue
        assert len(result.rejects) == 0, where
        readings = expected_readings(sample, legacy)
        assert decoded(result) == [(*row[:3], row[3].astimezone(ZoneInfo("UTC")), *row[4:]) for row in readings], where
        assert set(result.readings["station"]) <= {sample["MN"]}, where
        if not readings:
            assert len(result.events) == 1, where
            assert result.events["station"].to_list() == [sample["MN"]], where


def test_the_reason_of_a_refusal_is_what_is_wrong_with_the_crc(samples):
    for sample in samples:
        reasons = decode(sample["frame"].encode()).rejects["reason"].to_list()
        expected = {"none": [["crc_mismatch"]], "missing/truncated": [["crc_missing"], ["truncated"]]}
        assert reasons in expected.get(sample["crc_variant"], [[]]), sample["frame"][:80]
        strict = decode(sample["frame"].encode(), policy="strict").rejects["reason"].to_list()
        if sample["crc_valid"] == "variant":
            assert strict == ["crc_variant_refused"], sample["frame"][:80]


def test_a_wrong_crc_is_named_in_the_quality_of_what_is_accepted(samples):
    expected = {"std": {None, "no_header"}, "modbus": {"crc_modbus"}, "modbus_le": {"crc_modbus_le"}}
    for sample in samples:
        quality = set(decode(sample["frame"].encode(), policy="accept-any").readings["quality"])
        if sample["crc_variant"] == "none":
            wrong = "crc_mismatch" if sample["declared_len_ok"] == "yes" else "crc_mismatch,bad_length"
            assert quality <= {wrong}
        else:
            assert quality <= expected.get(sample["crc_variant"], set()), sample["frame"][:80]


@pytest.mark.parametrize("terminator", [b"\r\n", b"\n", b"", b"**\r\n", b"\\r\\n"], ids=repr)
def test_all_samples_in_one_payload_give_what_each_gives(samples, terminator):
    frames = [sample["frame"].encode() for sample in samples]
    together, apart = decode(terminator.join(frames)), decode(*frames)
    assert without_row(together.readings) == without_row(apart.readings)
    assert without_row(together.events) == without_row(apart.events)
    assert without_row(together.rejects) == without_row(apart.rejects)


def test_no_password_of_a_sample_reaches_any_row(samples):
    for sample in samples:
        for password in re.findall(r"PW=([^;&]{5,})", sample["frame"]):
            if sample["frame"].count(password) > sample["frame"].count(f"PW={password}"):
                continue  # the same digits stand elsewhere too
            for policy in ACCEPTED:
                result = decode(sample["frame"].encode(), policy=policy)
                for frame in (result.readings, result.rejects, result.events):
                    assert password not in str(frame.drop("row").rows()), sample["frame"][:80]
