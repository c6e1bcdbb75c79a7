"""Frames of HJ 212 for tests, with the CRCs written bit by bit as the standards print them."""

import polars as pl

from contracts.ports import CodecResult
from ingest.codecs.hj212 import Hj212Codec
from tests.decoding_site import json_batch

ZONE = "Asia/Shanghai"
MN = "010000A8900016F000169DC0"
HEAD = f"QN=20260301080000000;ST=31;CN={{cn}};PW=s3cr3t;MN={MN};Flag={{flag}};CP=&&{{cp}}&&"


def crc_of_the_standard(segment: bytes) -> int:
    """HJ 212-2017 App. A."""
    register = 0xFFFF
    for byte in segment:
        register = (register >> 8) ^ byte
        for _ in range(8):
            register = (register >> 1) ^ (0xA001 if register & 1 else 0)
    return register


def crc_modbus(segment: bytes) -> int:
    register = 0xFFFF
    for byte in segment:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0xA001 if register & 1 else 0)
    return register


def segment_of(cp: str, cn: str = "2011", flag: str = "5") -> bytes:
    return HEAD.format(cn=cn, cp=cp, flag=flag).encode()


def frame_of(segment: bytes, crc: int | None = None, length: int | None = None, end: bytes = b"\r\n") -> bytes:
    """A right frame but for what is given."""
    crc = crc_of_the_standard(segment) if crc is None else crc
    return b"##%04d%b%04X%b" % (len(segment) if length is None else length, segment, crc, end)


def decode(*payloads: bytes, policy: str = "accept-known-variant", time_zone: str = ZONE) -> CodecResult:
    return Hj212Codec(policy)(json_batch(*payloads, topic="gi/S1/hj212"), time_zone)


def without_row(frame: pl.DataFrame) -> list[tuple]:
    return frame.drop("row").rows()
