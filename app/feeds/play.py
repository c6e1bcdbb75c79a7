"""A feed played into a broker: its stations' messages by QoS 1, in the feed's order, at the recorded spacing.

Promises: what is counted as acknowledged, the broker has said it holds; it stops at the first refusal or lost
connection and says how far it came. Does not promise that a collector took the messages, nor to go on where it stopped:
play it again, a message that is there already counts as a duplicate.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import polars as pl

PORTS = {"mqtt": 1883, "mqtts": 8883}
IN_FLIGHT = 20  # what a broker takes unacknowledged from one client where it does not say otherwise
ANSWER_S = 30.0  # how long an acknowledgement may take


class PlayError(Exception):
    """The broker cannot be played into; the message says why. `acknowledged`: how many messages it had taken."""

    def __init__(self, message: str, acknowledged: int = 0):
        super().__init__(message)
        self.acknowledged = acknowledged


@dataclass(frozen=True)
class Target:
    host: str
    port: int
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None

    @property
    def said(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Selection:
    """What of a feed can be played."""

    messages: pl.DataFrame
    own: int  # `$` rows: the journal's, whoever records again makes new ones
    unpublishable: int  # topics no client may publish to: empty, with a wildcard or NUL, too long


@dataclass
class Progress:
    acknowledged: int = 0
    seconds: float = 0.0
    behind_s: float = 0.0  # the most that a message was sent later than its turn; 0 where there is no pace
    refused: str | None = None  # the first message the broker did not take: its topic, where known, and the reason


def parse_target(url: str, user: str | None, password_file: Path | None, ca_file: Path | None) -> Target:
    """Raises ValueError in the user's words."""
    example = "write it like mqtt://127.0.0.1:1883 or mqtts://broker.example.org"
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is not a broker; {example}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a password in the address would be seen by everybody; use --user and --password-file")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{url!r} has more than host and port; {example}")
    try:
        port = parts.port or PORTS[parts.scheme]
    except ValueError as error:
        raise ValueError(f"{url!r}: {error}; {example}") from error
    if password_file is not None and user is None:
        raise ValueError("--password-file needs --user")
    password = None if password_file is None else password_file.read_text(encoding="utf-8").rstrip("\r\n")
    tls = None
    if ca_file is not None:
        tls = ssl.create_default_context(cadata=ca_file.read_text(encoding="ascii"))
    elif parts.scheme == "mqtts":
        tls = ssl.create_default_context()
    return Target(parts.hostname, port, user, password, tls)


def select(feed: pl.DataFrame) -> Selection:
    """feed: MESSAGES in feed order."""
    topic = pl.col("topic")
    own = topic.str.starts_with("$")
    published = feed.filter(~own)
    fits = topic.str.len_bytes().is_between(1, 65535) & ~topic.str.contains(r"[+#\x00]")
    messages = published.filter(fits)
    return Selection(messages, feed.height - published.height, published.height - messages.height)


def play(
    messages: pl.DataFrame, target: Target, speed: float, progress: Callable[[int], None] = lambda _: None
) -> Progress:
    """Publishes MESSAGES in their order; speed 0: as fast as they are acknowledged. Raises PlayError.

    progress: told how many were acknowledged so far.
    """
    done = Progress()
    try:
        asyncio.run(_play(messages, target, speed, done, progress))
    except aiomqtt.MqttError as error:  # while connecting
        raise PlayError(_in_words(error, target)) from error
    except ExceptionGroup as group:
        lost, rest = group.split((aiomqtt.MqttError, _Refused))
        if lost is None or rest is not None:
            raise
        # a broker may cut the connection right after a refusal, so the reason counts and not which was seen first
        if done.refused is not None:
            message = f"{target.said} refuses {done.refused}; may this user write there?"
        else:
            message = _in_words(_first(lost), target)
        raise PlayError(message, done.acknowledged) from group
    return done


class _Refused(Exception):
    """Ends the play; the reason is in its Progress."""


class _Client(aiomqtt.Client):
    """aiomqtt drops the broker's reason for a message it refused; without it a refusal would count as delivery."""

    done: Progress
    alone: str | None = None  # the topic of the one message in flight, where it is one

    def _on_publish(self, client, userdata, mid, reason_code, properties) -> None:
        if reason_code.is_failure and self.done.refused is None:
            self.done.refused = f"{self.alone or 'a message'}: {reason_code}"
        super()._on_publish(client, userdata, mid, reason_code, properties)


async def _play(
    messages: pl.DataFrame, target: Target, speed: float, done: Progress, progress: Callable[[int], None]
) -> None:
    loop = asyncio.get_running_loop()
    client = _Client(
        target.host,
        target.port,
        username=target.user,
        password=target.password,
        tls_context=target.tls,
        protocol=aiomqtt.ProtocolVersion.V5,  # 3.1.1 acknowledges what it refuses
        timeout=ANSWER_S,
        max_inflight_messages=IN_FLIGHT,
    )
    client.pending_calls_threshold = IN_FLIGHT
    client.done = done
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def publish(topic: str, payload: bytes) -> None:
        await client.publish(topic, payload, qos=1)
        if done.refused is not None:
            raise _Refused
        done.acknowledged += 1
        slots.release()
        progress(done.acknowledged)

    async with client, asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(_until_lost(client))
        began_s, first_at = loop.time(), messages["received_at"].first()
        known: set[str] = set()
        for received_at, topic, payload in messages.select("received_at", "topic", "payload").iter_rows():
            # The first of a topic goes alone. Some brokers cut the connection when they refuse a message, and with
            # others under way the cut would be seen and not the reason.
            for _ in range(1 if topic in known else IN_FLIGHT):
                await slots.acquire()
            if speed:
                due_s = began_s + (received_at - first_at).total_seconds() / speed
                if (wait_s := due_s - loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                done.behind_s = max(done.behind_s, loop.time() - due_s)
            if topic in known:
                tasks.create_task(publish(topic, payload))  # tasks begin in the order they are made
                continue
            client.alone = topic
            await publish(topic, payload)
            client.alone = None
            known.add(topic)
            for _ in range(IN_FLIGHT - 1):
                slots.release()
        for _ in range(IN_FLIGHT):
            await slots.acquire()
        done.seconds = loop.time() - began_s
        watch.cancel()


async def _until_lost(client: aiomqtt.Client) -> None:
    """Raises MqttError when the connection ends; nothing is subscribed, so nothing else comes."""
    async for _ in client.messages:
        pass


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def _in_words(error: BaseException, target: Target) -> str:
    if isinstance(error, aiomqtt.exceptions.MqttConnectError):
        return f"{target.said} refuses the connection: {error}; see --user and --password-file"
    return f"no connection to {target.said}: {error.__cause__ or error}"
