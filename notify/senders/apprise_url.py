"""Notifications through Apprise, for services that have no sender of their own here.

Promises: Apprise is imported only where a channel names it; neither its address nor its log lines are shown.
Does not promise more than Apprise's own word: for DingTalk, WeCom and Feishu it calls a refusal a success.
"""

import logging

from contracts.channels import Apprise
from contracts.ports import Notification, Sent
from contracts.reasons import Receipt

from .wording import language_of, marked, plain, title_of

INSTALL = "needs Apprise, which is not installed: pip install 'greenisland[apprise]'"


class AppriseSender:
    """contracts.ports.Sender. Raises ValueError where Apprise is missing or does not know the address."""

    def __init__(self, channel: Apprise, url: str):
        try:
            import apprise
        except ImportError as error:
            raise ValueError(INSTALL) from error
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines repeat addresses
        self._channel, self._service = channel, apprise.Apprise()
        if not self._service.add(url):
            raise ValueError("Apprise does not know the address in `url_file`; see its list of services")

    def __repr__(self) -> str:
        return f"AppriseSender({self._channel.name!r})"

    def send(self, notification: Notification, attempt: int) -> Sent:
        body = notification.body
        language = language_of(body, self._channel.language)
        title = marked(title_of(body), attempt, language)
        if self._service.notify(title=title, body=plain(body, attempt, language)):
            return Sent(Receipt.DELIVERED, "Apprise says it was taken")
        return Sent(Receipt.FAILED, "Apprise says it was not taken; its address in url_file, or the service")
