"""The house keeps its own rules: sizes, names, clocks, documented commands, no addresses."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import get_args

import pytest
import typer.main

from app.cli import COMMANDS, GROUPS, app, command_of
from contracts.reasons import Transition
from rules.base import Select
from rules.kinds import BINDERS

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("app", "contracts", "grafana", "ingest", "notify", "rules", "simulators", "store", "tests")
CODE = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CLOCKED = re.compile(r"\b(datetime\.now|datetime\.utcnow|date\.today|time\.time|time\.sleep|asyncio\.sleep)\(")


def test_no_file_grows_past_five_hundred_lines():
    assert [path.name for path in CODE if len(path.read_text(encoding="utf-8").splitlines()) > 500] == []


def test_no_name_hides_what_is_inside():
    assert [path for path in CODE if re.search(r"(utils?|helpers?|common|misc|(?<!^alert)managers?)$", path.stem)] == []


def test_only_the_clock_reads_the_wall_clock():
    deciding = [
        path
        for path in CODE
        if path.parts[len(ROOT.parts)] in ("rules", "ingest", "store", "notify", "simulators", "grafana")
    ]
    assert [str(path) for path in deciding if CLOCKED.search(path.read_text(encoding="utf-8"))] == []


def test_no_mark_of_unfinished_work_is_left():
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    assert [str(path) for path in [*CODE, *DOCS] if marks.search(path.read_text(encoding="utf-8"))] == []


def test_every_file_of_the_house_that_a_document_names_is_there():
    named = re.compile(rf"`((?:{'|'.join(ROOMS)}|deploy)/[\w./-]+)`")
    told = {(doc.name, path) for doc in DOCS for path in named.findall(doc.read_text(encoding="utf-8"))}
    assert len(told) > 20
    assert [one for one in sorted(told) if not (ROOT / one[1]).exists()] == []


def commands() -> list[str]:
    def walk(command, name):
        for child, sub in getattr(command, "commands", {}).items():
            yield from walk(sub, f"{name} {child}")
        if not hasattr(command, "commands"):
            yield name

    return sorted(walk(typer.main.get_command(app), "greenisland"))


@pytest.mark.parametrize("command", commands())
def test_every_command_is_documented(command):
    assert f"`{command}`" in (ROOT / "docs" / "guide" / "commands.md").read_text(encoding="utf-8")


def test_every_documented_command_exists():
    text = (ROOT / "docs" / "guide" / "commands.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(greenisland [a-z -]+?)`", text, re.MULTILINE)) == commands()


def documented() -> list[tuple[str, list[str], bool]]:
    """(document, words after `greenisland`, whether they are all of them) of what documents say one may type."""
    found = []
    for path in DOCS:
        text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
        blocks = re.findall(r"(?ms)^```(?:sh|bash)?$(.*?)^```$", text) + re.findall(r"(?m)^    .*$", text)
        for line in "\n".join(blocks).splitlines():
            if said := re.search(r"^[^#`]*?\bgreenisland ([a-z].*?)(?:   |$)", line):
                found.append((path.name, shlex.split(said[1], comments=True), "..." not in line))
        found += [(path.name, said.split(), False) for said in re.findall(r"`greenisland ([a-z][^`]*)`", text)]
    return found


def test_what_documents_say_one_may_type_is_taken():
    wrong = []
    for name, words, is_whole in documented():
        path = next((path for n in (3, 2, 1) if (path := " ".join(words[:n])) in COMMANDS), None)
        if path is None:
            wrong += [] if words[0] in GROUPS else [f"{name}: {' '.join(words)}: no such command"]
            continue
        options = [one for one in command_of(path).params if one.param_type_name == "option"]
        known = {flag for one in options for flag in (*one.opts, *one.secondary_opts)} | {"--help"}
        wrong += [f"{name}: {path}: {word}" for word in words if word.startswith("--") and word not in known]
        needed = [one for one in options if one.required and is_whole]
        wrong += [
            f"{name}: {path}: without {one.opts[0]}"
            for one in needed
            if not {*one.opts, *one.secondary_opts} & {*words}
        ]
    assert wrong == []
    assert len(documented()) > 100


def test_every_transition_is_documented_and_worded():
    guide = (ROOT / "docs" / "guide" / "alerts.md").read_text(encoding="utf-8")
    assert [one for one in Transition if f"`{one}`" not in guide] == []


GUIDE_OF_RULES = (ROOT / "docs" / "guide" / "rules.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", [Select, *BINDERS], ids=lambda model: model.__name__)
def test_every_kind_and_key_of_a_rule_is_documented(model):
    kinds = get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()
    assert [name for name in (*kinds, *model.model_fields) if f"`{name}`" not in GUIDE_OF_RULES] == []


def test_every_kind_of_rule_the_guide_tells_of_exists():
    tables = GUIDE_OF_RULES[GUIDE_OF_RULES.index("### Stations") : GUIDE_OF_RULES.index("## Which limit")]
    told = set(re.findall(r"^\| `([a-z0-9_]+)` \|", tables, re.MULTILINE))
    known = {kind for model in BINDERS for kind in get_args(model.model_fields["kind"].annotation)}
    assert sorted(told - known) == []


def test_every_package_of_a_room_is_named_where_the_next_change_is_looked_for():
    rooms = [room for room in ROOMS if room != "tests"]
    packages = {f"{path.parent.relative_to(ROOT)}/" for room in rooms for path in (ROOT / room).rglob("*/__init__.py")}
    told = set(re.findall(r"`([a-z0-9_/]+/)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert sorted(packages - told) == []
    assert sorted(name for name in told if not (ROOT / name).is_dir()) == []


def test_documents_can_be_read_where_lines_are_not_wrapped():
    """Tables and what stands in a block as a program prints it may be longer."""
    long = []
    for path in DOCS:
        text = re.sub(r"(?ms)^```.*?^```$", "", path.read_text(encoding="utf-8"))
        lines = [line for line in text.splitlines() if not line.startswith(("|", "    "))]
        long += [f"{path.name}: {line}" for line in lines if len(line) > 125]
    assert long == []


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in DOCS
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_no_address_of_an_index_and_no_path_of_a_machine_is_committed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(r"index-url|://[^ ]+/simple\b|/(work|root)/[a-z.]")
    texts = [path for path in tracked if path.endswith((".py", ".md", ".yaml", ".toml", ".lock", ".conf", "Makefile"))]
    found = [path for path in texts if pattern.search((ROOT / path).read_text(encoding="utf-8"))]
    assert [path for path in found if path not in ("tests/unit/test_house.py", "Makefile")] == []
