"""The table of classes agrees with the limit library where both speak, and rates every number it has."""

import pytest

from contracts.factors import ratio, standard_factors
from rules.tables.limit_library import limit_library
from rules.tables.water_classes import classes_of, water_classes

BODY = {"river section": "river", "lake or reservoir": "lake"}
RATED = [
    row
    for row in limit_library().values()
    if row.medium == "surface_water" and row.factor and row.factor != "w21001"  # total nitrogen is not rated
]


def test_the_library_has_both_classes_of_every_factor():
    assert {row.tier for row in RATED} == {"class_II", "class_III"}
    assert len(RATED) == 44


@pytest.mark.parametrize("row", RATED, ids=lambda row: row.id)
def test_classes_two_and_three_are_those_of_the_limit_library(row):
    (mine,) = [one for one in classes_of(row.factor, BODY[row.process]) if one.comparator == row.comparator]
    number = mine.class_2 if row.tier == "class_II" else mine.class_3
    assert (number, mine.unit) == (row.limit, row.unit)


@pytest.mark.parametrize("row", water_classes(), ids=lambda row: f"{row.factor}-{row.body}-{row.comparator}")
def test_a_worse_class_never_asks_for_more_and_the_unit_is_one_of_the_factor(row):
    looser = sorted(row.numbers, reverse=row.comparator == ">=")
    assert row.numbers == looser
    assert ratio(row.unit, standard_factors()[row.factor].unit) > 0
