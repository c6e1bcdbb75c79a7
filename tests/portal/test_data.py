"""Verdicts and series: every committed row once, from archive and spans, in pages, by revision; exact numbers."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import polars as pl
import pytest

from app.portal.decided import Asked, Decided
from app.portal.routes.data import fitting, mean_of
from store.archive import AGGREGATE_KEY, VERDICT_KEY, latest_revisions
from store.spans import SpanFiles
from store.state_db import StateDb

from .centre import ENDED_AT, HOURS, every

DAY = {"from": "2026-03-01T00:00:00+08:00", "to": "2026-03-02T00:00:00+08:00"}
STATION = "XS-COAL-1"


@pytest.fixture(scope="module")
def committed(centre):
    """Every row all spans hold, by table."""
    with StateDb(centre.state_dir / "state.db") as db:
        assert db.cursor("archive") == 3
        assert db.last_span().seq > 6
        named = [frames for _, frames in SpanFiles(centre.state_dir / "spans", db).spans_after(0)]
    return {table: pl.concat([one[table] for one in named if table in one]) for table in ("verdicts", "aggregates")}


def test_every_verdict_of_a_station_is_told_once_whether_archived_or_not(centre, committed):
    items = every(centre.client("viewer"), "/api/v1/verdicts", station=STATION, **DAY, limit=700)
    mine = latest_revisions(committed["verdicts"].filter(station=STATION).lazy(), VERDICT_KEY).collect()
    assert len(items) == mine.height > 700
    key = ("rule", "factor", "limit_id", "period", "revision", "state", "level")
    told = sorted((datetime.fromisoformat(one["window_at"]), *(str(one[name]) for name in key)) for one in items)
    kept = sorted((row["window_at"], *(str(row[name]) for name in key)) for row in mine.iter_rows(named=True))
    assert told == kept


def test_pages_follow_each_other_in_the_order_of_windows(centre):
    client = centre.client("viewer")
    asked = {"station": STATION, **DAY}
    whole = client.get("/api/v1/verdicts", params={**asked, "limit": 900}).json()["items"]
    parts, cursor = [], {}
    while len(parts) < 900:
        page = client.get("/api/v1/verdicts", params={**asked, "limit": 173, **cursor}).json()
        parts += page["items"]
        cursor = {"cursor": page["next"]}
    assert parts[:900] == whole
    at = [datetime.fromisoformat(one["window_at"]) for one in whole]
    assert at == sorted(at)


def test_filters_leave_what_they_say(centre, committed):
    client = centre.client("viewer")
    rows = latest_revisions(committed["verdicts"].lazy(), VERDICT_KEY).collect()
    hour = every(client, "/api/v1/verdicts", station=STATION, period="hour", factor="zs_a21026", **DAY, limit=5000)
    assert len(hour) == rows.filter(station=STATION, period="hour", factor="zs_a21026").height > 0
    beyond = rows.filter(state="exceedance")
    station = beyond["station"].drop_nulls()[0]
    told = every(client, "/api/v1/verdicts", station=station, state="exceedance", **DAY, limit=5000)
    assert len(told) == beyond.filter(station=station).height
    outlet = every(client, "/api/v1/verdicts", outlet="XS-A-DA001", period="hour", **DAY, limit=5000)
    assert {one["station"] for one in outlet} == {STATION}
    early = {**DAY, "to": "2026-03-01T12:00:00+08:00"}
    assert all(
        one["window_at"] < "2026-03-01T12" for one in every(client, "/api/v1/verdicts", station=STATION, **early)
    )


def test_revisions_of_a_verdict_are_all_told_and_the_last_one_holds(own):
    """A late reading makes revision 2 of the hours and minutes it belongs to."""
    with StateDb(own.state_dir / "state.db") as db:
        named = [frames["verdicts"] for _, frames in SpanFiles(own.state_dir / "spans", db).spans_after(0)]
    rows = pl.concat(named)
    revised = rows.filter((pl.col("revision") > 1) & (pl.col("period") != "instant"))
    assert revised.height, "the scenario has late readings"
    one = revised.row(0, named=True)
    client = own.client("viewer")
    about = {name: one[name] for name in ("rule", "station", "factor", "period")} | {
        "window_at": one["window_at"].isoformat()
    }
    if one["limit_id"]:
        about["limit_id"] = one["limit_id"]
    all_of_it = client.get("/api/v1/verdicts/revisions", params=about).json()["items"]
    numbers = [each["revision"] for each in all_of_it]
    assert numbers[0] == 1
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= 2
    listed = every(
        client,
        "/api/v1/verdicts",
        **{name: one[name] for name in ("rule", "station", "factor", "period")},
        **DAY,
        revisions="all",
        limit=5000,
    )
    its = [each for each in listed if datetime.fromisoformat(each["window_at"]) == one["window_at"]]
    assert [each["revision"] for each in its if each["limit_id"] == one["limit_id"]] == numbers
    assert client.get("/api/v1/verdicts/revisions", params={**about, "rule": "none"}).status_code == 404


def test_a_series_tells_exact_means(centre, committed):
    asked = {"station": STATION, "factor": "a21026", "period": "minute", **DAY}
    told = centre.client("viewer").get("/api/v1/series", params=asked).json()
    rows = latest_revisions(
        committed["aggregates"].filter(station=STATION, factor="a21026", period="minute").lazy(), AGGREGATE_KEY
    )
    kept = rows.sort("window_at").collect().to_dicts()
    assert len(told["items"]) == len(kept) >= (HOURS - 1) * 60
    for one, row in zip(told["items"], kept, strict=True):
        assert datetime.fromisoformat(one["window_at"]) == row["window_at"]
        assert (one["valid_n"], one["reason"]) == (row["valid_n"], row["reason"])
        if row["valid_n"]:
            exact = Fraction(int(row["sum_scaled"]), row["valid_n"]) / 10 ** row["decimals"]
            assert abs(Fraction(one["value"]) - exact) <= Fraction(6, 10 ** (row["decimals"] + 1))
    assert told["unit"] == "mg/m3"


def test_without_a_period_the_finest_is_taken_that_fits(centre):
    client = centre.client("viewer")
    asked = {"station": STATION, "factor": "a21026", **DAY}
    assert client.get("/api/v1/series", params=asked).json()["period"] == "minute"
    assert client.get("/api/v1/series", params={**asked, "points": 1000}).json()["period"] == "hour"
    assert client.get("/api/v1/series", params={**asked, "points": 10}).json()["period"] == "day"


@pytest.mark.parametrize(
    ("days", "points", "period"),
    [
        (1, 2000, "minute"),
        (7, 2000, "hour"),
        (365, 2000, "day"),
        (365, 5000, "day"),
        (200, 5000, "hour"),
        (3000, 100, "month"),
        (20_000, 100, "year"),
    ],
)
def test_the_period_that_fits(days, points, period):
    assert fitting(timedelta(days=days), points) == period


def test_points_are_bounded_and_the_rest_comes_in_pages(centre):
    client = centre.client("viewer")
    asked = {"station": STATION, "factor": "a21026", "period": "minute", **DAY}
    page = client.get("/api/v1/series", params={**asked, "points": 50}).json()
    assert len(page["items"]) == 50
    whole = client.get("/api/v1/series", params=asked).json()["items"]
    assert every(client, "/api/v1/series", **asked, points=50) == whole


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"station": STATION, "from": DAY["to"], "to": DAY["from"]}, "is not before"),
        ({**DAY}, "give either station or outlet"),
        ({"station": STATION, "outlet": "XS-A-DA001", **DAY}, "give either station or outlet"),
        ({"station": STATION, "period": "minute", "from": "2025-01-01T00:00:00Z", "to": DAY["to"]}, "at most 32 days"),
        ({"station": STATION, "from": "2020-01-01T00:00:00Z", "to": DAY["to"]}, "at most 400 days"),
    ],
)
def test_a_question_that_cannot_be_answered_is_told_in_words(centre, query, told):
    answer = centre.client("viewer").get("/api/v1/verdicts", params=query)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


def test_a_plus_sign_that_became_a_blank_is_understood(centre):
    path = f"/api/v1/series?station={STATION}&factor=a21026&from={DAY['from']}&to={DAY['to']}"
    assert "+08:00" in path
    assert centre.client("viewer").get(path).json()["items"]


def test_half_of_the_last_place_goes_to_the_even_one():
    assert [mean_of(total, 2, 1) for total in (5, 7, -5)] == [0.2, 0.4, -0.2]
    assert mean_of(2**120 + 1, 1, 3) == float(2**120 + 1) / 1000
    assert (mean_of(5, 0, 1), mean_of(None, 3, 1)) == (None, None)


def test_stations_say_when_they_were_last_heard_and_what_is_open(centre):
    told = centre.client("viewer").get("/api/v1/stations", params={"limit": 500}).json()
    assert datetime.fromisoformat(told["as_of"]) == ENDED_AT
    by_id = {one["id"]: one for one in told["items"]}
    assert set(by_id) == {one.station for one in centre.site.stations}
    assert by_id[STATION]["state"] == "reporting"
    assert ENDED_AT - datetime.fromisoformat(by_id[STATION]["received_at"]) < timedelta(minutes=3)
    with StateDb(centre.state_dir / "state.db") as db:
        open_ = [one["station"] for one in db.episodes() if one["resolved_at"] is None]
    for name, one in by_id.items():
        assert sum(one["open_alerts"].values()) == open_.count(name)
    paged = every(centre.client("viewer"), "/api/v1/stations", limit=7)
    assert [one["id"] for one in paged] == sorted(by_id)


def test_last_seen_follows_what_comes(own):
    client = own.client("viewer")
    before = client.get("/api/v1/stations").json()["as_of"]
    own.journal_and_decide(3600)
    after = client.get("/api/v1/stations").json()
    assert after["as_of"] > before
    state = {one["id"]: one["state"] for one in after["items"]}
    assert state[STATION] == "silent"
    assert state["CHISHUI-R1"] == "reporting"  # every four hours is enough for a river


def test_points_are_those_people_see_converted_ones_included(centre):
    told = {one["factor"]: one for one in every(centre.client("viewer"), "/api/v1/points", station=STATION)}
    assert {"a21026", "zs_a21026", "a19001"} <= set(told)
    assert not any(name.startswith("$") for name in told)
    assert told["zs_a21026"]["sent_as"] is None
    assert told["a21026"]["factor_zh"] == "二氧化硫"
    paged = every(centre.client("viewer"), "/api/v1/points", station=STATION, limit=2)
    assert {one["factor"] for one in paged} == set(told)
    assert len(paged) == len(told)


def test_rows_are_there_once_while_they_are_archived(own):
    """Whichever of its spans are archived when it is read."""
    decided = Decided(own.state_dir, own.site.time_zone)
    asked = Asked({STATION}, datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC), all_revisions=True)
    found = []
    for _ in range(4):
        found.append(decided.read("verdicts", asked, None, 100_000).rows)
        own.archive(3)
    assert all(one.equals(found[0]) for one in found[1:])
    assert found[0].height


def test_a_damaged_part_of_the_archive_is_named_and_the_rest_is_told(own):
    part = next((own.state_dir / "archive" / "verdicts").glob("date=2026-03-01/*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    told = own.client("viewer").get("/api/v1/verdicts", params={"station": STATION, **DAY}).json()
    assert told["items"]
    assert part.name in told["notes"][0]


def test_without_a_decision_there_is_nothing_to_tell_and_it_is_said(own):
    for path in own.state_dir.glob("state.db*"):
        path.unlink()
    for path in (
        "/api/v1/alerts",
        "/api/v1/stations",
        f"/api/v1/series?station={STATION}&factor=a21026&from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z",
    ):
        answer = own.client("viewer").get(path)
        assert (answer.status_code, answer.json()["title"]) == (503, "Not available now")
        assert "is the engine running" in answer.json()["detail"]
    ready = own.client().get("/readyz")
    assert (ready.status_code, ready.json()["is_ready"]) == (503, False)
    assert own.client().get("/healthz").json() == {"status": "ok"}


def test_it_is_ready_while_the_engine_keeps_up(own):
    assert own.client().get("/readyz").json()["is_ready"]
    own.clock.at += timedelta(minutes=5)
    late = own.client().get("/readyz")
    assert (late.status_code, late.json()["why"]) == (503, "the engine is behind, or the collector does not run")
