"""How each kind of derived value is told: one small function a kind, named in BY_KIND.

A new kind of formula gets its explanation here: a function from a DerivedWindow to a Step. Results are the pipeline's;
nothing is computed again.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rules.made.formulas import O2_GUARD_PCT

from .cycles import Cycles, cycle_lines
from .run import Row
from .words import WHY, Step, in_unit, number, quotient


@dataclass(frozen=True)
class InputWindow:
    """One input as it stood when the derived window was decided; `window` is its row of WINDOWS, None: undecided."""

    name: str  # with the instant of its window, where that is an earlier one
    unit: str
    window: Row | None
    role: str = "a"
    factor: str = ""

    @property
    def mean(self) -> str | None:
        """Exact, or cut with an ellipsis; None where it cannot be used."""
        row = self.window
        if row is None or row["reason"] is not None or not row["valid_n"]:
            return None
        return quotient(int(str(row["sum_scaled"])), int(str(row["valid_n"])), int(str(row["decimals"])))

    @property
    def said(self) -> str:
        if self.mean is not None:
            return f"{self.name}: {in_unit(self.mean, self.unit)}"
        reason = "not decided by then" if self.window is None else str(self.window["reason"])
        return f"{self.name}: no usable value, {WHY.get(reason, reason)}"


@dataclass(frozen=True)
class DerivedWindow:
    """`decided`: the derived point's row of WINDOWS. sql, names: of an expression, its text and name -> factor."""

    kind: str  # of formulas.FORMULAS, "flow_weighted", or "sql:<rule>"
    inputs: Sequence[InputWindow]  # by role, the latest window first
    parameters: Mapping[str, float]  # p, q, r
    unit: str
    decided: Row | None
    sql: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    cycles: Cycles | None = None  # of a flow-weighted day

    @property
    def reason(self) -> str | None:
        return None if self.decided is None else self.decided["reason"]  # type: ignore[return-value]

    @property
    def result(self) -> str | None:
        """Exact: a copy or pooled mean may have more digits than the factor's decimals."""
        row = self.decided
        if row is None or row["reason"] is not None or not row["valid_n"]:
            return None
        return quotient(int(str(row["sum_scaled"])), int(str(row["valid_n"])), int(str(row["decimals"])))

    def of(self, role: str) -> list[InputWindow]:
        return [one for one in self.inputs if one.role == role]

    def one(self, role: str) -> InputWindow:
        return self.of(role)[0]

    def given(self, name: str) -> str:
        return f"{self.parameters[name]:.10g}"

    def equals(self, left: str, computation: str) -> list[str]:
        """The formula with its numbers; nothing where there is no result."""
        if self.result is None:
            return []
        return [
            f"{left} = {computation} = {in_unit(self.result, self.unit)} (rounded half to even at the last decimal)"
        ]

    def step(self, title: str, *lines: str, **facts: object) -> Step:
        inputs = [{"role": one.role, "name": one.name, "mean": one.mean, "unit": one.unit} for one in self.inputs]
        told_: dict[str, object] = {
            "kind": self.kind,
            "inputs": inputs,
            "parameters": dict(self.parameters),
            "result": self.result,
            "reason": self.reason,
        }
        closing = [] if self.reason is None else [f"no value: {WHY.get(self.reason, self.reason)}"]
        return Step(title, [*lines, *closing], told_ | facts)


def bounds(window: DerivedWindow) -> str:
    """The numbers a count is made by, in words."""
    low, high = (window.given(name) if name in window.parameters else None for name in ("p", "q"))
    unit = window.one("a").unit
    if window.kind == "between":
        return f"from {low} to {in_unit(str(high), unit)}, both included"
    words = [f"{word} {in_unit(bound, unit)}" for word, bound in (("below", low), ("above", high)) if bound is not None]
    return " or ".join(words)


def _said(window: DerivedWindow, *roles: str) -> Iterator[str]:
    for role in roles or sorted({one.role for one in window.inputs}):
        yield from (one.said for one in window.of(role))


