"""Runs rule tests: series become real messages and clock rows, the production pipeline decides, rows are compared.

Promises: nothing is evaluated here; what a test sees is what a running site would have decided by `until`.
Does not promise: what a site's other rules or real registry would do; a test stands on its own points and limits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from contracts.civil_time import local, next_boundary
from contracts.frames import MESSAGES
from contracts.topics import JOURNAL_CLOCK, JOURNAL_OPERATOR, STATION_JSON
from rules.series import Value
from rules.ticks import TICK, SiteClock, clock_payload, collectors_of

from ..pipeline import Episodes, Pipeline, PipelineState, Span
from ..texts.texts import Texts
from .cases import Case
from .spec import INSTANT_KEYS, LENGTH_MAX, Row, SeriesRow

COLLECTOR = "test"
CLOCK_EVERY = timedelta(minutes=1)
TRAVEL = timedelta(seconds=1)  # from the end of a value's period to its receipt
_NUMBERS = ("value", "limit")
_ORDER = (  # how rows are shown: what it is about, when, what was decided
    *("rule", "station", "factor", "limit_id", "period", "window", "revision", "opened", "fired", "resolved"),
    *("state", "reason", "level", "peak_level", "value", "limit", "valid_n", "expected_n"),
    *("told", "text_zh", "text_en"),
)

Found = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One key of a row that was compared."""

    key: str
    expected: str | None
    found: str | None
    differs: bool


@dataclass(frozen=True)
class Problem:
    """One expectation that did not hold."""

    line: int
    message: str
    lines: Sequence[Line] = ()
    near: Found | None = None  # the verdict that was found in place of what was expected


@dataclass(frozen=True)
class Decided:
    """What the pipeline made of a test."""

    verdicts: list[Found]
    alerts: list[Found]


@dataclass(frozen=True)
class Result:
    case: Case
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return not self.problems


def run_case(case: Case) -> Result:
    return Result(case, list(_compare(case, decide(case))))


def decide(case: Case) -> Decided:
    """Everything the pipeline has decided by the test's `until`."""
    pipeline = Pipeline(case.site, [one.rule for one in case.rules])
    feed = feed_of(case, pipeline)
    span = pipeline.step(PipelineState(SiteClock(collectors_of(feed))), feed)
    return Decided(_verdicts(span), _alerts(case, span))


def feed_of(case: Case, pipeline: Pipeline) -> pl.DataFrame:
    """MESSAGES of the test's series, malformed messages and facts, and a clock row every minute until its end."""
    messages = [*_messages(case), *_malformed(case), *_facts(case)]
    start_at, until = case.test.start_at, _until(case, pipeline, [at for at, _, _ in messages])
    topic = JOURNAL_CLOCK.format(collector=COLLECTOR)
    at = start_at
    while at < until:
        messages.append((at, topic, clock_payload(at)))
        at += CLOCK_EVERY
    messages.append((until, topic, clock_payload(until)))
    rows = [(at, COLLECTOR, topic, payload) for at, topic, payload in messages if at <= until]
    feed = pl.DataFrame(rows, schema=MESSAGES, orient="row")
    return feed.unique().sort("received_at", "source", "topic", "payload")


Message = tuple[datetime, str, bytes]  # received_at, topic, payload


def _messages(case: Case) -> list[Message]:
    """One JSON message a station, instant, kind and receipt; a second series of a point makes messages of its own."""
    points = {(point.station, point.factor): point for point in case.site.points}
    told: dict[tuple[Any, ...], list[str]] = {}
    before: list[tuple[str, str]] = []
    for series in case.test.series:
        point = points[series.station, series.factor]
        again = before.count((series.station, series.factor))
        before.append((series.station, series.factor))
        kind, period_s, interval_s = point.kind, point.period_s, point.interval_s
        if series.device is not None and point.device_period_s:
            kind, period_s, interval_s = series.device, point.device_period_s, point.device_period_s
        for at, value in _timed(case, series, timedelta(seconds=interval_s)):
            received_at = at + timedelta(seconds=period_s) + TRAVEL + series.late
            key = (received_at, series.station, at, kind, period_s, again)
            number = value.text if value.mark is None else f'{{"value":{value.text},"mark":"{value.mark}"}}'
            told.setdefault(key, []).append(f'"{series.factor}":{number}')
    messages = []
    for (received_at, station, at, kind, period_s, _), readings in told.items():
        there = local(at, case.site.time_zone).isoformat()
        head = f'"v":1,"station":"{station}","at":"{there}","period_s":{period_s},"kind":"{kind}"'
        payload = f'{{{head},"readings":{{{",".join(readings)}}}}}'
        messages.append((received_at, STATION_JSON.format(station=station), payload.encode()))
    return messages


