"""What derived points are: one entry a kind, element-wise on the means of its inputs in the same window.

Promises: a copy or a pooled mean is exact; everything else is element-wise on floats and rounded once to the output's
decimals. A window whose inputs cannot be used has a reason and no value. Without a clause it is a project default.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from contracts.reasons import NoJudgement

O2_GUARD_PCT = 20.0  # from here on (21 - O2) is too small to divide by; project default (validity rule VR09)
SCALED_MAX = 9.2e18  # |value| in 10^-decimals must fit Int64
TOTAL_EXTRA = 4  # decimals more, in which the means of several inputs are added up
ROLES = ("a", "b", "c", "d")  # of inputs; a role may have several

P, Q, R = pl.col("p"), pl.col("q"), pl.col("r")


@dataclass(frozen=True)
class Formula:
    """value: Float64 in the output's unit; reason: null where there is a value."""

    roles: str  # its inputs, for example "ab"
    value: pl.Expr
    reason: pl.Expr
    copies: str | None = None  # the role whose sum and n are taken over exactly, instead of a value
    diverges: NoJudgement = NoJudgement.NOT_COMPUTABLE  # what a value that is no finite number is called
    columns: Mapping[str, pl.Expr] = field(default_factory=dict)  # by name, for a value that speaks of them
    is_counted: bool = False  # a window is counted as one, however many values it is of
    counts_inputs: bool = False  # valid and expected are numbers of inputs, and a value without judgement is shown
    which: str | None = None  # the role whose sum stands as the window's highest part: a bit for each input that counts

    @cached_property
    def steps(self) -> list[list[pl.Expr]]:
        """Built once: many small steps would otherwise spend their time on expressions."""
        return list(_steps(self))


def mean(role: str) -> pl.Expr:
    """Of one input its mean; of several the mean of all their parts together."""
    return pl.col(f"sum_{role}").cast(pl.Float64) / pl.col(f"n_{role}").cast(pl.Float64) / pl.col(f"scale_{role}")


def total(role: str) -> pl.Expr:
    """Sum of the means of those of the role's inputs that have one."""
    return pl.col(f"total_{role}").cast(pl.Float64) / const(10.0**TOTAL_EXTRA) / pl.col(f"scale_{role}")


def const(number: float) -> pl.Expr:
    """As a column: Polars divides a column by a number in another way on many rows than on one."""
    return pl.col("scale") * 0.0 + number


def usable(role: str) -> pl.Expr:
    """Every input of the role has a mean that may be judged."""
    return pl.col(f"ok_{role}") == pl.col(f"of_{role}")


def reason_of(role: str, otherwise: NoJudgement = NoJudgement.NO_DATA) -> pl.Expr:
    return pl.col(f"reason_{role}").fill_null(pl.lit(str(otherwise)))


def within(value: pl.Expr, low: pl.Expr, high: pl.Expr) -> pl.Expr:
    """low <= value <= high; a bound that is null does not bind."""
    return (low.is_null() | (value >= low)) & (high.is_null() | (value <= high))


def first_of(*cases: tuple[pl.Expr, pl.Expr | NoJudgement]) -> pl.Expr:
    """The reason of the first case that holds; null where none does."""
    chosen = pl.lit(None, pl.String)
    for condition, reason in reversed(cases):
        said = pl.lit(str(reason)) if isinstance(reason, NoJudgement) else reason
        chosen = pl.when(condition).then(said).otherwise(chosen)
    return chosen


def _crossed(role: str, other: str) -> pl.Expr:
    """A role's mean times what the other's is divided by: equal for equal means, on integers."""
    return pl.col(f"sum_{role}") * pl.col(f"n_{other}").cast(pl.Int128) * pl.col(f"scale_{other}").cast(pl.Int128)


_A = (~usable("a"), reason_of("a"))
_B = (~usable("b"), reason_of("b"))
_STILL = usable("b") & (mean("b") <= 0.0)
_SIGNALS = (~(usable("a") & usable("b")), NoJudgement.SIGNAL_MISSING)

