"""The parts of one window as they stood at a tick: readings, or windows of the period below, and whether each counts.

Promises: whether a reading counts is what `rules.windows.samples` says of it, and which of several holds is the
pipeline's rule (device revision, receipt, message); `Parts.disagreement` says so where the parts listed are not what
was decided.
"""

import csv
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files

import polars as pl

from contracts.civil_time import next_boundary
from contracts.frames import REJECTS, empty
from contracts.reasons import Invalid
from rules.exact import half_even
from rules.windows.samples import samples_of

from .run import Row, Run

COUNTED_OUT = "counted_out"  # neither its own mark nor its range says so
SAID_INVALID = "said_invalid"  # people said so: a mark they made, a failed check
LENGTH_S = {"minute": 60, "five_minute": 300, "hour": 3600, "day": 86400, "month": 31 * 86400}


@dataclass(frozen=True)
class Part:
    """One part. `scaled` is its value in 10^-decimals; a window's is its mean."""

    at: datetime
    end_at: datetime
    scaled: int | None
    total: int  # what it gives to the sum
    n: int  # how many values that is: 0 where it does not count
    is_present: bool
    why: str | None = None  # it does not count: reasons.Invalid of a reading, reasons.NoJudgement of a window
    mark: str | None = None
    revision: int | None = None  # of a window
    valid: tuple[int, int] | None = None  # of a window: valid and expected parts of its own
    received_at: datetime | None = None
    message: bytes | None = None

    @property
    def content(self) -> tuple[object, ...]:
        return self.scaled, self.total, self.n, self.why, self.mark

    @property
    def counts(self) -> bool:
        return self.n > 0


@dataclass
class Parts:
    """`of`: None for readings, else the period of the windows."""

    of: str | None
    part_s: int
    parts: list[Part]
    replaced: list[Part] = field(default_factory=list)  # readings that another of the same instant took the place of
    too_late: list[Part] = field(default_factory=list)  # readings that came when the window was no longer revised
    disagreement: str | None = None
    every_s: int = 0  # how far apart the parts are: of readings as expected, of windows their length

    def by_at(self) -> dict[datetime, Part]:
        return {part.at: part for part in self.parts}


def parts_of(run: Run, point: int, period: str, window_at: datetime, window_s: int, tick: datetime) -> Parts:
    """What the window is made of, of what was known at the tick. Not for derived windows: those have inputs."""
    below = run.inputs_from(point, period)
    end_at = window_at + timedelta(seconds=window_s)
    if below is None:
        found = _readings(run, point, period, window_at, end_at, tick)
    else:
        parts = _windows(run, point, period, below, window_at, end_at, tick)
        found = Parts(below, run.part_s(point, period), parts, every_s=LENGTH_S[below])
    decided = run.window(point, period, window_at, tick)
    if decided is not None:
        found.disagreement = _disagreement(found, decided)
    return found


def _readings(run: Run, point: int, period: str, window_at: datetime, end_at: datetime, tick: datetime | None) -> Parts:
    about = run.point(point)
    is_instant = period == "instant"
    inside = (
        (pl.col("event_at") == window_at) if is_instant else pl.col("event_at").is_between(window_at, end_at, "left")
    )
    rows = run.readings.filter((pl.col("point") == point) & inside & (pl.col("known_at") <= tick))
    samples = samples_of(rows, empty(REJECTS), run.plan).filter(pl.col("point") == point)
    key = ["event_at", "received_at", "message", "device_revision"]
    judged = samples.rename({"at": "event_at", "value": "scaled"}).select("valid", "scaled", *key).unique()
    both = rows.join(judged, on=key, how="left").sort("event_at", "device_revision", "received_at", "message")
    marks = dict(run.plan.marks.select("mark", "mark_valid").iter_rows())
    last_at = _last_tick(run, period, window_at if is_instant else end_at)
    part_s = int(str(about["interval_s"])) if is_instant else run.part_s(point, period)
    found = Parts(None, part_s, [], every_s=part_s)
    said = _said_invalid(run, point, tick)
    newest: dict[datetime, Part] = {}
    for row in both.iter_rows(named=True):
        part = _reading(row, about, marks)
        if part.counts and any(from_at <= part.at and (to_at is None or part.at < to_at) for from_at, to_at in said):
            part = replace(part, total=0, n=0, why=SAID_INVALID)
        if row["known_at"] > last_at:
            found.too_late.append(part)
            continue
        before = newest.get(part.at)
        if before is not None and before.content == part.content:
            continue  # sent again, the same
        if before is not None:
            found.replaced.append(before)
        newest[part.at] = part
    found.parts = list(newest.values())
    return found


def _said_invalid(run: Run, point: int, tick: datetime | None) -> list[tuple[datetime, datetime | None]]:
    """Stretches of event time in which readings do not count, by what people had said at the tick."""
    holds = (pl.col("tick") <= tick) & (pl.col("until").is_null() | (pl.col("until") > tick))
    said = run.effects.filter((pl.col("point") == point) & (pl.col("effect") == "invalid") & holds)
    return said.select("from_at", "to_at").rows()


def _last_tick(run: Run, period: str, end_at: datetime) -> datetime:
    decided = end_at + run.plan.hold[period]
    if decided.microsecond:
        decided = decided.replace(microsecond=0) + timedelta(seconds=1)
    return decided + run.plan.reach


