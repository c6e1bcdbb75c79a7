"""Every sender against a real receiver of its kind, and against receivers that misbehave as documented."""

import itertools
import json
import time
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.site.yaml_lines import SiteErrors
from contracts.broker import Broker
from contracts.channels import Alertmanager, Apprise, DingTalk, Feishu, MqttTopic, Sms, Webhook, WeCom
from contracts.ports import Notification
from contracts.reasons import Receipt
from notify.senders import dingtalk, feishu
from notify.senders.wecom import WeComSender

from .alertmanager import alertmanager_in
from .broker import Mosquitto, Peer, wait_until
from .notes import ALERT, AT, BODY, NOTE, PEOPLE, SECRET, TEXT, TOKEN, Fixed
from .receivers import NEVER, Reply, resetting, saying, serving_tls


def robot_url(server):
    return f"{server.base}/robot/send?access_token={TOKEN}"


def shows_no_secret(sent):
    assert not any(secret in sent.detail for secret in (TOKEN, SECRET, "127.0.0.1"))


# -- robots


def test_dingtalk_gets_a_signed_text_with_its_keyword_and_the_people_mentioned(made, receiver):
    server = receiver(Reply(200, {"errcode": 0, "errmsg": "ok"}))
    robot = DingTalk(name="c", url_file=made.file(robot_url(server)), secret_file=made.file(SECRET), keyword="绿岛")
    sent = made(robot).send(NOTE, 1)
    assert sent == (Receipt.DELIVERED, "HTTP 200, code 0", 0.0)
    ((path, _, body),) = server.seen
    query = parse_qs(urlsplit(path).query)
    assert query["access_token"] == [TOKEN]
    assert query["timestamp"] == [str(int(AT.timestamp() * 1000))]
    assert query["sign"] == [dingtalk.signature(query["timestamp"][0], SECRET)]
    message = json.loads(body)
    assert message["msgtype"] == "text"
    assert message["text"]["content"].startswith("绿岛: 二氧化硫超标\n" + TEXT)
    assert message["at"] == {"atMobiles": ["13800000000", "13900000000"], "atUserIds": ["wang"]}


def test_wecom_gets_at_most_its_bytes_and_a_repeat_says_so(made, receiver):
    server = receiver(Reply(200, {"errcode": 0, "errmsg": "ok"}))
    sender = made(WeCom(name="c", url_file=made.file(robot_url(server))))
    assert sender.send(Notification("k", "c", {**BODY, "text": "长" * 3000}), 2).receipt == Receipt.DELIVERED
    (message,) = server.bodies()
    assert len(message["text"]["content"].encode()) <= 2048
    assert message["text"]["content"].startswith("[可能重复] ")
    assert message["text"]["content"].endswith("长…\n查看: https://centre.example/alerts/e1")  # the way to the rest
    assert message["text"]["mentioned_list"] == ["li"]


def test_feishu_gets_its_signature_in_the_body_and_mentions_that_are_no_markup(made, receiver):
    server = receiver(Reply(200, {"code": 0, "msg": "success", "data": {}}), Reply(200, {"StatusCode": 0}))
    robot = Feishu(name="c", url_file=made.file(robot_url(server)), secret_file=made.file(SECRET))
    sender = made(robot)
    assert [sender.send(NOTE, 1).receipt for _ in range(2)] == [Receipt.DELIVERED] * 2  # both forms of its answer
    message = server.bodies()[0]
    assert message["sign"] == feishu.signature(message["timestamp"], SECRET)
    assert message["timestamp"] == str(int(AT.timestamp()))
    assert '<at user_id="ou_w">王</at> <at user_id="ou_l">李b</at>' in message["content"]["text"]


