"""The portal behind a real nginx on the shipped file: people come in over TLS, pages and events live on through it."""

import json
import ssl
import threading
from datetime import timedelta

import httpx
import pytest
from playwright.sync_api import expect

from store.portal_db import PortalDb
from store.state_db import StateDb

from ..answering import Answer, Answering
from ..viewer.browser import chromium
from ..viewer.centre import PASSWORD, fill
from ..viewer.centre import serving as portal_serving
from .nginx import serving

pytestmark = [pytest.mark.server, pytest.mark.long]
CLIENT = "127.0.0.2"  # not the proxy's own address
FORGED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "Forwarded": "for=203.0.113.9"}


@pytest.fixture(scope="module")
def centre(tmp_path_factory):
    return fill(tmp_path_factory, tmp_path_factory.mktemp("behind"))


@pytest.fixture(scope="module")
def url(centre, shared_deployment, tmp_path_factory, require_program, free_ports):
    """As people reach it: a portal that trusts the proxy, and has no `public_url` to know better by."""
    plain, tls, port = free_ports(3)
    folder, web = tmp_path_factory.mktemp("nginx"), shared_deployment.web.key.parent
    with (
        Answering(lambda _: Answer(404)) as grafana,
        portal_serving(centre, port, trusted_proxies=("127.0.0.1",)),
        serving(require_program("nginx"), folder, (plain, tls), web, {"portal": port, "grafana": grafana.port}),
    ):
        yield f"https://127.0.0.1:{tls}"


@pytest.fixture
def client(url, shared_deployment):
    """client() comes from CLIENT, trusts the deployment's authority alone, and forges what a proxy says."""
    trusted = ssl.create_default_context(cafile=str(shared_deployment.authority.certificate))
    made = []

    def come() -> httpx.Client:
        transport = httpx.HTTPTransport(verify=trusted, local_address=CLIENT)
        made.append(httpx.Client(base_url=url, transport=transport, headers=FORGED, timeout=60))
        return made[-1]

    yield come
    for one in made:
        one.close()


def signed_in(client: httpx.Client) -> httpx.Response:
    return client.post("/api/v1/session", json={"name": "duty", "password": PASSWORD})


def test_who_comes_in_is_noted_with_his_own_address_and_gets_a_cookie_for_tls_alone(client, centre):
    answer = signed_in(client())
    assert answer.status_code == 200, answer.text
    (cookie,) = answer.headers.get_list("set-cookie")
    assert {"secure", "httponly", "samesite=lax"} <= {word.strip().lower() for word in cookie.split(";")}
    with PortalDb(centre.state_dir / "portal.db") as db:
        assert db.logins(None, 1)[0]["address"] == CLIENT


def test_every_header_that_browsers_obey_is_said_once(client):
    headers = client().get("/login").headers
    for name, value in {
        "Strict-Transport-Security": "max-age=31536000",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
    }.items():
        assert headers.get_list(name) == [value]


@pytest.fixture
def page(require_program, url):
    """Somebody's, who has come in through the form; the certificate is looked at by `client`."""
    with chromium(require_program) as browser:
        context = browser.new_context(ignore_https_errors=True, locale="en-GB")
        page = context.new_page()
        page.goto(f"{url}/d/gi-overview-en/centre-overview?from=now-6h&to=now")
        page.fill("[name=name]", "duty")
        page.fill("[name=password]", PASSWORD)
        page.click("form button")
        yield page


def test_a_page_keeps_its_address_its_socket_and_its_buttons(page, url):
    page.wait_for_url(f"{url}/d/gi-overview-en?from=now-6h&to=now")  # led back by the portal, port included
    with page.expect_websocket() as opened:
        page.goto(f"{url}/alerts?lang=en")
    assert opened.value.url.startswith(url.replace("https", "wss", 1))
    page.wait_for_selector("[data-act=acknowledge]")
    page.locator("[data-act=acknowledge]").first.click()
    page.locator(".gi-dialog textarea").fill("on my way")
    with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        page.locator(".gi-dialog .gi-first").click()
    assert answered.value.status == 202, answered.value.text()
    assert not opened.value.is_closed()


def test_what_is_decided_comes_through_at_once_as_an_event_and_on_an_open_page(client, page, url, centre):
    one, heard, began = client(), [], threading.Event()
    signed_in(one)

    def listen() -> None:
        with one.stream("GET", "/api/v1/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            began.set()
            for line in answer.iter_lines():  # the stream itself goes on
                if line.startswith("data:"):
                    heard.append(json.loads(line.removeprefix("data:")))
                    return

    with StateDb(centre.state_dir / "state.db") as db:
        known = [(row["seq"], row["episode"]) for row in db.transitions()]
    page.wait_for_url("**/d/gi-overview-en?*")
    page.goto(f"{url}/alerts?lang=en")
    thread = threading.Thread(target=listen)
    thread.start()
    assert began.wait(30)
    centre.journal(timedelta(hours=2))
    centre.decide()
    with StateDb(centre.state_dir / "state.db") as db:
        known_episodes = {episode for _, episode in known}
        opened = [one for one in db.open_episodes() if one["id"] not in known_episodes]
    newest = max(opened, key=lambda one: one["opened_at"])
    expect(page.locator(f"[data-alert='{newest['id']}']")).to_be_visible(timeout=5_000)
    thread.join(timeout=5)
    assert [told["seq"] for told in heard] == [known[-1][0] + 1]
