"""Types of marks and marking deadlines: data per industry and medium, each row with its source and how sure it is.

Promises: what cannot be read stops with file, line and key. A type a station's industry does not have is no type there.
"""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from importlib.resources import files

import polars as pl

from contracts.durations import parse_duration
from contracts.site import Site

TYPES, DEADLINES = "mark_types.csv", "marking_deadlines.csv"
STATUSES = ("verified", "verified_weak", "unverified")  # the surest first


@dataclass(frozen=True)
class MarkType:
    """What a mark may do. A cap is of a station; a quarter or year is counted together for all types of `cap_group`."""

    type: str
    name_zh: str
    name_en: str
    kind: str  # device: the instrument is not right; condition: the plant is not; remark
    factors: frozenset[str]  # empty: all
    effect: str  # invalid, excused, none
    event_cap: timedelta | None
    quarter_cap: timedelta | None
    year_cap: timedelta | None
    cap_group: str
    needs_review: bool  # no effect before it is accepted
    condition: str  # what the rule also asks for and nobody checks here
    source: str
    status: str


@dataclass(frozen=True)
class Deadline:
    """Data of a civil day may be marked until `at` of the next day; those of a clock hour until `after` its end."""

    per: str  # day, hour
    at: time
    after: timedelta
    rule: str
    source: str
    status: str


@dataclass(frozen=True)
class Marking:
    """A site's mark rules: by station, as its medium and its enterprise's industry have them."""

    zone: str
    types: Mapping[str, Mapping[str, MarkType]]  # station -> type -> what it may do
    deadlines: Mapping[str, Deadline]  # station -> until when

    def type_of(self, station: str, name: str) -> MarkType | None:
        return self.types.get(station, {}).get(name)


def shipped_tables() -> dict[str, str]:
    """The library's two tables, by name, as text."""
    return {name: (files("rules") / "library" / name).read_text(encoding="utf-8") for name in (TYPES, DEADLINES)}


def compile_marking(site: Site, tables: Mapping[str, str] | None = None) -> Marking:
    """tables: name -> text, for a site kept with tables of its own; else the library's. Raises ValueError."""
    text = tables or shipped_tables()
    type_rows = _rows(TYPES, text[TYPES], _mark_type)
    deadline_rows = _rows(DEADLINES, text[DEADLINES], _deadline)
    _check_groups(type_rows)
    industry_of = {one.enterprise: one.industry.casefold() for one in site.enterprises}
    outlets = {one.outlet: one for one in site.outlets}
    found: dict[tuple[str, str], tuple[dict[str, MarkType], Deadline]] = {}  # stations are many, kinds of them few
    types: dict[str, dict[str, MarkType]] = {}
    deadlines: dict[str, Deadline] = {}
    for station in site.stations:
        outlet = outlets[station.outlet]
        key = outlet.medium, industry_of.get(outlet.enterprise or "", "")
        if key not in found:
            found[key] = _of_kind(*key, type_rows, deadline_rows)
        types[station.station], deadlines[station.station] = found[key]
    return Marking(site.time_zone, types, deadlines)


def _of_kind(
    medium: str,
    industry: str,
    type_rows: list[tuple[dict[str, str], MarkType]],
    deadline_rows: list[tuple[dict[str, str], Deadline]],
) -> tuple[dict[str, MarkType], Deadline]:
    its = [(row, one) for row, one in type_rows if _has(row, "media", medium)]
    # an industry with rows of its own has no general mark of the same kind that would lead round their caps
    own = [one for row, one in its if industry in _names(row, "industries")]
    kinds = {one.kind for one in own}
    general = [one for row, one in its if not _names(row, "industries") and (one.kind not in kinds or one.needs_review)]
    named = [one for row, one in deadline_rows if industry in _names(row, "industries")]
    default = [one for row, one in deadline_rows if not _names(row, "industries")]
    return {one.type: one for one in (*general, *own)}, (named or default)[0]


