"""A real influxd 1.x in a directory of its own, on a free port, that can be stopped and started again.

Promises: nothing of the machine's own InfluxDB is touched. Does not promise to be tuned for anything.
"""

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
dir = "{directory}/meta"
logging-enabled = false
[data]
dir = "{directory}/data"
wal-dir = "{directory}/wal"
query-log-enabled = false
[http]
enabled = true
bind-address = "127.0.0.1:{port}"
auth-enabled = false
log-enabled = false
max-body-size = 26214400
[monitor]
store-enabled = false
[subscriber]
enabled = false
[continuous_queries]
enabled = false
[retention]
enabled = false
"""
_START_S = 30.0


class Influxd:
    def __init__(self, program: str, directory: Path, port: int, rpc_port: int):
        self.url = f"http://127.0.0.1:{port}"
        self._program, self._directory = program, directory
        self._process: subprocess.Popen | None = None
        (directory / "influxdb.conf").write_text(_CONFIG.format(directory=directory, port=port, rpc_port=rpc_port))

    def start(self) -> None:
        """Returns when it answers, at once where it runs; raises RuntimeError with its log when it does not."""
        if self._process is not None:
            return
        log = self._directory / "influxd.log"
        with log.open("ab") as output:
            command = [self._program, "-config", str(self._directory / "influxdb.conf")]
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"influxd does not answer at {self.url}:\n{log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=1) as answer:
                return answer.status == 204
        except (urllib.error.URLError, OSError):
            assert self._process is not None
            try:
                self._process.wait(0.05)  # not a blind sleep: an early death ends it
            except subprocess.TimeoutExpired:
                return False
            return False
