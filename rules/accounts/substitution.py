"""What stands in for hours without a valid mass: the one place that knows, for accounts of mass and nothing else.

Promises: numbers and clauses are those of validity_rules.csv; what cannot be substituted stays unknown, with a reason;
a substituted hour says from which hours. Does not promise that a clause was read: that is its row's status.
"""

from collections.abc import Mapping
from fractions import Fraction

import polars as pl

from contracts.frames import INSTANT
from contracts.reasons import Substituted, Unsubstituted

from ..exact import half_even
from ..facts.tables import weaker
from ..tables.reference import ValidityRule, validity_rules
from .masses import WINDOWS, rated

# HJ 75-2017: the greatest mass of valid hours before the gap, by the quarter's capture of valid hours
CAPTURE, FULL, PARTIAL = "VR10", "VR11", "VR12"
# HJ 356-2019: mean of the preceding period of equal length, of concentration and flow each
PRECEDING = "VR25"
NAMED = ("a21026", "a21002", "a34013")  # SO2, NOx, PM: HJ 75-2017 and HJ 1122-2020 speak of no others
STOP_TYPES = ("no_production", "out_of_service")  # of mark_types.csv: those that say nothing was produced

HOURS = pl.Schema(
    {
        **{name: WINDOWS[name] for name in ("series", "window_at", "seconds", "quarter_at", "is_stopped")},
        "rate": pl.Int64,  # mg/h, measured or substituted; null: unknown
        "reason": pl.String,  # contracts.reasons.NoJudgement: why it was not measured
        "state": pl.String,  # measured, substituted, unknown, stopped
        "due_s": pl.Int64,  # of the quarter so far: without stops
        "valid_s": pl.Int64,  # ... and of these, those with a valid mass
        "what": pl.String,  # contracts.reasons.Substituted
        "unknown": pl.String,  # contracts.reasons.Unsubstituted
        "rule": pl.String,  # id in validity_rules.csv
        "of_n": pl.Int64,  # valid windows the mass or concentration is of, ...
        "of_wanted": pl.Int64,  # ... and how many the rule asks for, where there are so many
        "of_from": INSTANT,  # from the first of them ...
        "of_to": INSTANT,  # ... to the end of the last
        "flow_of_n": pl.Int64,  # the same of the flow, where it is substituted by itself
        "flow_of_wanted": pl.Int64,
        "flow_of_from": INSTANT,
        "flow_of_to": INSTANT,
    }
)
_KEYS = ("series", "before")


def rests_on(rule: str, medium: str, factor: str) -> tuple[ValidityRule, str]:
    """The row of validity_rules.csv, and how sure it is of the medium and factor; unverified where it names another."""
    row = validity_rules()[rule]
    is_named = row.medium == medium and (medium != "flue_gas" or factor in NAMED)
    return row, weaker(row.status, "verified" if is_named else "unverified")


def substituted(
    windows: pl.DataFrame, series: pl.DataFrame, rules: Mapping[str, ValidityRule] | None = None
) -> pl.DataFrame:
    """HOURS of masses.WINDOWS, which reach as far before the gaps as valid windows are wanted from.

    rules: by id, in place of validity_rules.csv.
    """
    due = ~pl.col("is_stopped")
    valid = due & pl.col("rate").is_not_null()
    rows = (
        windows.join(series.select("series", "medium", "period"), on="series", how="left")
        .sort("series", "window_at")
        .with_columns(
            pl.when(due).then("seconds").otherwise(0).sum().over("series", "quarter_at").alias("due_s"),
            pl.when(valid).then("seconds").otherwise(0).sum().over("series", "quarter_at").alias("valid_s"),
        )
    )
    is_water = pl.col("medium") == "waste_water"
    made = pl.concat(
        [_by_greatest(rows.filter(~is_water), rules or validity_rules()), _by_mean(rows.filter(is_water), series)]
    )
    state = (
        pl.when("is_stopped")
        .then(pl.lit("stopped"))
        .when(pl.col("what").is_not_null())
        .then(pl.lit("substituted"))
        .when(pl.col("rate").is_not_null())
        .then(pl.lit("measured"))
        .otherwise(pl.lit("unknown"))
    )
    return made.with_columns(state=state).select(HOURS.names()).match_to_schema(HOURS).sort("series", "window_at")


def capture_at_least(pct: object) -> pl.Expr:
    """Whether the quarter's valid hours are so many percent of those that were due (VR10)."""
    share = Fraction(str(pct)) / 100
    return pl.col("valid_s") * share.denominator >= pl.col("due_s") * share.numerator


