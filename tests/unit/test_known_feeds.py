"""The feeds of the known answers hold what was measured: counted here without the engine, on exact numbers."""

import json
from collections import defaultdict
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import polars as pl
import pytest

from app.feeds.csv_files import FeedFromCsv, read_feed_from_csv
from app.site.files import load_site

KNOWN = Path(__file__).resolve().parents[1] / "known_answers"


def feed_of(name: str, data_folder: Path) -> FeedFromCsv:
    return read_feed_from_csv(KNOWN / name / "mapping.yaml", data_folder / name)


def readings(messages: pl.DataFrame, factor: str) -> list[tuple[datetime, Decimal]]:
    payloads = [json.loads(payload, parse_float=Decimal, parse_int=Decimal) for payload in messages["payload"]]
    found = [(datetime.fromisoformat(p["at"]), p["readings"][factor]) for p in payloads if factor in p["readings"]]
    return [(at, one["value"] if isinstance(one, dict) else one) for at, one in found]


@pytest.mark.parametrize("name", ["achd_h2s", "gas_turbine", "air_quality"])
def test_the_site_of_a_known_answer_is_whole(name):
    assert load_site(KNOWN / name).points


def test_days_of_hydrogen_sulfide_above_the_standard(data_folder):
    feed = feed_of("achd_h2s", data_folder)
    hours = defaultdict(list)
    for at, ppm in readings(feed.messages, "a21028"):
        assert at.minute == 0
        hours[at.date()].append(ppm)  # the offset of `at` is the day's: UTC-5 all year

    def days_above(year: int, place: str) -> int:
        means = {day: sum(values) / len(values) for day, values in hours.items() if len(values) >= 18}
        rounded = {day: mean.quantize(Decimal(place), ROUND_HALF_EVEN) for day, mean in means.items()}
        return sum(mean > Decimal("0.005") for day, mean in rounded.items() if day.year == year)

    assert (days_above(2017, "0.001"), days_above(2019, "0.001")) == (59, 36)
    assert (days_above(2017, "0.000000001"), days_above(2019, "0.000000001")) == (67, 45)  # rounding decides
    assert min(hours) == date(2016, 10, 31)


def test_hours_and_means_of_the_gas_turbine(data_folder):
    feed = feed_of("gas_turbine", data_folder)
    nox, co = readings(feed.messages, "a21002"), readings(feed.messages, "a21005")
    above = {year: sum(at.year == year and mg > 95 for at, mg in nox) for year in range(2011, 2016)}
    assert above == {2011: 135, 2012: 192, 2013: 317, 2014: 68, 2015: 108}
    assert sum(mg > 30 for _, mg in co) == 24
    means = [(sum(mg for _, mg in factor) / len(factor)).quantize(Decimal("0.01")) for factor in (nox, co)]
    assert means == [Decimal("65.29"), Decimal("2.37")]


def test_the_texts_of_the_numbers_are_those_of_the_file(data_folder):
    feed = feed_of("gas_turbine", data_folder)
    cells = pl.read_csv(data_folder / "gas_turbine" / "gt_2014.csv", infer_schema=False)
    text = feed.messages.filter(pl.col("received_at").dt.offset_by("-1h").dt.year() == 2014)["payload"].cast(pl.String)
    for factor, column in (("a21002", "NOX"), ("a21005", "CO")):
        assert text.str.extract(rf'"{factor}":([^,}}]+)').to_list() == cells[column].to_list()


def test_missing_marks_of_the_air_quality_station_are_counted(data_folder):
    feed = feed_of("air_quality", data_folder)
    assert dict(feed.counts.select("factor", "missing").rows()) == {
        "a21005": 1683,
        "a24088": 8443,
        "a25002": 366,
        "a21002": 1639,
        "a21004": 1642,
    }
    for factor, published in (("a21005", "2.1527"), ("a25002", "10.0831")):
        values = [number for _, number in readings(feed.messages, factor)]
        assert (sum(values) / len(values)).quantize(Decimal("0.0001")) == Decimal(published)


def test_a_derived_power_factor_agrees_with_the_meters_own(data_folder, tmp_path):
    path = tmp_path / "mapping.yaml"
    path.write_text(
        """version: 1
files: [{path: Steel_industry_data.csv}]
station: works
time: {column: date, format: "%d/%m/%Y %H:%M", zone: Etc/GMT-9}
derived:
  factor: '100 * Usage_kWh / sqrt(Usage_kWh * Usage_kWh + q * q)'
columns: {own: Lagging_Current_Power_Factor, ours: factor}
""".replace(" q * q", " Lagging_Current_Reactive_Power_kVarh * Lagging_Current_Reactive_Power_kVarh"),
        encoding="utf-8",
    )
    feed = read_feed_from_csv(path, data_folder / "steel_energy")
    own, ours = dict(readings(feed.messages, "own")), dict(readings(feed.messages, "ours"))
    assert len(own) > 35_000
    assert max(abs(own[at] - ours[at]) for at in own if at in ours) <= Decimal("0.0051")
    assert feed.backwards == 365  # the 24:00 row of each day is stamped 00:00 of the same day