MISBEHAVING = [
    (DingTalk, {"errcode": 310000, "errmsg": f"sign not match {TOKEN}"}, Receipt.REFUSED, "look at secret_file", 0),
    (DingTalk, {"errcode": 310000, "errmsg": "keywords not in content"}, Receipt.REFUSED, "look at keyword", 0),
    (DingTalk, {"errcode": 300001, "errmsg": f"token {TOKEN} is not exist"}, Receipt.REFUSED, "look at url_file", 0),
    (
        DingTalk,
        {"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"},
        Receipt.FAILED,
        "rate limit",
        600,
    ),
    (DingTalk, {"errcode": -1, "errmsg": "系统繁忙"}, Receipt.FAILED, "busy", 30),
    (DingTalk, {"errcode": 987654, "errmsg": "new"}, Receipt.FAILED, "not a known answer", 0),
    (WeCom, {"errcode": 93000, "errmsg": "invalid webhook url, hint: [1]"}, Receipt.REFUSED, "look at url_file", 0),
    (WeCom, {"errcode": 45009, "errmsg": "api freq out of limit"}, Receipt.FAILED, "rate limit", 60),
    (WeCom, {"errcode": -1, "errmsg": "system busy"}, Receipt.FAILED, "busy", 30),
    (
        Feishu,
        {"code": 19021, "msg": "sign match fail or timestamp is not within one hour"},
        Receipt.REFUSED,
        "secret_file",
        0,
    ),
    (Feishu, {"code": 19024, "msg": "Key Words Not Found"}, Receipt.REFUSED, "look at keyword", 0),
    (Feishu, {"code": 11232, "msg": "frequency limited"}, Receipt.FAILED, "rate limit", 60),
    (Feishu, {"code": 9499, "msg": "Bad Request"}, Receipt.REFUSED, "form", 0),
]


@pytest.mark.parametrize(("kind", "answer", "receipt", "said", "wait_s"), MISBEHAVING)
def test_an_error_inside_http_200_is_no_delivery(made, receiver, kind, answer, receipt, said, wait_s):
    server = receiver(Reply(200, answer))
    sent = made(kind(name="c", url_file=made.file(robot_url(server)))).send(NOTE, 1)
    assert (sent.receipt, sent.wait_s) == (receipt, wait_s)
    assert said in sent.detail
    assert str(answer.get("errcode", answer.get("code"))) in sent.detail
    shows_no_secret(sent)


@pytest.mark.parametrize("kind", [DingTalk, WeCom, Feishu])
@pytest.mark.parametrize(
    ("reply", "receipt"),
    [
        (Reply(200, "<html>a login page</html>"), Receipt.FAILED),
        (Reply(200, "[1]"), Receipt.FAILED),
        (Reply(200, {"errcode": "0", "code": True}), Receipt.FAILED),
        (Reply(502, "<html>"), Receipt.FAILED),
        (Reply(302), Receipt.REFUSED),
        (Reply(404, ""), Receipt.REFUSED),
        (Reply(200, '{"errcode": 0' + " " * 100_000 + "}"), Receipt.FAILED),
    ],
)
def test_what_is_no_robots_answer_is_no_delivery(made, receiver, kind, reply, receipt):
    sent = made(kind(name="c", url_file=made.file(robot_url(receiver(reply))))).send(NOTE, 1)
    assert sent.receipt == receipt
    shows_no_secret(sent)


def test_a_receiver_that_asks_to_wait_is_heard(made, receiver):
    server = receiver(Reply(429, "", (("Retry-After", "120"),)), Reply(503, "", (("Retry-After", "soon"),)))
    sender = made(Webhook(name="c", url=server.url))
    assert sender.send(NOTE, 1) == (Receipt.FAILED, "HTTP 429, asks to wait 120 s", 120.0)
    assert sender.send(NOTE, 1) == (Receipt.FAILED, "HTTP 503", 0.0)


def test_slow_reset_and_absent_receivers_fail_in_bounded_time_and_words(receiver, free_port):
    slow = receiver(NEVER)
    with httpx.Client(trust_env=False) as client, resetting() as reset_port:
        for base in (slow.base, f"http://127.0.0.1:{reset_port}", f"http://127.0.0.1:{free_port()}"):
            url = f"{base}/send?key={TOKEN}"
            sent = WeComSender(WeCom(name="c", url_file="f"), url, client, timeout_s=0.3).send(NOTE, 1)
            assert sent.receipt == Receipt.FAILED
            assert "no answer" in sent.detail
            shows_no_secret(sent)


