"""Rules in the writer's own words: one row-wise SQL expression over means of the same window."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import AfterValidator, Field, model_validator

from contracts.factors import UNITS
from contracts.nearest import suggestion
from contracts.reasons import NoJudgement
from contracts.row_sql import RowSqlError, row_expression

from ..base import Level, RuleBase
from ..bindings import compared
from ..ground import Ground
from ..made.formulas import ROLES, Formula, first_of, mean, reason_of, usable
from .plausibility import WindowPeriod


def _a_name(text: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9_]{0,30}", text):
        raise ValueError(
            f"{text!r} is no name for an expression: small letters, digits and '_', beginning with a letter"
        )
    return text


Alias = Annotated[str, AfterValidator(_a_name)]


class ExpressionRule(RuleBase):
    """A number made of up to four factors of a station, held against the rule's own numbers."""

    kind: Literal["expression"]
    period: WindowPeriod = "hour"
    inputs: dict[Alias, str]  # name in the expression -> factor
    sql: str
    unit: str = "1"
    decimals: Annotated[int, Field(ge=0, le=9)] = 3
    above: dict[Level, float] = Field({})  # levels reached above these numbers ...
    below: dict[Level, float] = Field({})  # ... or below these

    @model_validator(mode="after")
    def _can_be_computed(self) -> "ExpressionRule":
        if not 1 <= len(self.inputs) <= len(ROLES):
            raise ValueError(f"inputs: names {len(self.inputs)} factors; an expression has one to {len(ROLES)}")
        if bool(self.above) == bool(self.below):
            raise ValueError("give either above or below: which level is reached above (below) which number")
        if self.unit not in UNITS:
            hint = suggestion(self.unit, UNITS) or f"; one of {', '.join(UNITS)}"
            raise ValueError(f"unit: {self.unit!r} is no unit{hint}")
        try:
            row_expression(self.sql, list(self.inputs))
        except RowSqlError as error:
            raise ValueError(f"sql: {error}") from error
        return self

    def factors_named(self) -> dict[str, str]:
        return {f"inputs.{name}": factor for name, factor in self.inputs.items()}


def bind(rule: ExpressionRule, ground: Ground) -> list[dict[str, Any]]:
    roles = dict(zip(rule.inputs, ROLES, strict=False))
    rows = []
    kind = f"sql:{rule.id}"
    for station in dict.fromkeys(point["station"] for point in ground.registered):
        found = {name: ground.find(station, factor) for name, factor in rule.inputs.items()}
        numbers = [number for number in found.values() if number is not None]
        if len(numbers) < len(found) or not rule.select.fits(ground.rows[numbers[0]], factor=False):
            continue
        ground.formulas[kind] = _formula(rule, roles)
        out = ground.make(
            station,
            f"${rule.id}",
            kind,
            rule.period,
            {roles[name]: [number] for name, number in found.items() if number is not None},
            about=ground.rows[numbers[0]]["factor"],
            unit=rule.unit,
            decimals=rule.decimals,
            like=ground.rows[numbers[0]],
        )
        levels = {level: Decimal(str(number)) for level, number in (rule.above or rule.below).items()}
        rows.append(compared(ground.rows[out], rule.period, levels, above=bool(rule.above)))
    return rows


def _formula(rule: ExpressionRule, roles: dict[str, str]) -> Formula:
    """A result that is no finite number is no judgement."""
    used = list(roles.values())
    missing = [(~usable(role), reason_of(role, NoJudgement.SIGNAL_MISSING)) for role in used]
    columns = {name: mean(role) for name, role in roles.items()}
    return Formula(
        "".join(used), row_expression(rule.sql, list(rule.inputs)).cast(pl.Float64), first_of(*missing), columns=columns
    )


BINDERS = {ExpressionRule: bind}
