"""Framing: the pieces of a stream do not depend on how it was cut, and hostile bytes cost linear work."""

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs.hj212 import framing, split_stream
from tests.hj212_frames import crc_modbus, decode, frame_of, segment_of, without_row

ONE = segment_of("DataTime=20260301080000;a21026-Rtd=35.2,a21026-Flag=N")
TWO = segment_of("DataTime=20260301080000;a21026-Avg=35.2,a21026-Flag=N", cn="2051")
FRAGMENTS = [
    frame_of(ONE),
    frame_of(TWO, end=b""),
    frame_of(ONE, end=b"\n"),
    frame_of(ONE, end=b"**\r\n"),
    frame_of(ONE, end=b"\\r\\n"),
    frame_of(ONE, length=400),
    frame_of(TWO, length=9999),
    frame_of(ONE, length=30),
    frame_of(ONE, crc=0x1234),
    frame_of(TWO, crc=crc_modbus(TWO)),
    frame_of(ONE)[:-6] + b"\r\n",  # no CRC
    frame_of(ONE)[:60],
    ONE + b"%04X\r\n" % 0x1234,
    frame_of(ONE)[6:],  # a segment that lost its header
    b"##0002" + frame_of(TWO)[2:],
    b"##",
    b"##0123",
    b"\r\n",
    b"AT+CSQ\r\n",
    b"\x01\x03\x00\x00\x00\x02\xc4\x0b",
    b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",
]
TERMINATORS = re.compile(rb"(?:[\r\n \t\0*#]|\\r|\\n)*")
streams = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=12), max_size=8).map(b"".join)


def fed(chunks: list[bytes]) -> list[bytes]:
    """The pieces of a stream that comes in chunks, its rest taken as it is when the stream ends."""
    found, rest = [], b""
    for chunk in chunks:
        frames, rest = split_stream(rest + chunk)
        found += frames
    return found + [rest[piece.start : piece.end] for piece in framing.scan(rest, final=True)[0]]


@given(streams, st.lists(st.integers(0, 2000), max_size=6))
def test_splitting_the_stream_anywhere_gives_the_same_pieces(stream, cuts):
    at = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    chunks = [stream[a:b] for a, b in pairwise(at)]
    assert fed(chunks) == fed([stream])


def test_a_stream_fed_byte_by_byte_gives_the_same_pieces():
    stream = b"".join(FRAGMENTS)
    assert fed([stream[at : at + 1] for at in range(len(stream))]) == fed([stream])


@given(streams)
def test_pieces_decoded_one_by_one_give_what_the_whole_stream_gives(stream):
    whole, parts = decode(stream), decode(*fed([stream]))
    if fed([stream]):
        assert without_row(parts.readings) == without_row(whole.readings)
        assert without_row(parts.events) == without_row(whole.events)
        assert parts.rejects["reason"].to_list() == whole.rejects["reason"].to_list()


@given(streams)
def test_only_terminators_lie_between_pieces(stream):
    pieces, used = framing.scan(stream, final=True)
    assert used == len(stream)
    at = 0
    for piece in pieces:
        assert at <= piece.start < piece.end
        assert TERMINATORS.fullmatch(stream, at, piece.start)
        at = piece.end
    assert TERMINATORS.fullmatch(stream, at)


def test_frames_glued_without_crlf_are_told_apart():
    frames, rest = split_stream(frame_of(ONE, end=b"") + frame_of(TWO, end=b"") + frame_of(ONE)[:40])
    assert frames == [frame_of(ONE, end=b""), frame_of(TWO, end=b"")]
    assert rest == frame_of(ONE)[:40]


def test_a_frame_is_given_out_as_soon_as_its_crc_is_there():
    whole = frame_of(ONE, end=b"")
    assert split_stream(whole) == ([whole], b"")
    assert split_stream(whole[:-1]) == ([], whole[:-1])


def test_a_frame_of_constant_wrong_length_is_given_out_at_its_closing_mark():
    whole = frame_of(ONE, length=400, end=b"")
    assert split_stream(frame_of(TWO) + whole) == ([frame_of(TWO, end=b""), whole], b"")


def test_a_wrong_length_does_not_swallow_the_next_frame():
    result = decode(frame_of(ONE, length=9999, crc=0x1234) + frame_of(TWO))
    assert result.readings["kind"].to_list() == ["avg"]
    assert result.rejects["reason"].to_list() == ["crc_mismatch"]


@pytest.mark.parametrize("digits", [b"%02d", b"%06d", b"0001%04d", b"%03d"])
def test_lengths_of_two_to_eight_digits_are_read(digits):
    segment = b"ST=31;CN=9015;MN=A1;CP=&&&&" if digits == b"%02d" else ONE
    payload = b"##" + digits % len(segment) + frame_of(segment)[6:]
    assert [piece.length for piece in framing.scan(payload, final=True)[0]] == [framing.RIGHT]


HOSTILE = {
    "headers": b"##10QN=",
    "lengths that reach far": b"##9999QN=;CP=&&&&1234",
    "segments without a header": b"ST=1;CN=1;CP=&&&&0000",
    "almost keys": b"ST=",
    "ampersands": b"&",
    "open data areas": b"##0100QN=1;CP=&&",
    "slashes": b"##9999QN=1;CN=3020;CP=&&//",
    "digits": b"##99999999",
    "zeros": b"\0",
    "printed terminators": b"\\r\\n",
    "blank lines": b"\n",
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_hostile_half_megabytes_are_refused_in_time(unit):
    """Linear work takes a second or two, quadratic work minutes to hours."""
    result = decode((unit * (1 + (1 << 19) // len(unit)))[: 1 << 19])
    assert len(result.readings) == 0
    assert len(result.rejects) > 0


def test_random_bytes_hold_no_frame():
    result = decode(random.Random(212).randbytes(1 << 16))
    assert len(result.readings) == len(result.events) == 0
    assert set(result.rejects["reason"]) <= {"no_frame"}
