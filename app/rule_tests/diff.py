"""Two sets of rules over one feed: which verdicts and alerts appear, vanish or change.

Promises: both sides are decided by the production path; the latest revision of each verdict and the episodes as they
stand at the end are compared. Does not compare when something was decided, nor what was told on the way.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from contracts.frames import VERDICTS, empty
from contracts.site import Site
from rules.spec import Rule

from ..outputs import Outputs
from ..replay import replay
from ..site.files import SiteError, SiteErrors, load_site
from ..site.rule_files import (
    LIBRARY,
    TEST_SUFFIX,
    Placed,
    compile_rules,
    library_files,
    load_rules,
    read_rule_file,
)

What = Literal["appears", "vanishes", "changes"]
VERDICT_KEY = ("rule", "station", "factor", "limit_id", "period", "window_at")
VERDICT_CONTENT = (
    *("state", "reason", "level", "value_scaled", "decimals", "unit", "limit_scaled"),
    *("valid_n", "expected_n"),
)
ALERT_KEY = ("rule", "station", "factor", "limit_id", "opened_at")
ALERT_CONTENT = (
    *("state", "level", "peak_level", "peak_scaled", "decimals", "unit", "limit_scaled", "peak_at"),
    *("fired_at", "resolved_at"),
)

Row = Mapping[str, object]


@dataclass(frozen=True)
class Side:
    """A site and the rules it is judged by."""

    site: Site
    rules: list[Rule]


@dataclass(frozen=True)
class Difference:
    """One verdict or alert that is not the same on both sides."""

    what: What
    old: Row | None
    new: Row | None

    @property
    def row(self) -> Row:
        row = self.new or self.old
        assert row is not None
        return row


@dataclass(frozen=True)
class Compared:
    verdicts: list[Difference]
    alerts: list[Difference]
    same_verdicts: int
    same_alerts: int

    @property
    def is_same(self) -> bool:
        return not (self.verdicts or self.alerts)

    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """(station, rule) -> how many of `verdict appears`, `alert vanishes`, ..."""
        found: dict[tuple[str, str], Counter[str]] = {}
        for kind, rows in (("verdict", self.verdicts), ("alert", self.alerts)):
            for one in rows:
                key = (str(one.row["station"]), str(one.row["rule"]))
                found.setdefault(key, Counter())[f"{kind} {one.what}"] += 1
        return dict(sorted(found.items()))


def side_of(folder: Path, site: Path | None) -> Side:
    """A site's directory; or a folder of rule files, which stands in place of the site's own `rules/`.

    A file of the folder named like one of the library replaces it. Raises SiteErrors.
    """
    if (folder / "site.yaml").is_file():
        whole = load_site(folder)
        placed = load_rules(folder, whole)
    else:
        if site is None:
            raise SiteErrors([SiteError(folder, None, None, "is no site (no site.yaml in it); name one with --site")])
        whole = load_site(site)
        load_rules(site, whole)  # a library file that does not exist is told as the site's mistake
        placed = _placed(folder, whole)
    compile_rules(whole, placed)
    return Side(whole, [one.rule for one in placed])


def _placed(folder: Path, site: Site) -> list[Placed]:
    own = [path for path in sorted(folder.glob("*.yaml")) if not path.name.endswith(TEST_SUFFIX)]
    if not own:
        said = "is neither a site nor a folder of rules: there is neither a site.yaml nor any other .yaml file in it"
        raise SiteErrors([SiteError(folder, None, None, said)])
    shipped, mine = library_files(), {path.stem for path in own}
    of_library = [(shipped[name], LIBRARY / f"{name}.yaml") for name in site.file.library if name not in mine]
    errors, placed = [], []
    for path, shown in [*of_library, *((path, path) for path in own)]:
        try:
            placed += read_rule_file(path, shown)
        except SiteErrors as found:
            errors += found.errors
    if errors:
        raise SiteErrors(errors)
    return placed


def compare(old: Side, new: Side, feed: pl.DataFrame, progress: Callable[[int], None] = lambda _: None) -> Compared:
    """feed: MESSAGES, as a set. progress: told the number of messages done, twice over."""
    before = replay(feed, old.site, old.rules, progress=progress)
    after = replay(feed, new.site, new.rules, progress=lambda done: progress(feed.height + done))
    verdicts = [
        {key_of(row, VERDICT_KEY): row for row in _latest(each).iter_rows(named=True)} for each in (before, after)
    ]
    alerts = [{key_of(row, ALERT_KEY): row for row in each.alerts()} for each in (before, after)]
    of_verdicts = list(differences(verdicts[0], verdicts[1], VERDICT_CONTENT))
    of_alerts = list(differences(alerts[0], alerts[1], ALERT_CONTENT))
    return Compared(
        of_verdicts,
        of_alerts,
        len(verdicts[0].keys() & verdicts[1].keys()) - sum(one.what == "changes" for one in of_verdicts),
        len(alerts[0].keys() & alerts[1].keys()) - sum(one.what == "changes" for one in of_alerts),
    )


def _latest(outputs: Outputs) -> pl.DataFrame:
    rows = pl.concat([empty(VERDICTS), *outputs.verdicts])
    return rows.sort("revision").unique(VERDICT_KEY, keep="last")


def key_of(row: Row, names: Sequence[str]) -> tuple[object, ...]:
    return tuple(row[name] for name in names)


def differences(
    old: Mapping[tuple[object, ...], Row], new: Mapping[tuple[object, ...], Row], content: Sequence[str]
) -> Iterator[Difference]:
    """In the order of time, then of their key."""
    for key in sorted(old.keys() | new.keys(), key=lambda key: (str(key[-1]), tuple(map(str, key)))):
        before, after = old.get(key), new.get(key)
        if before is None:
            yield Difference("appears", None, after)
        elif after is None:
            yield Difference("vanishes", before, None)
        elif key_of(before, content) != key_of(after, content):
            yield Difference("changes", before, after)
