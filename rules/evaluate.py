"""Decided windows against bound rules: DECISIONS in, VERDICTS out, in one join.

Compares on integers; divides only to report. A window without a value is never an exceedance and never "within".
"""

import polars as pl

from contracts.frames import INSTANT, VERDICTS, empty, instant
from contracts.reasons import NoJudgement, Verdict

from .bindings import THRESHOLD_EXTRA
from .exact import half_even
from .facts.marked import WHOLE_STOP
from .plan import ASKED, Plan
from .windows.parts import NOT_APPLICABLE

# Verdicts as the rules room passes them on: by binding number, with what episodes need.
JUDGED = pl.Schema(
    {
        "binding": pl.UInt32,
        "point": pl.UInt32,
        "window_at": INSTANT,
        "window_s": pl.Int64,
        "revision": pl.UInt32,
        "decided_at": INSTANT,
        "on_time": pl.Boolean,
        "state": pl.String,
        "reason": pl.String,
        "level": pl.String,
        "value_scaled": pl.Int64,
        "valid_n": pl.UInt32,
        "expected_n": pl.UInt32,
        "which": pl.Int64,  # of its inputs count: a bit each; null: it is no count of inputs
    }
)

_EXTRA = 10**THRESHOLD_EXTRA
_I128 = pl.Int128
# What a window is compared by, as an integer; the mean is divided by n, a number of parts needs no valid value.
STATISTICS: dict[str, pl.Expr] = {
    "mean": pl.col("sum"),
    "sum": pl.col("sum"),
    "range": pl.col("high").cast(_I128) - pl.col("low").cast(_I128),
    "high": pl.col("high").cast(_I128),
    "low": pl.col("low").cast(_I128),
    "present_n": pl.col("present").cast(_I128),
    "over_n": pl.col("over").cast(_I128),
    "invalid_n": pl.col("present").cast(_I128) - pl.col("n").cast(_I128),
}
COUNTS = ("present_n", "over_n", "invalid_n")


# what a reviewed or reviewable fact excuses: the value is shown, nobody is held to it
_EXCUSED = (
    pl.col("excused").is_not_null()
    & ~pl.col("while_stopped")
    & ((pl.col("state") == Verdict.EXCEEDANCE) | pl.col("level").is_not_null())
)


