"""How a verdict came about, step by step: inputs, completeness, mean, conversion, rounding, limit, alert, revisions.

Promises: numbers and states are those the pipeline decided (rules_explain_run); this puts them in order and into words.
Does not promise to judge: where a list of inputs is not what the decision rests on, it says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from contracts.catalogue import CONVERTED
from contracts.civil_time import local
from contracts.factors import CONVERTED_PREFIX, REJECT_COUNT, STATION_PRESENCE
from rules.bindings import THRESHOLD_EXTRA
from rules.kinds.instruments import FLAT_LINE_VALUES_MIN

from .rules_explain_alert import alert_step
from .rules_explain_derived import DerivedWindow, InputWindow, told
from .rules_explain_limit import limit_step
from .rules_explain_parts import Parts, changed, parts_of
from .rules_explain_run import Row, Run
from .rules_explain_words import (
    WHY,
    Step,
    Times,
    as_facts,
    changed_lines,
    every,
    in_unit,
    listed,
    number,
    quotient,
    shortened,
)
from .texts import Texts

LEVELS = ("yellow", "orange", "red")


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
        self._of_limit: dict[object, list[Row]] = {}
        for row in rows.iter_rows(named=True):
            self._of_limit.setdefault(row["limit_id"], []).append(row)
        self._ticks = sorted({row["decided_at"] for row in rows.iter_rows(named=True)})
        self._seconds = int(rows["window_s"][0])
        self._parts_of: dict[tuple[int, str, datetime], Parts] = {}  # as they stood at a tick
        self._period = str(rows["period"][0])

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
        tick = self._ticks[-1]
        into.steps += self._window_steps(run.subject.point, self._period, tick, is_subject=True)
        for verdict in verdicts:
            binding, limit_id = self._binding(verdict), verdict["limit_id"]
            its = self._of_limit[limit_id]
            steps = [
                self._compared(verdict, binding),
                limit_step(run, verdict, self._of_limit.keys()),
                alert_step(run, times, binding, verdict, its, show_all=self._all),
            ]
            if len(verdicts) > 1:
                for step in steps:
                    step.title += f": {limit_id}"
            into.steps += steps
        into.steps.append(self._revisions())
        return into

    def _end_at(self) -> datetime:
        return self._window_at + timedelta(seconds=self._seconds)

    # -- the verdict

    def _verdict_line(self, row: Row) -> str:
        level = f", level {row['level']}" if row["level"] else ""
        reason = f": {WHY.get(row['reason'], row['reason'])}" if row["reason"] else ""  # type: ignore[call-overload]
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

    def _binding(self, verdict: Row) -> Row:
        return next(row for row in self._run.bindings() if row["limit_id"] == verdict["limit_id"])

    # -- windows

    def _window_steps(self, point: int, period: str, tick: datetime, *, is_subject: bool = False) -> Iterator[Step]:
        about = self._run.point(point)
        name = "" if is_subject else f" of {about['station']}/{about['factor']}"
        if about["factor"] == STATION_PRESENCE:
            yield self._presence(str(about["station"]), tick)
        elif about["factor"] == REJECT_COUNT:
            yield self._rejects(tick)
        elif (derivation := self._run.derivation(point, period)) is not None:
            inputs = {}
            for role, number_ in derivation.inputs.items():
                yield from self._window_steps(number_, period, tick)
                its = self._run.point(number_)
                label = f"{its['station']}/{its['factor']} ({Texts(self._run.site).factor(str(its['factor']), 'en')})"
                inputs[role] = InputWindow(label, str(its["unit"]), self._window(number_, period, tick))
            decided = self._window(point, period, tick)
            yield told(DerivedWindow(derivation.kind, inputs, derivation.parameters, str(about["unit"]), decided))
        else:
            parts = self._parts(point, period, tick)
            yield self._inputs(parts, about, name)
            window = self._window(point, period, tick)
            if window is not None:
                yield self._completeness(point, period, window, parts, name)
                if window["valid_n"]:
                    yield self._mean(window, name)

    def _parts(self, point: int, period: str, tick: datetime) -> Parts:
        key = point, period, tick
        if key not in self._parts_of:
            self._parts_of[key] = parts_of(self._run, point, period, self._window_at, self._seconds, tick)
        return self._parts_of[key]

    def _window(self, point: int, period: str, tick: datetime) -> Row | None:
        return self._run.window(point, period, self._window_at, tick)

    def _inputs(self, parts: Parts, about: Row, name: str) -> Step:
        show: Callable[..., Iterator[str]] = every if self._all else listed
        decimals, unit = int(str(about["decimals"])), str(about["unit"])
        of = "readings" if parts.of is None else f"{parts.of} windows, each with its mean"
        kind = f" ({about['kind']}, period {about['period_s']} s)" if parts.of is None and about["kind"] else ""
        step = Step(f"Inputs{name}: {of}{kind}")
        step.lines += show(parts, self._times, decimals, unit, (self._window_at, self._seconds), about)
        if parts.replaced:
            n = len(parts.replaced)
            said = f"{n} more {'was' if n == 1 else 'were'} replaced by another of the same instant"
            step.lines.append(f"{said}: the greatest device revision holds, then the last received")
        if parts.too_late:
            step.lines.append(f"{len(parts.too_late)} came too late to make a revision and do not count")
        if parts.disagreement:
            step.lines.append(f"note: {parts.disagreement}")
        step.facts = {
            "of": parts.of or "readings",
            "parts": [as_facts(part, self._times, decimals) for part in parts.parts],
            "replaced": [as_facts(part, self._times, decimals) for part in parts.replaced],
            "too_late": len(parts.too_late),
            "disagreement": parts.disagreement,
        }
        return step

    def _presence(self, station: str, tick: datetime) -> Step:
        inside = pl.col("event_at").is_between(self._window_at, self._end_at(), "left") & (pl.col("known_at") <= tick)
        n = self._run.readings.filter((pl.col("station") == station) & inside).height
        said = f"{n} reading{'' if n == 1 else 's'} of the station whose own time lies in this minute, of any factor"
        return Step("Inputs: whatever the station sent", [said], {"readings": n})

    def _rejects(self, tick: datetime) -> Step:
        inside = pl.col("received_at").is_between(self._window_at, self._end_at(), "left") & (
            pl.col("known_at") <= tick
        )
        counts = self._run.rejects.filter(inside)["reason"].value_counts(sort=True).rows()
        lines = [f"{reason}: {n}" for reason, n in counts] or ["no rejected message was received in this minute"]
        return Step("Inputs: rejected messages, by their receipt", lines, {"rejected": dict(counts)})

    def _completeness(self, point: int, period: str, window: Row, parts: Parts, name: str) -> Step:
        valid, present, expected = (int(str(window[key])) for key in ("valid_n", "present_n", "expected_n"))
        said = f"{expected} expected (one in {parts.part_s} s), {present} present, {valid} valid"
        lines = [said]
        rule = self._run.completeness(point, period)
        facts: dict[str, object] = {
            "expected": expected,
            "present": present,
            "valid": valid,
            "reason": window["reason"],
        }
        if rule is not None:
            medium = str(self._run.point(point)["medium"])
            needs = f"needs {rule.need} of {rule.of}, that is {rule.need * expected / rule.of:g} of {expected}"
            lines.append(f"{medium}, {period}: {needs}: {rule.clause} ({rule.status})")
            facts |= {"need": rule.need, "of": rule.of, "clause": rule.clause, "status": rule.status}
        reason = window["reason"]
        lines.append("it may be judged" if reason is None else f"it cannot be judged: {WHY.get(reason, reason)}")  # type: ignore[call-overload]
        return Step(f"Completeness{name}", lines, facts)

    def _mean(self, window: Row, name: str) -> Step:
        total, n, decimals = (int(str(window[key])) for key in ("sum_scaled", "valid_n", "decimals"))
        mean = quotient(total, n, decimals)
        lines = [f"sum of the {n} valid {number(total, decimals)} / {n} = {in_unit(mean, window['unit'])}"]
        low, high = number(window["min_scaled"], decimals), number(window["max_scaled"], decimals)
        lines.append(f"lowest {low}, highest {high}; sums are kept as integers of 10^-{decimals} and divided once")
        facts = {"sum": number(total, decimals), "n": n, "mean": mean, "unit": window["unit"], "min": low, "max": high}
        return Step(f"Mean{name}", lines, facts)

    # -- comparison

    def _compared(self, verdict: Row, binding: Row) -> Step:
        decimals, unit = int(str(binding["decimals"])), verdict["unit"]
        value = number(verdict["value_scaled"], decimals)
        step = Step("Rounding and comparison")
        step.facts = {"statistic": binding["statistic"], "rounded": binding["rounded"], "value": value, "unit": unit}
        if binding["statistic"] == "range":
            needs = f"judged from {FLAT_LINE_VALUES_MIN} valid values on"
            step.lines.append(f"highest less lowest value: {in_unit(value, unit)}; flagged at 0, {needs}")
        elif binding["statistic"] == "present_n":
            step.lines.append(f"how many there are: {value}")
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
        if verdict["reason"]:
            step.lines.append(f"no judgement: {WHY.get(verdict['reason'], verdict['reason'])}")  # type: ignore[call-overload]
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
        found = False
        for point in self._leaves(self._run.subject.point, self._period):
            about = self._run.point(point)
            then, now = (self._parts(point, self._period, each) for each in (before, tick))
            for line in changed_lines(changed(then, now), now.of, self._times, int(str(about["decimals"]))):
                found = True
                yield f"{about['factor']}: {line}"
        if not found:
            yield "what came in changed none of its own inputs"

    def _leaves(self, point: int, period: str) -> list[int]:
        if self._run.point(point)["factor"] in (STATION_PRESENCE, REJECT_COUNT):
            return []
        derivation = self._run.derivation(point, period)
        if derivation is None:
            return [point]
        return [leaf for one in derivation.inputs.values() for leaf in self._leaves(one, period)]
