"""An account of mass out of the archive: windows as their last revisions stand, stops as people said, rules.accounts.

Promises: reads only; a quarter's capture is of the whole quarter and a gap is as long as it is, however little is asked
for; valid hours before it are looked for as far back as the archive goes. Does not promise what is not archived yet.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from pathlib import Path

import polars as pl

from contracts.civil_time import local, window_end, window_start
from contracts.frames import INSTANT, empty
from contracts.site import Site
from rules.accounts.masses import grid, mass_series, measured, stopped
from rules.accounts.substitution import HOURS, STOP_TYPES, substituted
from rules.facts.deadline import deadline_at
from rules.facts.effects import effects
from rules.facts.tables import compile_marking
from rules.plan import ground_of
from rules.windows.due import first_undecided
from store.alert_reads import reading
from store.archive import AGGREGATE_KEY, CURSOR, archived_dates, latest_of, read_archive

from ..operators.facts_read import read_facts
from ..rejudge.archive import midnight
from ..rejudge.range import NothingArchived

# what is read besides the quarters themselves; twice as much where that is too little
LEAD = timedelta(days=120)  # before them, for valid hours before a gap
TAIL = timedelta(days=2)  # after them, for a gap's end
SERIES_AT_ONCE = 200  # a quarter of so many, with what is read before it, takes less than a gigabyte
_FEW = 8  # names: by equality whole row groups of Parquet are passed over


@dataclass(frozen=True)
class MassAccount:
    site: Site
    from_at: datetime
    to_at: datetime
    archived_at: datetime  # the tick up to which the archive was looked at
    series: pl.DataFrame  # rules.accounts.masses.SERIES
    hours: pl.DataFrame  # rules.accounts.substitution.HOURS of the range
    final: dict[tuple[int, datetime], bool]  # (series, quarter): all of it is decided, and no mark may come any more
    notes: list[str] = field(default_factory=list)


def mass_account(
    state_dir: Path,
    site: Site,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    *,
    outlets: Collection[str] = (),
    stations: Collection[str] = (),
    factors: Collection[str] = (),
) -> MassAccount:
    """Windows that begin in [from_at, to_at); without them: in the quarter the archive has come to. No names: all.

    Raises NothingArchived; store.archive.PartDamaged; store.alert_reads.NotReadable; sqlite3.Error, JournalFailure.
    """
    archived_at, dates = _archived_at(state_dir), archived_dates(state_dir / "archive", "aggregates", 0, 2**62)
    if archived_at is None or not dates:
        raise NothingArchived(f"the archive of {state_dir} holds no windows yet")
    zone_name, first_at = site.time_zone, midnight(dates[0], site.time_zone)
    last_at = (archived_at if to_at is None else to_at) - timedelta(microseconds=1)
    from_at = _quarter(last_at, zone_name)[0] if from_at is None else from_at
    to_at = _quarter(from_at, zone_name)[1] if to_at is None else to_at
    if to_at <= first_at or from_at >= archived_at:
        raise NothingArchived(
            f"the archive of {state_dir} reaches from {dates[0]} to {dates[-1]}: nothing lies in between"
        )
    series = mass_series(site)
    for name, wanted in (("outlet", outlets), ("station", stations), ("factor", factors)):
        if wanted:
            series = series.filter(pl.col(name).is_in(list(wanted)))
    read = _Reading(state_dir, site, series, archived_at)
    quarters_at = _quarter(from_at, zone_name)[0], _quarter(to_at - timedelta(microseconds=1), zone_name)[1]
    in_range = pl.col("window_at").is_between(from_at, to_at, closed="left")
    parts = [empty(HOURS)]
    parts += [_hours(read, some, quarters_at, in_range, first_at) for some in series.iter_slices(SERIES_AT_ONCE)]
    hours = pl.concat(parts)
    quarters = hours.select("series", "quarter_at").unique(maintain_order=True).rows()
    final = {(one, at): read.is_final(one, _quarter(at, zone_name)[1]) for one, at in quarters}
    return MassAccount(site, from_at, to_at, archived_at, series, hours, final, read.notes)


def _hours(
    read: "_Reading",
    series: pl.DataFrame,
    quarters_at: tuple[datetime, datetime],
    in_range: pl.Expr,
    first_at: datetime,
) -> pl.DataFrame:
    """HOURS of the range. first_at: where the archive begins."""
    start_at, end_at = quarters_at
    lead, tail = LEAD, TAIL
    while True:
        windows = read.windows(series, start_at - lead, end_at + tail)
        if end_at + tail < read.archived_at and _is_open(windows, in_range):
            tail *= 2
            continue
        hours = substituted(windows, series).filter(in_range)
        if start_at - lead <= first_at or not _is_short(hours):
            return hours
        lead *= 2


class _Reading:
    def __init__(self, state_dir: Path, site: Site, series: pl.DataFrame, archived_at: datetime):
        self.archived_at, self._archive, self._site = archived_at, state_dir / "archive", site
        self._marking = compile_marking(site)
        facts, self._unreadable = read_facts(state_dir, site)
        said = effects(facts, ground_of(site)[0].point_frame(), self._marking)
        self._stops = stopped(said, series, STOP_TYPES, archived_at)
        hold = site.file.hold_s
        self._decided_to = {
            period: first_undecided(period, archived_at, timedelta(seconds=getattr(hold, period)), site.time_zone)
            for period in ("hour", "day")
        }
        self._station_of = dict(series.select("series", "station").iter_rows())
        self._period_of = dict(series.select("series", "period").iter_rows())
        self._others: dict[int, int] = {}  # by the first series of those read at once

    @property
    def notes(self) -> list[str]:
        others, unreadable = sum(self._others.values()), self._unreadable.height
        made = {
            f"{others} archived windows are in another unit or of other decimals: not counted": others,
            f"{unreadable} records of people cannot be read: `greenisland fact list` names them": unreadable,
        }
        return [said for said, n in made.items() if n]

    def windows(self, series: pl.DataFrame, from_at: datetime, to_at: datetime) -> pl.DataFrame:
        """WINDOWS of the series that are decided and start in [from_at, to_at)."""
        ends = {period: max(from_at, min(to_at, decided)) for period, decided in self._decided_to.items()}
        windows = grid(series, from_at, ends, self._site.time_zone)
        stops = self._stops.join(series, on="series", how="semi")
        made, others = measured(windows, self._aggregates(series, from_at, to_at), stops, series)
        self._others[series["series"][0]] = others
        return made

    def is_final(self, series: int, quarter_ends_at: datetime) -> bool:
        deadline = self._marking.deadlines[self._station_of[series]]
        last = deadline_at(quarter_ends_at - timedelta(microseconds=1), deadline, self._site.time_zone)
        return quarter_ends_at <= self._decided_to[self._period_of[series]] and self.archived_at > last

    def _aggregates(self, series: pl.DataFrame, from_at: datetime, to_at: datetime) -> pl.DataFrame:
        names = pl.concat([series["concentration"], series["flow"]])
        dates = (local(at, self._site.time_zone).date() for at in (from_at, to_at - timedelta(microseconds=1)))
        rows = read_archive(self._archive, "aggregates", *dates).filter(
            _is_one_of("period", series["period"])
            & _is_one_of("station", series["station"])
            & _is_one_of("factor", names)
            & (pl.col("decided_at") <= self.archived_at)
        )
        return latest_of(rows.collect(), AGGREGATE_KEY)


def _is_open(windows: pl.DataFrame, in_range: pl.Expr) -> bool:
    """Whether a gap of the range goes on at the end of the windows."""
    due, is_known = ~pl.col("is_stopped"), pl.col("rate").is_not_null()
    whole = due & is_known & (pl.col("n_a") > 0) & (pl.col("n_b") > 0)  # ends a gap of concentration, flow and mass
    last = windows.group_by("series").agg(
        missing=pl.col("window_at").filter(due & ~is_known & in_range).max(),
        whole=pl.col("window_at").filter(whole).max(),
    )
    goes_on = pl.col("missing").is_not_null() & (pl.col("whole").is_null() | (pl.col("missing") > pl.col("whole")))
    return bool(last.select(goes_on.any()).item())


def _is_short(hours: pl.DataFrame) -> bool:
    """Whether a gap in it would be of more valid windows, were earlier ones looked at."""
    fewer = (pl.col("of_n").fill_null(0) < pl.col("of_wanted")) | (
        pl.col("flow_of_n").fill_null(0) < pl.col("flow_of_wanted")
    )
    return bool(hours.select(fewer.any()).item())


def _is_one_of(column: str, values: pl.Series) -> pl.Expr:
    names = values.unique().sort().to_list()
    if not 0 < len(names) <= _FEW:
        return pl.col(column).is_in(names)
    return reduce(or_, (pl.col(column) == name for name in names))


def _archived_at(state_dir: Path) -> datetime | None:
    """The tick the site's clock stood at with the last span the archive has."""
    with reading(state_dir) as db:
        cursor = db.cursor(CURSOR)
        spans = db.spans_after(cursor - 1, 1) if cursor else []
    clock = spans[0].clock_to if spans else None
    return None if clock is None else datetime.fromtimestamp(0, UTC) + timedelta(microseconds=clock)


def _quarter(at: datetime, zone_name: str) -> tuple[datetime, datetime]:
    """Start of the civil quarter that holds the instant, and of the next one."""
    start = window_start(pl.lit(at, INSTANT), "quarter", zone_name)
    return pl.select(start.alias("from"), window_end(start, "quarter", zone_name).alias("to")).row(0)
