"""The standard's own tables: commands, system types, and what became of the 2005 factor codes.

Promises: read once, from the files beside this module. Does not promise: completeness; local extensions exist.
"""

import csv
from functools import cache
from importlib.resources import files


def _rows(name: str) -> list[dict[str, str]]:
    with (files(__package__) / "tables" / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@cache
def commands() -> dict[str, str]:
    """CN -> English name. A CN that changed its meaning between editions has both names."""
    names: dict[str, str] = {}
    for row in _rows("commands.csv"):
        for part in row["cn"].split():
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                known = names.get(str(number))
                names[str(number)] = f"{known} / {row['name_en']}" if known else row["name_en"]
    return names


@cache
def system_types() -> dict[str, str]:
    """ST -> English name."""
    return {row["st"]: row["name_en"] for row in _rows("st_codes.csv")}


@cache
def legacy_codes() -> dict[str, tuple[str, str | None]]:
    """2005 code -> (2017 code, unit of the 2005 edition where it differs from that of 2017, else None)."""
    return {
        row["code_2005"]: (row["code_2017"], None if row["unit_2005"] in ("", row["unit_2017"]) else row["unit_2005"])
        for row in _rows("legacy_2005_to_2017.csv")
    }
