"""A small site whose stations belong to industries, and facts about it, for tests of marks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from contracts.facts import FACTS, KINDS, fact_name, to_body
from contracts.points import point_table
from contracts.records import RECORD_VERSION, Record, encode
from contracts.site import Enterprise, Site
from rules.facts.records import fact_of
from rules.facts.tables import Marking, compile_marking

from .builders import site

SECOND = timedelta(seconds=1)


def marked_site(industries: dict[str, str], **about: Any) -> Site:
    """station -> industry; every station measures SO2, NOx and O2 and has its outlet converted."""
    points = [
        {"station": station, "factor": factor, "unit": unit, "ref_o2_pct": ref}
        for station in industries
        for factor, unit, ref in (("a21026", "mg/m3", 11.0), ("a21002", "mg/m3", None), ("a19001", "%", None))
    ]
    made = site(points, **about)
    enterprises = tuple(
        Enterprise(enterprise=f"E-{name}", county="C1", name_zh="厂", name_en="works", industry=industry)
        for name, industry in industries.items()
    )
    outlets = tuple(one.model_copy(update={"enterprise": f"E-{one.outlet[2:]}"}) for one in made.outlets)
    return made.model_copy(update={"enterprises": enterprises, "outlets": outlets})


def record_of(kind: str, made_at: datetime, actor: str = "plant", **body: Any) -> Record:
    said = to_body(KINDS[kind](**body))
    return Record(v=RECORD_VERSION, actor=actor, origin="test", at=made_at, action=kind, body=said)


def fact(kind: str, known_at: datetime, actor: str = "plant", **body: Any) -> dict[str, Any]:
    """A row of FACTS, made a second before it is known."""
    record = record_of(kind, known_at - SECOND, actor, **body)
    payload = encode(record)
    row = dict.fromkeys(FACTS) | fact_of(record, payload) | {"known_at": known_at}
    assert row["fact"] == fact_name(payload)
    return row


def frame(*facts: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(facts), schema=FACTS)


def compiled(site_: Site, **tables: str) -> tuple[pl.DataFrame, Marking]:
    return point_table(site_), compile_marking(site_, tables or None)


def china(text: str) -> datetime:
    """An instant of civil time in China, in UTC."""
    return datetime.fromisoformat(f"{text}+08:00").astimezone(UTC)
