"""The trend picture: a PNG any reader takes, with the limit, gaps, and what is beyond in red."""

import struct
import zlib
from datetime import UTC, datetime, timedelta

from notify.senders.png import GLYPHS, SIGNATURE, Picture, width_of
from notify.senders.trend_picture import (
    BLUE,
    GREY,
    HEIGHT,
    LEFT,
    RED,
    WHITE,
    WIDTH,
    Trend,
    TrendPoint,
    picture_of,
)

AT = datetime(2026, 3, 1, tzinfo=UTC)


def pixels(png: bytes) -> list[bytes]:
    """Rows of colour numbers, read as the standard says; every chunk's CRC is checked."""
    assert png.startswith(SIGNATURE)
    at, chunks = len(SIGNATURE), {}
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        data = png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(kind + data),)
        chunks[kind] = data
        at += 12 + length
    width, height, depth, kind, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, kind, chunks[b"IEND"]) == (8, 3, b"")
    raw = zlib.decompress(chunks[b"IDAT"])
    assert len(raw) == (width + 1) * height
    rows = [raw[n * (width + 1) : (n + 1) * (width + 1)] for n in range(height)]
    assert {row[0] for row in rows} == {0}
    assert max(map(max, rows)) < len(chunks[b"PLTE"]) // 3
    return [row[1:] for row in rows]


def trend(values, limit=50.0, beyond=lambda value: value > 50):
    points = [TrendPoint(AT + timedelta(hours=n), v, v is not None and beyond(v)) for n, v in enumerate(values)]
    return Trend(tuple(points), limit, "Asia/Shanghai")


def count(rows, colour, left=LEFT):
    return sum(row[left:].count(colour) for row in rows)


def test_a_picture_holds_the_pixels_it_was_given_and_nothing_outside():
    picture = Picture(4, 3, ((255, 255, 255), (0, 0, 0)))
    picture.dot(1, 1, 1)
    picture.dot(3, 2, 1, size=5)
    picture.line(-5, 0, -1, 0, 1)
    assert pixels(picture.png()) == [bytes([0, 1, 1, 1]), bytes([0, 1, 1, 1]), bytes([0, 1, 1, 1])]
    assert len(GLYPHS) == 14
    assert width_of("12", 2) == 14


def test_values_are_a_blue_line_and_what_is_beyond_the_limit_is_red():
    below = pixels(picture_of(trend([10, 20, 30])))
    above = pixels(picture_of(trend([10, 20, 90])))
    assert (len(below), len(below[0])) == (HEIGHT, WIDTH)
    assert count(below, BLUE) > 100
    assert count(above, RED) >= count(below, RED) + 20  # the one window beyond is a square of five


def test_the_limit_is_a_dashed_line_where_there_is_one():
    rows = pixels(picture_of(trend([10, 20, 30])))
    dashed = [row for row in rows if row[LEFT:].count(RED) > 100]
    assert len(dashed) == 1
    assert bytes([RED] * 6 + [GREY] * 6 + [RED]) in dashed[0] or bytes([RED] * 6 + [WHITE] * 6 + [RED]) in dashed[0]
    assert count(pixels(picture_of(trend([10, 20, 30], None))), RED) == 0


def test_a_window_without_a_value_is_a_gap():
    whole, gap = picture_of(trend([10, 10, 10, 10], None)), picture_of(trend([10, None, None, 10], None))
    assert count(pixels(gap), BLUE) < count(pixels(whole), BLUE) / 10


def test_too_little_data_gives_no_picture():
    assert picture_of(trend([10])) is None
    assert picture_of(trend([None, 10, None])) is None
    assert picture_of(trend([0, 0], None)) is not None
    assert picture_of(trend([-5, -5], -5.0)) is not None


def test_the_same_trend_gives_the_same_bytes():
    assert picture_of(trend([1, 2, 60])) == picture_of(trend([1, 2, 60]))
