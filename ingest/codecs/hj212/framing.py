"""Frames in a byte stream: `##`, length, segment, CRC, CR LF, and what devices make of it.

Promises: never raises; every byte that is not a terminator lies in exactly one piece; the pieces do not depend on how
the stream was cut; linear work for any input (a candidate frame never reaches over the next header).
Does not promise: that a piece is a good frame; it says what the CRC and the length are worth, the codec judges.
"""

import re
from typing import NamedTuple

from .crc import variant_of

FRAME_MAX = 65_536  # the standard's 1036 is exceeded in the field; a longer one is cut and refused
MISMATCH, MISSING = "mismatch", "missing"
RIGHT, WRONG, IN_CHARACTERS, ABSENT = "right", "wrong", "in_characters", "absent"

_HEADER = re.compile(rb"##([0-9]{2,8}) ?(?i:QN|ST|CN|MN|PW|FLAG|PNUM|PNO|RF|CP) ?=")
_BARE_HERE = re.compile(rb"(?:QN|ST|CN|MN|PW)=")
_BARE = re.compile(rb"(?:(?<![0-9A-Za-z_])|(?<=\\[rn]))(?:QN|ST|CN|MN|PW)=")  # also after a printed `\r\n`
_HEADER_MAX = 32  # more bytes than any header match has: what must be seen before "no header here" is final
_CRC = re.compile(rb"[0-9A-Fa-f]{1,4}")
_AFTER_SHORT_CRC = (b"", b"\r", b"\n", b"#", b"*")
_BLANK = b"\r\n \t\x00*#"  # terminators and the padding seen around them
_TAIL_MAX = 64  # `;Flag=0` after the data area


class Piece(NamedTuple):
    start: int
    end: int  # after the CRC; the terminator belongs to no piece
    segment: bytes | None  # None: bytes that hold no frame
    crc: str = MISSING  # crc.STANDARD, MODBUS, MODBUS_LE, or MISMATCH, MISSING
    given: str = ""  # CRC text as sent
    length: str = ABSENT
    declared: int = 0


