"""Rejudging an archive: with the rules that judged it nothing changes; with others it is what they would have said."""

from contextlib import closing
from datetime import timedelta
from random import Random

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import app.rejudge.archive
from app.outputs import VERDICT_ORDER, Outputs
from app.pipeline import Episodes
from app.rejudge.outputs import finish, write_summary
from app.rejudge.range import NothingArchived
from app.rejudge.rejudge import rejudge
from app.rejudge.report import write_report
from app.rule_tests.diff import VERDICT_CONTENT, Side
from app.service.collector import journal_directory
from app.service.engine import Engine
from app.service.export import export
from contracts.clock import ScaledClock
from contracts.ports import RawMessage
from rules.spec import LimitRule
from rules.ticks import clock_payload
from store.archive import VERDICT_KEY, Archive, latest_revisions, read_archive
from store.journal import Journal
from store.spans import SpanFiles
from tests.builders import minutes
from tests.property.test_pipeline_laws import ALL_RULES, START, any_feed, moods_of, small_site

DAYS = [timedelta(hours=n) for n in (1, 4)]


def archived(state_dir, feed, site, rules):
    """A state directory whose engine decided the feed and whose archive has it all."""
    after = feed["received_at"].max()
    clocks = [(after + day, "mqtt", "$clock/main", clock_payload(after + day)) for day in DAYS]
    with Journal(journal_directory(state_dir, "main")) as journal:
        for at, source, topic, body in [*feed.iter_rows(), *clocks]:
            journal.append([RawMessage(source, topic, body)], at)
    with closing(Engine(site, rules, state_dir, ScaledClock(START, 1))) as engine:
        while engine.step(500) is not None:
            pass
        archive = Archive(state_dir / "archive", SpanFiles(state_dir / "spans", engine.db), engine.db, site.time_zone)
        while archive.compact(3):
            pass
    return state_dir


def latest(state_dir):
    rows = latest_revisions(read_archive(state_dir / "archive", "verdicts"), VERDICT_KEY).collect()
    return rows.sort(VERDICT_ORDER)


def alerts_of(episodes):
    return list(Outputs(episodes=Episodes(dict(episodes))).alerts())


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    """Every date a unit of its own, and several slices of each."""
    monkeypatch.setattr(app.rejudge.archive, "UNIT_ROWS", 1)
    monkeypatch.setattr(app.rejudge.archive, "SLICE_ROWS", 400)


@pytest.fixture(scope="module")
def feed():
    moods = [(30, "high"), (20, "mixed"), (25, "missing"), (35, "near"), (20, "high")]
    return any_feed(moods, "one", Random(3))


@pytest.fixture(scope="module")
def state(tmp_path_factory, feed):
    return archived(tmp_path_factory.mktemp("archive"), feed, small_site(), ALL_RULES)


def strict(site):
    """Half the limit for one factor, and a limit on a day that had none."""
    limits = [
        one.model_copy(update={"limit": one.limit / 2}) if one.factor == "zs_a21026" else one for one in site.limits
    ]
    day = limits[0].model_copy(update={"limit_id": "new", "period": "day"})
    return site.model_copy(update={"limits": (*limits, day)})


OTHER_RULES = [
    *(rule for rule in ALL_RULES if rule.id not in ("hour", "off")),
    LimitRule(id="hour", kind="limit", period="hour", levels={"yellow": 0.5, "red": 1.0}, pending="2h"),
    LimitRule(id="rolled", kind="limit", period="hour", levels={"orange": 0.5}, rolling=2),
]


