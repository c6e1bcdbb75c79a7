"""Mass by the hour: which outlets have one, which hours were due, and what was measured in each of them.

Promises: a rate is the one `kg_<factor>` has, where a rule asks for that; an hour nothing is known of has a reason and
no rate. Does not promise a judgement: nothing that judges reads these frames. Missing hours: substitution.py.
"""

from collections.abc import Iterable
from datetime import datetime

import polars as pl

from contracts.civil_time import PERIODS, window_end, window_start
from contracts.factors import UNITS
from contracts.frames import INSTANT
from contracts.site import Site

from ..exact import half_even
from ..made.formulas import FORMULAS, finish
from ..made.mass import DECIMALS, DISCHARGING, mass_rate
from ..plan import ground_of

# One row a station and factor whose mass is known while concentration and flow are.
SERIES = pl.Schema(
    {
        "series": pl.UInt32,
        "outlet": pl.String,
        "station": pl.String,
        "factor": pl.String,
        "medium": pl.String,
        "period": pl.String,  # hour; day where the analyser takes longer than an hour
        "point": pl.UInt32,  # of the factor, as rules.plan.ground_of numbers it
        "concentration": pl.String,  # the factors whose archived windows it is made of
        "flow": pl.String,
        "unit_a": pl.String,  # of the concentration, ...
        "unit_b": pl.String,  # ... of the flow, and of how many decimals each is an integer
        "decimals_a": pl.UInt8,
        "decimals_b": pl.UInt8,
        "p": pl.Float64,  # kg/h of one concentration x flow
        "valid_from": pl.Date,  # days on which both point and station are registered
        "valid_to": pl.Date,
    }
)

# One row a window of a series that was decided, whether data came or not.
WINDOWS = pl.Schema(
    {
        "series": pl.UInt32,
        "window_at": INSTANT,
        "seconds": pl.Int64,
        "quarter_at": INSTANT,  # start of its quarter, in the site's civil time
        "is_stopped": pl.Boolean,  # a stop of production covers all of it: it was not due
        "sum_a": pl.Int128,  # of the concentration's valid parts, and how many they are; 0 where it may not be used
        "n_a": pl.Int64,
        "sum_b": pl.Int128,  # of the flow's
        "n_b": pl.Int64,
        "rate": pl.Int64,  # mg/h, measured; null: not known
        "reason": pl.String,  # contracts.reasons.NoJudgement: why it is not
    }
)
_IN_MASS = ("mass per gas volume", "mass per water volume")
_RATED = ("series", "window_at", "seconds", "sum_a", "n_a", "sum_b", "n_b", "reason_a", "reason_b")


def mass_series(site: Site) -> pl.DataFrame:
    """SERIES of the site's discharging outlets, by outlet, station, factor."""
    ground, _ = ground_of(site)
    outlet_of = {one.outlet: one for one in site.outlets}
    station_of = {one.station: one for one in site.stations}
    rows = []
    for point in site.points:
        outlet = outlet_of[station_of[point.station].outlet]
        is_mass = UNITS[site.factors[point.factor].unit][0] in _IN_MASS
        made = mass_rate(ground, point.station, point.factor, "day") if is_mass else None
        if made is None or outlet.medium not in DISCHARGING:
            continue
        (how,) = (row for row in ground.derived if row["out"] == made)
        a, b = (
            ground.rows[next(row["point"] for row in ground.inputs if row["out"] == made and row["role"] == role)]
            for role in "ab"
        )
        dated = (point, station_of[point.station])
        rows.append(
            {
                "outlet": outlet.outlet,
                "station": point.station,
                "factor": point.factor,
                "medium": outlet.medium,
                "period": how["period"],
                "point": ground.number[point.station, point.factor],
                "concentration": a["factor"],
                "flow": b["factor"],
                "unit_a": a["unit"],
                "unit_b": b["unit"],
                "decimals_a": a["decimals"],
                "decimals_b": b["decimals"],
                "p": how["p"],
                "valid_from": max((one.valid_from for one in dated if one.valid_from is not None), default=None),
                "valid_to": min((one.valid_to for one in dated if one.valid_to is not None), default=None),
            }
        )
    made = pl.DataFrame(rows, schema={name: dtype for name, dtype in SERIES.items() if name != "series"})
    return made.sort("outlet", "station", "factor").with_row_index("series").match_to_schema(SERIES)


