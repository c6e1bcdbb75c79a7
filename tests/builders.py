"""Small sites and samples for tests: one builder instead of forty literal frames."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from contracts.factors import standard_factors
from contracts.site import Limit, Name, Outlet, Pair, Point, Site, SiteFile, Station
from rules.windows.samples import SAMPLES

START = datetime(2026, 3, 1, tzinfo=UTC)


def site(
    points: list[dict[str, Any]] | None = None,
    *,
    medium: str = "flue_gas",
    limits: list[dict[str, Any]] = [],  # noqa: B006
    pairs: list[dict[str, Any]] = [],  # noqa: B006
    **file: Any,
) -> Site:
    """A site of one outlet per station; by default one station S1 with SO2 once a minute."""
    rows = points or [{}]
    made = [
        Point(**{"station": "S1", "factor": "a21026", "unit": "mg/m3", "kind": "avg", "period_s": 60, **row})
        for row in rows
    ]
    stations = sorted({point.station for point in made})
    return Site(
        file=SiteFile(
            **{
                "version": 1,
                "site": "test",
                "name": Name(zh="测试", en="test"),
                "time_zone": "Asia/Shanghai",
                **file,
            }
        ),
        factors=standard_factors(),
        outlets=tuple(
            Outlet(outlet=f"O-{name}", county="C1", medium=medium, name_zh=f"排口{name}", name_en=f"outlet {name}")
            for name in stations
        ),
        stations=tuple(
            Station(station=name, outlet=f"O-{name}", name_zh=f"站{name}", name_en=f"station {name}")
            for name in stations
        ),
        points=tuple(made),
        limits=tuple(
            Limit(
                **{
                    "limit_id": f"L{n}",
                    "outlet": "O-S1",
                    "factor": "a21026",
                    "period": "hour",
                    "limit": 50,
                    "unit": "mg/m3",
                    "basis": "permit",
                    "standard": "permit",
                    **row,
                }
            )
            for n, row in enumerate(limits)
        ),
        pairs=tuple(Pair(**row) for row in pairs),
    )


def sample(point: int, at: datetime, tick: datetime, value: int, valid: bool = True) -> dict[str, Any]:
    return {
        "point": point,
        "at": at,
        "tick": tick,
        "value": value,
        "valid": valid,
        "over": False,
        "device_revision": 0,
        "received_at": tick,
        "message": str(value).encode(),
    }


def samples(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SAMPLES)


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)