@pytest.mark.parametrize(
    "begins", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"]
)
def test_a_receiver_that_says_a_byte_now_and_then_does_not_hold_a_channel_for_long(begins):
    """No single wait is long; the whole is."""
    began_s = time.monotonic()
    with httpx.Client(trust_env=False) as client, saying(begins, b"a", 0.02) as port:
        robot = WeComSender(WeCom(name="c", url_file="f"), f"http://127.0.0.1:{port}/{TOKEN}", client, timeout_s=0.2)
        sent = robot.send(NOTE, 1)
    assert sent == (Receipt.FAILED, "no whole answer in time", 0.0)
    assert time.monotonic() - began_s < 5


def test_what_a_robot_says_can_be_written_down_and_commands_no_terminal(made, receiver):
    """Half a surrogate pair ended the part that sends; an escape reached the screen of whoever listed receipts."""
    server = receiver(Reply(200, '{"errcode": 40035, "errmsg": "\\ud800no\\u001b[2J \\u202egood"}'))
    sent = made(DingTalk(name="c", url_file=made.file(robot_url(server)))).send(NOTE, 1)
    assert sent.detail.endswith("(code 40035: no [2J good)")
    assert sent.detail.isprintable()
    latin = receiver(Reply(400, "caf\udce9"))
    sent = made(Alertmanager(name="c", url=latin.base)).send(NOTE, 1)
    assert sent.receipt == Receipt.REFUSED
    assert sent.detail.isprintable()


# -- certificates


@pytest.mark.parametrize(
    ("server_has", "trusted", "said"),
    [
        ("server", "ca", None),
        ("server", "stranger", "a certificate authority that is not trusted"),
        ("other", "ca", "for another"),
        ("stranger", "ca", "signed by itself"),
    ],
)
def test_a_wrong_certificate_is_no_delivery_and_is_said(made, receiver, certificates, server_has, trusted, said):
    server = receiver(204, tls=serving_tls(certificates, server_has))
    sent = made(Webhook(name="c", url=server.url, ca_file=str(certificates / f"{trusted}.crt"))).send(NOTE, 1)
    if said is None:
        assert sent.receipt == Receipt.DELIVERED
    else:
        assert sent.receipt == Receipt.FAILED
        assert said in sent.detail
        assert server.seen == []
        shows_no_secret(sent)


# -- webhook and its template


def test_a_template_that_cannot_be_filled_sends_the_notification_as_it_is_and_is_flagged(made, receiver):
    server = receiver(200)
    template = {"station": "${alert.station}", "said": "[$level] $text"}
    sender = made(Webhook(name="c", url=server.url, body=template))
    assert sender.send(NOTE, 1).detail == "HTTP 200"
    sent = sender.send(Notification("k", "c", {"text": "storm", "level": "red", "alert": None}), 1)
    assert sent == (
        Receipt.DELIVERED,
        "template error: ${alert.station} is not in this notification; the notification went as it is; HTTP 200",
        0.0,
    )
    assert server.bodies() == [
        {"station": "S1", "said": f"[red] {TEXT}"},
        {"text": "storm", "level": "red", "alert": None},
    ]


# -- short messages


def sms(server, **more):
    about = {
        "name": "c",
        "url": f"{server.base}/send?u=$secret",
        "body": {
            "PhoneNumbers": "$phone",
            "TemplateCode": "$template_id",
            "SignName": "$signature",
            "TemplateParam": '{"text": "$text_json"}',
        },
        "template_id": "SMS_1",
        "signature": "绿岛",
        "answer_key": "Code",
        "answer_ok": ["OK"],
        "answer_again": ["isv.BUSINESS_LIMIT_CONTROL"],
    }
    return Sms(**{**about, **more})


