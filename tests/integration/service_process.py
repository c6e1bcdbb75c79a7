"""`greenisland run` as child processes, and what they leave behind, for tests of what goes wrong around them."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from app.service.collector import journal_directory
from contracts.site import Site
from store.journal_reader import read_after
from store.spans import SpanFiles
from store.state_db import StateDb

from .broker import Mosquitto, wait_until
from .live import ROOT, broker_for, zunyi

STATION, FACTOR = "ZA-GUITAR-A-P", "p01001"
TOPIC = f"gi/{STATION}/json"
CLOCK = "$clock/main"
BEGUN = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=12)


def payload(at: datetime, value: float) -> bytes:
    body = {"v": 1, "station": STATION, "at": at.isoformat(), "period_s": 60, "kind": "avg"}
    return json.dumps({**body, "readings": {FACTOR: value}}).encode()


def numbered(first: int, end: int) -> list[bytes]:
    """One message a second of half a day ago; its number is its value."""
    return [payload(BEGUN + timedelta(seconds=n), n) for n in range(first, end)]


class Centre:
    """The example site on a broker of its own, if any, and the processes started on its state directory."""

    def __init__(self, directory: Path, site: Site, broker: Mosquitto | None, state_dir: Path):
        self.directory, self.site, self.broker, self.state_dir = directory, site, broker, state_dir
        self.journal = journal_directory(state_dir, "main")
        self._processes: list[subprocess.Popen] = []

    def run(self, *parts: str, under: Sequence[str] = (), metrics: str | None = None) -> subprocess.Popen:
        """under: a program that runs it, with its options. metrics: HOST:PORT for them."""
        options = [argument for part in parts for argument in ("--part", part)]
        options += ["--metrics", metrics] if metrics else []
        command = [sys.executable, "-m", "app.cli", "run", "--site", self.directory, "--state", self.state_dir]
        with (self.directory.parent / "run.log").open("ab") as log:
            process = subprocess.Popen([*under, *command, *options], cwd=ROOT, stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = 90.0) -> None:
        """`wait_until`, which a process that has ended by itself cuts short."""

        def holds() -> bool:
            done = bool(condition())
            ended = [process.returncode for process in self._processes if process.poll() not in (None, 0)]
            assert done or not ended, f"{what}: ended with {ended}\n{self.log()[-3000:]}"
            return done

        wait_until(holds, what, timeout_s)

    def log(self) -> str:
        return (self.directory.parent / "run.log").read_text(encoding="utf-8")

    def stop(self, process: subprocess.Popen) -> None:
        """Tells it to end, and expects it to end well."""
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, self.log()[-3000:]

    def forget(self, process: subprocess.Popen) -> None:
        """It has ended with an error, as it should."""
        self._processes.remove(process)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(timeout=10)

    def journalled(self, topic: str = TOPIC) -> list[bytes]:
        return self.rows().filter(pl.col("topic") == topic)["payload"].to_list()

    def rows(self) -> pl.DataFrame:
        return read_after(self.journal, 0, 1_000_000) if self.journal.is_dir() else pl.DataFrame({"topic": []})

    def clocks(self) -> list[int]:
        return [int(text) for text in self.journalled(CLOCK)] if self.rows().height else []

    def decided(self, table: str) -> pl.DataFrame:
        """What the committed span files hold of a table."""
        with StateDb(self.state_dir / "state.db") as db:
            spans = [named[table] for _, named in SpanFiles(self.state_dir / "spans", db).spans_after(0)]
        return pl.concat(spans) if spans else pl.DataFrame({"station": [], "reason": []})

    def connections(self) -> int:
        """How often the collector has connected, by the broker's word."""
        return len(re.findall(r"New client connected .* as greenisland-", self.broker.log()))


@contextmanager
def centre(
    folder: Path,
    port: int,
    program: str,
    state_dir: Path | None = None,
    file: dict[str, object] | None = None,
    **broker: object,
) -> Iterator[Centre]:
    """`file`: keys of site.yaml; `broker`: keys of the site's broker."""
    connection = {"host": "127.0.0.1", "port": port, "username": "collector-main"}
    connection |= {"password_file": str(folder / "password"), **broker}
    directory, site, _ = zunyi(folder, port, broker=connection, **(file or {}))
    with broker_for(site, folder, program) as mosquitto:
        started = Centre(directory, site, mosquitto, state_dir or folder / "state")
        try:
            yield started
        finally:
            started.end()
