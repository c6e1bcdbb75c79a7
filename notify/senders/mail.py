"""Notifications as mail over SMTP, encrypted (STARTTLS, or TLS from the beginning), with a small trend picture.

Promises: never raises for what network or server does; no password in a detail; a recipient who took it is not sent it
again by this process; the same notification has the same Message-ID at every attempt, so a mailbox may drop a repeat.
Does not promise that a mailbox exists: a server may take a mail now and return it later.
"""

import base64
import hashlib
import re
import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime
from io import BufferedReader
from typing import Any

from contracts.channels import MAIL_ADDRESS, Mail
from contracts.clock import Clock
from contracts.ports import Notification, Sent
from contracts.reasons import Receipt

from .hang_up import HangUp
from .http_post import TIMEOUT_S, certificate_words, redacted
from .recipients import Taken
from .wording import contacts, language_of, marked, people_of, plain, title_of

SUBJECT_MAX = 120  # characters
ANSWERS_BYTES_MAX = 256 * 1024  # of a connection
WHOLE = 12  # so many times the timeout of one wait is there for all of it: greeting, login, every letter
_ADDRESS = re.compile(MAIL_ADDRESS)

DrawsTrend = Callable[[dict[str, object]], bytes | None]  # of a notification's body; a PNG, or None
Acknowledges = Callable[[dict[str, object], str], str | None]  # of a body, for a person; an address, or None


def no_picture(_: dict[str, object]) -> bytes | None:
    return None


def no_link(_: dict[str, object], __: str) -> str | None:
    return None


