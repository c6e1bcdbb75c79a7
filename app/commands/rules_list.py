"""`greenisland rules list`: every rule of a site, what it selects and compares, and the test that says so."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from contracts.durations import format_duration
from rules.spec import RuleBase

from ..rule_tests.cases import rules_tested
from ..site.files import load_site
from ..site.rule_files import LIBRARY, TEST_SUFFIX, Placed, compile_rules, library_files, load_rules
from .rules_text import wrapped

_TOLD_APART = {"id", "kind", "select", "levels", "clause"}


def rules_list_command(
    site: Annotated[Path, typer.Option(help="The site's directory.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the rules as JSON.")] = False,
) -> None:
    """List the rules that apply to a site: kind, file, what they select, points bound, levels, clause, test."""
    whole = load_site(site)
    placed = load_rules(site, whole)
    plan = compile_rules(whole, placed)
    points = dict(plan.bindings.group_by("rule").agg(pl.col("point").n_unique()).iter_rows())
    tested = cache(rules_tested)  # many rules stand in one file
    rows = [_row(one, points.get(one.rule.id, 0), tested) for one in placed]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        print("\n".join(_lines(row)))
    untested = sum(row["tested_by"] is None for row in rows)
    print(f"{len(rows)} rules, {untested} without a test")


def _row(one: Placed, points: int, tested: Callable[[Path], set[str]]) -> dict[str, object]:
    """tested: the rules a test file names."""
    rule = one.rule
    select = {key: list(value) for key, value in rule.select.model_dump().items() if value}
    return {
        "id": rule.id,
        "kind": rule.kind,
        "file": one.path.as_posix(),
        "line": one.line,
        "select": select,
        "points": points,
        "levels": _levels(rule),
        "settings": _settings(rule),
        "clause": rule.clause,
        "tested_by": _tested_by(one, tested),
    }


def _levels(rule: RuleBase) -> dict[str, float | None]:
    """level -> multiple of the limit; None where the rule's own number is compared."""
    levels = getattr(rule, "levels", None)
    if isinstance(levels, Mapping):
        return dict(levels)
    level = getattr(rule, "level", None)
    return {} if level is None else {level: None}


def _settings(rule: RuleBase) -> dict[str, object]:
    """Everything else that is written or holds by default, as one would write it."""
    found: dict[str, object] = {}
    for key in type(rule).model_fields:
        value = getattr(rule, key)
        if key in _TOLD_APART or key == "level" or value is None or value in ((), ""):
            continue
        found[key] = format_duration(value) if isinstance(value, timedelta) else _plain(value)
    return found


def _plain(value: object) -> object:
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value if isinstance(value, str | int | float | bool | dict) else str(value)


def _tested_by(one: Placed, tested: Callable[[Path], set[str]]) -> str | None:
    """The test file beside the rule's, where a verdict or alert expected in it names the rule."""
    path = one.path
    if path.parent == LIBRARY:
        path = library_files()[path.stem]
    beside = path.with_name(path.stem + TEST_SUFFIX)
    if not beside.is_file() or one.rule.id not in tested(beside):
        return None
    return one.path.with_name(beside.name).as_posix()


def _lines(row: Mapping[str, object]) -> Iterator[str]:
    yield f"{row['id']}"
    levels, settings = row["levels"], row["settings"]
    assert isinstance(levels, dict)
    assert isinstance(settings, dict)
    said = ", ".join(level if multiple is None else f"{level} {multiple:g}" for level, multiple in levels.items())
    select = row["select"]
    assert isinstance(select, dict)
    selects = "; ".join(f"{key} {' '.join(value)}" for key, value in select.items())
    yield from _labelled("kind", f"{row['kind']}, {row['file']}:{row['line']}")
    yield from _labelled("selects", selects or "every point")
    yield from _labelled("points", f"{row['points']} bound")
    yield from _labelled("levels", said)
    yield from _labelled("settings", ", ".join(f"{key} {_written(value)}" for key, value in settings.items()))
    yield from _labelled("clause", str(row["clause"]) or "none")
    yield from _labelled("tested by", str(row["tested_by"] or "nothing: no test names it"))


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _labelled(label: str, text: str) -> Iterator[str]:
    if text:
        yield from wrapped(text, f"  {label:<10}", " " * 12)
