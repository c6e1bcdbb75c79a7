"""Channels as written in site.yaml: what is wrong is told with its key; secrets come from files nobody else reads."""

import re
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from app.sending.channels import bounds_of, channels_of
from app.site.yaml_lines import SiteErrors
from contracts.channels import CHANNELS, AnyChannel, Apprise, DingTalk, Feishu, MqttTopic, Webhook
from contracts.clock import SystemClock
from tests.builders import site

ROOT = Path(__file__).resolve().parents[2]
ANY = TypeAdapter(AnyChannel)
URL = "https://oapi.example/robot/send?access_token=t0ken"
SMS = {"type": "sms", "name": "s", "url": "https://gw.example/send", "to": ["13800000000"]}
MAIL = {"type": "mail", "name": "m", "host": "mail.example", "sender": "island@example.org", "to": ["a@example.org"]}


def made(*channels):
    with ExitStack() as stack:
        return channels_of(site(channels=channels), SystemClock(), stack)


def file(tmp_path, name, text=URL, mode=0o600):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return str(path)


def test_every_kind_of_channel_is_chosen_by_its_type(tmp_path):
    url = file(tmp_path, "url")
    written = [
        {"type": "webhook", "name": "w", "url": "https://example.org/hook"},
        MAIL,
        SMS,
        {"type": "dingtalk", "name": "d", "url_file": url},
        {"type": "wecom", "name": "e", "url_file": url},
        {"type": "feishu", "name": "f", "url_file": url},
        {"type": "mqtt", "name": "q"},
        {"type": "alertmanager", "name": "a", "url": "http://127.0.0.1:9093"},
    ]
    channels = [ANY.validate_python(one) for one in written]
    assert [type(one) for one in channels] == list(CHANNELS[:-1])
    senders = made(*channels)
    assert list(senders) == [one["name"] for one in written]
    assert all("t0ken" not in repr(one.sender) for one in senders.values())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"type": "webhook", "name": "w"}, "give one of url and url_file"),
        ({"type": "webhook", "name": "w", "url": "http://h", "url_file": "f"}, "give one of url and url_file"),
        ({"type": "webhook", "name": "w", "url": "http://h", "body": {"a": "5 $"}}, "body.a: a \\$ stands alone"),
        (
            {"type": "webhook", "name": "w", "url": "http://h", "body": {"a": ["$txt"]}},
            "body.a\\[0\\]: \\$txt is not known",
        ),
        ({**MAIL, "username": "u"}, "username and password_file go together"),
        ({**MAIL, "to": [], "to_people": False}, "nobody is told"),
        ({**MAIL, "to": ["not an address"]}, "should match pattern"),
        ({**MAIL, "security": "none"}, "starttls"),
        ({**SMS, "text": "${phone}"}, "text: \\$phone is not known"),
        ({**SMS, "body": {"k": "$secret"}}, "name its file under secret_file"),
        ({**SMS, "headers": {"Authorization": "key ${secret}"}}, "name its file under secret_file"),
        ({**SMS, "answer_key": "Code"}, "answer_key and answer_ok go together"),
        ({**SMS, "to": [], "to_people": False}, "nobody is told"),
        ({**SMS, "to": ["call me"]}, "should match pattern"),
        ({"type": "mqtt", "name": "q", "topic": "gi/S1/json"}, "below gi/ are the stations' own"),
        ({"type": "mqtt", "name": "q", "topic": "alerts/#"}, "cannot be published to"),
        ({"type": "dingtalk", "name": "d", "url_file": "f", "per_minute": 21}, "less than or equal to 20"),
        ({"type": "dingtalk", "name": "d", "url": "https://x"}, "Extra inputs"),
        ({"type": "pager", "name": "p"}, "does not match any of the expected tags"),
    ],
)
def test_what_cannot_be_sent_by_is_told_when_the_site_is_read(wrong, said):
    with pytest.raises(ValidationError, match=said):
        ANY.validate_python(wrong)


def test_a_robots_limit_is_its_makers_unless_the_site_sets_a_lower_one():
    assert bounds_of(DingTalk(name="d", url_file="f")) == ((20, 60.0),)
    assert bounds_of(DingTalk(name="d", url_file="f", per_minute=5)) == ((5, 60.0),)
    assert bounds_of(Feishu(name="f", url_file="f")) == ((100, 60.0), (5, 1.0))
    assert bounds_of(Webhook(name="w", url="http://h")) == ()


def test_every_secret_that_cannot_be_used_is_told_with_file_and_key(tmp_path):
    open_to_all, empty = file(tmp_path, "open", mode=0o644), file(tmp_path, "empty", "\n")
    good = file(tmp_path, "good")
    with pytest.raises(SiteErrors) as refused:
        made(
            DingTalk(name="d", url_file=open_to_all, secret_file=empty),
            Webhook(name="w", url="http://h", secret_file=str(tmp_path / "absent")),
            Feishu(name="f", url_file=good),
            Webhook(name="x", url="http://h", ca_file=good),
        )
    assert str(refused.value).splitlines() == [
        f"{open_to_all}: channels[0].url_file: is open to everybody (mode 0644); it holds a secret: chmod 600 it",
        f"{empty}: channels[0].secret_file: is empty; it should hold the secret",
        f"{tmp_path / 'absent'}: channels[1].secret_file: cannot be read (No such file or directory)",
        f"{good}: channels[3].ca_file: is not a certificate in PEM form that can be read (SSLError)",
    ]


def test_an_address_that_is_none_is_told_without_being_repeated(tmp_path):
    with pytest.raises(SiteErrors) as refused:
        made(DingTalk(name="d", url_file=file(tmp_path, "url", "oapi.example/t0ken")))
    assert str(refused.value) == (
        "site.yaml: channels[0] (d): `url_file` must be an http:// or https:// address with a host"
    )


def test_a_broker_of_ones_own_needs_its_password_too(tmp_path):
    broker = {"host": "mq.example", "username": "u", "password_file": str(tmp_path / "absent")}
    with pytest.raises(SiteErrors, match=r"absent: channels\[0\].password_file: cannot be read"):
        made(MqttTopic(name="q", broker=broker))


def test_a_channel_for_apprise_says_what_to_install_where_it_is_missing(tmp_path):
    if find_spec("apprise") is not None:
        pytest.skip("Apprise is installed here: nothing is missing")
    with pytest.raises(SiteErrors) as refused:
        made(Apprise(name="p", url_file=file(tmp_path, "url", "json://127.0.0.1/t0ken")))
    assert str(refused.value) == (
        "site.yaml: channels[0] (p): needs Apprise, which is not installed: pip install 'greenisland[apprise]'"
    )


def test_the_channels_of_the_guide_and_of_the_example_site_can_be_read():
    guide = (ROOT / "docs" / "guide" / "channels.md").read_text(encoding="utf-8")
    example = (ROOT / "deploy" / "sites" / "zunyi" / "site.yaml").read_text(encoding="utf-8")
    commented = [line[4:] for line in example.splitlines() if line.startswith("#   ")]
    blocks = [*re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL), "\n".join(commented)]
    assert len(blocks) == 4
    for block in blocks:
        read = yaml.safe_load(block)
        for channel in read["channels"] if isinstance(read, dict) else read:
            assert ANY.validate_python(channel).name == channel["name"]
