"""A real Mosquitto on the shipped configuration, started on this machine for benches and for tests.

Promises: only paths, port and TLS lines differ from deploy/mosquitto; it is gone when its block ends.
"""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..deploying.broker_users import SHIPPED
from ..deploying.secret_files import password_line

TLS_KEYS = ("cafile", "certfile", "keyfile", "tls_version")


class NotWithin(AssertionError):
    """A condition did not come about in its time."""


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Polls until the condition holds. The one place where benches and tests wait for servers and threads."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise NotWithin(f"not within {timeout_s:g} s: {what}")
        pause.wait(0.02)


class Mosquitto:
    """The shipped mosquitto.conf and acl with only paths, port and TLS lines replaced.

    `certificates`: a folder with ca.crt, server.crt and server.key keeps TLS on; without it the listener is plain.
    A context manager; `stop` lets it save its queues, `kill` does not.
    """

    def __init__(self, folder: Path, port: int, program: str = "mosquitto", certificates: Path | None = None):
        self.folder, self.port, self._program = folder, port, program
        self._process: subprocess.Popen | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "acl").write_bytes((SHIPPED / "acl").read_bytes())
        (folder / "acl").chmod(0o600)
        (folder / "passwd").touch(mode=0o600)
        (folder / "data").mkdir(exist_ok=True)
        (folder / "mosquitto.conf").write_text(self._configuration(certificates), encoding="utf-8")

    def _configuration(self, certificates: Path | None) -> str:
        paths = {
            "password_file": self.folder / "passwd",
            "acl_file": self.folder / "acl",
            "persistence_location": f"{self.folder / 'data'}/",
        }
        lines = []
        for line in (SHIPPED / "mosquitto.conf").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(" ")
            if key == "listener":
                line = f"listener {self.port} 127.0.0.1"
            elif key in paths:
                line = f"{key} {paths[key]}"
            elif key in TLS_KEYS and certificates is None:
                continue
            elif key in ("cafile", "certfile", "keyfile"):
                line = f"{key} {certificates / Path(value).name}"
            lines.append(line)
        if os.geteuid() == 0:
            lines.append("user root")  # else it would become `mosquitto`, who may not write below a temporary folder
        return "\n".join(lines) + "\n"

    def add_user(self, name: str, password: str) -> None:
        """Before `start`, each name once."""
        with (self.folder / "passwd").open("a", encoding="utf-8") as passwd:
            passwd.write(f"{password_line(name, password)}\n")

    def start(self) -> None:
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", self.folder / "mosquitto.conf"], stdout=log, stderr=log
            )
        wait_until(self._answers, f"Mosquitto answers; its log:\n{self.log()}")

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> "Mosquitto":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise NotWithin(f"Mosquitto ended with {self._process.returncode}:\n{self.log()}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait(timeout=10)
        self._process = None