class MailSender:
    """contracts.ports.Sender. The clock is for the mail's date.

    tls: what is trusted; picture: draws the trend, or gives None; acknowledges: a person's own link, or None. Whoever
    has one gets a mail of their own.
    """

    def __init__(
        self,
        mail: Mail,
        password: str | None,
        tls: ssl.SSLContext,
        clock: Clock,
        *,
        picture: DrawsTrend = no_picture,
        acknowledges: Acknowledges = no_link,
        timeout_s: float = TIMEOUT_S,
    ):
        self._mail, self._password, self._tls, self._clock = mail, password, tls, clock
        self._picture, self._acknowledges, self._timeout_s, self._taken = picture, acknowledges, timeout_s, Taken()

    def __repr__(self) -> str:
        return f"MailSender({self._mail.name!r})"

    def send(self, notification: Notification, attempt: int) -> Sent:
        named = [*self._mail.to, *(contacts(notification.body, "mail") if self._mail.to_people else [])]
        everybody = list(dict.fromkeys(one for one in named if _ADDRESS.fullmatch(one)))
        odd = [one for one in dict.fromkeys(named) if not _ADDRESS.fullmatch(one)]
        if not everybody:
            return Sent(Receipt.REFUSED, _nobody("mail", len(odd)))
        left = self._taken.left(notification.key, everybody)
        if not left:  # the receipt was not written down
            return Sent(Receipt.DELIVERED, f"taken for all {len(everybody)} before")
        letters = self._letters(notification, attempt, everybody, left)
        with HangUp(WHOLE * self._timeout_s) as whole:
            try:
                refused = self._deliver(letters, notification.key, whole)
            except (smtplib.SMTPException, OSError) as error:
                if whole.rang:
                    return Sent(Receipt.FAILED, "no whole answer in time")
                return self._meaning(error) if isinstance(error, smtplib.SMTPException) else self._no_connection(error)
        return self._sent(refused, odd, everybody)

    def _letters(
        self, notification: Notification, attempt: int, everybody: list[str], left: list[str]
    ) -> list[tuple[list[str], EmailMessage]]:
        """(recipients, message): one for each who has a link of their own, one for all others."""
        body, letters, links = notification.body, [], {}
        for one in people_of(body) if self._mail.to_people else ():
            if one.get("mail") in left and one["mail"] not in self._mail.to:
                links[str(one["mail"])] = self._acknowledges(body, str(one.get("person") or one.get("name") or ""))
        picture = self._picture(body) if self._mail.picture else None
        for address, link in links.items():
            if link is not None:
                own = Notification(notification.key, notification.channel, {**body, "acknowledge_link": link})
                letters.append(([address], self._message(own, attempt, [address], picture)))
        if rest := [one for one in left if links.get(one) is None]:
            named = [one for one in everybody if links.get(one) is None]
            letters.append((rest, self._message(notification, attempt, named, picture)))
        return letters

    def _deliver(
        self, letters: list[tuple[list[str], EmailMessage]], key: str, whole: HangUp
    ) -> dict[str, tuple[int, bytes]]:
        """Those who were not taken, with why. Raises SMTPException, OSError; not for a farewell that fails."""
        server, refused = self._connected(whole), {}
        try:
            for recipients, message in letters:
                try:
                    not_taken = server.send_message(message, self._mail.sender, recipients)
                except smtplib.SMTPRecipientsRefused as error:
                    not_taken = error.recipients
                refused |= not_taken
                for one in recipients:
                    if one not in not_taken:
                        self._taken.note(key, one)
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            server.close()
        return refused

    def _connected(self, whole: HangUp) -> smtplib.SMTP:
        """Encrypted and logged in. Raises SMTPException, OSError."""
        about = {"timeout": self._timeout_s, "local_hostname": socket.gethostname()}
        if self._mail.security == "tls":
            server: smtplib.SMTP = _HeldTls(whole, self._mail.host, self._mail.port, context=self._tls, **about)
        else:
            server = _Held(whole, self._mail.host, self._mail.port, **about)
        try:
            if self._mail.security == "starttls":
                server.starttls(context=self._tls)
            if self._mail.username is not None:
                server.login(self._mail.username, self._password or "")
        except (smtplib.SMTPException, OSError):
            server.close()
            raise
        return server

    def _message(
        self, notification: Notification, attempt: int, recipients: list[str], picture: bytes | None
    ) -> EmailMessage:
        body, language = notification.body, language_of(notification.body, self._mail.language)
        message = EmailMessage()
        subject = marked(title_of(body), attempt, language)
        message["Subject"] = subject if len(subject) <= SUBJECT_MAX else subject[: SUBJECT_MAX - 1] + "…"
        message["From"] = self._mail.sender
        message["To"] = ", ".join(recipients)
        message["Date"] = format_datetime(self._clock.now())
        domain = self._mail.sender.rpartition("@")[2]
        own = recipients[0] if body.get("acknowledge_link") else ""
        name = hashlib.sha256(f"{self._mail.name}\n{notification.key}\n{own}".encode()).hexdigest()[:40]
        message["Message-ID"] = f"<{name}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-GreenIsland-Attempt"] = str(attempt)
        message.set_content(plain(body, attempt, language), cte="base64")
        if picture is not None:
            message.add_attachment(picture, "image", "png", disposition="inline", filename="trend.png")
        return message

    def _sent(self, refused: dict[str, tuple[int, bytes]], odd: list[str], everybody: list[str]) -> Sent:
        """Of those the server did not take some may be taken later; then all of it is tried again, for them alone."""
        said = [f"{one} ({code} {self._said(words)})" for one, (code, words) in refused.items()]
        said += [f"{redacted(one)} (not an address)" for one in odd]
        detail = f"taken for {len(everybody) - len(refused)} of {len(everybody) + len(odd)}"
        detail += f"; not for {', '.join(said)}" if said else ""
        if any(400 <= code < 500 for code, _ in refused.values()):
            return Sent(Receipt.FAILED, detail)
        return Sent(Receipt.REFUSED if len(refused) == len(everybody) else Receipt.DELIVERED, detail)

    def _meaning(self, error: smtplib.SMTPException) -> Sent:
        match error:
            case smtplib.SMTPNotSupportedError() if self._mail.security == "starttls":
                said = "the server does not offer STARTTLS or does not take a login; look at security, port, username"
                return Sent(Receipt.REFUSED, said)
            case smtplib.SMTPServerDisconnected() if isinstance(error.__context__, TimeoutError):
                return Sent(Receipt.FAILED, "no answer in time")
            case smtplib.SMTPServerDisconnected() if isinstance(error.__context__, _TooMuch):
                return Sent(Receipt.FAILED, "the server says too much: is it a mail server?")
            case smtplib.SMTPServerDisconnected():
                return Sent(Receipt.FAILED, "the server ended the connection")
            case smtplib.SMTPAuthenticationError(smtp_code=code, smtp_error=words):
                said = f"login refused ({code} {self._said(words)}); look at username and password_file"
            case smtplib.SMTPSenderRefused(smtp_code=code, smtp_error=words):
                said = f"the sender's address is refused ({code} {self._said(words)}); look at sender and username"
            case smtplib.SMTPResponseException(smtp_code=code, smtp_error=words):
                said = f"the server refuses it ({code} {self._said(words)})"
            case _:
                return Sent(Receipt.FAILED, f"no mail server answers as one ({type(error).__name__})")
        return Sent(Receipt.REFUSED if 500 <= code < 600 else Receipt.FAILED, said)

    def _no_connection(self, error: OSError) -> Sent:
        if (wrong := certificate_words(error)) is not None:
            return Sent(Receipt.FAILED, wrong)
        if isinstance(error, TimeoutError):
            return Sent(Receipt.FAILED, "no answer in time")
        return Sent(Receipt.FAILED, f"no connection ({type(error).__name__}); look at host and port")

    def _said(self, words: object) -> str:
        text = words.decode(errors="replace") if isinstance(words, bytes) else words
        login = f"\0{self._mail.username}\0{self._password}"  # as AUTH PLAIN sends it
        coded = [base64.b64encode(one.encode()).decode() for one in (login, self._password or "")]
        return redacted(text, self._password or "", *coded)


class _Held(smtplib.SMTP):
    """Its connection is held from its first moment on: greeting and handshake take part in the whole."""

    def __init__(self, whole: HangUp, *arguments: Any, **more: Any):
        self._whole = whole
        super().__init__(*arguments, **more)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection = super()._get_socket(host, port, timeout)  # type: ignore[misc]  # smtplib's own classes do so
        self._whole.hold(connection)
        return connection

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = _Bounded(self.sock.makefile("rb"))
        return super().getreply()


class _TooMuch(OSError):
    pass


class _Bounded:
    """What a server says, line by line: smtplib would keep lines without end."""

    def __init__(self, file: BufferedReader):
        self._file, self._left = file, ANSWERS_BYTES_MAX

    def readline(self, size: int) -> bytes:
        line = self._file.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise _TooMuch
        return line

    def close(self) -> None:
        self._file.close()


class _HeldTls(smtplib.SMTP_SSL, _Held):
    """SMTP_SSL asks the next class for its connection."""

    def __init__(self, whole: HangUp, *arguments: Any, **more: Any):
        self._whole = whole
        smtplib.SMTP_SSL.__init__(self, *arguments, **more)


def _nobody(what: str, odd: int) -> str:
    said = f"; {odd} of the route's people have one that is none" if odd else ""
    return f"nobody to send it to: the channel has no `to`, and nobody the route names has a {what}{said}"
