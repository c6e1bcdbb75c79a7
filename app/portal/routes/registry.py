"""/api/v1/tree, /stations, /points: what there is to measure, as far as the scope goes, and when it was last heard."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

import polars as pl
from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field

from contracts.points import point_table
from contracts.reasons import LEVELS
from contracts.site import FACILITY_SUBJECT, PARK_SUBJECT
from store.alert_reads import NotReadable

from ..auth import User, centre_of, needs, seen
from ..centre import Centre
from ..last_seen import Heard
from ..paging import PAGE, Cursor, Limit, Page, cursor_of, read_cursor
from ..problems import DOCUMENTED, Problem

router = APIRouter(tags=["registry"], responses=DOCUMENTED)

Reader = Annotated[User, Depends(needs("data.read"))]
Word = Annotated[str | None, Query(max_length=200)]
SILENT_AFTER = timedelta(minutes=15)  # or three times the longest interval of its points, where that is longer
Presence = Literal["reporting", "silent", "not_heard"]


class Named(BaseModel):
    id: str
    name_zh: str
    name_en: str


class Outlet(Named):
    medium: str
    outlet_no: str | None
    stations: list[Named]


class Enterprise(Named):
    industry: str
    permit_no: str | None
    facilities: list[Named] = Field(description="Its own treatment, registered as a facility")
    outlets: list[Outlet]


class Park(Named):
    subject: str | None = Field(description="What verdicts on it stand under; null: not in the scope")
    facilities: list[Named] = Field(description="Of no one enterprise")
    enterprises: list[Enterprise]
    outlets: list[Outlet] = Field(description="Of no enterprise")


class County(Named):
    parks: list[Park]
    enterprises: list[Enterprise] = Field(description="Of no park")
    outlets: list[Outlet] = Field(description="Of no enterprise and no park")


class Tree(BaseModel):
    site: Named
    time_zone: str
    counties: list[County]


class Station(Named):
    outlet: str | None
    enterprise: str | None
    park: str | None
    county: str | None
    latitude: float | None
    longitude: float | None
    state: Presence = Field(
        description="silent: for 15 minutes or three of its intervals; not_heard: not within the last two days"
    )
    received_at: datetime | None = Field(description="When its last reading came")
    event_at: datetime | None = Field(description="The latest instant it spoke of")
    open_alerts: dict[str, int] = Field(description="By level")


class Stations(Page[Station]):
    as_of: datetime | None = Field(description="The site's clock; null: it has not begun")


class Point(BaseModel):
    station: str
    factor: str
    factor_zh: str
    factor_en: str
    unit: str
    decimals: int
    interval_s: int
    sent_as: str | None = Field(description="The kind and period of reading that feeds it; null: made of other points")


@router.get("/tree", summary="Counties, parks, enterprises, outlets and stations")
def tree(request: Request, user: Reader) -> Tree:
    centre = centre_of(request)
    site, subjects = centre.site, user.subjects
    sees = lambda name: subjects is None or name in subjects  # noqa: E731
    stations: dict[str, list[Named]] = {}
    for one in site.stations:
        if sees(one.station):
            stations.setdefault(one.outlet, []).append(_named(one.station, one))
    owned: dict[tuple[str | None, str | None, str], list[Outlet]] = {}
    for one in site.outlets:
        if one.outlet in stations:
            made = Outlet(
                **_named(one.outlet, one).model_dump(),
                medium=one.medium,
                outlet_no=one.outlet_no,
                stations=stations[one.outlet],
            )
            owned.setdefault((one.enterprise, None if one.enterprise else one.park, one.county), []).append(made)
    of_enterprise: dict[str, list[Outlet]] = {}
    for (enterprise, _, _), outlets in owned.items():
        if enterprise is not None:
            of_enterprise.setdefault(enterprise, []).extend(outlets)
    enterprises = [one for one in site.enterprises if one.enterprise in of_enterprise]

    def facilities(park: str | None, enterprise: str | None) -> list[Named]:
        mine = (its for its in site.facilities if its.enterprise == enterprise and (enterprise or its.park == park))
        return [_named(its.facility, its) for its in mine if sees(FACILITY_SUBJECT + its.facility)]

    def works(park: str | None, county: str) -> list[Enterprise]:
        return [
            Enterprise(
                **_named(one.enterprise, one).model_dump(),
                industry=one.industry,
                permit_no=one.permit_no,
                facilities=facilities(None, one.enterprise),
                outlets=of_enterprise[one.enterprise],
            )
            for one in enterprises
            if one.park == park and (park is not None or one.county == county)
        ]

    def parks(county: str) -> list[Park]:
        found = []
        for one in (one for one in site.parks if one.county == county):
            shared = facilities(one.park, None)
            own = works(one.park, county)
            outlets = [each for (_, park, _), its in owned.items() if park == one.park for each in its]
            is_seen = sees(PARK_SUBJECT + one.park)
            if is_seen or shared or own or outlets:
                subject = PARK_SUBJECT + one.park if is_seen else None
                about = {"subject": subject, "facilities": shared, "enterprises": own, "outlets": outlets}
                found.append(Park(**_named(one.park, one).model_dump(), **about))
        return found

    known = {one.county: _named(one.county, one) for one in site.counties}
    for name in sorted(centre.places.known["county"] - set(known)):
        known[name] = Named(id=name, name_zh=name, name_en=name)
    counties = []
    for name, named in known.items():
        rest = [each for key, its in owned.items() if key[:2] == (None, None) and key[2] == name for each in its]
        made = County(**named.model_dump(), parks=parks(name), enterprises=works(None, name), outlets=rest)
        if made.parks or made.enterprises or made.outlets:
            counties.append(made)
    about = Named(id=site.file.site, name_zh=site.file.name.zh, name_en=site.file.name.en)
    return Tree(site=about, time_zone=site.time_zone, counties=counties)


@router.get("/stations", summary="Stations, when each was last heard, and its open alerts")
def stations(
    request: Request,
    user: Reader,
    enterprise: Word = None,
    park: Word = None,
    county: Word = None,
    outlet: Word = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Stations:
    centre = centre_of(request)
    wanted = centre.places.where(enterprise=enterprise, park=park, county=county, outlet=outlet)
    (after,) = read_cursor(cursor, (str,)) or ("",)
    names = sorted(one.station for one in centre.site.stations if one.station in wanted and user.sees(one.station))
    page = [name for name in names if name > after]
    items, as_of = _stations(centre, page[:limit])
    more = cursor_of(page[limit - 1]) if len(page) > limit else None
    return Stations(items=items, next=more, as_of=as_of)


@router.get("/stations/{station}", summary="One station")
def one_station(request: Request, user: Reader, station: Annotated[str, Path(max_length=100)]) -> Station:
    centre = centre_of(request)
    known_station(centre, user, station)
    items, _ = _stations(centre, [station])
    return items[0]


@router.get("/points", summary="What a station measures, and what is made of it")
def points(
    request: Request,
    user: Reader,
    station: Annotated[str, Query(max_length=100)],
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Page[Point]:
    centre = centre_of(request)
    known_station(centre, user, station)
    (after,) = read_cursor(cursor, (str,)) or ("",)
    mine = (pl.col("station") == station) & pl.col("is_published") & (pl.col("factor") > after)
    rows = point_table(centre.site).filter(mine).sort("factor")
    items = [
        Point(
            station=station,
            factor=row["factor"],
            factor_zh=centre.texts.named(row["factor"], "zh"),
            factor_en=centre.texts.named(row["factor"], "en"),
            unit=row["unit"],
            decimals=row["decimals"],
            interval_s=row["interval_s"],
            sent_as=None if row["kind"] is None else f"{row['kind']}/{row['period_s']}",
        )
        for row in rows.head(limit).iter_rows(named=True)
    ]
    return Page(items=items, next=cursor_of(items[-1].factor) if rows.height > limit else None)


def known_station(centre: Centre, user: User, station: str) -> None:
    """Raises Problem (404) for a station that is not in the registry, or not in the scope."""
    if station not in centre.places.known["stations"]:
        raise Problem("not-found", what_zh="站点", what_en="station")
    seen(user, station, "站点", "station")


def _stations(centre: Centre, names: list[str]) -> tuple[list[Station], datetime | None]:
    try:
        heard, clock_at = centre.last_seen.now()
    except NotReadable as error:
        raise Problem("not-ready", what=str(error)) from error
    open_alerts: dict[str, dict[str, int]] = {}
    with centre.state() as db:
        for subject, level in db.open_levels():
            counted = open_alerts.setdefault(subject, {})
            counted[level] = counted.get(level, 0) + 1
    longest: dict[str, int] = {}
    for point in centre.site.points:
        longest[point.station] = max(longest.get(point.station, 0), point.interval_s)
    by_name = {one.station: one for one in centre.site.stations}
    items = []
    for name in names:
        one, place, its = by_name[name], centre.places.of[name], heard.get(name)
        levels = open_alerts.get(name, {})
        items.append(
            Station(
                **_named(name, one).model_dump(),
                outlet=place.outlet,
                enterprise=place.enterprise,
                park=place.park,
                county=place.county,
                latitude=one.latitude,
                longitude=one.longitude,
                state=_state(its, clock_at, longest.get(name, 60)),
                received_at=centre.civil_or_none(its and its.received_at),
                event_at=centre.civil_or_none(its and its.event_at),
                open_alerts={level: levels[level] for level in LEVELS if level in levels},
            )
        )
    return items, centre.civil_or_none(clock_at)


def _state(heard: Heard | None, clock_at: datetime | None, interval_s: int) -> Presence:
    if heard is None or clock_at is None:
        return "not_heard"
    patience = max(SILENT_AFTER, timedelta(seconds=3 * interval_s))
    return "silent" if clock_at - heard.received_at > patience else "reporting"


def _named(name: str, one: object) -> Named:
    return Named(id=name, name_zh=one.name_zh, name_en=one.name_en)  # type: ignore[attr-defined]
