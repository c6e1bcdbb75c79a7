"""Laws of the windows: a naive oracle agrees at every tick, and neither order, chunking nor copies matter."""

from datetime import time, timedelta
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from contracts.civil_time import zone
from rules.plan import compile_plan
from rules.windows.advance import DECISIONS, advance, start
from rules.windows.rows import ROWS
from rules.windows.store import WindowStore
from tests.builders import START, minutes, sample, samples, site

HOUR = timedelta(hours=1)
DAYS = timedelta(days=400)

# minute of two days (sparse), value in micro-units, valid, delay in minutes after the minute's end
readings = st.lists(
    st.tuples(
        st.integers(0, 2879),
        st.integers(-(10**7), 10**8),
        st.booleans(),
        st.sampled_from([0, 0, 0, 1, 4, 5, 6, 59, 61, 300, 1500]),
    ),
    max_size=60,
    unique_by=lambda row: row[0],
)
# dense hours make judged windows possible
dense = st.builds(
    lambda hour, missing, value, delay: [
        (hour * 60 + m, value + m, m % 7 != 3, delay) for m in range(60) if m not in missing
    ],
    st.integers(0, 47),
    st.sets(st.integers(0, 59), max_size=20),
    st.integers(0, 10**7),
    st.sampled_from([0, 3, 7, 200]),
)


def points(interval_s: int):
    """A station whose minute windows are asked for (60 s, instants) and one whose hours take readings directly."""
    return site([{"kind": "rtd", "period_s": 0, "interval_s": interval_s}, {"factor": "a21002", "interval_s": 60}])


def rows_of(plan, readings):
    number = dict(plan.points.select("factor", "point").iter_rows())
    rows = []
    for minute, value, valid, delay in readings:
        at = START + minutes(minute)
        tick = at + minutes(1 + delay)
        rows += [sample(number[factor], at, tick, value, valid) for factor in ("a21026", "a21002")]
    return rows


def decisions(plan, rows, cuts=(), to=START + timedelta(days=2, hours=30)):
    state = start(START)
    made = []
    ticks = [*sorted(START + minutes(cut) for cut in set(cuts)), to]
    for n, tick in enumerate(ticks):
        before = ticks[n - 1] if n else START - timedelta(seconds=1)
        inside = [row for row in rows if before < row["tick"] <= tick]
        made.append(advance(plan, state, samples(inside), tick).decisions)
    return pl.concat(made).sort("point", "period", "window_at", "revision")


@given(readings, st.lists(st.integers(0, 4600), max_size=5), st.randoms(use_true_random=False))
def test_order_and_chunking_do_not_matter(readings, cuts, rng):
    plan = compile_plan(points(30), [])
    rows = rows_of(plan, readings)
    shuffled = [*rows]
    rng.shuffle(shuffled)
    assert_frame_equal(decisions(plan, rows), decisions(plan, shuffled, cuts))


