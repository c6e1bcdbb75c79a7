"""Fixtures of receivers and servers on the loopback."""

import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.sending.channels import channels_of
from contracts.broker import Broker
from tests.builders import site

from .influxd import Influxd
from .notes import Fixed
from .receivers import Receiver, Reply, certificate, receiving


@pytest.fixture
def receiver():
    """receiver(200) listens until the test is over."""
    with ExitStack() as running:

        def start(*replies: int | Reply, tls: ssl.SSLContext | None = None) -> Receiver:
            return running.enter_context(receiving(*replies, tls=tls))

        yield start


@pytest.fixture
def influxd(require_program, tmp_path, free_port):
    """A real one that is not there yet: `start` it."""
    (tmp_path / "influxd").mkdir()
    server = Influxd(require_program("influxd", "influxdb"), tmp_path / "influxd", free_port(), free_port())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory, require_program) -> Path:
    """ca.crt; server.crt of 127.0.0.1 and other.crt of another host, both signed by it; stranger.crt, an authority."""
    require_program("openssl")
    folder = tmp_path_factory.mktemp("certificates")
    certificate(folder, "ca")
    certificate(folder, "stranger")
    certificate(folder, "server", issuer="ca")
    certificate(folder, "other", issuer="ca", san="DNS:other.example")
    return folder


@pytest.fixture
def made(tmp_path):
    """made(channel): its sender, as the site would make it. made.file(text): a secret's file."""
    with ExitStack() as stack:

        def make(channel, clock=None):
            one = site(channels=(channel,), broker=Broker())
            return channels_of(one, clock or Fixed(), stack)[channel.name].sender

        def file(text):
            path = tmp_path / f"secret-{len(list(tmp_path.glob('secret-*')))}"
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
            return str(path)

        make.file = file
        yield make
