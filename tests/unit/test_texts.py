"""What alerts say: bases and statuses decide the words, and no text says less than the numbers do."""

import re
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pkgutil import iter_modules
from typing import get_args

import pytest

from app.texts.texts import Texts
from contracts import catalogue
from contracts.catalogue.telling import SAID
from contracts.factors import CONVERTED_PREFIX
from contracts.reasons import Transition
from contracts.site import Enterprise, Limit
from notify.senders.wording import cut_sms
from rules.kinds import plausibility
from rules.tables.judgement import judgements
from tests.builders import START, site

TICK = START + timedelta(hours=1, minutes=5)  # START is 08:00 in China
EPISODE = {
    "kind": "limit",
    "rule": "r",
    "station": "S1",
    "factor": "a21026",
    "period": "hour",
    "limit_id": "L",
    "limit_scaled": 50_000_000,
    "decimals": 6,
    "unit": "mg/m3",
    "level": "orange",
    "exceeds": True,
    "peak_scaled": 58_200_000,
    "peak_valid_n": 52,
    "peak_expected_n": 60,
    "opened_at": START.isoformat(),
    "peak_at": START.isoformat(),
    "resolved_at": None,
}


def text(language="zh", limit=(), medium="flue_gas", **episode):
    base = {"limit_id": "L", "outlet": "O-S1", "factor": "a21026", "period": "hour", "limit": 50, "unit": "mg/m3"}
    row = Limit(**{**base, "basis": "permit", "standard": "许可证", "status": "verified", **dict(limit)})
    whole = site(medium=medium)
    return Texts(whole.model_copy(update={"limits": (row,)})).alert("fired", {**EPISODE, **episode}, language, TICK)


def test_an_exceedance_of_a_verified_permit_says_so_with_value_limit_multiple_and_validity():
    assert text() == (
        "排口S1 二氧化硫小时均值58.2 mg/m³,高于许可限值50,超标0.16倍,有效52分钟,自 03-01 08:00 起;"
        "初判,请于次日12:00前核实标记"
    )


@pytest.mark.parametrize(
    ("limit", "episode", "said"),
    [
        ({"status": "unverified"}, {}, "高于许可值50(提示,限值未经核实)"),
        ({"basis": "agreement"}, {}, "高于协议值50(提示)"),
        ({"basis": "internal"}, {}, "高于内控值50(提示)"),
        ({"basis": "ultra_low"}, {}, "未达超低排放指标50"),
        ({"basis": "ultra_low", "status": "unverified"}, {}, "高于超低排放值50(提示,限值未经核实)"),
        ({"period": "day"}, {"period": "day"}, "提示"),
        ({}, {"exceeds": False, "peak_scaled": 46_000_000}, "接近许可限值50"),
        ({}, {"period": "minute"}, "分钟均值58.2 mg/m³偏高(小时限值50),预警"),
        ({"comparator": ">="}, {"period": "minute"}, "分钟均值58.2 mg/m³偏低(小时限值50),预警"),
    ],
)
def test_only_verified_standards_and_permits_may_say_exceeded(limit, episode, said):
    assert said in text(limit=limit, **episode)
    assert "超标" not in text(limit=limit, **episode)


def test_a_value_that_differs_from_its_limit_only_further_down_is_shown_in_full():
    assert "50.000001 mg/m³,高于许可限值50" in text(peak_scaled=50_000_001)


def test_a_multiple_is_never_given_for_ph():
    assert "倍" not in text(factor="w01001", limit={"factor": "w01001", "unit": "1"})


