"""The kinds of rules: one module a family, each with what one may write and how it is bound to points.

A binder is given the rule and the ground, has points made that it needs, and returns rows of bindings.BINDINGS.
"""

from collections.abc import Callable
from typing import Any

from ..base import RuleBase
from ..ground import Ground
from . import efficiency, expressions, instruments, limits, park, plausibility, river, treatment

Binder = Callable[[Any, Ground], list[dict[str, Any]]]

BINDERS: dict[type[RuleBase], Binder] = {
    **limits.BINDERS,
    **instruments.BINDERS,
    **plausibility.BINDERS,
    **treatment.BINDERS,
    **efficiency.BINDERS,
    **park.BINDERS,
    **river.BINDERS,
    **expressions.BINDERS,
}
