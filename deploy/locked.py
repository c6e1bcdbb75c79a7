"""What of requirements.lock some packages need, with its hashes: for images and bundles, which need no tests' tools.

    python deploy/locked.py [NAME ...]     default: the dependencies of pyproject.toml

Follows the lock's own "# via" comments. Standard library only: it runs before anything is installed.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def blocks(lock: str) -> dict[str, str]:
    """name -> its lines of the lock, hashes and comments included."""
    found: dict[str, str] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if begins := re.match(r"([A-Za-z0-9][\w.-]*)==", line):
            name = normal(begins[1])
            found[name] = ""
        if name:
            found[name] += line
    return found


def asked_by(block: str) -> set[str]:
    """The packages its "# via" comments name."""
    _, _, comments = block.partition("# via")
    said = re.findall(r"^\s*#?\s+([A-Za-z0-9][\w.-]*)", comments, re.MULTILINE)
    return {normal(one) for one in said}


def needed(lock: str, roots: list[str]) -> list[str]:
    """Lines of all packages the roots need. Raises KeyError for a root that is not locked."""
    found = blocks(lock)
    wanted = {normal(root) for root in roots}
    if missing := wanted - set(found):
        raise KeyError(f"not in requirements.lock: {', '.join(sorted(missing))}")
    while more := {name for name, block in found.items() if name not in wanted and asked_by(block) & wanted}:
        wanted |= more
    return [found[name] for name in found if name in wanted]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [re.match(r"[\w.-]+", one)[0] for one in project["dependencies"]]  # type: ignore[index]


if __name__ == "__main__":
    sys.stdout.writelines(needed((ROOT / "requirements.lock").read_text("utf-8"), sys.argv[1:] or dependencies()))
