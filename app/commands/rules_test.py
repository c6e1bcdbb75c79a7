"""`greenisland rules test`: runs rule tests and prints what was expected beside what was found."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import typer
from rich.cells import cell_len

from ..route_tests.run import FILE as ROUTE_TESTS
from ..route_tests.run import read_route_tests, run_route_case
from ..rule_tests.cases import CaseFile, Ground, own_ground, read_cases
from ..rule_tests.explain import explained
from ..rule_tests.run import Problem, Result, run_case
from ..site.files import load_site
from ..site.rule_files import TEST_SUFFIX, library_files, own_rule_files
from ..site.yaml_lines import SiteError, SiteErrors
from .rules_text import WIDTH, steps_text, wrapped

__all__ = ["WIDTH", "rules_test_command"]

SHOWN_LIBRARY = Path("rules/library")


@dataclass(frozen=True)
class Timed:
    result: Result
    seconds: float


def rules_test_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Test files (name.test.yaml) or directories of them; none: the shipped rules'."),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(
            help="Stand on this site's settings and factors; without PATH, run the tests of its rules and routes."
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the results as JUnit XML to this file.")] = None,
    explain: Annotated[bool, typer.Option(help="Say of a failed test how the nearest verdict came about.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Run rule tests through the production pipeline, and a site's route tests. Exit code 1: one failed; 2: bad file"""
    ground = own_ground()
    if site is not None:
        whole = load_site(site)
        ground = Ground(whole.file, whole.factors)
    if paths:
        found = found_in(paths)
    elif site is not None:
        own = [path for path in (site / ROUTE_TESTS,) if path.is_file()]
        found = [*(found_in([site / "rules"]) if any(own_tests(site)) or not own else ()), *own]
    else:
        found = []
    files = [(path, path) for path in found if path.name != ROUTE_TESTS] if found else library_test_files()
    routes = [read_route_tests(path, load_site(path.parent)) for path in found if path.name == ROUTE_TESTS]
    case_files = read_all(files, ground)
    untested = [each for case_file in case_files for each in untested_rules(case_file)]
    if not paths and site is None and (errors := untested + without_test_file(library_files().values(), SHOWN_LIBRARY)):
        raise SiteErrors(errors)
    if not paths and site is not None:
        untested += without_test_file(own_rule_files(site), site / "rules")
    done: list[Timed] = []
    for case_file in case_files:
        if not as_json:
            print(case_file.path.as_posix())
        for case in case_file.cases:
            began_s = time.perf_counter()
            timed = Timed(run_case(case), time.perf_counter() - began_s)
            done.append(timed)
            if not as_json:
                print("\n".join(report(timed.result, explain=explain)))
    for cases in routes:
        if not as_json:
            print(cases[0].path.as_posix())
        for route_case in cases:
            began_s = time.perf_counter()
            timed = Timed(run_route_case(route_case), time.perf_counter() - began_s)
            done.append(timed)
            if not as_json:
                print("\n".join(report(timed.result)))
    failed = sum(not each.result.is_ok for each in done)
    if junit is not None:
        junit.write_bytes(junit_xml(done))
    if as_json:
        print(json.dumps(as_data(done, untested), ensure_ascii=False, indent=2))
    else:
        for error in untested:
            print(f"note: {error}")
        print(f"{len(done)} tests, {failed} failed")
    if failed:
        raise typer.Exit(1)


def own_tests(site: Path) -> list[Path]:
    return sorted((site / "rules").glob(f"*{TEST_SUFFIX}"))


def library_test_files() -> list[tuple[Path, Path]]:
    """(path, as shown) of every test file the project ships."""
    beside = [path.with_name(path.stem + TEST_SUFFIX) for path in library_files().values()]
    return [(path, SHOWN_LIBRARY / path.name) for path in beside if path.is_file()]


def found_in(paths: Sequence[Path]) -> list[Path]:
    """Test files of files and directories; a rule file stands for the test beside it. Raises SiteErrors."""
    found: list[Path] = []
    errors = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.glob(f"*{TEST_SUFFIX}"))
            if not inside:
                errors.append(
                    SiteError(
                        path,
                        None,
                        None,
                        f"holds no test; tests are named like their rules, name.yaml and name{TEST_SUFFIX}",
                    )
                )
            found += inside
            continue
        test = path if path.name.endswith(TEST_SUFFIX) else path.with_name(path.stem + TEST_SUFFIX)
        if not test.is_file():
            errors.append(SiteError(test, None, None, "does not exist"))
        found.append(test)
    if errors:
        raise SiteErrors(errors)
    return list(dict.fromkeys(found))


