"""What became of each mark, for people: state, deadline, every step, what holds since when, how much of a cap is used.

As of an instant: pass the facts that were known then. Pure; the same fold decides as in rules.facts.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from .caps import FOREVER, Hold, Span, cut_events, or_null, period_of, used
from .deadline import deadline_at
from .effects import Fact, about_of, capped, follow, holds_of, in_time_part
from .records import unique_facts
from .tables import Marking, MarkType, weaker

HOUR = timedelta(hours=1)
IN_TIME, PARTLY, LATE = "in_time", "partly", "late"


def mark_history(facts: pl.DataFrame, marking: Marking) -> list[dict[str, Any]]:
    """One dict a mark of FACTS, in the order in which they became known; marks not known yet are left out.

    timing: in_time, partly (from `in_time_from` on) or late. state: submitted, accepted, returned or withdrawn.
    steps: what was said about it, and what it changed. effects: pieces with [tick, until), until None: still.
    caps: used and allowed hours of its event, quarter and year, as the facts given stand.
    """
    rows = unique_facts(facts).filter(pl.col("known_at").is_not_null()).to_dicts()
    about, pieces, holding = about_of(rows), capped(rows, marking), holds_of(rows, marking)
    station_of = {one["fact"]: one["station"] for one in rows}
    told = []
    for mark in (one for one in rows if one["kind"] == "mark"):
        kind = marking.type_of(mark["station"], mark["type"])
        group = [
            one
            for one in holding
            if one.until == FOREVER and kind is not None and one.type.cap_group == kind.cap_group
            if station_of[one.fact] == mark["station"]
        ]
        its = [one for one in pieces if one.fact == mark["fact"]]
        told.append(_of_mark(mark, about[mark["fact"]], kind, its, group, marking))
    return told


def withdrawn_at(facts: pl.DataFrame) -> dict[str, datetime]:
    """fact -> tick at which it was taken back; of facts other than marks."""
    taken = facts.filter((pl.col("kind") == "withdrawal") & pl.col("known_at").is_not_null())
    return dict(taken.group_by("about").agg(pl.col("known_at").min()).iter_rows())


def _of_mark(
    mark: Fact, about: list[Fact], kind: MarkType | None, pieces: list[Hold], group: list[Hold], marking: Marking
) -> dict[str, Any]:
    shown = {key: mark[key] for key in ("fact", "station", "factor", "type", "from_at", "to_at", "reason", "actor")}
    shown |= {key: mark[key] for key in ("made_at", "known_at")}
    deadline = marking.deadlines.get(mark["station"])
    steps = follow(mark, about, kind is not None and kind.needs_review)
    said = {one["fact"]: one for one in about}
    shown["state"] = steps[-1].review
    shown["steps"] = [
        {"tick": step.tick, "fact": step.fact, "outcome": step.outcome}
        | {key: said[step.fact][key] for key in ("actor", "reason")}
        for step in steps[1:]
    ]
    if kind is None or deadline is None:
        is_known = deadline is not None
        why = f"{mark['type']!r} is no type of its industry" if is_known else f"{mark['station']!r} is no station"
        return shown | {"effect": "none", "why": why, "timing": None, "effects": [], "caps": []}
    begins = in_time_part(mark, deadline, marking.zone)
    timing = IN_TIME if begins == mark["from_at"] else LATE if begins == mark["to_at"] else PARTLY
    return shown | {
        "name_zh": kind.name_zh,
        "name_en": kind.name_en,
        "effect": kind.effect,
        "needs_review": kind.needs_review,
        "condition": kind.condition,
        "status": weaker(kind.status, deadline.status),
        "source": kind.source,
        "deadline_at": deadline_at(mark["from_at"], deadline, marking.zone),
        "timing": timing,
        "in_time_from": begins if timing == PARTLY else None,
        "effects": [
            {"from_at": one.from_at, "to_at": one.to_at, "tick": one.tick, "until": or_null(one.until)}
            for one in sorted(pieces, key=lambda one: (one.tick, one.from_at))
        ],
        "caps": list(_usage(mark, kind, group, marking.zone)),
    }


def _usage(mark: Fact, kind: MarkType, group: Sequence[Hold], zone: str) -> Iterable[dict[str, Any]]:
    """Of each cap of the type the hours marked, as it stands; more than allowed: what is beyond has no effect."""
    if kind.event_cap is not None:
        event = _event_of(mark, [(one.from_at, one.to_at) for one in group if one.type.type == kind.type])
        yield {"of": "event", "used_h": event / HOUR, "cap_h": kind.event_cap / HOUR}
    left = cut_events([(one.type, one.from_at, one.to_at) for one in group])  # a year counts what events leave
    marked = [piece for _, piece in left]
    for period, limit in (("quarter", kind.quarter_cap), ("year", kind.year_cap)):
        if limit is None:
            continue
        for begin, end in dict.fromkeys(
            period_of(at, period, zone) for at in (mark["from_at"], mark["to_at"] - timedelta(microseconds=1))
        ):
            inside = [(max(a, begin), min(b, end)) for a, b in marked if a < end and b > begin]
            yield {"of": period, "from_at": begin, "used_h": used(inside) / HOUR, "cap_h": limit / HOUR}


def _event_of(mark: Fact, spans: Sequence[Span]) -> timedelta:
    """Length of the event that holds the mark; nothing where the mark itself does not hold."""
    begin = end = None
    for from_at, to_at in sorted(spans):
        if end is None or from_at > end:
            if end is not None and begin <= mark["from_at"] < end:
                break
            begin, end = from_at, to_at
        end = max(end, to_at)
    if begin is None or end is None or not begin <= mark["from_at"] < end:
        return timedelta(0)
    return end - begin
