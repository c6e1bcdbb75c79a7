"""The channels of a site: by what, and with which credentials, people are told. Read from `channels:` of site.yaml.

Promises: no secret stands in a model; each is the path of a file that only its owner (and group) may read.
Does not promise that a file is there or that anybody answers: `app.sending.senders` looks when it starts.
"""

from collections.abc import Iterator
from string import Template
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from .broker import Broker
from .strict import Identifier, Strict

# What a template may name. `alert`, `case` and `people` go on with a dot: ${alert.station}.
BODY_KEYS = [
    "text",
    "short",
    "title",
    "language",
    "level",
    "transition",
    "tick",
    "final_from",
    "clause",
    "alert",
    "alerts",
    "case",
    "people",
    "step",
    "link",
    "acknowledge_link",
]
ENVELOPE_KEYS = ("key", "attempt")
GATEWAY_KEYS = ("text", "text_json", "phone", "template_id", "signature", "secret", "key")
MAIL_ADDRESS = r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}$"
PHONE = r"^\+?[0-9]{5,20}$"
SMS_CHARACTERS_MAX = 70  # of one short message in UCS-2; a longer one is charged and shown as several

MailAddress = Annotated[str, Field(pattern=MAIL_ADDRESS)]
Phone = Annotated[str, Field(pattern=PHONE)]
PerMinute = Annotated[int, Field(ge=1, le=6000)]


class Placeholders(Template):
    """`$name` and `${alert.station}`; `$$` is a dollar sign."""

    idpattern = r"(?a:[a-z_][a-z0-9_]*)"
    braceidpattern = r"(?a:[a-z_][a-z0-9_]*(?:\.[a-z0-9_]+)*)"