def convert_o2(window: DerivedWindow) -> Step:
    measured, oxygen = window.one("a"), window.one("b")
    reference = window.given("p")
    lines = ["C = Cm x (21 - O2 reference) / (21 - O2), HJ 75-2017", measured.said, oxygen.said]
    lines.append(
        f"reference O2: {reference} %, from the point's row in points.csv; no value from {O2_GUARD_PCT:g} % on"
    )
    lines += window.equals("C", f"{measured.mean} x (21 - {reference}) / (21 - {oxygen.mean})")
    return window.step("Conversion to the reference O2", *lines)


def dry(window: DerivedWindow) -> Step:
    wet, moisture = window.one("a"), window.one("b")
    lines = ["C(dry) = C(wet) / (1 - moisture / 100), HJ 75-2017", wet.said, moisture.said]
    lines += window.equals("C(dry)", f"{wet.mean} / (1 - {moisture.mean} / 100)")
    return window.step("Conversion to dry gas", *lines)


def standard_state(window: DerivedWindow) -> Step:
    value, heat, pressure = (window.one(role) for role in "abc")
    lines = ["C(standard) = C x 101.325 / (Ba + Ps) x (273 + ts) / 273, HJ 75-2017", *_said(window)]
    lines.append(f"Ba: {window.given('p')} kPa")
    formula = f"{value.mean} x 101.325 / ({window.given('p')} + {pressure.mean}) x (273 + {heat.mean}) / 273"
    return window.step("Conversion to the standard state", *lines, *window.equals("C(standard)", formula))


def nox_as_no2(window: DerivedWindow) -> Step:
    no, no2 = window.one("a"), window.one("b")
    lines = ["NOx = NO x 46 / 30 + NO2, by mass, HJ 75-2017", no.said, no2.said]
    return window.step("NOx as NO2", *lines, *window.equals("NOx", f"{no.mean} x 46 / 30 + {no2.mean}"))


def mass_rate(window: DerivedWindow) -> Step:
    value, flow = window.one("a"), window.one("b")
    lines = ["G = C x Q, HJ 75-2017: the measured dry concentration, not the converted one", value.said, flow.said]
    lines += window.equals("G", f"{value.mean} x {flow.mean} x {window.given('p')}")
    return window.step("Mass rate", *lines)


def total(window: DerivedWindow) -> Step:
    lines = ["the sum of several, each of which must be there", *_said(window)]
    lines += window.equals("sum", " + ".join(str(one.mean) for one in window.of("a")))
    return window.step("Sum", *lines)


def members(window: DerivedWindow) -> Step:
    mine = window.of("a")
    lines = ["the number of members that produce while their treatment stands still", *(one.said for one in mine)]
    return window.step("Members", *lines, *window.equals("members", " + ".join(str(one.mean) for one in mine)))


def _sum(window: DerivedWindow, role: str) -> str:
    terms = [str(one.mean) for one in window.of(role)]
    return terms[0] if len(terms) == 1 else f"({' + '.join(terms)})"


def removal_pct(window: DerivedWindow) -> Step:
    lines = ["removal = 100 x (1 - out / in)", *_said(window)]
    if window.parameters.get("p"):
        lines.append(f"it applies from {in_unit(window.given('p'), window.one('b').unit)} at the inlet on")
    lines += window.equals("removal", f"100 x (1 - {_sum(window, 'a')} / {_sum(window, 'b')})")
    return window.step("Removal", *lines)


def share_pct(window: DerivedWindow) -> Step:
    lines = ["share = 100 x part / whole", *_said(window)]
    if "p" in window.parameters:
        lines.append(f"it applies from a whole of {in_unit(window.given('p'), window.one('b').unit)} on")
    return window.step("Share", *lines, *window.equals("share", f"100 x {_sum(window, 'a')} / {_sum(window, 'b')}"))


def deviation_pct(window: DerivedWindow) -> Step:
    value, other = window.one("a"), window.one("b")
    lines = ["deviation = 100 x |a - b| / |b|", f"a, {value.said}", f"b, {other.said}"]
    if window.parameters.get("p"):
        lines.append(f"it applies where |b| is at least {in_unit(window.given('p'), other.unit)}")
    lines += window.equals("deviation", f"100 x |{value.mean} - {other.mean}| / |{other.mean}|")
    return window.step("Deviation", *lines)


