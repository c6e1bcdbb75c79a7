"""Reference tables: rules of validity and of plausibility, indicators of parks, with their numbers, status and source.

Promises: a number used by a rule kind stands here once, beside the words it was taken from. Does not promise that a
number is law: plausibility is one city's practice, and `threshold_basis` says what an indicator's threshold is.
"""

import csv
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field

from contracts.site import Strict

Text = Annotated[str, Field(min_length=1)]


def _numbers(text: object) -> object:
    """`hours=4 range_pct=5` as name -> number."""
    if not isinstance(text, str):
        return text
    found: dict[str, Decimal] = {}
    for pair in text.split():
        name, _, number = pair.partition("=")
        if name in found:
            raise ValueError(f"{name} is there twice")
        try:
            found[name] = Decimal(number)
        except InvalidOperation as error:
            raise ValueError(f"{pair!r} is not name=number") from error
    return found


class Reference(Strict):
    """A row of any of the tables."""

    id: Text
    numbers: Annotated[dict[str, Decimal], BeforeValidator(_numbers)]  # names end in their unit; shares are of 1
    status: Literal["verified", "verified_weak", "unverified"]
    source: Text

    def number(self, name: str) -> Decimal:
        """Raises KeyError naming the numbers there are."""
        if name not in self.numbers:
            raise KeyError(f"{self.id} has no number {name!r}; there are {', '.join(self.numbers) or 'none'}")
        return self.numbers[name]


class ValidityRule(Reference):
    """When data count, how they are averaged, converted, substituted and marked, and what compliance is judged by."""

    medium: Text
    standard_clause: Text
    rule: Text
    formula_or_parameters: str


class AnomalyRule(Reference):
    """A plausibility rule: a finding to check, never a violation."""

    name_zh: Text
    name_en: Text
    condition: Text
    window: Text
    applies_to: Text
    exclude: str


class GreenIslandMetric(Reference):
    """An indicator of a park or of shared treatment."""

    metric_zh: Text
    metric_en: Text
    formula: Text
    inputs: str
    default_threshold: str
    threshold_basis: Literal["law", "practice", "project_default", "draft"]
    threshold_nature: Text


Row = TypeVar("Row", bound=Reference)


def _table(name: str, model: type[Row]) -> dict[str, Row]:
    """id -> row, in the file's order. Raises ValueError for a row that is wrong or an id that is there twice."""
    rows: dict[str, Row] = {}
    with (files("rules") / "library" / name).open(encoding="utf-8", newline="") as lines:
        for cells in csv.DictReader(lines):
            row = model.model_validate(cells)
            if row.id in rows:
                raise ValueError(f"{name}: {row.id} is there twice")
            rows[row.id] = row
    return rows


@cache
def validity_rules() -> dict[str, ValidityRule]:
    return _table("validity_rules.csv", ValidityRule)


@cache
def anomaly_rules() -> dict[str, AnomalyRule]:
    return _table("anomaly_rules.csv", AnomalyRule)


@cache
def green_island_metrics() -> dict[str, GreenIslandMetric]:
    return _table("green_island_metrics.csv", GreenIslandMetric)
