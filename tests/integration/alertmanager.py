"""A real Prometheus Alertmanager on the loopback that tells nobody."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from .broker import wait_until

CONFIGURATION = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


@contextmanager
def alertmanager_in(folder: Path, program: str, port: int) -> Iterator[str]:
    """Its address, while it runs."""
    (folder / "alertmanager.yml").write_text(CONFIGURATION)
    base = f"http://127.0.0.1:{port}"
    command = [program, f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with (folder / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)

    def answers() -> bool:
        assert process.poll() is None, (folder / "alertmanager.log").read_text()
        try:
            return httpx.get(f"{base}/-/ready", timeout=1, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_until(answers, "Alertmanager answers")
        yield base
    finally:
        process.terminate()
        process.wait(timeout=10)
