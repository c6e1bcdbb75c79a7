"""Reads rule test files and binds each test to a site of its own and to the rule file beside it.

Promises: a test that was read makes sense as a whole (points, limits, series, rules and windows fit each other);
otherwise SiteErrors tells every mistake with file, line, key and what would be right. Runs nothing.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contracts.civil_time import local, zone
from contracts.factors import CONVERTED_PREFIX, REMOVAL_PREFIX, Factor, standard_factors
from contracts.site import Facility, Limit, Member, Name, Outlet, Pair, ParkThreshold, Point, Site, SiteFile, Station
from rules.plan import compile_plan, idle
from rules.tables.limit_library import limit_library

from ..site.checks import Table, cross_check
from ..site.files import TABLES
from ..site.limit_rows import assigned
from ..site.rule_files import TEST_SUFFIX, Placed, read_rule_file
from ..site.yaml_lines import Lines, Loc, SiteError, SiteErrors, read_yaml_with_lines, suggestion, validate
from . import facts
from .park import ENTERPRISE, PARK, enterprise, park
from .spec import INSTANT_KEYS, LimitRow, RuleTest, RuleTestFile

_CLOCK = re.compile(r"\d\d:\d\d(:\d\d)?")


@dataclass(frozen=True)
class Ground:
    """What tests stand on: the project's own settings and factors, or a site's."""

    file: SiteFile
    factors: dict[str, Factor]


def own_ground() -> Ground:
    file = SiteFile(version=1, site="test", name=Name(zh="测试", en="test"), time_zone="Asia/Shanghai")
    return Ground(file, standard_factors())


@dataclass(frozen=True)
class Case:
    """A test that makes sense, ready to run."""

    test: RuleTest
    path: Path  # as shown
    line_of: Lines
    number: int
    site: Site
    rules: list[Placed]  # under test

    def line(self, *loc: str | int) -> int:
        return self.line_of(("tests", self.number, *loc))

    def instant(self, text: str) -> datetime:
        return instant(text, self.test.start_at, self.site.time_zone)

    def facts(self) -> list[tuple[datetime, bytes]]:
        """(tick at which it is known, payload of its record) of what people say."""
        return list(facts.records(self.test.facts, self.instant, self.test.start_at))


@dataclass(frozen=True)
class CaseFile:
    path: Path  # as shown
    rules: list[Placed]  # of the rule file beside it
    cases: list[Case]


def instant(text: str, start_at: datetime, time_zone: str) -> datetime:
    """`08:00` of the first day, `2026-03-02`, `2026-03-02T08:00`: civil time; or with an offset. Raises ValueError."""
    first_day = local(start_at, time_zone).date()
    try:
        at = datetime.fromisoformat(f"{first_day}T{text}" if _CLOCK.fullmatch(text) else text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time; write 08:00, 2026-03-02 or 2026-03-02T08:00") from error
    return (at if at.utcoffset() is not None else at.replace(tzinfo=zone(time_zone))).astimezone(UTC)


def rules_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(TEST_SUFFIX) + ".yaml")


def read_cases(path: Path, ground: Ground, shown: Path | None = None) -> CaseFile:
    """The tests of a file, bound to the rule file beside it. Raises SiteErrors with everything that is wrong."""
    shown = shown or path
    beside = rules_path(path)
    if not beside.is_file():
        raise SiteErrors([SiteError(shown, None, None, f"tests {beside.name}, which is not beside it")])
    rules = read_rule_file(beside, shown.with_name(beside.name))
    data, line_of = read_yaml_with_lines(path)
    parsed, errors = validate(RuleTestFile, data, shown, line_of)
    if parsed is None:
        raise SiteErrors(errors)
    cases: list[Case] = []
    first: dict[str, int] = {}
    for number, test in enumerate(parsed.tests):
        builder = _Builder(test, number, shown, line_of, ground, rules)
        if (line := first.setdefault(test.name, builder.line("name"))) != builder.line("name"):
            builder.wrong(("name",), f"{test.name!r} is the name of the test on line {line} already")
        case = builder.case()
        errors += builder.errors
        if case is not None:
            cases.append(case)
    if errors:
        raise SiteErrors(errors)
    return CaseFile(shown, rules, cases)


def rules_tested(path: Path) -> set[str]:
    """The rules that a verdict or an alert expected in a test file names. Raises SiteErrors."""
    data, line_of = read_yaml_with_lines(path)
    parsed, errors = validate(RuleTestFile, data, path, line_of)
    if parsed is None:
        raise SiteErrors(errors)
    return {row.rule for test in parsed.tests for row in (*test.expect.verdicts, *(test.expect.alerts or ()))}


class _Builder:
    """One test: its site, its rules, and every mistake in it."""

    def __init__(
        self, test: RuleTest, number: int, path: Path, line_of: Lines, ground: Ground, rules: list[Placed]
    ) -> None:
        self._test, self._number, self._path, self._line_of = test, number, path, line_of
        self._ground, self._rules = ground, rules
        self.errors: list[SiteError] = []

    def line(self, *loc: str | int) -> int:
        return self._line_of(("tests", self._number, *loc))

    def wrong(self, loc: Loc, message: str) -> None:
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in ("tests", self._number, *loc))
        self.errors.append(SiteError(self._path, self.line(*loc), key.removeprefix("."), message))

    def case(self) -> Case | None:
        site = self._site()
        if site is None:
            return None
        rules = self._under_test(site)
        self._check_sources(site)
        self._check_expected(rules)
        if self.errors:
            return None
        return Case(self._test, self._path, self._line_of, self._number, site, rules)

    def _site(self) -> Site | None:
        test, factors = self._test, self._ground.factors
        file = self._ground.file
        if test.time_zone is not None:
            try:
                file = SiteFile.model_validate({**file.model_dump(), "time_zone": test.time_zone})
            except ValueError:
                self.wrong(("time_zone",), f"{test.time_zone!r} is not a time zone; write one like Asia/Shanghai")
                return None
        points = [row.point(factors) for row in test.points]
        names = list(dict.fromkeys(point.station for point in points))
        for key in ("outlets", "media", "places"):
            for station in getattr(test, key):
                if station not in names:
                    self.wrong((key, station), f"no point is of station {station!r}{suggestion(station, names)}")
        outlet_of = {name: test.outlets.get(name, f"O-{name}") for name in names}
        outlets = {
            outlet: Outlet(
                outlet=outlet,
                county="C1",
                park=PARK if test.has_park else None,
                enterprise=None if test.industry is None else ENTERPRISE,
                medium=test.media.get(name, test.medium),
                name_zh=f"排口{name}",
                name_en=f"outlet {name}",
                **test.model_dump(include={"water_body", "target_class"}, exclude_unset=True),
            )
            for name, outlet in reversed(outlet_of.items())
        }
        stations = [
            Station(
                station=name,
                outlet=outlet,
                name_zh=f"站{name}",
                name_en=f"station {name}",
                latitude=test.places[name][0] if name in test.places else None,
                longitude=test.places[name][1] if name in test.places else None,
            )
            for name, outlet in outlet_of.items()
        ]
        rows: dict[str, list[Any]] = {
            "outlets": list(outlets.values()),
            "stations": stations,
            "points": points,
            "limits": [self._limit(n, row, points, outlet_of) for n, row in enumerate(test.limits)],
            "pairs": [Pair(**row.model_dump()) for row in test.pairs],
        }
        if test.has_park or test.industry is not None:
            rows["enterprises"] = [enterprise(test.industry, has_park=test.has_park)]
        if test.has_park:
            rows |= {
                "parks": [park(test.wind_station)],
                "facilities": [Facility(**row.model_dump()) for row in test.facilities],
                "members": [Member(**row.model_dump()) for row in test.members],
                "park_thresholds": [ParkThreshold(**row.model_dump()) for row in test.park_thresholds],
            }
        self._cross_check(rows)
        if self.errors:
            return None
        return Site(file=file, factors=factors, **{name: tuple(its) for name, its in rows.items()})

    def _limit(self, n: int, row: LimitRow, points: list[Point], outlet_of: dict[str, str]) -> Limit | None:
        known = limit_library().get(row.library or "")
        factor = row.factor or (known.factor if known else None) or ""
        measuring = [point.station for point in points if point.factor == factor.removeprefix(CONVERTED_PREFIX)]
        if factor.startswith(REMOVAL_PREFIX):  # a limit on removal is one of what leaves the treatment
            measuring = [name for one in self._test.facilities for name in one.outlet_stations if name in outlet_of]
        named = {
            "limit_id": row.limit_id or f"L{n + 1}",
            "outlet": row.outlet or outlet_of[(measuring or list(outlet_of))[0]],
        }
        if row.library is None and row.standard is None:
            named["standard"] = "test"
        limit, wrong = assigned(row.model_copy(update=named), limit_library(), self._test.medium)
        for column, message in wrong:
            self.wrong(("limits", n, column), message)
        return limit if limit is None or row.industry is None else limit.model_copy(update={"industry": row.industry})

    def _cross_check(self, rows: dict[str, list[Any]]) -> None:
        """The registry's own checks; rows go by number there and by line here."""
        keys = {name: key for name, (_, key) in TABLES.items() if key is not None}
        tables = {name: Table(Path("this test") / name, keys.get(name), is_present=name in rows) for name in TABLES}
        for name, its in rows.items():
            seen: set[object] = set()
            for n, row in enumerate(its):
                if row is None:
                    continue  # told already
                named = (row.station, row.factor) if name == "points" else getattr(row, keys[name])
                if named in seen:
                    self.wrong((name, n), f"{' '.join(named) if name == 'points' else named} is there twice")
                    continue
                seen.add(named)
                tables[name].rows[n] = row
            tables[name].names = {getattr(row, keys[name]) for row in its if row} if name in keys else set()
        for error in cross_check(tables, self._ground.factors):
            column = error.key or ""
            column = "interval" if column == "interval_s" else column
            self.wrong((error.path.name, error.line or 0, column), error.message)

    def _under_test(self, site: Site) -> list[Placed]:
        known = {one.rule.id: one for one in self._rules}
        for n, name in enumerate(self._test.rules):
            if name not in known:
                self.wrong(("rules", n), self._no_rule(name, known))
        named = [known[name] for name in self._test.rules if name in known]
        bound = []
        for one in named or self._rules:
            problems = idle(compile_plan(site, [one.rule]), [one.rule])
            if not problems:
                bound.append(one)
            elif named:
                self.wrong(("rules",), f"rule {one.rule.id}: {problems[0].key}: {problems[0].message}")
        if not bound and not self.errors:
            self.wrong(("points",), f"no rule of {rules_path(self._path).name} selects any of these points")
        return bound

    def _no_rule(self, name: str, known: dict[str, Placed]) -> str:
        hint = suggestion(name, known) or f"; there are {', '.join(known)}"
        return f"{name!r} is not a rule of {rules_path(self._path).name}{hint}"

    def _check_sources(self, site: Site) -> None:
        measured = {(point.station, point.factor) for point in site.points}
        with_means = {(point.station, point.factor) for point in site.points if point.device_period_s}
        stations = {station for station, _ in measured}
        for n, series in enumerate(self._test.series):
            if (series.station, series.factor) not in measured:
                there = ", ".join(sorted(factor for station, factor in measured if station == series.station))
                message = f"{series.factor!r} is not a point of station {series.station!r}"
                self.wrong(("series", n, "factor"), f"{message}, which measures {there or 'nothing'}")
            elif series.device is not None and (series.station, series.factor) not in with_means:
                message = f"point {series.factor!r} of station {series.station!r} has no device_period_s: 3600 or 86400"
                self.wrong(("series", n, "device"), message)
        for n, malformed in enumerate(self._test.malformed):
            if malformed.station not in stations:
                self.wrong(("malformed", n, "station"), f"no point is of station {malformed.station!r}")
        test = self._test
        until = None if test.until is None else test.start_at + test.until
        for loc, message in facts.check(test.facts, site, self._instant, test.start_at, until):
            self.wrong(("facts", *loc), message)

    def _instant(self, text: str) -> datetime:
        zone_name = self._test.time_zone or self._ground.file.time_zone
        return instant(text, self._test.start_at, zone_name)

    def _check_expected(self, rules: list[Placed]) -> None:
        expect, bound = self._test.expect, {one.rule.id for one in rules}
        known = {one.rule.id: one for one in self._rules}
        if not (expect.verdicts or expect.never or expect.alerts is not None):
            self.wrong(("expect",), "expects nothing; write verdicts, never or alerts (an empty list means none)")
        if expect.exactly and not expect.verdicts:
            self.wrong(("expect", "exactly"), "needs verdicts: it says they are all there are")
        for part in ("verdicts", "never", "alerts"):
            for n, row in enumerate(getattr(expect, part) or ()):
                loc = ("expect", part, n)
                if row.rule not in known:
                    self.wrong((*loc, "rule"), self._no_rule(row.rule, known))
                elif row.rule not in bound and not self.errors:
                    self.wrong((*loc, "rule"), f"{row.rule!r} is not under test: it selects none of these points")
                for key in INSTANT_KEYS & row.model_fields_set:
                    text = getattr(row, key)
                    try:
                        if text is not None:
                            self._instant(text)
                    except ValueError as error:
                        self.wrong((*loc, key), str(error))
