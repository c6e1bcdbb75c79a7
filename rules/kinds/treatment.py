"""Production and the treatment that serves it."""

from decimal import Decimal
from typing import Any, Literal

from contracts.factors import TREATMENT_OFF

from ..base import Level, RuleBase
from ..bindings import compared
from ..ground import Ground


class TreatmentOffRule(RuleBase):
    """Production draws power while the treatment that serves it does not. Judged by minutes with both signals valid."""

    kind: Literal["treatment_off"]
    level: Level = "red"


def bind_treatment_off(rule: TreatmentOffRule, ground: Ground) -> list[dict[str, Any]]:
    rows = []
    for pair in ground.site.pairs:
        out = ground.number[pair.treatment_station, f"{TREATMENT_OFF}:{pair.pair}"]
        point = ground.rows[out]
        if rule.select.fits(point, factor=False):
            rows.append(compared(point, "minute", {rule.level: Decimal(1)}, inclusive=True, limit_scaled=None))
    return rows


BINDERS = {TreatmentOffRule: bind_treatment_off}
