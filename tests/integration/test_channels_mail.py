"""Mail against a real SMTP server: encryption, certificates, logins, recipients, links of one's own."""

import base64
import ssl
import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from email import message_from_bytes
from email.policy import default as POLICY
from urllib.parse import parse_qs, urlsplit

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from app.portal.links import Link
from app.sending.channels import channels_of
from contracts.channels import Mail
from contracts.portal import Portal
from contracts.ports import Notification
from contracts.reasons import Receipt
from notify.senders.mail import MailSender
from store.portal_db import PORTAL_DB, Account, PortalDb
from tests.builders import site

from .notes import ALERT, AT, BODY, NOTE, PEOPLE, TEXT, Fixed
from .receivers import NEVER, saying, serving_tls


class Mailbox:
    """Takes mail; refuses a recipient with a code as told."""

    def __init__(self):
        self.taken = []  # (recipients, message)
        self.refuses = {}  # address -> answer

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):
        self.taken.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content, policy=POLICY)))
        return "250 taken"


@contextmanager
def mail_server(mailbox, context, port, **options):
    """STARTTLS on a port of the loopback; `implicit` speaks TLS from the beginning."""
    implicit = options.pop("implicit", False)

    class Served(Controller):
        def factory(self):
            tls = None if implicit else context
            return SMTP(self.handler, tls_context=tls, require_starttls=tls is not None, hostname="mx", **options)

    controller = Served(
        mailbox, hostname="127.0.0.1", port=port, ssl_context=context if implicit else None, ready_timeout=10
    )
    controller.start()
    try:
        yield
    finally:
        controller.stop()


def mail(port, certificates, **more):
    about = {
        "name": "c",
        "host": "127.0.0.1",
        "port": port,
        "ca_file": str(certificates / "ca.crt"),
        "sender": "island@example.org",
        "to": ["duty@example.org"],
    }
    return Mail(**{**about, **more})


@pytest.fixture
def mailbox(free_port, certificates):
    with ExitStack() as running:
        box = Mailbox()

        def start(server_has="server", **options):
            box.port = free_port()
            running.enter_context(mail_server(box, serving_tls(certificates, server_has), box.port, **options))
            return box

        yield start


def test_a_mail_over_starttls_has_text_links_subject_and_the_same_name_at_every_attempt(made, mailbox, certificates):
    box = mailbox()
    sender = made(mail(box.port, certificates))
    assert sender.send(NOTE, 1) == (Receipt.DELIVERED, "taken for 3 of 3", 0.0)
    ((recipients, message),) = box.taken
    assert recipients == ["duty@example.org", "wang@example.org", "li@example.org"]
    assert message["Subject"] == "二氧化硫超标"
    assert message["To"] == "duty@example.org, wang@example.org, li@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().strip().splitlines()[1:] == [TEXT, "查看: https://centre.example/alerts/e1"]
    again = made(mail(box.port, certificates))  # another process knows nothing of the first attempt
    assert again.send(NOTE, 2).receipt == Receipt.DELIVERED
    assert box.taken[1][1]["Subject"] == "[可能重复] 二氧化硫超标"
    assert box.taken[1][1]["Message-ID"] == message["Message-ID"]


def test_tls_from_the_beginning_and_a_trend_picture(mailbox, certificates):
    box = mailbox(implicit=True)
    context = ssl.create_default_context(cafile=certificates / "ca.crt")
    channel = mail(box.port, certificates, security="tls")
    asked = []
    sender = MailSender(channel, None, context, Fixed(), picture=lambda body: asked.append(body) or b"\x89PNG")
    assert sender.send(NOTE, 1).receipt == Receipt.DELIVERED
    ((_, message),) = box.taken
    (picture,) = message.iter_attachments()
    assert (picture.get_content_type(), picture.get_filename(), picture.get_content()) == (
        "image/png",
        "trend.png",
        b"\x89PNG",
    )
    assert asked == [BODY]


