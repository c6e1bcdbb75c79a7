"""Parks in miniature: stations of one park, their samples, and the latest verdicts, for tests of what parks share."""

import polars as pl

from contracts.site import Enterprise, Outlet, Park, Point, Site, Station
from rules.evaluate import evaluate, verdicts
from rules.windows.advance import advance, start

from .builders import START, minutes, sample, samples, site


def park_site(stations: dict[str, tuple[str, list[str]]], **more) -> Site:
    """Stations of one park: name -> medium, factors; each at an outlet of its own, and standing where `at` says."""
    at = more.pop("at", {})
    base = site()
    return base.model_copy(
        update={
            "parks": (
                Park(park="P", county="C1", name_zh="园", name_en="park", latitude=28.0, longitude=107.0, **more),
            ),
            "enterprises": (
                Enterprise(enterprise="E", county="C1", park="P", name_zh="企", name_en="e", industry="coating"),
            ),
            "outlets": tuple(
                Outlet(outlet=f"O-{n}", enterprise="E", park="P", county="C1", medium=medium, name_zh=n, name_en=n)
                for n, (medium, _) in stations.items()
            ),
            "stations": tuple(
                Station(
                    station=n,
                    outlet=f"O-{n}",
                    name_zh=n,
                    name_en=n,
                    **dict(zip(("latitude", "longitude"), at.get(n, (None, None)), strict=True)),
                )
                for n in stations
            ),
            "points": tuple(
                Point(station=n, factor=f, unit=base.factors[f].unit, kind="avg", period_s=60)
                for n, (_, factors) in stations.items()
                for f in factors
            ),
        }
    )


def judged(plan, rows, until=600):
    return evaluate(plan, advance(plan, start(START), samples(rows), START + minutes(until)).decisions)


def decided(plan, rows, until=600):
    return verdicts(plan, judged(plan, rows, until)).sort("window_at", "revision").to_dicts()


def latest(plan, rows, until=600):
    """(station, limit_id, window_at) -> the latest verdict."""
    return {(row["station"], row["limit_id"], row["window_at"]): row for row in decided(plan, rows, until)}


def point_of(plan, station, factor):
    return plan.points.filter((pl.col("station") == station) & (pl.col("factor") == factor))["point"].item()


def hour_rows(plan, station, factor, hour, value, n, late):
    number = point_of(plan, station, factor)
    times = [START + minutes(60 * hour + minute) for minute in range(n)]
    return [sample(number, at, at + minutes(1 + late), value) for at in times]
