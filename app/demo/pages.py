"""The demo's viewer: the portal in a process of its own, on the loopback, with a login made for this run alone.

Promises: the demo never waits for it, and shows its address only while it runs. Its password is random.
"""

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from contracts.clock import Clock
from contracts.instants import epoch_us
from contracts.portal import Portal
from contracts.site import Site
from rules.spec import Rule
from store.portal_db import Account

from ..portal.apart import Guest, PortalProcess, Setup

HOST, USUAL_PORT = "127.0.0.1", Portal().port
NAME, NICENESS = "demo", 10  # the demo's own parts come first
LOG = "viewer.log"
BACKLOG = 2048  # as uvicorn


@dataclass(frozen=True)
class Address:
    url: str
    name: str
    password: str


def new_address(port: int) -> Address:
    return Address(f"http://{HOST}:{port}", NAME, secrets.token_urlsafe(9))


class Pages:
    def __init__(self, site: Site, rules: list[Rule], state_dir: Path, site_dir: Path | None, clock: Clock):
        listening = listen()
        portal = Portal(host=HOST, port=listening.getsockname()[1], session_hours=24)
        self.address = new_address(portal.port)
        served = site.model_copy(update={"file": site.file.model_copy(update={"portal": portal})})
        # an account of this state directory, which is made for the run
        account = Account(NAME, "Demo", "duty", "city", (), epoch_us(clock.now()), None)
        guest = Guest(account, self.address.password)
        setup = Setup(served, rules, state_dir, site_dir, clock, guest, "demo", NICENESS)
        with listening, (state_dir / LOG).open("ab") as log:
            self._process = PortalProcess(setup, log, listening)

    def set_clock(self, clock: Clock) -> None:
        self._process.set_clock(clock)

    def ended(self) -> str | None:
        return self._process.ended()

    def close(self) -> None:
        self._process.close()


def listen() -> socket.socket:
    """On the portal's usual port, or on any that is free where somebody has it.

    It listens from here on: of two demos that look at the same moment one has the port and the other sees it taken.
    """
    for port in (USUAL_PORT, 0):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            continue
        return listening
    raise OSError(f"no port of {HOST} is free")
