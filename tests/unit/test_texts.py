"""What alerts say: bases and statuses decide the words, and no text says less than the numbers do."""

import pytest

from app.texts import Texts
from contracts.site import Limit
from tests.builders import START, site

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
    "resolved_at": None,
}


def text(language="zh", limit=(), **episode):
    base = {"limit_id": "L", "outlet": "O-S1", "factor": "a21026", "period": "hour", "limit": 50, "unit": "mg/m3"}
    row = Limit(**{**base, "basis": "permit", "standard": "许可证", "status": "verified", **dict(limit)})
    whole = site()
    return Texts(whole.model_copy(update={"limits": (row,)})).alert("fired", {**EPISODE, **episode}, language)


def test_an_exceedance_of_a_verified_permit_says_so_with_value_limit_multiple_and_validity():
    assert text() == (
        "排口S1 二氧化硫小时均值58.2 mg/m3,高于许可限值50,超标0.16倍,有效52/60个数据,自 03-01 08:00 起;"
        "初判,请于次日12:00前核实标记"
    )


@pytest.mark.parametrize(
    ("limit", "episode", "said"),
    [
        ({"status": "unverified"}, {}, "提示"),
        ({"basis": "agreement"}, {}, "提示"),
        ({"basis": "ultra_low"}, {}, "未达超低排放指标50"),
        ({}, {"exceeds": False, "peak_scaled": 46_000_000}, "接近许可限值50"),
        ({}, {"period": "minute"}, "偏高"),
    ],
)
def test_only_verified_standards_and_permits_may_say_exceeded(limit, episode, said):
    assert said in text(limit=limit, **episode)
    assert "超标" not in text(limit=limit, **episode)


def test_a_value_that_differs_from_its_limit_only_further_down_is_shown_in_full():
    assert "50.000001 mg/m3,高于许可限值50" in text(peak_scaled=50_000_001)


def test_a_multiple_is_never_given_for_ph():
    assert "倍" not in text(factor="w01001", limit={"factor": "w01001", "unit": "1"})
