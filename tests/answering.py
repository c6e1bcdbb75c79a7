"""A server on the loopback that answers as a test says: somebody else's InfluxDB, Grafana or receiver."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    status: int
    body: object = b""  # bytes as they are, anything else as JSON
    headers: tuple[tuple[str, str], ...] = ()


class Answering:
    """Listens from the beginning until it is closed; `with` closes it. One thread a connection."""

    def __init__(self, answer: Callable[[Asked], Answer]):
        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                size = int(self.headers["Content-Length"] or 0)
                asked = Asked(self.command, self.path, dict(self.headers), self.rfile.read(size))
                status, body, headers = answer(asked)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                if not isinstance(body, bytes):
                    self.send_header("Content-Type", "application/json")
                for name, value in (*headers, ("Content-Length", str(len(content)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = _any

            def log_message(self, *_: object) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def __enter__(self) -> "Answering":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join(10)
        self._http.server_close()
