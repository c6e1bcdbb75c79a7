"""What a value against a limit may be called, by medium, averaging and basis, as `library/judgement.csv`.

Promises: only verified limits of basis standard or permit, judged the way a clause says, are ever called exceedances.
Does not promise a verdict: that is evaluate.py; this is the word for it.
"""

import csv
import io
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from contracts.factors import CONVERTED_PREFIX, REMOVAL_PREFIX
from contracts.site import Dated, Medium, Period

Says = Literal["exceedance", "not_met", "notice", "early_warning", "not_judged"]
Test = Literal["value", "count", "share", "efficiency"]
Blank = BeforeValidator(lambda text: None if text == "" else text)
Words = BeforeValidator(lambda text: tuple(text.split()))
JUDGEMENT_FILE = "judgement.csv"
MAY_EXCEED = {"standard", "permit"}  # design: other bases never say 超标


class Judgement(Dated):
    """A row; an empty cell fits anything. The first row that fits is the one that holds."""

    medium: Annotated[Medium | None, Blank]
    industry: str
    factor: str
    test: Annotated[Test | None, Blank]  # a window's value; a count of windows; a share of them; removal efficiency
    period: Annotated[Period | None, Blank]  # of what is judged
    limit_period: Literal["", "other"]  # empty: a limit of this very period; other: of another one
    basis: Annotated[tuple[Literal["standard", "permit", "ultra_low", "agreement", "internal"], ...], Words]
    valid_from: Annotated[date | None, Blank] = None
    valid_to: Annotated[date | None, Blank] = None
    says: Says
    more_than: Annotated[int | None, Blank]  # count: so many may be beyond the limit; share: percent that must meet it
    per: Annotated[Literal["day", "month"] | None, Blank]
    clause: Annotated[str, Field(min_length=1)]
    rule: str  # id in validity_rules.csv
    status: Literal["verified", "verified_weak", "unverified"]
    source: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _only_standards_exceed(self) -> "Judgement":
        if self.says == "exceedance" and not (self.basis and set(self.basis) <= MAY_EXCEED):
            raise ValueError("only basis standard or permit may say exceedance")
        if self.says == "not_met" and self.basis != ("ultra_low",):
            raise ValueError("only basis ultra_low may say not_met")
        if (self.more_than is None) != (self.per is None) or (self.per is not None) != (
            self.test in ("count", "share")
        ):
            raise ValueError("more_than and per are those of a count or a share")
        return self


Judgements = tuple[Judgement, ...]


def parse_judgements(text: str) -> Judgements:
    """The rows in the file's order. Raises ValueError for a row that is wrong."""
    return tuple(Judgement.model_validate(cells) for cells in csv.DictReader(io.StringIO(text, newline="")))


@cache
def judgements() -> Judgements:
    """The shipped table."""
    return parse_judgements((files("rules") / "library" / JUDGEMENT_FILE).read_text(encoding="utf-8"))


def judged_by(
    rows: Judgements,
    *,
    medium: str,
    industry: str,
    factor: str,
    period: str,
    limit_period: str,
    basis: str,
    on: date,
    test: Test = "value",
) -> Judgement:
    """The row that holds for a value (count, share) of `period` against a limit of `limit_period` on a civil date.

    factor: the limit's; of a limit on removal_<factor> it is the efficiency that is judged.
    """
    if factor.startswith(REMOVAL_PREFIX):
        test = "efficiency"
    code = factor.removeprefix(CONVERTED_PREFIX).removeprefix(REMOVAL_PREFIX)

    def fits(row: Judgement) -> bool:
        return (
            row.medium in (None, medium)
            and row.industry in ("", industry)
            and row.factor in ("", code)
            and row.test in (None, test)
            and row.period in (None, period)
            and (row.test != "value" or (row.limit_period == "other") == (period != limit_period))
            and (not row.basis or basis in row.basis)
            and (row.valid_from is None or row.valid_from <= on)
            and (row.valid_to is None or on <= row.valid_to)
        )

    return next(row for row in rows if fits(row))


def may_say(judgement: Judgement, limit_status: str) -> Says:
    """The row's word, or a notice where the row or the limit is unverified."""
    strong = judgement.says in ("exceedance", "not_met")
    return "notice" if strong and "unverified" in (judgement.status, limit_status) else judgement.says
