"""How a verdict came about, step by step: inputs, completeness, mean, conversion, rounding, limit, alert, revisions.

Promises: numbers and states are those the pipeline decided (rules_explain_run); this puts them in order and into words.
Does not promise to judge: where a list of inputs is not what the decision rests on, it says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from contracts.catalogue import CONVERTED
from contracts.civil_time import local
from contracts.factors import CONVERTED_PREFIX
from rules.bindings import THRESHOLD_EXTRA
from rules.kinds.instruments import FLAT_LINE_VALUES_MIN

from ..texts.texts import Texts
from .alert import alert_step
from .limit import limit_step
from .parts import changed
from .run import Row, Run
from .windows import Windows
from .words import WHY, Step, Times, changed_lines, in_unit, number, shortened

LEVELS = ("yellow", "orange", "red")
COUNTED = {
    "present_n": "how many there are",
    "over_n": "parts over the instrument's range",
    "invalid_n": "parts that came and do not count",
    "sum": "how many were counted",
}


@dataclass
class Explanation:
    """One window of one rule on one point. `steps` is empty where no window was decided; `notes` say why."""

    rule: str
    point: str
    head: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def explain(run: Run, at: datetime, *, show_all: bool = False) -> Explanation:
    """The window that holds the instant."""
    subject = run.subject
    told_ = Explanation(subject.rule, subject.name)
    window_at = run.window_at(at)
    if window_at is None:
        told_.head, told_.notes = _who(run), [_no_window(run, at)]
        return told_
    return _Explainer(run, window_at, show_all).explain(told_)


def _who(run: Run) -> list[str]:
    texts, subject = Texts(run.site), run.subject
    said = []
    for one in ("en", "zh"):
        converted = CONVERTED[one] if subject.factor.startswith(CONVERTED_PREFIX) else ""  # type: ignore[index]
        said.append(f"{texts.place(subject.station, one)} {texts.factor(subject.factor, one)}{converted}")  # type: ignore[arg-type]
    return said


def _no_window(run: Run, at: datetime) -> str:
    times = Times(run.plan.zone, at)
    said = f"{times.full(at)} is in no decided window of rule {run.subject.rule} on {run.subject.name}"
    if run.verdicts.is_empty():
        return f"{said}: nothing was decided of it in what was read"
    before = run.verdicts.filter(pl.col("window_at") <= at)["window_at"].max()
    after = run.verdicts.filter(pl.col("window_at") > at)["window_at"].min()
    near = [f"the one {word} begins {times.full(one)}" for word, one in (("before", before), ("after", after)) if one]  # type: ignore[arg-type]
    return f"{said}; {', '.join(near)}"


class _Explainer:
    def __init__(self, run: Run, window_at: datetime, show_all: bool):
        self._run, self._window_at, self._all = run, window_at, show_all
        self._times = Times(run.plan.zone, window_at)
        rows = run.verdicts.filter(window_at=window_at).sort("limit_id", "revision")
        self._judged = {row["limit_id"]: row["state"] for row in rows.iter_rows(named=True)}  # the latest of each
        if run.subject.limit_id is not None:
            rows = rows.filter(limit_id=run.subject.limit_id)
        self._of_limit: dict[object, list[Row]] = {}
        for row in rows.iter_rows(named=True):
            self._of_limit.setdefault(row["limit_id"], []).append(row)
        self._ticks = sorted({row["decided_at"] for row in rows.iter_rows(named=True)})
        self._seconds = int(rows["window_s"][0])
        self._period = str(rows["period"][0])
        self._binding_of = {row["limit_id"]: row for row in run.bindings()}
        self._windows = Windows(run, self._times, self._period, show_all=show_all)

    def explain(self, into: Explanation) -> Explanation:
        run, times = self._run, self._times
        verdicts = [rows[-1] for rows in self._of_limit.values()]
        end = local(self._end_at(), run.plan.zone)
        into.head = [*_who(run), f"{self._period} from {times.full(self._window_at)} to {end:%Y-%m-%d %H:%M:%S %z}"]
        into.head += [self._verdict_line(verdict) for verdict in verdicts]
        into.facts = {
            "period": self._period,
            "window_at": times.iso(self._window_at),
            "window_s": self._seconds,
            "verdicts": [self._verdict_facts(verdict) for verdict in verdicts],
        }
        points = self._points()
        for point in points:
            into.steps += self._windows.steps(point, self._window_at, self._ticks[-1], is_subject=len(points) == 1)
        for verdict in verdicts:
            binding, limit_id = self._binding_of[verdict["limit_id"]], verdict["limit_id"]
            its = self._of_limit[limit_id]
            steps = [
                self._compared(verdict, binding),
                limit_step(run, verdict, self._judged),
                alert_step(run, times, binding, verdict, its, show_all=self._all),
            ]
            if len(verdicts) > 1:
                for step in steps:
                    step.title += f": {limit_id}"
            into.steps += steps
        into.steps.append(self._revisions())
        return into

    def _points(self) -> list[int]:
        """Those the verdicts are of, in the order of their limits."""
        return list(dict.fromkeys(int(str(self._binding_of[limit_id]["point"])) for limit_id in self._of_limit))

    def _end_at(self) -> datetime:
        return self._window_at + timedelta(seconds=self._seconds)

    # -- the verdict

    def _verdict_line(self, row: Row) -> str:
        level = f", level {row['level']}" if row["level"] else ""
        reason = f": {WHY.get(str(row['reason']), row['reason'])}" if row["reason"] else ""
        limit = f" (limit {row['limit_id']})" if row["limit_id"] else ""
        revisions = len({each["revision"] for each in self._of_limit[row["limit_id"]]})
        decided = f"revision {row['revision']}, decided {self._times.full(row['decided_at'])}"  # type: ignore[arg-type]
        first = "" if revisions == 1 else "; how it changed stands below"
        return f"{str(row['state']).replace('_', ' ')}{level}{limit}{reason}; {decided}{first}"

    def _verdict_facts(self, row: Row) -> dict[str, object]:
        facts = {name: row[name] for name in ("state", "reason", "level", "revision", "limit_id", "unit")}
        facts |= {name: row[name] for name in ("valid_n", "expected_n")}
        decided_at = self._times.iso(row["decided_at"])  # type: ignore[arg-type]
        value, limit = (number(row[name], row["decimals"]) for name in ("value_scaled", "limit_scaled"))
        return facts | {"decided_at": decided_at, "value": value, "limit": limit}

    # -- comparison

    def _compared(self, verdict: Row, binding: Row) -> Step:
        decimals, unit = int(str(binding["decimals"])), verdict["unit"]
        value = number(verdict["value_scaled"], decimals)
        step = Step("Rounding and comparison")
        step.facts = {"statistic": binding["statistic"], "rounded": binding["rounded"], "value": value, "unit": unit}
        statistic = str(binding["statistic"])
        if statistic == "range":
            needs = f"judged from {FLAT_LINE_VALUES_MIN} valid values on"
            step.lines.append(f"highest less lowest value: {in_unit(value, unit)}; flagged at 0, {needs}")
        elif statistic in COUNTED:
            step.lines.append(f"{COUNTED[statistic]}: {value}")
        elif verdict["reason"]:
            pass
        elif binding["rounded"]:
            step.lines.append(
                f"rounded to {decimals} decimals (GB/T 8170, half to even), then compared: {in_unit(value, unit)}"
            )
        else:
            step.lines.append(
                f"compared in full, sum against limit x n, without rounding (GB/T 8170 full-value comparison);"
                f" reported as {in_unit(value, unit)} at {decimals} decimals"
            )
        if int(str(binding["values_min"])) > 1 and statistic != "range":
            step.lines.append(f"judged from {binding['values_min']} valid windows on: there are {verdict['valid_n']}")
        if verdict["reason"]:
            state = str(verdict["state"]).replace("_", " ")
            step.lines.append(f"{state}: {WHY.get(str(verdict['reason']), verdict['reason'])}")
            return step
        reached = LEVELS.index(str(verdict["level"])) if verdict["level"] else -1
        sense = ("from" if binding["inclusive"] else "above") if binding["above"] else "below"
        if not binding["above"] and binding["inclusive"]:
            sense = "at or below"
        thresholds = {}
        for rank, level in enumerate(LEVELS):
            if binding[level] is None:
                continue
            threshold = number(binding[level], decimals + THRESHOLD_EXTRA)
            unit = "1" if statistic in COUNTED else unit
            word = "reached" if rank <= reached else "not reached"
            step.lines.append(f"{level} {sense} {in_unit(threshold, unit)}: {word}")
            thresholds[level] = {"sense": sense, "threshold": threshold, "reached": rank <= reached}
        step.facts["levels"] = thresholds
        state = str(verdict["state"]).replace("_", " ")
        step.lines.append(f"state: {state}" + (f", level {verdict['level']}" if verdict["level"] else ""))
        return step

    # -- revisions

    def _revisions(self) -> Step:
        times, rows = self._times, [row for its in self._of_limit.values() for row in its]
        step = Step("Revisions")
        told_: list[dict[str, object]] = []
        blocks: list[str] = []
        before: datetime | None = None
        for tick in self._ticks:
            block: list[str] = []
            for row in (row for row in rows if row["decided_at"] == tick):
                limit = f" against {row['limit_id']}" if len(self._of_limit) > 1 else ""
                value = number(row["value_scaled"], row["decimals"])
                said = f"{str(row['state']).replace('_', ' ')}{', ' + str(row['level']) if row['level'] else ''}"
                counted = f"{row['valid_n']} of {row['expected_n']} valid"
                block.append(
                    f"revision {row['revision']} at {times.full(tick)}{limit}: {said}, value {value}, {counted}"
                )
            why = [] if before is None else list(self._changes(before, tick))
            blocks.append("\n".join([*block, *(f"  {line}" for line in why)]))
            told_.append({"decided_at": times.iso(tick), "why": why})
            before = tick
        shown = blocks if self._all else shortened(blocks, 3, 3, "revisions")
        step.lines += [line for block in shown for line in block.split("\n")]
        if len(self._ticks) == 1:
            step.lines.append("nothing that came later changed it")
        step.facts = {"revisions": told_}
        return step

    def _changes(self, before: datetime, tick: datetime) -> Iterator[str]:
        """What became known between two decisions, input by input."""
        found: list[str] = []
        leaves = [self._windows.leaves(one, self._period, self._window_at) for one in self._points()]
        for point, period, window_at in dict.fromkeys(leaf for its in leaves for leaf in its):
            about = self._run.point(point)
            then, now = (self._windows.parts(point, period, window_at, each) for each in (before, tick))
            for line in changed_lines(changed(then, now), now.of, self._times, int(str(about["decimals"]))):
                found.append(f"{about['factor']}: {line}")
        yield from dict.fromkeys(found) or ["what came in changed none of its own inputs"]
