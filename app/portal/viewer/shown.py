"""A value as a panel shows it: digits, unit, words and colour, as the dashboard's field settings say.

Promises: pure; digits are those of the number, never more than it has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

Json = Mapping[str, Any]
_UNITS = {"percent": "%", "kwatt": "kW", "kwatth": "kWh", "none": "", "short": ""}
_TIMES = ((86400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True)
class Field:
    """How values of one column or panel are shown."""

    unit: str = "none"
    decimals: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    no_value: str = ""
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # value -> text, colour
    steps: tuple[tuple[float | None, str], ...] = ()
    is_coloured: bool = False  # the mapped colour, on the text
    link: tuple[str, str] | None = None
    colour: str | None = None

    @property
    def suffix(self) -> str:
        return (
            self.unit.removeprefix("suffix:").strip() if self.unit.startswith("suffix:") else _UNITS.get(self.unit, "")
        )

    def text(self, value: Any) -> str:
        if value is None:
            return self.no_value or "–"
        if (mapped := self.words.get(key_of(value))) is not None:
            return mapped[0]
        if isinstance(value, str):
            return value
        if self.unit == "s":
            return lasting(float(value))
        said = digits(float(value), self.decimals)
        return f"{said} {self.suffix}" if self.suffix not in ("", "%") else said + self.suffix

    def colour_of(self, value: Any) -> str | None:
        """Of a mapping, else of the highest step that is reached."""
        if value is None:
            return None
        if (mapped := self.words.get(key_of(value))) is not None:
            return mapped[1]
        if isinstance(value, str):
            return None
        reached = [colour for at, colour in self.steps if at is None or value >= at]
        return reached[-1] if reached else None


def field_of(defaults: Json) -> Field:
    """Of a panel's `fieldConfig.defaults`."""
    return Field(
        unit=defaults.get("unit", "none"),
        decimals=defaults.get("decimals"),
        minimum=defaults.get("min"),
        maximum=defaults.get("max"),
        no_value=defaults.get("noValue", ""),
        words=_words(defaults.get("mappings", ())),
        steps=tuple((one["value"], one["color"]) for one in defaults.get("thresholds", {}).get("steps", ())),
    )


def overridden(base: Field, overrides: tuple[Json, ...], name: str) -> Field:
    """The column `name` as the panel's overrides have it."""
    made = dict(base.__dict__)
    for one in overrides:
        if not _matches(one["matcher"], name):
            continue
        for about in one["properties"]:
            key, value = about["id"], about["value"]
            if key == "mappings":
                made["words"] = _words(value)
            elif key == "unit":
                made["unit"] = value
            elif key == "custom.cellOptions":
                made["is_coloured"] = value["type"] == "color-text"
            elif key == "links":
                made["link"] = (value[0]["title"], value[0]["url"])
            elif key == "color":
                made["colour"] = value["fixedColor"]
    return Field(**made)


def _matches(matcher: Json, name: str) -> bool:
    if matcher["id"] == "byRegexp":
        return re.search(matcher["options"].strip("/"), name) is not None
    return matcher["id"] == "byName" and matcher["options"] == name


def key_of(value: Any) -> str:
    """As mappings name it: a whole number without its point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def digits(value: float, decimals: int | None = None) -> str:
    """At most four that count, more only before the point."""
    if decimals is None:
        size = abs(value)
        decimals = 0 if size >= 1000 or size == 0 else 1 if size >= 100 else 2 if size >= 1 else 4
        said = f"{value:,.{decimals}f}"
        said = said.rstrip("0").rstrip(".") if "." in said else said
    else:
        said = f"{value:,.{decimals}f}"
    return "0" if said in ("-0", "") else said


def lasting(seconds: float) -> str:
    for width, name in _TIMES:
        if abs(seconds) >= width:
            return f"{digits(seconds / width, 1)} {name}"
    return f"{digits(seconds, 0)} s"


def civil(at: datetime, zone: str, *, with_date: bool = True, seconds: bool = False) -> str:
    there = at.astimezone(ZoneInfo(zone))
    return there.strftime(("%m-%d " if with_date else "") + ("%H:%M:%S" if seconds else "%H:%M"))


def _words(mappings: Any) -> dict[str, tuple[str, str]]:
    return {
        key: (about["text"], about.get("color", ""))
        for one in mappings
        if one["type"] == "value"
        for key, about in one["options"].items()
    }
