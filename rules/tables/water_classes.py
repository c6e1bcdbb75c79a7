"""The classes of GB 3838-2002 Table 1 as data: per factor the five numbers, and for which body of water.

Promises: class 1 to 5 is the best one whose number is met, 6 is worse than V. Temperature, total nitrogen and faecal
coliforms are not rated (validity rule VR41), so they have no row.
"""

import csv
import io
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field

from contracts.site import Strict

CLASSES = ("class_1", "class_2", "class_3", "class_4", "class_5")
WORSE_THAN_V = 6


class ClassRow(Strict):
    factor: str
    body: Literal["river", "lake", "any"]
    comparator: Literal["<=", ">="]  # what the mean must be to be of the class
    unit: str
    class_1: float
    class_2: float
    class_3: float
    class_4: float
    class_5: float
    clause: Annotated[str, Field(min_length=1)]
    status: Literal["verified", "verified_weak", "unverified"]
    source: Annotated[str, Field(min_length=1)]

    @property
    def numbers(self) -> list[float]:
        """Of class I to V."""
        return [getattr(self, name) for name in CLASSES]


@cache
def water_classes() -> tuple[ClassRow, ...]:
    text = (files("rules") / "library" / "water_classes.csv").read_text(encoding="utf-8")
    return tuple(ClassRow.model_validate(cells) for cells in csv.DictReader(io.StringIO(text, newline="")))


def classes_of(factor: str, body: str) -> list[ClassRow]:
    """The factor's rows for a body of water; several where both too much and too little of it are bad."""
    return [row for row in water_classes() if row.factor == factor and row.body in ("any", body)]