def test_who_may_acknowledge_gets_a_mail_of_their_own_with_a_link_that_verifies(tmp_path, mailbox, certificates):
    box, key = mailbox(), tmp_path / "portal.key"
    key.write_text("k" * 32)
    people = [{"person": "wang", **PEOPLE[0]}, {"person": "li", **PEOPLE[1]}]
    people += [{"person": name, "name": name, "mail": f"{name}@example.org"} for name in ("plant", "gone", "nobody")]
    with PortalDb(tmp_path / PORTAL_DB) as db:
        for name, role in (("wang", "duty"), ("li", "duty"), ("plant", "enterprise"), ("gone", "duty")):
            db.add_user(Account(name, name, role, "city", (), 0, 1 if name == "gone" else None), "no password", "test")
    note = Notification("e1:fired:1", "c", {**BODY, "people": people})
    portal = Portal(public_url="https://centre.example", key_file=str(key))
    with ExitStack() as stack:
        told = site(channels=(mail(box.port, certificates),), portal=portal)
        sender = channels_of(told, Fixed(), stack, tmp_path)["c"].sender
        box.refuses = {"li@example.org": "450 later"}
        assert sender.send(note, 1).receipt == Receipt.FAILED
        box.refuses = {}
        assert sender.send(note, 2).receipt == Receipt.DELIVERED
        resolved = {**note.body, "transition": "resolved", "alert": {**ALERT, "resolved_at": BODY["tick"]}}
        assert sender.send(Notification("e1:resolved:2", "c", resolved), 1).receipt == Receipt.DELIVERED
    others = ["plant@example.org", "gone@example.org", "nobody@example.org"]
    assert [recipients for recipients, _ in box.taken] == [
        ["wang@example.org"],
        ["duty@example.org", *others],  # whoever could do nothing by a link
        ["li@example.org"],
        ["duty@example.org", "wang@example.org", "li@example.org", *others],  # it is over: nothing to acknowledge
    ]
    texts = [message.get_content() for _, message in box.taken]
    for text, person in ((texts[0], "wang"), (texts[2], "li")):
        (line,) = [line for line in text.splitlines() if line.startswith("确认: ")]
        query = {name: values[0] for name, values in parse_qs(urlsplit(line.removeprefix("确认: ")).query).items()}
        assert (query["alert"], query["person"]) == ("e1", person)
        link = Link("e1", "acknowledge", person, int(query["until"]), query["sig"])
        assert link.is_genuine(b"k" * 32)
        assert link.expires_at == AT + timedelta(hours=12)
    assert "确认" not in texts[1] + texts[3]
    assert len({message["Message-ID"] for _, message in box.taken}) == 4


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # aiosmtpd, of a connection it could not secure
@pytest.mark.parametrize("server_has", ["other", "stranger"])
def test_a_mail_server_with_a_wrong_certificate_gets_nothing(made, mailbox, certificates, server_has):
    box = mailbox(server_has)
    sent = made(mail(box.port, certificates)).send(NOTE, 1)
    assert sent.receipt == Receipt.FAILED
    assert sent.detail.startswith("its certificate ")
    assert box.taken == []


def test_a_refused_login_says_where_to_look_and_a_right_one_delivers(made, mailbox, certificates):
    def authenticate(_server, _session, _envelope, _mechanism, data):
        return AuthResult(success=data.login == b"u" and data.password == b"pass-word", handled=False)

    box = mailbox(authenticator=authenticate, auth_required=True)
    for password, receipt in (("pass-word", Receipt.DELIVERED), ("wrong-word", Receipt.REFUSED)):
        channel = mail(box.port, certificates, username="u", password_file=made.file(password))
        sent = made(channel).send(NOTE, 1)
        assert sent.receipt == receipt
    assert "login refused (535 " in sent.detail
    assert "look at username and password_file" in sent.detail
    assert "wrong-word" not in sent.detail
    nobody = made(mail(box.port, certificates)).send(NOTE, 1)  # the server wants a login, and the channel has none
    assert nobody.receipt == Receipt.REFUSED
    assert "look at sender and username" in nobody.detail


