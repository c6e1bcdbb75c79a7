"""Rejudging from readings: the production path again, over what the archive has, unit by unit of event time.

Promises: the same samples at the same ticks give the same windows whatever the cut, so what was late then is late now.
Windows of a unit may be decided again while a later one is gone through; every such row is filed under its own unit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from rules.evaluate import evaluate
from rules.ticks import SiteClock
from rules.windows.advance import WindowState, advance, start
from rules.windows.samples import SAMPLES
from store.put_away import Folder

from ..pipeline import PipelineState
from ..service.checkpoint import names_put_away, read_checkpoint, write_checkpoint
from .archive import samples_in
from .parts import Parts
from .range import Pinned
from .route import Routes

AWAY = "away"  # folder of windows that are too old to be kept in memory


def go_through(
    archive: Path,
    way: Routes,
    effects: pl.DataFrame,
    parts: Parts,
    of: Pinned,
    told: Callable[[str, int], None],
) -> None:
    """Leaves `judged-<unit>-<when>.arrow` of JUDGED in parts: all revisions, by the unit the window begins in."""
    away = Folder(parts.directory / AWAY)
    found = read_checkpoint(parts.directory, parts.made_for, len(parts.done), away)
    if found is None or found.state.windows is None:
        parts.cut(0)
        state = start(of.started_at, away)
        state.effects = effects
    else:
        parts.cut(found.journal_to_us)
        state = found.state.windows
    judging = _Judging(way, state, parts, of)
    told("readings", sum(unit.rows for unit in of.lead[: len(parts.done)]))
    for n, unit in enumerate(of.lead[len(parts.done) :], start=len(parts.done)):
        made = [
            judging.up_to(samples, min(end_at, of.archived_at))
            for samples, end_at in samples_in(archive, way.by_readings, unit, unit.rows)
        ]
        if n == len(of.lead) - 1:  # what was decided of it later, up to where the archive ends
            made.append(judging.up_to(pl.DataFrame(schema=SAMPLES), of.archived_at, grid_to=unit.end_at))
        names = judging.file(n, pl.concat(made))
        away.flush()  # what a checkpoint names is there before it
        write_checkpoint(parts.directory, parts.made_for, n + 1, PipelineState(SiteClock(()), state))
        away.sweep(names_put_away(parts.directory))
        parts.add(names)
        told("readings", unit.rows)


@dataclass
class _Judging:
    way: Routes
    state: WindowState
    parts: Parts
    of: Pinned

    def up_to(self, samples: pl.DataFrame, to: datetime, grid_to: datetime | None = None) -> pl.DataFrame:
        """JUDGED of every tick up to there whose window begins in the range."""
        to = max(to, self.state.tick)
        decided = advance(self.way.by_readings, self.state, samples, to, grid_to).decisions
        inside = pl.col("window_at").is_between(self.of.from_at, self.of.to_at, closed="left")
        return evaluate(self.way.by_readings, decided.filter(inside))

    def file(self, n: int, judged: pl.DataFrame) -> list[str]:
        """By the unit the windows begin in."""
        starts = pl.Series([unit.start_at for unit in self.of.units], dtype=judged["window_at"].dtype)
        of_unit = starts.search_sorted(judged["window_at"], side="right").cast(pl.Int64) - 1
        keyed = judged.with_columns(unit=of_unit)
        return [
            self.parts.frame(f"judged-{int(unit):05d}-{n:05d}.arrow", rows)  # type: ignore[call-overload]
            for (unit,), rows in keyed.partition_by("unit", as_dict=True, include_key=False).items()
        ]
