"""Laws of a change of the site: it holds from its `$site` row on, wherever the feed is cut and whatever restarts; what
it does not touch goes on as if nothing had happened; nothing is decided twice, and nothing is left out."""

from collections.abc import Mapping
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from app.outputs import AGGREGATE_ORDER, VERDICT_ORDER, Outputs
from app.pipeline import PipelineState, Span
from app.reloading import Sites
from app.replay import replay
from app.site.kept import KeptSite
from contracts.frames import MESSAGES
from contracts.records import RECORD_VERSION, Record, encode
from contracts.site import Site
from rules.kinds.plausibility import RangeRule
from rules.spec import Rule
from rules.ticks import SiteClock, collectors_of
from tests.builders import site

from .test_pipeline_laws import (
    ALL_RULES,
    EASY,
    LIMITS,
    PAIR,
    POINTS,
    RULES,
    any_feed,
    assert_same,
    assert_same_outcome,
    clocks_of,
    few,
    gathered,
    made,
    seeds,
    stored,
)

SECOND = timedelta(seconds=1)
A, B, C = "a" * 64, "b" * 64, "c" * 64
FEWER = settings(few, max_examples=few.max_examples // 2 + 1)
moods_of = st.lists(
    st.tuples(st.integers(1, 15), st.sampled_from(["low", "near", "high", "mixed", "missing"])), min_size=1, max_size=4
)


def made_site(points=POINTS, limits=LIMITS, pairs=(PAIR,), **file) -> Site:
    return site(points, limits=limits, pairs=list(pairs), **{"lateness": "2h", "validity": EASY, **file})


def with_row(n: int, rows: list[dict], **changed: object) -> list[dict]:
    return [{**row, **changed} if n == k else row for k, row in enumerate(rows)]


def kept(name: str, its: Site, rules: list[Rule] = ALL_RULES) -> KeptSite:
    return KeptSite(name, its, rules)


FIRST = kept(A, made_site())
STATION = {"station": "A0", "factor": "a21018", "kind": "rtd", "period_s": 0}  # sorts before all others
RANGE = RangeRule(id="aaa", kind="range", period="hour", low=1.0)
ADDED = {
    "a station": kept(B, made_site([STATION, *POINTS])),
    "a rule": kept(B, made_site(), [*ALL_RULES, RANGE]),
    "both": kept(B, made_site([STATION, *POINTS]), [*ALL_RULES, RANGE]),
}


def site_row(at, name: str, source: str = "app") -> tuple[object, ...]:
    record = Record(v=RECORD_VERSION, actor="li", origin="cli", at=at, action="activate_site", body={"sha256": name})
    return at, source, "$site", encode(record)


def with_turns(feed: pl.DataFrame, turns: list[tuple[int, str]]) -> pl.DataFrame:
    """Rows that activate sites, each just before, just after or at the very instant of a row of the feed."""
    rows = []
    for n, name in turns if feed.height else ():
        at = feed["received_at"][n % feed.height]
        rows.append(site_row(at + timedelta(microseconds=n % 3 - 1), name))
    return pl.concat([feed, pl.DataFrame(rows, schema=MESSAGES, orient="row")]).sort(*MESSAGES.names())


def run(feed: pl.DataFrame, sites: Mapping[str, KeptSite], cuts=(), restarts=()) -> list[Span]:
    """Every span; at the cuts of these numbers the state goes through a checkpoint, and with it the pipelines."""
    state = PipelineState(SiteClock(collectors_of(feed)))
    at = feed["received_at"]
    # messages of one instant stay together
    ends = {at.search_sorted(at[cut % feed.height], side="left") for cut in cuts} if feed.height else set()
    holding, spans, begin = Sites(FIRST, sites.get), [], 0
    for n, end in enumerate(sorted(ends | {feed.height})):
        spans += [holding.step(state, section) for section in holding.sections(state, feed[begin:end])]
        begin = end
        if n in restarts:
            state, holding = stored(state), Sites(FIRST, sites.get)
            assert state.site is None or holding.made_for(state.site) is not None
    last = holding.pipeline(state).close(state)
    return spans if last is None else [*spans, last]


def rows_of(outputs: Outputs, table: str, keep: pl.Expr) -> pl.DataFrame:
    return made(outputs, table).filter(keep).sort(AGGREGATE_ORDER if table == "aggregates" else VERDICT_ORDER)


def assert_untouched(one: list[Span], other: list[Span], touched: pl.Expr, rules: set[str], limits: set[str]) -> None:
    """touched: of aggregates and verdicts, by station and factor; rules, limits: whose verdicts may differ."""
    a, b = gathered(one), gathered(other)
    of_rules = pl.col("rule").is_in(list(rules)) | pl.col("limit_id").is_in(list(limits)).fill_null(False)
    for table, keep in (("aggregates", ~touched), ("verdicts", ~touched & ~of_rules)):
        assert_frame_equal(rows_of(a, table, keep), rows_of(b, table, keep))

    def told(spans: list[Span]) -> list[str]:
        rows = [row for span in spans for row in span.transitions]
        columns = ("station", "factor", "rule", "limit_id", "period")
        about = [{name: row["episode"][name] for name in columns} for row in rows]
        its = pl.DataFrame(about, schema=dict.fromkeys(columns, pl.String))
        keep = its.select(~touched & ~of_rules).to_series()
        return sorted(repr(row) for row, is_kept in zip(rows, keep, strict=True) if is_kept)

    assert told(one) == told(other)


NOTHING = pl.lit(False)


@few
@given(moods_of, clocks_of, seeds, st.lists(st.integers(0, 10**6), min_size=1, max_size=5), st.integers(0, 10**6))
def test_neither_cuts_nor_restarts_matter_where_sites_follow_each_other(moods, clocks, rng, cuts, row):
    sites = {
        A: FIRST,
        B: rng.choice([*ADDED.values()]),
        C: kept(C, made_site(limits=with_row(1, LIMITS, limit=30)), RULES),
    }
    feed = any_feed(moods, clocks, rng)
    names = rng.choice([[B], [A, B], [B, C], [C, B, A], [B, B, C]])
    feed = with_turns(feed, [(row + n * rng.choice([0, 1, 50]), name) for n, name in enumerate(names)])
    whole, cut = run(feed, sites), run(feed, cuts=cuts, restarts=(0, 2), sites=sites)
    assert_same(gathered(whole), gathered(cut))
    assert [row for span in whole for row in span.transitions] == [row for span in cut for row in span.transitions]
    assert_same(gathered(whole), replay(feed, FIRST.site, FIRST.rules, step_rows=97, load=sites.get))


@pytest.mark.parametrize("what", ADDED)
@FEWER
@given(moods_of, clocks_of, seeds, st.integers(0, 10**6))
def test_what_is_added_changes_nothing_else(what, moods, clocks, rng, row):
    feed = any_feed(moods, clocks, rng)
    touched = (pl.col("station") == "A0").fill_null(False)
    plain = run(feed, {})
    turned = run(with_turns(feed, [(row, B)]), {B: ADDED[what]})
    assert_untouched(plain, turned, touched, {"aaa"}, set())


@FEWER
@given(moods_of, clocks_of, seeds, st.integers(0, 10**6), st.booleans())
def test_minutes_that_are_asked_for_or_given_up_leave_hours_and_days_as_they_were(moods, clocks, rng, row, is_asked):
    """SO2 and O2 come once a minute: without a rule on minutes their readings are the hour's own parts."""
    hourly = [rule for rule in ALL_RULES if rule.id != "minute"]
    rules = [hourly, ALL_RULES] if is_asked else [ALL_RULES, hourly]
    sites = {A: kept(A, made_site(), rules[0]), B: kept(B, made_site(), rules[1])}
    feed = any_feed(moods, clocks, rng)
    plain = run(with_turns(feed, [(0, A)]), sites)
    turned = run(with_turns(feed, [(0, A), (row, B)]), sites)
    assert_untouched(plain, turned, (pl.col("period") == "minute"), {"minute"}, set())


@FEWER
@given(moods_of, clocks_of, seeds, st.integers(0, 10**6), st.integers(0, len(LIMITS) - 1))
def test_another_limit_leaves_all_other_verdicts_and_alerts_as_they_were(moods, clocks, rng, row, n):
    feed = any_feed(moods, clocks, rng)
    other = kept(B, made_site(limits=with_row(n, LIMITS, limit=rng.choice([3.0, 46.0, 200.0]))))
    plain, turned = run(feed, {}), run(with_turns(feed, [(row, B)]), {B: other})
    assert_untouched(plain, turned, NOTHING, set(), {f"L{n}"})
    assert_each_ends_once(turned)


TOUCHED = {  # the site, and what of the old one's outputs the change may touch
    "another unit": (made_site(with_row(0, POINTS, unit="ug/m3")), pl.col("factor").str.ends_with("a21026")),
    "another range": (made_site(with_row(0, POINTS, range_max=70.0)), pl.col("factor").str.ends_with("a21026")),
    "another interval": (made_site(with_row(2, POINTS, interval_s=60)), pl.col("factor").str.ends_with("a21002")),
    "another reference oxygen": (made_site(with_row(0, POINTS, ref_o2_pct=3.0)), pl.col("factor") == "zs_a21026"),
    "a pair that is no more": (made_site(pairs=()), pl.col("factor").str.starts_with("$treatment_off")),
    "a station that is no more": (
        made_site([row for row in POINTS if row.get("station") != "S2"], LIMITS[:6]),
        pl.col("station") == "S2",
    ),
}


@pytest.mark.parametrize("what", TOUCHED)
@FEWER
@given(moods_of, clocks_of, seeds, st.integers(0, 10**6))
def test_what_means_something_else_begins_anew_and_nothing_that_was_decided_is_decided_again(
    what, moods, clocks, rng, row
):
    other, touched = TOUCHED[what]
    feed = any_feed(moods, clocks, rng)
    plain, turned = run(feed, {}), run(with_turns(feed, [(row, B)]), {B: kept(B, other)})
    # how long a station is silent before it is told follows from its shortest interval
    assert_untouched(plain, turned, touched, {"silent"} if what == "another interval" else set(), set())
    assert_no_key_is_there_twice(gathered(turned))
    assert_each_ends_once(turned)


@FEWER
@given(moods_of, clocks_of, seeds, st.lists(st.integers(0, 10**6), min_size=1, max_size=3))
def test_another_hold_leaves_no_window_out_and_decides_none_twice(moods, clocks, rng, rows):
    holds = [{"minute": 90, "hour": 5, "instant": 40}, {"minute": 0, "hour": 900}, {"minute": 31, "day": 0}]
    sites = {name: kept(name, made_site(hold_s=hold)) for name, hold in zip((B, C, "d" * 64), holds, strict=True)}
    feed = any_feed(moods, clocks, rng)
    turns = [(row, rng.choice([*sites, A])) for row in rows]
    plain, turned = gathered(run(feed, {})), gathered(run(with_turns(feed, turns), {A: FIRST, **sites}))
    assert_no_key_is_there_twice(turned)
    assert_same_outcome(plain, turned)


def assert_no_key_is_there_twice(outputs: Outputs) -> None:
    for name, order in (("aggregates", AGGREGATE_ORDER), ("verdicts", VERDICT_ORDER)):
        assert not made(outputs, name).select(pl.struct(order).is_duplicated().any()).item(), name


def assert_each_ends_once(spans: list[Span]) -> None:
    """Of an episode nothing is said after nothing judges it any more."""
    over = set()
    for row in [row for span in spans for row in span.transitions]:
        assert row["episode"]["id"] not in over, row
        if row["transition"] == "superseded":
            assert (row["episode"]["state"], row["episode"]["open"]) == ("superseded", False)
            over.add(row["episode"]["id"])