COD = {"factor": "w01018", "unit": "mg/L", "basis": "standard", "standard": "GB"}
WATER = {"factor": "w01018", "unit": "mg/L", "medium": "waste_water"}
BURNT = {"industry": "municipal waste incineration", "basis": "standard", "standard": "GB 18485-2014"}
GOLDEN = [
    (
        "flue gas by the hour",
        {"basis": "standard", "standard": "GB 13223-2011"},
        {},
        "排口S1 二氧化硫小时均值58.2 mg/m³,高于排放标准限值50,超标0.16倍,有效52分钟",
        "outlet S1: Sulfur dioxide hour mean 58.2 mg/m³, above the emission standard limit of 50 by 0.16 times,"
        " 52 minutes valid",
    ),
    (
        "waste incineration: the hour is a notice",
        BURNT,
        {},
        "排口S1 二氧化硫小时均值58.2 mg/m³,高于排放标准值50(提示),有效52分钟",
        "outlet S1: Sulfur dioxide hour mean 58.2 mg/m³, above the emission standard value of 50 (notice),"
        " 52 minutes valid",
    ),
    (
        "waste incineration: the natural day is judged",
        {**BURNT, "period": "day"},
        {"period": "day"},
        "排口S1 二氧化硫日均值58.2 mg/m³,高于排放标准限值50,超标0.16倍,有效52/60个数据",
        "outlet S1: Sulfur dioxide day mean 58.2 mg/m³, above the emission standard limit of 50 by 0.16 times,"
        " 52 of 60 values valid",
    ),
    (
        "waste water by the day",
        {**COD, "period": "day"},
        {**WATER, "period": "day"},
        "排口S1 化学需氧量日均值58.2 mg/L,高于排放标准限值50,超标0.16倍,有效52/60个数据",
        "outlet S1: Chemical oxygen demand (CODcr) day mean 58.2 mg/L, above the emission standard limit of 50"
        " by 0.16 times, 52 of 60 values valid",
    ),
    (
        "a single sample of waste water is a notice",
        {**COD, "period": "instant"},
        {**WATER, "period": "instant"},
        "排口S1 化学需氧量瞬时值58.2 mg/L,高于排放标准值50(提示),有效52/60个数据",
        "outlet S1: Chemical oxygen demand (CODcr) instant value 58.2 mg/L, above the emission standard value of 50"
        " (notice), 52 of 60 values valid",
    ),
    (
        "of a town plant it is judged, from 2026-03-01 on",
        {**COD, "period": "instant", "industry": "town WWTP"},
        {**WATER, "period": "instant"},
        "排口S1 化学需氧量瞬时值58.2 mg/L,高于排放标准限值50,超标0.16倍,有效52/60个数据",
        "outlet S1: Chemical oxygen demand (CODcr) instant value 58.2 mg/L, above the emission standard limit of 50"
        " by 0.16 times, 52 of 60 values valid",
    ),
    (
        "a river's four-hourly value is a notice",
        {**COD, "period": "instant", "standard": "GB 3838-2002"},
        {**WATER, "medium": "surface_water", "period": "instant"},
        "排口S1 化学需氧量瞬时值58.2 mg/L,高于环境质量标准值50(提示),有效52/60个数据",
        "outlet S1: Chemical oxygen demand (CODcr) instant value 58.2 mg/L, above the quality standard value of 50"
        " (notice), 52 of 60 values valid",
    ),
    (
        "a river's month is judged",
        {**COD, "period": "month", "standard": "GB 3838-2002"},
        {**WATER, "medium": "surface_water", "period": "month"},
        "排口S1 化学需氧量月均值58.2 mg/L,高于环境质量标准限值50,超标0.16倍,有效52/60个数据",
        "outlet S1: Chemical oxygen demand (CODcr) month mean 58.2 mg/L, above the quality standard limit of 50"
        " by 0.16 times, 52 of 60 values valid",
    ),
    (
        "ultra-low values are not met",
        {"basis": "ultra_low"},
        {},
        "排口S1 二氧化硫小时均值58.2 mg/m³,未达超低排放指标50,有效52分钟",
        "outlet S1: Sulfur dioxide hour mean 58.2 mg/m³, ultra-low target of 50 not met, 52 minutes valid",
    ),
]


@pytest.mark.parametrize(
    ("limit", "episode", "zh", "en"), [each[1:] for each in GOLDEN], ids=[each[0] for each in GOLDEN]
)
def test_what_is_said_follows_medium_averaging_basis_and_industry(limit, episode, zh, en):
    is_month = episode.get("period") == "month"  # may be marked until the noon after its last day
    by_zh, by_en = ("于 04-01 12:00 前", "04-01 12:00") if is_month else ("于次日12:00前", "12:00 next day")
    assert text(limit=limit, **episode) == f"{zh},自 03-01 08:00 起;初判,请{by_zh}核实标记"
    told = text("en", limit, **episode)
    assert told == f"{en}, since 03-01 08:00; provisional, to be checked and marked by {by_en}"


def test_before_march_2026_a_town_plants_sample_was_a_notice():
    limit = {**COD, "period": "instant", "industry": "town WWTP"}
    before = (START - timedelta(days=1)).isoformat()
    assert "提示" in text(limit=limit, **WATER, period="instant", opened_at=before)


def test_the_day_begins_at_the_sites_midnight():
    limit = {**COD, "period": "instant", "industry": "town WWTP"}
    last_night = datetime(2026, 2, 28, 16, tzinfo=UTC)  # 2026-03-01 00:00 in Shanghai
    assert "超标" in text(limit=limit, **WATER, period="instant", opened_at=last_night.isoformat())


