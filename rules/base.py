"""What every rule may say: its name, what it selects, how long something must last."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from contracts.site import Duration, Identifier, Medium, Strict

Level = Literal["yellow", "orange", "red"]


class Select(Strict):
    """Which points; every key given must fit, an absent key fits all."""

    medium: tuple[Medium, ...] = ()
    factor: tuple[str, ...] = ()
    station: tuple[str, ...] = ()
    outlet: tuple[str, ...] = ()

    def fits(self, point: dict[str, object], *, factor: bool = True) -> bool:
        """point: a row of POINTS. factor: false for a point the pipeline makes, which nobody selects by its factor."""
        return (
            (not self.medium or point["medium"] in self.medium)
            and (not factor or not self.factor or point["factor"] in self.factor)
            and (not self.station or point["station"] in self.station)
            and (not self.outlet or point["outlet"] in self.outlet)
        )


class RuleBase(Strict):
    id: Identifier
    select: Select = Select()
    pending: Duration = timedelta(0)  # event time the condition must hold before an alert fires
    recovery: Duration = timedelta(0)  # event time of judged, good windows before it resolves
    hysteresis_pct: Annotated[float, Field(ge=0, lt=100)] = 0  # good again: so far within the mildest level, of it
    clause: str = ""  # the standard and clause the rule rests on

    def factors_named(self) -> dict[str, str]:
        """Key -> factor, of those the rule names beside what it selects by."""
        return {}


class RuleProblem(ValueError):
    """A rule that cannot be bound; `rule` and `key` say where."""

    def __init__(self, rule: str, key: str, message: str):
        super().__init__(f"rule {rule}: {key}: {message}")
        self.rule, self.key, self.message = rule, key, message
