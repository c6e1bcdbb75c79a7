"""Rejudging an archive of minute readings, over scanning and grouping the same readings once.

Rules are judged from archived hours; what needs the readings again is not measured here: it costs what `replay` does
without its decoding. The archive is one made day, copied day after day.
"""

import shutil
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import polars as pl

from contracts.frames import INSTANT
from contracts.site import Site
from rules.ticks import SiteClock
from store.archive import CURSOR, TABLES, read_archive
from store.parquet import SUM, canonical
from store.state_db import SpanRow, StateDb

from ..pipeline import Pipeline, PipelineState
from ..rejudge.outputs import ROW_GROUP_ROWS, finish, write_summary
from ..rejudge.rejudge import rejudge
from ..rejudge.report import write_report
from ..replay import STEP_ROWS, cut
from ..rule_tests.diff import Side
from .harness import Figure, Size, alternate, figure, rates, ratios
from .workload import FACTORS, HOUR_RULE, START, messages_of, site_of

STATIONS, DAYS = 72, 30  # with 14 factors 1,008 points
DAY_MINUTES = 1440
TIGHTER, BROKEN = 0.9, 0.2  # of every limit on the other side; of the first outlet's, which is in alarm then
RATIO_MIN = 0.25


def measure(size: Size) -> list[Figure]:
    """1,008 points by minutes, their hours judged by tighter limits; report and all files included."""
    stations, days = size.of(STATIONS, least=2), size.days or size.of(DAYS, least=2)
    site = site_of(outlets=stations, stations=1)
    site = site.model_copy(update={"file": site.file.model_copy(update={"time_zone": "UTC"})})
    first = site.outlets[0].outlet
    limits = tuple(
        one.model_copy(update={"limit": one.limit * (BROKEN if one.outlet == first else TIGHTER)})
        for one in site.limits
    )
    old, new = Side(site, HOUR_RULE), Side(site.model_copy(update={"limits": limits}), HOUR_RULE)
    with tempfile.TemporaryDirectory(prefix="greenisland-bench-", dir=size.folder) as folder:
        state_dir, out = Path(folder) / "state", Path(folder) / "out"
        readings = archive_of(site, days, state_dir)

        def scan_and_group() -> int:
            scan = read_archive(state_dir / "archive", "readings")
            value = pl.col("value")
            by = scan.group_by("station", "factor").agg(n=pl.len(), mean=value.mean(), most=value.max())
            return by.collect().height

        def judge_again() -> None:
            shutil.rmtree(out, ignore_errors=True)
            found = finish(out, rejudge(state_dir, old, new, out))
            write_report(out, found, new.site)
            write_summary(out, found)

        scanning, judging = alternate(size.rounds, scan_and_group, judge_again)
    return [
        figure("scan and one group-by", "readings/s", rates(readings, scanning.wall)),
        figure("rejudge of what they were judged by", "readings/s", rates(readings, judging.wall)),
        figure("rejudge over scan, readings/s", "ratio", ratios(scanning.wall, judging.wall), (">=", RATIO_MIN)),
        figure("rejudge over scan, readings/CPU s", "ratio", ratios(scanning.cpu, judging.cpu)),
    ]


def archive_of(
    site: Site, days: int, state_dir: Path, tables: Sequence[str] = ("readings", "aggregates", "verdicts")
) -> int:
    """Writes the archive of so many days, and returns how many readings they had."""
    pipeline = Pipeline(site, HOUR_RULE)
    state = PipelineState(SiteClock(site.file.collectors))
    spans = [pipeline.step(state, part) for part in cut(messages_of(site, DAY_MINUTES), STEP_ROWS)]
    last = pipeline.close(state)
    assert last is not None
    for name in tables:
        its = pl.concat([getattr(span, name) for span in (*spans, last)])
        if name != "readings":
            is_of_the_day = pl.col("window_at") < START + timedelta(days=1)
            its = its.filter(pl.col("period").is_in(["hour", "day"]) & is_of_the_day)
        its = canonical(its, TABLES[name].sort_by).with_columns(pl.selectors.by_dtype(pl.Int128).cast(SUM))
        instants = [column for column, dtype in its.schema.items() if dtype == INSTANT]
        for n in range(days):
            moved = its.with_columns(pl.col(instants) + timedelta(days=n))
            path = state_dir / "archive" / name / f"date={(START + timedelta(days=n)).date()}"
            path.mkdir(parents=True)
            moved.write_parquet(path / f"part-{1:012d}-{1:012d}.parquet", row_group_size=ROW_GROUP_ROWS)
    clock_us = round((START + timedelta(days=days + 1)).timestamp() * 1_000_000)
    with StateDb(state_dir / "state.db") as db:
        db.commit_span(SpanRow(1, None, "", 0, clock_us, None, clock_us, {}), now_us=clock_us)
        db.set_cursor(CURSOR, 1)
    return len(site.stations) * DAY_MINUTES * FACTORS * days
