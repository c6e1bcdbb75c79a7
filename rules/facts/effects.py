"""What people's facts do to data: which event times of which points are invalid or excused, as of which decision tick.

Promises: pure; order and copies of facts do not matter; what becomes known later never changes what held before.
Does not promise that a station exists: a fact about none has no effect. Facts without `known_at` have none yet.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from contracts.factors import CONVERTED_PREFIX
from contracts.facts import ACCEPT, EFFECTS, RETURN

from .caps import FOREVER, Hold, cap, or_null
from .deadline import in_time_from
from .records import unique_facts
from .tables import Deadline, Marking, weaker

Fact = dict[str, Any]  # a row of FACTS

# EFFECTS before they are spread over points; `factor` null: all of them.
_PIECES = pl.Schema(
    {
        "station": pl.String,
        "outlet": pl.String,
        "factor": pl.String,
        **{name: dtype for name, dtype in EFFECTS.items() if name != "point"},
    }
)


@dataclass(frozen=True)
class Step:
    """What became of a mark at one tick."""

    tick: datetime
    fact: str  # the mark's own, or the one about it
    outcome: str  # submitted, accepted, returned, late_approved, withdrawn; or why the fact about it changed nothing
    in_time: bool  # whether the part that was marked in time holds from here on
    late: bool  # whether the part that was marked late holds
    review: str  # submitted, accepted, returned, withdrawn


def effects(facts: pl.DataFrame, points: pl.DataFrame, marking: Marking) -> pl.DataFrame:
    """EFFECTS of FACTS on POINTS, sorted, over all ticks: a row holds for decision ticks in [tick, until).

    A mark acts on its factor, or all, measured and converted (公告2022年第21号 no. 3-8): from the tick at which it is
    known, on data whose deadline was not over then; on others from a reviewer's approval on; until it is withdrawn or
    returned; as far as the caps of its type reach. A failed check makes its factor invalid from the last passed check
    of its kind (from itself, where none is known) to the next passed one. An approved stop excuses all points of its
    station or outlet, the pipeline's own ($) included.
    """
    rows = _rows(facts)
    pieces = [*_of_marks(rows, marking), *_of_checks(rows), *_of_stops(rows)]
    return _on_points(pl.DataFrame(pieces, schema=_PIECES), points)


def follow(mark: Fact, about: Iterable[Fact], needs_review: bool) -> list[Step]:
    """The life of one mark, from the facts about it, in the order in which they became known.

    A reviewer must be somebody else than who made the mark. A withdrawal comes before the first review or not at all.
    """
    in_time, late, review = not needs_review, False, "submitted"
    steps = [Step(mark["known_at"], mark["fact"], "submitted", in_time, late, review)]
    for one in sorted(about, key=lambda fact: (max(fact["known_at"], mark["known_at"]), fact["made_at"], fact["fact"])):
        if review == "withdrawn":
            outcome = "no_effect_withdrawn_before"
        elif one["kind"] == "withdrawal":
            if review == "submitted":
                outcome, in_time, late, review = "withdrawn", False, False, "withdrawn"
            else:
                outcome = "no_effect_reviewed_before"
        elif one["actor"] == mark["actor"]:
            outcome = "no_effect_own_mark"
        elif one["type"] == RETURN:
            outcome, in_time, late, review = "returned", False, False, "returned"
        elif one["type"] == ACCEPT:
            outcome, in_time, review = "accepted", True, "accepted"
        else:
            outcome, in_time, late, review = "late_approved", True, True, "accepted"
        steps.append(Step(max(one["known_at"], mark["known_at"]), one["fact"], outcome, in_time, late, review))
    return steps


def in_time_part(mark: Fact, deadline: Deadline, zone_name: str) -> datetime:
    """From here on the mark was in time; its beginning: all of it, its end: nothing."""
    return min(max(in_time_from(mark["known_at"], deadline, zone_name), mark["from_at"]), mark["to_at"])


def about_of(rows: Sequence[Fact]) -> dict[str, list[Fact]]:
    """fact -> reviews and withdrawals of it."""
    found: dict[str, list[Fact]] = defaultdict(list)
    for one in rows:
        if one["about"] is not None:
            found[one["about"]].append(one)
    return found


def holds_of(rows: Sequence[Fact], marking: Marking) -> list[Hold]:
    """Of every mark with an effect the ticks at which each of its parts holds, before caps."""
    about, holds = about_of(rows), []
    for mark in rows:
        kind = marking.type_of(mark["station"], mark["type"]) if mark["kind"] == "mark" else None
        if kind is None or kind.effect == "none":
            continue
        from_at, to_at = mark["from_at"], mark["to_at"]
        begins = in_time_part(mark, marking.deadlines[mark["station"]], marking.zone)
        steps = follow(mark, about[mark["fact"]], kind.needs_review)
        ends = [step.tick for step in steps[1:]] + [FOREVER]
        for step, until in zip(steps, ends, strict=True):
            parts = [(from_at, begins, step.late), (begins, to_at, step.in_time)]
            holds += [
                Hold(mark["fact"], kind, a, b, step.tick, until, step.review)
                for a, b, there in parts
                if there and a < b and step.tick < until
            ]
    return holds


def capped(rows: Sequence[Fact], marking: Marking) -> list[Hold]:
    """Holds of all marks, as far as caps of their station reach."""
    station_of = {mark["fact"]: mark["station"] for mark in rows if mark["kind"] == "mark"}
    groups: dict[tuple[str, str], list[Hold]] = defaultdict(list)
    for hold in holds_of(rows, marking):
        groups[station_of[hold.fact], hold.type.cap_group].append(hold)
    return [piece for group in groups.values() for piece in cap(group, marking.zone)]


def _rows(facts: pl.DataFrame) -> list[Fact]:
    return unique_facts(facts).filter(pl.col("known_at").is_not_null()).to_dicts()


def _of_marks(rows: list[Fact], marking: Marking) -> list[Fact]:
    mark_of = {one["fact"]: one for one in rows}
    pieces = []
    for hold in capped(rows, marking):
        mark, kind = mark_of[hold.fact], hold.type
        asked = mark["factor"]
        factors = [asked] if asked is not None or not kind.factors else sorted(kind.factors)
        status = weaker(kind.status, marking.deadlines[mark["station"]].status)
        for factor in factors:
            if kind.factors and factor.removeprefix(CONVERTED_PREFIX) not in kind.factors:
                continue  # the type excuses other factors only
            about = {"station": mark["station"], "factor": factor, "type": kind.type, "review": hold.review}
            pieces.append(
                about
                | {"from_at": hold.from_at, "to_at": hold.to_at, "tick": hold.tick, "until": or_null(hold.until)}
                | {"effect": kind.effect, "kind": "mark", "status": status, "fact": hold.fact}
            )
    return pieces


def _of_stops(rows: list[Fact]) -> list[Fact]:
    gone = _withdrawn(rows)
    return [
        {key: one[key] for key in ("station", "outlet", "from_at", "to_at", "fact")}
        | {"tick": one["known_at"], "until": or_null(gone.get(one["fact"], FOREVER))}
        | {"effect": "excused", "kind": "stop", "type": "stop"}
        for one in rows
        if one["kind"] == "stop" and one["known_at"] < gone.get(one["fact"], FOREVER)
    ]


def _of_checks(rows: list[Fact]) -> list[Fact]:
    gone = _withdrawn(rows)
    series: dict[tuple[str, str, str], list[Fact]] = defaultdict(list)
    for one in rows:
        if one["kind"] == "qc" and one["known_at"] < (until := gone.get(one["fact"], FOREVER)):
            series[one["station"], one["factor"], one["type"]].append(one | {"until": until})
    pieces = []
    for (station, factor, check), checks in series.items():
        passed = sorted((one for one in checks if one["passed"]), key=lambda one: one["from_at"])
        for failed in (one for one in checks if not one["passed"]):
            at = failed["from_at"]
            before = sorted(
                (one for one in passed if one["from_at"] < at), key=lambda one: one["from_at"], reverse=True
            )
            after = sorted((one for one in passed if one["from_at"] > at), key=lambda one: one["from_at"])
            for tick, until, begins, ends in _between(failed, _nearest(before), _nearest(after)):
                pieces.append(
                    {"station": station, "factor": factor, "from_at": begins or at, "to_at": ends}
                    | {"tick": tick, "until": or_null(until), "effect": "invalid", "kind": "qc", "type": check}
                    | {"fact": failed["fact"]}
                )
    return pieces


def _nearest(passed: list[Fact]) -> list[Fact]:
    """Of checks sorted from the nearest on those that were the nearest one at some tick."""
    found, shadow_from = [], FOREVER
    for one in passed:
        if one["known_at"] < shadow_from:
            found.append(one)
            if one["until"] == FOREVER:
                shadow_from = one["known_at"]
    return found


def _between(
    failed: Fact, before: list[Fact], after: list[Fact]
) -> Iterable[tuple[datetime, datetime, datetime | None, datetime | None]]:
    """(tick, until, last passed, next passed) of a failed check, tick by tick at which that changes."""
    first, last = failed["known_at"], failed["until"]
    changes = {tick for one in (*before, *after) for tick in (one["known_at"], one["until"]) if first < tick < last}
    spans: list[tuple[datetime, datetime, datetime | None, datetime | None]] = []
    ticks = [first, *sorted(changes)]
    for tick, until in zip(ticks, [*ticks[1:], last], strict=True):
        ends = [
            next((one["from_at"] for one in side if one["known_at"] <= tick < one["until"]), None)
            for side in (before, after)
        ]
        if spans and spans[-1][2:] == (ends[0], ends[1]):
            spans[-1] = (spans[-1][0], until, ends[0], ends[1])
        else:
            spans.append((tick, until, ends[0], ends[1]))
    return spans


def _withdrawn(rows: list[Fact]) -> dict[str, datetime]:
    """fact -> the tick from which it is taken back; of marks `follow` decides."""
    latest_first = reversed(rows)  # so that the first one stands
    return {one["about"]: one["known_at"] for one in latest_first if one["kind"] == "withdrawal"}


def _on_points(pieces: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    named = points.select("point", "station", "outlet", "factor")
    plants_own = pl.col("factor").str.starts_with("$")
    devices = named.filter(~plants_own).drop("outlet")
    # a mark of a factor acts on what is converted from it as well
    by_factor = pl.concat([devices, devices.with_columns(pl.col("factor").str.strip_prefix(CONVERTED_PREFIX))]).unique()
    is_stop, has_factor = pl.col("kind") == "stop", pl.col("factor").is_not_null()
    parts = [
        pieces.filter(~is_stop & has_factor).join(by_factor, on=["station", "factor"]),
        pieces.filter(~is_stop & ~has_factor).join(devices.drop("factor"), on="station"),
        pieces.filter(is_stop & pl.col("station").is_not_null()).join(named.select("point", "station"), on="station"),
        pieces.filter(is_stop & pl.col("outlet").is_not_null()).join(named.select("point", "outlet"), on="outlet"),
    ]
    made = pl.concat([part.select(EFFECTS.names()) for part in parts])
    return made.sort("point", "from_at", "to_at", "tick", "fact", "type").match_to_schema(EFFECTS)
