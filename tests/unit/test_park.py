"""Parks and facilities beyond the rule tests: dates, units, and the places a verdict on them goes to."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from app.influx.registry import registry_of
from app.portal.places import Places
from app.texts.texts import Texts
from contracts.factors import mass_rate_unit
from contracts.frames import VERDICTS
from contracts.points import partition_of
from contracts.site import Dated, Enterprise, Facility, Member, Outlet, Pair, Park, ParkThreshold
from notify.telling.labels import Labeller
from rules.made.bearing import bearing
from rules.made.mass import editions
from store.influx_layout import span_rows
from store.influx_lines import lines_by_bucket
from tests.builders import START, site

MARCH, APRIL = datetime(2026, 2, 28, 16, tzinfo=UTC), datetime(2026, 3, 31, 16, tzinfo=UTC)
EPISODE = {
    "kind": "park_total",
    "rule": "park_total",
    "station": "park:P",
    "factor": "a21026",
    "period": "hour",
    "limit_id": "T",
    "limit_scaled": 4_000_000,
    "decimals": 6,
    "unit": "kg/h",
    "level": "orange",
    "exceeds": True,
    "peak_scaled": 4_200_000,
    "peak_at": START.isoformat(),
    "peak_valid_n": 1,
    "peak_expected_n": 2,
    "opened_at": START.isoformat(),
    "resolved_at": None,
}


def park_site():
    threshold = ParkThreshold(
        threshold="T", park="P", factor="a21026", limit=4, unit="kg/h", basis="practice", source="plan of 2026"
    )
    facility = Facility(
        facility="F",
        park="P",
        name_zh="中心",
        name_en="centre",
        kind="coating",
        power_station="S1",
        power_factor="p01002",
    )
    pairs = [
        Pair(
            pair=name,
            production_station=name,
            production_factor="p01001",
            production_on_kw=50,
            treatment_station="S1",
            treatment_factor="p01002",
            treatment_on_kw=20,
            name_zh=name,
            name_en=name,
        )
        for name in ("A", "B", "C")
    ]
    whole = site(
        [{"station": n, "factor": "p01001", "unit": "kW"} for n in "ABC"] + [{"factor": "p01002", "unit": "kW"}]
    )
    return whole.model_copy(
        update={
            "parks": (Park(park="P", county="C1", name_zh="东园", name_en="East Park"),),
            "enterprises": (
                Enterprise(
                    enterprise="E", county="C1", park="P", name_zh="甲厂", name_en="Works A", industry="coating"
                ),
            ),
            "facilities": (facility,),
            "members": (Member(member="M", facility="F", enterprise="E", contract="agreement 3"),),
            "park_thresholds": (threshold,),
            "pairs": tuple(pairs),
        }
    )


def told(language="zh", **episode):
    return Texts(park_site()).alert("fired", EPISODE | episode, language, START + timedelta(hours=2))


def test_a_parks_verdict_bears_the_parks_name_and_says_what_its_threshold_rests_on():
    assert told().startswith("东园 二氧化硫该小时内排放速率合计4.2 kg/h,高于园区阈值4(惯例值),计入1/2个站点")
    assert told("en").startswith("East Park: Sulfur dioxide 4.2 kg/h in total in the hour, above the park's threshold")
    assert Texts(park_site()).clause(EPISODE) == "plan of 2026 (practice)"


def test_a_default_of_the_project_is_never_said_to_be_law():
    low = {"kind": "treatment_low_load", "station": "S1", "factor": "$treatment_off:A", "limit_id": "GI02"}
    removal = {"kind": "removal", "station": "facility:F", "limit_id": "GI03", "unit": "%"}
    assert "项目默认值" in told(**low)
    assert "法定" in told(**removal)
    assert "法定" not in told(**removal | {"limit_id": None})
    assert Texts(park_site()).clause(EPISODE | removal).endswith("(law)")


@pytest.mark.parametrize(
    ("value", "said"),
    [((2, 0b101), "2家:排口A、排口C"), ((1, 0b10), "1家:排口B"), ((3, 0b11), "3家:排口A、排口B、等")],
)
def test_the_members_that_produce_are_named_by_their_bits_beside_the_count(value, said):
    shared = {"kind": "shared_treatment_off", "station": "facility:F", "factor": "$treatment_off", "limit_id": None}
    count, which = value
    assert said in told(**shared | {"peak_scaled": count, "peak_which": which, "decimals": 0, "unit": "1"})


def test_a_parks_verdict_is_final_when_the_last_of_its_stations_is():
    texts = Texts(park_site())
    assert texts.final_from(EPISODE) == texts.final_from(EPISODE | {"station": "S1"})


def test_a_parks_verdict_is_a_line_with_its_name_as_a_tag():
    row = dict.fromkeys(VERDICTS) | {
        "partition": partition_of("park:P"),
        "rule": "park_total",
        "station": "park:P",
        "factor": "a21026",
        "period": "hour",
        "window_at": START,
        "revision": 1,
        "state": "exceedance",
        "value_scaled": 42,
        "decimals": 1,
    }
    rows = span_rows({"verdicts": pl.DataFrame([row], schema=VERDICTS)}, registry_of(park_site()))
    ((bucket, lines),) = lines_by_bucket("verdict", rows["verdict"]).items()
    assert bucket == "hour"
    assert lines.item().startswith("verdict,rule=park_total,station=park:P,factor=a21026,period=hour,")
    assert ",park=P,enterprise=-,outlet=-,medium=park," in lines.item()
    assert " value=4.2,severity=0.0,revision=1.0," in lines.item()


def test_a_plants_own_unit_is_where_the_plant_is():
    own = {"enterprise": "E", "park": None}
    whole = park_site()
    whole = whole.model_copy(update={"facilities": tuple(one.model_copy(update=own) for one in whole.facilities)})
    assert Texts(whole).place("facility:F", "en") == "Works A centre"
    places = registry_of(whole).places.filter(station="facility:F").row(0, named=True)
    assert (places["county"], places["park"], places["enterprise"]) == ("C1", "P", "E")
    assert "facility:F" in (Places(whole).scope("enterprise", ["E"]) or ())
    labels = Labeller(whole).of({"station": "facility:F", "id": "1"})
    assert (labels["enterprise"], labels["industry"], labels["park"]) == ("E", "coating", "P")
    alone = whole.model_copy(
        update={"enterprises": tuple(one.model_copy(update={"park": None}) for one in whole.enterprises), "parks": ()}
    )
    assert alone.park_and_county(alone.facilities[0]) == (None, "C1")


def test_rows_that_hold_together_make_one_span():
    early = Dated(valid_to=date(2026, 3, 31))
    late = Dated(valid_from=date(2026, 3, 1))
    assert editions([early, late], "Asia/Shanghai") == [
        (None, MARCH, [early]),
        (MARCH, APRIL, [early, late]),
        (APRIL, None, [late]),
    ]
    assert editions([Dated()], "Asia/Shanghai") == [(None, None, [Dated()])]
    gone = Dated(valid_from=date(2026, 3, 1), valid_to=date(2026, 3, 31))
    assert editions([gone], "Asia/Shanghai") == [(MARCH, APRIL, [gone])]


@pytest.mark.parametrize(
    ("concentration", "flow", "kg_h"),
    [("mg/m3", "m3/h", 1e-6), ("mg/m3", "m3/s", 3.6e-3), ("mg/L", "m3/h", 1e-3), ("ug/L", "m3/d", 1e-6 / 24)],
)
def test_one_concentration_times_one_flow_in_kilograms_an_hour(concentration, flow, kg_h):
    assert mass_rate_unit(concentration, flow) == pytest.approx(kg_h)


def test_what_has_no_mass_is_refused():
    with pytest.raises(ValueError, match="degC x m3/h is no mass flow"):
        mass_rate_unit("degC", "m3/h")


@pytest.mark.parametrize(
    ("to", "degrees"), [((28.01, 107.0), 0), ((28.0, 107.01), 90), ((27.99, 107.0), 180), ((28.0, 106.99), 270)]
)
def test_bearings_go_clockwise_from_north(to, degrees):
    assert bearing(28.0, 107.0, *to) == pytest.approx(degrees)


def test_an_outlet_of_the_park_is_one_by_its_enterprise_too():
    from rules.made.mass import sources

    whole = park_site()
    outlets = tuple(
        Outlet(outlet=one.outlet, enterprise="E", county="C1", medium="flue_gas", name_zh="o", name_en="o")
        for one in whole.outlets
    )
    assert sources(whole.model_copy(update={"outlets": outlets}), "P", "p01001") == ["A", "B", "C"]
    assert sources(whole, "P", "p01001") == []