def difference(window: DerivedWindow) -> Step:
    value, other = window.one("a"), window.one("b")
    return window.step("Difference", *_said(window), *window.equals("a - b", f"{value.mean} - {other.mean}"))


def _yes(window: DerivedWindow) -> bool:
    return window.result is not None and float(window.result.removesuffix("...")) != 0


def occurrence(window: DerivedWindow) -> Step:
    """beyond, between: whether the window is counted."""
    lines = [f"counted: a window {bounds(window)}", *_said(window)]
    if window.result is not None:
        lines.append("it is counted" if _yes(window) else "it is not counted")
    return window.step("Is it counted", *lines)


def equal(window: DerivedWindow) -> Step:
    lines = ["counted: a window with the very same number as the other; zeros say nothing", *_said(window)]
    if window.result is not None:
        lines.append("the very same number: it is counted" if _yes(window) else "not the same number")
    return window.step("Is it the same", *lines)


def _on_and_off(window: DerivedWindow) -> tuple[str, str]:
    high, low = window.one("a"), window.one("b")
    return in_unit(window.given("p"), high.unit), in_unit(window.given("q"), low.unit)


def high_and_low(window: DerivedWindow) -> Step:
    high, low = _on_and_off(window)
    lines = [f"{window.one('a').said}; it is high from {high} on", f"{window.one('b').said}; it is low below {low}"]
    if window.result is not None:
        lines.append("one is high while the other is low" if _yes(window) else "not both high and low")
    return window.step("Two signals together", *lines)


def treatment_off(window: DerivedWindow) -> Step:
    on_from, treated_from = _on_and_off(window)
    lines = [
        f"{window.one('a').said}; production is on from {on_from}",
        f"{window.one('b').said}; treatment is on from {treated_from}",
    ]
    if window.result is not None:
        said = "production on and treatment off" if _yes(window) else "not both production on and treatment off"
        lines.append(f"{said}: {window.result}")
    return window.step("Production against treatment", *lines)


def synchronous(window: DerivedWindow) -> Step:
    on_from, treated_from = _on_and_off(window)
    lines = [
        f"{window.one('a').said}; it applies while production is on, from {on_from}",
        f"{window.one('b').said}; treatment is on from {treated_from}",
    ]
    if window.result is not None:
        lines.append("treatment runs with production" if _yes(window) else "treatment does not run with production")
    return window.step("Treatment while producing", *lines)


def treatment_low(window: DerivedWindow) -> Step:
    on_from, treated_from = _on_and_off(window)
    lines = [
        f"{window.one('a').said}; production is on from {on_from}",
        f"{window.one('b').said}; treatment is on from {treated_from} and low below "
        + in_unit(window.given("r"), window.one("b").unit),
    ]
    if window.result is not None:
        lines.append(
            "production on and treatment idling" if _yes(window) else "treatment is not idling with production"
        )
    return window.step("Treatment's load", *lines)


def treatment_late(window: DerivedWindow) -> Step:
    on_from, treated_from = _on_and_off(window)
    lines = [
        f"{window.one('a').said}; production is on from {on_from}",
        f"{window.one('c').said}: the neighbouring window, in which production is off where it changes here",
        f"{window.one('b').said}; treatment is on from {treated_from}",
    ]
    if window.result is not None:
        said = "production changes here and treatment is off" if _yes(window) else "no change without treatment"
        lines.append(said)
    return window.step("Order of production and treatment", *lines)


def in_sector(window: DerivedWindow) -> Step:
    lines = [f"it is taken where the wind blows from within {window.given('q')} degrees of {window.given('p')}"]
    lines += [window.one("b").said, window.one("a").said]
    return window.step("Wind's sector", *lines)


def above_upwind(window: DerivedWindow) -> Step:
    lines = ["the greatest mean downwind less the mean upwind, HJ/T 55-2000 by analogy"]
    lines += [f"downwind, {one.said}" for one in window.of("a")] + [f"upwind, {one.said}" for one in window.of("b")]
    if window.result is not None:
        lines.append(f"greatest less upwind: {in_unit(window.result, window.unit)}")
    return window.step("Downwind against upwind", *lines)


