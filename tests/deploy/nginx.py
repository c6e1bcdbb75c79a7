"""A real nginx on the shipped configuration, with only names, ports and paths replaced."""

import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..integration.broker import wait_until

SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "nginx" / "nginx.conf"


@contextmanager
def serving(program: str, folder: Path, ports: tuple[int, int], web: Path, behind: Mapping[str, int]) -> Iterator[None]:
    """ports: its plain and its TLS one. web: the folder of certificate and key. behind: ports of portal and grafana."""
    plain, tls = ports
    text = SHIPPED.read_text(encoding="utf-8")
    for was, becomes in {
        r"/tmp/": f"{folder}/",
        r"listen 8080;": f"listen 127.0.0.1:{plain};",
        r"listen 8443 ssl;": f"listen 127.0.0.1:{tls} ssl;",
        r"listen \[::\]:\d+( ssl)?;": "",
        r"http://portal:8212": f"http://127.0.0.1:{behind['portal']}",
        r"http://grafana:3000": f"http://127.0.0.1:{behind['grafana']}",
        r"/etc/greenisland/web": str(web),
        r"include /etc/nginx/mime.types;": "",
    }.items():
        text, n = re.subn(was, becomes, text)
        assert n, was
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    log = folder / "nginx.log"
    with log.open("wb") as stream:
        command = [program, "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"]
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", tls)) == 0

        wait_until(answers, "nginx answers")
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)
