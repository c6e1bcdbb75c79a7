"""Rejudging: what the archive gives. Windows as decisions, readings as samples, verdicts as they stand.

Promises: a frame holds one unit at the most, which is a run of civil dates of about so many archived rows; a window has
its latest revision. Does not promise that readings of a registry of long ago find their point: by (station, factor,
kind, period, unit) of the plan they do, or they feed nothing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from contracts.civil_time import zone
from contracts.factors import CLOCK_LAG, CONVERTED_PREFIX, DEVICE_PREFIX, STATION_PRESENCE
from contracts.frames import READINGS, VERDICTS
from rules.plan import Plan
from rules.windows.advance import DECISIONS
from rules.windows.due import end_of
from rules.windows.samples import SAMPLES, samples_of
from store.archive import AGGREGATE_KEY, VERDICT_KEY, kept_parts, latest_of, read_archive

UNIT_ROWS = 2_000_000  # archived rows of a unit; a single date may have more
SLICE_ROWS = 3_000_000  # readings taken at once, of a date that has more
_DAY = timedelta(days=1)
_WINDOW = ["point", "period", "window_at"]
_NUMBERS = {"sum": "sum_scaled", "n": "valid_n", "present": "present_n", "expected": "expected_n"}
_BOUNDS = {"low": "min_scaled", "high": "max_scaled", "tick": "decided_at"}


@dataclass(frozen=True)
class Unit:
    """A run of civil dates."""

    first: date
    last: date
    start_at: datetime  # its first midnight
    end_at: datetime  # the midnight after it
    rows: int  # archived rows it reads


def archived_rows(directory: Path) -> dict[str, Counter[date]]:
    """table -> civil date -> rows."""
    found: dict[str, Counter[date]] = {}
    for part in kept_parts(directory):
        day = part.path.parent
        rows = pq.read_metadata(part.path).num_rows
        found.setdefault(day.parent.name, Counter())[date.fromisoformat(day.name.removeprefix("date="))] += rows
    return found


def units(
    rows: dict[str, Counter[date]], tables: Sequence[str], from_at: datetime, to_at: datetime, zone_name: str
) -> list[Unit]:
    """The civil dates of [from_at, to_at) cut into units, each with about so many rows of the tables."""
    if from_at >= to_at:
        return []
    day, end = _civil(from_at, zone_name), _civil(to_at - timedelta(microseconds=1), zone_name)
    made: list[Unit] = []
    first, n = day, 0
    while day <= end:
        its = sum(rows[table][day] for table in tables if table in rows)
        if n and n + its > UNIT_ROWS:
            made.append(_unit(first, day - _DAY, n, zone_name))
            first, n = day, 0
        n += its
        day += _DAY
    return [*made, _unit(first, end, n, zone_name)]


def _civil(at: datetime, zone_name: str) -> date:
    return at.astimezone(zone(zone_name)).date()


def midnight(day: date, zone_name: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone(zone_name)).astimezone(UTC)


def _unit(first: date, last: date, rows: int, zone_name: str) -> Unit:
    return Unit(first, last, midnight(first, zone_name), midnight(last + _DAY, zone_name), rows)


def looked_up(rows: pl.DataFrame, table: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The rows, in their order, with the columns of the table's row of the same names; null where it has none.

    What is archived of one series stands together: a stretch of rows is looked up once, not each row of it.
    """
    begins = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in names)
    begins = rows.select(begins | (pl.int_range(pl.len()) == 0)).to_series()
    stretch = begins.cum_sum() - 1
    found = rows.filter(begins).select(names).join(table, on=names, how="left", maintain_order="left", nulls_equal=True)
    return rows.hstack(found.drop(names).select(pl.all().gather(stretch)))


def decisions_of(
    archive: Path, plan: Plan, unit: Unit, from_at: datetime, to_at: datetime, known_by: datetime
) -> tuple[pl.DataFrame, int]:
    """DECISIONS of archived windows that begin in the unit and in [from_at, to_at), and that the plan's bindings ask
    for, as they stood at a tick; and how many were left out, being in a unit or with decimals that are not today's."""
    if plan.bindings.is_empty():
        return pl.DataFrame(schema=DECISIONS), 0
    asked = plan.bindings.select("point").unique()
    points = plan.points.join(asked, on="point", how="semi").select("point", "station", "factor", "unit", "decimals")
    periods = plan.bindings["period"].unique().to_list()
    columns = [*AGGREGATE_KEY, "revision", "unit", "decimals", *_NUMBERS.values(), *_BOUNDS.values(), "reason"]
    rows = (
        read_archive(archive, "aggregates", unit.first, unit.last)
        .filter(_stands(from_at, to_at, known_by) & pl.col("period").is_in(periods))
        .select(columns)
        .collect()
    )
    rows = looked_up(rows, points.rename({"unit": "unit_now", "decimals": "decimals_now"}), ("station", "factor"))
    rows = rows.filter(pl.col("point").is_not_null())
    alike = (rows["unit"] == rows["unit_now"]) & (rows["decimals"] == rows["decimals_now"])
    other = int((~alike).sum())
    rows = latest_of(rows.filter(alike) if other else rows, _WINDOW)
    lengths = pl.concat(
        [
            part.select("period", "window_at", window_s=_seconds(str(period), plan.zone))
            for (period,), part in rows.select("period", "window_at")
            .unique()
            .partition_by("period", as_dict=True)
            .items()
        ]
        or [pl.DataFrame(schema={name: DECISIONS[name] for name in ("period", "window_at", "window_s")})]
    )
    rows = (
        rows.join(lengths, on=["period", "window_at"], how="left")
        .rename({old: new for new, old in {**_NUMBERS, **_BOUNDS}.items()})
        .with_columns(on_time=pl.lit(True))
    )
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in DECISIONS.items() if name not in rows.columns]
    return rows.with_columns(missing).select(DECISIONS.names()).match_to_schema(DECISIONS), other


