"""`greenisland doctor`: whether the machine and what a centre needs around it are fit for it.

Promises: changes nothing but a file it writes and removes to see how fast the disk is; asks the broker under a name of
its own, so no collector is disturbed. Every finding says what to do.
Does not promise: to know why. What a centre has done so far is `greenisland status`.
"""

import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import TZPATH, ZoneInfo

import httpx
from pydantic import BaseModel

from contracts.series import BUCKETS
from contracts.site import Site
from store.influx import database_of

from ..service.journal_room import reserve_bytes
from .doctor_broker import ask_broker
from .status import FREE_SHARE_MIN, attention, in_words, size_in_words, status_of

Level = Literal["ok", "warning", "error"]

FSYNCS = 30
FSYNC_SLOW_S, FSYNC_TOO_SLOW_S = 0.05, 0.5
OPEN_FILES_MIN, OPEN_FILES_GOOD = 1_024, 4_096
SKEW_MAX, SKEW_TOO_MUCH = timedelta(seconds=2), timedelta(seconds=60)
EXPIRES_IN_MIN = timedelta(days=30)
MEMORY_MIN_BYTES = 2 << 30
NETWORK_DISKS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs")
OPEN_TO_OTHERS = 0o077
TIMEOUT_S = 5.0
KERNEL_MIN = (4, 19)


@dataclass(frozen=True)
class Finding:
    what: str
    level: Level
    said: str
    do: str = ""  # empty where all is well


def examine(site: Site, state_dir: Path, now: Callable[[], datetime]) -> Iterator[Finding]:
    """One finding after the other, as they are made: some take seconds."""
    yield from _kernel()
    yield from _time(site, now())
    yield from _open_files()
    yield from _state(site, state_dir, now())
    yield from _secrets(site)
    yield from _broker(site, now)
    yield from _influxdb(site)


# -- the machine


def _kernel() -> Iterator[Finding]:
    about = os.uname()
    numbers = tuple(int(part) for part in about.release.split("-")[0].split(".")[:2] if part.isdigit())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    said = f"{about.sysname} {about.release}, {os.cpu_count()} processors, {size_in_words(pages)} of memory"
    if about.sysname != "Linux" or numbers < KERNEL_MIN:
        yield Finding("kernel", "warning", said, "tested on Linux 4.19 and newer; use one of those")
    elif pages < MEMORY_MIN_BYTES:
        yield Finding("kernel", "warning", said, "a centre needs 2 GiB; 100,000 points need 4")
    else:
        yield Finding("kernel", "ok", said)


def _time(site: Site, now: datetime) -> Iterator[Finding]:
    offset = now.astimezone(ZoneInfo(site.time_zone)).strftime("%z")
    source = next((path for path in TZPATH if Path(path, site.time_zone).is_file()), "the tzdata package")
    said = f"{site.time_zone} is UTC{offset[:3]}:{offset[3:]}, from {source}"
    if site.time_zone in ("Asia/Shanghai", "Asia/Chongqing", "PRC") and offset != "+0800":
        yield Finding("time zone", "error", said, "the time zone data are wrong; install tzdata again")
    else:
        yield Finding("time zone", "ok", said)
    yield _synchronised(shutil.which("timedatectl"))


def _synchronised(program: str | None) -> Finding:
    again = "install and start chrony or systemd-timesyncd, and start the service after time-sync.target"
    if program is None:
        return Finding("clock", "warning", "cannot tell whether it is synchronised (no timedatectl)", again)
    command = [program, "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return Finding("clock", "warning", "timedatectl does not answer", again)
    said = done.stdout.strip()
    if said == "yes":
        return Finding("clock", "ok", "is synchronised")
    if said == "no":
        return Finding("clock", "error", "is not synchronised: instants far ahead would stay in the journal", again)
    return Finding("clock", "warning", "cannot tell whether it is synchronised (systemd does not run)", again)


def _open_files() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = f"{soft:,} files may be open at once"
    do = "LimitNOFILE=65536 in the unit, or `ulimit -n 65536`"
    level: Level = "error" if soft < OPEN_FILES_MIN else "warning" if soft < OPEN_FILES_GOOD else "ok"
    yield Finding("open files", level, said, "" if level == "ok" else do)


# -- the state directory


def _state(site: Site, state_dir: Path, now: datetime) -> Iterator[Finding]:
    if not state_dir.is_dir():
        yield Finding("state", "error", f"{state_dir} is not there", "is --state right? `greenisland run` makes it")
        return
    kind = disk_kind(state_dir)
    if kind in NETWORK_DISKS:
        do = "put it on a disk of this machine: SQLite and fsync cannot be trusted over a network"
        yield Finding("state", "error", f"{state_dir} is on {kind}", do)
    about = state_dir.stat()
    if about.st_mode & 0o002:
        yield Finding("state", "error", f"anybody may write into {state_dir}", f"chmod 700 {state_dir}")
    try:
        seconds = fsync_s(state_dir)
    except OSError as error:
        do = f"let the user who runs it write there: chown it to user {os.geteuid()}, or run this as that user"
        yield Finding("state", "error", f"cannot be written: {error}", do)
    else:
        yield Finding("state", "ok", f"{state_dir} can be written ({kind})")
        yield of_fsync(seconds)
    yield from _disk(site, state_dir, now)


def fsync_s(folder: Path) -> list[float]:
    """How long each of FSYNCS appends of 4 KiB took to be durable. Raises OSError."""
    took = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix="doctor-") as file:
        for _ in range(FSYNCS):
            began_s = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began_s)
    return took


