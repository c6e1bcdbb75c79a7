"""Notifications to a custom bot of a Feishu or Lark group (飞书自定义机器人).

Promises: signed as 签名校验 asks, with the keyword it asks for; HTTP 200 (or 400) with a code is what the code says.
Source: open.feishu.cn, "自定义机器人使用指南"; 100 messages a minute and 5 a second, 20 KB each.
"""

import base64
import hmac
import json

from contracts.ports import Notification, Sent

from .robot import BUSY_WAIT_S, RATE_LIMITED, Meaning, SignedRobot, failed, refused, say
from .wording import people_of

TEXT_BYTES_MAX = 18_000  # of the 20 KB a whole message may have
A_SECOND = (5, 1.0)  # besides the channel's bound for a minute

CODES = {
    9499: refused("Feishu does not take the message's form"),
    11232: failed(f"{RATE_LIMITED}: Feishu's own, for all bots", 60.0),
    11233: failed(f"{RATE_LIMITED}: of this group", 60.0),
    99991400: failed(f"{RATE_LIMITED}: too many calls", 60.0),
    10500: failed("Feishu is busy", BUSY_WAIT_S),
    19001: refused("no such bot; look at url_file"),
    19002: refused("Feishu misses something in the message"),
    19007: refused("the bot is switched off"),
    19021: refused("its signature or timestamp is not taken; look at secret_file and at this machine's clock"),
    19022: refused("this machine's address is not among those the bot takes; look at its IP list"),
    19024: refused("the text lacks the bot's keyword; look at keyword"),
}


class FeishuSender(SignedRobot):
    """contracts.ports.Sender."""

    def send(self, notification: Notification, attempt: int) -> Sent:
        body = notification.body
        text = self._text(body, attempt, TEXT_BYTES_MAX)
        if self._robot.mention:
            text = " ".join([text, *_mentions(body)])
        message: dict[str, object] = {"msg_type": "text", "content": {"text": text}}
        if self._secret is not None:
            timestamp = str(int(self._clock.now().timestamp()))
            message |= {"timestamp": timestamp, "sign": signature(timestamp, self._secret)}
        return say(
            self._client,
            self._url,
            json.dumps(message, ensure_ascii=False).encode(),
            secrets=[self._secret or ""],
            codes=("code", "StatusCode"),
            messages=("msg", "StatusMessage"),
            meaning=meaning,
            timeout_s=self._timeout_s,
        )


def signature(timestamp_s: str, secret: str) -> str:
    """Base64 of HMAC-SHA256 over nothing, with `timestamp + newline + secret` as its key."""
    return base64.b64encode(hmac.digest(f"{timestamp_s}\n{secret}".encode(), b"", "sha256")).decode()


def _mentions(body: dict[str, object]) -> list[str]:
    """Only what looks like an identifier of Feishu's: the text is a kind of markup."""
    found = [(str(one.get("feishu") or ""), str(one.get("name") or "")) for one in people_of(body)]
    return [
        f'<at user_id="{user}">{name.translate({60: None, 62: None})}</at>'
        for user, name in found
        if user and user.replace("_", "").replace("-", "").isalnum()
    ]


def meaning(code: int, words: str) -> Meaning | None:  # noqa: ARG001  # Feishu's codes say all
    return CODES.get(code)