def when(window: DerivedWindow) -> Step:
    value, condition = window.one("a"), window.one("b")
    or_at = "" if window.parameters.get("r") == 1.0 else "or at "
    words = [
        f"{word} {or_at}{in_unit(window.given(name), condition.unit)}"
        for name, word in _SIDES
        if name in window.parameters
    ]
    lines = [f"the limit holds for windows in which {condition.name} is {' and '.join(words)}", condition.said]
    if window.reason is None:
        lines.append(f"it holds: {value.said}, which is judged as it is")
    return window.step("Condition of the limit", *lines)


_SIDES = (("p", "above"), ("q", "below"))


def pooled(window: DerivedWindow) -> Step:
    usable = [one for one in window.inputs if one.mean is not None]
    lines = [f"all valid values of {len(window.inputs)} windows together, the latest of them the one that is judged"]
    lines += list(_said(window))
    lines.append(f"{len(usable)} of {len(window.inputs)} can be used; it takes {window.given('p')}")
    row = window.decided
    if row is not None and window.result is not None:
        pooled_ = number(row["sum_scaled"], row["decimals"])
        mean = in_unit(window.result, window.unit)
        lines.append(f"sum of the {row['valid_n']} valid {pooled_} / {row['valid_n']} = {mean}")
    return window.step("Several windows together", *lines)


def flow_weighted(window: DerivedWindow) -> Step:
    lines = ["mean = sum of value x flow / sum of flow, over cycles with discharge (HJ 356-2019)"]
    if window.cycles is not None:
        lines += cycle_lines(window.cycles)
    if window.result is not None:
        lines.append(f"flow-weighted mean: {in_unit(window.result, window.unit)}")
    row = window.decided
    if row is not None:
        lines.append(f"{row['expected_n']} cycles with discharge expected, {row['valid_n']} valid")
    facts = {} if window.cycles is None else {"cycles": window.cycles.facts, "disagreement": window.cycles.disagreement}
    return window.step("Flow-weighted mean of the day", *lines, **facts)


def sql(window: DerivedWindow) -> Step:
    means = {
        name: next((one.mean for one in window.inputs if one.factor == its), None) for name, its in window.names.items()
    }
    lines = [f"expression: {window.sql}", *(f"{name} is {its}" for name, its in window.names.items()), *_said(window)]
    with_numbers = re.sub(r"\b[a-z][a-z0-9_]*\b", lambda found: str(means.get(found[0]) or found[0]), window.sql)
    lines += window.equals("it", with_numbers)
    return window.step("Expression", *lines)


def otherwise(window: DerivedWindow) -> Step:
    lines = [one.said for one in window.inputs]
    lines += [f"{name} = {value:g}" for name, value in window.parameters.items()]
    if window.result is not None:
        lines.append(f"result: {in_unit(window.result, window.unit)}")
    return window.step(f"Computed value ({window.kind})", *lines)


BY_KIND: dict[str, Callable[[DerivedWindow], Step]] = {
    "convert_o2": convert_o2,
    "dry": dry,
    "standard_state": standard_state,
    "nox_as_no2": nox_as_no2,
    "mass_rate": mass_rate,
    "total": total,
    "members": members,
    "removal_pct": removal_pct,
    "share_pct": share_pct,
    "deviation_pct": deviation_pct,
    "difference": difference,
    "between": occurrence,
    "beyond": occurrence,
    "equal": equal,
    "high_and_low": high_and_low,
    "treatment_off": treatment_off,
    "synchronous": synchronous,
    "treatment_low": treatment_low,
    "treatment_late": treatment_late,
    "in_sector": in_sector,
    "above_upwind": above_upwind,
    "when": when,
    "pooled": pooled,
    "flow_weighted": flow_weighted,
}


def told(window: DerivedWindow) -> Step:
    return sql(window) if window.kind.startswith("sql:") else BY_KIND.get(window.kind, otherwise)(window)
