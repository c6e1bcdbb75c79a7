"""What the robots of DingTalk, WeCom and Feishu share: a POST whose HTTP 200 may be a refusal.

Promises: nothing counts as delivered but the answer's own zero; an unknown code is tried again, and given up in the
end, rather than lost at once. Does not promise that somebody reads the group.
"""

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from contracts.channels import DingTalk, Feishu
from contracts.clock import Clock
from contracts.ports import Sent
from contracts.reasons import Receipt

from .http_post import TIMEOUT_S, address, ask, redacted, secrets_of
from .wording import language_of, plain

BUSY_WAIT_S = 30.0
RATE_LIMITED = "rate limit"  # begins what a receipt says of one; a restart goes on resting


@dataclass(frozen=True)
class Meaning:
    """What a code in the answer means for us."""

    receipt: Receipt
    said: str
    wait_s: float = 0.0

    def sent(self, code: int, message: str) -> Sent:
        return Sent(self.receipt, f"{self.said} (code {code}: {message})", self.wait_s)


def refused(said: str) -> Meaning:
    return Meaning(Receipt.REFUSED, said)


def failed(said: str, wait_s: float = 0.0) -> Meaning:
    return Meaning(Receipt.FAILED, said, wait_s)


class SignedRobot:
    """What a robot with a secret and a keyword is made of. Raises ValueError for an address that is none.

    clock: for the signature's timestamp.
    """

    def __init__(
        self,
        robot: DingTalk | Feishu,
        url: str,
        secret: str | None,
        client: httpx.Client,
        clock: Clock,
        *,
        timeout_s: float = TIMEOUT_S,
    ):
        self._robot, self._secret, self._client, self._clock = robot, secret, client, clock
        self._url, self._timeout_s = address(url, "url_file"), timeout_s

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._robot.name!r})"

    def _text(self, body: dict[str, object], attempt: int, bytes_max: int) -> str:
        """With the keyword its settings ask for."""
        language = language_of(body, self._robot.language)
        text = plain(body, attempt, language, bytes_max)
        if not self._robot.keyword or self._robot.keyword in text:
            return text
        keyword = f"{self._robot.keyword}: "
        return keyword + plain(body, attempt, language, bytes_max - len(keyword.encode()))


def say(
    client: httpx.Client,
    url: httpx.URL,
    payload: bytes,
    *,
    secrets: list[str],
    codes: tuple[str, ...],
    messages: tuple[str, ...],
    meaning: Callable[[int, str], Meaning | None],
    timeout_s: float,
) -> Sent:
    """Posts it and reads the answer.

    secrets: what must not be repeated; codes, messages: the keys of the answer's code and words, the first that is
    there counts; meaning: of a code that is not zero, with its words in lower case; None: not known.
    """
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = ask(client, "POST", url, content=payload, headers=headers, timeout_s=timeout_s)
    if isinstance(answer, Sent):
        return answer
    said = answer.json()
    code = _first(said, codes)
    if not isinstance(code, int) or isinstance(code, bool):
        if answer.sent.receipt != Receipt.DELIVERED:
            return answer.sent
        return Sent(
            Receipt.FAILED, f"HTTP {answer.status}, and the answer has no {' or '.join(codes)}: is it the robot's?"
        )
    if code == 0:
        return answer.sent if answer.status >= 300 else Sent(Receipt.DELIVERED, f"HTTP {answer.status}, code 0")
    words = str(_first(said, messages) or "")
    known = meaning(code, words.lower())
    if known is None and answer.sent.receipt != Receipt.DELIVERED:
        return answer.sent
    known = known or failed("not a known answer")
    return known.sent(code, redacted(words, *secrets, *secrets_of(url)))


def _first(said: object, keys: tuple[str, ...]) -> object:
    if not isinstance(said, dict):
        return None
    return next((said[key] for key in keys if key in said), None)
