"""Published measurements with known answers, through the whole production path: CSV, feed, replay, verdicts."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from app.feeds.csv_files import read_feed_from_csv
from app.replay import replay
from app.site.files import load_site
from app.site.rule_files import load_rules

HERE = Path(__file__).resolve().parent


def judged(folder, data_folder, only=True):
    """Latest verdicts and aggregates of a known-answer site; only: which messages of the feed."""
    site = load_site(folder)
    rules = [one.rule for one in load_rules(folder, site)]
    feed = read_feed_from_csv(folder / "mapping.yaml", data_folder / folder.name).messages.filter(only)
    outputs = replay(feed, site, rules)
    by_year = pl.col("window_at").dt.convert_time_zone(site.time_zone).dt.year().alias("year")
    return pl.concat(outputs.verdicts).with_columns(by_year), pl.concat(outputs.aggregates).with_columns(by_year)


def exceedances(verdicts, **where):
    rows = verdicts.filter(state="exceedance", **where)
    return dict(rows.group_by("year").len().sort("year").iter_rows())


@pytest.mark.timeout(120)
def test_days_of_h2s_over_the_county_limit(data_folder):
    verdicts, aggregates = judged(HERE / "achd_h2s", data_folder)
    days = exceedances(verdicts, rule="h2s_day")
    assert (days[2017], days[2019]) == (59, 36)
    short = aggregates.filter((pl.col("period") == "day") & pl.col("valid_n").is_between(1, 17))
    assert set(short["reason"]) == {"too_few_valid"}
    assert set(aggregates.filter((pl.col("period") == "day") & (pl.col("valid_n") >= 18))["reason"]) == {None}


@pytest.mark.timeout(120)
def test_gas_turbine_hours_and_yearly_means(data_folder):
    verdicts, aggregates = judged(HERE / "gas_turbine", data_folder)
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


def means(aggregates):
    """factor -> mean of all years' values, and how many there are."""
    rows = aggregates.filter(period="year").group_by("factor").agg(pl.col("sum_scaled", "valid_n").sum(), "decimals")
    of = {}
    for factor, total, n, decimals in rows.iter_rows():
        of[factor] = (total / n / 10 ** decimals[0], n)
    return of


@pytest.mark.timeout(120)
def test_means_beside_a_road_leave_out_the_hours_marked_minus_200(data_folder):
    _, aggregates = judged(HERE / "air_quality", data_folder)
    of = means(aggregates)
    missing = {"a21005": 1683, "a24088": 8443, "a25002": 366, "a21002": 1639, "a21004": 1642}
    assert {factor: 9357 - n for factor, (_, n) in of.items()} == missing
    assert round(of["a21005"][0], 4) == 2.1527
    assert round(of["a25002"][0] * 1000, 4) == 10.0831  # ug/m3


METALS = {  # of the file, with the upper bounds of classes I to V in mg/L (GB 3838-2002 Table 1)
    "mercurio_total_mg_L_Hg": ("w20111", (0.00005, 0.00005, 0.0001, 0.001, 0.001)),
    "cadmio_total_mg_L_Cd": ("w20115", (0.001, 0.005, 0.005, 0.005, 0.01)),
    "chumbo_total_mg_L_Pb": ("w20120", (0.01, 0.01, 0.05, 0.05, 0.1)),
    "cobre_total_mg_L_Cu": ("w20122", (0.01, 1, 1, 1, 1)),
    "zinco_total_mg_L_Zn": ("w20123", (0.05, 1, 1, 2, 2)),
}
TARGET = 4
YEAR = 2018  # of the twelve the one with samples of every state; all of them take a minute


def of_class(value, bounds):
    return 1 + sum(value > bound for bound in bounds)


@pytest.fixture(scope="module")
def samples(data_folder):
    """The file's rows, read by the standard library alone."""
    path = data_folder / "river_metals" / "resultados_metais_2011_2022.csv"
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def rivers(samples, tmp_path):
    """The site, with a section for every code of the file: they are the data's, so the registry is made of them."""
    folder = Path(shutil.copytree(HERE / "river_metals", tmp_path / "river_metals"))
    codes = sorted({row["codigo_imasul"] for row in samples})
    tables = {
        "outlets": ["outlet,county,medium,name_zh,name_en,target_class"]
        + [f"{code},state,surface_water,{code},{code},{TARGET}" for code in codes],
        "stations": ["station,outlet,name_zh,name_en"] + [f"{code},{code},{code},{code}" for code in codes],
        "points": ["station,factor,unit,interval_s"]
        + [f"{code},{factor},mg/L,14400" for code in codes for factor, _ in METALS.values()],
    }
    for name, lines in tables.items():
        (folder / "registry" / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_every_cell_of_the_rivers_metals_is_a_reading_or_is_told(samples, data_folder):
    feed = read_feed_from_csv(HERE / "river_metals" / "mapping.yaml", data_folder / "river_metals")
    empty = sum(all(row[column] in ("<LQ", "N/A") for column in METALS) for row in samples)
    assert (feed.rows, feed.counts["station"].n_unique(), feed.messages.height) == (1299, 70, 1299 - empty)
    counts = feed.counts.group_by("factor").agg(pl.col("readings", "missing", "unreadable").sum())
    told = {row["factor"]: (row["readings"], row["missing"], row["unreadable"]) for row in counts.iter_rows(named=True)}
    for column, (factor, _) in METALS.items():
        cells = Counter("<LQ" if row[column] == "<LQ" else "N/A" if row[column] == "N/A" else "" for row in samples)
        assert told[factor] == (cells[""], cells["N/A"], cells["<LQ"]), column
    assert told["w20111"] == (865, 351, 83)
    assert feed.problems.filter(reason="no_values").height == empty == 28
    assert set(feed.problems.filter(pl.col("reason") != "no_values")["text"]) == {"<LQ"}


@pytest.mark.timeout(120)
def test_rivers_are_of_the_class_of_their_worst_metal(samples, rivers, data_folder):
    verdicts, _ = judged(rivers, data_folder, pl.col("received_at").dt.year() == YEAR)
    days = {}
    for row in samples:
        if not row["data_coleta"].endswith(str(YEAR)):
            continue
        day = days.setdefault((row["codigo_imasul"], "-".join(reversed(row["data_coleta"].split("/")))), {})
        for column, (factor, _) in METALS.items():
            if row[column] not in ("<LQ", "N/A"):
                day.setdefault(factor, []).append(float(row[column]))
    bounds = dict(METALS.values())
    expected = {}
    for of_day, values in days.items():
        classes = [of_class(sum(them) / len(them), bounds[factor]) for factor, them in values.items()]
        worst = max(classes, default=0)
        state = "exceedance" if worst > TARGET else "within" if len(classes) == len(METALS) else "no_judgement"
        expected[of_day] = (state, worst if state == "exceedance" else None, len(classes))
    at = pl.col("window_at").dt.convert_time_zone("Etc/GMT+4").dt.date().cast(pl.String)
    rows = verdicts.filter((pl.col("factor") == "$river_class") & (pl.col("valid_n") > 0)).select(
        "station", at, "state", "value_scaled", "valid_n"
    )
    found = {
        (station, day): (state, value if state == "exceedance" else None, n)
        for station, day, state, value, n in rows.iter_rows()
    }
    assert found == {of_day: said for of_day, said in expected.items() if said[2]}
    said = Counter(state for state, _, _ in found.values())
    assert said == {"within": 163, "exceedance": 12, "no_judgement": 63}