def grid(series: pl.DataFrame, from_at: datetime, to_at: dict[str, datetime], zone_name: str) -> pl.DataFrame:
    """series, window_at, seconds, quarter_at of every window that starts in [from_at, to_at of its period) on a day
    the series is registered."""
    made = [pl.DataFrame(schema={name: WINDOWS[name] for name in ("series", "window_at", "seconds", "quarter_at")})]
    for (period,), its in series.partition_by("period", as_dict=True).items():
        starts = pl.datetime_range(
            window_start(pl.lit(from_at, INSTANT), str(period), zone_name).dt.convert_time_zone(zone_name),
            pl.lit(to_at[str(period)], INSTANT).dt.convert_time_zone(zone_name),
            PERIODS[str(period)],
            closed="left",
        )
        at = pl.col("window_at")
        windows = pl.select(window_at=starts.dt.convert_time_zone("UTC").dt.cast_time_unit("us")).with_columns(
            seconds=(window_end(at, str(period), zone_name) - at).dt.total_seconds(),
            quarter_at=window_start(at, "quarter", zone_name),
            day=at.dt.convert_time_zone(zone_name).dt.date(),
        )
        made.append(
            its.select("series", "valid_from", "valid_to")
            .join(windows, how="cross")
            .filter((pl.col("window_at") >= from_at) & (pl.col("day") >= pl.col("valid_from")).fill_null(True))
            .filter((pl.col("day") <= pl.col("valid_to")).fill_null(True))
            .select("series", "window_at", "seconds", "quarter_at")
        )
    return pl.concat(made)


def measured(
    windows: pl.DataFrame, aggregates: pl.DataFrame, stops: pl.DataFrame, series: pl.DataFrame
) -> tuple[pl.DataFrame, int]:
    """WINDOWS of `grid`, sorted by series and time; and how many archived windows are in another unit or of other
    decimals than the registry's, and were left out.

    aggregates: frames.AGGREGATES, of each window its last revision. stops: stopped().
    """
    rows, others = windows.with_columns(is_stopped=_is_covered(windows, stops)), 0
    for role, name in (("a", "concentration"), ("b", "flow")):
        its = series.select(
            "series", "station", "period", "unit_" + role, "decimals_" + role, factor=pl.col(name)
        ).join(aggregates, on=["station", "period", "factor"])
        alike = (pl.col("unit") == pl.col("unit_" + role)) & (pl.col("decimals") == pl.col("decimals_" + role))
        others += its.filter(~alike).height
        usable = pl.col("reason").is_null() & (pl.col("valid_n") > 0)
        found = its.filter(alike).select(
            "series",
            "window_at",
            pl.when(usable).then("sum_scaled").otherwise(0).cast(pl.Int128).alias("sum_" + role),
            pl.when(usable).then("valid_n").otherwise(0).cast(pl.Int64).alias("n_" + role),
            pl.col("reason").alias("reason_" + role),
        )
        rows = rows.join(found, on=["series", "window_at"], how="left")
    rows = rows.with_columns(
        pl.col("sum_a", "sum_b").fill_null(pl.lit(0, pl.Int128)), pl.col("n_a", "n_b").fill_null(0)
    ).sort("series", "window_at")
    return rated(rows, series).match_to_schema(WINDOWS, extra_columns="ignore"), others


