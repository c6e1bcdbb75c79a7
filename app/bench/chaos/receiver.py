"""A receiver of notifications that records every delivery, whoever dies while making it."""

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Delivery:
    key: str  # X-GreenIsland-Key
    channel: str  # the last part of the address
    body: bytes
    at_s: float = field(default_factory=time.monotonic)


class Receiver:
    """A context manager; `deliveries` in the order they came."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        deliveries = self.deliveries

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) == int(self.headers["Content-Length"]):  # else its sender died in the middle
                    channel = self.path.rpartition("/")[2]
                    deliveries.append(Delivery(self.headers["X-GreenIsland-Key"], channel, body))
                try:
                    self.send_response(204)
                    self.end_headers()
                except OSError:
                    self.close_connection = True  # its sender died before the answer

            def log_message(self, *_: object) -> None:
                """Deliveries are the record."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
