"""The reverse proxy's configuration in a real nginx: TLS only, each path to its program, no forged addresses."""

import json
import socket
import ssl
import urllib.error
import urllib.request

import pytest

from ..answering import Answer, Answering
from .nginx import serving

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def upstreams():
    """Each says who it is and what it was asked."""

    def says(who):
        own = (("X-Frame-Options", "DENY"),) if who == "portal" else ()
        return Answering(lambda asked: Answer(200, {"who": who, "path": asked.path, **asked.headers}, own))

    with says("portal") as portal, says("grafana") as grafana:
        yield {"portal": portal.port, "grafana": grafana.port}


@pytest.fixture(scope="module")
def proxy(shared_deployment, upstreams, tmp_path_factory, require_program, free_ports):
    """(its plain port, its TLS port)"""
    plain, tls = free_ports(2)
    folder, web = tmp_path_factory.mktemp("nginx"), shared_deployment.web.key.parent
    with serving(require_program("nginx"), folder, (plain, tls), web, upstreams):
        yield plain, tls


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
    assert headers.get_all("X-Frame-Options") == [{"portal": "DENY", "grafana": "SAMEORIGIN"}[who]]  # said once


def test_nobody_can_claim_another_address_or_scheme(ask, proxy):
    forged = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"}
    said = json.loads(ask("/", **forged)[2])
    assert said["X-Forwarded-For"] == "127.0.0.1"
    assert said["X-Forwarded-Proto"] == "https"
    # with its port: what leads back, and what compares an Origin with it, must name the port people use
    assert (said["X-Forwarded-Host"], said["Host"]) == (f"127.0.0.1:{proxy[1]}",) * 2


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
