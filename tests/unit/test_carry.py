"""What is kept and what is given up when another site takes over, and how that is said."""

import pytest

from app.pipeline import Pipeline, PipelineState
from app.reloading import Sites, cannot_follow, needs_restart
from app.site.kept import KeptSite
from app.texts.texts import Texts
from contracts.reasons import Transition
from contracts.site import Hold
from rules.alerts.update import AlertState
from rules.bindings import BINDINGS
from rules.carry import NotCarried, carry_over, meanings, numbered
from rules.kinds.expressions import ExpressionRule
from rules.plan import compile_plan
from rules.spec import LimitRule
from rules.ticks import SiteClock
from rules.windows.advance import start
from tests.builders import START, minutes, site

POINTS = [{"ref_o2_pct": 6.0}, {"factor": "a19001", "unit": "%"}, {"station": "S2"}]
LIMITS = [{"factor": "zs_a21026"}, {"outlet": "O-S2"}]
HOUR = LimitRule(id="hour", kind="limit", period="hour")


def quotient(sql: str) -> ExpressionRule:
    inputs = {"so2": "a21026", "o2": "a19001"}
    return ExpressionRule(id="quotient", kind="expression", inputs=inputs, sql=sql, above={"yellow": 1.0})


def over(old, new):
    """rules.carry.Over, from (site, rules) to (site, rules)."""
    return carry_over(compile_plan(*old), compile_plan(*new), start(START), AlertState())


def said(found):
    return sorted(f"{one.what} {one.name}: {one.why}" for one in found.gone)


def test_what_is_given_up_is_named_with_why():
    rules = [HOUR, quotient("so2 / o2")]
    old = site(POINTS, limits=LIMITS), rules
    other_unit = [POINTS[0], {"factor": "a19001", "unit": "%", "range_max": 25.0}, POINTS[2]]
    assert said(over(old, (site(other_unit, limits=LIMITS), rules))) == [
        "point S1 $quotient: what it is made of changed",
        "point S1 a19001: range_max changed",
        "point S1 zs_a21026: what it is made of changed",
        "rule hour S1 a19001 hour: its point changed",
        "rule hour S1 zs_a21026 hour L0: its point changed",
        "rule quotient S1 $quotient hour: its point changed",
    ]
    assert said(over(old, (old[0], [HOUR, quotient("o2 / so2")]))) == [
        "point S1 $quotient: what it is made of changed",
        "rule quotient S1 $quotient hour: its point changed",
    ]
    stricter = site(POINTS, limits=[LIMITS[0], {**LIMITS[1], "limit": 30}])
    assert said(over(old, (stricter, rules))) == ["rule hour S2 a21026 hour L1: changed"]
    without = site(POINTS[:2], limits=LIMITS[:1])
    assert said(over(old, (without, [HOUR]))) == [
        "point S1 $quotient: is no more",
        "point S2 $clock_lag: is no more",
        "point S2 $rejects: is no more",
        "point S2 $station: is no more",
        "point S2 a21026: is no more",
        "rule hour S2 a21026 hour L1: is no more",
        "rule quotient S1 $quotient hour: is no more",
    ]


def test_words_dates_and_what_is_judged_elsewhere_change_nothing_that_is_remembered():
    old = site(POINTS, limits=LIMITS), [HOUR]
    dated = [{**POINTS[0], "valid_from": "2020-01-01"}, *POINTS[1:]]
    new = site([{"station": "A"}, *dated], limits=[{**LIMITS[0], "clause": "5.1"}, LIMITS[1]], hold_s={"hour": 60})
    found = over(old, (new, [HOUR, quotient("so2 / o2")]))
    assert (said(found), found.kept, found.new) == ([], compile_plan(*old).bindings.height, 2)