def leaves(value: object, key: str) -> Iterator[tuple[str, str]]:
    """(place, text) of every text in a block of keys."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for at, inner in enumerate(value):
            yield from leaves(inner, f"{key}[{at}]")
    elif isinstance(value, str):
        yield key, value


def check_template(value: object, key: str, known: tuple[str, ...]) -> None:
    """Raises ValueError for a placeholder that is none, or that nothing could fill."""
    for place, text in leaves(value, key):
        template = Placeholders(text)
        if not template.is_valid():
            raise ValueError(f"{place}: a $ stands alone; write $name, ${{alert.station}}, or $$ for a dollar sign")
        for name in template.get_identifiers():
            if name.partition(".")[0] not in known:
                raise ValueError(f"{place}: ${name} is not known; there are {', '.join(known)}")


class Channel(Strict):
    """What all of them have."""

    name: Identifier
    levels: tuple[Literal["yellow", "orange", "red"], ...] = ("yellow", "orange", "red")
    language: Literal["zh", "en"] = "zh"
    per_minute: PerMinute | None = None  # at most so many messages in any minute; the others wait


class Webhook(Channel):
    """One signed POST of JSON."""

    type: Literal["webhook"] = "webhook"
    url: str | None = None
    url_file: str | None = None  # where the address is itself a secret
    secret_file: str | None = None  # HMAC-SHA256 key; the signature goes into X-GreenIsland-Signature
    ca_file: str | None = None  # only this certificate authority is trusted, not those of the system
    body: dict[str, object] | None = None  # a template; without it the notification as it is

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("give one of url and url_file")
        check_template(self.body, "body", (*BODY_KEYS, *ENVELOPE_KEYS))
        return self


class Mail(Channel):
    """A message over SMTP, always encrypted."""

    type: Literal["mail"] = "mail"
    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls"] = "starttls"
    ca_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    sender: MailAddress
    to: tuple[MailAddress, ...] = ()  # always told
    to_people: bool = True  # and those whom the route names, by their own address
    picture: bool = True  # a small trend picture, where the series is at hand

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together")
        if not self.to and not self.to_people:
            raise ValueError("nobody is told: name addresses under to, or let to_people be true")
        return self


class Sms(Channel):
    """A short message through a gateway that takes HTTP: one request a phone."""

    type: Literal["sms"] = "sms"
    url: str
    method: Literal["POST", "GET"] = "POST"
    encoding: Literal["json", "form"] = "json"  # of `body` in a POST; a GET puts it into the address
    headers: dict[str, str] = Field(default_factory=dict)
    body: dict[str, object] = Field(
        default_factory=dict
    )  # the gateway's own keys: $text $phone $template_id $signature $secret $key
    secret_file: str | None = None  # $secret: the gateway's key
    ca_file: str | None = None
    template_id: str = ""  # as the carrier approved it
    signature: str = ""  # 短信签名, without its brackets; counts in the length
    text: str = "$short"  # the message: what BODY_KEYS name
    characters_max: Annotated[int, Field(ge=20, le=500)] = SMS_CHARACTERS_MAX
    to: tuple[Phone, ...] = ()
    to_people: bool = True
    answer_key: str | None = None  # of the gateway's JSON answer, for example Response.SendStatusSet.0.Code ...
    answer_ok: tuple[str, ...] = ()  # ... which says one of these where the message was taken ...
    answer_again: tuple[str, ...] = ()  # ... and one of these where it is worth another try
    test: bool = False  # nothing leaves: the message stands in log and receipt

    @model_validator(mode="after")
    def _whole(self) -> Self:
        check_template(self.text, "text", BODY_KEYS)
        for key in ("url", "headers", "body"):
            check_template(getattr(self, key), key, GATEWAY_KEYS)
        if "$secret" in str((self.url, self.headers, self.body)).replace("{", "") and self.secret_file is None:
            raise ValueError("$secret is used; name its file under secret_file")
        if (self.answer_key is None) != (not self.answer_ok):
            raise ValueError("answer_key and answer_ok go together")
        if not self.to and not self.to_people:
            raise ValueError("nobody is told: name phones under to, or let to_people be true")
        return self


class Robot(Channel):
    """A robot of a group: its address is its password."""

    url_file: str
    mention: bool = True  # the people whom the route names


class DingTalk(Robot):
    type: Literal["dingtalk"] = "dingtalk"
    secret_file: str | None = None  # 加签
    keyword: str | None = None  # 自定义关键词: put before a text that lacks it
    per_minute: Annotated[int, Field(ge=1, le=20)] = 20  # more, and DingTalk closes the robot for ten minutes


class WeCom(Robot):
    type: Literal["wecom"] = "wecom"
    per_minute: Annotated[int, Field(ge=1, le=20)] = 20


class Feishu(Robot):
    type: Literal["feishu"] = "feishu"
    secret_file: str | None = None  # 签名校验
    keyword: str | None = None
    per_minute: Annotated[int, Field(ge=1, le=100)] = 100  # and never more than five in a second


class MqttTopic(Channel):
    """Published with QoS 1, the notification as JSON."""

    type: Literal["mqtt"] = "mqtt"
    topic: str = "greenisland/alerts"
    broker: Broker | None = None  # none: the site's

    @field_validator("topic")
    @classmethod
    def _publishable(cls, topic: str) -> str:
        if not topic or len(topic.encode()) > 500 or any(sign in topic for sign in "+#\x00"):
            raise ValueError(f"{topic!r} cannot be published to; + and # are for subscriptions")
        if topic.startswith(("gi/", "$")):
            raise ValueError(f"{topic!r}: below gi/ are the stations' own messages, below $ the broker's; take another")
        return topic


class Alertmanager(Channel):
    """Prometheus Alertmanager, API v2."""

    type: Literal["alertmanager"] = "alertmanager"
    url: str  # without /api/v2/alerts
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together")
        return self


class Apprise(Channel):
    """Any other service, through Apprise's own address of it. Needs the extra `apprise`."""

    type: Literal["apprise"] = "apprise"
    url_file: str


AnyChannel = Annotated[
    Webhook | Mail | Sms | DingTalk | WeCom | Feishu | MqttTopic | Alertmanager | Apprise, Field(discriminator="type")
]
CHANNELS: tuple[type[Channel], ...] = (
    Webhook,
    Mail,
    Sms,
    DingTalk,
    WeCom,
    Feishu,
    MqttTopic,
    Alertmanager,
    Apprise,
)
