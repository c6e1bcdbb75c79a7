"""What people read: repeat mark, links, cutting, templates that are filled or are an error by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ports import Notification
from notify.senders.wording import (
    CUT,
    TemplateError,
    cut_bytes,
    cut_sms,
    fill,
    plain,
    sms_length,
    template_values,
    title_of,
)

BODY = {
    "title": "二氧化硫超标",
    "text": "习水电厂 二氧化硫小时均值58.2 mg/m³,高于许可限值50",
    "link": "https://centre.example/alerts/1",
    "acknowledge_link": "https://centre.example/ack/1?sig=x",
    "alert": {"station": "S1", "factor": "a21026", "resolved_at": None},
    "people": [{"name": "王", "phone": "13800000000"}],
}


def test_title_text_and_links_stand_on_lines_of_their_own():
    assert plain(BODY, 1, "zh").splitlines() == [
        "二氧化硫超标",
        BODY["text"],
        "查看: https://centre.example/alerts/1",
        "确认: https://centre.example/ack/1?sig=x",
    ]
    assert plain({"text": "x"}, 1, "en") == "x"
    assert plain({"title": "x", "text": "x is high"}, 1, "en") == "x is high"


def test_a_second_attempt_says_that_it_may_be_a_repeat_and_the_first_does_not():
    assert plain({"text": "x"}, 2, "zh") == "[可能重复] x"
    assert plain({"text": "x"}, 3, "en") == "[possible repeat] x"
    assert title_of({"text": "one\ntwo"}) == "one two"


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(3, 100))
def test_cut_text_fits_its_bytes_and_says_that_it_was_cut(text, bytes_max):
    cut = cut_bytes(text, bytes_max)
    assert len(cut.encode()) <= bytes_max
    assert cut == text or (cut.endswith(CUT) and text.startswith(cut[:-1]))


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(20, 100))
def test_a_short_message_has_at_most_its_characters_and_says_that_it_was_cut(text, characters_max):
    cut, whole = cut_sms(text, characters_max), " ".join(text.split())
    assert sms_length(cut) <= characters_max
    assert cut == whole or (cut.endswith(CUT) and whole.startswith(cut[:-1]))


def test_characters_are_counted_as_carriers_count_them():
    assert sms_length("超标") == 2
    assert sms_length("超标😀") == 4
    assert cut_sms("超" * 71, 70) == "超" * 69 + CUT
    assert cut_sms("超" * 70, 70) == "超" * 70


def test_a_template_is_filled_text_by_text_and_a_lone_placeholder_keeps_its_kind():
    values = template_values(Notification("k", "c", BODY), 2)
    template = {
        "msg": "${alert.station}: $text",
        "alert": "$alert",
        "n": 7,
        "to": ["${people.0.phone}"],
        "try": "$attempt",
    }
    assert fill(template, values) == {
        "msg": f"S1: {BODY['text']}",
        "alert": BODY["alert"],
        "n": 7,
        "to": ["13800000000"],
        "try": 2,
    }
    assert fill("$$5 $key", values) == "$5 k"


@pytest.mark.parametrize("name", ["alert.limit", "alert.resolved_at", "people.1.phone", "step", "title.zh"])
def test_a_placeholder_that_cannot_be_filled_is_an_error_with_its_name(name):
    with pytest.raises(TemplateError, match=rf"template error: \$\{{{name}\}} is"):
        fill({"a": f"x ${{{name}}}"}, template_values(Notification("k", "c", BODY), 1))