@settings(max_examples=max(5, settings().max_examples // 4))
@given(readings, st.lists(st.integers(0, 4600), max_size=5))
def test_summed_and_packed_in_portions_it_is_the_same(readings, cuts):
    plan = compile_plan(points(30), [])
    rows = rows_of(plan, readings)
    with pytest.MonkeyPatch.context() as patch:
        whole = decisions(plan, rows)
        patch.setattr("rules.windows.advance.ROWS_AT_ONCE", 20)
        patch.setattr("rules.windows.packed.PACKED_AT_ONCE", 7)
        patch.setattr("rules.windows.store.OPEN_ROWS_MAX", 10)
        assert_frame_equal(whole, decisions(plan, rows, cuts))


said = st.dictionaries(st.tuples(st.integers(0, 5), st.integers(0, 119)), st.integers(-9, 9), max_size=12)


@settings(max_examples=max(5, settings().max_examples // 4))
@given(st.lists(st.tuples(said, st.sampled_from(["open", "early", "packed", "away"])), min_size=2, max_size=8))
def test_what_is_read_does_not_depend_on_where_it_lies(steps):
    """said: (point, minute) -> value, of which the latest holds. Early: what is older than a part of the hours."""
    store, known, far_us = WindowStore(), {}, 2**53
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rules.windows.packed.PACKED_AT_ONCE", 4)
        patch.setattr("rules.windows.store.LAYERS_MAX", 2)
        for n, (new, where) in enumerate(steps):
            store.put("minute", rows_said(new, START + minutes(200 + n)))
            known |= new
            patch.setattr("rules.windows.store.OPEN_ROWS_MAX", 0 if where == "early" else 1_000)
            if where == "early":
                store.pack(round((START + minutes(17 * (n + 1))).timestamp() * 1_000_000))
            elif where == "packed":
                store.packed_us = 0
                store.pack(far_us)
            elif where == "away":
                store.put_away("minute", far_us)
            for points in (None, pl.Series([1, 4], dtype=pl.UInt32)):
                held = store.between("minute", 0, far_us, points).filter(pl.col("until").is_null())
                asked = held if points is None else held.filter(pl.col("point").is_in(points.implode()))
                wanted = {key: value for key, value in known.items() if points is None or key[0] in points}
                found = {
                    (row["point"], row["at"]): (row["sum"], row["low"], row["high"]) for row in asked.rows(named=True)
                }
                assert found == {(point, START + minutes(at)): (value,) * 3 for (point, at), value in wanted.items()}
                assert asked.height == len(found)
            lies = rows_said(new, START)
            held = store.of_samples("minute", lies).join(lies, on=["point", "at"], how="semi")
            assert held.filter(pl.col("until").is_null()).height == len(new)


def test_what_comes_late_for_an_hour_that_is_packed_in_part_is_read_once_and_as_it_came_last(monkeypatch):
    monkeypatch.setattr("rules.windows.packed.PACKED_AT_ONCE", 4)
    monkeypatch.setattr("rules.windows.store.OPEN_ROWS_MAX", 0)
    store, known = WindowStore(), {}
    for n, said_minutes in enumerate([range(20), range(20, 40), [3, 25, 41], [3, 24]]):
        new = {(point, at): 100 * n + at for point in range(3) for at in said_minutes}
        store.put("minute", rows_said(new, START + minutes(200 + n)))
        known |= new
        store.pack(round((START + minutes(22 + 20 * min(n, 1))).timestamp() * 1_000_000))
    assert next(iter(store.buckets["minute"].values())).height == 3  # of minute 41, that is not old
    asked = rows_said(known, START)
    for held in (store.rows("minute", store.packed["minute"]), store.of_samples("minute", asked)):
        assert sorted(held.filter(pl.col("until").is_null()).select("point", "at", "sum").rows()) == sorted(
            (point, START + minutes(at), value) for (point, at), value in known.items()
        )
    some = store.of_samples("minute", asked.filter((pl.col("point") == 1) & (pl.col("at") < START + minutes(20))))
    assert 20 <= some.height < len(known) / 2  # the rest need not be unpacked


def rows_said(new, tick):
    rows = [
        {"point": point, "window_at": START + minutes(at), "at": START + minutes(at), "tick": tick}
        | dict.fromkeys(("sum", "low", "high"), value)
        for (point, at), value in new.items()
    ]
    return pl.DataFrame(rows, schema=ROWS)


@given(readings, st.data())
def test_a_reading_sent_again_changes_nothing(readings, data):
    plan = compile_plan(points(60), [])
    rows = rows_of(plan, readings)
    again = data.draw(st.lists(st.sampled_from(rows), max_size=5)) if rows else []
    copies = [{**row, "tick": row["tick"] + minutes(data.draw(st.integers(0, 90)))} for row in again]
    assert_frame_equal(decisions(plan, rows), decisions(plan, [*rows, *copies], [60, 600]))


@given(st.lists(dense, min_size=1, max_size=4), readings)
def test_every_revision_agrees_with_a_naive_oracle(hours, scattered):
    known = {row[0]: row for row in [*[row for hour in hours for row in hour], *scattered]}
    plan = compile_plan(points(60), [])
    rows = rows_of(plan, list(known.values()))
    made = decisions(plan, rows)
    about = dict(plan.points.select("point", "factor").iter_rows())
    for row in made.iter_rows(named=True):
        if about[row["point"]] not in ("a21026", "a21002"):
            continue
        mine = [r for r in rows if r["point"] == row["point"] and r["tick"] <= row["tick"]]
        expected = oracle(row["period"], row["window_at"], row["window_s"], mine)
        assert (row["sum"], row["n"], row["present"], row["reason"]) == expected, row


def oracle(period, window_at, window_s, rows, part_s=60):
    """Parts of a window by brute force: minutes of an hour, hours of a day, hours of a year."""
    inside = [r for r in rows if window_at <= r["at"] < window_at + timedelta(seconds=window_s)]
    if period in ("minute", "hour"):
        parts = [(r["value"], r["valid"]) for r in inside]
    else:
        part_s, parts = 3600, []
        for hour in sorted({r["at"].replace(minute=0) for r in inside}):
            total, n, _, reason = oracle("hour", hour, 3600, rows)
            parts.append((round(Fraction(total, n)) if n else 0, reason is None))
    need = {"minute": (3, 4), "hour": (45, 60), "day": (20, 24), "year": (3, 4)}[period]
    expected = window_s // (60 if period == "minute" else part_s)
    valid = [value for value, ok in parts if ok]
    if not parts:
        reason = "no_data"
    elif not valid:
        reason = "all_marked"
    else:
        reason = "too_few_valid" if len(valid) * need[1] < need[0] * expected else None
    return sum(valid), len(valid), len(parts), reason


@given(st.lists(dense, max_size=4), readings)
def test_any_delay_converges_to_the_same_latest_revision(hours, scattered):
    known = list({row[0]: row for row in [*[row for hour in hours for row in hour], *scattered]}.values())
    plan = compile_plan(points(60), [])
    prompt = rows_of(plan, [(m, v, ok, 0) for m, v, ok, _ in known])
    late = rows_of(plan, known)
    assert_frame_equal(latest(decisions(plan, prompt)), latest(decisions(plan, late)))


def latest(made: pl.DataFrame) -> pl.DataFrame:
    last = made.unique(["point", "period", "window_at"], keep="last", maintain_order=True)
    return last.drop("revision", "tick", "on_time")


@settings(max_examples=max(5, settings().max_examples // 4))
@given(readings)
def test_revisions_count_up_without_a_gap_and_each_says_something_new(readings):
    plan = compile_plan(points(60), [])
    made = decisions(plan, rows_of(plan, readings), [700, 1400])
    window = ["point", "period", "window_at"]
    counted = made.with_columns(rank=pl.int_range(1, pl.len() + 1).over(window))
    assert counted.filter(pl.col("rank") != pl.col("revision")).is_empty()
    content = ["sum", "n", "present", "low", "high", "reason"]
    same = pl.all_horizontal(pl.col(c).eq_missing(pl.col(c).shift(1).over(window)) for c in content)
    assert counted.filter(same & (pl.col("rank") > 1)).is_empty()


def test_a_window_is_decided_once_its_hold_has_passed_and_not_before():
    plan = compile_plan(points(60), [])
    at = START + HOUR + timedelta(seconds=300)
    early = decisions(plan, [], to=at - timedelta(seconds=1))
    assert early.filter(pl.col("period") == "hour").is_empty()
    hours = decisions(plan, [], to=at).filter(pl.col("period") == "hour")
    assert hours["window_at"].unique().to_list() == [START]
    assert hours["reason"].unique().to_list() == ["no_data"]
    assert hours.schema == DECISIONS


def test_of_two_values_for_one_minute_the_later_holds_and_makes_a_revision():
    plan = compile_plan(points(60), [])
    number = plan.points.filter(pl.col("factor") == "a21002")["point"].item()
    first = sample(number, START, START + minutes(1), 10)
    second = sample(number, START, START + minutes(200), 20)
    made = decisions(plan, [first, second]).filter((pl.col("period") == "hour") & (pl.col("window_at") == START))
    made = made.filter(pl.col("point") == number)
    assert made.select("revision", "sum", "tick").rows() == [
        (1, 10, START + HOUR + minutes(5)),
        (2, 20, START + minutes(200)),
    ]


def test_days_are_the_sites_civil_days():
    plan = compile_plan(points(60), [])
    made = decisions(plan, []).filter(pl.col("period") == "day")
    midnights = {at.astimezone(zone("Asia/Shanghai")).timetz().replace(tzinfo=None) for at in made["window_at"]}
    assert midnights == {time(0)}
