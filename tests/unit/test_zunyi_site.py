"""The example site: the plan's three parks, every kind of station, and limits that say where they come from."""

from pathlib import Path
from typing import get_args

import pytest

from app.site.files import load_site
from app.site.rule_files import compile_rules, library_files, load_rules
from contracts.points import point_table
from contracts.site import Medium
from rules.made.mass import sources
from rules.tables.limit_library import limit_library

IDLE = {"furnace_temperature", "furnace_too_cold", "device_day", "flue_gas_day", "air_value"}
IDLE |= {"collection_day", "member_contract"}
ZUNYI = Path(__file__).resolve().parents[2] / "deploy" / "sites" / "zunyi"


@pytest.fixture(scope="module")
def site():
    return load_site(ZUNYI)


def media_of(site) -> dict[str, str]:
    medium = {outlet.outlet: outlet.medium for outlet in site.outlets}
    return {station.station: medium[station.outlet] for station in site.stations}


def factors_of(site, station: str) -> set[str]:
    return {point.factor for point in site.points if point.station == station}


def test_the_three_parks_of_the_plan_are_there_by_their_names(site):
    assert {park.name_zh for park in site.parks} == {
        "贵州习水经济开发区",
        "贵州和平（苟江）经济开发区",
        "贵州正安经济开发区",
    }
    assert len(site.counties) == 14
    assert {enterprise.park for enterprise in site.enterprises} == {park.park for park in site.parks}


def test_there_are_stations_of_every_kind(site):
    media = media_of(site)
    assert len(site.stations) >= 14
    assert set(media.values()) == set(get_args(Medium))
    references = {point.ref_o2_pct for point in site.points if point.factor == "a21026"}
    assert references == {6.0, 10.0, 16.0, None}  # coal power, cement kiln, sinter, aluminium
    flue_gas = {station for station, medium in media.items() if medium == "flue_gas"}
    assert all({"a21026", "a34013", "a01012", "a00000"} <= factors_of(site, station) for station in flue_gas)
    metals = {"w20115", "w20117", "w20120"}
    assert any(metals <= factors_of(site, station) for station in media)
    cycles = {(point.factor, point.interval_s) for point in site.points if media[point.station] == "waste_water"}
    assert {("w01018", 7200), ("w01001", 60), ("w00000", 60)} <= cycles
    rivers = [point for point in site.points if media[point.station] == "surface_water"]
    assert {point.interval_s for point in rivers} == {14_400}
    assert {"w01001", "w01009", "w01019", "w21003", "w21011"} <= {point.factor for point in rivers}


def test_two_loggers_speak_hj212_one_of_them_an_old_one(site):
    numbers = [station.mn for station in site.stations if station.mn is not None]
    assert sorted(map(len, numbers)) == [14, 24]


def test_limits_on_converted_points_are_on_the_converted_value(site):
    outlet_of = {station.station: station.outlet for station in site.stations}
    converted = {(outlet_of[p.station], p.factor) for p in site.points if p.ref_o2_pct is not None}
    plain = {(outlet_of[p.station], p.factor) for p in site.points if p.ref_o2_pct is None}
    for limit in site.limits:
        if limit.factor.startswith("zs_"):
            assert (limit.outlet, limit.factor.removeprefix("zs_")) in converted
        else:
            assert (limit.outlet, limit.factor) in plain


def test_every_limit_says_where_it_comes_from(site):
    for limit in site.limits:
        assert limit.standard
        assert limit.source
        if limit.basis in ("internal", "agreement"):
            assert "示例" in limit.standard or "here a notice" in limit.clause
        else:
            assert limit.clause
    assert {limit.status for limit in site.limits} == {"verified", "verified_weak", "unverified"}


def test_rivers_are_never_said_to_exceed_by_a_single_sample(site):
    """GB 3838 is judged on the month; a sample's limit may only be a notice."""
    rivers = {outlet.outlet for outlet in site.outlets if outlet.medium == "surface_water"}
    assert {limit.basis for limit in site.limits if limit.outlet in rivers} == {"internal"}