def _seconds(period: str, zone_name: str) -> pl.Expr:
    return (end_of(period, zone_name) - pl.col("window_at")).dt.total_seconds()


def _stands(from_at: datetime, to_at: datetime, known_by: datetime) -> pl.Expr:
    return pl.col("window_at").is_between(from_at, to_at, closed="left") & (pl.col("decided_at") <= known_by)


def verdicts_of(archive: Path, unit: Unit, from_at: datetime, to_at: datetime, known_by: datetime) -> pl.DataFrame:
    """VERDICTS as they stood at a tick: the latest revision of every window that begins in the unit and in [from_at,
    to_at)."""
    rows = (
        read_archive(archive, "verdicts", unit.first, unit.last)
        .filter(_stands(from_at, to_at, known_by))
        .collect()
        .match_to_schema(VERDICTS)
    )
    return latest_of(rows, VERDICT_KEY)


def samples_in(archive: Path, plan: Plan, unit: Unit, rows: int) -> Iterator[tuple[pl.DataFrame, datetime]]:
    """SAMPLES of the points the plan has windows of, slice by slice of event time, each with the slice's end.

    rows: how many readings the archive has of the unit; they decide how many slices there are.
    """
    numbers = plan.levels["point"].unique()
    fed = fed_points(plan).filter(pl.col("point").is_in(numbers.implode()))
    own = pl.concat([plan.own_points[factor] for factor in (STATION_PRESENCE, CLOCK_LAG)])
    present = own.filter(pl.col("point").is_in(numbers.implode()))["station"].unique()
    wanted = pl.col("factor").is_in(fed["bare"].unique().implode()) | pl.col("station").is_in(present.implode())
    count = max(1, -(-rows // SLICE_ROWS))
    length = (unit.end_at - unit.start_at) / count
    for n in range(count):
        start_at = unit.start_at + n * length
        end_at = unit.end_at if n == count - 1 else unit.start_at + (n + 1) * length
        scan = read_archive(archive, "readings", unit.first, unit.last)
        readings = scan.filter(pl.col("event_at").is_between(start_at, end_at, closed="left") & wanted).collect()
        rejects = read_archive(archive, "rejects", unit.first, unit.last)
        rejects = rejects.filter(pl.col("received_at").is_between(start_at, end_at, closed="left"))
        made = samples_of(_fed(readings, fed), rejects.collect(), plan)
        yield made.filter(pl.col("point").is_in(numbers.implode())).match_to_schema(SAMPLES), end_at


def fed_points(plan: Plan) -> pl.DataFrame:
    """bare factor, station, kind, period_s, unit -> point: which readings feed a point, as the registry join has it."""
    sent = plan.points.filter(pl.col("kind").is_not_null())
    bare = pl.col("factor").str.strip_prefix(DEVICE_PREFIX)
    is_device = pl.col("factor").str.starts_with(DEVICE_PREFIX)
    return (
        sent.sort(is_device, maintain_order=True)  # what the device sends of its own means feeds those last
        .select(
            "point",
            "station",
            pl.when(is_device).then(bare.str.strip_prefix(CONVERTED_PREFIX)).otherwise(bare).alias("bare"),
            "kind",
            "period_s",
            "unit",
        )
        .unique(["station", "bare", "kind", "period_s", "unit"], keep="first", maintain_order=True)
    )


def _fed(readings: pl.DataFrame, fed: pl.DataFrame) -> pl.DataFrame:
    """READINGS with `point` by today's numbers: a number holds inside one activated site only."""
    key = ["station", "factor", "kind", "period_s", "unit"]
    numbered = readings.drop("point").join(
        fed.rename({"bare": "factor"}), on=key, how="left", maintain_order="left", nulls_equal=True
    )
    return numbered.select(READINGS.names()).match_to_schema(READINGS)
