"""Notifications to a webhook: one signed POST an attempt.

Promises: never raises for what the network or the receiver does; neither URL nor secret appears in a receipt's detail
or a repr (a robot's URL is itself a secret). Does not promise exactly once: a receiver drops a key it has seen.
"""

import hmac
import json
from urllib.parse import urlsplit

import httpx

from contracts.ports import Notification
from contracts.reasons import Receipt
from contracts.site import Webhook

TIMEOUT_S = 10.0
WORTH_RETRYING = frozenset({408, 425, 429})  # and every 5xx


class WebhookSender:
    """contracts.ports.Sender for one webhook of the site.

    client: shared by all webhooks; redirects are not followed, whatever it was made with.
    Raises ValueError at construction for an address nothing could be sent to.
    """

    def __init__(
        self, webhook: Webhook, secret: bytes | None, client: httpx.Client, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._name = webhook.name
        self._url = _address(webhook)
        self._secret = secret
        self._client = client
        self._timeout = httpx.Timeout(timeout_s)

    def __repr__(self) -> str:
        return f"WebhookSender({self._name!r})"

    def send(self, notification: Notification, attempt: int) -> tuple[str, str]:
        """(reasons.Receipt, detail). FAILED is worth another attempt, REFUSED is not."""
        body = json.dumps(notification.body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "X-GreenIsland-Key": notification.key,
            "X-GreenIsland-Attempt": str(attempt),
        }
        if self._secret is not None:
            headers["X-GreenIsland-Signature"] = signature(self._secret, body)
        try:
            # The status is all that counts: an answer of any length is left unread.
            with self._client.stream(
                "POST", self._url, content=body, headers=headers, timeout=self._timeout, follow_redirects=False
            ) as response:
                return _receipt(response.status_code)
        except httpx.TimeoutException as error:
            return Receipt.FAILED, f"no answer in time ({type(error).__name__})"
        except httpx.HTTPError as error:
            return Receipt.FAILED, f"no answer ({type(error).__name__})"


def signature(secret: bytes, body: bytes) -> str:
    """Value of X-GreenIsland-Signature: HMAC-SHA256 over the body's bytes as sent."""
    return "sha256=" + hmac.new(secret, body, "sha256").hexdigest()


def _receipt(status: int) -> tuple[Receipt, str]:
    detail = f"HTTP {status}"
    if 200 <= status < 300:
        return Receipt.DELIVERED, detail
    if status in WORTH_RETRYING or status >= 500:
        return Receipt.FAILED, detail
    if 300 <= status < 400:
        return Receipt.REFUSED, f"{detail}: redirects are not followed; configure the final address"
    return Receipt.REFUSED, detail


def _address(webhook: Webhook) -> httpx.URL:
    """The address, such that sending to it can only fail as the network fails."""
    wrong = f"webhook {webhook.name}: `url` must be an http:// or https:// address with a host"
    try:
        url, port = httpx.URL(webhook.url), urlsplit(webhook.url).port
        url.host.encode("idna")  # the resolver does, and raises UnicodeError for an empty or overlong label
    except (httpx.InvalidURL, ValueError):
        raise ValueError(wrong) from None  # their messages repeat the address
    if url.scheme not in ("http", "https") or not url.host or port == 0:
        raise ValueError(wrong)
    return url
