"""/api/v1/verdicts, /series: what was decided of a station's windows, with every revision; and the windows' means."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from contracts.reasons import Verdict as State
from store.alert_reads import NotReadable

from ..alerts import number
from ..auth import User, centre_of, needs
from ..centre import Centre
from ..decided import Asked, Decided, Found
from ..paging import ROWS, Cursor, Instant, Page, Rows, cursor_of, read_cursor
from ..problems import DOCUMENTED, Problem

router = APIRouter(tags=["data"], responses=DOCUMENTED)

Reader = Annotated[User, Depends(needs("data.read"))]
Subject = Annotated[str | None, Query(max_length=100, description="A station, `park:...` or `facility:...`")]
Word = Annotated[str | None, Query(max_length=100)]
From = Annotated[Instant, Query(alias="from", description="Windows that start at or after it")]
To = Annotated[Instant, Query(description="Windows that start before it")]
Period = Literal["instant", "minute", "five_minute", "hour", "day", "month", "year"]
Shown = Literal["minute", "five_minute", "hour", "day", "month", "year"]
# the longest range that may be asked for at once
RANGE_MAX = {
    **dict.fromkeys(("instant", "minute", "five_minute"), timedelta(days=32)),
    **dict.fromkeys(("hour", "day", "month", "year"), timedelta(days=3660)),
    None: timedelta(days=400),
}
LENGTH = {
    "minute": timedelta(minutes=1),
    "five_minute": timedelta(minutes=5),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "month": timedelta(days=31),
    "year": timedelta(days=366),
}
POINTS_MAX, POINTS = 5_000, 2_000
WAIT_S = 10


class Verdict(BaseModel):
    rule: str
    station: str
    factor: str
    period: str
    window_at: datetime
    window_s: int
    revision: int
    decided_at: datetime
    state: str
    reason: str | None
    level: str | None
    value: str | None = Field(description="As compared; text, so that no digit is lost")
    limit: str | None
    unit: str
    limit_id: str | None
    valid_n: int
    expected_n: int


class Mean(BaseModel):
    window_at: datetime
    revision: int
    decided_at: datetime
    value: float | None = Field(description="Rounded to the factor's decimals, half to even; null: no valid part")
    sum: str = Field(description="Exact sum of the valid parts")
    valid_n: int
    present_n: int
    expected_n: int
    min: float | None
    max: float | None
    reason: str | None = Field(description="Why it cannot be judged; null: it can")


class Series(Page[Mean]):
    station: str
    factor: str
    factor_zh: str
    factor_en: str
    period: Shown = Field(description="Without `period` the finest whose windows fit into `points`")
    unit: str | None


@router.get("/verdicts", summary="Verdicts of a station or an outlet, in the order of their windows")
def verdicts(
    request: Request,
    user: Reader,
    from_: From,
    to: To,
    station: Subject = None,
    outlet: Word = None,
    factor: Word = None,
    rule: Word = None,
    period: Period | None = None,
    state: State | None = None,
    revisions: Literal["latest", "all"] = "latest",
    limit: Rows = ROWS,
    cursor: Cursor = None,
) -> Page[Verdict]:
    centre = centre_of(request)
    if (station is None) == (outlet is None):
        raise Problem("wrong-input", what="give either station or outlet")
    stations = {station} if station is not None else centre.places.where(outlet=outlet)
    _in_scope(centre, user, stations)
    asked = Asked(
        stations=stations,
        from_at=from_,
        to_at=to,
        factors=None if factor is None else {factor},
        period=period,
        rule=rule,
        state=state,
        all_revisions=revisions == "all",
    )
    _check_range(asked)
    found, after = _read(centre, "verdicts", asked, cursor, limit)
    return Page(
        items=[_verdict(centre, row) for row in found.rows.head(limit).to_dicts()], next=after, notes=found.notes
    )


@router.get("/verdicts/revisions", summary="Every revision of one verdict, the first one first")
def revisions(
    request: Request,
    user: Reader,
    rule: Annotated[str, Query(max_length=100)],
    station: Annotated[str, Query(max_length=100)],
    factor: Annotated[str, Query(max_length=100)],
    period: Period,
    window_at: Annotated[Instant, Query(description="Start of the window")],
    limit_id: Word = None,
) -> Page[Verdict]:
    centre = centre_of(request)
    _in_scope(centre, user, {station})
    asked = Asked(
        stations={station},
        from_at=window_at,
        to_at=window_at + timedelta(microseconds=1),
        factors={factor},
        period=period,
        rule=rule,
        all_revisions=True,
    )
    found, after = _read(centre, "verdicts", asked, None, ROWS)
    rows = [row for row in found.rows.head(ROWS).to_dicts() if limit_id in (None, row["limit_id"])]
    if not rows:
        raise Problem("not-found", what_zh="判定", what_en="verdict")
    return Page(items=[_verdict(centre, row) for row in rows], next=after, notes=found.notes)


@router.get("/series", summary="A point's means, as they stand by the latest revision")
def series(
    request: Request,
    user: Reader,
    station: Annotated[str, Query(max_length=100)],
    factor: Annotated[str, Query(max_length=100)],
    from_: From,
    to: To,
    period: Annotated[Shown | None, Query(description="None: the finest that fits into `points`")] = None,
    points: Annotated[int, Query(ge=1, le=POINTS_MAX)] = POINTS,
    cursor: Cursor = None,
) -> Series:
    centre = centre_of(request)
    _in_scope(centre, user, {station})
    chosen = period or fitting(to - from_, points)
    asked = Asked(stations={station}, from_at=from_, to_at=to, factors={factor}, period=chosen)
    _check_range(asked)
    found, after = _read(centre, "aggregates", asked, cursor, points)
    rows = found.rows.head(points).to_dicts()
    return Series(
        station=station,
        factor=factor,
        factor_zh=centre.texts.named(factor, "zh"),
        factor_en=centre.texts.named(factor, "en"),
        period=chosen,
        unit=rows[0]["unit"] if rows else None,
        items=[_mean(centre, row) for row in rows],
        next=after,
        notes=found.notes,
    )


def fitting(stretch: timedelta, points: int) -> Shown:
    """The finest period whose windows are no more than so many; `five_minute` is made for furnaces alone."""
    for period in ("minute", "hour", "day", "month"):
        if stretch / LENGTH[period] <= points and stretch <= RANGE_MAX[period]:
            return period  # type: ignore[return-value]
    return "year"


def _in_scope(centre: Centre, user: User, stations: set[str]) -> None:
    """Raises Problem (404). Who sees everything may ask for a station that is no longer in the registry."""
    known = stations & set(centre.places.of) if user.subjects is not None else stations
    if not known or not all(user.sees(one) for one in known):
        raise Problem("not-found", what_zh="站点或排口", what_en="station or outlet")


def _check_range(asked: Asked) -> None:
    if asked.from_at >= asked.to_at:
        raise Problem("wrong-input", what=f"from: {asked.from_at.isoformat()} is not before `to`")
    if asked.to_at - asked.from_at > RANGE_MAX[asked.period]:
        of = f"of period {asked.period}" if asked.period else "without a period"
        days = RANGE_MAX[asked.period].days
        raise Problem("wrong-input", what=f"to: verdicts {of} are given for at most {days} days at once; ask for less")


def _read(centre: Centre, table: str, asked: Asked, cursor: str | None, limit: int) -> tuple[Found, str | None]:
    """A page and the cursor of the next one. The archive is read by two at once at most."""
    order = Decided.order(table)
    kinds = [datetime if name == "window_at" else int if name == "revision" else str for name in order]
    after = read_cursor(cursor, kinds)
    if after is not None and asked.from_at < after[0] < asked.to_at:  # nothing before its window is asked for
        asked = replace(asked, from_at=after[0])
    if not centre.reads.acquire(timeout=WAIT_S):
        raise Problem("busy", seconds=WAIT_S)
    try:
        found = centre.decided.read(table, asked, after, limit + 1)
    except NotReadable as error:
        raise Problem("not-ready", what=str(error)) from error
    finally:
        centre.reads.release()
    if found.rows.height <= limit:
        return found, None
    return found, cursor_of(*(found.rows[name][limit - 1] for name in order))


def _verdict(centre: Centre, row: dict[str, Any]) -> Verdict:
    return Verdict(
        **{
            name: row[name]
            for name in ("rule", "station", "factor", "period", "window_s", "revision", "state", "reason")
        },
        **{name: row[name] for name in ("level", "unit", "limit_id", "valid_n", "expected_n")},
        window_at=centre.civil(row["window_at"]),
        decided_at=centre.civil(row["decided_at"]),
        value=number(row["value_scaled"], row["decimals"]),
        limit=number(row["limit_scaled"], row["decimals"]),
    )


def _mean(centre: Centre, row: dict[str, Any]) -> Mean:
    decimals, n = row["decimals"], row["valid_n"]
    return Mean(
        **{name: row[name] for name in ("revision", "valid_n", "present_n", "expected_n", "reason")},
        window_at=centre.civil(row["window_at"]),
        decided_at=centre.civil(row["decided_at"]),
        value=mean_of(row["sum_scaled"], n, decimals),
        sum=number(row["sum_scaled"] or 0, decimals) or "0",
        min=_float(row["min_scaled"], decimals),
        max=_float(row["max_scaled"], decimals),
    )


def mean_of(sum_scaled: int | None, n: int, decimals: int) -> float | None:
    if not n or sum_scaled is None:
        return None
    with localcontext(prec=60):
        exact = Decimal(sum_scaled) / n
        return float(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN).scaleb(-decimals))


def _float(scaled: int | None, decimals: int) -> float | None:
    return None if scaled is None else float(Decimal(scaled).scaleb(-decimals))
