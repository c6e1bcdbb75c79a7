"""Values made of two points: a naive oracle agrees with every latest window, however late its inputs came."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from rules.plan import compile_plan
from rules.windows.advance import advance, start
from tests.builders import START, minutes, sample, samples, site

DELAYS = st.sampled_from([0, 0, 7, 90])
hours = st.lists(  # SO2 and O2 of an hour, how many minutes of each, how late each comes
    st.tuples(
        st.integers(0, 10**8),
        st.sampled_from([0, 6, 19, 20, 21]),
        st.sampled_from([44, 45, 60]),
        st.sampled_from([0, 44, 60]),
        DELAYS,
        DELAYS,
    ),
    min_size=1,
    max_size=3,
)
powers = st.lists(  # production and treatment of a minute, in kW; nothing sent where null; how late each comes
    st.tuples(st.sampled_from([None, 0, 99, 100, 500]), st.sampled_from([None, 0, 9, 10]), DELAYS, DELAYS), max_size=30
)


def latest(plan, rows, factor, period):
    decided = advance(plan, start(START), samples(rows), START + minutes(600)).decisions
    point = plan.points.filter(pl.col("factor") == factor)["point"].item()
    mine = decided.filter((pl.col("point") == point) & (pl.col("period") == period)).sort("window_at", "revision")
    kept = mine.unique("window_at", keep="last", maintain_order=True)
    return {row["window_at"]: row for row in kept.iter_rows(named=True)}


@given(hours)
def test_a_converted_hour_is_what_the_formula_makes_of_the_two_hour_means(series):
    plan = compile_plan(site([{"ref_o2_pct": 6}, {"factor": "a19001", "unit": "%"}]), [])
    number = dict(plan.points.select("factor", "point").iter_rows())
    rows = []
    for hour, (so2, o2, n_so2, n_o2, late_so2, late_o2) in enumerate(series):
        for factor, value, n, late in (("a21026", so2, n_so2, late_so2), ("a19001", o2 * 10**4, n_o2, late_o2)):
            for minute in range(n):
                at = START + minutes(60 * hour + minute)
                rows.append(sample(number[factor], at, at + minutes(1 + late), value))
    made = latest(plan, rows, "zs_a21026", "hour")
    for hour, (so2, o2, n_so2, n_o2, _, _) in enumerate(series):
        row = made[START + minutes(60 * hour)]
        if n_so2 < 45:
            assert (row["reason"], row["n"]) == ("too_few_valid", 0)
        elif n_o2 < 45:
            assert (row["reason"], row["n"]) == ("o2_missing", 0)
        elif o2 >= 20:
            assert (row["reason"], row["n"]) == ("o2_near_21", 0)
        else:
            assert (row["reason"], row["n"]) == (None, n_so2)
            assert abs(row["sum"] / row["n"] - so2 * (21 - 6) / (21 - o2)) <= 1


@given(powers)
def test_treatment_is_off_only_where_both_signals_say_so(series):
    points = [{"factor": "p01001", "unit": "kW"}, {"factor": "p01002", "unit": "kW"}]
    pair = {"pair": "P", "name_zh": "p", "name_en": "p", "production_on_kw": 100, "treatment_on_kw": 10}
    pair |= {"production_station": "S1", "production_factor": "p01001"}
    pair |= {"treatment_station": "S1", "treatment_factor": "p01002"}
    plan = compile_plan(site(points, pairs=[pair]), [])
    number = dict(plan.points.select("factor", "point").iter_rows())
    rows = [
        sample(number[factor], START + minutes(n), START + minutes(n + 1 + late), kw * 1000)
        for n, (production, treatment, late_p, late_t) in enumerate(series)
        for factor, kw, late in (("p01001", production, late_p), ("p01002", treatment, late_t))
        if kw is not None
    ]
    made = latest(plan, rows, "$treatment_off:P", "minute")
    for n, (production, treatment, _, _) in enumerate(series):
        row = made[START + minutes(n)]
        if production is None or treatment is None:
            assert (row["reason"], row["n"]) == ("signal_missing", 0)
        else:
            assert (row["reason"], row["sum"]) == (None, int(production >= 100 and treatment < 10))