def test_what_is_kept_keeps_its_number_and_a_number_is_never_given_again():
    one, other = (site(points, limits=LIMITS) for points in (POINTS, [{"station": "A"}, *POINTS[1:]]))
    plans = [compile_plan(its, [HOUR]) for its in (one, other, one)]
    there = carry_over(plans[0], plans[1], start(START), AlertState()).plan
    back = carry_over(there, plans[2], start(START), AlertState()).plan
    for plan in (there, back):
        assert plan.points["point"].to_list() == list(range(plan.points.height))
        assert plan.bindings["binding"].to_list() == list(range(plan.bindings.height))
        assert plan.bindings.schema == BINDINGS
        assert (plan.number_of.n_unique(), plan.number_of.len()) == (len(meanings(plan)), len(meanings(plan)))
    keys = [plan.points.select("station", "factor").iter_rows() for plan in (plans[0], there, back)]
    names = [{key: n for n, key in enumerate(its)} for its in keys]
    assert names[0]["S2", "a21026"] == names[1]["S2", "a21026"] == names[2]["S2", "a21026"]
    assert names[2]["S1", "a21026"] > max(names[1].values())


def test_numbers_of_another_site_are_not_gone_on_with():
    old, new = (compile_plan(site(points), [HOUR]) for points in (POINTS, POINTS[1:]))
    carried = carry_over(old, old, start(START), AlertState()).plan.carried
    assert numbered(old, carried).carried == carried
    with pytest.raises(NotCarried):
        numbered(new, carried)
    with pytest.raises(NotCarried):
        numbered(compile_plan(site(POINTS), []), carried)


def test_which_changes_need_a_new_state_directory_and_which_a_restart():
    plain = site(POINTS)
    assert cannot_follow(plain, site(POINTS, hold_s={"hour": 1})) is None
    assert "collectors are a, b" in cannot_follow(plain, site(POINTS, collectors=("a", "b")))
    assert "time zone" in cannot_follow(plain, site(POINTS, time_zone="Asia/Tokyo"))
    assert needs_restart(plain, site(POINTS, limits=LIMITS, hold_s=Hold(hour=1), lateness="1h")) == []
    assert needs_restart(plain, site([*POINTS, {"station": "S3"}])) == [
        "registry: outlets",
        "registry: stations",
        "registry: points",
    ]
    assert needs_restart(plain, site(POINTS, clock_every="5s")) == ["site.yaml: clock_every"]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_an_alert_that_nothing_judges_any_more_has_words_also_where_its_station_is_gone(language):
    limits = [{"period": "minute"}, {"outlet": "O-S2", "period": "minute"}]
    old, new = site(POINTS[1:], limits=limits[1:]), site(POINTS[:2], limits=limits[:1])
    episode = {
        "id": "x",
        "rule": "minute",
        "kind": "limit",
        "station": "S2",
        "factor": "a21026",
        "period": "minute",
        "limit_id": "L0",
        "limit_scaled": 50_000,
        "decimals": 3,
        "unit": "mg/m3",
        "state": "superseded",
        "level": "orange",
        "exceeds": True,
        "peak_level": "orange",
        "peak_scaled": 60_000,
        "peak_at": START.isoformat(),
        "peak_valid_n": 1,
        "peak_expected_n": 1,
        "opened_at": START.isoformat(),
        "fired_at": START.isoformat(),
        "last_at": None,
        "resolved_at": (START + minutes(5)).isoformat(),
        "open": False,
        "made_of": None,
    }
    for its in (old, new, site(POINTS[:2])):
        text = Texts(its).alert(Transition.SUPERSEDED, episode, language, START + minutes(5))
        assert ("不表示恢复" if language == "zh" else "no all-clear") in text
        assert "60" in text
        assert "超标" not in text or its is old


def test_a_state_before_the_first_tick_begins_with_the_site_that_holds_then():
    first, other = (KeptSite(name * 64, site(points), [HOUR]) for name, points in (("a", POINTS), ("b", POINTS[1:])))
    state = PipelineState(SiteClock(("main",)))
    assert Pipeline(other.site, other.rules).take_over(first.pipeline(), state) is None
    assert (state.carried, state.ended) == (None, [])
    assert Sites(first).site(state) is first