def _timed(case: Case, series: SeriesRow, interval: timedelta) -> Iterator[tuple[datetime, Value]]:
    step = series.step or interval
    for n, value in enumerate(series.parsed()):
        if value is not None:
            yield case.test.start_at + n * step, value


def _malformed(case: Case) -> Iterator[Message]:
    for row in case.test.malformed:
        topic = STATION_JSON.format(station=row.station)
        for minute in range(int(row.duration / timedelta(minutes=1))):
            for n in range(row.count):
                after = row.at + timedelta(minutes=minute, milliseconds=n + 1)
                yield case.test.start_at + after, topic, b'{"v":1,"readings":' + str(n).encode()


def _facts(case: Case) -> Iterator[Message]:
    """Each a tick before it is known, right after a clock row of that instant; those known at the start before it."""
    for known_at, payload in case.facts():
        before = known_at - TICK
        if known_at > case.test.start_at:
            yield before, JOURNAL_CLOCK.format(collector=COLLECTOR), clock_payload(before)
        yield before, JOURNAL_OPERATOR, payload


def _until(case: Case, pipeline: Pipeline, received: list[datetime]) -> datetime:
    """The test's own end; or when the last window that something fell into has been decided."""
    test, zone = case.test, case.site.time_zone
    if test.until is not None:
        return test.start_at + test.until
    ends = [test.start_at + row.at + row.duration for row in test.malformed]
    for series in test.series:
        point = next(p for p in case.site.points if (p.station, p.factor) == (series.station, series.factor))
        step = series.step or timedelta(seconds=point.interval_s)
        ends.append(test.start_at + len(series.parsed()) * step)
    latest = max(ends, default=test.start_at + CLOCK_EVERY)
    until = max([latest, *(at + CLOCK_EVERY for at in received)])
    for period in pipeline.plan.bindings["period"].unique():
        end = latest if period == "instant" else next_boundary(latest - timedelta(microseconds=1), period, zone)
        until = max(until, end + pipeline.plan.hold[period])
    return min(until, test.start_at + LENGTH_MAX)


def _scaled(value: int | None, decimals: int) -> Decimal | None:
    return None if value is None else Decimal(value).scaleb(-decimals)


def _verdicts(span: Span) -> list[Found]:
    subject = ["rule", "station", "factor", "limit_id", "period", "window_at"]
    latest = pl.col("revision") == pl.col("revision").max().over(subject)
    rows = span.verdicts.with_columns(latest=latest).sort("window_at", "rule", "station", "factor", "limit_id")
    return [
        {
            **{key: row[key] for key in ("rule", "station", "factor", "limit_id", "period", "state", "reason")},
            **{key: row[key] for key in ("level", "valid_n", "expected_n", "revision", "latest")},
            "window": row["window_at"],
            "value": _scaled(row["value_scaled"], row["decimals"]),
            "limit": _scaled(row["limit_scaled"], row["decimals"]),
        }
        for row in rows.iter_rows(named=True)
    ]


def _alerts(case: Case, span: Span) -> list[Found]:
    """The episodes that stand at the end, with what was told of them: the texts are those of the first telling."""
    episodes, texts = Episodes(), Texts(case.site)
    episodes.apply(span.transitions)
    found = []
    for episode in sorted(episodes.by_id.values(), key=lambda one: (str(one["opened_at"]), str(one["id"]))):
        told = [row for row in span.transitions if row["episode"]["id"] == episode["id"]]  # type: ignore[index]
        first, words, tick = told[0]["episode"], str(told[0]["transition"]), told[0]["tick"]
        decimals = int(str(episode["decimals"]))
        instants = {
            key: datetime.fromisoformat(str(at)) if (at := episode[f"{key}_at"]) else None
            for key in ("opened", "fired", "resolved")
        }
        found.append(
            {
                **{key: episode[key] for key in ("rule", "station", "factor", "limit_id", "period")},
                **{key: episode[key] for key in ("level", "peak_level", "state")},
                **instants,
                "value": _scaled(episode["peak_scaled"], decimals),  # type: ignore[arg-type]
                "limit": _scaled(episode["limit_scaled"], decimals),  # type: ignore[arg-type]
                "valid_n": episode["peak_valid_n"],
                "expected_n": episode["peak_expected_n"],
                "told": tuple(str(row["transition"]) for row in told),
                "text_zh": texts.alert(words, first, "zh", tick),  # type: ignore[arg-type]
                "text_en": texts.alert(words, first, "en", tick),  # type: ignore[arg-type]
            }
        )
    return found