def test_a_short_message_goes_to_every_phone_once_within_its_length(made, receiver):
    server = receiver(
        Reply(200, {"Code": "OK"}), Reply(200, {"Code": "isv.BUSINESS_LIMIT_CONTROL"}), Reply(200, {"Code": "OK"})
    )
    sender = made(sms(server, secret_file=made.file("k&y")))
    note = Notification("k", "c", {**BODY, "text": '"' + "长" * 90})
    first = sender.send(note, 1)
    assert first.receipt == Receipt.FAILED
    assert first.detail == "taken for 1 of 2; HTTP 200, Code is isv.BUSINESS_LIMIT_CONTROL"
    assert sender.send(note, 2).detail == "taken for 2 of 2"
    assert [one["PhoneNumbers"] for one in server.bodies()] == ["13800000000", "13900000000", "13900000000"]
    texts = [json.loads(one["TemplateParam"])["text"] for one in server.bodies()]
    assert {len(text) for text in texts} == {70 - len("【绿岛】")}
    assert texts[0].startswith('"长')
    assert texts[2].startswith("[可能重复] ")
    assert all(text.endswith("…") for text in texts)
    assert server.seen[0].path == "/send?u=k%26y"


def test_a_gateways_own_error_in_http_200_is_a_refusal_with_its_code(made, receiver):
    server = receiver(Reply(200, {"Code": "isv.SMS_SIGNATURE_ILLEGAL", "Message": "no"}))
    sent = made(sms(server, secret_file=made.file(SECRET))).send(NOTE, 1)
    assert sent.receipt == Receipt.REFUSED
    assert sent.detail == "taken for 0 of 2; HTTP 200, Code is isv.SMS_SIGNATURE_ILLEGAL"
    gone = receiver(Reply(200, {"Response": {}}))
    sent = made(sms(gone, answer_key="Response.SendStatusSet.0.Code", secret_file=made.file(SECRET))).send(NOTE, 1)
    assert sent.receipt == Receipt.FAILED
    assert "its answer has no Response.SendStatusSet.0.Code" in sent.detail


def test_a_form_and_an_address_are_filled_too_and_nothing_of_a_text_becomes_part_of_them(made, receiver):
    server = receiver(200)
    body = {"to": "$phone", "msg": "$text"}
    note = Notification("k", "c", {"text": "a&to=1&b=§ ?#", "people": PEOPLE[:1]})
    for more in (
        {"encoding": "form"},
        {"method": "GET"},
        {"method": "GET", "url": f"{server.base}/s/$text?p=$phone", "body": {}},
    ):
        sender = made(Sms(**{"name": "c", "url": f"{server.base}/send", "body": body, **more}))
        assert sender.send(note, 1).receipt == Receipt.DELIVERED
    form, query, filled = server.seen
    assert parse_qs(form.body.decode()) == {"to": ["13800000000"], "msg": ["a&to=1&b=§ ?#"]}
    assert parse_qs(urlsplit(query.path).query) == {"to": ["13800000000"], "msg": ["a&to=1&b=§ ?#"]}
    assert parse_qs(urlsplit(filled.path).query) == {"p": ["13800000000"]}


def test_test_mode_sends_nothing_and_says_what_it_would_have_sent(made, receiver, caplog):
    server = receiver(200)
    sent = made(sms(server, test=True, secret_file=made.file(SECRET))).send(NOTE, 1)
    assert sent.receipt == Receipt.DELIVERED
    assert sent.detail.startswith("test mode, nothing was sent: ")
    assert TEXT in sent.detail
    assert "13800000000, 13900000000" in caplog.text
    assert server.seen == []


def test_a_text_template_that_cannot_be_filled_sends_the_plain_text_and_is_flagged(made, receiver):
    server = receiver(Reply(200, {"Code": "OK"}))
    sender = made(sms(server, text="${alert.factor}: $text", secret_file=made.file(SECRET)))
    sent = sender.send(Notification("k", "c", {"text": "plain", "people": PEOPLE[:1]}), 1)
    assert sent == (
        Receipt.DELIVERED,
        "template error: ${alert.factor} is not in this notification; the plain text went; taken for 1 of 1",
        0.0,
    )
    assert json.loads(server.bodies()[0]["TemplateParam"]) == {"text": "plain"}


