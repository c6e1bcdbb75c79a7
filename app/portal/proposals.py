"""Changes of limits, ranges, permits and rules: validated as a whole site, and written once a second person approves.

Promises: what is written was validated with everything else of the site as it is then; a file that was changed
meanwhile is never overwritten. Does not promise that it is in force: a site is activated by itself.
"""

import difflib
import hashlib
import re
import shutil
import tempfile
from pathlib import Path

import yaml

from store.parquet import replacing

from ..site.files import load_site
from ..site.rule_files import compile_rules, load_rules
from ..site.yaml_lines import SiteErrors

CHANGEABLE = re.compile(r"(registry/[a-z_]+\.csv|rules/[A-Za-z0-9_.-]+\.yaml)")  # site.yaml is the operator's
COPIED = ("site.yaml", "registry/*.csv", "rules/*.yaml")
CONTENT_MAX = 3_000_000  # characters
DIFF_MAX = 200_000
DEPTH_MAX = 50
_OPENS = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSES = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


class NotAllowed(ValueError):
    """The path is none that may be proposed; the message says which are."""


def check_path(path: str) -> None:
    """Raises NotAllowed."""
    if not CHANGEABLE.fullmatch(path) or ".." in path:
        raise NotAllowed(f"{path!r} cannot be proposed; a path is registry/NAME.csv or rules/NAME.yaml")


def digest_of(site_dir: Path, path: str) -> str | None:
    """SHA-256 of the file as it is; None: there is none."""
    file = site_dir / path
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _unbounded(path: str, content: str) -> str | None:
    """Why a proposed rule file is not even read: a few lines of it could take all memory. None: it is bounded."""
    depth = 0
    try:
        for token in yaml.scan(content, Loader=yaml.CSafeLoader):
            depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
            line = token.start_mark.line + 1
            if isinstance(token, yaml.AliasToken):
                return f"{path}:{line}: *{token.value}: a proposed rule file takes no aliases; write it out"
            if depth > DEPTH_MAX:
                return f"{path}:{line}: nested more than {DEPTH_MAX} deep; a rule file never is"
    except yaml.YAMLError:
        pass  # the loader says it, with its line
    return None


def validate(site_dir: Path, path: str, content: str) -> list[str]:
    """What would be wrong with the whole site, a line each with file, line and key; empty: nothing."""
    if path.endswith(".yaml") and (why := _unbounded(path, content)) is not None:
        return [why]
    if (site_dir / path).is_symlink():
        return [f"{path}: is a link to another file, which is not of this site: change it there"]
    with tempfile.TemporaryDirectory(prefix="greenisland-proposal-") as made:
        copy = Path(made) / "site"
        for pattern in COPIED:
            for file in sorted(site_dir.glob(pattern)):
                target = copy / file.relative_to(site_dir)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        target = copy / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode())
        try:
            site = load_site(copy)
            compile_rules(site, load_rules(copy, site))
        except SiteErrors as errors:
            return [str(error).replace(f"{copy.as_posix()}/", "") for error in errors.errors]
    return []


def diff(site_dir: Path, path: str, content: str) -> str:
    """Unified; cut where it is very long."""
    file = site_dir / path
    before = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    lines = difflib.unified_diff(before, content.splitlines(), f"a/{path}", f"b/{path}", lineterm="")
    text = "\n".join(lines)
    return text if len(text) <= DIFF_MAX else text[:DIFF_MAX] + "\n... (cut)"


def write(site_dir: Path, path: str, content: str) -> None:
    """Atomically and durably. Raises OSError."""
    with replacing(site_dir / path) as temporary:
        temporary.write_bytes(content.encode())
        if (site_dir / path).is_file():
            shutil.copymode(site_dir / path, temporary)
