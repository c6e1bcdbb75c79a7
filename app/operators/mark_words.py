"""A mark and its history in words, for a terminal."""

from datetime import datetime, timedelta
from typing import Any

from contracts.durations import format_duration
from contracts.site import Site
from rules.facts.deadline import deadline_at
from rules.facts.history import IN_TIME, PARTLY
from rules.facts.tables import Marking, MarkType, weaker

from .record import civil

SHOWN_NAME = 12  # characters of a fact's name: enough to give it to the next command


def cap_words(kind: MarkType) -> str:
    """`at most 4h an event, 60h a year`; nothing where there is no cap."""
    caps = {"an event": kind.event_cap, "a quarter": kind.quarter_cap, "a year": kind.year_cap}
    told = [f"{_hours(cap)} {of}" for of, cap in caps.items() if cap is not None]
    return f"at most {', '.join(told)}" if told else ""


def will_do(site: Site, marking: Marking, station: str, kind: MarkType, from_at: datetime, now: datetime) -> list[str]:
    """What a mark made now would do, in lines."""
    deadline = marking.deadlines[station]
    due_at = deadline_at(from_at, deadline, marking.zone)
    if kind.effect == "none":
        return [f"{kind.name_zh} {kind.name_en}: changes no judgement"]
    lines = [f"{kind.name_zh} {kind.name_en}: data are {kind.effect}, provided the mark is known in time"]
    if now <= due_at:
        lines.append(f"in time until {civil(due_at, site)} ({deadline.rule})")
    else:
        lines.append(
            f"late: the deadline of its beginning was {civil(due_at, site)} ({deadline.rule}); what is late has no"
            " effect unless a reviewer approves it: `greenisland mark review --approve-late`"
        )
    if kind.needs_review:
        lines.append("no effect before a reviewer has accepted it")
    if cap_words(kind):
        lines.append(f"caps: {cap_words(kind)}; what lies beyond has no effect")
    if kind.condition:
        lines.append(f"condition: {kind.condition}")
    status = weaker(kind.status, deadline.status)
    if status != "verified":
        lines.append(f"{status}: this rests on {kind.source}; and for the deadline on {deadline.source}")
    return lines


def as_text(mark: dict[str, Any], site: Site) -> str:
    """Several lines."""
    name = f"{mark['type']} {mark['name_zh']}" if "name_zh" in mark else mark["type"]
    of = mark["factor"] or "all factors"
    lines = [f"{mark['fact'][:SHOWN_NAME]}  {mark['station']} {of}  {name}"]
    lines.append(f"{civil(mark['from_at'], site)} to {civil(mark['to_at'], site)}")
    lines.append(f"by {mark['actor']}: {mark['reason']}")
    lines.append(f"{mark['state']}; known from {civil(mark['known_at'], site)} on, {_timing(mark, site)}")
    for step in mark["steps"]:
        lines.append(f"{civil(step['tick'], site)} {_outcome(step['outcome'])} by {step['actor']}: {step['reason']}")
    lines += [
        f"{mark['effect']} {civil(one['from_at'], site)} to {civil(one['to_at'], site)}, decided"
        f" from {civil(one['tick'], site)} {_until(one['until'], site)}"
        for one in mark["effects"]
    ]
    if not mark["effects"]:
        lines.append("without effect" + (f": {mark['why']}" if "why" in mark else ""))
    for cap in mark["caps"]:
        of = f"{cap['of']} from {civil(cap['from_at'], site)[:10]}" if "from_at" in cap else cap["of"]
        over = "; what is beyond has no effect" if cap["used_h"] > cap["cap_h"] else ""
        lines.append(f"{of}: {cap['used_h']:g} h of {cap['cap_h']:g} h used{over}")
    if mark.get("condition"):
        lines.append(f"condition: {mark['condition']}")
    if mark.get("status", "verified") != "verified":
        lines.append(f"{mark['status']}: {mark['source']}")
    return "\n    ".join(lines)


def _timing(mark: dict[str, Any], site: Site) -> str:
    if mark["timing"] is None:
        return "no deadline"
    until = f"deadline of its beginning {civil(mark['deadline_at'], site)}"
    if mark["timing"] == IN_TIME:
        return f"in time ({until})"
    if mark["timing"] == PARTLY:
        return f"in time for data from {civil(mark['in_time_from'], site)} on, late before ({until})"
    return f"late ({until})"


def _outcome(outcome: str) -> str:
    changed_nothing, _, why = outcome.partition("no_effect_")
    return f"changed nothing ({why.replace('_', ' ')})" if not changed_nothing else outcome.replace("_", " ")


def _until(until: Any, site: Site) -> str:
    return "on" if until is None else f"until {civil(until, site)}"


def _hours(cap: timedelta) -> str:
    return f"{cap // timedelta(hours=1)}h" if cap % timedelta(hours=1) == timedelta(0) else format_duration(cap)