def test_nobody_to_send_to_is_a_refusal_that_says_so(made, receiver):
    nobody = Notification("k", "c", {"text": "x", "people": [{"name": "n", "phone": "call me"}]})
    sent = made(sms(receiver(200), secret_file=made.file(SECRET))).send(nobody, 1)
    assert sent.receipt == Receipt.REFUSED
    assert "nobody to send it to" in sent.detail


# -- MQTT


@pytest.mark.server
def test_a_notification_is_published_with_qos_1_and_a_refusal_names_the_setting(
    made, tmp_path, free_port, require_program
):
    with Mosquitto(tmp_path / "mosquitto", free_port(), require_program("mosquitto")) as broker:
        pass
    acl = broker.folder / "acl"
    acl.write_text("user island\ntopic write greenisland/alerts\nuser reader\ntopic read greenisland/#\n")
    for name in ("island", "reader"):
        broker.add_user(name, "pw")
    password, wrong = made.file("pw"), made.file("not-pw")

    def channel(topic="greenisland/alerts", password_file=password, **more):
        about = {"port": broker.port, "username": "island", "password_file": password_file, **more}
        return made(MqttTopic(name="c", topic=topic, broker=Broker(**about)))

    with broker, Peer(broker.port, "reader", "pw", subscribe="greenisland/#") as reader:
        for protocol in ("5", "3.1.1"):
            assert channel(protocol=protocol).send(NOTE, 2).receipt == Receipt.DELIVERED
        wait_until(lambda: len(reader.heard) == 2, "both messages")
        assert json.loads(reader.heard[0][1]) == {"key": NOTE.key, "attempt": 2, **BODY}
        refused = channel(password_file=wrong).send(NOTE, 1)
        assert refused.receipt == Receipt.REFUSED
        assert "look at username and password_file" in refused.detail
        refused = channel(topic="other").send(NOTE, 1)
        assert refused.receipt == Receipt.REFUSED
        assert "topic and the broker's ACL" in refused.detail
    absent = channel().send(NOTE, 1)
    assert absent == (Receipt.FAILED, "no connection (ConnectionRefusedError); look at host and port", 0.0)


# -- Alertmanager


@pytest.fixture
def alertmanager(tmp_path, free_port, require_program):
    with alertmanager_in(tmp_path, require_program("prometheus-alertmanager"), free_port()) as base:
        yield base


def alertmanager_alerts(base):
    return {
        (one["labels"]["alert"], one["labels"]["level"]): one["status"]["state"]
        for one in httpx.get(f"{base}/api/v2/alerts", timeout=5, trust_env=False).json()
    }


