"""Words for alerts on values that a rule makes of others: what was counted, what it was compared with, in which span.

What they speak of stands in the episode (`made_of`, rules/made_of.py). An episode that was kept without it is told in
general words.
"""

from collections.abc import Callable
from typing import Any

from contracts.catalogue import BEFORE, CONDITION, OTHER, PERIOD, SPAN, UNIT, Language

Row = dict[str, Any]
_NOTHING: Row = {"kind": None, "period": None, "windows": 1, "p": None, "q": None, "inputs": []}


def in_unit(number: str, unit: str, language: Language) -> str:
    """A plain number (pH, a count) has no unit."""
    said = UNIT.get(unit, {}).get(language, unit)
    return number if unit == "1" else f"{number} {said}"


def made_code(episode: Row) -> str:
    """Which text of contracts.catalogue.ALERT: counts and shares, days and factors want words of their own."""
    kind, made = str(episode["kind"]), episode.get("made_of") or _NOTHING
    if kind == "occurrences":
        return "occurrences.share" if episode["unit"] == "%" else "occurrences.count"
    if kind == "deviation" and len({one["factor"] for one in made["inputs"]}) == 1:
        return "deviation.device"  # the device's own mean of a factor from ours
    if kind == "same":
        is_other = any(one["role"] == "b" and one["lag"] == 0 for one in made["inputs"])
        return "same.factor" if is_other else "same.day_before"
    return kind


def made_words(episode: Row, named: Callable[[str], str], language: Language) -> dict[str, str]:
    """part, condition, span, before, other, high_from, low_below; named: a factor's name."""
    made = episode.get("made_of") or _NOTHING
    other = next((one for one in made["inputs"] if one["role"] == "b"), None)
    own = next((one for one in made["inputs"] if one["role"] == "a"), None)
    period = str(episode["period"])
    span = "days" if made["kind"] in ("beyond", "between") and made["windows"] > 1 else period
    return {
        "part": PERIOD[made["period"]][language] if made["period"] else "",
        "condition": _condition(made, own, language),
        "span": SPAN.get(span, {}).get(language, "").format(n=made["windows"]),
        "before": BEFORE.get(period, {}).get(language, ""),
        "other": OTHER[language] if other is None else named(other["factor"]),
        "high_from": _amount(made["p"], own, language),
        "low_below": _amount(made["q"], other, language),
    }


def _condition(made: Row, own: Row | None, language: Language) -> str:
    low, high = made["p"], made["q"]
    if own is None or made["kind"] not in ("beyond", "between") or (low is None and high is None):
        return CONDITION["unknown"][language]
    code = "beyond" if low is not None and high is not None else "above" if low is None else "below"
    if made["kind"] == "between":
        return CONDITION["between"][language].format(low=f"{low:.10g}", high=_amount(high, own, language))
    return CONDITION[code][language].format(low=_amount(low, own, language), high=_amount(high, own, language))


def _amount(number: float | None, of: Row | None, language: Language) -> str:
    if number is None:
        return "-"
    return in_unit(f"{number:.10g}", "1" if of is None else of["unit"], language)
