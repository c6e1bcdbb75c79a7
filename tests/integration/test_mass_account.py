"""The account of mass of a day the whole path decided: its masses are those rules had made, and no more changes."""

from hashlib import sha256

import polars as pl
import pytest

from app.accounts.mass import mass_account
from contracts.factors import MASS_RATE_PREFIX
from contracts.frames import AGGREGATES
from store.archive import AGGREGATE_KEY, latest_revisions, read_archive
from tests.decided_day import archive, decided_day


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    site, _, state = decided_day(tmp_path_factory, tmp_path_factory.mktemp("mass"))
    archive(site, state, leave=0)
    return site, state


def bytes_of(folder):
    return {path: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.parquet"))}


def test_measured_mass_is_what_rules_had_made_and_substitution_changes_neither_aggregates_nor_verdicts(day):
    site, state = day
    before = bytes_of(state)
    account = mass_account(state, site)
    assert bytes_of(state) == before
    assert {path.parts[-3] for path in before} >= {"aggregates", "verdicts"}
    made = (
        latest_revisions(read_archive(state / "archive", "aggregates"), AGGREGATE_KEY)
        .filter(pl.col("factor").str.starts_with(MASS_RATE_PREFIX) & pl.col("period").is_in(["hour", "day"]))
        .with_columns(pl.col("factor").str.strip_prefix(MASS_RATE_PREFIX))
        .collect()
    )
    both = account.hours.join(account.series.select("series", "station", "factor", "period"), on="series").join(
        made.match_to_schema(AGGREGATES), on=["station", "factor", "period", "window_at"], suffix="_kg"
    )
    known = both.filter(pl.col("reason_kg").is_null())
    assert known.height > 20, both
    assert (known["state"] == "measured").all()
    assert (known["rate"] == known["min_scaled"]).all()
    unknown = both.filter(pl.col("reason_kg").is_not_null())
    assert (unknown["reason"] == unknown["reason_kg"]).all()


def test_hours_that_a_person_marked_invalid_are_missing_in_the_account(day):
    site, state = day
    account = mass_account(state, site, stations=["XS-COAL-1"], factors=["a21026"])
    marked = account.hours.filter(pl.col("reason") == "all_marked")
    assert marked["window_at"].dt.to_string("%m-%d %H:%M").to_list() == ["03-01 07:00"]
    assert marked["unknown"].to_list() == ["capture_too_low"]  # of a quarter of which one day is archived