def evaluate(plan: Plan, decisions: pl.DataFrame) -> pl.DataFrame:
    """JUDGED, one row a (binding, decision)."""
    if decisions.is_empty():
        return empty(JUDGED)
    holds = (pl.col("from_at").is_null() | (pl.col("from_at") <= pl.col("window_at"))) & (
        pl.col("to_at").is_null() | (pl.col("window_at") < pl.col("to_at"))
    )
    # editions of a limit that do not reach into the span are left out before the join, not after it
    first, last = instant(decisions["window_at"].min()), instant(decisions["window_at"].max())
    reaching = plan.asked_bindings.filter(
        (pl.col("from_at").is_null() | (pl.col("from_at") <= last))
        & (pl.col("to_at").is_null() | (pl.col("to_at") > first))
    )
    joined = decisions.lazy().join(
        reaching.lazy(),
        left_on=ASKED,
        right_on="asked",
        how="inner",
    )
    n = pl.col("n").cast(_I128)
    numerator = pl.lit(None, _I128)
    for name in plan.statistics:
        numerator = pl.when(pl.col("statistic") == name).then(STATISTICS[name]).otherwise(numerator)
    divisor = (
        pl.when(pl.col("statistic") == "mean").then(pl.max_horizontal(n, pl.lit(1, _I128))).otherwise(pl.lit(1, _I128))
    )
    needs_value = ~pl.col("statistic").is_in(COUNTS)
    has_limit = pl.col("is_limit_reached").is_not_null()
    no_judgement = (
        pl.when(pl.col("while_stopped") & pl.col("excused").ne_missing(WHOLE_STOP))
        .then(pl.lit(NoJudgement.NOT_STOPPED))
        .when(needs_value & pl.col("reason").is_not_null())
        .then("reason")
        .when(needs_value & (pl.col("n") < pl.col("values_min")))
        .then(pl.lit(NoJudgement.TOO_FEW_VALID))
        .when(~has_limit)
        .then(pl.lit(NoJudgement.NO_LIMIT))
    )

    def reached(threshold: str) -> pl.Expr:
        # left/divisor against threshold, both in decimals + THRESHOLD_EXTRA
        right = pl.col(threshold) * pl.col("compared_n")
        left = pl.col("compared") * _EXTRA
        over = pl.when("inclusive").then(left >= right).otherwise(left > right)
        under = pl.when("inclusive").then(left <= right).otherwise(left < right)
        return pl.when("above").then(over).otherwise(under).fill_null(False)

    return (
        _unless_limited(joined.filter(holds), plan)
        .with_columns(numerator=numerator * pl.col("value_mul"), divisor=divisor * pl.col("value_div"))
        .with_columns(reported=half_even(pl.col("numerator"), pl.col("divisor")))
        .with_columns(
            compared=pl.when("rounded").then("reported").otherwise("numerator"),
            compared_n=pl.when("rounded").then(pl.lit(1, _I128)).otherwise("divisor"),
            reason=no_judgement,
            standing_zero=pl.col("except_zero") & (pl.col("high") == 0) & (pl.col("low") == 0),
        )
        .with_columns(
            judged=pl.col("reason").is_null(),
            counts=pl.col("reason").is_null() & ~pl.col("standing_zero").fill_null(False),
        )
        .with_columns(
            level=pl.when(pl.col("counts") & reached("red"))
            .then(pl.lit("red"))
            .when(pl.col("counts") & reached("orange"))
            .then(pl.lit("orange"))
            .when(pl.col("counts") & reached("yellow"))
            .then(pl.lit("yellow")),
            state=pl.when(pl.col("reason").is_in([*NOT_APPLICABLE, str(NoJudgement.NOT_STOPPED)]))
            .then(pl.lit(Verdict.NOT_APPLICABLE))
            .when(~pl.col("judged"))
            .then(pl.lit(Verdict.NO_JUDGEMENT))
            .when(pl.col("counts") & reached("is_limit_reached"))
            .then(pl.lit(Verdict.EXCEEDANCE))
            .otherwise(pl.lit(Verdict.WITHIN)),
        )
        .with_columns(is_excused=_EXCUSED)
        .with_columns(
            level=pl.when(~pl.col("is_excused")).then("level"),
            reason=pl.when("is_excused")
            .then(pl.lit("excused_by_") + pl.col("excused").str.strip_prefix("whole_"))
            .otherwise("reason"),
            state=pl.when("is_excused").then(pl.lit(Verdict.NOT_APPLICABLE)).otherwise("state"),
        )
        .select(
            "binding",
            "point",
            "window_at",
            pl.coalesce("instant_s", "window_s").alias("window_s"),
            "revision",
            "on_time",
            "state",
            "reason",
            "level",
            decided_at="tick",
            # compared exactly; null where the number is too large to be reported
            value_scaled=pl.when(needs_value & (pl.col("n") == 0))
            .then(None)
            .otherwise("reported")
            .cast(pl.Int64, strict=False),
            valid_n="n",
            expected_n="expected",
            which=pl.when("names_inputs").then("high"),
        )
        .collect()
        .match_to_schema(JUDGED)
    )


def _unless_limited(rows: pl.LazyFrame, plan: Plan) -> pl.LazyFrame:
    """Leaves out "no limit configured" of windows for which a dated limit of the same rule holds."""
    if not plan.asked_bindings["is_fallback"].any():
        return rows
    window = ["rule", "point", "window_at", "revision"]
    limited = rows.filter(~pl.col("is_fallback")).select(window)
    return pl.concat(
        [rows.filter(~pl.col("is_fallback")), rows.filter("is_fallback").join(limited, on=window, how="anti")]
    )


def verdicts(plan: Plan, judged: pl.DataFrame) -> pl.DataFrame:
    """VERDICTS: judged rows in the names people use."""
    if judged.is_empty():
        return empty(VERDICTS)
    # a binding's and a point's number are their rows in the plan's tables
    about = plan.bindings.select("rule", "period", "decimals", "limit_scaled", "limit_id")
    named = plan.points.select("partition", "station", "unit", factor="about")
    return (
        judged.hstack(about.select(pl.all().gather(judged["binding"])))
        .hstack(named.select(pl.all().gather(judged["point"])))
        .select(VERDICTS.names())
        .match_to_schema(VERDICTS)
    )
