"""Reads a site's rules: the library files it names, then `rules/*.yaml` of its own. Errors say file, line and key."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from contracts.factors import (
    CONVERTED_PREFIX,
    DEVICE_PREFIX,
    DRY_STANDARD_PREFIX,
    FLOW_WEIGHTED_PREFIX,
    MASS_RATE_PREFIX,
)
from contracts.site import FACILITY_SUBJECT, PARK_SUBJECT, Site
from rules.base import RuleProblem
from rules.plan import Plan, compile_plan, idle
from rules.spec import Rule, RuleFile

from .yaml_lines import Lines, SiteError, SiteErrors, read_yaml_with_lines, suggestion, validate

TEST_SUFFIX = ".test.yaml"
LIBRARY = Path("rules/library")  # how the shipped files are shown, wherever they are installed
PREFIXES = (CONVERTED_PREFIX, DEVICE_PREFIX, DRY_STANDARD_PREFIX, FLOW_WEIGHTED_PREFIX, MASS_RATE_PREFIX)
PREFIXED = re.compile(f"({'|'.join(PREFIXES)})*")


@dataclass(frozen=True)
class Placed:
    """A rule and where it stands."""

    rule: Rule
    path: Path
    line: int
    number: int  # in the file's list
    line_of: Lines

    def line_at(self, key: str) -> int:
        """The line of a key of the rule, such as "select.factor"; of the rule where the file does not have it."""
        return self.line_of(("rules", self.number, *key.split(".")))


def library_files(library: Path | None = None) -> dict[str, Path]:
    """name -> path of every rule file the project ships; or of those in a folder where they were kept."""
    with as_file(files("rules") / "library") as shipped:
        found = sorted((library or shipped).glob("*.yaml"))
        return {path.stem: path for path in found if not path.name.endswith(TEST_SUFFIX)}


def own_rule_files(directory: Path) -> list[Path]:
    """Those of a site's own, without their tests."""
    return [path for path in sorted((directory / "rules").glob("*.yaml")) if not path.name.endswith(TEST_SUFFIX)]


def read_rule_file(path: Path, shown: Path | None = None) -> list[Placed]:
    """Raises SiteErrors."""
    data, line_of = read_yaml_with_lines(path)
    parsed, errors = validate(RuleFile, data, shown or path, line_of)
    if parsed is None:
        raise SiteErrors(errors)
    return [Placed(rule, shown or path, line_of(("rules", n)), n, line_of) for n, rule in enumerate(parsed.rules)]


def load_rules(directory: Path, site: Site, library: Path | None = None) -> list[Placed]:
    """Every rule that applies to the site. Raises SiteErrors, all of them.

    library: the folder of the library's files; the shipped one, if none is given.
    """
    shipped, errors, placed = library_files(library), [], []
    for n, name in enumerate(site.file.library):
        if name not in shipped:
            hint = suggestion(name, shipped) or f"; there are {', '.join(shipped)}"
            _, line_of = read_yaml_with_lines(directory / "site.yaml")
            said = f"{name!r} is not a rule file of the library{hint}"
            errors.append(SiteError(directory / "site.yaml", line_of(("library", n)), f"library[{n}]", said))
            continue
        placed += read_rule_file(shipped[name], LIBRARY / f"{name}.yaml")
    for path in own_rule_files(directory):
        try:
            placed += read_rule_file(path)
        except SiteErrors as found:
            errors += found.errors
    if errors:
        raise SiteErrors(errors)
    return placed


def compile_rules(site: Site, placed: Sequence[Placed]) -> Plan:
    """The plan, or SiteErrors pointing at the rules of the site's own that select by a name there is none of, or are
    bound to nothing.
    """
    own = [one.rule for one in placed if one.path.parent != LIBRARY]
    if problems := [problem for rule in own for problem in _unknown_names(site, rule)]:
        raise SiteErrors([_placed_error(problem, placed) for problem in problems])
    try:
        plan = compile_plan(site, [one.rule for one in placed])
    except RuleProblem as problem:
        raise SiteErrors([_placed_error(problem, placed)]) from problem
    if problems := idle(plan, own):
        raise SiteErrors([_placed_error(problem, placed) for problem in problems])
    return plan


def _unknown_names(site: Site, rule: Rule) -> Iterator[RuleProblem]:
    """A factor may be one that this site does not measure yet; one that does not exist is a slip."""
    stations = {station.station for station in site.stations}
    stations |= {f"{PARK_SUBJECT}{park.park}" for park in site.parks}
    stations |= {f"{FACILITY_SUBJECT}{facility.facility}" for facility in site.facilities}
    known = {"station": stations, "outlet": {outlet.outlet for outlet in site.outlets}, "factor": set(site.factors)}
    for key, names in known.items():
        for value in getattr(rule.select, key):
            prefix = PREFIXED.match(value)[0] if key == "factor" else ""  # type: ignore[index]  # it may be empty
            if value.removeprefix(prefix) not in names:
                hint = suggestion(value, sorted(f"{prefix}{name}" for name in names))
                yield RuleProblem(rule.id, f"select.{key}", f"{value!r} is no {key} of this site{hint}")
    for key, factor in rule.factors_named().items():
        prefix = PREFIXED.match(factor)[0]  # type: ignore[index]  # it may be empty
        if factor.removeprefix(prefix) not in site.factors:
            hint = suggestion(factor, sorted(f"{prefix}{name}" for name in site.factors))
            yield RuleProblem(rule.id, key, f"{factor!r} is no factor of this site{hint}")


def _placed_error(problem: RuleProblem, placed: Sequence[Placed]) -> SiteError:
    *others, where = [one for one in placed if one.rule.id == problem.rule]
    message = problem.message
    if problem.key == "id" and others:
        message += f" ({others[0].path.as_posix()}:{others[0].line} has it already)"
    return SiteError(where.path, where.line_at(problem.key), f"{problem.rule}: {problem.key}", message)
