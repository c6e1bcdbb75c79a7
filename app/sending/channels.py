"""The site's channels as senders, each with its schedule; made when the senders start.

Promises: secrets come from files, and a file that is missing, or that everybody may read, is an error with file and
key; all errors come at once. Does not promise that a receiver answers: `greenisland outbox test` asks one.
"""

import ssl
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from contracts import channels as kinds
from contracts.channels import Channel
from contracts.clock import Clock, SystemClock
from contracts.ports import Sender
from contracts.site import Site
from notify.senders.alertmanager import AlertmanagerSender
from notify.senders.apprise_url import AppriseSender
from notify.senders.dingtalk import DingTalkSender
from notify.senders.feishu import A_SECOND, FeishuSender
from notify.senders.mail import Acknowledges, DrawsTrend, MailSender, no_link, no_picture
from notify.senders.mqtt import MqttSender
from notify.senders.pace import Bound, Pace
from notify.senders.sms import SmsSender
from notify.senders.webhook import WebhookSender
from notify.senders.wecom import WeComSender

from ..site.yaml_lines import SiteError, SiteErrors
from .acknowledging import acknowledge_links
from .trend import trend_pictures

OTHERS = 0o007  # permissions of everybody
SITE_FILE = Path("site.yaml")


@dataclass(frozen=True)
class Outgoing:
    """A channel that can be sent to."""

    sender: Sender
    pace: Pace


def channels_of(site: Site, clock: Clock, stack: ExitStack, state_dir: Path | None = None) -> dict[str, Outgoing]:
    """By name. The stack closes what they keep open. Raises SiteErrors with everything that is wrong.

    state_dir: where trends are drawn from, and accounts looked up; None: mails have neither picture nor link.
    """
    made, errors = {}, []
    picture = no_picture if state_dir is None else trend_pictures(site, state_dir)
    for at, channel in enumerate(site.file.channels):
        reader = _Files(f"channels[{at}]", errors, state_dir)
        try:
            sender = _sender(site, channel, clock, stack, picture, reader)
        except ValueError as error:
            if not reader.failed:  # else it is what a missing file leads to
                errors.append(SiteError(SITE_FILE, None, f"channels[{at}] ({channel.name})", str(error)))
            continue
        made[channel.name] = Outgoing(sender, Pace(channel.name, bounds_of(channel)))
    if errors:
        raise SiteErrors(errors)
    return made


def check_channels(site: Site) -> None:
    """Makes the senders and throws them away. Raises SiteErrors."""
    with ExitStack() as stack:
        channels_of(site, SystemClock(), stack)


def bounds_of(channel: Channel) -> tuple[Bound, ...]:
    a_minute = () if channel.per_minute is None else ((channel.per_minute, 60.0),)
    return (*a_minute, A_SECOND) if isinstance(channel, kinds.Feishu) else a_minute


class _Files:
    """Reads what a channel's keys name; notes what cannot be read."""

    def __init__(self, place: str, errors: list[SiteError], state_dir: Path | None):
        self._place, self._errors, self._state_dir, self.failed = place, errors, state_dir, False

    def secret(self, channel: object, key: str) -> str | None:
        """The file's text; None where the key is not given, or the file is not as it must be."""
        path = getattr(channel, key)
        if path is None:
            return None
        try:
            mode = Path(path).stat().st_mode
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            return self._note(path, key, f"cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})")
        if mode & OTHERS:
            return self._note(
                path, key, f"is open to everybody (mode {mode & 0o777:04o}); it holds a secret: chmod 600 it"
            )
        return text or self._note(path, key, "is empty; it should hold the secret")

    def tls(self, channel: object) -> ssl.SSLContext:
        path = getattr(channel, "ca_file", None)
        if path is None:
            return ssl.create_default_context()
        try:
            return ssl.create_default_context(cadata=Path(path).read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError, ssl.SSLError) as error:
            self._note(path, "ca_file", f"is not a certificate in PEM form that can be read ({type(error).__name__})")
            return ssl.create_default_context()

    def links(self, site: Site, clock: Clock) -> Acknowledges:
        try:
            return acknowledge_links(site, clock, self._state_dir)
        except (OSError, ValueError) as error:
            assert site.file.portal is not None
            self.failed = True
            said = getattr(error, "strerror", None) or error
            self._errors.append(SiteError(Path(str(site.file.portal.key_file)), None, "portal.key_file", str(said)))
            return no_link

    def _note(self, path: str, key: str, said: str) -> None:
        self.failed = True
        self._errors.append(SiteError(Path(path), None, f"{self._place}.{key}", said))


def _sender(site: Site, channel: Channel, clock: Clock, stack: ExitStack, picture: DrawsTrend, files: _Files) -> Sender:
    """Raises ValueError for what nothing could be sent to."""

    def client() -> httpx.Client:
        return stack.enter_context(httpx.Client(verify=files.tls(channel)))

    make: dict[type[Channel], Callable[..., Sender]] = {
        kinds.Webhook: lambda it: WebhookSender(
            it,
            it.url or files.secret(it, "url_file") or "",
            _bytes(files.secret(it, "secret_file")),
            client(),
        ),
        kinds.Mail: lambda it: MailSender(
            it,
            files.secret(it, "password_file"),
            files.tls(it),
            clock,
            picture=picture,
            acknowledges=files.links(site, clock),
        ),
        kinds.Sms: lambda it: SmsSender(it, files.secret(it, "secret_file"), client()),
        kinds.DingTalk: lambda it: DingTalkSender(
            it, files.secret(it, "url_file") or "", files.secret(it, "secret_file"), client(), clock
        ),
        kinds.WeCom: lambda it: WeComSender(it, files.secret(it, "url_file") or "", client()),
        kinds.Feishu: lambda it: FeishuSender(
            it, files.secret(it, "url_file") or "", files.secret(it, "secret_file"), client(), clock
        ),
        kinds.MqttTopic: lambda it: _mqtt(site, it, files),
        kinds.Alertmanager: lambda it: AlertmanagerSender(
            it, files.secret(it, "password_file"), client(), clock, site=site.file.site
        ),
        kinds.Apprise: lambda it: AppriseSender(it, files.secret(it, "url_file") or ""),
    }
    return make[type(channel)](channel)


def _mqtt(site: Site, channel: kinds.MqttTopic, files: _Files) -> Sender:
    broker = channel.broker or site.file.broker
    tls = None if broker.ca_file is None else files.tls(broker)
    return MqttSender(channel, broker, files.secret(broker, "password_file"), tls)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
