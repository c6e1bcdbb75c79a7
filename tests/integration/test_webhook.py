"""The webhook sender against real receivers on the loopback."""

import hashlib
import hmac
import json

import httpx
import pytest

from contracts.channels import Webhook
from contracts.ports import Notification
from contracts.reasons import Receipt
from notify.senders.webhook import WebhookSender

SECRET = b"between the two of us"
NOTIFICATION = Notification("k" * 64, "duty", {"text": "NOx 小时均值 58.2 mg/m³", "level": "red", "value": 58.2})


@pytest.fixture
def client():
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=30) as client:
        yield client


def sender(url: str, client: httpx.Client, secret: bytes | None = SECRET, timeout_s: float = 5.0) -> WebhookSender:
    return WebhookSender(Webhook(name="duty", url="http://from.the.argument"), url, secret, client, timeout_s=timeout_s)


def test_a_delivered_notification_is_json_with_its_key_and_a_signature_that_verifies(receiver, client):
    server = receiver(200)
    assert sender(server.url, client).send(NOTIFICATION, 1) == (Receipt.DELIVERED, "HTTP 200", 0.0)
    ((_, headers, body),) = server.seen
    assert json.loads(body) == NOTIFICATION.body
    assert headers["Content-Type"].startswith("application/json")
    assert headers["X-GreenIsland-Key"] == NOTIFICATION.key
    assert headers["X-GreenIsland-Attempt"] == "1"
    assert headers["X-GreenIsland-Signature"] == "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()


def test_without_a_secret_nothing_is_signed(receiver, client):
    server = receiver(204)
    assert sender(server.url, client, secret=None).send(NOTIFICATION, 1)[0] == Receipt.DELIVERED
    assert "X-GreenIsland-Signature" not in server.seen[0].headers


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
    got, detail, _ = sender(server.url, client).send(NOTIFICATION, 1)
    assert got == receipt
    assert str(status) in detail
    assert len(server.seen) == 1


def test_a_second_attempt_repeats_key_and_body(receiver, client):
    server = receiver(500, 200)
    webhook = sender(server.url, client)
    assert [webhook.send(NOTIFICATION, attempt)[0] for attempt in (1, 2)] == [Receipt.FAILED, Receipt.DELIVERED]
    (_, first, first_body), (_, second, second_body) = server.seen
    assert (first["X-GreenIsland-Key"], first_body) == (second["X-GreenIsland-Key"], second_body)


def test_a_slow_receiver_is_a_failure_in_bounded_time(receiver, client):
    server = receiver(0)
    receipt, detail, _ = sender(server.url, client, timeout_s=0.2).send(NOTIFICATION, 1)
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
    shown = [repr(webhook), str(dead), *webhook.send(NOTIFICATION, 1)[:2], *dead.send(NOTIFICATION, 1)[:2]]
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
    with pytest.raises(ValueError, match="`url` must be") as caught:
        sender(url, client)
    assert "x-secret" not in str(caught.value)
