"""/metrics, /healthz and /readyz of a process, over HTTP: for Prometheus servers, supervisors and containers.

Promises: answers GET and HEAD of these three paths and nothing else, to whoever may reach the address; a slow client
holds nobody up. Does not promise to be fit for the world: it belongs on the loopback or an inner network.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST

from .metrics import Figures

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
PATHS = ("/metrics", "/healthz", "/readyz")


class NotServed(RuntimeError):
    """The address cannot be listened on; the message says what to do."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    figures: Figures

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        log.debug("a client of /metrics went away: %s", client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = TIMEOUT_S
    server_version, sys_version = "GreenIsland", ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, self.server.figures.text())
        elif path == "/healthz":
            self._say(HTTPStatus.OK, {"status": "ok"})
        elif path == "/readyz":
            why = self.server.figures.not_ready()
            status = HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK
            self._say(status, {"is_ready": not why, "why": why})
        else:
            self._say(HTTPStatus.NOT_FOUND, {"paths": PATHS})

    do_HEAD = do_GET

    def _say(self, status: HTTPStatus, body: dict[str, object]) -> None:
        self._answer(status, "application/json", json.dumps(body).encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


@contextmanager
def serving(figures: Figures, host: str, port: int) -> Iterator[int]:
    """Answers until the block ends; gives the port, which is chosen where it is 0. Raises NotServed."""
    try:
        server = _Server((host, port), _Handler)
    except OSError as error:
        raise NotServed(
            f"metrics: cannot listen on {host}:{port} ({error.strerror}); of several processes give each an address of "
            "its own with --metrics HOST:PORT"
        ) from error
    server.figures = figures
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
