"""The portal as a process of its own beside a state directory, and as a part of `run`."""

import os
import signal
import subprocess
import sys
import threading

import httpx
import yaml

from app.bench.mosquitto import wait_until
from app.service.processes import run_parts
from app.site.files import load_site
from contracts.clock import SystemClock

from .centre import PASSWORD, ROOT

PATIENCE_S = 150.0  # a process imports half the world first, on a machine that may be busy


def site_with(own, port):
    path = own.directory / "site.yaml"
    about = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**about, "portal": {"port": port}}, allow_unicode=True), encoding="utf-8")
    return own.directory


def answers(url):
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def check(url):
    with httpx.Client(base_url=url) as client:
        told = client.post("/api/v1/session", json={"name": "duty", "password": PASSWORD})
        assert told.status_code == 200, told.text
        assert client.get("/api/v1/alerts").json()["items"]
        late = client.get("/readyz")
        assert (late.status_code, late.json()["is_ready"]) == (503, False)  # the state is of another year


def test_alone_it_serves_until_it_is_told_to_stop(own, free_port):
    own.app.state.centre.close()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = ["portal", "--site", site_with(own, port), "--state", own.state_dir]
    with subprocess.Popen(
        [sys.executable, "-m", "app.cli", *words],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until(lambda: process.poll() is not None or answers(url), "the portal answers", PATIENCE_S)
            check(url)
        finally:
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert PASSWORD not in errors


def test_it_is_a_part_of_run_where_the_site_has_one(own, free_port):
    own.app.state.centre.close()
    port = free_port()
    site = load_site(site_with(own, port))
    stop = threading.Event()
    run = threading.Thread(
        target=run_parts,
        args=(site, own.rules, own.state_dir, SystemClock(), stop, ["portal"]),
        kwargs={"site_dir": own.directory},
    )
    run.start()
    try:
        wait_until(lambda: not run.is_alive() or answers(f"http://127.0.0.1:{port}"), "the portal answers")
        check(f"http://127.0.0.1:{port}")
    finally:
        stop.set()
        run.join(timeout=60)
    assert not run.is_alive()
    assert not answers(f"http://127.0.0.1:{port}")