def _expected(case: Case, row: Row) -> Found:
    """The keys that are written, as found rows hold them."""
    wanted = {key: getattr(row, key) for key in _ORDER if key in row.model_fields_set}
    for key, value in wanted.items():
        if value is not None and key in INSTANT_KEYS:
            wanted[key] = case.instant(value)
        elif value is not None and key in _NUMBERS:
            wanted[key] = Decimal(str(value))
    return wanted


def _compare(case: Case, decided: Decided) -> Iterator[Problem]:
    expect = case.test.expect
    used: set[int] = set()
    for n, row in enumerate(expect.verdicts):
        wanted = _expected(case, row)
        among = [one for one in decided.verdicts if one["latest"] or "revision" in wanted]
        matches = [one for one in among if not _differing(wanted, one)]
        used.update(id(one) for one in matches)
        if not matches:
            yield _missing(case, case.line("expect", "verdicts", n), "verdict", wanted, among)
    for n, row in enumerate(expect.never):
        wanted = _expected(case, row)
        if matches := [one for one in decided.verdicts if not _differing(wanted, one)]:
            message = f"never to be found, but {len(matches)} were; the first:"
            yield Problem(case.line("expect", "never", n), message, _shown(case, None, matches[0]), matches[0])
    if expect.exactly:
        named = {row.rule for row in expect.verdicts}
        others = [one for one in decided.verdicts if one["rule"] in named and id(one) not in used]
        for one in others[:1]:
            message = f"exactly these verdicts, but {len(others)} more were found; the first:"
            yield Problem(case.line("expect", "exactly"), message, _shown(case, None, one), one)
    if expect.alerts is not None:
        yield from _compare_alerts(case, decided.alerts)


def _compare_alerts(case: Case, found: list[Found]) -> Iterator[Problem]:
    assert case.test.expect.alerts is not None
    wanted = [(n, _expected(case, row)) for n, row in enumerate(case.test.expect.alerts)]
    left, open_ = list(found), []
    for n, row in sorted(wanted, key=lambda each: -len(each[1])):  # who says most chooses first
        match = next((one for one in left if not _differing(row, one)), None)
        if match is None:
            open_.append((n, row))
        else:
            left.remove(match)
    for n, row in sorted(open_):
        near = _nearest(row, left)
        yield _missing(case, case.line("expect", "alerts", n), "alert", row, left)
        if near is not None:
            left.remove(near)  # told beside what was expected; not once more as one too many
    for one in left:
        yield Problem(case.line("expect", "alerts"), "an alert that was not expected:", _shown(case, None, one))


def _missing(case: Case, line: int, what: str, wanted: Found, among: list[Found]) -> Problem:
    near = _nearest(wanted, among)
    if near is None:
        return Problem(line, f"no such {what}; rule {wanted['rule']} made none", _shown(case, wanted, None))
    said = f"no such {what}; the nearest differs in what has a *"
    return Problem(line, said, _shown(case, wanted, near), near if what == "verdict" else None)


def _differing(wanted: Found, found: Found) -> list[str]:
    return [key for key, value in wanted.items() if found[key] != value]


def _nearest(wanted: Found, among: list[Found]) -> Found | None:
    """Of the same rule: the one whose subject and time fit best, then whose content does."""
    weights = {"window": 8, "opened": 8, "factor": 8, "station": 8, "limit_id": 4}

    def distance(found: Found) -> tuple[int, float]:
        cost = sum(weights.get(key, 1) for key in _differing(wanted, found))
        at = next((key for key in ("window", "opened") if wanted.get(key) is not None), None)
        return cost, abs((found[at] - wanted[at]).total_seconds()) if at else 0.0

    return min((one for one in among if one["rule"] == wanted["rule"]), key=distance, default=None)


def _shown(case: Case, wanted: Found | None, found: Found | None) -> list[Line]:
    """Expected beside found; where nothing was expected, all that was found."""
    if wanted is None:
        keys = [key for key in _ORDER if found is not None and found.get(key) is not None]
    else:
        keys = list(wanted)
    lines = []
    for key in keys:
        expected = None if wanted is None else _text(case, wanted[key])
        differs = wanted is not None and found is not None and wanted[key] != found[key]
        lines.append(Line(key, expected, None if found is None else _text(case, found[key]), differs))
    return lines


def _text(case: Case, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        there = local(value, case.site.time_zone)
        return f"{there:%Y-%m-%d %H:%M:%S}" if there.second else f"{there:%Y-%m-%d %H:%M}"
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return ", ".join(value) if isinstance(value, tuple) else str(value)
