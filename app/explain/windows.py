"""The steps up to a window's value: inputs, completeness, mean, and what the value is computed from, input by input.

Promises: every number is of a decision or a reading as it stood at the tick. A window that was told once is not told
again; an earlier window that another looks back at is named by its instant and told in a line.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

import polars as pl

from contracts.factors import CLOCK_LAG, REJECT_COUNT, STATION_PRESENCE
from rules.kinds.expressions import ExpressionRule

from ..texts.texts import Texts
from .cycles import Cycles, cycles_of
from .derived import DerivedWindow, InputWindow, bounds, told
from .parts import Parts, parts_of
from .run import Derivation, Row, Run
from .words import WHY, Step, Times, as_facts, every, in_unit, listed, number, quotient, shortened

_COUNTED = (
    "beyond",
    "between",
    "equal",
    "high_and_low",
    "treatment_off",
    "treatment_low",
    "synchronous",
)  # one number or none


class Windows:
    """Of one subject's period, as they stood at a tick."""

    def __init__(self, run: Run, times: Times, period: str, *, show_all: bool):
        self._run, self._times, self._period, self._all = run, times, period, show_all
        self._parts_of: dict[tuple[int, str, datetime, datetime], Parts] = {}
        self._told: set[int] = set()
        self._texts = Texts(run.site)

    def steps(self, point: int, window_at: datetime, tick: datetime, *, is_subject: bool = False) -> Iterator[Step]:
        if point in self._told:
            return
        self._told.add(point)
        run, period, about = self._run, self._period, self._run.point(point)
        name = "" if is_subject else f" of {about['station']}/{about['factor']}"
        if about["factor"] == STATION_PRESENCE:
            yield self._presence(str(about["station"]), window_at, tick)
        elif about["factor"] == REJECT_COUNT:
            yield self._rejects(window_at, tick)
        elif about["factor"] == CLOCK_LAG:
            yield self._lags(str(about["station"]), window_at, tick)
        elif (derivation := run.derivation(point, period)) is not None:
            for one in derivation.inputs:
                if one.lag == 0:
                    yield from self.steps(one.point, window_at, tick)
            step = told(self._derived(point, derivation, period, window_at, tick))
            step.title += "" if is_subject else name
            yield step
        else:
            parts = self.parts(point, period, window_at, tick)
            if (counted := self._counted(point, parts, tick)) is not None:
                yield counted
            yield self._inputs(parts, about, name, window_at)
            window = run.window(point, period, window_at, tick)
            if window is not None and period != "instant":
                yield self._completeness(point, window, parts, name)
                if window["valid_n"]:
                    yield self._mean(window, name)

    def parts(self, point: int, period: str, window_at: datetime, tick: datetime) -> Parts:
        key = point, period, window_at, tick
        if key not in self._parts_of:
            seconds = int((self._run.end_at(window_at, period) - window_at).total_seconds())
            self._parts_of[key] = parts_of(self._run, point, period, window_at, seconds, tick)
        return self._parts_of[key]

    def leaves(self, point: int, period: str, window_at: datetime) -> list[tuple[int, str, datetime]]:
        """The windows made of readings or smaller windows that everything here is computed from."""
        if self._run.point(point)["factor"] in (STATION_PRESENCE, REJECT_COUNT, CLOCK_LAG):
            return []
        derivation = self._run.derivation(point, period)
        if derivation is None:
            return [(point, period, window_at)]
        found = []
        for one in derivation.inputs:
            at = window_at if one.lag == 0 else self._run.earlier(window_at, period, one.lag)
            found += self.leaves(one.point, period, at)
        return found

    # -- computed values

    def _derived(
        self, point: int, derivation: Derivation, period: str, window_at: datetime, tick: datetime
    ) -> DerivedWindow:
        run = self._run
        inputs = []
        for one in derivation.inputs:
            about = run.point(one.point)
            at = window_at if one.lag == 0 else run.earlier(window_at, period, one.lag)
            label = f"{about['station']}/{about['factor']} ({self._texts.factor(str(about['about']), 'en')})"
            if one.lag:
                label = f"{about['station']}/{about['factor']} of {self._times.full(at)}"
            window = run.window(one.point, period, at, tick)
            inputs.append(InputWindow(label, str(about["unit"]), window, one.role, str(about["factor"])))
        decided = run.window(point, period, window_at, tick)
        sql, names = "", {}
        if isinstance(run.rule, ExpressionRule):
            sql, names = run.rule.sql, dict(run.rule.inputs)
        cycles = None
        if derivation.kind == "flow_weighted":
            cycles = self._cycles(derivation, period, window_at, tick, decided)
        unit = str(run.point(point)["unit"])
        return DerivedWindow(derivation.kind, inputs, derivation.parameters, unit, decided, sql, names, cycles)

    def _cycles(
        self, derivation: Derivation, period: str, window_at: datetime, tick: datetime, decided: Row | None
    ) -> Cycles:
        run = self._run
        value, flow = (next(one.point for one in derivation.inputs if one.role == role) for role in "ab")
        about = [run.point(one) for one in (value, flow)]
        return cycles_of(
            self.parts(value, period, window_at, tick),
            self.parts(flow, period, window_at, tick),
            window_at=window_at,
            window_s=int((run.end_at(window_at, period) - window_at).total_seconds()),
            cycle_s=run.part_s(value, period),
            discharging=derivation.parameters.get("q", 0.0),
            decimals=(int(str(about[0]["decimals"])), int(str(about[1]["decimals"]))),
            units=(str(about[0]["unit"]), str(about[1]["unit"])),
            decided=decided,
            times=self._times,
        )

    def _counted(self, point: int, parts: Parts, tick: datetime) -> Step | None:
        """Which of the smaller windows a count counts, with the numbers of each."""
        derivation = None if parts.of is None else self._run.derivation(point, parts.of)
        if derivation is None or parts.of is None or derivation.kind not in _COUNTED:
            return None
        of = parts.of.replace("five_minute", "5-minute")
        judged = [part for part in parts.parts if part.counts]
        counted = [part for part in judged if part.total]
        lines, sample = [], None
        for part in counted or judged[:1]:
            sample = self._derived(point, derivation, parts.of, part.at, tick)
            lines.append(f"{self._times.at(part.at)}: {'; '.join(one.said for one in sample.inputs)}")
        said = f"{len(counted)} of the {len(judged)} {of} windows that could be judged"
        if sample is not None and derivation.kind in ("beyond", "between"):
            said += f" are {bounds(sample)}"
        elif derivation.kind == "equal":
            said += " are the very same number as the other"
        step = Step(f"Windows counted: {self._run.point(point)['about']}", [said])
        if counted:
            step.lines += lines if self._all else shortened(lines, 4, 3, "windows")
        step.facts = {
            "kind": derivation.kind,
            "parameters": derivation.parameters,
            "judged": len(judged),
            "counted": [self._times.iso(part.at) for part in counted],
        }
        return step

    # -- inputs that are counted or averaged

    def _inputs(self, parts: Parts, about: Row, name: str, window_at: datetime) -> Step:
        show: Callable[..., Iterator[str]] = every if self._all else listed
        decimals, unit = int(str(about["decimals"])), str(about["unit"])
        of = "readings" if parts.of is None else f"{parts.of} windows, each with its mean"
        kind = f" ({about['kind']}, period {about['period_s']} s)" if parts.of is None and about["kind"] else ""
        step = Step(f"Inputs{name}: {of}{kind}")
        seconds = int((self._run.end_at(window_at, self._period) - window_at).total_seconds()) or int(
            str(about["interval_s"])
        )
        step.lines += show(parts, self._times, decimals, unit, (window_at, seconds), about)
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

    def _presence(self, station: str, window_at: datetime, tick: datetime) -> Step:
        end_at = self._run.end_at(window_at, self._period)
        inside = pl.col("event_at").is_between(window_at, end_at, "left") & (pl.col("known_at") <= tick)
        n = self._run.readings.filter((pl.col("station") == station) & inside).height
        said = f"{n} reading{'' if n == 1 else 's'} of the station whose own time lies in this minute, of any factor"
        return Step("Inputs: whatever the station sent", [said], {"readings": n})

    def _lags(self, station: str, window_at: datetime, tick: datetime) -> Step:
        end_at = self._run.end_at(window_at, self._period)
        inside = pl.col("received_at").is_between(window_at, end_at, "left") & (pl.col("known_at") <= tick)
        rows = self._run.readings.filter((pl.col("station") == station) & inside)
        ended_at = pl.col("event_at") + pl.duration(seconds=pl.col("period_s").fill_null(0))
        lags = rows.select(s=(pl.col("received_at") - ended_at).dt.total_milliseconds() / 1000)["s"]
        if lags.is_empty():
            return Step("Inputs: receipt less the end of the period", ["nothing was received in this hour"], {})
        said = (
            f"from {lags.min():g} to {lags.max():g} s, of {lags.len()} readings received in this hour; the least counts"
        )
        return Step(
            "Inputs: receipt less the end of the period", [said], {"readings": lags.len(), "least_s": lags.min()}
        )

    def _rejects(self, window_at: datetime, tick: datetime) -> Step:
        end_at = self._run.end_at(window_at, self._period)
        inside = pl.col("received_at").is_between(window_at, end_at, "left") & (pl.col("known_at") <= tick)
        counts = self._run.rejects.filter(inside)["reason"].value_counts(sort=True).rows()
        lines = [f"{reason}: {n}" for reason, n in counts] or ["no rejected message was received in this minute"]
        return Step("Inputs: rejected messages, by their receipt", lines, {"rejected": dict(counts)})

    def _completeness(self, point: int, window: Row, parts: Parts, name: str) -> Step:
        valid, present, expected = (int(str(window[key])) for key in ("valid_n", "present_n", "expected_n"))
        said = f"{expected} expected (one in {parts.part_s} s), {present} present, {valid} valid"
        if window["over_n"]:
            said += f", {window['over_n']} over the instrument's range"
        lines = [said]
        rule = self._run.completeness(point, self._period)
        facts: dict[str, object] = {
            "expected": expected,
            "present": present,
            "valid": valid,
            "reason": window["reason"],
        }
        if rule is not None:
            medium = str(self._run.point(point)["medium"])
            needs = f"needs {rule.need} of {rule.of}, that is {rule.need * expected / rule.of:g} of {expected}"
            lines.append(f"{medium}, {self._period}: {needs}: {rule.clause} ({rule.status})")
            facts |= {"need": rule.need, "of": rule.of, "clause": rule.clause, "status": rule.status}
        reason = window["reason"]
        lines.append("it may be judged" if reason is None else f"it cannot be judged: {WHY.get(str(reason), reason)}")
        return Step(f"Completeness{name}", lines, facts)

    def _mean(self, window: Row, name: str) -> Step:
        total, n, decimals = (int(str(window[key])) for key in ("sum_scaled", "valid_n", "decimals"))
        mean = quotient(total, n, decimals)
        lines = [f"sum of the {n} valid {number(total, decimals)} / {n} = {in_unit(mean, window['unit'])}"]
        low, high = number(window["min_scaled"], decimals), number(window["max_scaled"], decimals)
        lines.append(f"lowest {low}, highest {high}; sums are kept as integers of 10^-{decimals} and divided once")
        facts = {"sum": number(total, decimals), "n": n, "mean": mean, "unit": window["unit"], "min": low, "max": high}
        return Step(f"Mean{name}", lines, facts)
