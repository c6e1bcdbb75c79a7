"""What a plan keeps of the sites that held before it: whose number is whose, and what they had decided already.

Promises: data alone, as a checkpoint writes it down. A number that was given up is never given again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from contracts.frames import INSTANT

# One row a point's number, in their order.
CARRIED_POINTS = pl.Schema(
    {
        "station": pl.String,
        "factor": pl.String,
        "since": pl.UInt32,  # the turn it began at, 1 for the first; 0: there from the beginning
        "follows": pl.Boolean,  # the station had had a point of this factor: its windows are decided
        "live": pl.Boolean,  # false: given up, its windows are not looked at any more
    }
)

# One row a binding's number, in their order.
CARRIED_BINDINGS = pl.Schema(
    {
        "rule": pl.String,
        "station": pl.String,
        "factor": pl.String,
        "period": pl.String,
        "limit_id": pl.String,
        "content": pl.String,  # hash of all that its verdicts depend on
        "since": pl.UInt32,
        "live": pl.Boolean,
    }
)


@dataclass(frozen=True)
class Turn:
    """Where one site's decisions end and the next one's begin."""

    tick: datetime  # the last that the site before decided
    undecided_from: dict[str, datetime]  # period -> start of the first window it had not decided
    hold: dict[str, timedelta]  # of the site before


@dataclass(frozen=True)
class Carried:
    points: pl.DataFrame  # CARRIED_POINTS
    bindings: pl.DataFrame  # CARRIED_BINDINGS
    turns: tuple[Turn, ...]
    kept_from: datetime | None  # windows due before it may have been dropped, when `max_age` was shorter

    def begun_at(self) -> pl.Series:
        """By binding number: the last tick whose verdicts are not its own; null: all are."""
        ticks = pl.Series([None, *(turn.tick for turn in self.turns)], dtype=INSTANT)
        return ticks.gather(self.bindings["since"])

    def points_from(self, period: str, *, decided: bool) -> pl.Series:
        """By point number: start of the first window that is decided without data; null: no matter.

        decided: instead, start of the first window that nobody had decided before the point began.
        """
        undecided = pl.Series([None, *(turn.undecided_from[period] for turn in self.turns)], dtype=INSTANT)
        ticks = pl.Series([None, *(turn.tick for turn in self.turns)], dtype=INSTANT)
        since, follows = self.points["since"], self.points["follows"]
        other = pl.repeat(None, since.len(), dtype=INSTANT, eager=True) if decided else ticks.gather(since)
        return undecided.gather(since).zip_with(follows, other)
