"""Ends a conversation that takes too long as a whole: whoever says one byte now and then keeps every single wait short.

Promises: what blocks on a connection that is held here gets an error or an end soon after the time is over, TLS
handshakes included. Does not promise it for looking up a name: the resolver has its own times.
"""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class HangUp:
    """A context: after `after_s` seconds within it the connections that were held are shut down."""

    def __init__(self, after_s: float):
        self._timer = threading.Timer(after_s, self._ring)
        self._timer.daemon = True
        self._lock, self._held, self.rang = threading.Lock(), [], False

    def hold(self, connection: socket.socket) -> None:
        """Before TLS begins on it: a second descriptor of the same connection, which nobody else closes."""
        with self._lock:
            self._held.append(connection.dup())
            if self.rang:
                self._shut()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for one in self._held:
                one.close()
            self._held.clear()

    def _ring(self) -> None:
        with self._lock:
            self.rang = True
            self._shut()

    def _shut(self) -> None:
        for one in self._held:
            with suppress(OSError):  # it has ended by itself
                one.shutdown(socket.SHUT_RDWR)
