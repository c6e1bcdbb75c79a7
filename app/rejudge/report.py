"""Rejudging: report.html, for people who decide whether other rules shall hold.

Promises: the counts are those of all verdicts and alerts; of tables, lists and plots the first are shown and how many
are not is said. Does not promise every window of a plot: a place along it shows the least and the greatest of several.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import polars as pl

from contracts.catalogue import LEVEL, PERIOD
from contracts.catalogue.report import REPORT
from contracts.civil_time import local
from contracts.site import Site
from store.parquet import replacing

from ..explain.words import number
from ..report_html import Html, Line, both, heading, note, page, plot, table
from ..rule_tests.diff import Difference, Row
from ..texts.texts import Texts
from .outputs import Found, owners

ROWS_MAX, ALERTS_MAX, PLOTS_MAX, PLACES = 200, 100, 24, 380
WHAT = ("appears", "vanishes", "changes")
SERIES = ["rule", "station", "factor", "period"]


def write_report(out: Path, found: Found, site: Site) -> None:
    """site: of the new side; its names are used."""
    with replacing(out / "report.html") as temporary:
        title = (REPORT["title"]["zh"], REPORT["title"]["en"])
        temporary.write_text(page(title, _Report(found, site).parts()), encoding="utf-8")


def _t(key: str, **parameters: object) -> Html:
    return both(REPORT[key]["zh"].format(**parameters), REPORT[key]["en"].format(**parameters))


class _Report:
    def __init__(self, found: Found, site: Site):
        self.found, self.site, self.texts = found, site, Texts(site)
        self.owner = owners(site)
        self.stations = {station.station: station for station in site.stations}
        self.enterprises = {one.enterprise: one for one in site.enterprises}

    def parts(self) -> Iterator[Html]:
        found, done = self.found, self.found.rejudged
        span = {"start": self._at(done.from_at), "end": self._at(done.to_at)}
        yield note(Html(f"{_t('range', **span).markup}; {_t('archived_at', at=self._at(done.archived_at)).markup}"))
        yield note(_t("against"))
        for key, n in (
            ("not_judged_other_unit", done.other_scale),
            ("archived_without_alerts", done.unfolded),
        ):
            if n:
                yield note(_t(key, n=n))
        verdicts = Counter({what: int(found.series[what].sum()) for what in WHAT})
        alerts = Counter(one.what for one in found.alerts)
        totals = [
            [_t("verdicts"), done.same, *(verdicts[what] for what in WHAT)],
            [_t("alerts"), found.same_alerts, *(alerts[what] for what in WHAT)],
        ]
        yield table(["", _t("same"), *map(_t, WHAT)], totals)
        if not (verdicts.total() or alerts.total()):
            yield note(_t("nothing"))
        else:
            yield from self._counts("by_rule", "rule", lambda row: str(row["rule"]), _plain)
            yield from self._counts("by_enterprise", "enterprise", self._owner_of, self._enterprise)
            yield from self._counts("by_station", "station", lambda row: str(row["station"]), self._station)
            yield from self._alerts()
            yield from self._plots()
        yield heading(_t("ways"))
        ways = [
            [rule, n, m, Html("; ".join(_t(one).markup for one in why))]
            for rule, n, m, why in done.routes.table.iter_rows()
        ]
        yield table([_t("rule"), _t("from_aggregates"), _t("from_readings"), _t("why")], ways)

    def _at(self, at: datetime) -> str:
        return f"{local(at, self.site.time_zone):%Y-%m-%d %H:%M}"

    def _owner_of(self, row: Row) -> str:
        return self.owner.get(str(row["station"])) or ""

    def _enterprise(self, name: str) -> Html:
        if (its := self.enterprises.get(name)) is None:
            return _t("no_enterprise")
        return both(its.name_zh, its.name_en)

    def _station(self, name: str) -> Html:
        if name not in self.stations:
            return both(name, name)
        return both(f"{self.texts.place(name, 'zh')} {name}", f"{self.texts.place(name, 'en')} {name}")

    def _counts(
        self, title: str, column: str, group: Callable[[Row], str], named: Callable[[str], Html]
    ) -> Iterator[Html]:
        counted: dict[str, Counter[str]] = {}
        for row in self.found.series.iter_rows(named=True):
            its = counted.setdefault(group(row), Counter())
            its.update({f"verdict {what}": row[what] for what in WHAT})
        for one in self.found.alerts:
            counted.setdefault(group(one.row), Counter())[f"alert {one.what}"] += 1
        rows = sorted(counted.items(), key=lambda item: (-item[1].total(), item[0]))
        yield heading(_t(title))
        header = [
            _t(column),
            *(Html(f"{_t(kind).markup} {_t(what).markup}") for kind in ("verdicts", "alerts") for what in WHAT),
        ]
        yield table(
            header,
            (
                [
                    named(name),
                    *(its[f"{kind} {what}"] for kind in ("verdict", "alert") for what in WHAT),
                ]
                for name, its in rows[:ROWS_MAX]
            ),
        )
        yield from _more(len(rows) - ROWS_MAX)

    def _alerts(self) -> Iterator[Html]:
        if not self.found.alerts:
            return
        yield heading(_t("alerts"))
        rows = [
            [
                _t(one.what),
                str(one.row["rule"]),
                self._station(str(one.row["station"])),
                self._factor(str(one.row["factor"])),
                self._at(datetime.fromisoformat(str(one.row["opened_at"]))),
                self._episode(one.old),
                self._episode(one.new),
            ]
            for one in _first(self.found.alerts, ALERTS_MAX)
        ]
        header = ("", "rule", "station", "factor", "opened", "archived", "rejudged")
        yield table([_t(name) if name else "" for name in header], rows)
        yield from _more(len(self.found.alerts) - ALERTS_MAX)

    def _factor(self, code: str) -> Html:
        return both(self.texts.factor(code, "zh"), self.texts.factor(code, "en"))

    def _episode(self, row: Row | None) -> Html:
        if row is None:
            return Html("")
        ended, level = row["resolved_at"], LEVEL[str(row["level"])]
        until = _t("until", at=self._at(datetime.fromisoformat(str(ended)))) if ended else _t("open")
        peak = _t("peak", value=number(row["peak_scaled"], row["decimals"]), unit=row["unit"] or "")
        return Html(f"{both(level['zh'], level['en']).markup}, {peak.markup}, {until.markup}")

    def _plots(self) -> Iterator[Html]:
        by_total = pl.sum_horizontal(WHAT)
        chosen = self.found.series.sort(by_total, *SERIES, descending=[True] + [False] * 4).head(PLOTS_MAX)
        if chosen.is_empty():
            return
        yield heading(_t("series"))
        done = self.found.rejudged
        drawn = places(self.found, chosen)
        for row in chosen.iter_rows(named=True):
            its = drawn.get(tuple(row[name] for name in SERIES))
            if its is None:
                continue
            lines = [
                Line("v", its["low"], its["high"]),
                Line("old", its["old_limit"], its["old_limit"]),
                Line("new", its["new_limit"], its["new_limit"]),
            ]
            yield plot(lines, self._at(done.from_at), self._at(done.to_at), str(its["unit"] or ""), self._caption(row))
        yield from _more(self.found.series.height - PLOTS_MAX)

    def _caption(self, row: Mapping[str, object]) -> Html:
        period = PERIOD[str(row["period"])]
        names = [
            self._station(str(row["station"])),
            self._factor(str(row["factor"])),
            both(period["zh"], period["en"]),
            both(str(row["rule"]), str(row["rule"])),
            *(Html(f"{_t(what).markup} {row[what]}") for what in WHAT if row[what]),
        ]
        key = (("#2563a8", "value"), ("#888", "old_limit"), ("#c0392b", "new_limit"))
        legend = " ".join(f'<b style="color:{colour}">&#9644;</b> {_t(name).markup}' for colour, name in key)
        return Html(f"{', '.join(one.markup for one in names)}<br>{legend}")


def places(found: Found, chosen: pl.DataFrame) -> dict[tuple[object, ...], dict[str, list[float | None] | str | None]]:
    """By series, PLACES along the range each: low and high of its values, old_limit, new_limit; and its `unit`."""
    done = found.rejudged
    step_us = max(1, int((done.to_at - done.from_at).total_seconds() * 1_000_000) // PLACES)
    asked = chosen.select(SERIES).lazy()
    of_stations = pl.col("station").is_in(chosen["station"].unique().to_list())  # passes over most of a file
    place = ((pl.col("window_at") - done.from_at).dt.total_microseconds() // step_us).clip(0, PLACES - 1)

    def scaled(name: str, decimals: str = "decimals") -> pl.Expr:
        return pl.col(name) / pl.lit(10.0).pow(pl.col(decimals).cast(pl.Float64))

    new = pl.scan_parquet(found.verdicts).filter(of_stations).join(asked, on=SERIES, how="semi")
    new = new.select(*SERIES, "unit", place=place, value=scaled("value_scaled"), new_limit=scaled("limit_scaled"))
    changed = pl.scan_parquet(found.changes).filter(of_stations).join(asked, on=SERIES, how="semi")
    old = changed.filter(pl.col("what") != "appears").select(
        *SERIES,
        unit="old_unit",
        place=place,
        value=scaled("old_value_scaled", "old_decimals"),
        old_limit=scaled("old_limit_scaled", "old_decimals"),
        is_old=pl.lit(True),
    )
    added = changed.filter(pl.col("what") == "appears").select(*SERIES, place=place, is_added=pl.lit(True))
    rows = pl.concat([new, old, added], how="diagonal").group_by(*SERIES, "place")
    drawn = rows.agg(
        pl.col("unit").drop_nulls().first(),
        pl.col("value").min().alias("low"),
        pl.col("value").max().alias("high"),
        pl.col("new_limit").drop_nulls().last(),
        pl.col("old_limit").drop_nulls().last(),
        is_old=pl.col("is_old").any(),
        is_added=pl.col("is_added").any(),
    ).collect()
    # where nothing changed the limit is what it was
    same = ~pl.col("is_old").fill_null(False) & ~pl.col("is_added").fill_null(False)
    drawn = drawn.with_columns(old_limit=pl.when(same).then("new_limit").otherwise("old_limit"))
    every = pl.DataFrame({"place": pl.int_range(PLACES, eager=True)})
    made: dict[tuple[object, ...], dict[str, list[float | None] | str | None]] = {}
    for key, part in drawn.partition_by(SERIES, as_dict=True).items():
        whole = every.join(part, on="place", how="left").sort("place")
        columns = ("low", "high", "old_limit", "new_limit")
        made[key] = {name: _joined_up(whole[name]) for name in columns} | {"unit": part["unit"].drop_nulls().first()}
    return made


def _joined_up(column: pl.Series) -> list[float | None]:
    """Gaps shorter than the distance of windows are no gaps: windows may be further apart than places."""
    there = column.is_not_null().arg_true()
    apart = int(there.diff().drop_nulls().median() or 1) if len(there) > 1 else 1  # type: ignore[arg-type]
    return (
        column.fill_null(strategy="forward", limit=max(apart - 1, 0) or None).to_list()
        if apart > 1
        else column.to_list()
    )


def _plain(name: str) -> Html:
    return both(name, name)


def _first(rows: list[Difference], n: int) -> Iterable[Difference]:
    order = {what: place for place, what in enumerate(WHAT)}
    return sorted(rows, key=lambda one: order[one.what])[:n]


def _more(n: int) -> Iterator[Html]:
    if n > 0:
        yield note(_t("more", n=n))