FORMULAS: Mapping[str, Formula] = {
    # C = Cm x (21 - O2ref) / (21 - O2m), HJ 75-2017; a: measured, b: O2 in %; p: reference O2 in %
    "convert_o2": Formula(
        "ab",
        mean("a") * (21.0 - P) / (21.0 - mean("b")),
        first_of(_A, (~usable("b"), NoJudgement.O2_MISSING), (mean("b") >= O2_GUARD_PCT, NoJudgement.O2_NEAR_21)),
        diverges=NoJudgement.O2_NEAR_21,
    ),
    # C(dry) = C(wet) / (1 - Xsw), HJ 75-2017; a: wet concentration, b: moisture in %
    "dry": Formula(
        "ab", mean("a") / (1.0 - mean("b") / const(100.0)), first_of(_A, (~usable("b"), NoJudgement.SIGNAL_MISSING))
    ),
    # C(standard) = C x 101.325 / (Ba + Ps) x (273 + ts) / 273, HJ 75-2017; b: ts in degC, c: Ps in kPa; p: Ba in kPa
    "standard_state": Formula(
        "abc",
        mean("a") * 101.325 / (P + mean("c")) * (273.0 + mean("b")) / const(273.0),
        first_of(_A, (~(usable("b") & usable("c")), NoJudgement.SIGNAL_MISSING)),
    ),
    # NOx = NO x 46 / 30 + NO2 by mass, HJ 75-2017; a: NO, b: NO2
    "nox_as_no2": Formula("ab", mean("a") * 46.0 / const(30.0) + mean("b"), first_of(_A, _B)),
    # G = C x Q, HJ 75-2017 (measured dry concentration, not the converted one); p: kg/h of one C x Q
    # without flow there is no mass, whatever the concentration
    "mass_rate": Formula(
        "ab",
        pl.when(_STILL).then(const(0.0)).otherwise(mean("a") * mean("b") * P),
        first_of((~usable("b"), NoJudgement.FLOW_MISSING), (~usable("a") & ~_STILL, reason_of("a"))),
    ),
    # sum of several; p: a sum that is more than this already may do without those that are missing
    "total": Formula(
        "a",
        total("a"),
        first_of((~usable("a") & ~(total("a") > P).fill_null(False), NoJudgement.MEMBERS_MISSING)),
        counts_inputs=True,
    ),
    # how many of a are 1; b: the same ones by their bit; p: more than this may do without those that are missing
    "members": Formula(
        "ab",
        total("a"),
        first_of((~usable("a") & ~(total("a") > P).fill_null(False), NoJudgement.MEMBERS_MISSING)),
        counts_inputs=True,
        which="b",
    ),
    # 100 x (1 - a / b); p: applies from so much of b on (GB 37822-2019 10.3.2), and where there is any
    "removal_pct": Formula(
        "ab",
        100.0 * (1.0 - total("a") / total("b")),
        first_of(_SIGNALS, ((total("b") < P) | (total("b") <= 0.0), NoJudgement.NOT_APPLICABLE)),
    ),
    # 100 x a / b; p: applies from so much of b on
    "share_pct": Formula(
        "ab", 100.0 * total("a") / total("b"), first_of(_SIGNALS, (total("b") < P, NoJudgement.NOT_APPLICABLE))
    ),
    # 100 x |a - b| / |b|; p: applies from so much of |b| on
    "deviation_pct": Formula(
        "ab",
        100.0 * (mean("a") - mean("b")).abs() / mean("b").abs(),
        first_of(_A, _B, (mean("b").abs() < P, NoJudgement.NOT_APPLICABLE)),
    ),
    "difference": Formula("ab", mean("a") - mean("b"), first_of(_A, _B)),
    # r where p <= a <= q, 0 otherwise
    "between": Formula("a", within(mean("a"), P, Q).cast(pl.Float64) * R, first_of(_A), is_counted=True),
    # r where a < p or a > q, 0 otherwise
    "beyond": Formula("a", (~within(mean("a"), P, Q)).cast(pl.Float64) * R, first_of(_A), is_counted=True),
    # 1 where a >= p and b < q, 0 otherwise
    "high_and_low": Formula("ab", ((mean("a") >= P) & (mean("b") < Q)).cast(pl.Float64), first_of(_SIGNALS)),
    # 1 where a and b are the very same number, 0 otherwise; zeros say nothing
    "equal": Formula(
        "ab",
        (_crossed("a", "b") == _crossed("b", "a")).cast(pl.Float64),
        first_of(_A, _B, (pl.col("sum_a") == 0, NoJudgement.NOT_APPLICABLE)),
        is_counted=True,
    ),
    # 1 where production (a) is on and treatment (b) off, 0 otherwise; p, q: on from so many kW
    "treatment_off": Formula("ab", ((mean("a") >= P) & (mean("b") < Q)).cast(pl.Float64), first_of(_SIGNALS)),
    # r where treatment (b) is on, 0 where it is off, while production (a) is on; nothing else counts
    "synchronous": Formula(
        "ab", (mean("b") >= Q).cast(pl.Float64) * R, first_of(_SIGNALS, (mean("a") < P, NoJudgement.NOT_APPLICABLE))
    ),
    # 1 where production (a) is on and treatment (b) on, but with less than r; 0 otherwise
    "treatment_low": Formula(
        "ab",
        ((mean("a") >= P) & (mean("b") >= Q) & (mean("b") < R)).cast(pl.Float64),
        first_of(_SIGNALS),
    ),
    # 1 where production is on in one window (a), off in its neighbour (c), and treatment (b) off; 0 otherwise
    "treatment_late": Formula(
        "abc",
        ((mean("a") >= P) & (mean("c") < P) & (mean("b") < Q)).cast(pl.Float64),
        first_of((~(usable("a") & usable("b") & usable("c")), NoJudgement.SIGNAL_MISSING)),
    ),
    # a, in windows in which the wind (b, degrees) blows from within q degrees of p
    "in_sector": Formula(
        "ab",
        mean("a"),
        first_of(
            (~usable("b"), NoJudgement.WIND_UNKNOWN),
            ((((mean("b") - P + 540.0) % const(360.0)) - 180.0).abs() > Q, NoJudgement.WIND_ELSEWHERE),
            _A,
        ),
    ),
    # the greatest mean of a (downwind) less the mean of b (upwind), HJ/T 55-2000 by analogy
    "above_upwind": Formula(
        "ab",
        pl.col("high_a").cast(pl.Float64) / pl.col("scale_a") - total("b") / pl.col("ok_b").cast(pl.Float64),
        first_of((pl.col("ok_a") == 0, reason_of("a")), (pl.col("ok_b") == 0, reason_of("b"))),
        counts_inputs=True,
    ),
    # a, in windows in which p <= b <= q (r: 1 leaves out the bounds themselves)
    "when": Formula(
        "ab",
        mean("a"),
        first_of(
            (~usable("b"), NoJudgement.CONDITION_UNKNOWN),
            (
                ~within(mean("b"), P, Q) | ((R == 1.0) & ((mean("b") == P) | (mean("b") == Q))).fill_null(False),
                NoJudgement.NOT_APPLICABLE,
            ),
            _A,
        ),
        copies="a",
    ),
    # mean of all parts of the last windows together; p: so many windows must have a mean
    "pooled": Formula(
        "a", mean("a"), first_of((pl.col("ok_a") < P, reason_of("a", NoJudgement.TOO_FEW_VALID))), copies="a"
    ),
}


