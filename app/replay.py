"""Replay: the production path over a feed, offline."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from contracts.site import Site
from rules.spec import Rule
from rules.ticks import CLOCK_PREFIX, SiteClock, collectors_of
from store.put_away import Folder

from .outputs import Outputs
from .pipeline import PipelineState
from .reloading import Load, Sites
from .service.checkpoint import fingerprint
from .site.kept import KeptSite

STEP_ROWS = 100_000


def cut(feed: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    """The feed in slices of about so many rows; messages of one instant stay together, as their order is by content."""
    at, start = feed["received_at"], 0
    while start < feed.height:
        end = min(start + rows, feed.height)
        if end < feed.height:
            end = int(at.search_sorted(at[end - 1], side="right"))  # type: ignore[arg-type]
        yield feed[start:end]
        start = end


def to_last_clock(ordered: pl.DataFrame, collectors: tuple[str, ...]) -> pl.DataFrame:
    """The feed without what came after the slowest collector's last clock row: a running system waits there."""
    clocks = ordered.filter(pl.col("topic").is_in([CLOCK_PREFIX + name for name in collectors]))
    last = clocks.group_by("topic").agg(pl.col("received_at").max())["received_at"].min()
    return ordered if last is None else ordered.filter(pl.col("received_at") <= last)


def replay(
    feed: pl.DataFrame,
    site: Site,
    rules: list[Rule],
    *,
    step_rows: int = STEP_ROWS,
    close: bool = True,
    progress: Callable[[int], None] = lambda _: None,
    load: Load = lambda _: None,
) -> Outputs:
    """Runs a feed (MESSAGES, as a set) through the pipeline.

    close: end every window that had begun, as a feed's end does; false leaves them open, as a running system would.
    progress: told the number of messages done.
    load: the sites that the feed's `$site` rows name, each decides from its row on; without it `site` throughout.
    """
    ordered = feed.unique().sort("received_at", "source", "topic", "payload")
    collectors = collectors_of(ordered)
    if not close:
        ordered = to_last_clock(ordered, collectors)
    sites = Sites(KeptSite(fingerprint(site, rules), site, rules), load)
    outputs = Outputs()
    done = 0
    with TemporaryDirectory(prefix="greenisland-") as folder:
        state = PipelineState(SiteClock(collectors), away=Folder(Path(folder), is_kept=False))
        for messages in cut(ordered, step_rows):
            for section in sites.sections(state, messages):
                span = sites.step(state, section)
                outputs.add_span(span)
            done += messages.height
            progress(done)
        if close and (span := sites.pipeline(state).close(state)) is not None:  # type: ignore[assignment]
            outputs.add_span(span)
    return outputs
