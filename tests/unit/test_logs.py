"""Logs: a record is a line, in either form, and no secret is in it."""

import io
import json
import logging

import httpx
import pytest

from app.health.logs import JsonLines, TextLines, blotted, configure, configured_form

SECRETS = [
    "HTTP Request: POST https://oapi.example/robot/send?access_token=SECRET123&timestamp=1 200",
    "https://qyapi.example/cgi-bin/webhook/send?key=SECRET123",
    "Authorization: Bearer SECRET123",
    "authorization: Token SECRET123",
    '{"password": "SECRET123", "user": "x"}',
    "password=SECRET123",
    "sign=SECRET123&x=1",
    "mqtts://station:SECRET123@broker.example:8883",
    "cookie: SECRET123",
    "a key of the API: gi_SECRET123SECRET123SECRET123",
]
PLAIN = [
    "connected to broker.example:8883",
    "the broker refuses the connection: Not authorized",
    "span 12: 300 readings, key figures below",
    "secret_file: /etc/greenisland/channels/duty.secret is not there",
    "password_file cannot be read",
    "2026-03-01T08:00:00+08:00 https://greenisland.example.cn/alerts",
]


@pytest.fixture
def lines():
    """A function: the lines a formatter makes of some logging."""

    def write(formatter, log) -> list[str]:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        logger = logging.getLogger("test_logs")
        logger.propagate = False
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
        try:
            log(logger)
        finally:
            logger.removeHandler(handler)
        return stream.getvalue().splitlines()

    return write


@pytest.mark.parametrize("text", SECRETS)
def test_no_secret_stands_in_a_line(lines, text):
    for formatter in (JsonLines(), TextLines("%(message)s")):
        (line,) = lines(formatter, lambda logger: logger.info("%s", text))
        assert "SECRET123" not in line
        assert "***" in line


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_is_left_as_it_is(text):
    assert blotted(text) == text


def test_a_record_is_one_object_whatever_is_in_it(lines):
    def log(logger):
        try:
            raise ValueError("two\nlines, and password=SECRET123")
        except ValueError:
            logger.exception('a "quoted"\nmessage %s', "站点")

    (line,) = lines(JsonLines(), log)
    said = json.loads(line)
    assert said["level"] == "error"
    assert said["logger"] == "test_logs"
    assert said["message"] == 'a "quoted"\nmessage 站点'
    assert "ValueError: two\nlines" in said["error"]
    assert "SECRET123" not in line
    assert said["at"].endswith("+00:00")


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_library_that_calls_webhooks_does_not_log_their_addresses(form, capsys):
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        configure(form)
        assert configured_form() == form  # for a process that this one starts
        transport = httpx.MockTransport(lambda _: httpx.Response(200))
        with httpx.Client(transport=transport) as client:
            client.post("https://oapi.example/robot/send?access_token=SECRET123")
        logging.getLogger("here").info("after it")
        said = capsys.readouterr().err
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    assert "after it" in said
    assert "robot" not in said