def read_all(files: Sequence[tuple[Path, Path]], ground: Ground) -> list[CaseFile]:
    """Raises SiteErrors of all files at once."""
    read, errors = [], []
    for path, shown in files:
        try:
            read.append(read_cases(path, ground, shown))
        except SiteErrors as found:
            errors += found.errors
    if errors:
        raise SiteErrors(errors)
    return read


def untested_rules(case_file: CaseFile) -> list[SiteError]:
    """Rules no verdict and no alert of the file's tests names: nothing says what they are to do."""
    named, beside = set(), case_file.path.name
    for case in case_file.cases:
        named |= {row.rule for row in (*case.test.expect.verdicts, *(case.test.expect.alerts or ()))}
    return [
        SiteError(one.path, one.line, None, f"rule {one.rule.id} has no test; {beside} expects nothing of it")
        for one in case_file.rules
        if one.rule.id not in named
    ]


def without_test_file(paths: Iterable[Path], shown: Path) -> list[SiteError]:
    return [
        SiteError(
            shown / path.name, None, None, f"has no {path.stem}{TEST_SUFFIX} beside it: none of its rules is tested"
        )
        for path in paths
        if not path.with_name(path.stem + TEST_SUFFIX).is_file()
    ]


def report(result: Result, *, explain: bool = False) -> Iterator[str]:
    """Lines of at most WIDTH columns. explain: how what was found in place of the expected came about, step by step."""
    word = "ok  " if result.is_ok else "FAIL"
    yield from wrapped(result.case.test.name, f"  {word}  ", " " * 8)
    for problem in result.problems:
        yield from wrapped(f"line {problem.line}: {problem.message}", " " * 8, " " * 8)
        yield from _table(problem)
        if explain and problem.near is not None:
            yield from steps_text(explained(result.case, problem.near), " " * 10)


def _table(problem: Problem) -> Iterator[str]:
    sides = [side for side in ("expected", "found") if any(getattr(line, side) is not None for line in problem.lines)]
    long = [line for line in problem.lines if any(cell_len(getattr(line, side) or "") > 28 for side in sides)]
    if not sides:
        return
    yield " " * 10 + f"{'':14}" + "".join(f"{side:<28}" for side in sides).rstrip()
    for line in problem.lines:
        star = "*" if line.differs else " "
        if line in long:
            yield f"        {star} {line.key}"
            for side in sides:
                yield from wrapped(getattr(line, side) or "-", f"            {side:<9} ", " " * 22)
            continue
        cells = "".join(_padded(getattr(line, side) or "-") for side in sides)
        yield f"        {star} {line.key:<14}{cells}".rstrip()


def _padded(text: str) -> str:
    return text + " " * (28 - cell_len(text))


def as_data(done: Sequence[Timed], untested: Sequence[SiteError]) -> dict[str, object]:
    return {
        "tests": [
            {
                "file": timed.result.case.path.as_posix(),
                "line": timed.result.case.line(),
                "name": timed.result.case.test.name,
                "ok": timed.result.is_ok,
                "seconds": round(timed.seconds, 3),
                "problems": [_problem(problem) for problem in timed.result.problems],
            }
            for timed in done
        ],
        "failed": sum(not timed.result.is_ok for timed in done),
        "untested": [str(error) for error in untested],
    }


def _problem(problem: Problem) -> dict[str, object]:
    return {"line": problem.line, "message": problem.message, "lines": [asdict(line) for line in problem.lines]}


def junit_xml(done: Sequence[Timed]) -> bytes:
    """One suite a file, one case a test; a failure holds the printed table."""
    total = {"tests": str(len(done)), "failures": str(sum(not timed.result.is_ok for timed in done)), "errors": "0"}
    root = ElementTree.Element("testsuites", {**total, "time": f"{sum(timed.seconds for timed in done):.3f}"})
    by_file: dict[str, list[Timed]] = {}
    for timed in done:
        by_file.setdefault(timed.result.case.path.as_posix(), []).append(timed)
    for name, its in by_file.items():
        failed = sum(not timed.result.is_ok for timed in its)
        seconds = f"{sum(timed.seconds for timed in its):.3f}"
        counts = {"tests": str(len(its)), "failures": str(failed), "errors": "0", "time": seconds}
        suite = ElementTree.SubElement(root, "testsuite", {"name": name, **counts})
        for timed in its:
            case = timed.result.case
            about = {"classname": name, "name": case.test.name, "file": name, "line": str(case.line())}
            element = ElementTree.SubElement(suite, "testcase", {**about, "time": f"{timed.seconds:.3f}"})
            if not timed.result.is_ok:
                said = "; ".join(problem.message for problem in timed.result.problems)
                failure = ElementTree.SubElement(element, "failure", {"message": said, "type": "expectation"})
                failure.text = "\n".join(report(timed.result))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
