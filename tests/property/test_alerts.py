"""Laws of verdicts and episodes: a naive judge agrees, delays converge, call sizes do not matter."""

from datetime import timedelta
from decimal import Decimal

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from contracts.reasons import LEVELS, Alert
from rules.alerts.episodes import Machine, Window, fold
from rules.alerts.update import AlertState, record, update
from rules.alerts.verdict_past import folded_columns, window_of
from rules.evaluate import evaluate, verdicts
from rules.plan import compile_plan, idle
from rules.spec import FlatLineRule, LimitRule
from rules.windows.advance import advance, start
from tests.builders import START, minutes, sample, samples, site

RULE = LimitRule(
    id="so2",
    kind="limit",
    period="minute",
    levels={"yellow": 0.9, "orange": 1.0, "red": 2.0},
    pending="3m",
    recovery="2m",
    hysteresis_pct=10,  # of 45, the mildest level: good again from 40.5 down
)
# minute -> value in mg/m3 (null: nothing sent), delay in minutes
series = st.lists(
    st.tuples(
        st.sampled_from([None, 10.0, 40.5, 40.6, 44.9, 45.0, 45.1, 50.0, 50.1, 100.0, 120.0]),
        st.sampled_from([0, 0, 0, 2, 9]),
    ),
    max_size=40,
)


def plan_of(*rules):
    return compile_plan(site(limits=[{"period": "minute"}]), list(rules or [RULE]))


def run(plan, rows, cuts=()):
    number = plan.points.filter(pl.col("factor") == "a21026")["point"].item()
    made = [
        sample(number, START + minutes(n), START + minutes(n + 1 + delay), round(value * 10**6))
        for n, (value, delay) in enumerate(rows)
        if value is not None
    ]
    state, alerts, judged, changes = start(START), AlertState(), [], []
    last = START + minutes(len(rows) + 15)
    ticks = [*sorted({START + minutes(cut) for cut in cuts if cut < len(rows) + 15}), last]
    for n, tick in enumerate(ticks):
        before = ticks[n - 1] if n else START - timedelta(seconds=1)
        inside = [row for row in made if before < row["tick"] <= tick]
        decided = advance(plan, state, samples(inside), tick).decisions
        judged.append(evaluate(plan, decided))
        changes += update(plan, alerts, judged[-1], tick, state.store)
    judged = pl.concat(judged).sort("binding", "window_at", "revision")
    return judged, changes, folded_at_once(plan, judged)


def folded_at_once(plan, judged):
    """Episodes of the latest verdicts, in one fold from the beginning."""
    latest = folded_columns(plan, judged).unique(["binding", "window_at"], keep="last", maintain_order=True)
    found = []
    for (binding,), rows in latest.partition_by("binding", as_dict=True, maintain_order=True).items():
        about = plan.bindings.row(binding, named=True)
        windows = [window_of(row) for row in rows.iter_rows(named=True)]
        machine, ended = fold(Machine(), windows, about["pending_s"], about["recovery_s"])
        found += [record(plan, binding, one) for one in [*ended, *([machine.open] if machine.open else [])]]
    return found


@given(series)
def test_a_naive_judge_agrees_with_every_on_time_verdict(rows):
    judged, _, _ = run(plan_of(), [(value, 0) for value, _ in rows])
    for row in judged.iter_rows(named=True):
        n = int((row["window_at"] - START) / minutes(1))
        value = rows[n][0] if n < len(rows) else None
        if value is None:
            expected = ("no_judgement", None)
        else:
            level = "red" if value > 100 else "orange" if value > 50 else "yellow" if value > 45 else None
            expected = ("exceedance" if value > 50 else "within", level)
        assert (row["state"], row["level"]) == expected, (value, row)


