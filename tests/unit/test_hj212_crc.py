"""The CRC agrees with the printed algorithm and with every published vector."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs.hj212 import crc
from tests.hj212_frames import crc_modbus, crc_of_the_standard

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "hj212"


def vectors():
    with (GOLDEN / "crc_vectors.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_a_published_vector_is_met(vector):
    segment = (vector["segment"] or "").encode()
    assert f"{crc.standard(segment):04X}" == vector["std_hj212"]
    assert f"{crc.modbus(segment):04X}" == vector["modbus"]
    assert crc.variant_of(segment, int(vector["std_hj212"], 16)) == crc.STANDARD


def test_all_seven_vectors_are_there():
    assert len(vectors()) == 7
    assert "" in [vector["segment"] for vector in vectors()]


@given(st.binary(max_size=600))
def test_folding_agrees_with_the_bit_by_bit_algorithm(segment):
    assert crc.standard(segment) == crc_of_the_standard(segment)
    assert crc.modbus(segment) == crc_modbus(segment)


@pytest.mark.parametrize("size", [*range(1, 20), 63, 64, 65, 66, 127, 128, 129, 130, 1024, 65_536])
def test_folding_agrees_at_every_alignment(size):
    segment = bytes(at * 37 % 251 for at in range(size))
    assert crc.standard(segment) == crc_of_the_standard(segment)


@given(st.binary(min_size=1, max_size=100))
def test_a_segment_has_one_of_256_crcs_by_its_low_byte(segment):
    assert crc.standard(segment) & 0xFF in (0x00, 0x01, 0x40, 0x41, 0x80, 0x81, 0xC0, 0xC1)


@given(st.binary(min_size=1, max_size=100))
def test_a_variant_is_named_and_the_standard_comes_first(segment):
    wrong = crc_modbus(segment)
    named = {
        crc_of_the_standard(segment): crc.STANDARD,
        wrong: crc.MODBUS,
        (wrong & 0xFF) << 8 | wrong >> 8: crc.MODBUS_LE,
    }
    for value in named:
        expected = crc.STANDARD if value == crc_of_the_standard(segment) else named[value]
        if value == wrong and expected == crc.MODBUS_LE:
            expected = crc.MODBUS  # both byte orders are the same number
        assert crc.variant_of(segment, value) == expected
        assert crc.variant_of(segment, value ^ 0x0100) not in (expected,)
