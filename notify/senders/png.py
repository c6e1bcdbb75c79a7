"""A picture in a few colours as PNG (ISO/IEC 15948): palette, 8 bits a pixel, one zlib stream. Pure.

Promises: the same pixels give the same bytes. Does not promise small files: nothing is filtered.
"""

import struct
import zlib
from dataclasses import dataclass, field

Colour = tuple[int, int, int]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE, _NOT_INTERLACED = 3, 0

# 3 x 5 pixels a sign, a row an octal digit from the top
GLYPHS = {
    "0": "75557",
    "1": "26227",
    "2": "71747",
    "3": "71717",
    "4": "55711",
    "5": "74717",
    "6": "74757",
    "7": "71122",
    "8": "75757",
    "9": "75717",
    "-": "00700",
    ".": "00002",
    ":": "02020",
    " ": "00000",
}
GLYPH_WIDTH, GLYPH_HEIGHT = 3, 5


@dataclass
class Picture:
    """Pixels by number of colour; what lies outside is left out."""

    width: int
    height: int
    colours: tuple[Colour, ...]  # the first is the ground
    pixels: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.pixels = bytearray(self.width * self.height)

    def dot(self, x: int, y: int, colour: int, size: int = 1) -> None:
        """A square with this middle."""
        half = size // 2
        for row in range(max(0, y - half), min(self.height, y - half + size)):
            left, right = max(0, x - half), min(self.width, x - half + size)
            if left < right:
                self.pixels[row * self.width + left : row * self.width + right] = bytes([colour]) * (right - left)

    def line(self, x0: int, y0: int, x1: int, y1: int, colour: int, *, size: int = 1, dash: int = 0) -> None:
        """dash: so many pixels drawn, so many left out; 0: none left out."""
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(steps + 1):
            if not dash or step // dash % 2 == 0:
                self.dot(x0 + (x1 - x0) * step // steps, y0 + (y1 - y0) * step // steps, colour, size)

    def write(self, text: str, x: int, y: int, colour: int, scale: int = 2) -> None:
        """Digits, `-`, `.`, `:` from the upper left corner; other signs are a gap."""
        for sign in text:
            for row, bits in enumerate(GLYPHS.get(sign, GLYPHS[" "])):
                for column in range(GLYPH_WIDTH):
                    if int(bits, 8) & (4 >> column):
                        left, top = x + column * scale, y + row * scale
                        self.dot(left + scale // 2, top + scale // 2, colour, scale)
            x += (GLYPH_WIDTH + 1) * scale

    def png(self) -> bytes:
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, _PALETTE, 0, 0, _NOT_INTERLACED)
        rows = (self.pixels[at : at + self.width] for at in range(0, len(self.pixels), self.width))
        data = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows), 9)
        palette = bytes(part for colour in self.colours for part in colour)
        return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"PLTE", palette) + _chunk(b"IDAT", data) + _chunk(b"IEND")


def width_of(text: str, scale: int = 2) -> int:
    return max(0, len(text) * (GLYPH_WIDTH + 1) * scale - scale)


def _chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
