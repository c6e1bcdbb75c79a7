"""A collector as its own process, for tests that kill it or set its clock.

python -m tests.integration.collector_process STATE PORT. STATE/clock-offset-s says how far its clock is off.
"""

import signal
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

from app.service.collector import run_collector
from contracts.clock import SystemClock
from contracts.factors import standard_factors
from contracts.site import Broker, Name, Site, SiteFile


def site(port: int, password_file: Path, **broker: object) -> Site:
    """A site of which the collector needs no more than the broker."""
    connection = Broker(port=port, username="collector-main", password_file=str(password_file), **broker)
    file = SiteFile(version=1, site="test", name=Name(zh="试验", en="test"), time_zone="UTC", broker=connection)
    return Site(file=file, factors=standard_factors(), outlets=(), stations=(), points=())


class OffsetClock(SystemClock):
    """A wall clock that somebody sets, while it runs, by writing a file of seconds."""

    def __init__(self, file: Path):
        self._file = file

    def now(self) -> datetime:
        offset_s = float(self._file.read_text(encoding="ascii")) if self._file.exists() else 0.0
        return super().now() + timedelta(seconds=offset_s)


def main() -> None:
    state_dir, port = Path(sys.argv[1]), int(sys.argv[2])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    run_collector(site(port, state_dir / "password"), state_dir, OffsetClock(state_dir / "clock-offset-s"), stop)


if __name__ == "__main__":
    main()