def test_who_was_not_taken_for_now_is_tried_again_alone_and_who_is_unknown_is_named(made, mailbox, certificates):
    box = mailbox()
    box.refuses = {"wang@example.org": "450 greylisted", "li@example.org": "550 unknown"}
    sender = made(mail(box.port, certificates))
    first = sender.send(NOTE, 1)
    assert first.receipt == Receipt.FAILED
    assert "taken for 1 of 3; not for wang@example.org (450 greylisted), li@example.org (550 unknown)" in first.detail
    del box.refuses["wang@example.org"]
    second = sender.send(NOTE, 2)
    assert second.receipt == Receipt.DELIVERED
    assert "not for li@example.org (550 unknown)" in second.detail
    assert [recipients for recipients, _ in box.taken] == [["duty@example.org"], ["wang@example.org"]]
    box.refuses = dict.fromkeys(["duty@example.org", "wang@example.org", "li@example.org"], "550 unknown")
    assert sender.send(Notification("other", "c", BODY), 1).receipt == Receipt.REFUSED


def test_a_server_without_starttls_gets_no_mail_in_the_clear(made, certificates, free_port):
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        sent = made(mail(port, certificates)).send(NOTE, 1)
    finally:
        controller.stop()
    assert sent.receipt == Receipt.REFUSED
    assert "does not offer STARTTLS" in sent.detail
    assert box.taken == []


def test_no_mail_server_and_one_that_says_nothing_fail_in_words(made, certificates, free_port, receiver):
    sent = made(mail(free_port(), certificates)).send(NOTE, 1)
    assert sent == (Receipt.FAILED, "no connection (ConnectionRefusedError); look at host and port", 0.0)
    silent = receiver(NEVER).server_port
    context = ssl.create_default_context()
    sent = MailSender(mail(silent, certificates), None, context, Fixed(), timeout_s=0.2).send(NOTE, 1)
    assert sent == (Receipt.FAILED, "no answer in time", 0.0)


@pytest.mark.parametrize(
    ("security", "begins", "goes_on"),
    [("starttls", b"220-", b"x"), ("starttls", b"", b"220-busy\r\n"), ("tls", b"\x16\x03\x03\x3f\xff", b"\0")],
    ids=["a line without end", "lines without end", "a handshake without end"],
)
def test_a_mail_server_that_never_comes_to_an_end_does_not_hold_a_channel_for_long(
    certificates, security, begins, goes_on
):
    began_s = time.monotonic()
    with saying(begins, goes_on, 0.02) as port:
        channel = mail(port, certificates, security=security)
        sent = MailSender(channel, None, ssl.create_default_context(), Fixed(), timeout_s=0.1).send(NOTE, 1)
    assert sent.receipt == Receipt.FAILED
    assert sent.detail.endswith("answer in time")
    assert time.monotonic() - began_s < 10


def test_a_mail_server_that_says_too_much_is_no_mail_server(certificates):
    with saying(b"", b"220-and so on\r\n" * 1_000, 0.0) as port:
        sent = MailSender(mail(port, certificates), None, ssl.create_default_context(), Fixed()).send(NOTE, 1)
    assert sent == (Receipt.FAILED, "the server says too much: is it a mail server?", 0.0)


def test_nothing_of_a_name_becomes_a_header_or_a_recipient(made, mailbox, certificates):
    box = mailbox()
    people = [{"name": "王", "mail": "wang@example.org\r\nRCPT TO:<evil@example.org>"}]
    odd = {**BODY, "title": "二氧化硫\r\nBcc: evil@example.org\u2028X-Own: 1", "people": people}
    sent = made(mail(box.port, certificates)).send(Notification("k", "c", odd), 1)
    ((recipients, message),) = box.taken
    assert recipients == ["duty@example.org"]
    assert message["Subject"] == "二氧化硫 Bcc: evil@example.org X-Own: 1"
    assert (message["Bcc"], message["X-Own"]) == (None, None)
    assert sent.detail.isprintable()
    assert "(not an address)" in sent.detail


def test_a_server_that_repeats_the_login_does_not_bring_it_into_a_receipt(made, mailbox, certificates):
    coded = base64.b64encode(b"\0u\0pass-word").decode()

    def authenticate(_server, _session, _envelope, _mechanism, _data):
        return AuthResult(success=False, handled=False, message=f"535 cannot take {coded} of pass-word")

    box = mailbox(authenticator=authenticate, auth_required=True)
    sent = made(mail(box.port, certificates, username="u", password_file=made.file("pass-word"))).send(NOTE, 1)
    assert sent.detail == "login refused (535 cannot take *** of ***); look at username and password_file"