def _by_greatest(rows: pl.DataFrame, rules: Mapping[str, ValidityRule]) -> pl.DataFrame:
    """A missing hour takes the greatest mass of so many valid hours before its gap; stops count as no hours at all."""
    full, partial = rules[FULL], rules[PARTIAL]
    due = ~pl.col("is_stopped")
    valid, missing = due & pl.col("rate").is_not_null(), due & pl.col("rate").is_null()
    gap_s = pl.when(missing).then("seconds").otherwise(0).sum().over(_KEYS)
    short_s = int(full.number("gap_h") * 3600)
    short, long, most = (
        int(number)
        for number in (full.number("short_gap_hours"), full.number("long_gap_hours"), partial.number("hours"))
    )
    is_full = capture_at_least(full.number("capture_pct"))
    is_partial = capture_at_least(partial.number("capture_from_pct"))
    wanted = (
        pl.when(pl.col("period") != "hour")
        .then(None)
        .when(is_full & (gap_s <= short_s))
        .then(short)
        .when(is_full)
        .then(long)
        .when(is_partial)
        .then(most)
    )
    rows = rows.with_columns(before=valid.cum_sum().over("series").cast(pl.Int64))
    rows = rows.with_columns(of_wanted=pl.when(missing).then(wanted).cast(pl.Int64), is_missing=missing)
    asked = rows.filter(pl.col("of_wanted").is_not_null()).select(*_KEYS, "of_wanted").unique()
    held = rows.filter(valid).select(*_KEYS, "rate", "window_at", ends_at=_ends_at())
    found = [
        held.select(
            *_KEYS,
            pl.lit(n, pl.Int64).alias("of_wanted"),
            pl.col("rate").rolling_max(n, min_samples=1).over("series").alias("greatest"),
            pl.min_horizontal("before", pl.lit(n)).cast(pl.Int64).alias("of_n"),
            pl.col("window_at").shift(n - 1).over("series").fill_null(_first("window_at")).alias("of_from"),
            pl.col("ends_at").alias("of_to"),
        ).join(asked, on=[*_KEYS, "of_wanted"], how="semi")
        for n in sorted({short, long, most})
    ]
    rows = rows.join(pl.concat(found), on=[*_KEYS, "of_wanted"], how="left", maintain_order="left")
    is_found = pl.col("greatest").is_not_null()
    unknown = (
        pl.when(~is_partial)
        .then(pl.lit(str(Unsubstituted.CAPTURE_TOO_LOW)))
        .when(pl.col("of_wanted").is_null())
        .then(pl.lit(str(Unsubstituted.BY_THE_DAY)))
        .otherwise(pl.lit(str(Unsubstituted.NOTHING_BEFORE)))
    )
    rule = pl.when(is_full).then(pl.lit(FULL)).when(is_partial).then(pl.lit(PARTIAL)).otherwise(pl.lit(CAPTURE))
    return rows.with_columns(
        rate=pl.coalesce("rate", "greatest"),
        what=pl.when(is_found).then(pl.lit(str(Substituted.MASS))),
        unknown=pl.when(pl.col("is_missing") & ~is_found).then(unknown),
        rule=pl.when("is_missing").then(rule),
        **{f"flow_{name}": pl.lit(None, HOURS[name]) for name in ("of_n", "of_wanted", "of_from", "of_to")},
    ).select(_MADE)


