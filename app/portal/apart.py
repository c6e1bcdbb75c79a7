"""The portal in a process of its own, for whoever also collects: what it computes never delays an acknowledgement.

Promises: it ends with the process that started it, however that ends, and says why when it ends before. The other
process hands over what it needs on the pipe; nothing of it stands in an argument or in the environment.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO

from contracts.clock import Clock
from contracts.site import Site
from rules.spec import Rule
from store.portal_db import PORTAL_DB, Account, PortalDb, PortalDbError

from ..health.logs import Form, configure

LOOK_EVERY_S = 0.5
END_TIMEOUT_S = 5.0  # what it writes survives a kill
PIPE_BYTES = 1 << 20  # holds a site of some hundred stations: else the first write waits until the other has started


@dataclass(frozen=True)
class Guest:
    """Somebody who may come in for as long as the state directory is there: of the demo."""

    account: Account
    password: str


@dataclass(frozen=True)
class Setup:
    site: Site
    rules: list[Rule]
    state_dir: Path
    site_dir: Path | None
    clock: Clock
    guest: Guest | None = None
    banner: str = ""  # a word of viewer.words above every page
    niceness: int = 0
    log_form: Form = "text"
    site_sha256: str | None = None  # the site's name, where it is known
    listening_fd: int | None = None  # inherited


class PortalProcess:
    def __init__(self, setup: Setup, log: IO[bytes] | int | None = None, listening: socket.socket | None = None):
        """log: where it writes; None: where this process does. Returns before it answers.

        listening: the socket it answers on, which it gets a copy of; None: it listens where `setup.site` says.
        """
        if listening is not None:
            setup = replace(setup, listening_fd=listening.fileno())
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pipesize=PIPE_BYTES,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(one for one in sys.path if one)},
            pass_fds=() if listening is None else (listening.fileno(),),
            start_new_session=True,  # Ctrl-C is this process's to answer
        )
        self._why: str | None = None
        self._send(setup)

    def set_clock(self, clock: Clock) -> None:
        """From now on it is this one there."""
        self._send(clock)

    def ended(self) -> str | None:
        """Why, when it ended by itself."""
        if self._process.poll() is not None and self._why is None:
            assert self._process.stdout is not None
            said = self._process.stdout.read().decode(errors="replace").strip()
            self._why = said or f"the portal's process ended with {self._process.returncode}"
        return self._why

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it is gone already
            self._process.stdin.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _send(self, what: object) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `ended` tells
            pickle.dump(what, self._process.stdin)
            self._process.stdin.flush()


def run_portal_apart(setup: Setup, stop: threading.Event, failed: Callable[[str], Exception]) -> None:
    """Until `stop`; raises `failed` of the reason where it ends before."""
    process = PortalProcess(setup)
    try:
        while not stop.wait(LOOK_EVERY_S):
            if why := process.ended():
                raise failed(why)
    finally:
        process.close()


class _SetClock:
    """The other process's clock."""

    def __init__(self, clock: Clock):
        self.running = clock

    def now(self) -> datetime:
        return self.running.now()

    def real_s(self, simulated_s: float) -> float:
        return self.running.real_s(simulated_s)


def main() -> int:
    """The process itself."""
    from .serve import NotServed, run_portal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # not sys.stdin: an interpreter that ends while a thread reads from that one aborts
    pipe = os.fdopen(0, "rb", closefd=False)
    setup: Setup = pickle.load(pipe)
    configure(setup.log_form)
    os.nice(setup.niceness)
    clock, stop = _SetClock(setup.clock), threading.Event()

    def listen() -> None:
        try:
            while True:
                clock.running = pickle.load(pipe)
        except (EOFError, OSError):
            stop.set()

    threading.Thread(target=listen, name="parent", daemon=True).start()
    why: list[str] = []

    def serve() -> None:
        try:
            if setup.guest is not None:
                _let_in(setup.state_dir, setup.guest)
            run_portal(
                setup.site,
                setup.rules,
                setup.state_dir,
                clock,
                stop,
                setup.site_dir,
                banner=setup.banner,
                site_sha256=setup.site_sha256,
                listening=None if setup.listening_fd is None else socket.socket(fileno=setup.listening_fd),
            )
        except (NotServed, PortalDbError, OSError) as error:
            why.append(str(error))
        finally:
            stop.set()

    thread = threading.Thread(target=serve, name="portal")  # uvicorn then leaves the signals to us
    thread.start()
    thread.join()
    if why:
        print(why[0], flush=True)
    return int(bool(why))


def _let_in(state_dir: Path, guest: Guest) -> None:
    from . import passwords

    with PortalDb(state_dir / PORTAL_DB) as db:
        db.add_user(guest.account, passwords.hash_password(guest.password), guest.account.name)


if __name__ == "__main__":
    sys.exit(main())
