"""Notifications to a robot of a WeCom group (企业微信群机器人).

Promises: HTTP 200 with an errcode is what the code says. There is no signature: the address alone lets anybody speak.
Source: developer.work.weixin.qq.com, "群机器人配置说明" (path 91770) and "全局错误码"; 20 messages a minute.
"""

import json

import httpx

from contracts.channels import WeCom
from contracts.ports import Notification, Sent

from .http_post import TIMEOUT_S, address
from .robot import BUSY_WAIT_S, RATE_LIMITED, Meaning, failed, refused, say
from .wording import contacts, language_of, plain

TEXT_BYTES_MAX = 2048

CODES = {
    -1: failed("WeCom is busy", BUSY_WAIT_S),
    45009: failed(f"{RATE_LIMITED}: more than 20 messages in a minute", 60.0),
    45033: failed(f"{RATE_LIMITED}: too many at the same time", BUSY_WAIT_S),
    93000: refused("no such robot, or it was removed; look at url_file"),
    93004: refused("the robot is switched off"),
    93008: refused("the robot is not in the group"),
    93017: refused("the robot may not speak in this group"),
    40001: refused("no such robot; look at url_file"),
    40008: refused("WeCom does not know this kind of message"),
    40058: refused("WeCom does not take one of the message's parts"),
    44004: refused("the message is empty"),
    45002: refused("the message is too long"),
    60020: refused("this machine's address is not among those the robot takes"),
}


class WeComSender:
    """contracts.ports.Sender. Raises ValueError for an address that is none."""

    def __init__(self, robot: WeCom, url: str, client: httpx.Client, *, timeout_s: float = TIMEOUT_S):
        self._robot, self._client = robot, client
        self._url, self._timeout_s = address(url, "url_file"), timeout_s

    def __repr__(self) -> str:
        return f"WeComSender({self._robot.name!r})"

    def send(self, notification: Notification, attempt: int) -> Sent:
        body = notification.body
        said = plain(body, attempt, language_of(body, self._robot.language), TEXT_BYTES_MAX)
        text: dict[str, object] = {"content": said}
        if self._robot.mention:
            text |= {"mentioned_list": contacts(body, "wecom"), "mentioned_mobile_list": contacts(body, "phone")}
        return say(
            self._client,
            self._url,
            json.dumps({"msgtype": "text", "text": text}, ensure_ascii=False).encode(),
            secrets=[],
            codes=("errcode",),
            messages=("errmsg",),
            meaning=meaning,
            timeout_s=self._timeout_s,
        )


def meaning(code: int, words: str) -> Meaning | None:  # noqa: ARG001  # WeCom's codes say all
    return CODES.get(code)
