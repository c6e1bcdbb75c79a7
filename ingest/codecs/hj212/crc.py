"""CRC of HJ 212 and the two wrong ones devices really send.

Promises: `standard` and `modbus` agree with the bit-by-bit definitions (HJ 212-2017 App. A, CRC-16/MODBUS).
Does not promise: integrity. The standard's register forgets its low byte at every step, so only 256 values exist and a
corrupted segment passes one time in 256.
"""

STANDARD, MODBUS, MODBUS_LE = "standard", "modbus", "modbus_le"


def _shifted(register: int) -> int:
    for _ in range(8):
        register = (register >> 1) ^ (0xA001 if register & 1 else 0)
    return register


_TABLE = tuple(_shifted(byte) for byte in range(256))


def _step_tables() -> tuple[tuple[int, ...], ...]:
    """[p][byte]: what a byte p places before the last one has become in the register's high byte."""
    high, tables = tuple(entry >> 8 for entry in _TABLE), []
    state = tuple(range(256))
    for _ in range(8):
        state = tuple(high[value] for value in state)
        tables.append(state)
    assert state == tuple(range(256))  # eight steps are the identity: what makes folding below right
    return tuple(tables)


_STEPS = _step_tables()


def standard(segment: bytes) -> int:
    """The register only keeps its high byte from byte to byte, and that step is linear and of order 8: bytes a multiple
    of 8 apart weigh the same. So they are XORed together first, as one big integer folded down to 64 bits."""
    if not segment:
        return 0xFFFF
    before = len(segment) - 1
    folded, width = int.from_bytes(segment[:-1], "big"), before * 8
    while width > 64:
        width = (width // 2 + 63) // 64 * 64
        folded = (folded >> width) ^ (folded & ((1 << width) - 1))
    high = _STEPS[(before - 1) % 8][0xFF]
    for place, byte in enumerate(folded.to_bytes(8, "little")):
        high ^= _STEPS[place][byte]
    return _TABLE[high ^ segment[-1]]


def modbus(segment: bytes) -> int:
    register, table = 0xFFFF, _TABLE
    for byte in segment:
        register = (register >> 8) ^ table[(register ^ byte) & 0xFF]
    return register


def variant_of(segment: bytes, given: int) -> str | None:
    """Which known CRC of the segment `given` is: the standard's first, then Modbus high-low, then low-high."""
    # A CRC of the standard always has one of these low bytes, so most Modbus frames skip the first computation.
    if (given & 0xFF) in _STANDARD_LOW_BYTES and standard(segment) == given:
        return STANDARD
    wrong = modbus(segment)
    if wrong == given:
        return MODBUS
    if (wrong >> 8 | (wrong & 0xFF) << 8) == given:
        return MODBUS_LE
    return None


_STANDARD_LOW_BYTES = frozenset(entry & 0xFF for entry in _TABLE) | {0xFF}  # FF: the empty segment
