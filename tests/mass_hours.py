"""Hours of concentration and flow as an archive has them, and the account of mass made of them, for tests."""

from datetime import UTC, datetime, timedelta

import polars as pl

from contracts.facts import EFFECTS
from contracts.frames import AGGREGATES
from contracts.points import partition_of
from contracts.site import Site
from rules.accounts.masses import grid, mass_series, measured, stopped
from rules.accounts.substitution import STOP_TYPES, substituted
from tests.builders import site

Q4 = datetime(2025, 9, 30, 16, tzinfo=UTC)  # 2025-10-01 00:00 in Zunyi: 2,208 hours before ...
Q1 = datetime(2025, 12, 31, 16, tzinfo=UTC)  # ... the first quarter of 2026, which has 2,160
Q2 = Q1 + timedelta(hours=2160)
HOUR = timedelta(hours=1)
FEW = "few"  # there are valid parts, and too few of them
LENGTH = {"hour": HOUR, "day": timedelta(days=1)}


def stack(factor="a21026", medium="flue_gas", **point) -> Site:
    """Station S1 with one concentration and the flow, in m3/h."""
    flow, unit = ("w00000", "mg/L") if medium == "waste_water" else ("a00000", "mg/m3")
    return site([{"factor": factor, "unit": unit, **point}, {"factor": flow, "unit": "m3/h"}], medium=medium)


def windows_of(whole: Site, factor: str, values: list, from_at: datetime, period="hour", station="S1") -> pl.DataFrame:
    """AGGREGATES: one value a window from `from_at` on, in the factor's unit; None: nothing came; or FEW."""
    about = whole.factors[factor.removeprefix("fw_")]
    there = [(n, value) for n, value in enumerate(values) if value is not None]
    scaled = [45 * (7 if value == FEW else round(value * 10**about.decimals)) for _, value in there]
    at = from_at + pl.Series([n for n, _ in there], dtype=pl.Int64) * LENGTH[period]
    return pl.DataFrame(
        {
            "window_at": at,
            "sum_scaled": scaled,
            "reason": ["too_few_valid" if value == FEW else None for _, value in there],
        },
        schema={name: AGGREGATES[name] for name in ("window_at", "sum_scaled", "reason")},
    ).select(
        pl.lit(partition_of(station), AGGREGATES["partition"]).alias("partition"),
        *(pl.lit(text).alias(name) for name, text in (("station", station), ("factor", factor), ("period", period))),
        "window_at",
        pl.lit(1, AGGREGATES["revision"]).alias("revision"),
        (pl.col("window_at") + LENGTH[period] + timedelta(minutes=5)).alias("decided_at"),
        "sum_scaled",
        *(
            pl.lit(n, AGGREGATES[name]).alias(name)
            for name, n in (
                ("valid_n", 45),
                ("present_n", 60),
                ("expected_n", 60),
                ("min_scaled", 0),
                ("max_scaled", 0),
            )
        ),
        pl.lit(about.decimals, AGGREGATES["decimals"]).alias("decimals"),
        pl.lit(about.unit).alias("unit"),
        "reason",
    )


def effect(from_at: datetime, to_at: datetime | None, **more) -> dict:
    """A row of EFFECTS without its point: an approved stop, unless told otherwise."""
    held = {"tick": Q4, "until": None, "effect": "excused", "kind": "stop", "type": "stop", "fact": "f"}
    return {"from_at": from_at, "to_at": to_at, **held, **more}


def account(
    whole: Site,
    concentrations: list,
    flows: list,
    from_at: datetime = Q4,
    *,
    effects: list[dict] = (),
    rules=None,
    period="hour",
    known_by: datetime = Q2,
) -> list[dict]:
    """HOURS, one dict a window, of a site of one series whose two factors have these values from `from_at` on."""
    series = mass_series(whole)
    made = series.row(0, named=True)
    aggregates = pl.concat(
        [
            windows_of(whole, made["concentration"], concentrations, from_at, period),
            windows_of(whole, made["flow"], flows, from_at, period),
        ]
    )
    ends = from_at + max(len(concentrations), len(flows)) * LENGTH[period]
    windows = grid(series, from_at, {"hour": ends, "day": ends}, whole.time_zone)
    said = pl.DataFrame([{**one, "point": made["point"]} for one in effects], schema=EFFECTS)
    stops = stopped(said, series, STOP_TYPES, known_by)
    rows, _ = measured(windows, aggregates, stops, series)
    return substituted(rows, series, rules).to_dicts()
