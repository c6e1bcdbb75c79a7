"""The reverse proxy's configuration in a real nginx: TLS only, each path to its program, no forged addresses."""

import json
import re
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ..answering import Answer, Answering
from ..integration.broker import wait_until

pytestmark = pytest.mark.server
SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "nginx" / "nginx.conf"


@pytest.fixture(scope="module")
def upstreams():
    """Each says who it is and what it was asked."""

    def says(who):
        return Answering(lambda asked: Answer(200, {"who": who, "path": asked.path, **asked.headers}))

    with says("portal") as portal, says("grafana") as grafana:
        yield {"portal": portal.port, "grafana": grafana.port}


@pytest.fixture(scope="module")
def proxy(shared_deployment, upstreams, tmp_path_factory, require_program):
    """(its plain port, its TLS port): nginx on the shipped file with only names, ports and paths replaced."""
    program = require_program("nginx")
    folder = tmp_path_factory.mktemp("nginx")
    plain, tls = _free_port(), _free_port()
    text = SHIPPED.read_text(encoding="utf-8")
    for was, becomes in {
        r"/tmp/": f"{folder}/",
        r"listen 8080;": f"listen 127.0.0.1:{plain};",
        r"listen 8443 ssl;": f"listen 127.0.0.1:{tls} ssl;",
        r"listen \[::\]:\d+( ssl)?;": "",
        r"http://portal:8212": f"http://127.0.0.1:{upstreams['portal']}",
        r"http://grafana:3000": f"http://127.0.0.1:{upstreams['grafana']}",
        r"/etc/greenisland/web": str(shared_deployment.web.key.parent),
        r"include /etc/nginx/mime.types;": "",
    }.items():
        text, n = re.subn(was, becomes, text)
        assert n, was
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    log = folder / "nginx.log"
    with log.open("wb") as stream:
        command = [program, "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"]
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", tls)) == 0

        wait_until(answers, "nginx answers")
        yield plain, tls
    finally:
        process.terminate()
        process.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def ask(proxy, shared_deployment):
    """ask(path, headers) over TLS, trusting the deployment's authority: (status, headers, body)."""
    trusted = ssl.create_default_context(cafile=str(shared_deployment.authority.certificate))

    def get(path: str, **headers: str):
        request = urllib.request.Request(f"https://127.0.0.1:{proxy[1]}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20, context=trusted) as said:
                return said.status, said.headers, said.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    return get


@pytest.mark.parametrize(
    ("path", "who"),
    [("/", "portal"), ("/api/v1/alerts", "portal"), ("/grafana/d/x", "grafana"), ("/grafana2", "portal")],
)
def test_each_path_reaches_its_program_as_it_was_asked(ask, path, who):
    status, headers, body = ask(path)
    said = json.loads(body)
    assert (status, said["who"], said["path"]) == (200, who, path)
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_nobody_can_claim_another_address_or_scheme(ask):
    forged = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"}
    said = json.loads(ask("/", **forged)[2])
    assert said["X-Forwarded-For"] == "127.0.0.1"
    assert said["X-Forwarded-Proto"] == "https"
    assert said["X-Forwarded-Host"] == "127.0.0.1"


def test_figures_are_not_for_the_world(ask):
    assert ask("/metrics")[0] == 404


def test_without_tls_there_is_nothing_but_the_way_to_it(proxy):
    with socket.create_connection(("127.0.0.1", proxy[0]), timeout=10) as plain:
        plain.sendall(b"GET /alerts?x=1 HTTP/1.1\r\nHost: centre.example\r\nConnection: close\r\n\r\n")
        said = b"".join(iter(lambda: plain.recv(4096), b"")).decode()
    assert said.startswith("HTTP/1.1 308")
    assert "Location: https://centre.example/alerts?x=1" in said


def test_old_tls_is_refused(proxy):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", proxy[1]), timeout=10) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain)
