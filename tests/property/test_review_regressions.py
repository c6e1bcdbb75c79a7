"""Single cases the laws were once broken by, each as small as it can be told."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from app.outputs import Outputs
from app.pipeline import Pipeline, PipelineState
from contracts.frames import MESSAGES
from rules.alerts.update import AlertState, update
from rules.evaluate import evaluate
from rules.plan import compile_plan
from rules.spec import FlatLineRule, LimitRule, MissingRule
from rules.ticks import SiteClock, clock_payload
from rules.windows.advance import advance, start
from tests.builders import START, minutes, sample, samples, site

MINUTE = LimitRule(id="so2", kind="limit", period="minute", levels={"orange": 1.0}, pending="40m")


def number_of(plan, factor):
    return plan.points.filter(pl.col("factor") == factor)["point"].item()


def advanced(plan, rows, ticks):
    """Decisions of samples given tick by tick."""
    state, made, before = start(START), [], START - minutes(1)
    for tick in ticks:
        inside = [row for row in rows if before < row["tick"] <= tick]
        made.append(advance(plan, state, samples(inside), tick).decisions)
        before = tick
    return pl.concat(made)


def message(received_at, station, at, readings, **more):
    body = {"v": 1, "station": station, "at": at.isoformat(), "readings": readings, **more}
    return (received_at, "mqtt", f"gi/{station}/json", json.dumps(body).encode())


def clock_row(received_at, at):
    return (received_at, "mqtt", "$clock/main", clock_payload(at))


def closed(pipeline, rows):
    """Spans of a feed in one step and its end."""
    state = PipelineState(SiteClock(("main",)))
    feed = pl.DataFrame(rows, schema=MESSAGES, orient="row").sort("received_at", "source", "topic", "payload")
    return [pipeline.step(state, feed), pipeline.close(state)]


@pytest.mark.parametrize("cuts", [[], [2], [3], [2, 3]])
def test_an_equal_value_of_a_greater_device_revision_keeps_smaller_ones_out_wherever_the_cut_is(cuts):
    plan = compile_plan(site(), [])
    number = number_of(plan, "a21026")
    rows = [
        sample(number, START, START + minutes(tick), value) | {"device_revision": revision}
        for tick, value, revision in [(1, 10, 0), (2, 10, 2), (3, 20, 1)]
    ]
    made = advanced(plan, rows, [*(START + minutes(cut) for cut in cuts), START + minutes(70)])
    hour = made.filter((pl.col("period") == "hour") & (pl.col("window_at") == START) & (pl.col("point") == number))
    assert hour.select("revision", "sum").rows() == [(1, 10)]


@pytest.mark.parametrize("every", [10, 50, 53, 1000])
def test_what_nearly_fired_is_not_forgotten_while_a_late_window_may_still_make_it_fire(every):
    plan = compile_plan(site(limits=[{"period": "minute"}], lateness="2h"), [MINUTE])
    number = number_of(plan, "a21026")
    rows = [
        sample(number, START + minutes(n), START + minutes(n + 1), 10**6 * (60 if n < 39 else 10)) for n in range(170)
    ]
    late = START + minutes(39 + 1 + 120)
    rows.append(sample(number, START + minutes(39), late, 60 * 10**6) | {"message": b"late"})
    state, alerts, before, changes = start(START), AlertState(), START - minutes(1), []
    for tick in [*(START + minutes(n) for n in range(every, 170, every)), START + minutes(170)]:
        inside = [row for row in rows if before < row["tick"] <= tick]
        judged = evaluate(plan, advance(plan, state, samples(inside), tick).decisions)
        changes += update(plan, alerts, judged, tick, state.store)
        before = tick
    assert [(str(change.transition), change.tick, change.episode.opened_at) for change in changes] == [
        ("fired_in_retrospect", late, START)
    ]


def test_an_open_alert_is_published_alike_whether_its_last_windows_were_late_or_not():
    rule = LimitRule(id="so2", kind="limit", period="instant", levels={"orange": 1.0})
    pipeline = Pipeline(site([{"kind": "rtd", "period_s": 0}], limits=[{"period": "instant"}]), [rule])
    alerts = []
    for delay in (0, 20):
        rows = [
            message(START + minutes(n + (delay if n > 4 else 0)), "S1", START + minutes(n), {"a21026": 60})
            for n in range(10)
        ]
        rows += [clock_row(START + minutes(n), START + minutes(n)) for n in range(60)]
        outputs = Outputs()
        for span in closed(pipeline, rows):
            outputs.add_span(span)
        alerts.append(list(outputs.alerts()))
    assert alerts[0] == alerts[1]
    assert len(alerts[0]) == 1


def test_a_clock_row_that_is_no_number_stops_nothing():
    pipeline = Pipeline(site(), [])
    rows = [clock_row(START, START)]
    rows += [(START + minutes(1), "mqtt", "$clock/main", payload) for payload in (b"\xff\xfe", b"", b"soon", b"9" * 30)]
    rows += [clock_row(START + minutes(2), START + minutes(2))]
    assert closed(pipeline, rows)[0].clock_to == START + minutes(2)


def test_values_near_the_end_of_their_range_are_judged_and_stop_nothing():
    points = [{"ref_o2_pct": 6}, {"factor": "a19001", "unit": "%"}]
    limits = [{"limit": 0.123456789012}, {"factor": "zs_a21026"}]
    hour = LimitRule(id="hour", kind="limit", period="hour")
    plan = compile_plan(site(points, limits=limits), [hour, FlatLineRule(id="flat", kind="flat_line")])
    so2, o2 = number_of(plan, "a21026"), number_of(plan, "a19001")
    rows = []
    for n in range(60):
        at = START + minutes(n)
        rows.append(sample(so2, at, at + minutes(1), 92 * 10**17 if n else -92 * 10**17))
        rows.append(sample(o2, at, at + minutes(1), 19 * 10**4))
    judged = evaluate(plan, advanced(plan, rows, [START + minutes(66)]))
    named = judged.join(plan.bindings.select("binding", "rule", "limit_id"), on="binding")
    found = {(row["rule"], row["limit_id"]): row for row in named.iter_rows(named=True) if row["valid_n"] != 1}
    assert (found["hour", "L0"]["state"], found["hour", "L0"]["value_scaled"]) == ("exceedance", None)
    assert (found["hour", "L1"]["state"], found["hour", "L1"]["reason"]) == ("no_judgement", "o2_near_21")
    flat = named.filter((pl.col("rule") == "flat") & (pl.col("point") == so2))
    assert flat.select("state", "level").rows() == [("within", None)]


def test_a_converted_hour_expects_as_many_values_as_the_measured_one():
    points = [{"interval_s": 300, "period_s": 0, "kind": "rtd", "ref_o2_pct": 6}, {"factor": "a19001", "unit": "%"}]
    plan = compile_plan(site(points), [])
    hours = advanced(plan, [], [START + minutes(66)]).filter(pl.col("period") == "hour")
    expected = dict(hours.select("point", "expected").iter_rows())
    assert expected[number_of(plan, "zs_a21026")] == expected[number_of(plan, "a21026")] == 12


def test_a_feeds_end_closes_windows_that_began_after_the_last_clock_row():
    eve = datetime(2025, 12, 31, 15, 59, 30, tzinfo=UTC)  # thirty seconds before the site's new year
    pipeline = Pipeline(site([{"kind": "rtd", "period_s": 0, "interval_s": 30}]), [])
    ahead = [message(eve + timedelta(minutes=50), "S1", eve + timedelta(minutes=50), {"a21026": 1.0})]
    rows = [clock_row(eve, eve), *ahead, clock_row(eve + timedelta(minutes=51), eve + timedelta(seconds=1))]
    last = closed(pipeline, rows)[-1].aggregates
    hour = last.filter((pl.col("period") == "hour") & (pl.col("factor") == "a21026"))
    assert (eve + timedelta(seconds=30), 1) in hour.select("window_at", "present_n").rows()


def test_a_late_sample_of_a_packed_hour_makes_the_revision_it_would_have_made_of_an_open_one():
    plan = compile_plan(site([{"interval_s": 60}]), [])
    number = number_of(plan, "a21026")
    rows = [sample(number, START + minutes(n), START + minutes(n + 1), 10 + n, n % 7 > 0) for n in range(60)]
    late = sample(number, START + minutes(7), START + minutes(900), 99) | {"device_revision": 1}

    def revisions(*cuts):
        state, made = start(START), []
        for cut in [*cuts, 1000]:
            assert cut < 1000 or not cuts or state.store.packed["hour"]  # what the late sample finds
            inside = [row for row in [*rows, late] if state.tick < row["tick"] <= START + minutes(cut)]
            made.append(advance(plan, state, samples(inside), START + minutes(cut)).decisions)
        hours = pl.concat(made).filter((pl.col("period") == "hour") & (pl.col("window_at") == START))
        return hours.sort("revision").drop("on_time").rows()

    assert revisions(70, 300, 600, 880) == revisions(70, 880, 890) == revisions()


def test_a_station_that_is_out_of_use_is_not_silent():
    gone = site()
    stations = tuple(
        station.model_copy(update={"valid_to": (START - timedelta(days=3)).date()}) for station in gone.stations
    )
    rule = MissingRule(id="silent", kind="missing")
    for one, silent in ((gone, 1), (gone.model_copy(update={"stations": stations}), 0)):
        plan = compile_plan(one, [rule])
        decided = advance(plan, start(START), samples([]), START + minutes(60)).decisions
        assert evaluate(plan, decided)["level"].drop_nulls().n_unique() == silent
