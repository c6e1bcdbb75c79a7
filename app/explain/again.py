"""An alert's verdicts and transitions decided once more as its centre did: by each site from its activation on.

Promises: rows the pipeline made, by the names people know; numbers of points, which change with a site, are nowhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from contracts.frames import VERDICTS, empty
from rules.ticks import SiteClock

from ..operators.facts_read import read_facts
from ..pipeline import PipelineState
from ..reloading import Sites
from ..site.kept import from_kept
from .journals import messages
from .run import Row, Subject, is_about, remember


@dataclass
class Again:
    verdicts: pl.DataFrame  # of the subject
    transitions: list[Row]  # tick, transition, episode
    clock_to: datetime | None


def decide_again(
    state_dir: Path,
    first: str,
    subject: Subject,
    between: tuple[datetime, datetime],
    progress: Callable[[int], None] = lambda _: None,
) -> Again:
    """first: the site that held when what is judged began to come in. Raises Broken, JournalFailure."""
    sites = Sites(from_kept(state_dir, first), lambda name: from_kept(state_dir, name))
    collectors = sites.first.site.file.collectors
    facts, _ = read_facts(state_dir, sites.first.site)
    state = PipelineState(SiteClock(collectors))
    verdicts, transitions, done = [empty(VERDICTS)], [], 0
    its = pl.all_horizontal(pl.col(name) == getattr(subject, name) for name in ("rule", "station", "factor"))
    for part in messages(state_dir, collectors, *between):
        for section in sites.sections(state, part):
            remember(state, sites.pipeline(state).plan, section, facts)
            span = sites.step(state, section)
            verdicts.append(span.verdicts.filter(its))
            transitions += [row for row in span.transitions if is_about(row, subject)]
        done += part.height
        progress(done)
    return Again(pl.concat(verdicts), transitions, state.clock.now)
