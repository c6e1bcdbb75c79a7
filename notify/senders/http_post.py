"""One HTTP request of a sender, and what its failure means.

Promises: never raises for what the network or the receiver does; the answer is read up to a bound, in bounded time;
neither address nor secret is in a detail. Does not promise to follow redirects: whoever moves is configured anew.
"""

import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from contracts.ports import Sent
from contracts.reasons import Receipt

from .hang_up import HangUp
from .pace import ASKED_MAX_S

TIMEOUT_S = 10.0  # of connecting, and of every wait for more of the answer; the whole has twice as long
# A connection a request: one that rested may be closed by its receiver just as we speak, and who was told is not known.
HEADERS = {"Connection": "close", "Accept-Encoding": "identity"}
CONNECTED = "connection.connect_tcp.complete"  # httpcore's word for it
ANSWER_BYTES_MAX = 64 * 1024
WORTH_RETRYING = frozenset({408, 425, 429})  # and every 5xx
CERTIFICATE = {  # X509_V_ERR_*: OpenSSL's own words may repeat the address
    9: "is not valid yet",
    10: "has expired",
    18: "is signed by itself",
    19: "comes from a certificate authority that is not trusted",
    20: "comes from a certificate authority that is not trusted",
    62: "is for another host",
    64: "is for another address",
}
DETAIL_MAX = 200  # characters of what a receiver said


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes
    retry_after_s: float = 0.0

    @property
    def sent(self) -> Sent:
        """By the status alone."""
        said = f"HTTP {self.status}"
        if 200 <= self.status < 300:
            return Sent(Receipt.DELIVERED, said)
        if self.status in WORTH_RETRYING or self.status >= 500:
            asked = f", asks to wait {self.retry_after_s:.0f} s" if self.retry_after_s else ""
            return Sent(Receipt.FAILED, said + asked, self.retry_after_s)
        if 300 <= self.status < 400:
            return Sent(Receipt.REFUSED, f"{said}: redirects are not followed; configure the final address")
        return Sent(Receipt.REFUSED, said)

    def json(self) -> object:
        """None where it is not JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


def ask(
    client: httpx.Client,
    method: str,
    url: httpx.URL,
    *,
    content: bytes | None = None,
    headers: dict[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
    reads: bool = True,
) -> Answer | Sent:
    """The answer; or FAILED, in words, where there is none. reads: what it says counts, not its status alone."""
    with HangUp(2 * timeout_s) as whole:

        def hold(event: str, about: dict[str, Any]) -> None:
            if event == CONNECTED:
                whole.hold(about["return_value"].get_extra_info("socket"))

        try:
            with client.stream(
                method,
                url,
                content=content,
                headers={**HEADERS, **(headers or {})},
                auth=auth,
                timeout=httpx.Timeout(timeout_s),
                follow_redirects=False,
                extensions={"trace": hold},
            ) as response:
                read = bytearray()
                for part in response.iter_bytes() if reads else ():
                    read += part
                    if len(read) > ANSWER_BYTES_MAX:
                        break  # nobody who took it says so much
                return Answer(response.status_code, bytes(read[:ANSWER_BYTES_MAX]), _retry_after_s(response))
        except httpx.TimeoutException as error:
            return Sent(Receipt.FAILED, f"no answer in time ({type(error).__name__})")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if whole.rang:
                return Sent(Receipt.FAILED, "no whole answer in time")
            if (wrong := certificate_words(error)) is not None:
                return Sent(Receipt.FAILED, wrong)
            return Sent(Receipt.FAILED, f"no answer ({type(error).__name__})")


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds; the form with a date is left to our own schedule, for the receiver's clock is not ours."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), ASKED_MAX_S) if text.isascii() and text.isdigit() else 0.0


def certificate_words(error: BaseException | None) -> str | None:
    """What is wrong with the receiver's certificate, if it is that."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            wrong = CERTIFICATE.get(error.verify_code, "is not trusted")
            return f"its certificate {wrong}; look at the host's name, its certificate, ca_file"
        if isinstance(error, ssl.SSLError):
            return f"no encrypted connection ({type(error).__name__}); look at port and security"
        error = error.__cause__ or error.__context__
    return None


def address(text: str, key: str) -> httpx.URL:
    """The address, such that sending to it can only fail as the network fails. Raises ValueError, not repeating it."""
    wrong = f"`{key}` must be an http:// or https:// address with a host"
    try:
        url, port = httpx.URL(text), urlsplit(text).port
        url.host.encode("idna")  # the resolver does, and raises UnicodeError for an empty or overlong label
    except (httpx.InvalidURL, ValueError):
        raise ValueError(wrong) from None  # their messages repeat the address
    if url.scheme not in ("http", "https") or not url.host or port == 0:
        raise ValueError(wrong)
    return url


def redacted(text: object, *secrets: str) -> str:
    """What a receiver said, on one line, cut, without what it may repeat of ours.

    Nothing of it commands a terminal, and all of it can be written down (half a surrogate pair cannot).
    """
    said = " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        said = said.replace(secret, "***")
    return said if len(said) <= DETAIL_MAX else said[: DETAIL_MAX - 1] + "…"


def secrets_of(url: httpx.URL) -> list[str]:
    """The parts of an address that may be its password: its path's last part, every value of its query, user info."""
    values = [value for _, value in url.params.multi_items()]
    return [str(url), url.path.rpartition("/")[2], *values, url.username, url.password]
