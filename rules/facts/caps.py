"""How far a mark reaches: caps of an event, a quarter and a year, as of each tick.

An event is what marks of one type cover without a gap; of a quarter or year a cap counts the time that marks of its
group cover, once, from its civil beginning on. Whatever lies beyond has no effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from contracts.civil_time import local, zone

from .tables import MarkType

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)  # of `until`: still

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Hold:
    """A mark, or a part of it, as it holds for decision ticks in [tick, until)."""

    fact: str
    type: MarkType
    from_at: datetime
    to_at: datetime
    tick: datetime
    until: datetime
    review: str


def cap(holds: Sequence[Hold], zone_name: str) -> list[Hold]:
    """Holds of one station and cap group, cut to what their caps leave, tick by tick."""
    spans = [(one.type, one.from_at, one.to_at) for one in holds]
    if cut(spans, zone_name) == [_whole(one) for one in holds]:
        return list(holds)  # all of them together stay within: so does every part of them
    ticks = sorted({one.tick for one in holds} | {one.until for one in holds if one.until != FOREVER})
    made: list[Hold] = []
    running: dict[int, tuple[datetime, tuple[Span, ...]]] = {}  # hold -> since which tick it reaches so far
    for tick in [*ticks, FOREVER]:
        held = [n for n, one in enumerate(holds) if one.tick <= tick < one.until]
        reach = dict(zip(held, cut([spans[n] for n in held], zone_name), strict=True))
        for n, (since, pieces) in list(running.items()):
            if reach.get(n) != pieces:
                made += [replace(holds[n], from_at=a, to_at=b, tick=since, until=tick) for a, b in pieces]
                del running[n]
        for n, pieces in reach.items():
            if n not in running and pieces:
                running[n] = (tick, pieces)
    return made


def cut(spans: Sequence[tuple[MarkType, datetime, datetime]], zone_name: str) -> list[tuple[Span, ...]]:
    """What caps leave of each span of one group; nothing, one piece, or several where a year's cap cuts in between."""
    left: list[list[Span]] = [[] for _ in spans]
    for n, piece in cut_events(spans):
        left[n].append(piece)
    for period in ("quarter", "year"):
        caps = {getattr(kind, f"{period}_cap") for kind, _, _ in spans}
        limit = caps.pop() if caps else None  # one number: `tables` sees to it
        if limit is not None:
            left = _cut_periods(left, period, limit, zone_name)
    return [tuple(_joined(pieces)) for pieces in left]


def used(spans: Sequence[Span]) -> timedelta:
    """Time that spans cover, each instant once."""
    total, covered = timedelta(0), None
    for from_at, to_at in sorted(spans):
        begin = from_at if covered is None else max(from_at, covered)
        if to_at > begin:
            total += to_at - begin
            covered = to_at
    return total


def period_of(at: datetime, period: str, zone_name: str) -> Span:
    """The civil quarter or year that holds the instant."""
    there = local(at, zone_name)
    month = 1 if period == "year" else there.month - (there.month - 1) % 3
    months = 12 if period == "year" else 3
    end = there.year + (month + months > 12), (month + months - 1) % 12 + 1
    return tuple(  # type: ignore[return-value]
        datetime(year, first, 1, tzinfo=zone(zone_name)).astimezone(UTC) for year, first in ((there.year, month), end)
    )


def or_null(until: datetime) -> datetime | None:
    """As frames have it: null, while it holds."""
    return None if until == FOREVER else until


def _whole(one: Hold) -> tuple[Span, ...]:
    return ((one.from_at, one.to_at),)


def cut_events(spans: Sequence[tuple[MarkType, datetime, datetime]]) -> list[tuple[int, Span]]:
    """(number of the span, what the cap of its event leaves of it); nothing where it lies beyond."""
    made = []
    event: dict[str, Span] = {}  # type -> the event that runs
    for n, (kind, from_at, to_at) in sorted(enumerate(spans), key=lambda one: (one[1][1], one[1][2])):
        running = event.get(kind.type)
        if running is None or from_at > running[1]:
            running = (from_at, to_at)
        event[kind.type] = (running[0], max(running[1], to_at))
        end = to_at if kind.event_cap is None else min(to_at, running[0] + kind.event_cap)
        if from_at < end:
            made.append((n, (from_at, end)))
    return made


def _cut_periods(left: list[list[Span]], period: str, limit: timedelta, zone_name: str) -> list[list[Span]]:
    by_period: dict[Span, list[tuple[datetime, datetime, int]]] = {}
    for n, pieces in enumerate(left):
        for from_at, to_at in pieces:
            at = from_at
            while at < to_at:
                bounds = period_of(at, period, zone_name)
                end = min(to_at, bounds[1])
                by_period.setdefault(bounds, []).append((at, end, n))
                at = end
    kept: list[list[Span]] = [[] for _ in left]
    for pieces in by_period.values():
        end_at = _end_of(limit, sorted(pieces))
        for from_at, to_at, n in pieces:
            if from_at < end_at:
                kept[n].append((from_at, min(to_at, end_at)))
    return kept


def _end_of(limit: timedelta, pieces: list[tuple[datetime, datetime, int]]) -> datetime:
    """The instant at which the time covered so far reaches the limit."""
    spent, covered = timedelta(0), pieces[0][0]
    for from_at, to_at, _ in pieces:
        begin = max(from_at, covered)
        if to_at > begin:
            if spent + (to_at - begin) >= limit:
                return begin + (limit - spent)
            spent, covered = spent + (to_at - begin), to_at
    return FOREVER


def _joined(pieces: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for from_at, to_at in sorted(pieces):
        if joined and joined[-1][1] == from_at:
            joined[-1] = (joined[-1][0], to_at)
        else:
            joined.append((from_at, to_at))
    return joined
