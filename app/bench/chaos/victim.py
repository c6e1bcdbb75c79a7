"""One process of the centre, started to be killed: the ordinary `greenisland run`, with at most one kill point armed.

Promises: it does not outlive whoever started it.
"""

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from ...commands import run
from .kill_points import ROLES, arm, named
from .tempo import clock_from, set_quick


@dataclass(frozen=True)
class Victim:
    role: str
    site: Path
    state: Path
    log: Path
    zero_s: float  # tempo.clock_from
    kill_at: str | None = None  # a kill point's name
    nth: int = 1


def live(victim: Victim) -> None:
    """Until told to stop, or killed. The target of a process of its own."""
    with victim.log.open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    set_quick()
    run.SystemClock = lambda: clock_from(victim.zero_s)  # type: ignore[assignment,misc]
    if victim.kill_at is not None:
        arm(named(victim.kill_at), victim.nth)
    run.run_command(victim.site, victim.state, list(ROLES[victim.role]), None)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