def rated(rows: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """The rows, in their order, with the mass `rate` and its `reason` by the one formula there is of it.

    rows: series, window_at, seconds, and per role a (concentration) and b (flow) sum_ n_ reason_.
    """
    about = series.select(
        "series",
        "p",
        scale_a=pl.lit(10.0).pow(pl.col("decimals_a").cast(pl.Float64)),
        scale_b=pl.lit(10.0).pow(pl.col("decimals_b").cast(pl.Float64)),
    )
    asked = rows.select(_RATED).join(about, on="series", how="left", maintain_order="left").with_row_index("out")
    for role in "ab":
        usable = pl.col("n_" + role) > 0
        asked = asked.with_columns(
            pl.lit(1).alias("of_" + role),
            usable.cast(pl.Int64).alias("ok_" + role),
            pl.lit(0, pl.Int128).alias("total_" + role),
            pl.lit(0).alias("over_" + role),
            pl.col("n_" + role).alias("present_" + role),
        )
    asked = asked.with_columns(
        kind=pl.lit("mass_rate"),
        tick=pl.col("window_at"),
        on_time=pl.lit(True),
        window_s=pl.col("seconds"),
        part_s=pl.col("seconds"),
        scale=pl.lit(10.0**DECIMALS),
        q=pl.lit(None, pl.Float64),
        r=pl.lit(None, pl.Float64),
    )
    if asked.is_empty():
        return rows.with_columns(rate=pl.lit(None, pl.Int64), reason=pl.lit(None, pl.String))
    made = finish(asked, FORMULAS).sort("point")
    return rows.with_columns(rate=made["low"], reason=made["reason"])


def stopped(effects: pl.DataFrame, series: pl.DataFrame, types: Iterable[str], known_by: datetime) -> pl.DataFrame:
    """series, from_at, to_at, disjoint and sorted: when production stood still, by approved stops and by marks of these
    types as they held at a tick.

    effects: contracts.facts.EFFECTS, of points as rules.plan.ground_of numbers them. A stop without an end holds on.
    """
    is_stop = (pl.col("kind") == "stop") | ((pl.col("kind") == "mark") & pl.col("type").is_in(list(types)))
    holds = (pl.col("tick") <= known_by) & (pl.col("until").is_null() | (pl.col("until") > known_by))
    found = (
        effects.filter(is_stop & holds)
        .join(series.select("series", "point"), on="point")
        .select("series", "from_at", pl.col("to_at").fill_null(known_by))
        .sort("series", "from_at", "to_at")
    )
    reached = pl.col("to_at").cum_max().shift(1).over("series")
    begins = (pl.col("from_at") > reached).fill_null(True)
    return (
        found.with_columns(stretch=begins.cum_sum().over("series"))
        .group_by("series", "stretch")
        .agg(pl.col("from_at").min(), pl.col("to_at").max())
        .sort("series", "from_at")
        .drop("stretch")
    )


def _is_covered(windows: pl.DataFrame, stops: pl.DataFrame) -> pl.Series:
    """Whether one stop covers all of the window."""
    at = windows.select("series", "window_at", "seconds").with_row_index("row").sort("series", "window_at")
    found = at.join_asof(
        stops,
        left_on="window_at",
        right_on="from_at",
        by="series",
        strategy="backward",
        check_sortedness=False,
    )
    ends_at = pl.col("window_at") + pl.duration(seconds="seconds")
    return found.sort("row").select((ends_at <= pl.col("to_at")).fill_null(False)).to_series()


def totals(hours: pl.DataFrame, by: str, zone_name: str) -> pl.DataFrame:
    """One row a series and civil period (day, month, quarter): mass in mg, hours in seconds, capture of its quarter.

    hours: substitution.HOURS. An unknown hour adds nothing and is counted: a mass beside one is a lower bound.
    """
    is_measured = pl.col("state").is_in(["measured", "stopped"]) & pl.col("rate").is_not_null()

    def mass(where: pl.Expr) -> pl.Expr:
        product = pl.when(where).then(pl.col("rate").cast(pl.Int128) * pl.col("seconds").cast(pl.Int128)).otherwise(0)
        return half_even(product.cast(pl.Int128).sum(), pl.lit(3600, pl.Int128))

    def seconds(state: str) -> pl.Expr:
        return pl.col("seconds").filter(pl.col("state") == state).sum()

    return (
        hours.with_columns(from_at=window_start(pl.col("window_at"), by, zone_name))
        .group_by("series", "quarter_at", "from_at")
        .agg(
            measured_mg=mass(is_measured),
            in_stops_mg=mass(is_measured & (pl.col("state") == "stopped")),
            substituted_mg=mass(pl.col("state") == "substituted"),
            measured_s=seconds("measured"),
            substituted_s=seconds("substituted"),
            unknown_s=seconds("unknown"),
            stopped_s=seconds("stopped"),
            in_stops_s=pl.col("seconds").filter(is_measured & (pl.col("state") == "stopped")).sum(),
            quarter_due_s=pl.col("due_s").first(),
            quarter_valid_s=pl.col("valid_s").first(),
        )
        .with_columns(to_at=window_end(pl.col("from_at"), by, zone_name))
        .sort("series", "from_at")
    )
