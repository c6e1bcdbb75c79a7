"""Rule files: what one may write in `rules/*.yaml`. Reading the file, with line numbers, is `app.site.files`' part."""

from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.site import Strict

from .base import Level, RuleBase, Select
from .kinds import BINDERS
from .kinds.instruments import FlatLineRule, MissingRule, RejectsRule
from .kinds.limits import LimitRule
from .kinds.treatment import TreatmentOffRule

__all__ = ["FlatLineRule", "Level", "LimitRule", "MissingRule", "RejectsRule", "Rule", "RuleBase", "RuleFile", "Select"]
__all__ += ["TreatmentOffRule"]

Rule: Any = Annotated[reduce(or_, BINDERS), Field(discriminator="kind")]  # one of the kinds


class RuleFile(Strict):
    version: Literal[1]
    rules: tuple[Rule, ...]