def finish(rows: pl.DataFrame, formulas: Mapping[str, Formula]) -> pl.DataFrame:
    """Rows of derived.gathered, with each kind's formula applied: DECISIONS but for period and revision."""
    made = []
    for (kind,), part in rows.partition_by("kind", as_dict=True).items():
        applied = part.lazy()
        for columns in formulas[str(kind)].steps:
            applied = applied.with_columns(columns)
        made.append(applied.select(_FINISHED))
    return pl.concat(made).sort("point", "window_at", "tick").collect()


def _steps(formula: Formula) -> Iterator[list[pl.Expr]]:
    """Columns to add, one step after the other, as each is made of those before."""
    counted = [f"{name}_{role}" for role in formula.roles for name in ("sum", "n", "ok", "total", "present", "over")]
    yield [pl.col(name).fill_null(0) for name in counted]
    yield [column.alias(name) for name, column in formula.columns.items()]
    reason = formula.reason
    if formula.copies is None:
        scaled = (formula.value * pl.col("scale")).round(mode="half_to_even")
        off = ~scaled.is_finite().fill_null(False) | (scaled.abs() >= SCALED_MAX).fill_null(True)
        yield [scaled.alias("scaled"), off.alias("off")]
        reason = pl.when(reason.is_not_null()).then(reason).when("off").then(pl.lit(str(formula.diverges)))
    yield [reason.alias("reason")]
    judged = pl.col("reason").is_null()
    expected = pl.col("of_a") if formula.counts_inputs else pl.max_horizontal(pl.col("window_s") // pl.col("part_s"), 1)
    if formula.counts_inputs:
        yield [pl.when("off").then(0).otherwise("ok_a").alias("n")]
        value = pl.when(pl.col("n") > 0).then("scaled").cast(pl.Int64)
    elif formula.copies is None:
        of = pl.lit(1) if formula.is_counted else pl.max_horizontal("n_a", 1)
        yield [pl.when(judged).then(of).otherwise(0).alias("n")]
        value = pl.when(judged).then("scaled").cast(pl.Int64)
    if formula.copies is None:
        high = value if formula.which is None else pl.col(f"total_{formula.which}") // 10**TOTAL_EXTRA
        yield [value.alias("low"), high.cast(pl.Int64).alias("high")]
        yield [(pl.col("low").fill_null(0).cast(pl.Int128) * pl.col("n").cast(pl.Int128)).alias("sum")]
    else:
        of = {name: pl.col(f"{name}_{formula.copies}") for name in ("sum", "n", "low", "high")}
        sums = [pl.when(judged).then(of[name]).otherwise(0).alias(name) for name in ("sum", "n")]
        yield [*sums, *(pl.when(judged).then(of[name]).alias(name) for name in ("low", "high"))]
    yield [expected.alias("expected")]


_FINISHED = [
    pl.col("window_at", "window_s", "tick", "on_time"),
    pl.col("sum").cast(pl.Int128),
    pl.col("n").cast(pl.UInt32),
    pl.col("low", "high", "reason"),
    pl.col("out").alias("point"),
    pl.col("present_a").cast(pl.UInt32).alias("present"),
    pl.when(pl.col("reason") == str(NoJudgement.OVER_RANGE)).then("over_a").otherwise(0).cast(pl.UInt32).alias("over"),
    pl.col("expected").cast(pl.UInt32),
]
