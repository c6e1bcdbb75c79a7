"""When a value counts and when a window may be judged: data per medium, with the clause each row rests on."""

import csv
from dataclasses import dataclass
from importlib.resources import files

import polars as pl

from contracts.site import Site


@dataclass(frozen=True)
class Completeness:
    """A window of the medium may be judged with `need` valid parts of `of`, scaled to what the window expects."""

    medium: str
    period: str
    need: int
    of: int
    clause: str
    status: str


def _table(name: str) -> list[dict[str, str]]:
    with (files("rules") / "library" / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def completeness(site: Site) -> dict[tuple[str, str], Completeness]:
    """(medium, period) -> rule; a site's own rows replace the library's."""
    rows = [
        Completeness(row["medium"], row["period"], int(row["need"]), int(row["of"]), row["clause"], row["status"])
        for row in _table("validity.csv")
    ]
    rows += [Completeness(own.medium, own.period, own.need, own.of, own.clause, "site") for own in site.file.validity]
    return {(row.medium, row.period): row for row in rows}


def marks() -> pl.DataFrame:
    """mark, valid, over range: by edition (HJ 212-2017 Table 8, HJ/T 212-2005). A mark not listed is not valid."""
    rows = _table("marks.csv")
    return pl.DataFrame(
        {
            "mark": [row["mark"] for row in rows],
            "mark_valid": [row["valid"] == "yes" for row in rows],
            "mark_over": [row["over_range"] == "yes" for row in rows],
        },
        schema={"mark": pl.String, "mark_valid": pl.Boolean, "mark_over": pl.Boolean},
    ).unique("mark", keep="first", maintain_order=True)
