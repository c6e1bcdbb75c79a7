"""deploy/Dockerfile without a Docker engine: its steps, in order, in clean Debian roots, and what they made, run.

    sudo .venv/bin/python -m tests.deploy.clean_root FOLDER     leaves the image's root in FOLDER/image

Promises: what is done stands in the Dockerfile alone; an instruction not known here is an error. Not the base image:
debootstrap's Debian of the same name, with its own Python of that minor version. Nothing bounds memory or processes.
"""

import ast
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
BASE = re.compile(r"python:(\d+\.\d+)\.\d+-slim-(\w+)")
# what python:*-slim adds to Debian, and Debian's Python in place of its own
PACKAGES = ("ca-certificates", "netbase", "tzdata", "python3", "python3-venv")
# mounts as a container has them, in a mount namespace of its own: $1 the root, then "how source target" up to "--"
ENTER = """set -eu
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for one in null zero full random urandom tty; do
  touch "$root/dev/$one"; mount --bind "/dev/$one" "$root/dev/$one"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir -m 1777 "$root/dev/shm"
readonly=no
while [ "$1" != -- ]; do
  how=$1 source=$2 target=$root$3; shift 3
  case $how in
    readonly) readonly=yes;;
    tmpfs) mount -t tmpfs -o "$source" tmpfs "$target";;
    ro|rw) if [ -d "$source" ]; then mkdir -p "$target"; else mkdir -p "$(dirname "$target")"; touch "$target"; fi
      mount --bind "$source" "$target"; mount -o "remount,bind,$how" "$target";;
  esac
done
shift
[ $readonly = no ] || mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"""
Mount = tuple[str, Any, str]
READONLY: Mount = ("readonly", "", "")


@dataclass
class Stage:
    """One stage as its steps have left it."""

    root: Path
    env: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)

    def as_user(self, command: Sequence[str], user: str = "") -> list[str]:
        """As `user: UID:GID`, `cap_drop: [ALL]` and `no-new-privileges` have it, with the image's environment only."""
        uid, _, gid = (user or self.user).partition(":")
        bare = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        return ["setpriv", f"--reuid={uid}", f"--regid={gid}", *bare, *self.bare(command)]

    def bare(self, command: Sequence[str], more: Mapping[str, str] | None = None) -> list[str]:
        named = [f"{key}={value}" for key, value in {**self.env, **(more or {})}.items()]
        return ["env", "-i", *named, "sh", "-c", 'cd "$0" && exec "$@"', self.workdir, *command]


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) in order, continued lines joined."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def build(folder: Path) -> Stage:
    """The last stage, after all steps. Raises subprocess.CalledProcessError; ValueError: an unknown instruction."""
    made: list[Stage] = []
    named: dict[str, Stage] = {}
    settings: dict[str, str] = {}
    for instruction, rest in instructions():
        print(f"{instruction} {rest}", flush=True)
        match instruction:
            case "FROM":
                image, _, name = rest.partition(" AS ")
                stage = Stage(folder / (name or "image"))
                subprocess.run(["cp", "-a", _base(folder, image), stage.root], check=True)
                made.append(stage)
                named[name] = stage
                settings = {} if not name else _settings_for_pip(stage.root)  # the last stage fetches nothing
            case "RUN":
                run(stage, stage.bare(["/bin/sh", "-c", rest], settings), check=True)
            case "COPY":
                _copy(stage, named, rest)
            case "WORKDIR":
                stage.workdir = rest
                (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "ENV":
                pairs = [one.partition("=") for one in shlex.split(rest)]
                stage.env |= {key: Template(value).substitute(stage.env) for key, _, value in pairs}
            case "USER":
                stage.user = rest
            case "ENTRYPOINT":
                stage.entrypoint = ast.literal_eval(rest)
            case "CMD":
                stage.cmd = ast.literal_eval(rest)
            case "HEALTHCHECK":
                stage.healthcheck = ast.literal_eval(rest.partition(" CMD ")[2])
            case "EXPOSE":
                pass  # says something, does nothing
            case _:
                raise ValueError(f"{instruction}: what does it do?")
    return made[-1]


def _base(folder: Path, image: str) -> Path:
    """Debian as it is installed, with `python` where the image has it; made once."""
    python, release = BASE.fullmatch(image).groups()  # type: ignore[union-attr]
    root = folder / f"base-{release}"
    if not root.exists():
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", release, root]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (root / "usr/local/bin/python").symlink_to(f"/usr/bin/python{python}")
    return root


def _settings_for_pip(root: Path) -> dict[str, str]:
    """The index of this machine's pip and whom it trusts, as environment; and how names are resolved."""
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    found = {}
    for line in sorted(said.stdout.splitlines(), reverse=True):  # `global.` before `:env:.`, which is stronger
        key, _, value = line.partition("=")
        found[f"PIP_{key.rpartition('.')[2].upper().replace('-', '_')}"] = ast.literal_eval(value)
    for path in ("/etc/resolv.conf", "/etc/hosts", found.get("PIP_CERT")):
        if path and Path(path).is_file():
            shutil.copyfile(path, root / path.lstrip("/"))
    return found


def _copy(stage: Stage, named: dict[str, Stage], rest: str) -> None:
    """Directories give what is in them; --from another stage, --chmod; what .dockerignore names stays behind."""
    words = rest.split()
    options = dict(word[2:].partition("=")[::2] for word in words if word.startswith("--"))
    *sources, target = [word for word in words if not word.startswith("--")]
    source_root = named[options["from"]].root if "from" in options else ROOT
    into = stage.root / os.path.join(stage.workdir, target).lstrip("/")
    left_out = [] if "from" in options else re.findall(r"(?m)^\*\*/(\S+)$", (ROOT / ".dockerignore").read_text())
    for source in sources:
        path = source_root / source.lstrip("/")
        if path.is_dir():
            shutil.copytree(path, into, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*left_out))
            continue
        to = into / path.name if target.endswith("/") else into
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, to)
        if "chmod" in options:
            to.chmod(int(options["chmod"], 8))