def test_the_industry_of_a_limit_without_one_is_the_enterprises():
    row = Limit(
        limit_id="L",
        outlet="O-S1",
        factor="a21026",
        period="hour",
        limit=50,
        unit="mg/m3",
        basis="permit",
        standard="p",
        status="verified",
    )
    names = {"name_zh": "甲", "name_en": "A"}
    for industry, word in (("municipal waste incineration", "提示"), ("coal power", "超标")):
        owner = Enterprise(enterprise="e", county="C1", industry=industry, **names)
        whole = site()
        outlets = tuple(outlet.model_copy(update={"enterprise": "e"}) for outlet in whole.outlets)
        whole = whole.model_copy(update={"limits": (row,), "enterprises": (owner,), "outlets": outlets})
        assert word in Texts(whole).alert("fired", EPISODE, "zh", TICK)


NOON = START + timedelta(hours=28)  # 12:00 of the next day


@pytest.mark.parametrize(
    ("industry", "tick", "said"),
    [
        ("coal power", NOON - timedelta(hours=13), ";初判,请于次日12:00前核实标记"),
        ("coal power", NOON, ";初判,请于 03-02 12:00 前核实标记"),  # of the day it is told on it is no more the next
        ("coal power", NOON + timedelta(seconds=1), ";终判,标记期限已过"),
        ("waste incineration", TICK, ";初判,请于 03-01 10:00 前核实标记"),
        ("waste incineration", START + timedelta(hours=2), ";初判,请于 03-01 10:00 前核实标记"),
        ("waste incineration", START + timedelta(hours=2, seconds=1), ";终判,标记期限已过"),
    ],
)
@pytest.mark.parametrize(
    "transition",
    ["fired", "level_changed", "data_lost", "data_back", "resolved", "fired_in_retrospect", "amended", "reopened"],
)
def test_a_verdict_is_provisional_until_the_deadline_of_its_industry_and_final_after_it(
    transition, industry, tick, said
):
    owner = Enterprise(enterprise="e", county="C1", industry=industry, name_zh="甲", name_en="A")
    whole = site(limits=[{"limit_id": "L", "status": "verified"}])
    outlets = tuple(outlet.model_copy(update={"enterprise": "e"}) for outlet in whole.outlets)
    texts = Texts(whole.model_copy(update={"enterprises": (owner,), "outlets": outlets}))
    assert texts.alert(transition, EPISODE, "zh", tick).endswith(said)
    assert ("final," in texts.alert(transition, EPISODE, "en", tick)) == (tick > texts.final_from(EPISODE))


def test_a_day_is_provisional_until_noon_of_the_day_after_it():
    texts = Texts(site(limits=[{"limit_id": "L", "period": "day"}]))
    midnight = START - timedelta(hours=8)
    day = {**EPISODE, "period": "day", "peak_at": midnight.isoformat()}
    assert texts.final_from(day) == midnight + timedelta(hours=36)
    assert texts.final_from(EPISODE | {"period": "instant"}) == midnight + timedelta(hours=36)


def test_another_table_of_words_is_followed():
    """As `verify` does with the table kept beside a site."""
    notice = tuple(row for row in judgements() if row.says != "exceedance")
    whole = site(limits=[{"limit_id": "L", "status": "verified"}])
    assert "超标" in Texts(whole).alert("fired", EPISODE, "zh", TICK)
    assert "提示" in Texts(whole, notice).alert("fired", EPISODE, "zh", TICK)


def test_the_clause_names_the_condition_under_which_a_limit_holds():
    row = {"limit_id": "L", "standard": "GB 18918-2002", "clause": "Table 4"}
    condition = {"when_factor": "w01010", "when_comparator": "<=", "when_value": 12}
    assert Texts(site(limits=[row])).clause(EPISODE) == "GB 18918-2002 Table 4"
    assert Texts(site(limits=[row | condition])).clause(EPISODE) == "GB 18918-2002 Table 4, w01010 <= 12 degC"


def catalogue_texts(value=None, place=""):
    """(place, Chinese, English) of every text people read."""
    if value is None:
        modules = [import_module(f"contracts.catalogue.{one.name}") for one in iter_modules(catalogue.__path__)]
        for module in (catalogue, *modules):
            for name, table in vars(module).items():
                if isinstance(table, dict) and not name.startswith("_"):
                    yield from catalogue_texts(table, f"{module.__name__}.{name}")
    elif set(value) == {"zh", "en"}:
        zh, en = ([words] if isinstance(words, str) else words for words in (value["zh"], value["en"]))
        yield from ((place, *each) for each in zip(zh, en, strict=True))
    else:
        for key, inner in value.items():
            if isinstance(inner, dict):
                yield from catalogue_texts(inner, f"{place}.{key}")


