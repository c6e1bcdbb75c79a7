"""The portal as a process of its own beside a state directory, and as a part of `run`."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta

import httpx
import yaml

from app.bench.mosquitto import wait_until
from app.service.collector import journal_directory
from app.service.processes import run_parts
from app.site.files import load_site
from app.site.record import activation, keep, site_content
from contracts.clock import SystemClock
from store.journal import Journal

from .centre import PASSWORD, ROOT

CLAUSE = "许可证副本第9页"
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


def activate(own):
    """Another clause of every permit's limits, as `greenisland reload` activates it."""
    path = own.directory / "registry" / "limits.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "clause": CLAUSE if row["basis"] == "permit" else row["clause"]} for row in rows)
    sha256 = keep(site_content(own.directory, load_site(own.directory).file.library), own.state_dir)
    at = own.clock.at + timedelta(hours=1)
    with Journal(journal_directory(own.state_dir, "main")) as journal:
        journal.append(activation(sha256, None, "chen", "test", at), at)


def clauses(client):
    """What the alerts rest on; nothing while the portal begins anew."""
    try:
        return {one["clause"] for one in client.get("/api/v1/alerts?limit=500").json()["items"]}
    except httpx.TransportError:
        return set()


def test_alone_it_serves_follows_a_reload_and_ends_when_it_is_told_to(own, free_port):
    own.app.state.centre.close()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = ["portal", "--site", site_with(own, port), "--state", own.state_dir, "--log", "json"]
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
            with httpx.Client(base_url=url) as client:
                client.post("/api/v1/session", json={"name": "duty", "password": PASSWORD})
                assert CLAUSE not in str(clauses(client))
                activate(own)
                wait_until(lambda: CLAUSE in str(clauses(client)), "the portal has the other limits", PATIENCE_S)
                assert client.get("/alerts").status_code == 200  # a page, and the session is the same
        finally:
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert PASSWORD not in errors
    said = [json.loads(line) for line in errors.splitlines()]  # each line one record
    assert f"portal on {url}" in [line["message"] for line in said]


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