@settings(max_examples=max(2, settings().max_examples // 8), phases=[Phase.generate])
@given(moods_of, st.integers(0, 2**32 - 1).map(Random))
def test_with_the_very_same_rules_it_is_what_the_archive_has(tmp_path_factory, moods, rng):
    folder = tmp_path_factory.mktemp("rejudge")
    site = small_site()
    state_dir = archived(folder / "state", any_feed([*moods, (5, "high")], "one", rng), site, ALL_RULES)
    side = Side(site, ALL_RULES)
    done = rejudge(state_dir, side, side, folder / "out")
    found = finish(folder / "out", done)
    assert_frame_equal(pl.read_parquet(found.verdicts).sort(VERDICT_ORDER), latest(state_dir))
    assert found.series.is_empty()
    assert found.alerts == []
    assert alerts_of(done.new_alerts) == list(export(state_dir).alerts())


def test_with_other_rules_and_limits_it_is_what_an_engine_with_those_would_have_decided(tmp_path, feed, state):
    old, new = Side(small_site(), ALL_RULES), Side(strict(small_site()), OTHER_RULES)
    done = rejudge(state, old, new, tmp_path / "out")
    found = finish(tmp_path / "out", done)
    other = archived(tmp_path / "state", feed, new.site, new.rules)
    assert_frame_equal(pl.read_parquet(found.verdicts).sort(VERDICT_ORDER), latest(other))
    assert alerts_of(done.new_alerts) == list(export(other).alerts())
    assert alerts_of(done.old_alerts) == list(export(state).alerts())
    ways = {rule: (n > 0, m > 0, list(why)) for rule, n, m, why in done.routes.table.iter_rows()}
    assert ways["hour"] == (True, False, [])
    assert ways["minute"] == (False, True, ["short_window"])
    assert ways["rolled"] == (False, True, ["made_for_a_rule"])


def test_every_difference_is_counted_and_written_down(tmp_path, state):
    old, new = Side(small_site(), ALL_RULES), Side(strict(small_site()), OTHER_RULES)
    found = finish(tmp_path / "out", rejudge(state, old, new, tmp_path / "out"))
    key, content = [*VERDICT_KEY], [*VERDICT_CONTENT]
    before = {row[: len(key)]: row[len(key) :] for row in latest(state).select(key + content).iter_rows()}
    rows = pl.read_parquet(found.verdicts).select(key + content)
    after = {row[: len(key)]: row[len(key) :] for row in rows.iter_rows()}
    expected = {
        **dict.fromkeys(after.keys() - before.keys(), ("appears", None)),
        **{one: ("vanishes", before[one]) for one in before.keys() - after.keys()},
        **{one: ("changes", before[one]) for one in before.keys() & after.keys() if before[one] != after[one]},
    }
    changed = pl.read_parquet(found.changes)
    olds = changed.select(pl.col(f"old_{name}") for name in content).rows()
    said = zip(changed.select(key).rows(), changed["what"], olds, strict=True)
    assert {one: (what, None if what == "appears" else was) for one, what, was in said} == expected
    assert {"appears", "vanishes", "changes"} == {what for what, _ in expected.values()}
    summary = write_summary(tmp_path / "out", found)
    counted = summary["against_archive"]["verdicts"]
    assert sum(counted.values()) == len(before.keys() | after.keys())
    assert not (tmp_path / "out" / "unfinished").exists()


class Killed(Exception):
    """As a kill -9 between two units."""


def test_a_run_that_is_killed_goes_on_and_leaves_the_same_bytes(tmp_path, state):
    old, new = Side(small_site(), ALL_RULES), Side(strict(small_site()), OTHER_RULES)

    def files(out):
        done = rejudge(state, old, new, out)
        found = finish(out, done)
        write_report(out, found, new.site)
        write_summary(out, found)
        names = ("verdicts.parquet", "changes.parquet", "alerts.ndjson", "report.html")
        return done, [(out / name).read_bytes() for name in names]

    whole = files(tmp_path / "whole")[1]
    reached, told = [-1], []

    def kill(doing):
        told.append(doing)
        if doing.done > reached[-1]:
            reached.append(doing.done)
            raise Killed

    finished = False
    while not finished:
        try:
            rejudge(state, old, new, tmp_path / "cut", progress=kill)
            finished = True
        except Killed:
            continue
    assert len(reached) > 5
    assert told[-1].done == told[-1].total == reached[-1]
    done, cut = files(tmp_path / "cut")
    assert cut == whole
    assert done.resumed > 0


def test_what_was_done_is_not_gone_on_with_for_other_rules_or_when_it_is_damaged(tmp_path, state):
    old, new = Side(small_site(), ALL_RULES), Side(strict(small_site()), OTHER_RULES)
    first = rejudge(state, old, new, tmp_path)
    again = rejudge(state, old, new, tmp_path)
    assert first.resumed == 0
    assert again.resumed > len(again.parts.done) > 0  # those units, and those of the readings
    for path in (first.parts.directory / "verdicts-00000.arrow", first.parts.directory / "changes-00000.arrow"):
        path.write_bytes(path.read_bytes()[:-1])
    assert rejudge(state, old, new, tmp_path).resumed == again.resumed - len(again.parts.done)
    assert rejudge(state, old, old, tmp_path).resumed == 0


def test_a_range_is_judged_as_the_whole_is(tmp_path, state):
    side, from_at, to_at = Side(small_site(), ALL_RULES), START + minutes(40), START + minutes(95)
    done = rejudge(state, side, side, tmp_path, from_at, to_at)
    found = finish(tmp_path, done)
    wanted = latest(state).filter(pl.col("window_at").is_between(from_at, to_at, closed="left"))
    assert_frame_equal(pl.read_parquet(found.verdicts).sort(VERDICT_ORDER), wanted)
    assert found.series.is_empty()
    assert found.alerts == []
    with pytest.raises(NothingArchived, match="nothing lies in between"):
        rejudge(state, side, side, tmp_path / "other", from_at - timedelta(days=900), from_at - timedelta(days=899))


def test_stations_whose_registry_differs_are_judged_from_their_readings(tmp_path, feed, state):
    site = small_site()
    points = [
        one.model_copy(update={"range_max": 60.0}) if (one.station, one.factor) == ("S1", "a21026") else one
        for one in site.points
    ]
    old, new = Side(site, ALL_RULES), Side(site.model_copy(update={"points": tuple(points)}), ALL_RULES)
    done = rejudge(state, old, new, tmp_path / "out")
    found = finish(tmp_path / "out", done)
    other = archived(tmp_path / "state", feed, new.site, new.rules)
    assert_frame_equal(pl.read_parquet(found.verdicts).sort(VERDICT_ORDER), latest(other))
    ways = {rule: (n, m, list(why)) for rule, n, m, why in done.routes.table.iter_rows()}
    assert ways["day"][2] == ["other_registry"]
    assert min(ways["day"][:2]) > 0  # the other stations' days are judged from archived windows


def test_a_state_without_an_archive_is_told_in_words(tmp_path):
    side = Side(small_site(), ALL_RULES)
    with pytest.raises(NothingArchived, match="no windows and no verdicts"):
        rejudge(tmp_path, side, side, tmp_path / "out")