def test_no_text_accuses():
    said = list(catalogue_texts())
    assert len(said) > 300
    accused = ("违法", "违规", "造假", "篡改", "偷排", "作弊", "illegal", "fraud", "cheat", "tamper", "violat")
    assert [each for each in said if any(word in "".join(each[1:]).lower() for word in accused)] == []


def test_both_languages_say_as_much():
    """What stands in the one and not in the other would be told to some people only."""
    differ = [
        place for place, zh, en in catalogue_texts() if {*re.findall(r"{(\w+)", zh)} != {*re.findall(r"{(\w+)", en)}
    ]
    assert differ == []


def test_a_mean_of_several_hours_together_says_so():
    made = {"kind": "pooled", "period": "hour", "windows": 8, "p": 6.0, "q": None, "inputs": []}
    assert "二氧化硫8小时滑动均值58.2 mg/m³,高于许可限值50" in text(made_of=made)
    assert "Sulfur dioxide 8-hour rolling mean 58.2 mg/m³" in text("en", made_of=made)


BOUND = {"kind": "range", "limit_id": "low", "limit_scaled": 850_000, "decimals": 3, "unit": "degC"}


@pytest.mark.parametrize(("peak", "said"), [(849_000, "849 ℃,低于设定下限850"), (851_000, "851 ℃,高于设定上限850")])
def test_beside_a_rules_own_number_a_value_says_on_which_side_it_lies(peak, said):
    assert said in text(**BOUND, peak_scaled=peak)


def test_a_plain_number_is_told_without_a_unit():
    assert "小时均值9.5,高于" in text(unit="1", peak_scaled=9_500_000, limit_scaled=9_000_000)


MADE = {"kind": "beyond", "period": "five_minute", "windows": 1, "p": 850.0, "q": None}
OWN = {"role": "a", "factor": "a01901", "unit": "degC", "lag": 0}
COUNTED = {"limit_id": None, "limit_scaled": 5, "peak_scaled": 6, "decimals": 0, "unit": "1", "period": "day"}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({**MADE, "inputs": [OWN]}, "5分钟均值低于850 ℃的情况当日累计6次,超过5次"),
        ({**MADE, "p": None, "q": 1100.0, "inputs": [OWN]}, "5分钟均值高于1100 ℃的情况当日"),
        ({**MADE, "q": 1100.0, "inputs": [OWN]}, "5分钟均值低于850 ℃或高于1100 ℃的情况当日"),
        ({**MADE, "kind": "between", "q": 900.0, "inputs": [OWN]}, "5分钟均值介于850至900 ℃的情况当日"),
        ({**MADE, "windows": 10, "inputs": [OWN]}, "5分钟均值低于850 ℃的情况近10日累计6次"),
        (None, "符合所查条件的情况当日累计6次"),  # an episode kept by an earlier version
    ],
)
def test_a_count_names_what_was_counted_and_over_which_span(made, said):
    assert said in text(kind="occurrences", factor="a01901", made_of=made, **COUNTED)


PEAK = {"peak_at": (START + timedelta(hours=1)).isoformat(), "resolved_at": (START + timedelta(hours=3)).isoformat()}
LINE = "排口S1 二氧化硫小时均值(03-01 09:00)58.2 mg/m³,高于许可限值50,超标0.16倍,有效52分钟"


@pytest.mark.parametrize(
    ("transition", "said"),
    [
        ("level_changed", f"级别变为橙:{LINE},告警自 03-01 08:00 起;初判"),
        ("data_lost", f"数据中断,无法判断是否恢复:{LINE},告警自 03-01 08:00 起;初判"),
        ("data_back", f"数据恢复,仍在告警:{LINE},告警自 03-01 08:00 起;初判"),
        ("resolved", f"告警已恢复(03-01 08:00 至 03-01 11:00):{LINE};初判"),
        ("withdrawn", f"更正:据补传数据或数据标记,撤回 03-01 08:00 起的告警;原报内容不再作数:{LINE}"),
        ("amended", f"据补传数据或数据标记修订:{LINE},告警自 03-01 08:00 起;初判"),
        ("fired_in_retrospect", f"据补传数据或数据标记追溯(03-01 08:00 至 03-01 11:00):{LINE};初判"),
        ("reopened", f"据补传数据或数据标记,告警尚未恢复:{LINE},告警自 03-01 08:00 起;初判"),
        ("superseded", f"不再判定,不表示恢复(规则、限值或站点配置已变更):{LINE},告警自 03-01 08:00 起"),
        ("fired", f"{LINE},自 03-01 08:00 起;初判"),
    ],
)
def test_what_became_known_comes_first_and_the_value_is_of_a_named_window(transition, said):
    whole = site(limits=[{"limit_id": "L", "status": "verified"}])
    told = Texts(whole).alert(transition, {**EPISODE, **PEAK}, "zh", TICK)
    assert told.removesuffix(",请于次日12:00前核实标记") == said
    assert Texts(whole).alert(transition, {**EPISODE, **PEAK}, "en", TICK).count("(03-01 09:00)") == 1
    assert set(catalogue.TRANSITION) == {str(one) for one in Transition}


