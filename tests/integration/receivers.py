"""Real receivers on the loopback that misbehave as told: HTTP, SMTP, certificates."""

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

NEVER = 0  # a status: no answer until `released`


class Seen(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    status: int
    body: object = "ok"  # text as it is, anything else as JSON
    headers: tuple[tuple[str, str], ...] = ()


class Receiver(ThreadingHTTPServer):
    """Answers one reply (or bare status) a request, the last one for good; keeps what it was sent."""

    daemon_threads = True

    def __init__(self, *replies: int | Reply, tls: ssl.SSLContext | None = None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies = [Reply(one) if isinstance(one, int) else one for one in replies]
        self.seen: list[Seen] = []
        self.released = threading.Event()
        self.scheme = "http"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
            self.scheme = "https"

    @property
    def base(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"{self.base}/robot?key=token-in-the-url"

    def bodies(self) -> list[dict]:
        return [json.loads(one.body) for one in self.seen]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gives up is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(Seen(self.path, dict(self.headers), body))
        reply = self.server.replies[0] if len(self.server.replies) == 1 else self.server.replies.pop(0)
        if reply.status == NEVER:
            self.server.released.wait(10)
            return
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body, ensure_ascii=False)
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(text.encode(errors="surrogateescape"))))
        self.end_headers()
        self.wfile.write(text.encode(errors="surrogateescape"))

    do_GET = do_POST

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def receiving(*replies: int | Reply, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    server = Receiver(*replies, tls=tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def resetting() -> Iterator[int]:
    """A port whose every connection is reset after it was accepted."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close sends RST
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ending.set()
        thread.join()
        listener.close()


@contextmanager
def saying(begins: bytes, goes_on: bytes, every_s: float) -> Iterator[int]:
    """A port where whoever connects is told `begins`, and then `goes_on` again and again, until they leave."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            with suppress(TimeoutError, OSError), listener.accept()[0] as connection:
                connection.settimeout(1)
                connection.sendall(begins)
                while not ending.wait(every_s):
                    connection.sendall(goes_on)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ending.set()
        thread.join()
        listener.close()


def certificate(folder: Path, name: str, issuer: str | None = None, san: str = "IP:127.0.0.1") -> None:
    """A key and a certificate, signed by the issuer or by itself."""
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    request += ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt", "-days", "2", "-subj", f"/CN={name}"]
    if issuer:
        request += ["-addext", f"subjectAltName={san}", "-addext", "basicConstraints=critical,CA:FALSE"]
        request += ["-CA", folder / f"{issuer}.crt", "-CAkey", folder / f"{issuer}.key"]
    subprocess.run(request, check=True, capture_output=True, timeout=20)


def serving_tls(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context