def split_stream(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Whole pieces at the head of a stream, and the rest that must wait for more bytes.

    A caller that stops waiting (connection closed or idle) hands the rest to the codec as it is.
    """
    pieces, used = scan(buffer, final=False)
    return [buffer[piece.start : piece.end] for piece in pieces], buffer[used:]


def scan(buffer: bytes, *, final: bool) -> tuple[list[Piece], int]:
    """Pieces in order and how many bytes they use up; `final` means that nothing follows the buffer."""
    headers = [(m.start(), m.end(), m.end(1), m.group(1)) for m in _HEADER.finditer(buffer)]
    nowhere = (len(buffer) + FRAME_MAX * 2, len(buffer) + FRAME_MAX * 2, 0, b"")
    headers += [nowhere, nowhere]
    pieces: list[Piece] = []
    size, pos, at, newline = len(buffer), 0, 0, -1
    while pos < size:
        while headers[at][0] < pos:
            at += 1
        if headers[at][0] == pos:
            _, _, start, digits = headers[at]
            piece = _frame(buffer, pos, start, digits, headers[at + 1], final)
            if piece is None:
                break
            pieces.append(piece)
            pos = piece.end
            continue
        if newline < pos:
            newline = buffer.find(b"\n", pos)
            newline = size + FRAME_MAX * 2 if newline < 0 else newline
        end = min(headers[at][0], newline + 1, pos + FRAME_MAX)
        if end > size or (end == pos + FRAME_MAX and size < end + _HEADER_MAX):
            if not final:
                break
            end = min(end, size)
        pos = _gap(buffer, pos, end, pieces)
    return pieces, pos


def _frame(buffer: bytes, pos: int, start: int, digits: bytes, next_header: tuple, final: bool) -> Piece | None:
    """The frame whose header is at `pos`; None while its bytes are not all there.

    Candidates for the segment's end are tried in ascending order, so that what is still unseen can only come later:
    the declared length (six and eight digits: an address before it, or zeros) and the closing `&&`.
    """
    size, limit = len(buffer), pos + FRAME_MAX
    region = min(next_header[0], limit, size)
    lengths = [int(digits)] if len(digits) <= 4 else [int(digits[-4:]), int(digits)]
    closing = _closing(buffer, start, region)
    ends = {start + n for n in lengths}
    if closing:
        ends.add(closing)
    for end in sorted(ends):
        if end > limit or next_header[1] <= end:
            break
        if end + 4 > size and not final:
            return None
        if end > size:
            break
        found = _checked(buffer, pos, start, end, lengths)
        if found:
            return found
    if not final and next_header[0] > limit and size < limit + _HEADER_MAX:
        return None
    return _salvaged(buffer, pos, start, region, closing, lengths)


def _closing(buffer: bytes, start: int, end: int) -> int:
    """Where the data area's closing `&&` ends; 0 where there is none."""
    opening = buffer.find(b"CP=&&", start, end)
    at = buffer.find(b"&&", opening + 5, end) if opening >= 0 else -1
    return at + 2 if at >= 0 else 0


def _given(buffer: bytes, end: int) -> bytes:
    """CRC text at `end`: four hex digits, or fewer where a terminator shows that leading zeros were dropped."""
    match = _CRC.match(buffer, end)
    if match is None:
        return b""
    text = match.group()
    return text if len(text) == 4 or buffer[match.end() : match.end() + 1] in _AFTER_SHORT_CRC else b""


def _checked(buffer: bytes, pos: int, start: int, end: int, lengths: list[int]) -> Piece | None:
    text = _given(buffer, end)
    if not text:
        return None
    segment = buffer[start:end]
    variant = variant_of(segment, int(text, 16))
    if variant is None:
        return None
    return Piece(pos, end + len(text), segment, variant, text.decode(), *_length(segment, lengths))


def _length(segment: bytes, lengths: list[int]) -> tuple[str, int]:
    if not lengths:
        return ABSENT, 0
    if len(segment) in lengths:
        return RIGHT, len(segment)
    # HJ 212-2017 6.3 calls UTF-8 "one byte": devices count Chinese text either way.
    characters = segment.decode("utf-8", "replace") if not segment.isascii() else ""
    return (IN_CHARACTERS if characters and len(characters) in lengths else WRONG), lengths[0]


def _salvaged(buffer: bytes, pos: int, start: int, region: int, closing: int, lengths: list[int]) -> Piece:
    """A frame none of whose candidates has a known CRC: the last hex of a short region, else the likeliest end."""
    trimmed = _trimmed(buffer, start, region)
    last = trimmed - 4
    if last >= start and len(_given(buffer, last)) == 4 and (not closing or closing < last <= closing + _TAIL_MAX):
        found = _checked(buffer, pos, start, last, lengths)
        if found:
            return found
    for end in (start + n for n in lengths):
        if end <= trimmed - 4 and (buffer[end - 2 : end] == b"&&" or end == last) and len(_given(buffer, end)) == 4:
            return Piece(pos, end + 4, buffer[start:end], MISMATCH, buffer[end : end + 4].decode(), RIGHT, end - start)
    if closing:
        segment, text = buffer[start:closing], _given(buffer, closing)
        crc = MISMATCH if text else MISSING
        return Piece(pos, closing + len(text), segment, crc, text.decode(), *_length(segment, lengths))
    segment = buffer[start:trimmed]
    return Piece(pos, trimmed, segment, MISSING, "", *_length(segment, lengths))


def _trimmed(buffer: bytes, start: int, end: int) -> int:
    """End of the bytes before terminators, among them the literal `\\r\\n` some devices print."""
    text = buffer[start:end].rstrip(_BLANK)
    while text.endswith((b"\\r", b"\\n")):
        text = text[:-2].rstrip(_BLANK)
    return start + len(text)


def _gap(buffer: bytes, pos: int, end: int, pieces: list[Piece]) -> int:
    """Bytes outside `##` frames, at most one line: a segment that lost its header, or no frame at all."""
    trimmed = _trimmed(buffer, pos, end)
    if trimmed == pos:
        return end
    match = _BARE_HERE.match(buffer, pos, trimmed) or _BARE.search(buffer, pos, trimmed)
    if match is None:
        pieces.append(Piece(pos, trimmed, None))
        return end
    start = match.start()
    if _trimmed(buffer, pos, start) > pos:
        pieces.append(Piece(pos, start, None))
    closing = _closing(buffer, start, trimmed)
    piece = (_checked(buffer, start, start, closing, []) if closing else None) or _salvaged(
        buffer, start, start, trimmed, closing, []
    )
    pieces.append(piece if b"CN=" in piece.segment else Piece(start, piece.end, None))
    return piece.end
