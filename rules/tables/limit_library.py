"""The limit library: limits of standards with clause, condition, dates, source and status, as `library/limits.csv`.

Promises: every row that came back has the library's columns and says whether a site may assign it. Does not promise
that a number is right: `status` says how far its source goes.
"""

import csv
import io
from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from contracts.factors import CONVERTED_PREFIX, REMOVAL_PREFIX
from contracts.site import Dated, Medium, Period

Comparator = Literal["<=", "<", ">=", ">"]
Status = Literal["verified", "verified_weak", "unverified"]
Blank = BeforeValidator(lambda text: None if text == "" else text)
Text = Annotated[str, Field(min_length=1)]
LIBRARY_FILE = "limits.csv"
# Outlets are of fewer media than standards: a fence line is an outlet of ambient air.
OUTLETS_OF: dict[str, tuple[str, ...]] = {
    "flue_gas": ("flue_gas", "voc_stack"),
    "voc_stack": ("voc_stack", "flue_gas"),
    "waste_water": ("waste_water",),
    "surface_water": ("surface_water",),
    "ambient_air": ("ambient_air",),
    "fence_line": ("ambient_air",),
}


class LibraryLimit(Dated):
    """A row of the library: what a standard's clause says of one pollutant."""

    id: Annotated[str, Field(pattern=r"^L[0-9]{4}$")]
    role: Literal["limit", "trigger", "exemption_condition", "warning_band", "conversion_base"]
    basis: Literal["standard", "ultra_low"]
    tier: Text  # general, special, ultra_low; classes of water and steps of a standard's own
    standard: Text
    clause: Text
    industry: Text
    process: Text
    medium: Medium | Literal["fence_line"]
    pollutant_en: Text
    pollutant_zh: Text
    factor: Annotated[str | None, Blank]  # HJ 212 code; none: no code is known, and the row cannot be assigned;
    # removal_<code> of an efficiency, which facilities are held against
    factor_code_status: Annotated[Status | None, Blank]
    period: Annotated[Period | None, Blank]
    comparator: Comparator
    limit: Annotated[float | None, Blank]
    unit: Text
    ref_o2_pct: Annotated[float | None, Blank]  # the limit is on the value converted to it; none: not converted
    when_factor: Annotated[str | None, Blank]  # as contracts.site.Limit
    when_comparator: Annotated[Comparator | None, Blank]
    when_value: Annotated[float | None, Blank]
    applies_if: str  # of the plant or source, for whoever assigns the row to look at; nothing measures it
    comparison: Literal["full_value", "rounded"]  # GB/T 8170
    decimals: Annotated[int | None, Blank]  # of the rounding, where the clause prescribes one
    valid_from: Annotated[date | None, Blank] = None
    valid_to: Annotated[date | None, Blank] = None
    not_judged: str  # why no automatic mean is compared with it
    status: Status
    source: Text
    remarks: str
    changed: str  # against the research table it was taken from, beyond what was renamed throughout

    @model_validator(mode="after")
    def _whole(self) -> "LibraryLimit":
        condition = (self.when_factor, self.when_comparator, self.when_value)
        if any(part is None for part in condition) != all(part is None for part in condition):
            raise ValueError(f"{self.id}: when_factor, when_comparator and when_value go together")
        if (self.period is None or self.limit is None) and not self.not_judged:
            raise ValueError(f"{self.id}: a row without period or number says in not_judged why")
        if (self.factor is None) != (self.factor_code_status is None):
            raise ValueError(f"{self.id}: factor and factor_code_status go together")
        if (self.comparison == "rounded") != (self.decimals is not None):
            raise ValueError(f"{self.id}: decimals are those of a prescribed rounding")
        if self.role != "limit" and not self.not_judged:
            raise ValueError(f"{self.id}: a {self.role} is no limit; not_judged says what it is")
        return self

    @property
    def judged_factor(self) -> str | None:
        """What a limit on it is assigned to: `zs_<factor>` where the standard converts to a reference O2."""
        if self.factor is None:
            return None
        return self.factor if self.ref_o2_pct is None else CONVERTED_PREFIX + self.factor

    @property
    def why_unassignable(self) -> str | None:
        """None where a site may assign it, as far as the site has its factor."""
        if self.not_judged:
            return f"not judged automatically: {self.not_judged}"
        if self.factor is None:
            return f"no factor code is known for {self.pollutant_zh} ({self.pollutant_en}), so no point measures it"
        return None


def parse_library(text: str) -> dict[str, LibraryLimit]:
    """id -> row, in the file's order. Raises ValueError for a row that is wrong or an id that is there twice."""
    rows: dict[str, LibraryLimit] = {}
    for cells in csv.DictReader(io.StringIO(text, newline="")):
        row = LibraryLimit.model_validate(cells)
        if row.id in rows:
            raise ValueError(f"{row.id} is there twice")
        rows[row.id] = row
    return rows


@cache
def limit_library() -> dict[str, LibraryLimit]:
    """The shipped library."""
    return parse_library((files("rules") / "library" / LIBRARY_FILE).read_text(encoding="utf-8"))


def find_limits(
    rows: Iterable[LibraryLimit], *, industry: str = "", factor: str = "", medium: str = ""
) -> list[LibraryLimit]:
    """Rows whose texts hold what was asked for, whatever its case; `zs_` or `removal_` before a factor does not matter.

    factor: a code, or part of the pollutant's name in Chinese or English. industry: part of industry or process.
    """
    code = factor.removeprefix(CONVERTED_PREFIX).removeprefix(REMOVAL_PREFIX).casefold()

    def fits(row: LibraryLimit) -> bool:
        names = f"{row.pollutant_zh} {row.pollutant_en}".casefold()
        return (
            industry.casefold() in f"{row.industry} {row.process}".casefold()
            and (not code or code == (row.factor or "").removeprefix(REMOVAL_PREFIX).casefold() or code in names)
            and medium in ("", row.medium)
        )

    return [row for row in rows if fits(row)]
