"""What a value beyond a limit may be called, by medium, averaging, basis and industry; and who may never exceed."""

import itertools
from datetime import date
from typing import get_args

import pytest
from pydantic import ValidationError

from contracts.site import Limit, Medium, Period
from rules.tables.judgement import Judgement, judged_by, judgements, may_say, parse_judgements
from rules.tables.limit_library import limit_library
from rules.tables.reference import validity_rules
from tests.conftest import ROOT

FILE = ROOT / "rules" / "library" / "judgement.csv"
TODAY = date(2026, 11, 1)
BASES = get_args(Limit.model_fields["basis"].annotation)
WASTE = "municipal waste incineration"


def says(medium="flue_gas", period="hour", *, industry="", factor="a21026", basis="standard", on=TODAY, **more) -> str:
    about = {"limit_period": period, **more}
    row = judged_by(
        judgements(), medium=medium, industry=industry, factor=factor, period=period, basis=basis, on=on, **about
    )
    return may_say(row, "verified")


@pytest.mark.parametrize(
    ("said", "case"),
    [
        ("exceedance", {"medium": "flue_gas", "period": "hour"}),
        ("exceedance", {"medium": "voc_stack", "period": "hour"}),
        ("exceedance", {"medium": "flue_gas", "period": "hour", "basis": "permit"}),
        ("exceedance", {"medium": "flue_gas", "period": "hour", "industry": "cement"}),
        ("notice", {"medium": "flue_gas", "period": "day"}),
        ("exceedance", {"medium": "waste_water", "period": "day", "factor": "w01018"}),
        ("notice", {"medium": "waste_water", "period": "hour", "factor": "w01018"}),
        ("not_judged", {"medium": "waste_water", "period": "day", "factor": "w01001"}),
        ("not_judged", {"medium": "waste_water", "period": "day", "factor": "w01002"}),
        ("exceedance", {"medium": "waste_water", "period": "instant", "industry": "town WWTP", "factor": "w21003"}),
        ("exceedance", {"medium": "waste_water", "period": "day", "industry": "town WWTP", "factor": "w21003"}),
        ("notice", {"medium": "waste_water", "period": "instant", "factor": "w21003"}),
        ("exceedance", {"period": "day", "industry": WASTE}),
        ("notice", {"period": "hour", "industry": WASTE}),
        ("notice", {"period": "hour", "industry": WASTE, "basis": "permit"}),
        ("notice", {"period": "five_minute", "industry": WASTE, "factor": "a01901"}),
        ("notice", {"period": "day", "industry": "hazardous waste incineration"}),
        ("exceedance", {"period": "hour", "industry": "hazardous waste incineration"}),
        ("exceedance", {"medium": "voc_stack", "industry": "petrochemical", "factor": "removal_a24088"}),
        ("notice", {"medium": "voc_stack", "industry": "printing", "factor": "removal_a24088"}),
        ("notice", {"medium": "flue_gas", "industry": "petrochemical", "factor": "removal_a24088"}),
        ("notice", {"medium": "voc_stack", "industry": "petrochemical", "factor": "removal_a24088", "period": "day"}),
        ("not_met", {"period": "hour", "basis": "ultra_low"}),
        ("not_met", {"period": "month", "basis": "ultra_low", "test": "share"}),
        ("notice", {"period": "day", "basis": "ultra_low"}),
        ("notice", {"medium": "surface_water", "period": "instant", "factor": "w21003"}),
        ("exceedance", {"medium": "surface_water", "period": "month", "factor": "w21003"}),
        ("notice", {"medium": "ambient_air", "period": "hour"}),
        ("early_warning", {"period": "minute", "limit_period": "hour"}),
        ("early_warning", {"period": "minute", "limit_period": "hour", "basis": "ultra_low"}),
        ("notice", {"period": "hour", "basis": "agreement"}),
        ("notice", {"medium": "waste_water", "period": "day", "factor": "w01018", "basis": "internal"}),
    ],
)
def test_each_medium_is_judged_by_its_own_windows(said, case):
    assert says(**case) == said


