"""One outlet's year of hourly values and verdicts, out of five years of archive: as frames, and as the API's JSON.

Does not measure an archive with minutes in it, whose row groups take longer to pass over, nor what is not archived yet.
"""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from contracts.clock import SystemClock
from contracts.instants import epoch_us
from contracts.site import Site
from store.portal_db import Account, Token

from ..portal import passwords
from ..portal.app import PREFIX, create_app
from ..portal.decided import Asked
from .harness import Figure, Size, alternate, figure
from .rejudge import archive_of
from .workload import FACTORS, START, site_of

OUTLETS, YEAR_DAYS, YEARS = 5, 365, 5
YEAR_S_MAX = 2.0


def measure(size: Size) -> list[Figure]:
    """An outlet of 14 factors, 122,640 hours with a verdict each; over HTTP one of its factors, 8,760 of each."""
    days, outlets = size.of(YEAR_DAYS, least=2), size.of(OUTLETS, least=2)
    site = site_of(outlets=outlets, stations=1)
    site = site.model_copy(update={"file": site.file.model_copy(update={"time_zone": "UTC"})})
    with tempfile.TemporaryDirectory(prefix="greenisland-bench-", dir=size.folder) as folder:
        state_dir = Path(folder)
        archive_of(site, YEARS * days, state_dir, ("aggregates", "verdicts"))
        app, token = _portal(site, state_dir)
        from_at = START + timedelta(days=(YEARS - 2) * days)  # neither the first nor the last one
        to_at = from_at + timedelta(days=days)
        station, factor = site.stations[outlets // 2], site.points[0].factor
        asked = Asked({station.station}, from_at, to_at, period="hour")
        hours = days * 24
        decided = app.state.centre.decided

        def as_frames() -> None:
            for table in ("aggregates", "verdicts"):
                rows = decided.read(table, asked, None, 10 * hours * FACTORS).rows
                assert rows.height == hours * FACTORS, rows.height

        def as_json() -> None:
            about = {"period": "hour", "factor": factor, "from": from_at.isoformat(), "to": to_at.isoformat()}
            values = _all(app, token, "/series", {**about, "station": station.station, "points": 5_000})
            verdicts = _all(app, token, "/verdicts", {**about, "outlet": station.outlet, "limit": 10_000})
            assert len(values) == len(verdicts) == hours, (len(values), len(verdicts))

        try:
            frames, pages = alternate(size.rounds, as_frames, as_json)
        finally:
            app.state.centre.close()
    return [
        figure("an outlet's year, 14 factors", "s", frames.wall, ("<=", YEAR_S_MAX)),
        figure("a factor's year over the API", "s", pages.wall, ("<=", YEAR_S_MAX)),
    ]


def _portal(site: Site, state_dir: Path) -> tuple[FastAPI, str]:
    """The application, and the token of somebody who sees everything."""
    clock = SystemClock()
    app = create_app(site, [], state_dir, clock)
    token, prefix = passwords.new_token()
    now_us, until_us = epoch_us(clock.now()), epoch_us(clock.now() + timedelta(days=1))
    db = app.state.centre.db
    db.add_user(Account("bench", "bench", "viewer", "city", (), now_us, None), "no password", "bench")
    db.add_token(Token(prefix, "bench", "bench", now_us, until_us, None), passwords.digest(token), "bench")
    return app, token


def _all(app: FastAPI, token: str, path: str, query: dict[str, Any]) -> list[object]:
    """The items of every page."""

    async def pages() -> list[object]:
        found, cursor = [], {}
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://bench", headers=headers
        ) as client:
            while True:
                answer = await client.get(PREFIX + path, params={**query, **cursor})
                answer.raise_for_status()
                page = answer.json()
                found += page["items"]
                if page["next"] is None:
                    return found
                cursor = {"cursor": page["next"]}

    return asyncio.run(pages())
