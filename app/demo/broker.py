"""A broker inside this process, for the demo only.

Promises: it listens on the loopback and nowhere else; whoever is on this machine may connect.
Does not promise to keep anything: amqtt forgets what was not acknowledged, and knows MQTT 3.1.1 only.
"""

import asyncio
import logging
import socket
import threading

from amqtt.broker import Broker

HOST = "127.0.0.1"
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 3.0

log = logging.getLogger(__name__)


class EmbeddedBroker:
    """A context manager: inside it, a broker answers on `port`."""

    def __init__(self) -> None:
        self.port = _free_port()
        self._started, self._error = threading.Event(), None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def __enter__(self) -> "EmbeddedBroker":
        self._thread.start()
        if not self._started.wait(START_TIMEOUT_S):
            raise RuntimeError(f"the embedded broker did not start within {START_TIMEOUT_S:g} s")
        if self._error is not None:
            raise RuntimeError(f"the embedded broker did not start: {self._error}") from self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(STOP_TIMEOUT_S)
        if self._thread.is_alive():
            log.warning("the embedded broker did not stop within %g s", STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # told by whoever waits for the start
            self._error = error
            log.exception("the embedded broker stopped")
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{self.port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await broker.start()
        self._started.set()
        await self._end.wait()
        await broker.shutdown()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
