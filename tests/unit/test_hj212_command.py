"""`greenisland decode`: a byte stream or lines in, NDJSON out, a summary on stderr, exit 0."""

import json

import pytest
import typer
from typer.testing import CliRunner

from app.commands.decode import READ_BYTES, decode_command
from tests.decoding_site import json_payload
from tests.hj212_frames import MN, crc_modbus, frame_of, segment_of

app = typer.Typer()
app.command()(decode_command)
AT = "DataTime=20260301080000"


def run(*args: str, stdin: bytes = b""):
    result = CliRunner().invoke(app, list(args), input=stdin)
    return result, [json.loads(line) for line in result.stdout.splitlines()] if result.exit_code == 0 else []


def test_readings_rejects_and_events_come_out_in_order_as_ndjson(tmp_path):
    stream = (
        frame_of(segment_of(f"{AT};w01018-Rtd=35.2,w01018-Flag=N;lng=1"))
        + frame_of(segment_of(f"{AT};w01018-Rtd=1"), crc=0x1234)
        + frame_of(segment_of("", "9014", "4"))
    )
    (tmp_path / "frames.bin").write_bytes(stream)
    result, lines = run("--codec", "hj212", str(tmp_path / "frames.bin"))
    assert result.exit_code == 0
    assert lines[0] == {
        "station": MN,
        "factor": "w01018",
        "kind": "rtd",
        "value": 35.2,
        "mark": "N",
        "unit": "mg/L",
        "event_at": "2026-03-01T00:00:00+00:00",
        "period_s": 0,
        "raw_text": "35.2",
        "quality": None,
        "message": 1,
    }
    assert [line.get("event") or line.get("reject") for line in lines[1:]] == ["other_items", "crc_mismatch", "ack"]
    assert lines[3]["command"] == "Data acknowledge"
    assert result.stderr == "3 frames: 1 readings, 1 rejects (crc_mismatch 1), 2 events\n"


def test_standard_input_is_read_and_the_policy_is_obeyed():
    segment = segment_of(f"{AT};w01018-Rtd=35.2")
    stream = frame_of(segment, crc=crc_modbus(segment))
    assert [line.get("quality") for line in run("--codec", "hj212", "-", stdin=stream)[1]] == ["crc_modbus"]
    _, lines = run("--codec", "hj212", "--policy", "strict", "-", stdin=stream)
    assert [line.get("reject") for line in lines] == ["crc_variant_refused"]


def test_a_stream_longer_than_a_read_loses_nothing():
    frames = b"".join(frame_of(segment_of(f"{AT};w01018-Rtd={value:0900}")) for value in range(1200))
    assert len(frames) > READ_BYTES
    lines = run("--codec", "hj212", "-", stdin=frames + b"##0123QN=2026")[1]
    assert [line["value"] for line in lines[:-1]] == list(range(1200))
    assert [line["message"] for line in lines] == list(range(1, 1202))
    assert lines[-1]["reject"] == "truncated"


def test_a_unit_of_2005_is_shown_and_an_amount_has_none():
    _, lines = run("--codec", "hj212", "-", stdin=frame_of(segment_of(f"{AT};024-Avg=0.05,024-Cou=7", "2061", "0")))
    assert [(line["factor"], line["kind"], line["value"], line["unit"]) for line in lines] == [
        ("w20117", "avg", 0.05, "mg/L"),
        ("w20117", "cou", 7.0, None),
    ]


def test_text_that_is_no_number_is_a_reject():
    _, lines = run("--codec", "hj212", "-", stdin=frame_of(segment_of(f"{AT};a-Rtd=NaN;b-Rtd=1e999;c-Rtd=1_0")))
    assert [line["reject"] for line in lines] == ["not_a_number", "not_finite", "not_a_number"]


def test_json_is_a_payload_a_line():
    stream = json_payload({"a21026": 35.2}) + b"\r\n" + b"[" + b"\n" + json_payload({"a19001": 9})
    result, lines = run("--codec", "json", "-", stdin=stream)
    assert [(line.get("factor"), line.get("value"), line.get("unit"), line["message"]) for line in lines] == [
        ("a21026", 35.2, "mg/m3", 1),
        (None, None, None, 2),
        ("a19001", 9.0, "%", 3),
    ]
    assert result.stderr.startswith("3 lines: 2 readings, 1 rejects")


@pytest.mark.parametrize("stdin", [b"", b"\r\n\r\n"])
def test_nothing_in_is_nothing_out(stdin):
    result, lines = run("--codec", "hj212", "-", stdin=stdin)
    assert (lines, result.stderr) == ([], "0 frames: 0 readings, 0 rejects, 0 events\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--codec", "hj212", "/no/such/file"], "/no/such/file: No such file or directory"),
        (["--codec", "hj212", "--time-zone", "Mars/Olympus", "-"], "write one like Asia/Shanghai"),
        (["--codec", "morse", "-"], "'hj212', 'json'"),
    ],
)
def test_a_mistake_is_named_in_the_users_words(args, said):
    result, _ = run(*args)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
