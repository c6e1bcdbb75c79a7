"""Notifications to a webhook: one signed POST an attempt.

Promises: never raises for what the network or the receiver does; neither URL nor secret appears in a receipt's detail
or a repr (a robot's URL is itself a secret). Does not promise exactly once: a receiver drops a key it has seen.
"""

import hmac
import json

import httpx

from contracts.channels import Webhook
from contracts.ports import Notification, Sent

from .http_post import TIMEOUT_S, Answer, address, ask
from .wording import TemplateError, fill, template_values


class WebhookSender:
    """contracts.ports.Sender for one webhook of the site.

    client: redirects are not followed, whatever it was made with.
    Raises ValueError at construction for an address nothing could be sent to.
    """

    def __init__(
        self, webhook: Webhook, url: str, secret: bytes | None, client: httpx.Client, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._webhook, self._secret, self._client, self._timeout_s = webhook, secret, client, timeout_s
        self._url = address(url, "url" if webhook.url_file is None else "url_file")

    def __repr__(self) -> str:
        return f"WebhookSender({self._webhook.name!r})"

    def send(self, notification: Notification, attempt: int) -> Sent:
        """The status is all that counts. Where the template cannot be filled the notification goes as it is."""
        said, content = "", notification.body
        if self._webhook.body is not None:
            try:
                content = fill(self._webhook.body, template_values(notification, attempt))
            except TemplateError as error:
                said = f"{error}; the notification went as it is; "
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "X-GreenIsland-Key": notification.key,
            "X-GreenIsland-Attempt": str(attempt),
        }
        if self._secret is not None:
            headers["X-GreenIsland-Signature"] = signature(self._secret, body)
        answer = ask(
            self._client, "POST", self._url, content=body, headers=headers, timeout_s=self._timeout_s, reads=False
        )
        sent = answer.sent if isinstance(answer, Answer) else answer
        return sent._replace(detail=said + sent.detail)


def signature(secret: bytes, body: bytes) -> str:
    """Value of X-GreenIsland-Signature: HMAC-SHA256 over the body's bytes as sent."""
    return "sha256=" + hmac.new(secret, body, "sha256").hexdigest()