@pytest.mark.server
def test_an_alert_stands_in_alertmanager_changes_its_level_and_ends(made, alertmanager):
    sender = made(Alertmanager(name="c", url=alertmanager), Fixed(datetime.now(UTC)))

    def send(transition, tick, **alert):
        body = {
            **BODY,
            "transition": transition,
            "tick": f"2026-03-01T0{tick}:00:00+00:00",
            "alert": {**ALERT, **alert},
        }
        return sender.send(Notification(f"e1:{transition}", "c", body), 1)

    assert send("fired", 6).receipt == Receipt.DELIVERED
    wait_until(lambda: alertmanager_alerts(alertmanager) == {("e1", "red"): "active"}, "the alert stands")
    (shown,) = httpx.get(f"{alertmanager}/api/v2/alerts", timeout=5, trust_env=False).json()
    assert shown["labels"]["station"] == "S1"
    assert shown["annotations"]["description"] == TEXT
    assert shown["generatorURL"] == BODY["link"]
    assert send("level_changed", 7, level="orange").receipt == Receipt.DELIVERED
    wait_until(lambda: alertmanager_alerts(alertmanager) == {("e1", "orange"): "active"}, "another level, alone")
    assert send("resolved", 8, level="orange", resolved_at="2026-03-01T08:00:00+00:00").receipt == Receipt.DELIVERED
    wait_until(lambda: alertmanager_alerts(alertmanager) == {}, "it is over")
    assert send("fired", 6).detail == "not sent: a later word on it was taken already"

    def group(key, tick, said):
        alerts = [{**ALERT, "id": episode, "level": level} for episode, level in (("e2", "red"), ("e3", "yellow"))]
        body = {"title": "2 alerts changed", "text": "group", "transition": "several", "alerts": alerts}
        tick = f"2026-03-01T0{tick}:00:00+00:00"
        return sender.send(Notification(key, "c", {**body, "episodes": said, "tick": tick}), 1)

    assert group("both", 6, {"e2": "fired", "e3": "fired"}).receipt == Receipt.DELIVERED
    both = {("e2", "red"): "active", ("e3", "yellow"): "active"}
    wait_until(lambda: alertmanager_alerts(alertmanager) == both, "every alert of the group stands")
    assert group("one ends", 7, {"e2": "data_lost", "e3": "withdrawn"}).receipt == Receipt.DELIVERED
    wait_until(lambda: alertmanager_alerts(alertmanager) == {("e2", "red"): "active"}, "each by what it did itself")
    assert sender.send(Notification("about none", "c", {"text": "flapping"}), 1).receipt == Receipt.DELIVERED


def test_what_alertmanager_does_not_take_is_a_refusal_in_its_words_and_its_login_is_sent(made, receiver):
    server = receiver(Reply(400, "start time must be before end time"), Reply(500, "boom"))
    channel = Alertmanager(name="c", url=server.base, username="u", password_file=made.file("pass-word"))
    sender = made(channel)
    assert sender.send(NOTE, 1).receipt == Receipt.REFUSED
    assert sender.send(NOTE, 1) == (Receipt.FAILED, "HTTP 500", 0.0)
    assert {one.path for one in server.seen} == {"/api/v2/alerts"}
    assert server.seen[0].headers["Authorization"].startswith("Basic ")


def test_alertmanager_gets_every_alert_of_a_storm_in_several_posts_and_a_gap_is_told(made, receiver):
    server = receiver(200, 500, 200)
    sender = made(Alertmanager(name="c", url=server.base))
    alerts = [{**ALERT, "id": f"e{n}"} for n in range(1_201)]
    storm = Notification("storm", "c", {**BODY, "alert": None, "alerts": alerts})
    assert sender.send(storm, 1) == (Receipt.FAILED, "taken: 500 of 1,201 alerts; HTTP 500", 0.0)
    server.seen.clear()
    assert sender.send(storm, 2).receipt == Receipt.DELIVERED
    told = [one["labels"]["alert"] for one in itertools.chain(*server.bodies())]
    assert [len(body) for body in server.bodies()] == [1_500, 1_500, 603]
    assert set(told) == {f"e{n}" for n in range(1_201)}


# -- Apprise


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Apprise's own imports
def test_apprises_word_is_taken_and_its_address_is_never_shown(made, receiver, caplog):
    pytest.importorskip("apprise")
    good, bad = receiver(200), receiver(500)
    for server, receipt in ((good, Receipt.DELIVERED), (bad, Receipt.FAILED)):
        address = f"json://127.0.0.1:{server.server_port}/{TOKEN}"
        sender = made(Apprise(name="c", url_file=made.file(address)))
        sent = sender.send(NOTE, 2)
        assert sent.receipt == receipt
        assert TOKEN not in sent.detail + repr(sender) + caplog.text
    (body,) = good.bodies()
    assert body["title"] == "[可能重复] 二氧化硫超标"
    assert TEXT in body["message"]
    with pytest.raises(SiteErrors, match="Apprise does not know the address"):
        made(Apprise(name="c", url_file=made.file("nonsense://x")))
