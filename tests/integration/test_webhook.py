"""The webhook sender against real receivers on the loopback, and the schedule of what they refuse."""

import hashlib
import hmac
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from contracts.ports import Notification
from contracts.reasons import Receipt
from contracts.site import Webhook
from notify.outbox import ATTEMPTS_MAX, WAIT_MAX_S, next_attempt_at, retry_after_s, settled
from notify.webhook import WebhookSender

SECRET = b"between the two of us"
NOTIFICATION = Notification("k" * 64, "duty", {"text": "NOx 小时均值 58.2 mg/m³", "level": "red", "value": 58.2})


class Receiver(ThreadingHTTPServer):
    """Answers one status a request, the last one for good; keeps what it was sent. 0 is no answer until `released`."""

    daemon_threads = True

    def __init__(self, *statuses: int):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = list(statuses)
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/robot?key=token-in-the-url"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((dict(self.headers), body))
        status = self.server.statuses[0] if len(self.server.statuses) == 1 else self.server.statuses.pop(0)
        if status == 0:
            self.server.released.wait(10)
            return
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def receiver():
    """receiver(200) listens until the test is over."""
    running: list[tuple[Receiver, threading.Thread]] = []

    def start(*statuses: int) -> Receiver:
        server = Receiver(*statuses)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def client():
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=30) as client:
        yield client


def sender(url: str, client: httpx.Client, secret: bytes | None = SECRET, timeout_s: float = 5.0) -> WebhookSender:
    return WebhookSender(Webhook(name="duty", url=url), secret, client, timeout_s=timeout_s)


def test_a_delivered_notification_is_json_with_its_key_and_a_signature_that_verifies(receiver, client):
    server = receiver(200)
    assert sender(server.url, client).send(NOTIFICATION, 1) == (Receipt.DELIVERED, "HTTP 200")
    ((headers, body),) = server.seen
    assert json.loads(body) == NOTIFICATION.body
    assert headers["Content-Type"].startswith("application/json")
    assert headers["X-GreenIsland-Key"] == NOTIFICATION.key
    assert headers["X-GreenIsland-Attempt"] == "1"
    assert headers["X-GreenIsland-Signature"] == "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()


def test_without_a_secret_nothing_is_signed(receiver, client):
    server = receiver(204)
    assert sender(server.url, client, secret=None).send(NOTIFICATION, 1)[0] == Receipt.DELIVERED
    assert "X-GreenIsland-Signature" not in server.seen[0][0]


@pytest.mark.parametrize(
    ("status", "receipt"),
    [
        (200, Receipt.DELIVERED),
        (202, Receipt.DELIVERED),
        (302, Receipt.REFUSED),
        (400, Receipt.REFUSED),
        (401, Receipt.REFUSED),
        (404, Receipt.REFUSED),
        (410, Receipt.REFUSED),
        (408, Receipt.FAILED),
        (425, Receipt.FAILED),
        (429, Receipt.FAILED),
        (500, Receipt.FAILED),
        (503, Receipt.FAILED),
    ],
)
def test_the_status_says_whether_to_try_again(receiver, client, status, receipt):
    server = receiver(status)
    got, detail = sender(server.url, client).send(NOTIFICATION, 1)
    assert got == receipt
    assert str(status) in detail
    assert len(server.seen) == 1


def test_a_second_attempt_repeats_key_and_body(receiver, client):
    server = receiver(500, 200)
    webhook = sender(server.url, client)
    assert [webhook.send(NOTIFICATION, attempt)[0] for attempt in (1, 2)] == [Receipt.FAILED, Receipt.DELIVERED]
    (first, first_body), (second, second_body) = server.seen
    assert (first["X-GreenIsland-Key"], first_body) == (second["X-GreenIsland-Key"], second_body)


def test_a_slow_receiver_is_a_failure_in_bounded_time(receiver, client):
    server = receiver(0)
    receipt, detail = sender(server.url, client, timeout_s=0.2).send(NOTIFICATION, 1)
    assert receipt == Receipt.FAILED
    assert "in time" in detail


def test_a_refused_connection_is_a_failure(free_port, client):
    assert sender(f"http://127.0.0.1:{free_port()}/", client).send(NOTIFICATION, 1)[0] == Receipt.FAILED


def test_a_receiver_that_does_not_speak_http_is_a_failure(receiver, client):
    server = receiver(0)
    server.released.set()  # closes the connection without an answer
    assert sender(server.url, client).send(NOTIFICATION, 1)[0] == Receipt.FAILED


def test_neither_secret_nor_address_is_ever_shown(receiver, client, free_port):
    server = receiver(500)
    webhook = sender(server.url, client)
    dead = sender(f"http://user:pass-word@127.0.0.1:{free_port()}/token-in-the-url", client)
    shown = [repr(webhook), str(dead), *webhook.send(NOTIFICATION, 1), *dead.send(NOTIFICATION, 1)]
    for text in shown:
        assert all(secret not in text for secret in ("between", "token", "pass-word", "127.0.0.1"))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x-secret",
        "host/x-secret",
        "http://",
        "http://[x-secret",
        "http://a..b/x-secret",
        "http://h:99999/x-secret",
        "",
    ],
)
def test_an_impossible_address_is_an_error_at_start_that_does_not_repeat_it(url, client):
    with pytest.raises(ValueError, match="webhook duty: `url` must be") as caught:
        sender(url, client)
    assert "x-secret" not in str(caught.value)


def test_waits_double_within_their_bounds_and_repeat_exactly():
    for attempt in range(1, 100):
        bound = min(WAIT_MAX_S, 5.0 * 2 ** (attempt - 1))
        waits = [retry_after_s(attempt, f"key-{n}") for n in range(20)]
        assert all(bound / 2 <= wait <= bound for wait in waits)
        assert len(set(waits)) == 20
        assert waits == [retry_after_s(attempt, f"key-{n}") for n in range(20)]


def test_a_receiver_down_for_half_a_day_is_still_told():
    waits_s = sum(retry_after_s(attempt, "key") for attempt in range(1, ATTEMPTS_MAX))
    assert 12 * 3600 <= waits_s <= 24 * 3600


def test_only_a_failure_before_the_last_attempt_is_tried_again():
    at = datetime(2026, 3, 1, tzinfo=UTC)
    assert next_attempt_at(Receipt.FAILED, 1, "key", at) == at + timedelta(seconds=retry_after_s(1, "key"))
    assert settled(Receipt.FAILED, ATTEMPTS_MAX - 1) == Receipt.FAILED
    assert settled(Receipt.FAILED, ATTEMPTS_MAX) == Receipt.GAVE_UP
    for receipt, attempt in ((Receipt.FAILED, ATTEMPTS_MAX), (Receipt.DELIVERED, 1), (Receipt.REFUSED, 1)):
        assert next_attempt_at(receipt, attempt, "key", at) is None
