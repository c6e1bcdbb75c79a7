"""The demo's pages: in a process of their own, with a login made for the run, gone with whoever started them."""

import json
import socket
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.bench.mosquitto import wait_until
from app.demo.pages import USUAL_PORT, Pages
from app.demo.run import DemoClock
from app.portal.apart import Setup, run_portal_apart
from app.portal.serve import NotServed
from app.site.files import load_site
from contracts.clock import SystemClock
from contracts.portal import Portal

from .centre import EXAMPLE

BEGINS_AT = datetime(2026, 3, 1, 6, 28, tzinfo=UTC)


@pytest.fixture(scope="module")
def site():
    return load_site(EXAMPLE)


def answers(url):
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_the_printed_login_lets_in_and_the_pages_end_with_the_demo(site, tmp_path):
    clock = DemoClock(BEGINS_AT, 60.0)
    pages = Pages(site, [], tmp_path, None, clock)
    url, about = pages.address.url, pages.address
    try:
        wait_until(lambda: pages.ended() is not None or answers(url), "the pages answer", 60)
        assert pages.ended() is None
        with httpx.Client(base_url=url) as client:
            assert client.get("/").headers["location"] == "/login?next=%2F"
            refused = client.post("/api/v1/session", json={"name": about.name, "password": "demo"})
            assert refused.status_code == 401
            assert signed_in(client, about)
            page = client.get("/")
            assert page.status_code == 200
            assert "gi-overview" in page.text
            assert "default-src 'self'" in page.headers["content-security-policy"]
            assert client.get("/api/v1/nothing").json()["type"] == "urn:greenisland:problem:no-such-page"
            clock.start()
            pages.set_clock(clock)
            later = client.post("/api/v1/tokens", json={"label": "x", "days": 1}, headers=csrf(client)).json()
            assert BEGINS_AT <= datetime.fromisoformat(later["made_at"]) < BEGINS_AT + timedelta(hours=2)
    finally:
        pages.close()
    assert not still_served(url, about)


def signed_in(client, about):
    return client.post("/api/v1/session", json={"name": about.name, "password": about.password}).status_code == 200


def still_served(url, about):
    """By these pages: another demo may have taken their port."""
    try:
        with httpx.Client(base_url=url) as client:
            return signed_in(client, about)
    except httpx.TransportError:
        return False


def csrf(client):
    return {"X-CSRF-Token": client.get("/api/v1/session").json()["csrf"]}


def test_two_demos_at_once_have_two_ports_and_two_passwords(site, tmp_path):
    clock = DemoClock(BEGINS_AT, 60.0)
    both = []
    try:
        for name in ("one", "another"):
            (tmp_path / name).mkdir()
            both.append(Pages(site, [], tmp_path / name, None, clock))
        one, another = (pages.address for pages in both)
        assert one.url != another.url
        assert not another.url.endswith(f":{USUAL_PORT}")
        assert one.password != another.password
        assert min(len(one.password), len(another.password)) >= 12
        for pages in both:
            wait_until(lambda url=pages.address.url: answers(url), "the pages answer", 60)
            with httpx.Client(base_url=pages.address.url) as client:
                assert signed_in(client, pages.address)
    finally:
        for pages in both:
            pages.close()


def test_beside_a_collector_the_portal_is_another_process_and_tells_why_it_ends(site, tmp_path, capfd):
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        portal = Portal(port=other.getsockname()[1])
        served = site.model_copy(update={"file": site.file.model_copy(update={"portal": portal})})
        setup = Setup(served, [], tmp_path, None, SystemClock(), log_form="json")
        with pytest.raises(NotServed, match="is the port taken"):
            run_portal_apart(setup, threading.Event(), NotServed)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]  # it logs as whoever started it
    assert any("nobody can sign in yet" in line["message"] for line in lines)
