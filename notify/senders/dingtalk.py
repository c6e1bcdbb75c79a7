"""Notifications to a custom robot of a DingTalk group (钉钉自定义机器人).

Promises: signed as 加签 asks, with the keyword 自定义关键词 asks for; HTTP 200 with an errcode is what the code says.
Source: open.dingtalk.com, "自定义机器人接入" and "自定义机器人安全设置"; 20 messages a minute, then ten minutes closed.
"""

import base64
import hmac
import json
from urllib.parse import urlencode

import httpx

from contracts.ports import Notification, Sent

from .robot import BUSY_WAIT_S, RATE_LIMITED, Meaning, SignedRobot, failed, refused, say
from .wording import contacts

TEXT_BYTES_MAX = 18_000  # of the 20,000 a whole message may have
CLOSED_S = 600.0

CODES = {
    -1: failed("DingTalk is busy", BUSY_WAIT_S),
    130101: failed(f"{RATE_LIMITED}: more than 20 messages in a minute", CLOSED_S),
    410100: failed(f"{RATE_LIMITED}: too fast", CLOSED_S),
    90030: failed(f"{RATE_LIMITED}: the group's quota of messages is used up", 3600.0),
    90018: failed(f"{RATE_LIMITED}: too many calls", CLOSED_S),
    300001: refused("no such robot; look at url_file"),
    300005: refused("no such robot; look at url_file"),
    400101: refused("no such robot; look at url_file"),
    400102: refused("the robot is switched off in the group's settings"),
    400106: refused("the robot is no longer there; make a new one, and its address into url_file"),
    400013: refused("the group is dissolved"),
    400105: refused("DingTalk does not know this kind of message"),
    40035: refused("DingTalk misses something in the message"),
    43004: refused("DingTalk does not take this kind of content"),
    430101: refused("DingTalk holds a link in it to be unsafe"),
    430102: refused("DingTalk does not pass the wording"),
    430104: refused("DingTalk does not pass the wording"),
}


class DingTalkSender(SignedRobot):
    """contracts.ports.Sender."""

    def send(self, notification: Notification, attempt: int) -> Sent:
        body = notification.body
        text = self._text(body, attempt, TEXT_BYTES_MAX)
        message: dict[str, object] = {"msgtype": "text", "text": {"content": text}}
        if self._robot.mention:
            message["at"] = {"atMobiles": contacts(body, "phone"), "atUserIds": contacts(body, "dingtalk")}
        return say(
            self._client,
            self._signed(),
            json.dumps(message, ensure_ascii=False).encode(),
            secrets=[self._secret or ""],
            codes=("errcode",),
            messages=("errmsg",),
            meaning=meaning,
            timeout_s=self._timeout_s,
        )

    def _signed(self) -> httpx.URL:
        if self._secret is None:
            return self._url
        timestamp = str(int(self._clock.now().timestamp() * 1000))
        query = urlencode({"timestamp": timestamp, "sign": signature(timestamp, self._secret)})
        return self._url.copy_with(query="&".join(filter(None, (self._url.query.decode(), query))).encode())


def signature(timestamp_ms: str, secret: str) -> str:
    """Base64 of HMAC-SHA256 with the secret over `timestamp + newline + secret`."""
    return base64.b64encode(hmac.digest(secret.encode(), f"{timestamp_ms}\n{secret}".encode(), "sha256")).decode()


def meaning(code: int, words: str) -> Meaning | None:
    if code != 310000:
        return CODES.get(code)
    words = words.partition("solution")[0]  # what to do about a signature speaks of the timestamp too
    for signs, setting in (
        (("keyword", "关键词"), "the text lacks the robot's keyword; look at keyword"),
        (("timestamp", "时间戳"), "its timestamp is not taken; look at this machine's clock"),
        (("sign", "签名"), "its signature is not taken; look at secret_file"),
        (
            ("whitelist", "white list", "白名单", "ip "),
            "this machine's address is not among those the robot takes; look at its IP list",
        ),
    ):
        if any(sign in words for sign in signs):
            return refused(setting)
    return refused("the robot's security settings refuse it; look at secret_file, keyword and its IP list")
