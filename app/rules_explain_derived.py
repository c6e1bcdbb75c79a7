"""How each kind of derived value is told: one small function a kind, named in BY_KIND.

A new kind of derived point gets its explanation here: a function from a DerivedWindow to a Step. A kind that has none
is told by its inputs and its result. Results are the pipeline's; nothing is computed again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .rules_explain_run import Row
from .rules_explain_words import WHY, Step, in_unit, number, quotient


@dataclass(frozen=True)
class InputWindow:
    """One input as it stood when the derived window was decided; `window` is its row of AGGREGATES, None: undecided."""

    name: str
    unit: str
    window: Row | None

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
        return f"{self.name}: no usable value, {WHY.get(reason, reason)}"  # type: ignore[call-overload]


@dataclass(frozen=True)
class DerivedWindow:
    kind: str
    inputs: dict[str, InputWindow]  # by role, in the order of the derivation
    parameters: dict[str, float]
    unit: str
    decided: Row | None  # AGGREGATES of the derived point

    @property
    def reason(self) -> str | None:
        return None if self.decided is None else self.decided["reason"]  # type: ignore[return-value]

    @property
    def result(self) -> str | None:
        row = self.decided
        if row is None or row["reason"] is not None or not row["valid_n"]:
            return None
        return number(row["max_scaled"], row["decimals"])

    def step(self, title: str, *lines: str) -> Step:
        inputs = {role: {"name": one.name, "mean": one.mean, "unit": one.unit} for role, one in self.inputs.items()}
        facts: dict[str, object] = {
            "kind": self.kind,
            "inputs": inputs,
            "parameters": self.parameters,
            "result": self.result,
            "reason": self.reason,
        }
        closing = [] if self.reason is None else [f"no value: {WHY.get(self.reason, self.reason)}"]  # type: ignore[call-overload]
        return Step(title, [*lines, *closing], facts)


def convert_o2(window: DerivedWindow) -> Step:
    measured, oxygen = window.inputs.values()
    reference = f"{next(iter(window.parameters.values())):g}"
    lines = ["C = Cm x (21 - O2 reference) / (21 - O2), HJ 75-2017", measured.said, oxygen.said]
    lines.append(f"reference O2: {reference} %, from the point's row in points.csv")
    if window.result is not None:
        formula = f"{measured.mean} x (21 - {reference}) / (21 - {oxygen.mean})"
        lines.append(
            f"C = {formula} = {in_unit(window.result, window.unit)} (rounded half to even at the factor's decimals)"
        )
    return window.step("Conversion to the reference O2", *lines)


def treatment_off(window: DerivedWindow) -> Step:
    production, treatment = window.inputs.values()
    on_from = [f"{kw:g} kW" for kw in window.parameters.values()]
    lines = [
        f"{production.said}; production is on from {on_from[0]}",
        f"{treatment.said}; treatment is on from {on_from[1]}",
    ]
    if window.result is not None:
        said = "production on and treatment off" if window.result == "1" else "not both production on and treatment off"
        lines.append(f"{said}: {window.result}")
    return window.step("Production against treatment", *lines)


def otherwise(window: DerivedWindow) -> Step:
    lines = [one.said for one in window.inputs.values()]
    lines += [f"{name} = {value:g}" for name, value in window.parameters.items()]
    if window.result is not None:
        lines.append(f"result: {in_unit(window.result, window.unit)}")
    return window.step(f"Computed value ({window.kind})", *lines)


BY_KIND: dict[str, Callable[[DerivedWindow], Step]] = {"convert_o2": convert_o2, "treatment_off": treatment_off}


def told(window: DerivedWindow) -> Step:
    return BY_KIND.get(window.kind, otherwise)(window)