def _by_mean(rows: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """A missing concentration or flow takes the mean of as many valid ones before its gap as the gap is long.

    Hours without discharge need no concentration: they lengthen no gap and give no value, though the flow is counted.
    """
    due = ~pl.col("is_stopped")
    rows = _mean_before(rows.with_columns(counts=due), "b")
    still = (pl.col("n_b") > 0) & (pl.col("sum_b") <= 0)
    rows = _mean_before(rows.with_columns(counts=due & ~still), "a")
    concentration, flow = pl.col("n_a_before").is_not_null(), pl.col("n_b_before").is_not_null()
    rows = rows.with_columns(
        what=pl.when(concentration & flow)
        .then(pl.lit(str(Substituted.BOTH)))
        .when(concentration)
        .then(pl.lit(str(Substituted.CONCENTRATION)))
        .when(flow)
        .then(pl.lit(str(Substituted.FLOW))),
        was=pl.col("rate"),
        why=pl.col("reason"),
        reason_a=pl.lit(None, pl.String),
        reason_b=pl.lit(None, pl.String),
    )
    rows = rated(rows, series).with_columns(rate=pl.coalesce("was", "rate"), reason=pl.col("why"))
    is_missing = due & pl.col("was").is_null()
    is_found = is_missing & pl.col("rate").is_not_null()
    told_of = {
        f"{out}of_{name}": pl.when(is_found).then(f"{name}_{role}_before")
        for role, out in (("a", ""), ("b", "flow_"))
        for name in ("n", "from", "to")
    }
    wanted = {f"{out}of_wanted": pl.col(f"gap_{role}") for role, out in (("a", ""), ("b", "flow_"))}
    return rows.with_columns(
        **told_of,
        **{name: pl.when(is_missing).then(gap).cast(pl.Int64) for name, gap in wanted.items()},
        what=pl.when(is_found).then("what"),
        unknown=pl.when(is_missing & ~is_found).then(pl.lit(str(Unsubstituted.NOTHING_BEFORE))),
        rule=pl.when(is_missing).then(pl.lit(PRECEDING)),
        rate=pl.when(due).then("rate").otherwise("was"),
    ).select(_MADE)


def _mean_before(rows: pl.DataFrame, role: str) -> pl.DataFrame:
    """sum_ and n_ of the role where they are missing: of the valid means before the gap; and what they are of.

    counts: whether the row is on the role's time line at all.
    """
    total, n = f"sum_{role}", f"n_{role}"
    valid = pl.col("counts") & (pl.col(n) > 0)
    missing = pl.col("counts") & (pl.col(n) == 0)
    rows = rows.with_columns(before=valid.cum_sum().over("series").cast(pl.Int64), is_missing=missing)
    gap = pl.col("is_missing").cast(pl.Int64).sum().over(_KEYS)
    rows = rows.with_columns(pl.when("is_missing").then(gap).alias(f"gap_{role}"))
    rows = rows.with_columns(
        first=pl.max_horizontal(pl.col("before") - pl.col(f"gap_{role}"), pl.lit(0)).cast(pl.Int64)
    )
    mean = half_even(pl.col(total), pl.col(n).cast(pl.Int128))
    held = rows.filter(valid).select(*_KEYS, "window_at", ends_at=_ends_at(), upto=mean.cum_sum().over("series"))
    last = held.select(*_KEYS, pl.col("ends_at").alias(f"to_{role}_before"), upto_last="upto")
    earlier = held.select("series", pl.col("before").alias("first"), upto_first="upto")
    begins = held.select(
        "series", (pl.col("before") - 1).alias("first"), pl.col("window_at").alias(f"from_{role}_before")
    )
    rows = (
        rows.join(last, on=_KEYS, how="left", maintain_order="left")
        .join(earlier, on=["series", "first"], how="left", maintain_order="left")
        .join(begins, on=["series", "first"], how="left", maintain_order="left")
    )
    is_found = pl.col("is_missing") & (pl.col("before") > 0)
    summed = pl.col("upto_last") - pl.col("upto_first").fill_null(pl.lit(0, pl.Int128))
    of_n = pl.when(is_found).then(pl.col("before") - pl.col("first"))
    rows = rows.with_columns(of_n.alias(f"n_{role}_before"), summed.alias("summed"))
    return rows.with_columns(
        pl.when(is_found).then("summed").otherwise(total).alias(total),
        pl.when(is_found).then(f"n_{role}_before").otherwise(n).alias(n),
        *(pl.when(is_found).then(name).alias(name) for name in (f"from_{role}_before", f"to_{role}_before")),
    ).drop("before", "first", "upto_last", "upto_first", "summed", "is_missing")


def gaps(hours: pl.DataFrame) -> pl.DataFrame:
    """One row a stretch of windows substituted alike, or unknown for one reason: from_at, to_at, windows, seconds,
    mass_mg (null where it is unknown), and the columns of HOURS that say why and of what."""
    alike = ("state", "what", "unknown", "rule", "of_n", "of_wanted", "of_from", "of_to")
    flow = ("flow_of_n", "flow_of_wanted", "flow_of_from", "flow_of_to")
    key = ("series", "quarter_at", *alike, *flow)
    rows = hours.filter(~pl.col("is_stopped")).sort("series", "window_at").with_columns(run=pl.struct(key).rle_id())
    product = pl.col("rate").cast(pl.Int128) * pl.col("seconds").cast(pl.Int128)
    return (
        rows.filter(pl.col("state").is_in(["substituted", "unknown"]))
        .group_by("run", *key)
        .agg(
            from_at=pl.col("window_at").min(),
            to_at=_ends_at().max(),
            windows=pl.len(),
            seconds=pl.col("seconds").sum(),
            mass_mg=pl.when(pl.col("rate").first().is_not_null()).then(
                half_even(product.sum(), pl.lit(3600, pl.Int128))
            ),
            reason=pl.col("reason").mode(maintain_order=True).first(),
        )
        .sort("series", "from_at")
        .drop("run")
    )


def _ends_at() -> pl.Expr:
    return pl.col("window_at") + pl.duration(seconds="seconds")


def _first(name: str) -> pl.Expr:
    return pl.col(name).first().over("series")


_MADE = [*(name for name in HOURS if name != "state")]