def test_the_converted_value_is_called_what_the_measured_one_is():
    assert says(factor="zs_a21026") == says(factor="a21026") == "exceedance"


def test_clauses_hold_from_their_day_on():
    town = {"medium": "waste_water", "period": "instant", "industry": "town WWTP", "factor": "w21003"}
    assert says(**town, on=date(2026, 2, 28)) == "notice"
    assert says(**town, on=date(2026, 3, 1)) == "exceedance"
    oxidiser = {"medium": "voc_stack", "industry": "petrochemical", "factor": "removal_a24088"}
    assert says(**oxidiser, on=date(2024, 6, 30)) == "notice"
    assert says(**oxidiser, on=date(2024, 7, 1)) == "exceedance"


def test_a_furnace_is_judged_by_more_than_five_low_means_a_day():
    row = judged_by(
        judgements(),
        medium="flue_gas",
        industry=WASTE,
        factor="a01901",
        period="day",
        limit_period="five_minute",
        basis="standard",
        on=TODAY,
        test="count",
    )
    assert (row.says, row.more_than, row.per) == ("exceedance", 5, "day")


def test_ultra_low_is_judged_by_95_percent_of_the_months_hours():
    (share,) = [row for row in judgements() if row.test == "share"]
    assert (share.says, share.more_than, share.per, share.basis) == ("not_met", 95, "month", ("ultra_low",))


def test_there_is_a_word_for_everything_and_only_standards_and_permits_exceed():
    media, periods = get_args(Medium), get_args(Period)
    industries = ["", *sorted({row.industry for row in judgements()} - {""})]
    for medium, period, limit_period, basis, industry in itertools.product(media, periods, periods, BASES, industries):
        word = says(medium, period, industry=industry, basis=basis, limit_period=limit_period)
        if period != limit_period:
            assert word == "early_warning"
        if basis not in ("standard", "permit"):
            assert word != "exceedance"
        if basis != "ultra_low":
            assert word != "not_met"


def test_what_is_unverified_may_only_say_notice():
    strong = next(row for row in judgements() if row.says == "exceedance" and row.status == "verified")
    assert may_say(strong, "verified") == may_say(strong, "verified_weak") == "exceedance"
    assert may_say(strong, "unverified") == "notice"
    weak = next(row for row in judgements() if row.says == "exceedance" and row.status == "unverified")
    assert may_say(weak, "verified") == "notice"


def test_industries_are_those_of_the_limit_library_and_rules_those_of_the_reference():
    industries = {row.industry for row in limit_library().values()}
    assert {row.industry for row in judgements()} - {""} <= industries
    rules = validity_rules()
    for row in judgements():
        if row.rule:
            assert row.status == rules[row.rule].status, row.clause


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"says": "exceedance", "basis": "standard agreement"}, "only basis standard or permit"),
        ({"says": "exceedance", "basis": ""}, "only basis standard or permit"),
        ({"says": "not_met", "basis": "standard"}, "only basis ultra_low"),
        ({"more_than": "5"}, "of a count or a share"),
        ({"test": "count"}, "of a count or a share"),
        ({"says": "违法"}, "says"),
        ({"clause": ""}, "clause"),
    ],
)
def test_a_row_that_says_too_much_is_refused(cells, told):
    row = dict.fromkeys(Judgement.model_fields, "") | {"test": "value", "says": "notice", "clause": "c", "source": "s"}
    row |= {"status": "verified", **cells}
    with pytest.raises(ValidationError, match=told):
        parse_judgements(",".join(row) + "\n" + ",".join(row.values()) + "\n")


def test_the_shipped_table_is_what_the_file_says():
    assert parse_judgements(FILE.read_text(encoding="utf-8")) == judgements()
