"""One data segment: header fields by name, and the data area as items.

Promises: any bytes give a Segment; the password is never kept. Does not promise: that fields are well formed.
"""

import re
from typing import NamedTuple

_HEX = re.compile(rb"[0-9A-Fa-f\s]+")
_PRINTABLE = bytes(range(0x20, 0x7F))
_FIELDS = {name: name for name in ("QN", "ST", "CN", "MN", "FLAG", "PNUM", "PNO", "RF")} | {"Flag": "FLAG"}
_PASSED = frozenset({"PW", ""})  # the password is read past on purpose
_HIDDEN = str.maketrans(";,=", "\ue000\ue001\ue002")
_SHOWN = str.maketrans("\ue000\ue001\ue002", ";,=")
ENCRYPTED_MIN = 16  # bytes: one SM4 block

Items = tuple[tuple[str, ...], list[str | None]]  # names, values; a value is None where no "=" was sent


class Segment(NamedTuple):
    fields: dict[str, str]  # QN, ST, CN, MN, FLAG, PNUM, PNO, RF: those sent
    content: str | None  # between `CP=&&` and `&&`; None where there is no data area
    is_closed: bool  # false: the data area's closing `&&` is missing
    is_encrypted: bool
    encoding: str  # "utf-8", "gb18030", or "unknown": undecodable bytes are shown as \\x..

    @property
    def is_2005(self) -> bool:
        """Version bits (7 to 2 of Flag) zero, or no Flag at all. Code style and MN length prove nothing alone."""
        flag = self.fields.get("FLAG", "")
        return not (flag.isascii() and flag.isdigit() and len(flag) <= 3) or int(flag) >> 2 == 0


def parse_segment(raw: bytes) -> Segment:
    opening = raw.find(b"CP=&&")
    if opening < 0:
        text, encoding = decoded(raw)
        return Segment(_fields(text), None, True, False, encoding)
    start, close = opening + 5, raw.rfind(b"&&")
    is_closed = close >= start
    content = raw[start:close] if is_closed else raw[start:]
    head = raw[:opening] + (b";" + raw[close + 2 :] if is_closed else b"")
    fields = _fields(decoded(head)[0])
    if looks_encrypted(content):
        return Segment(fields, "", is_closed, True, "unknown")
    text, encoding = decoded(content)
    return Segment(fields, text, is_closed, False, encoding)


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in text.replace(",", ";").split(";"):
        name, _, value = part.partition("=")
        field = _FIELDS.get(name)
        if field is None and name not in _PASSED:
            field = _FIELDS.get(name.strip().upper())
        # A value that holds "=" has swallowed its neighbour, perhaps the password.
        if field and field not in fields and "=" not in value:
            fields[field] = value.strip()
    return fields


def decoded(raw: bytes) -> tuple[str, str]:
    """HJ 212-2017 6.3 says UTF-8; GB18030 is what tools around it offer."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "backslashreplace"), "unknown"


def looks_encrypted(content: bytes) -> bool:
    """SM4 of the 2025 edition in its three wire forms: `{0x..}` text, bare hex, raw bytes."""
    if content.startswith(b"{0x"):
        return True
    if len(content) < ENCRYPTED_MIN:
        return False
    name = content.partition(b"=")[0]
    if not name.translate(None, _PRINTABLE):  # starts like an item, or is text without any "="
        return len(name) == len(content) and len(content) >= 2 * ENCRYPTED_MIN and _HEX.fullmatch(content) is not None
    unprintable = len(content.translate(None, _PRINTABLE))
    return unprintable * 3 > len(content) and decoded(content)[1] != "utf-8"


def split_items(content: str) -> Items:
    """`a=1,b=2;c=3` in order. Text in `//...//` (logs, HJ 212-2017 App. C) is one value whatever it holds."""
    logs = content.split("//")
    if len(logs) > 2 and len(logs) % 2:
        content = "//".join(part.translate(_HIDDEN) if at % 2 else part for at, part in enumerate(logs))
        names, values = _split(content)
        return tuple(name.translate(_SHOWN) for name in names), [v and v.translate(_SHOWN) for v in values]
    return _split(content)


def _split(content: str) -> Items:
    parts = [part.partition("=") for part in content.replace(",", ";").split(";") if part]
    if len(content.split(None, 1)) > 1 or content[:1].isspace():  # blanks somewhere: `i12003-Info =0`
        parts = [(name.strip(), equals, value.strip()) for name, equals, value in parts if name.strip() or equals]
    return tuple([part[0] for part in parts]), [value if equals else None for _, equals, value in parts]
