"""Published measurements with known answers, through the whole production path: CSV, feed, replay, verdicts."""

from pathlib import Path

import polars as pl
import pytest

from app.feeds.csv_files import read_feed_from_csv
from app.replay import replay
from app.site.files import load_site
from app.site.rule_files import load_rules

HERE = Path(__file__).resolve().parent


def judged(name, data_folder):
    """Latest verdicts and aggregates of a known-answer site."""
    site = load_site(HERE / name)
    rules = [one.rule for one in load_rules(HERE / name, site)]
    feed = read_feed_from_csv(HERE / name / "mapping.yaml", data_folder / name, lambda *_: None).messages
    outputs = replay(feed, site, rules)
    by_year = pl.col("window_at").dt.convert_time_zone(site.time_zone).dt.year().alias("year")
    return pl.concat(outputs.verdicts).with_columns(by_year), pl.concat(outputs.aggregates).with_columns(by_year)


def exceedances(verdicts, **where):
    rows = verdicts.filter(state="exceedance", **where)
    return dict(rows.group_by("year").len().sort("year").iter_rows())


@pytest.mark.timeout(120)
def test_days_of_h2s_over_the_county_limit(data_folder):
    verdicts, aggregates = judged("achd_h2s", data_folder)
    days = exceedances(verdicts, rule="h2s_day")
    assert (days[2017], days[2019]) == (59, 36)
    short = aggregates.filter((pl.col("period") == "day") & pl.col("valid_n").is_between(1, 17))
    assert set(short["reason"]) == {"too_few_valid"}
    assert set(aggregates.filter((pl.col("period") == "day") & (pl.col("valid_n") >= 18))["reason"]) == {None}


@pytest.mark.timeout(120)
def test_gas_turbine_hours_and_yearly_means(data_folder):
    verdicts, aggregates = judged("gas_turbine", data_folder)
    assert exceedances(verdicts, rule="nox_hour") == {2011: 135, 2012: 192, 2013: 317, 2014: 68, 2015: 108}
    assert sum(exceedances(verdicts, rule="co_hour").values()) == 24
    years = aggregates.filter(period="year").with_columns(
        mean=pl.col("sum_scaled").cast(pl.Float64) / pl.col("valid_n") / pl.lit(10.0).pow(pl.col("decimals"))
    )
    for factor, column, published in (("a21002", "NOX", 65.29), ("a21005", "CO", 2.37)):
        rows = years.filter(factor=factor).sort("year")
        for year, mean in rows.select("year", "mean").iter_rows():
            raw = pl.read_csv(data_folder / "gas_turbine" / f"gt_{year}.csv")[column]
            assert mean == pytest.approx(raw.mean(), abs=1e-6), (factor, year)
        overall = (rows["mean"] * rows["valid_n"]).sum() / rows["valid_n"].sum()
        assert round(overall, 2) == published