def test_limits_that_restate_a_standard_name_its_row_of_the_library(site):
    """Rivers stay the site's own: their rows are of single samples, which no standard judges."""
    rivers = {outlet.outlet for outlet in site.outlets if outlet.medium == "surface_water"}
    own = {limit.limit_id for limit in site.limits if limit.library is None and limit.outlet not in rivers}
    assert own == {
        "ZA-I-DA001.a24088.agreement.hour",
        "XS-C-DW001.w01001.internal.instant.min",
        "XS-C-DW001.w01001.internal.instant",
    }
    known = limit_library()
    for limit in site.limits:
        if limit.library is not None:
            row = known[limit.library]
            assert (limit.limit, limit.unit, limit.status) == (row.limit, row.unit, row.status)
            assert limit.source.endswith(row.source)
    assert {limit.basis for limit in site.limits if limit.library} == {"standard", "permit", "ultra_low"}


def test_the_town_plants_ammonia_has_a_limit_for_warm_and_one_for_cold_water(site):
    ammonia = [limit for limit in site.limits if (limit.outlet, limit.factor) == ("ZA-W-DW001", "w21003")]
    assert {(limit.period, limit.limit, limit.when_comparator) for limit in ammonia} == {
        ("day", 5, ">"),
        ("day", 8, "<="),
        ("instant", 10, ">"),
        ("instant", 15, "<="),
    }
    assert {(limit.when_factor, limit.when_value) for limit in ammonia} == {("w01010", 12.0)}
    assert "w01010" in factors_of(site, "ZA-SEWAGE-W")


def test_the_green_island_serves_two_members_with_one_treatment(site):
    island = [pair for pair in site.pairs if pair.treatment_station == "ZA-ISLAND-P"]
    assert len(island) == 2
    assert len({pair.production_station for pair in island}) == 2
    assert {"a24088"} <= factors_of(site, "ZA-ISLAND-IN") & factors_of(site, "ZA-ISLAND-OUT")


def test_the_green_island_is_a_facility_with_members_thresholds_and_a_rating(site):
    island = next(one for one in site.facilities if one.facility == "za-island")
    assert (island.inlet_stations, island.outlet_stations) == (("ZA-ISLAND-IN",), ("ZA-ISLAND-OUT",))
    served = [pair for pair in site.pairs if pair.treatment_station == island.power_station]
    assert {pair.rated_kw for pair in served} == {100.0}
    assert {one.enterprise for one in site.members if one.facility == island.facility} == {"za-a", "za-b"}
    assert {one.basis for one in site.park_thresholds} == {"park_plan"}
    assert all("invented" in one.source for one in site.park_thresholds)
    assert sources(site, "zhengan", "a24088") == ["ZA-ISLAND-OUT"]  # what the island takes in does not leave the park


def test_rivers_have_the_targets_of_the_plan(site):
    """The Chishui at class II, the Wujiang at class III."""
    targets = {outlet.outlet: outlet.target_class for outlet in site.outlets if outlet.medium == "surface_water"}
    assert targets == {"CHISHUI-1": 2, "WUJIANG-1": 3}


def test_the_whole_library_is_used_and_only_a_few_rules_find_nothing_to_judge(site):
    """No furnace, no device's own days, no limits of stacks by the day or of air by the value, nothing that escapes
    collection is measured, and members are not metered."""
    assert sorted(site.file.library) == sorted(library_files())
    placed = load_rules(ZUNYI, site)
    bound = set(compile_rules(site, placed).bindings["rule"])
    assert {one.rule.id for one in placed} - bound == IDLE


def test_the_fence_is_judged_by_the_parks_own_wind(site):
    park = next(one for one in site.parks if one.park == "zhengan")
    assert {"a01007", "a01008"} <= factors_of(site, park.wind_station)
    fence = [one for one in site.outlets if one.medium == "ambient_air"]
    assert {one.park for one in fence} == {"zhengan"}
    assert {one.factor for one in site.park_thresholds if one.measure == "fence_line"} == {"a24088"}


def test_names_are_invented_and_in_both_languages(site):
    named = (*site.facilities, *site.parks, *site.enterprises, *site.outlets, *site.stations, *site.pairs)
    assert all(one.name_zh and one.name_en for one in named)
    assert all(enterprise.permit_no.startswith("EXAMPLE-") for enterprise in site.enterprises)
    assert all(enterprise.credit_no is None for enterprise in site.enterprises)


def test_the_site_makes_a_point_table(site):
    table = point_table(site)
    assert table.height > len(site.points)
    assert table.select("station", "factor").is_unique().all()
