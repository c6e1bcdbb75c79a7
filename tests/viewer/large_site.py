"""A site of 5,000 stations with six decided hours, made and not simulated: what pages cost must not grow with it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from app.site.files import load_site
from contracts import frames
from contracts.instants import epoch_us
from contracts.site import Site
from store.archive import CURSOR, TABLES, Archive
from store.parquet import canonical
from store.spans import SpanFiles, write_span
from store.state_db import SpanRow, StateDb

from .centre import EXAMPLE, Centre, add_people

STATIONS = 5_000
FACTORS = ("a21026", "a34013")
ENDED_AT = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
HOURS = 6


def made(folder: Path) -> Centre:
    site = _site()
    state_dir = folder / "state"
    (state_dir / "spans").mkdir(parents=True)
    rows = _rows(site)
    named = {name: frames.empty(table.schema) for name, table in TABLES.items()}
    named |= {name: canonical(frame, TABLES[name].sort_by) for name, frame in rows.items()}
    digest = write_span(state_dir / "spans" / "1.arrow", named)
    clock_us = epoch_us(ENDED_AT)
    with StateDb(state_dir / "state.db") as db:
        span = SpanRow(1, "1.arrow", digest, 0, clock_us, None, clock_us, {"messages": 1})
        db.commit_span(span, now_us=clock_us)
        files = SpanFiles(state_dir / "spans", db)
        Archive(state_dir / "archive", files, db, site.time_zone).compact(1)
        assert db.cursor(CURSOR) == 1
    add_people(state_dir)
    return Centre(EXAMPLE, site, [], state_dir, ENDED_AT)


def _site() -> Site:
    """One station of the example, over and over under other names."""
    site = load_site(EXAMPLE)
    station = next(one for one in site.stations if one.station == "XS-COAL-1")
    outlet = next(one for one in site.outlets if one.outlet == station.outlet)
    points = [one for one in site.points if one.station == station.station and one.factor in FACTORS]
    limit = next(one for one in site.limits if one.outlet == station.outlet and one.period == "hour")
    numbers = range(STATIONS)
    return site.model_copy(
        update={
            "outlets": tuple(
                outlet.model_copy(update={"outlet": f"O{n}", "name_zh": f"{n}号排口", "name_en": f"outlet {n}"})
                for n in numbers
            ),
            "stations": tuple(station.model_copy(update={"station": f"S{n}", "outlet": f"O{n}"}) for n in numbers),
            "points": tuple(one.model_copy(update={"station": f"S{n}"}) for n in numbers for one in points),
            "limits": tuple(limit.model_copy(update={"limit_id": f"L{n}", "outlet": f"O{n}"}) for n in numbers),
            "pairs": (),
            "facilities": (),
            "members": (),
        }
    )


def _rows(site: Site) -> dict[str, pl.DataFrame]:
    """Verdicts and aggregates of every hour; each station's values differ, one in a thousand is too high."""
    hours = [ENDED_AT - timedelta(hours=n + 1) for n in range(HOURS)]
    grid = (
        pl.DataFrame({"station": [one.station for one in site.stations]})
        .join(pl.DataFrame({"factor": FACTORS}), how="cross")
        .join(pl.DataFrame({"window_at": hours}, schema={"window_at": frames.INSTANT}), how="cross")
        .with_row_index("n")
        .with_columns(
            partition=pl.lit(0, pl.UInt8),
            period=pl.lit("hour"),
            revision=pl.lit(1, pl.UInt32),
            decided_at=pl.col("window_at") + pl.duration(minutes=65),
            valid_n=pl.lit(60, pl.UInt32),
            expected_n=pl.lit(60, pl.UInt32),
            value_scaled=(pl.col("n") * 37 % 3500).cast(pl.Int64),
            decimals=pl.lit(2, pl.UInt8),
            unit=pl.lit("mg/m3"),
            is_high=pl.col("n") % 1000 == 0,
        )
    )
    verdicts = grid.with_columns(
        rule=pl.lit("flue_gas_hour"),
        window_s=pl.lit(3600, pl.Int64),
        state=pl.when("is_high").then(pl.lit("exceedance")).otherwise(pl.lit("within")),
        level=pl.when("is_high").then(pl.lit("orange")),
        limit_scaled=pl.lit(3500, pl.Int64),
        limit_id=pl.lit("L") + pl.col("station").str.slice(1),
    )
    return {name: _fitted(frame, TABLES[name].schema) for name, frame in (("verdicts", verdicts), ("aggregates", grid))}


def _fitted(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The schema's columns; those it lacks are null."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in schema.items()
    )