def deadline_table(marking: Marking) -> pl.DataFrame:
    """station, deadline_per, deadline_s, deadline_status: what `rules.facts.deadline` reads beside a window."""
    rows = [
        {
            "station": station,
            "deadline_per": one.per,
            "deadline_s": (one.after if one.per == "hour" else _into_day(one.at)) // timedelta(seconds=1),
            "deadline_status": one.status,
        }
        for station, one in sorted(marking.deadlines.items())
    ]
    schema = {"station": pl.String, "deadline_per": pl.String, "deadline_s": pl.Int64, "deadline_status": pl.String}
    return pl.DataFrame(rows, schema=schema)


def _into_day(at: time) -> timedelta:
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)


def weaker(*statuses: str) -> str:
    """Of several statuses the one that is least sure."""
    return max(statuses, key=STATUSES.index)


def _rows(name: str, text: str, read: Callable[[dict[str, str]], object]) -> list[tuple[dict[str, str], object]]:
    made = []
    lines = csv.DictReader(io.StringIO(text, newline=""))
    for row in lines:
        try:
            made.append((row, read(row)))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{name}:{lines.line_num}: {error}") from error
    return made


def _mark_type(row: dict[str, str]) -> MarkType:
    return MarkType(
        type=_filled(row, "type"),
        name_zh=_filled(row, "name_zh"),
        name_en=_filled(row, "name_en"),
        kind=_one_of(row, "class", "device", "condition", "remark"),
        factors=frozenset(_names(row, "factors")),
        effect=_one_of(row, "effect", "invalid", "excused", "none"),
        event_cap=_hours(row, "event_cap_h"),
        quarter_cap=_hours(row, "quarter_cap_h"),
        year_cap=_hours(row, "year_cap_h"),
        cap_group=row["cap_group"] or row["type"],
        needs_review=_one_of(row, "needs_review", "yes", "no") == "yes",
        condition=row["condition"],
        source=_filled(row, "source"),
        status=_one_of(row, "status", *STATUSES),
    )


def _deadline(row: dict[str, str]) -> Deadline:
    per = _one_of(row, "per", "day", "hour")
    return Deadline(
        per=per,
        at=time.fromisoformat(row["deadline"]) if per == "day" else time(0),
        after=parse_duration(row["deadline"]) if per == "hour" else timedelta(0),
        rule=_filled(row, "rule"),
        source=_filled(row, "source"),
        status=_one_of(row, "status", *STATUSES),
    )


def _check_groups(rows: list[tuple[dict[str, str], MarkType]]) -> None:
    """A cap that is counted together is one number."""
    seen: dict[tuple[str, str], MarkType] = {}
    for row, one in rows:
        for industry in _names(row, "industries") or [""]:
            other = seen.setdefault((one.cap_group, industry), one)
            if (other.quarter_cap, other.year_cap) != (one.quarter_cap, one.year_cap):
                raise ValueError(f"{TYPES}: {one.type} and {other.type} share {one.cap_group!r} and have other caps")


def _names(row: dict[str, str], key: str) -> list[str]:
    return [name.strip().casefold() for name in row[key].split(";") if name.strip()]


def _has(row: dict[str, str], key: str, name: str) -> bool:
    return not _names(row, key) or name in _names(row, key)


def _hours(row: dict[str, str], key: str) -> timedelta | None:
    if not row[key]:
        return None
    if not row[key].isdecimal() or not int(row[key]):
        raise ValueError(f"{key}: {row[key]!r} is not a number of whole hours")
    return timedelta(hours=int(row[key]))


def _filled(row: dict[str, str], key: str) -> str:
    if not row[key]:
        raise ValueError(f"{key} is empty")
    return row[key]


def _one_of(row: dict[str, str], key: str, *allowed: str) -> str:
    if row[key] not in allowed:
        raise ValueError(f"{key}: {row[key]!r} is none of {', '.join(allowed)}")
    return row[key]