def entering(stage: Stage, command: Sequence[Any], mounts: Sequence[Mount] = ()) -> list[str]:
    """What runs a command in the stage's root, with process and mount namespaces of its own.

    mounts: ("ro" or "rw", a path here, where it is there), ("tmpfs", its options, where), READONLY: the root itself.
    """
    placed = [str(word) for mount in mounts for word in mount]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts"]
    return [*namespaces, "sh", "-c", ENTER, "enter", str(stage.root), *placed, "--", *map(str, command)]


def run(stage: Stage, command: Sequence[Any], mounts: Sequence[Mount] = (), **how: Any):
    """subprocess.run of it."""
    return subprocess.run(entering(stage, command, mounts), **how)


class Running:
    """The image's program as `docker run` has it: process 1 of its namespace."""

    def __init__(self, stage: Stage, process: subprocess.Popen, user: str, log: Path):
        self._stage, self._process, self._user, self._log = stage, process, user, log

    @property
    def pid(self) -> int | None:
        """Of process 1 there, as it is seen from here; None before it is there."""
        if self.ended() is not None:
            return None
        own = self._process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return int(children[0]) if children else None

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def ended(self) -> int | None:
        return self._process.poll()

    def execute(self, command: Sequence[str], **how: Any) -> subprocess.CompletedProcess:
        """As `docker exec`."""
        inside = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--ipc", "--uts", "--root", "--wd"]
        return subprocess.run([*inside, *self._stage.as_user(command, self._user)], **how)

    def stop(self, timeout_s: float) -> int:
        """As `docker stop`, which tells process 1 to end; the code it ends with. Raises subprocess.TimeoutExpired."""
        os.kill(self.pid, signal.SIGTERM)
        return self._process.wait(timeout_s)


@contextmanager
def running(
    stage: Stage, words: Sequence[Any], mounts: Sequence[Mount], log: Path, user: str = ""
) -> Iterator[Running]:
    """The entrypoint with these words; killed when the block ends."""
    with log.open("wb") as stream:
        command = entering(stage, stage.as_user([*stage.entrypoint, *map(str, words)], user), mounts)
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    one = Running(stage, process, user, log)
    try:
        yield one
    finally:
        # process 1 itself, and all go with it: having changed its user it no longer dies with its parent
        if (first := one.pid) is not None:
            os.kill(first, signal.SIGKILL)
        process.kill()
        process.wait(timeout=30)


if __name__ == "__main__":
    if len(sys.argv) != 2 or os.geteuid() != 0 or shutil.which("debootstrap", path="/usr/sbin:/usr/bin") is None:
        sys.exit(f"{__doc__}\nNeeds root and Debian's debootstrap.")
    image = build(Path(sys.argv[1]).resolve())
    print(f"{image.root}: {shlex.join(image.entrypoint)}, as {image.user}")