def _reading(row: Row, about: Row, marks: dict[object, bool]) -> Part:
    at, scaled, valid = row["event_at"], row["scaled"], bool(row["valid"])
    assert isinstance(at, datetime)
    why = None
    if not valid:
        why = COUNTED_OUT
        if row["mark"] is not None and not marks.get(row["mark"], False):
            why = Invalid.MARKED if row["mark"] in marks else Invalid.MARK_UNKNOWN
        elif _is_outside(row["value"], about):
            why = Invalid.OUT_OF_RANGE
    interval_s = int(str(about["interval_s"]))
    return Part(
        at=at,
        end_at=at + timedelta(seconds=interval_s),
        scaled=scaled,  # type: ignore[arg-type]
        total=int(str(scaled)) if valid else 0,
        n=int(valid),
        is_present=True,
        why=why,
        mark=row["mark"],  # type: ignore[arg-type]
        received_at=row["received_at"],  # type: ignore[arg-type]
        message=row["message"],  # type: ignore[arg-type]
    )


def _is_outside(value: object, about: Row) -> bool:
    low, high = about["range_min"], about["range_max"]
    return (low is not None and value < low) or (high is not None and value > high)  # type: ignore[operator]


def _windows(
    run: Run, point: int, period: str, below: str, window_at: datetime, end_at: datetime, tick: datetime
) -> list[Part]:
    """A smaller window gives its mean where it may be judged; a day gives the year its hours."""
    mine = (pl.col("point") == point) & (pl.col("period") == below)
    inside = pl.col("window_at").is_between(window_at, end_at, "left") & (pl.col("decided_at") <= tick)
    rows = run.windows.filter(mine & inside).sort("window_at", "revision").unique("window_at", keep="last")
    n = pl.col("valid_n").cast(pl.Int128)
    rows = rows.with_columns(mean=half_even(pl.col("sum_scaled"), pl.when(n > 0).then(n).otherwise(1)))
    inner: list[Part] = []
    is_made = run.derivation(point, below) is not None
    if below in ("minute", "five_minute") and run.inputs_from(point, below) is None and not is_made:
        inner = _readings(run, point, below, window_at, end_at, tick).parts
    whole = run.pools(point, period)
    parts = []
    for row in rows.sort("window_at").iter_rows(named=True):
        judged = row["reason"] is None and row["valid_n"] > 0
        counts = row["valid_n"] > 0 if whole else judged
        its_end_at = next_boundary(row["window_at"], below, run.plan.zone)
        reading = _telling([part for part in inner if row["window_at"] <= part.at < its_end_at], counts=counts)
        parts.append(
            Part(
                at=row["window_at"],
                end_at=its_end_at,
                scaled=row["mean"] if row["valid_n"] else None,
                total=(row["sum_scaled"] if whole else row["mean"]) if counts else 0,
                n=(row["valid_n"] if whole else 1) if counts else 0,
                is_present=row["present_n"] > 0,
                why=None if counts else reading.why if reading else row["reason"],
                mark=reading.mark if reading else None,
                received_at=reading.received_at if reading else None,
                message=reading.message if reading else None,
                revision=row["revision"],
                valid=(row["valid_n"], row["expected_n"]),
            )
        )
    return parts


def _telling(readings: list[Part], *, counts: bool) -> Part | None:
    """The one reading that says why a minute is what it is: the only one, or the first of those that do not count."""
    if not counts:
        return next((part for part in readings if not part.counts), None)
    return readings[0] if len(readings) == 1 else None


def _disagreement(found: Parts, decided: Row) -> str | None:
    listed = (sum(part.total for part in found.parts), sum(part.n for part in found.parts))
    made = (decided["sum_scaled"], decided["valid_n"])
    if listed == made:
        return None
    return (
        f"the parts listed give a sum of {listed[0]} over {listed[1]}, the decision {made[0]} over {made[1]}"
        f" (in 10^-{decided['decimals']}): the decision holds, and this list is not all it rests on"
    )


@dataclass(frozen=True)
class Change:
    """One part that is not what it was at an earlier tick; `before` is None where it was not there."""

    before: Part | None
    now: Part | None

    @property
    def at(self) -> datetime:
        part = self.now or self.before
        assert part is not None
        return part.at


def changed(before: Parts, now: Parts) -> list[Change]:
    old, new = before.by_at(), now.by_at()
    found = []
    for at in sorted(old.keys() | new.keys()):
        was, is_ = old.get(at), new.get(at)
        if was is None or is_ is None or (was.content, was.valid) != (is_.content, is_.valid):
            found.append(Change(was, is_))
    return found


def gaps(parts: Parts, window_at: datetime, window_s: int) -> list[tuple[datetime, datetime]]:
    """Stretches of whole parts in which nothing is there, in order."""
    step = timedelta(seconds=parts.every_s)
    end_at = window_at + timedelta(seconds=window_s)
    taken = {(part.at - window_at) // step for part in parts.parts}
    found: list[tuple[datetime, datetime]] = []
    at, n = window_at, 0
    while at + step <= end_at:
        if n not in taken:
            if found and found[-1][1] == at:
                found[-1] = (found[-1][0], at + step)
            else:
                found.append((at, at + step))
        at, n = at + step, n + 1
    return found


@cache
def _mark_table() -> dict[str, dict[str, str]]:
    with (files("rules") / "library" / "marks.csv").open(encoding="utf-8", newline="") as lines:
        return {row["mark"]: row for row in reversed(list(csv.DictReader(lines)))}


def mark_words(mark: str) -> str:
    row = _mark_table().get(mark)
    return f"{mark} ({row['name_en']}, {row['source']})" if row else f"{mark} (not in the table of marks)"
