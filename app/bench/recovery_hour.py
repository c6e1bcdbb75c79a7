"""An hour of what a prefecture may send, recovered: 1,640 stations, 14 readings each a second, 82.7 million in all.

It is journalled, decided second by second as a running engine does, then recovered from a checkpoint that is five
minutes old, and once more without any. Measured once. Not in it: collector, archive, InfluxDB, notifications.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from contracts.clock import ScaledClock
from store.journal import Journal

from ..service.collector import journal_directory
from ..service.engine import Engine
from ..service.recovery import DIFFERENCES, Recovering
from .harness import Figure, Size, figure
from .workload import FACTORS, HOUR_RULE, START, by_second, sampled, site_of

OUTLETS, SECONDS = 1_640, 3_600  # with 14 factors 22,960 readings a second
CHECKPOINT_S = 300  # a running engine writes one so often
GIB = 2**30
TOLD_EVERY_S = 10.0


def measure(size: Size) -> list[Figure]:
    """82.7 million readings; each part in a process of its own, so that its memory is its own. Some 20 minutes."""
    outlets, every_s = size.of(OUTLETS, least=2), size.of(CHECKPOINT_S)
    seconds = every_s * (SECONDS // CHECKPOINT_S)
    readings = outlets * FACTORS * seconds
    with tempfile.TemporaryDirectory(prefix="greenisland-bench-", dir=size.folder) as folder:
        amounts = [folder, str(outlets), str(seconds), str(every_s)]
        decided, recovered = (_in_a_process(part, *amounts) for part in ("decide", "recover"))
    whole_s, cpu_s = recovered["whole_s"], recovered["cpu_s"]
    return [
        figure("journal of the hour", "GiB", [decided["journal_bytes"] / GIB]),
        figure("journal, each reading", "bytes", [decided["journal_bytes"] / readings]),
        figure("a second decided and committed", "s", decided["steps_s"]),
        figure("a checkpoint written", "s", decided["checkpoints_s"]),
        figure("deciding the hour", "readings/s", [readings / sum(decided["steps_s"])]),
        figure("deciding the hour", "CPU us each", [1e6 * decided["cpu_s"] / readings]),
        figure("deciding, peak of the process", "GiB", [decided["peak"] / GIB]),
        figure(f"recovery, checkpoint {every_s} s old", "s", [recovered["last_s"]]),
        figure("recovery without a checkpoint", "minutes", [whole_s / 60]),
        figure("recovery without a checkpoint", "readings/s", [readings / whole_s]),
        figure("recovery without a checkpoint", "CPU us each", [1e6 * cpu_s / readings]),
        figure("recovering, peak of the process", "GiB", [recovered["peak"] / GIB]),
    ]


def _in_a_process(part: str, *amounts: str) -> dict:
    command = [sys.executable, "-c", f"from {__name__} import main; main()", part, *amounts]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def decide(folder: Path, outlets: int, seconds: int, every_s: int) -> dict[str, object]:
    """Leaves a state directory whose last checkpoint is `every_s` old: the engine was killed before the next one."""
    site, told = sampled(site_of(outlets, 1), 1), _Told("journalled")
    with Journal(journal_directory(folder, site.file.collectors[0])) as journal:
        for second, messages in enumerate(by_second(site, seconds), 1):
            journal.append_history(messages)
            told.share(second / (seconds + 1))
    journal_bytes = sum(path.stat().st_size for path in (folder / "journal").rglob("*") if path.is_file())
    steps_s, checkpoints_s, told = [], [], _Told("decided")
    with closing(_engine(folder, outlets)) as engine:
        cpu_s = time.process_time()
        for second in range(1, seconds + 2):
            steps_s.append(_seconds(lambda: engine.step(outlets + 1)))
            if second % every_s == 0 and second < seconds:
                checkpoints_s.append(_seconds(engine.checkpoint))
            told.share(second / (seconds + 1))
        cpu_s = time.process_time() - cpu_s
        if engine.step() is not None:
            raise RuntimeError("a step did not take a second of the journal")
    made = {"journal_bytes": journal_bytes, "steps_s": steps_s, "checkpoints_s": checkpoints_s, "cpu_s": cpu_s}
    return made | {"peak": _peak()}


def recover(folder: Path, outlets: int, seconds: int, every_s: int) -> dict[str, object]:
    last_s = _recovered(folder, outlets, every_s * (outlets + 1) + 1)
    shutil.rmtree(folder / "checkpoints")
    cpu_s = time.process_time()
    whole_s = _recovered(folder, outlets, seconds * (outlets + 1) + 1)
    return {"last_s": last_s, "whole_s": whole_s, "cpu_s": time.process_time() - cpu_s, "peak": _peak()}


def _recovered(folder: Path, outlets: int, rows: int) -> float:
    """How long it takes, opening included. Raises RuntimeError unless so many rows were read again, and all agreed."""
    told, again = _Told("recovered"), 0

    def run() -> None:
        nonlocal again
        with closing(_engine(folder, outlets)) as engine:
            again = engine.recover(told.recovering)

    took_s = _seconds(run)
    if again != rows or (folder / DIFFERENCES).exists():
        raise RuntimeError(f"the recovery read {again} rows again, not {rows}, or came to other decisions")
    return took_s


def _engine(folder: Path, outlets: int) -> Engine:
    """On a clock that stands still: it writes no checkpoint by itself."""
    return Engine(sampled(site_of(outlets, 1), 1), HOUR_RULE, folder, ScaledClock(START, 0))


def _seconds(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


class _Told:
    """How far it has come, on stderr."""

    def __init__(self, what: str):
        self._what, self._at_s = what, time.monotonic()

    def share(self, share: float) -> None:
        if time.monotonic() - self._at_s >= TOLD_EVERY_S:
            self._at_s = time.monotonic()
            print(f"  {self._what} {100 * share:.0f} %, {_peak() / GIB:.1f} GiB at most", file=sys.stderr, flush=True)

    def recovering(self, progress: Recovering) -> None:
        self.share(progress.share)


def _peak() -> int:
    """Bytes resident at most, of this process alone: `ru_maxrss` begins with what its parent had."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def main() -> None:
    part, folder, *amounts = sys.argv[1:]
    print(json.dumps({"decide": decide, "recover": recover}[part](Path(folder), *map(int, amounts))))