@given(series, st.lists(st.integers(1, 50), max_size=6))
def test_call_sizes_change_neither_verdicts_nor_transitions_nor_episodes(rows, cuts):
    whole, cut = run(plan_of(), rows), run(plan_of(), rows, cuts)
    assert whole[0].equals(cut[0])
    assert whole[1] == cut[1]
    assert whole[2] == cut[2]


@given(series)
def test_whatever_the_delay_the_episodes_end_up_as_if_nothing_had_been_late(rows):
    assert run(plan_of(), rows)[2] == run(plan_of(), [(value, 0) for value, _ in rows])[2]


@given(series)
def test_transitions_tell_the_same_story_as_the_episodes(rows):
    _, changes, episodes = run(plan_of(), rows)
    alive = {}
    for change in changes:
        if change.transition == "withdrawn":
            del alive[change.episode.opened_at]
        else:
            alive[change.episode.opened_at] = str(change.episode.state)
    assert alive == {START.fromisoformat(e["opened_at"]): e["state"] for e in episodes}


levels = st.lists(st.sampled_from(["yellow", "orange", "red", None, "near", "?"]), max_size=30)


@given(levels, st.integers(0, 4), st.integers(0, 4))
def test_the_fold_agrees_with_a_naive_reading_of_the_series(marks, pending, recovery):
    windows = [
        Window(START + minutes(n), 60, mark if mark in LEVELS else None, mark != "?", n, near=mark == "near")
        for n, mark in enumerate(marks)
    ]
    machine, ended = fold(Machine(), windows, pending * 60, recovery * 60)
    got = [(e.opened_at, e.resolved_at) for e in [*ended, *([machine.open] if machine.open else [])]]
    assert got == naive(marks, pending, recovery)


def naive(marks, pending, recovery):
    """Episodes by scanning: opens when enough bad windows gathered without a good one, ends likewise.

    What is near is good enough for nothing to begin, and not for anything to end.
    """
    found, i, n = [], 0, len(marks)
    while i < n:
        if marks[i] not in LEVELS:
            i += 1
            continue
        begin, bad = i, 0
        while i < n and marks[i] not in (None, "near"):
            bad += marks[i] != "?"
            if bad and bad >= pending and marks[i] != "?":
                break
            i += 1
        else:
            continue  # a good window, or the end, came before enough bad ones
        good, i = 0, i + 1
        while i < n:
            good = good + 1 if marks[i] is None else good if marks[i] == "?" else 0
            if marks[i] is None and good >= recovery:
                break
            i += 1
        found.append((START + minutes(begin), START + minutes(i + 1) if i < n else None))
        i += 1
    return found


def test_missing_data_never_clear_an_alert_and_say_so():
    rows = [(120.0, 0)] * 5 + [(None, 0)] * 10
    _, changes, episodes = run(plan_of(), rows)
    assert [str(change.transition) for change in changes] == ["fired", "data_lost"]
    assert episodes[0]["state"] == str(Alert.NO_DATA)


def test_an_open_alert_ends_only_when_the_value_is_back_by_the_rules_hysteresis():
    """By 10 % of the mildest level: 40.5 of 45. Nothing begins for it, and no verdict is another one."""
    high, near, back = [(50.1, 0)] * 3, [(44.9, 0)] * 10, [(40.5, 0)] * 2
    judged, _, (episode,) = run(plan_of(), [*near, *high, *near, (40.5, 0), *near, *back])
    assert episode["opened_at"] == (START + minutes(10)).isoformat()
    assert episode["resolved_at"] == (START + minutes(10 + 3 + 10 + 1 + 10 + 2)).isoformat()
    without = RULE.model_copy(update={"hysteresis_pct": 0})
    plain, _, (first,) = run(plan_of(without), [*near, *high, *near, (40.5, 0), *near, *back])
    assert first["resolved_at"] == (START + minutes(15)).isoformat()
    assert plain.equals(judged)
    lower = FlatLineRule(id="f", kind="flat_line", period="hour", level="yellow", hysteresis_pct=10)
    assert plan_of(lower).bindings["clear"].to_list() == [None]  # nothing is within a tenth of zero


