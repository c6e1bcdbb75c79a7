"""The last windows of an alert's series, for the picture in a mail: from the archive, and from spans not yet in it.

Promises: reads a bounded part, of this alert's rule and point alone, as it was known at the notification's tick.
Does not promise a picture: where data are absent or cannot be read the mail goes without one.
"""

import logging
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl

from contracts.civil_time import local
from contracts.frames import VERDICTS
from contracts.reasons import Verdict
from contracts.site import Site
from notify.senders.mail import DrawsTrend
from notify.senders.trend_picture import Trend, TrendPoint, picture_of
from store.archive import CURSOR as ARCHIVED
from store.archive import VERDICT_KEY, latest_revisions, read_archive
from store.spans import SpanDamaged, SpanFiles
from store.state_db import StateDb

log = logging.getLogger(__name__)

SHOWN = {  # period -> (windows, length of one)
    "instant": (60, timedelta(minutes=1)),
    "minute": (60, timedelta(minutes=1)),
    "five_minute": (48, timedelta(minutes=5)),
    "hour": (48, timedelta(hours=1)),
    "day": (31, timedelta(days=1)),
}
SPANS_MAX = 200  # the latest of those not in the archive
ROWS_MAX = 10_000  # of instants there may be many


def trend_pictures(site: Site, state_dir: Path) -> DrawsTrend:
    """Draws what a notification's body is about, or gives None."""
    return partial(_picture, site.time_zone, state_dir)


def _picture(time_zone: str, state_dir: Path, body: dict[str, object]) -> bytes | None:
    try:
        trend = trend_of(body, state_dir, time_zone)
    except (OSError, SpanDamaged, pl.exceptions.PolarsError) as error:
        log.warning("a mail goes without its picture: %s", error)
        return None
    return None if trend is None else picture_of(trend)


def trend_of(body: dict[str, object], state_dir: Path, time_zone: str) -> Trend | None:
    """None where the body is about no single alert, or about windows too long to show.

    Raises OSError, SpanDamaged, PolarsError for what cannot be read.
    """
    alert, tick = body.get("alert"), body.get("tick")
    if not isinstance(alert, dict) or not isinstance(tick, str) or alert.get("period") not in SHOWN:
        return None
    n, length = SHOWN[str(alert["period"])]
    to_at = datetime.fromisoformat(tick)
    from_at = to_at - (n + 1) * length
    about = (pl.col("window_at") >= from_at) & (pl.col("decided_at") <= to_at)
    for key in ("rule", "station", "factor", "period", "limit_id"):
        about &= pl.col(key).eq_missing(pl.lit(alert.get(key), pl.String))
    rows = pl.concat([_archived(state_dir, from_at, to_at, time_zone, about), _in_spans(state_dir, about)])
    rows = latest_revisions(rows.lazy().unique(), VERDICT_KEY).sort("window_at").tail(ROWS_MAX).collect()
    points = tuple(
        TrendPoint(
            row["window_at"],
            None if row["value_scaled"] is None else row["value_scaled"] / 10 ** row["decimals"],
            row["state"] == Verdict.EXCEEDANCE,
        )
        for row in rows.iter_rows(named=True)
    )
    limits = [row["limit_scaled"] / 10 ** row["decimals"] for row in rows.iter_rows(named=True) if row["limit_scaled"]]
    return Trend(points[-n:], limits[-1] if limits else None, time_zone) if points else None


def _archived(state_dir: Path, from_at: datetime, to_at: datetime, time_zone: str, about: pl.Expr) -> pl.DataFrame:
    first, last = local(from_at, time_zone).date(), local(to_at, time_zone).date()
    passed_over = partial(log.warning, "a picture lacks a part of the archive: %s")
    rows = read_archive(state_dir / "archive", "verdicts", first, last, passed_over)
    return rows.filter(about).select(list(VERDICTS)).collect()


def _in_spans(state_dir: Path, about: pl.Expr) -> pl.DataFrame:
    found = [pl.DataFrame(schema=VERDICTS)]
    with StateDb(state_dir / "state.db") as db:
        last = db.last_span()
        if last is not None:
            after = max(db.cursor(ARCHIVED), last.seq - SPANS_MAX)
            for _, named in SpanFiles(state_dir / "spans", db, ("verdicts",)).spans_after(after):
                found += [named["verdicts"].filter(about)] if "verdicts" in named else []
    return pl.concat(found)