def of_fsync(seconds: list[float]) -> Finding:
    middle, worst = statistics.median(seconds), max(seconds)
    said = f"an fsync takes {1000 * middle:.1f} ms, at worst {1000 * worst:.0f} ms"
    if middle > FSYNC_TOO_SLOW_S:
        return Finding(
            "fsync", "error", said, "a commit waits for it and nothing is acknowledged before: a faster disk"
        )
    if middle > FSYNC_SLOW_S:
        return Finding("fsync", "warning", said, "fine for small centres; a disk with its own battery is better")
    return Finding("fsync", "ok", said)


def disk_kind(path: Path) -> str:
    """Type of the file system a path is on, as in /proc/mounts."""
    best, kind = "", "unknown"
    whole = str(path.resolve())
    for line in Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _, where, what, *_ = line.split()
        where = where.replace("\\040", " ")
        if (whole == where or whole.startswith(where.rstrip("/") + "/")) and len(where) >= len(best):
            best, kind = where, what
    return kind


def _disk(site: Site, state_dir: Path, now: datetime) -> Iterator[Finding]:
    status = status_of(state_dir, now, site)
    free = f"{size_in_words(status.free_bytes)} of {size_in_words(status.total_bytes)} are free"
    if status.free_bytes < reserve_bytes(state_dir):
        do = "make room now: nothing is acknowledged with so little"
        yield Finding("disk", "error", free, do)
    elif status.free_bytes < FREE_SHARE_MIN * status.total_bytes:
        yield Finding("disk", "warning", free, "make room before the journal stops")
    elif status.growth is None:
        yield Finding("disk", "ok", f"{free}; growth is not known before an hour of data")
    else:
        per_day = size_in_words(sum(status.growth.bytes_per_day.values()))
        when = "for more than a century" if status.full_in is None else f"for {in_words(status.full_in)}"
        kept = site.file.raw_messages_kept
        said = f"{free}, enough {when} at {per_day} a day"
        if status.full_in is not None and status.full_in < kept:
            do = f"raw messages are kept {kept.days} days: plan for a larger disk"
            yield Finding("disk", "warning", said, do)
        else:
            yield Finding("disk", "ok", said)
    if found := attention(status):
        yield Finding("status", "warning", f"{len(found)} things need attention", "see `greenisland status`")


# -- secrets


def secret_files(model: BaseModel, at: str = "") -> Iterator[tuple[str, Path]]:
    """(key of site.yaml, file) of every secret a site names; authorities' certificates are none."""
    for name in type(model).model_fields:
        value, key = getattr(model, name), f"{at}{name}"
        if isinstance(value, BaseModel):
            yield from secret_files(value, f"{key}.")
        elif isinstance(value, tuple):
            for n, one in enumerate(value):
                if isinstance(one, BaseModel):
                    yield from secret_files(one, f"{key}[{n}].")
        elif name.endswith("_file") and name != "ca_file" and value is not None:
            yield key, Path(value)


def _secrets(site: Site) -> Iterator[Finding]:
    wrong = 0
    for n, (key, path) in enumerate(secret_files(site.file)):
        what = f"secret {key}"
        try:
            mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            yield Finding(
                what, "error", f"{path} cannot be read: {error}", "put it there, readable for this user alone"
            )
        else:
            if not text.strip():
                yield Finding(what, "error", f"{path} is empty", "put the secret into it")
            elif mode & OPEN_TO_OTHERS:
                yield Finding(what, "warning", f"{path} is open to others ({mode & 0o777:04o})", f"chmod 600 {path}")
            else:
                continue
        wrong = n + 1
    if not wrong:
        yield Finding("secrets", "ok", f"{sum(1 for _ in secret_files(site.file))} files, each its owner's alone")


