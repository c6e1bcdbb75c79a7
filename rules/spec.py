"""Rule files: what one may write in `rules/*.yaml`. Reading the file, with line numbers, is `app.site_files`' part."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from contracts.site import Duration, Identifier, Medium, Period, Strict

Level = Literal["yellow", "orange", "red"]


class Select(Strict):
    """Which points; every key given must fit, an absent key fits all."""

    medium: tuple[Medium, ...] = ()
    factor: tuple[str, ...] = ()
    station: tuple[str, ...] = ()
    outlet: tuple[str, ...] = ()


class RuleBase(Strict):
    id: Identifier
    select: Select = Select()
    pending: Duration = timedelta(0)  # event time the condition must hold before an alert fires
    recovery: Duration = timedelta(0)  # event time of judged, good windows before it resolves
    clause: str = ""  # the standard and clause the rule rests on


class LimitRule(RuleBase):
    """Means (or instant values) against the limits assigned to the point's outlet."""

    kind: Literal["limit"]
    period: Period
    limits_of: Period | None = None  # limits of another period: early warning
    levels: dict[Level, Annotated[float, Field(gt=0)]] = Field({"orange": 1.0})  # multiples of the limit

    @model_validator(mode="after")
    def _levels_ascend(self) -> "LimitRule":
        ascending = [self.levels[level] for level in ("yellow", "orange", "red") if level in self.levels]
        if not ascending or ascending != sorted(ascending):
            raise ValueError("levels must name at least one of yellow, orange, red, with rising multiples of the limit")
        return self


class MissingRule(RuleBase):
    """A station is silent: no reading of any of its points, by their event times."""

    kind: Literal["missing"]
    level: Level = "yellow"
    intervals: Annotated[int, Field(ge=1)] = 3  # of the station's shortest interval, and at least `pending`


class FlatLineRule(RuleBase):
    """Every valid value of the window is the same."""

    kind: Literal["flat_line"]
    period: Literal["minute", "hour", "day"] = "hour"
    level: Level = "yellow"
    except_zero: bool = True  # a constant zero is often a plant standing still, which other rules see


class TreatmentOffRule(RuleBase):
    """Production draws power while the treatment that serves it does not. Judged by minutes with both signals valid."""

    kind: Literal["treatment_off"]
    level: Level = "red"


class RejectsRule(RuleBase):
    """Messages of a station are rejected. By receive time: a rejected message has no trustworthy time of its own."""

    kind: Literal["rejects"]
    level: Level = "yellow"
    at_least: Annotated[int, Field(ge=1)] = 3  # a minute


Rule = Annotated[LimitRule | MissingRule | FlatLineRule | TreatmentOffRule | RejectsRule, Field(discriminator="kind")]


class RuleFile(Strict):
    version: Literal[1]
    rules: tuple[Rule, ...]
