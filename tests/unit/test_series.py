"""The compact notation of series gives the values somebody would write out, and tells what it cannot read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.series import VALUES_MAX, SeriesError, Value, parse_series


def texts(text):
    return [value and value.text for value in parse_series(text)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("80.5", ["80.5"]),
        ("50x3", ["50", "50", "50"]),
        ("_ _x2 7", [None, None, None, "7"]),
        ("1+1x5", ["1", "2", "3", "4", "5"]),
        ("1-0.5x4", ["1.0", "0.5", "0.0", "-0.5"]),
        ("-5+2.5x3", ["-5.0", "-2.5", "0.0"]),
        ("0.1+0.1x3", ["0.1", "0.2", "0.3"]),
        ("0.000001+0x2", ["0.000001", "0.000001"]),
        ("  1\n  2x1 ", ["1", "2"]),
        ("60.50", ["60.50"]),
    ],
)
def test_words_become_values_exactly_as_written(text, values):
    assert texts(text) == values


def test_a_mark_belongs_to_every_value_of_its_word():
    assert parse_series("62x2@M 62 1+1x2@Td") == [
        *[Value("62", "M")] * 2,
        Value("62"),
        Value("1", "Td"),
        Value("2", "Td"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("30 abc", "'abc' is not a value"),
        ("30y4", "'30y4' is not a value"),
        ("1e3", "'1e3' is not a value"),
        (".5", "'.5' is not a value"),
        ("30@", "'30@' is not a value"),
        ("30@TOOLONG", "is not a value"),
        ("30x0", "'30x0' stands for no value at all"),
        ("_x3@M", "a missing value has no mark"),
        ("1+1", "write 1+1x5"),
        (f"1 2x{VALUES_MAX}", f"'2x{VALUES_MAX}' makes more than {VALUES_MAX} values"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_word(text, told):
    with pytest.raises(SeriesError) as refused:
        parse_series(text)
    assert told in str(refused.value)


runs = st.tuples(st.sampled_from(["_", "5", "5.25", "-3", "0@M"]), st.integers(1, 9))


@given(st.lists(runs, min_size=1, max_size=9))
def test_a_run_is_its_word_written_out(words):
    short = " ".join(f"{first}x{n}{at}{mark}" for word, n in words for first, at, mark in [word.partition("@")])
    long = " ".join(word for word, n in words for _ in range(n))
    assert parse_series(short) == parse_series(long)