# -- servers


def _broker(site: Site, now: Callable[[], datetime]) -> Iterator[Finding]:
    broker = site.file.broker
    where = f"{broker.host}:{broker.port}"
    wait_s = max(3.0, 3 * site.file.clock_every.total_seconds())
    found = ask_broker(broker, site.file.collectors[0], now, wait_s, TIMEOUT_S)
    if found.failed is not None:
        yield Finding("broker", "error", f"{where}: {found.failed}", found.do)
        return
    tls = "TLS" if broker.ca_file else "without TLS"
    yield Finding("broker", "ok", f"{where} takes the collector's credential, {tls}")
    if broker.ca_file is None and broker.host not in ("127.0.0.1", "::1", "localhost"):
        yield Finding("broker TLS", "warning", "passwords cross the network in the clear", "set broker.ca_file")
    for name, ends_at in found.certificates:
        yield of_certificate(name, ends_at, now())
    if found.skew is None:
        do = "does the collector run, and may it write its clock topic?"
        yield Finding(
            "broker clock", "warning", f"no clock of collector {site.file.collectors[0]} in {wait_s:.0f} s", do
        )
    else:
        yield of_skew(found.skew)


def of_certificate(name: str, ends_at: datetime, now: datetime) -> Finding:
    said = f"ends on {ends_at:%Y-%m-%d}"
    if ends_at <= now:
        return Finding(f"certificate of {name}", "error", said, "make a new one: docs/guide/install.md")
    if ends_at - now < EXPIRES_IN_MIN:
        return Finding(f"certificate of {name}", "warning", said, "make a new one in time: docs/guide/install.md")
    return Finding(f"certificate of {name}", "ok", said)


def of_skew(skew: timedelta) -> Finding:
    """skew: how much later it is here than the collector's clock row said; its way through the broker included."""
    said = f"the collector's clock is {abs(skew.total_seconds()):.1f} s {'behind' if skew > timedelta(0) else 'ahead'}"
    do = "synchronise both machines; where the broker is slow, look at its queue"
    level: Level = "error" if abs(skew) > SKEW_TOO_MUCH else "warning" if abs(skew) > SKEW_MAX else "ok"
    return Finding("broker clock", level, said, "" if level == "ok" else do)


def _influxdb(site: Site) -> Iterator[Finding]:
    influx = site.file.influxdb
    if influx is None:
        return
    try:
        token = Path(influx.token_file).read_text(encoding="utf-8").strip() if influx.token_file else None
    except OSError:
        return  # told among the secrets
    headers = {} if token is None else {"Authorization": f"Token {token}"}
    try:
        with httpx.Client(base_url=influx.url, headers=headers, timeout=TIMEOUT_S) as client:
            ping = client.get("/ping")
            release = ping.headers.get("X-Influxdb-Version", "of an unknown release")
            yield Finding("InfluxDB", "ok", f"{influx.url} answers, {release}")
            for bucket in BUCKETS:
                yield from _may_write(client, database_of(influx, bucket))
    except httpx.HTTPError as error:
        do = "start it, or mend influxdb.url; decisions and notifications do not wait for it"
        yield Finding("InfluxDB", "error", f"{influx.url} does not answer: {type(error).__name__}", do)


def _may_write(client: httpx.Client, database: str) -> Iterator[Finding]:
    """Writes nothing: a line that is a comment. Who may not write is refused before anybody reads it."""
    answer = client.post("/write", params={"db": database, "precision": "ns"}, content=b"# doctor\n")
    if answer.status_code in (401, 403):
        do = "mend influxdb.token_file: `greenisland deploy influx` makes the token"
        yield Finding("InfluxDB", "error", f"the token may not write into {database} ({answer.status_code})", do)
    elif answer.status_code == 404:
        do = "on 2.x `greenisland deploy influx`; on 1.x the part influxdb makes it at its start"
        yield Finding("InfluxDB", "warning", f"{database} is not there", do)
    elif answer.status_code >= 500:
        yield Finding("InfluxDB", "error", f"{database}: HTTP {answer.status_code}", "look at the server's log")


def as_dict(finding: Finding) -> dict[str, Any]:
    return {"what": finding.what, "level": finding.level, "said": finding.said, "do": finding.do}
