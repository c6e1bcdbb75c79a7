"""Rejudging: verdicts as they would have been beside those the archive has.

Promises: a verdict is the same one when rule, station, factor, limit, period and window are; it changes when what it
says does: not when it was decided, nor how often. Counts are exact, whatever is shown of them.
"""

from dataclasses import dataclass

import polars as pl

from contracts.frames import VERDICTS
from rules.evaluate import JUDGED
from rules.plan import Plan

from ..rule_tests.diff import VERDICT_CONTENT, VERDICT_KEY
from .archive import looked_up

CHANGES = pl.Schema(
    {
        **{name: VERDICTS[name] for name in VERDICT_KEY},
        "what": pl.String,  # appears, vanishes, changes
        **{f"old_{name}": VERDICTS[name] for name in VERDICT_CONTENT},  # as archived; null: there was none
        **{f"new_{name}": VERDICTS[name] for name in VERDICT_CONTENT},
    }
)
_ABOUT = ("rule", "station", "factor", "limit_id", "period")
_OF_BINDING = ("decimals", "unit", "limit_scaled")
WINDOW = ("binding", "window_at")  # a binding's number is its place in the order of rule, point and limit


@dataclass(frozen=True)
class Numbers:
    """Which binding a verdict has in the new plan, and which it had in the old one."""

    new: pl.DataFrame  # binding, _ABOUT, decimals, unit, limit_scaled; a binding's number is its row
    both: pl.DataFrame  # _ABOUT, binding, old_binding; null: that plan has none

    @classmethod
    def of(cls, old: Plan, new: Plan) -> "Numbers":
        named = _named(new)
        hers = named.select(*_ABOUT, "binding").unique(_ABOUT, keep="first")
        his = _named(old).select(*_ABOUT, pl.col("binding").alias("old_binding")).unique(_ABOUT, keep="first")
        return cls(named, hers.join(his, on=list(_ABOUT), how="full", coalesce=True, nulls_equal=True))

    def numbered(self, verdicts: pl.DataFrame) -> pl.DataFrame:
        """VERDICTS with `binding` and `old_binding`."""
        return looked_up(verdicts, self.both, _ABOUT)


def _named(plan: Plan) -> pl.DataFrame:
    named = plan.points.select("point", "station", "unit", factor="about")
    about = plan.bindings.select("binding", "rule", "point", "period", "decimals", "limit_scaled", "limit_id")
    return about.join(named, on="point", how="left", maintain_order="left").select("binding", *_ABOUT, *_OF_BINDING)


def changes(new: pl.DataFrame, old: pl.DataFrame, numbers: Numbers) -> tuple[pl.DataFrame, int]:
    """CHANGES in the order of rule, point, limit and window, vanished rules last; and how many verdicts are the same.

    new: JUDGED, one row a WINDOW, in that order. old: VERDICTS, one row a verdict, with the new plan's `binding`.
    """
    key = list(WINDOW)
    named = numbers.new
    content = {name: pl.col(name) for name in VERDICT_CONTENT if name in JUDGED}
    hers = new.select(*key, **content).hstack(named.select(_OF_BINDING)[new["binding"]])
    mine = old.filter(pl.col("binding").is_not_null()).select(*key, *VERDICT_CONTENT).sort(key, maintain_order=True)
    hers = hers.select(*key, pl.col(VERDICT_CONTENT).name.prefix("new_"))
    mine = mine.select(*key, pl.col(VERDICT_CONTENT).name.prefix("old_"))
    if hers.select(key).equals(mine.select(key)):  # as nearly always, where only numbers of rules or limits differ
        both = hers.hstack(mine.drop(key))
    else:
        both = hers.join(mine, on=key, how="full", coalesce=True).sort(key)
    is_new, is_old = pl.col("new_state").is_not_null(), pl.col("old_state").is_not_null()
    differs = pl.any_horizontal(pl.col(f"new_{name}").ne_missing(pl.col(f"old_{name}")) for name in VERDICT_CONTENT)
    changed = both.filter(differs).with_columns(
        what=pl.when(is_new & is_old)
        .then(pl.lit("changes"))
        .when(is_new)
        .then(pl.lit("appears"))
        .otherwise(pl.lit("vanishes"))
    )
    about = changed.hstack(named.select(_ABOUT)[changed["binding"]])
    gone = (
        old.filter(pl.col("binding").is_null())
        .sort(VERDICT_KEY)
        .select(*VERDICT_KEY, pl.lit("vanishes").alias("what"), pl.col(VERDICT_CONTENT).name.prefix("old_"))
    )
    found = pl.concat([about, gone], how="diagonal").select(
        name if name in about.columns else pl.lit(None, dtype).alias(name) for name, dtype in CHANGES.items()
    )
    return found.match_to_schema(CHANGES), both.height - changed.height


def counts(changed: pl.LazyFrame) -> pl.DataFrame:
    """rule, station, factor, period, appears, vanishes, changes: one row a series that differs anywhere."""
    return (
        changed.group_by("rule", "station", "factor", "period")
        .agg((pl.col("what") == what).sum().alias(what) for what in ("appears", "vanishes", "changes"))
        .sort("rule", "station", "factor", "period")
        .collect()
    )
