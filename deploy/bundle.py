"""A bundle that installs GreenIsland where there is no network: wheels by the lock, checksums, an install script.

    python deploy/bundle.py OUT [x86_64|aarch64 ...]     default: both; `make bundle` calls it

Wheels are for CPython 3.11 on glibc 2.28 and newer (Debian 10 on). Every one is checked against the lock's hash when it
is fetched, and again when it is installed. Needs pip and hatchling (`make setup`), and an index.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("x86_64", "aarch64")
GLIBC = ("2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")
CARRIED = ("deploy", "docs", "grafana", "docker-compose.yml")


def bundle(out: Path, architecture: str) -> Path:
    """The archive it made. Raises subprocess.CalledProcessError: pip says what it lacks."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    folder = out / f"greenisland-{version}-{architecture}"
    if folder.exists():
        shutil.rmtree(folder)
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    locked = subprocess.run([sys.executable, ROOT / "deploy" / "locked.py"], capture_output=True, check=True)
    (folder / "runtime.lock").write_bytes(locked.stdout)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    platforms = [f"manylinux_{glibc}_{architecture}" for glibc in GLIBC] + [f"manylinux2014_{architecture}"]
    for_whom = [word for platform in platforms for word in ("--platform", platform)]
    for_whom += [
        "--implementation",
        "cp",
        "--python-version",
        "3.11",
        "--abi",
        "cp311",
        "--abi",
        "abi3",
        "--abi",
        "none",
    ]
    fetch = ["download", "--require-hashes", "--only-binary", ":all:", "--dest", wheels, *for_whom]
    subprocess.run([*pip, *fetch, "-r", folder / "runtime.lock"], check=True)
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, ROOT], check=True)
    for name in CARRIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    shutil.copy2(ROOT / "deploy" / "install.sh", folder / "install.sh")
    (folder / "ARCHITECTURE").write_text(f"{architecture}\n", encoding="ascii")
    sums = [f"{_sha256(path)}  {path.relative_to(folder)}\n" for path in sorted(folder.rglob("*")) if path.is_file()]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    archive = out / f"{folder.name}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    archive.with_name(f"{archive.name}.sha256").write_text(f"{_sha256(archive)}  {archive.name}\n", encoding="ascii")
    return archive


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    if len(sys.argv) < 2 or set(sys.argv[2:]) - set(ARCHITECTURES):
        sys.exit(__doc__)
    for wanted in sys.argv[2:] or ARCHITECTURES:
        print(bundle(Path(sys.argv[1]).resolve(), wanted))
