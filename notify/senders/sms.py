"""Notifications as short messages, through a gateway that takes HTTP: one request a phone.

Promises: never raises for what the network or gateway does; a text is one message long and what is cut says so; HTTP
200 with an error is what the answer's own key says; a phone that took it is not sent it again by this process.
Does not promise that a phone got it: the gateway's word is what there is. In test mode nothing leaves the machine.
"""

import json
import logging
import re
from urllib.parse import urlencode

import httpx

from contracts.channels import PHONE, Sms
from contracts.ports import Notification, Sent
from contracts.reasons import Receipt

from .http_post import TIMEOUT_S, Answer, address, ask, redacted
from .recipients import Taken
from .wording import (
    TemplateError,
    contacts,
    cut_sms,
    fill,
    language_of,
    marked,
    one_line,
    sms_length,
    template_values,
)

log = logging.getLogger(__name__)

_PHONE = re.compile(PHONE)


class SmsSender:
    """contracts.ports.Sender. Raises ValueError for an address nothing could be sent to."""

    def __init__(self, sms: Sms, secret: str | None, client: httpx.Client, *, timeout_s: float = TIMEOUT_S):
        self._sms, self._secret, self._client, self._timeout_s = sms, secret or "", client, timeout_s
        self._taken = Taken()
        address(self._filled_url("13800000000", "text", "key"), "url")

    def __repr__(self) -> str:
        return f"SmsSender({self._sms.name!r})"

    def send(self, notification: Notification, attempt: int) -> Sent:
        named = [*self._sms.to, *(contacts(notification.body, "phone") if self._sms.to_people else [])]
        phones = [one for one in dict.fromkeys(named) if _PHONE.fullmatch(one)]
        if not phones:
            said = "nobody to send it to: the channel has no `to`, and nobody the route names has a phone"
            return Sent(Receipt.REFUSED, said)
        text, flag = self.text(notification, attempt)
        if self._sms.test:
            log.warning("short message, test mode, to %s: %s", ", ".join(phones), text)
            said = f"test mode, nothing was sent: {sms_length(text)} characters to {len(phones)} phones: {text}"
            return Sent(Receipt.DELIVERED, flag + said)
        sent = [self._send_one(notification.key, phone, text) for phone in self._taken.left(notification.key, phones)]
        return _together(sent, len(phones), flag)

    def text(self, notification: Notification, attempt: int) -> tuple[str, str]:
        """(one message's length of text, what a receipt says of the template, if it could not be filled)."""
        body, flag = notification.body, ""
        try:
            text = str(fill(self._sms.text, template_values(notification, attempt)))
        except TemplateError as error:
            text, flag = str(body.get("text") or ""), f"{error}; the plain text went; "
        room = self._sms.characters_max - (len(self._sms.signature) + 2 if self._sms.signature else 0)
        return cut_sms(marked(one_line(text), attempt, language_of(body, self._sms.language)), room), flag

    def _send_one(self, key: str, phone: str, text: str) -> Sent:
        sms, values = self._sms, self._values(phone, text, key)
        headers = {name: str(fill(value, values)) for name, value in sms.headers.items()}
        url, body, content = httpx.URL(self._filled_url(phone, text, key)), fill(sms.body, values), None
        assert isinstance(body, dict)
        if sms.method == "GET":
            url = url.copy_merge_params({name: _flat(value) for name, value in body.items()})
        elif sms.encoding == "form":
            content = urlencode({name: _flat(value) for name, value in body.items()}).encode()
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        else:
            content = json.dumps(body, ensure_ascii=False).encode()
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        answer = ask(self._client, sms.method, url, content=content, headers=headers, timeout_s=self._timeout_s)
        sent = self._meaning(answer) if isinstance(answer, Answer) else answer
        if sent.receipt == Receipt.DELIVERED:
            self._taken.note(key, phone)
        return sent

    def _meaning(self, answer: Answer) -> Sent:
        if answer.sent.receipt != Receipt.DELIVERED or self._sms.answer_key is None:
            return answer.sent
        said = _at(answer.json(), self._sms.answer_key)
        if said is None:
            shown = f"HTTP {answer.status}, and its answer has no {self._sms.answer_key}; look at url and answer_key"
            return Sent(Receipt.FAILED, shown)
        shown = f"HTTP {answer.status}, {self._sms.answer_key} is {redacted(said, self._secret)}"
        if str(said) in self._sms.answer_ok:
            return Sent(Receipt.DELIVERED, shown)
        return Sent(Receipt.FAILED if str(said) in self._sms.answer_again else Receipt.REFUSED, shown)

    def _values(self, phone: str, text: str, key: str) -> dict[str, object]:
        return {
            "text": text,
            "text_json": json.dumps(text, ensure_ascii=False)[1:-1],
            "phone": phone,
            "template_id": self._sms.template_id,
            "signature": self._sms.signature,
            "secret": self._secret,
            "key": key,
        }

    def _filled_url(self, phone: str, text: str, key: str) -> str:
        """Every value quoted: nothing of a text can become a part of the address."""
        quoted = {name: urlencode({"": str(value)})[1:] for name, value in self._values(phone, text, key).items()}
        return str(fill(self._sms.url, dict(quoted)))


def _together(sent: list[Sent], phones: int, flag: str) -> Sent:
    """One receipt of several phones: another try while any of them is worth one."""
    failed = [one for one in sent if one.receipt == Receipt.FAILED]
    refused = [one for one in sent if one.receipt == Receipt.REFUSED]
    lacking = list(dict.fromkeys(one.detail for one in [*failed, *refused]))
    detail = f"{flag}taken for {phones - len(failed) - len(refused)} of {phones}"
    detail += f"; {'; '.join(lacking)}" if lacking else ""
    if failed:
        return Sent(Receipt.FAILED, detail, max(one.wait_s for one in failed))
    return Sent(Receipt.REFUSED if len(refused) == phones else Receipt.DELIVERED, detail)


def _flat(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _at(answer: object, path: str) -> object:
    for part in path.split("."):
        if isinstance(answer, dict):
            answer = answer.get(part)
        elif isinstance(answer, list) and part.isdecimal() and int(part) < len(answer):
            answer = answer[int(part)]
        else:
            return None
    return answer