def test_a_lower_limit_is_come_back_to_from_below():
    above = compile_plan(site(limits=[{"period": "minute", "comparator": ">="}]), [RULE])
    _, _, (episode,) = run(above, [(10.0, 0)] * 3 + [(60.0, 0)] * 3 + [(62.0, 0)] * 2)
    assert episode["resolved_at"] == (START + minutes(8)).isoformat()  # 50 / 0.9 is 55.6, and a tenth of it beyond


def test_a_value_at_the_limit_is_within_and_one_above_is_not():
    judged, _, _ = run(plan_of(), [(50.0, 0), (50.1, 0)])
    assert judged["state"].to_list()[:2] == ["within", "exceedance"]


def test_rounded_comparison_rounds_half_to_even_before_it_compares():
    limit = {"period": "minute", "comparison": "rounded", "decimals": 0}
    plan = compile_plan(site(limits=[limit]), [RULE])
    judged, _, _ = run(plan, [(50.5, 0), (50.51, 0), (51.5, 0)])
    assert judged["value_scaled"].to_list()[:3] == [50, 51, 52]
    assert judged["state"].to_list()[:3] == ["within", "exceedance", "exceedance"]


def test_a_flat_hour_is_flagged_and_a_constant_zero_is_not():
    plan = compile_plan(site(), [FlatLineRule(id="flat", kind="flat_line", period="hour")])
    flat, _, _ = run(plan, [(7.0, 0)] * 60 + [(0.0, 0)] * 60 + [(7.0, 0), (8.0, 0)] * 30)
    assert flat["level"].to_list()[:3] == ["yellow", None, None]


def test_a_point_without_a_limit_says_so():
    plan = compile_plan(site(limits=[]), [RULE])
    judged, _, _ = run(plan, [(120.0, 0)])
    assert judged.row(0, named=True)["reason"] == "no_limit_configured"


def test_verdicts_carry_the_limit_in_the_values_own_decimals():
    plan = plan_of()
    judged, _, _ = run(plan, [(50.123456, 0)])
    row = verdicts(plan, judged).row(0, named=True)
    shown = [Decimal(row[name]).scaleb(-row["decimals"]) for name in ("value_scaled", "limit_scaled")]
    assert shown == [Decimal("50.123456"), Decimal(50)]


def test_a_rule_that_selects_nothing_is_bound_to_nothing():
    rule = RULE.model_copy(update={"select": RULE.select.model_copy(update={"factor": ("a99999",)})})
    assert [problem.key for problem in idle(plan_of(rule), [rule])] == ["select"]


def test_a_rule_whose_points_never_have_its_window_is_bound_to_nothing():
    slow = site([{"kind": "rtd", "period_s": 0, "interval_s": 7200}], limits=[{"period": "hour"}])
    rule = LimitRule(id="cod", kind="limit", period="hour")
    assert [problem.rule for problem in idle(compile_plan(slow, [rule]), [rule])] == ["cod"]


def test_a_point_whose_limits_have_all_ended_says_that_none_is_configured():
    dated = [
        {"period": "minute", "limit": 40, "valid_to": "2026-02-28"},
        {"period": "minute", "limit": 60, "valid_from": "2026-03-02"},
    ]
    plan = compile_plan(site(limits=dated), [RULE])
    judged, _, _ = run(plan, [(50.0, 0)])
    assert judged["reason"].to_list()[:1] == ["no_limit_configured"]
    assert judged.filter(pl.col("window_at") == START).height == 1
    with_one = compile_plan(
        site(limits=[*dated, {"period": "minute", "limit": 45, "valid_from": "2026-03-01"}]), [RULE]
    )
    judged, _, _ = run(with_one, [(50.0, 0)])
    assert judged.filter(pl.col("window_at") == START)["state"].to_list() == ["exceedance"]
