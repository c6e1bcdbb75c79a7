"""Pages for a browser: names are escaped, nothing is loaded, both languages are there."""

import re

from app.report_html import Line, both, heading, page, plot, table

NASTY = '<script>alert("x")</script> & "甲"'


def document():
    lines = [Line("v", [1.0, None, 2.0], [3.0, None, 2.0]), Line("new", [2.5] * 3, [2.5] * 3)]
    return page(
        ("标题", NASTY),
        [
            heading(both(NASTY, NASTY)),
            table([NASTY, "n"], [[NASTY, 3], [both("甲", NASTY), 4]]),
            plot(lines, NASTY, NASTY, NASTY, both(NASTY, "en")),
        ],
    )


def test_every_name_is_escaped_wherever_it_stands():
    assert "<script" not in document()
    assert document().count("&lt;script&gt;") == 10


def test_a_page_loads_nothing_and_runs_nothing():
    assert re.findall(r"(?:src|href|url|@import|on\w+)\s*[=(]", document()) == []


def test_both_languages_are_there_and_one_is_seen():
    text = both("超限", "exceedance").markup
    assert text == '<span class="zh" lang="zh">超限</span><span class="en" lang="en">exceedance</span>'
    assert "#zh:checked~main .en,#en:checked~main .zh{display:none}" in document()


def test_a_gap_in_the_values_is_a_gap_in_the_line():
    svg = plot([Line("v", [1.0, None, 2.0], [1.0, None, 2.0])], "a", "b", "mg/m3", both("x", "x")).markup
    assert svg.count("<polyline") == 2
    limit = plot([Line("old", [1.0, 1.0], [1.0, 1.0])], "a", "b", "mg/m3", both("x", "x")).markup
    assert limit.count("<polyline") == 1


def test_a_limit_is_drawn_in_steps_of_two_points_however_long_they_are():
    limits = [2.0] * 40 + [1.0] * 60
    svg = plot([Line("new", limits, limits)], "a", "b", "mg/m3", both("x", "x")).markup
    (points,) = re.findall(r'<polyline class="new" points="([^"]*)"', svg)
    assert [float(point.split(",")[0]) for point in points.split(" ")] == [64.0, 342.4, 342.4, 760.0]


def test_columns_of_numbers_are_set_to_the_right():
    markup = table(["name", "count"], [["a", 1], ["b", 2]]).markup
    assert markup.count("class=n") == 3
