"""What telling plans: notifications, what was held back, who takes care of an alert. Pure.

Promises: a key says what is told (the alerts with their transitions, when, by what, which step), so the same plan has
the same key, and a repeat has its own.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from contracts.actions import Action
from contracts.reasons import HeldBack, Telling

from .plan import RANK, TellPlan


@dataclass(frozen=True)
class Item:
    """One alert of a notification."""

    record: dict[str, Any]  # the episode as it stands
    transition: str  # what is told of it; of repeats and steps the last that was told
    decided_at: datetime  # tick of that decision


@dataclass(frozen=True)
class Planned:
    """A notification for one channel, before it is put into words."""

    key: str
    channel: str
    tick: datetime
    kind: Telling
    route: str
    step: int  # of an escalation or repeat: the how many-th; else 0
    language: str
    people: tuple[str, ...]
    items: tuple[Item, ...]  # the most serious first

    @property
    def level(self) -> str:
        return str(max((item.record["level"] for item in self.items), key=RANK.__getitem__))


@dataclass(frozen=True)
class Held:
    """Something that was due and was not told."""

    tick: datetime
    route: str  # empty: no route
    episode: str
    transition: str  # or "repeat", "escalation"
    why: HeldBack
    until: datetime | None = None  # when it is looked at again, where that is known
    detail: str = ""  # name of the silence, of the inhibition, of who acknowledged it


@dataclass(frozen=True)
class Care:
    """What became of an alert in people's hands; only the columns that change."""

    episode: str
    tick: datetime
    columns: dict[str, str | datetime | None]


@dataclass
class Told:
    """What a span of ticks gave, in order."""

    planned: list[Planned] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    care: list[Care] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)  # those that took effect


def key_of(kind: str, tick: datetime, channel: str, step: int, about: Iterable[tuple[str, str]]) -> str:
    """about: the episodes that are told of, each with its transition."""
    text = json.dumps([str(kind), step, tick.isoformat(), channel, sorted(about)], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def plan_for(
    plan: TellPlan,
    *,
    kind: Telling,
    tick: datetime,
    route: str,
    step: int,
    channels: Iterable[str],
    people: tuple[str, ...],
    items: Iterable[Item],
) -> list[Planned]:
    """One notification a channel, of the alerts whose level the channel takes."""
    made = []
    language = plan.routes[route].language
    ordered = sorted(items, key=lambda item: (-RANK[str(item.record["level"])], str(item.record["id"])))
    for name in dict.fromkeys(channels):
        channel = plan.channels[name]
        its = tuple(item for item in ordered if str(item.record["level"]) in channel.levels)
        if not its:
            continue
        told = kind
        if kind in (Telling.GROUP, Telling.STORM) and len(its) == 1:  # the others went by other channels
            told = Telling.FLAPPING if its[0].transition == Telling.FLAPPING else Telling.CHANGE
        key = key_of(told, tick, name, step, ((str(item.record["id"]), item.transition) for item in its))
        made.append(Planned(key, name, tick, told, route, step, language or channel.language, people, its))
    return made


def joined(planned: list[Planned]) -> list[Planned]:
    """One notification a key and channel: two routes that tell the same name the people of both."""
    found: dict[tuple[str, str], Planned] = {}
    for one in planned:
        about = (one.key, one.channel)
        known = found.get(about)
        people = one.people if known is None else tuple(dict.fromkeys((*known.people, *one.people)))
        found[about] = replace(known or one, people=people)
    return list(found.values())