def test_the_advice_to_look_at_a_silent_station_ends_with_the_silence():
    missing = {**EPISODE, **PEAK, "kind": "missing", "limit_id": None, "factor": ""}
    texts = Texts(site())
    assert texts.alert("fired", missing, "zh", TICK) == "排口S1 无数据到达,请检查设备与网络,自 03-01 08:00 起"
    over = texts.alert("resolved", missing, "zh", TICK)
    assert over == "告警已恢复(03-01 08:00 至 03-01 11:00):排口S1 无数据到达"


@pytest.mark.parametrize(
    "episode",
    [{"period": "minute"}, {"exceeds": False, "peak_scaled": 46_000_000}],
    ids=["a minute against an hourly limit", "close to the limit"],
)
def test_an_early_warning_is_no_judgement_neither_provisional_nor_final(episode):
    whole = site(limits=[{"limit_id": "L", "status": "verified"}])
    for tick in (TICK, NOON + timedelta(days=9)):
        for language, judged in (("zh", "判"), ("en", "al,")):
            told = Texts(whole).alert("fired", {**EPISODE, **episode}, language, tick)
            assert "预警" in told or "early warning" in told
            assert judged not in told


def test_an_instant_of_another_year_is_told_with_its_year():
    whole = site(limits=[{"limit_id": "L", "status": "verified"}])
    told = Texts(whole).alert("resolved", {**EPISODE, **PEAK}, "zh", TICK + timedelta(days=330))
    assert "(2026-03-01 08:00 至 2026-03-01 11:00)" in told


def test_a_day_is_named_by_its_date_and_a_month_by_its_month():
    for period, named in (("day", "日均值(03-01)"), ("month", "月均值(2026-03)"), ("year", "年均值(2026)")):
        whole = site(limits=[{"limit_id": "L", "period": period, "status": "verified"}])
        assert named in Texts(whole).alert("resolved", {**EPISODE, **PEAK, "period": period}, "zh", TICK)


@pytest.mark.parametrize("transition", [str(one) for one in Transition])
def test_seventy_characters_tell_what_happened_how_sure_where_and_the_value_against_its_limit(transition):
    """With a signature of six before it, and a place of fifteen."""
    whole = site(limits=[{"limit_id": "L", "status": "verified", "limit": 35}])
    outlets = tuple(one.model_copy(update={"name_zh": "习水甲电厂1#机组脱硫出口"}) for one in whole.outlets)
    texts = Texts(whole.model_copy(update={"outlets": outlets}))
    episode = {**EPISODE, **PEAK, "factor": f"{CONVERTED_PREFIX}a21026", "limit_scaled": 35_000_000}
    short = cut_sms(texts.short(transition, episode, "zh", TICK), 70 - len("【绿岛监测】"))
    assert short.startswith(f"{SAID[transition]['zh']}(橙")
    assert (",初判)" in short) == (transition not in ("withdrawn", "superseded"))
    at = "11" if transition == "resolved" else "08"
    assert f"01日{at}:00习水甲电厂1#机组脱硫出口 二氧化硫小时均值(折算)58.2 mg/m³,高于许可限值35" in short
    later = texts.short(transition, episode, "zh", TICK + timedelta(days=40))
    assert f"03-01 {at}:00习水甲电厂" in later


def test_no_flag_for_a_reviewer_claims_guilt_or_that_all_is_well():
    kinds = [get_args(model.model_fields["kind"].annotation)[0] for model in plausibility.BINDERS]
    flags = {code: words["zh"] for code, words in catalogue.ALERT.items() if code.split(".")[0] in kinds}
    assert {code.split(".")[0] for code in flags} == set(kinds)
    assert [code for code, zh in flags.items() if any(bad in zh for bad in ("违法", "造假", "偷排", "正常"))] == []
    assert [code for code, zh in flags.items() if "待核实" not in zh] == []
