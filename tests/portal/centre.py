"""A centre for the portal's tests: three hours of the example site, decided by the real engine, part of it archived."""

import asyncio
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.demo import history
from app.operators import spool
from app.portal import passwords
from app.portal.app import create_app
from app.portal.roles import ROLES
from app.service.collector import journal_directory
from app.service.engine import Engine
from app.site.files import load_site
from app.site.record import activation, keep, site_content
from app.site.rule_files import load_rules
from contracts.instants import epoch_us
from contracts.ports import RawMessage
from contracts.site import Site
from rules.spec import Rule
from rules.ticks import clock_payload
from simulators.simulate import LiveSimulator
from store.archive import Archive
from store.journal import Journal
from store.portal_db import Account, PortalDb, Token
from store.spans import SpanFiles
from store.state_db import StateDb

ROOT = Path(__file__).resolve().parents[2]
ENDED_AT = datetime(2026, 3, 1, 6, 28, tzinfo=UTC)  # incidents of every kind lie before it
HOURS = 3
KEY = b"k" * 32
PASSWORD = "correct-horse-9"
# one of each role, and the scopes tests speak of
PEOPLE = {
    "viewer": ("viewer", "city", ()),
    "duty": ("duty", "city", ()),
    "duty-xs": ("duty", "county", ("520330",)),
    "reviewer": ("reviewer", "city", ()),
    "engineer": ("rule_engineer", "city", ()),
    "engineer-2": ("rule_engineer", "city", ()),
    "administrator": ("administrator", "city", ()),
    "enterprise": ("enterprise", "enterprise", ("xs-a",)),
    "maintenance": ("operation_maintenance", "stations", ("XS-COAL-1", "CHISHUI-R1")),
    "enforcement": ("enforcement", "park", ("zhengan",)),
}
OF_ROLE = {role: name for name, (role, _, _) in reversed(PEOPLE.items())}  # the first of each
assert set(OF_ROLE) == set(ROLES)


@dataclass
class SetClock:
    at: datetime

    def now(self) -> datetime:
        return self.at

    def real_s(self, simulated_s: float) -> float:
        return simulated_s


@dataclass
class Centre:
    """A state directory, and the parts that move it on by hand."""

    directory: Path
    site: Site
    rules: list[Rule]
    state_dir: Path
    clock: SetClock
    app: FastAPI | None = None
    tokens: dict[str, str] = field(default_factory=dict)

    def journal_and_decide(self, seconds: int = 5) -> None:
        self.journal(seconds)
        self.decide()

    def journal(self, seconds: int = 5) -> None:
        """What waits in the spool is journalled, and the clock goes on."""
        self.clock.at += timedelta(seconds=seconds)
        with Journal(journal_directory(self.state_dir, "main")) as journal:
            spool.drain(self.state_dir, journal, self.clock)
            self.clock.at += timedelta(seconds=1)
            row = RawMessage("mqtt", "$clock/main", clock_payload(self.clock.at))
            journal.append([row], self.clock.at)

    def decide(self, rows: int = 50_000) -> None:
        with closing(Engine(self.site, self.rules, self.state_dir, self.clock)) as engine:
            engine.recover()
            while engine.step(rows) is not None:
                pass
            engine.checkpoint()  # or the next one would decide all of it again

    def archive(self, spans: int) -> None:
        with StateDb(self.state_dir / "state.db") as db:
            Archive(
                self.state_dir / "archive", SpanFiles(self.state_dir / "spans", db), db, self.site.time_zone
            ).compact(spans)

    def start_app(self) -> FastAPI:
        self.app = create_app(self.site, self.rules, self.state_dir, self.clock, site_dir=self.directory, link_key=KEY)
        return self.app

    def client(self, person: str | None = None, base_url: str = "http://portal.test", **headers: str) -> "Client":
        """Of a person, by token; None: of nobody."""
        assert self.app is not None
        if person is not None:
            headers["Authorization"] = f"Bearer {self.tokens[person]}"
        return Client(self.app, base_url, headers)


class Client:
    """A browser or script before the application itself, without a socket. Keeps its cookies."""

    def __init__(self, app: FastAPI, base_url: str, headers: dict[str, str]):
        self._app, self._base_url, self.headers = app, base_url, headers
        self.cookies = httpx.Cookies()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)

    def delete(self, path: str, **more: Any) -> httpx.Response:
        return self.request("DELETE", path, **more)

    async def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, client=("192.0.2.1", 50_000))
        headers = {**self.headers, **more.pop("headers", {})}
        async with httpx.AsyncClient(
            transport=transport, base_url=self._base_url, headers=headers, cookies=self.cookies
        ) as client:
            answer = await client.request(method, path, **more)
            self.cookies = client.cookies
            return answer


def fill(folder: Path) -> Centre:
    """The journals of three hours, decided in several spans, the first of them archived, and everybody's account."""
    directory = folder / "site"
    shutil.copytree(ROOT / "deploy" / "sites" / "zunyi", directory)
    site = load_site(directory)
    rules = [one.rule for one in load_rules(directory, site)]
    state_dir = folder / "state"
    state_dir.mkdir()
    centre = Centre(directory, site, rules, state_dir, SetClock(ENDED_AT))
    simulator = LiveSimulator(site, 7, "default")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "LENGTH", timedelta(hours=HOURS))
        digest = keep(site_content(directory, site.file.library), state_dir)
        with Journal(journal_directory(state_dir, "main")) as journal:
            began_at = ENDED_AT - timedelta(hours=HOURS, minutes=1)
            rows = activation(digest, None, "system", "test", began_at)
            journal.append_history([(began_at, row) for row in rows])
        history.write_history(site, simulator, state_dir, ENDED_AT, _Never())  # type: ignore[arg-type]
    centre.decide(rows=500)
    centre.archive(3)
    add_people(centre)
    return centre


def add_people(centre: Centre) -> None:
    now_us = epoch_us(centre.clock.now())
    kept = passwords.hash_password(PASSWORD)
    with PortalDb(centre.state_dir / "portal.db") as db:
        for name, (role, kind, scope) in PEOPLE.items():
            db.add_user(Account(name, name.title(), role, kind, scope, now_us, None), kept, "test")
            token, prefix = passwords.new_token()
            until_us = epoch_us(centre.clock.now() + timedelta(days=30))
            db.add_token(Token(prefix, name, "test", now_us, until_us, None), passwords.digest(token), "test")
            centre.tokens[name] = token


def every(client: Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """The items of all pages."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = client.get(path, params={**query, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


class _Never:
    def is_set(self) -> bool:
        return False
