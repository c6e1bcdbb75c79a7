"""Runs route tests: each alert is tried out, and what was planned is held against what is expected.

Promises: results as rule tests have them, so that one command reports both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contracts.civil_time import local
from contracts.durations import format_duration, parse_duration
from contracts.site import Site
from notify.telling.planned import Held

from ..rule_tests.run import Line, Problem, Result
from ..site.yaml_lines import Lines, SiteError, SiteErrors, read_yaml_with_lines, validate
from .spec import HeldRow, RouteTest, RouteTestFile, ToldRow
from .trial import Tried, try_out

FILE = "routes.test.yaml"
Found = dict[str, object]


@dataclass(frozen=True)
class RouteCase:
    """One test, where it stands, and the site it is of."""

    path: Path
    test: RouteTest
    site: Site
    lines: Lines
    number: int

    def line(self, *loc: str | int) -> int:
        return self.lines(("tests", self.number, *loc))


def read_route_tests(path: Path, site: Site) -> list[RouteCase]:
    """Raises SiteErrors."""
    data, line_of = read_yaml_with_lines(path)
    parsed, errors = validate(RouteTestFile, data, path, line_of)
    if parsed is None:
        raise SiteErrors(errors)
    cases = [RouteCase(path, test, site, line_of, n) for n, test in enumerate(parsed.tests)]
    for case in cases:
        try:
            try_out(site, case.test.trial)
        except ValueError as error:
            errors.append(SiteError(path, case.line("alert"), f"tests[{case.number}].alert", str(error)))
        for key, rows in (("expect", case.test.expect), ("held_back", case.test.held_back)):
            for n, row in enumerate(rows):
                errors += _unreadable(case, key, n, row)
    if errors:
        raise SiteErrors(errors)
    return cases


def run_route_case(case: RouteCase) -> Result:
    tried = try_out(case.site, case.test.trial)
    return Result(case, list(_compare(case, tried)))  # type: ignore[arg-type]


def _compare(case: RouteCase, tried: Tried) -> Iterator[Problem]:
    left = [vars(one) for one in tried.said]
    for n, row in enumerate(case.test.expect):
        wanted = _wanted(case, row)
        match = next((one for one in left if not _differing(wanted, one)), None)
        if match is not None:
            left.remove(match)
            continue
        near = min(left, key=lambda one: len(_differing(wanted, one)), default=None)
        said = "nothing more was told" if near is None else "not told so; the nearest differs in what has a *"
        yield Problem(case.line("expect", n), said, _lines(case, wanted, near))
    for one in left[:1]:
        line = case.line("expect") if case.test.expect else case.line()
        yield Problem(line, f"{len(left)} more were told; the first:", _lines(case, None, one))
    held = [_held(one) for one in tried.told.held]
    for n, held_row in enumerate(case.test.held_back):
        wanted = _wanted(case, held_row)
        if not any(not _differing(wanted, one) for one in held):
            near = next((one for one in held if one["why"] == wanted["why"]), held[0] if held else None)
            yield Problem(case.line("held_back", n), "was not held back so", _lines(case, wanted, near))


def _held(one: Held) -> Found:
    return {"why": str(one.why), "at": one.tick, "until": one.until, "route": one.route}


def _wanted(case: RouteCase, row: ToldRow | HeldRow) -> Found:
    found: Found = {key: getattr(row, key) for key in type(row).model_fields if key in row.model_fields_set}
    for key in ("at", "until"):
        if found.get(key) is not None:
            found[key] = _instant(case, str(found[key]))
    return found


def _instant(case: RouteCase, text: str) -> datetime:
    """An instant, or so long after the alert. Raises ValueError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return case.test.trial.at + parse_duration(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; write 2026-10-01T03:00+08:00, or so long after the alert: 30m")
    return at


def _unreadable(case: RouteCase, key: str, n: int, row: ToldRow | HeldRow) -> Iterator[SiteError]:
    for name in ("at", "until"):
        if (text := getattr(row, name, None)) is not None:
            try:
                _instant(case, text)
            except ValueError as error:
                yield SiteError(
                    case.path, case.line(key, n, name), f"tests[{case.number}].{key}[{n}].{name}", str(error)
                )


def _differing(wanted: Found, found: Found) -> list[str]:
    return [key for key, value in wanted.items() if found[key] != value]


def _lines(case: RouteCase, wanted: Found | None, found: Found | None) -> list[Line]:
    keys = [key for key, value in (found or {}).items() if value is not None] if wanted is None else list(wanted)
    lines = []
    for key in keys:
        expected = None if wanted is None else _text(case, wanted[key])
        got = None if found is None else _text(case, found[key])
        lines.append(Line(key, expected, got, wanted is not None and found is not None and wanted[key] != found[key]))
    return lines


def _text(case: RouteCase, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        after = format_duration(value - case.test.trial.at)
        return f"{local(value, case.site.time_zone):%m-%d %H:%M:%S} ({after})"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
