"""The simulated world is one world: seeds, spans and chunks agree, incidents are where the truth says they are."""

import csv
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import typer
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from app.site.files import load_site
from contracts.factors import standard_factors
from ingest.decode import Decoder, batch_of
from simulators.noise import autoregressive
from simulators.scenario import Scenario, Timetable, load_scenario
from simulators.simulate import LiveSimulator, simulate
from simulators.wire import crc_hj212, crc_modbus

ZUNYI = Path(__file__).resolve().parents[2] / "deploy" / "sites" / "zunyi"
START = datetime(2026, 3, 2, 6, 40, 13, tzinfo=UTC)
MOVING = ("w00000", "a01012", "p01001", "p01002", "a01001")  # of any station one that is there every minute
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture(scope="module")
def site():
    return load_site(ZUNYI)


@pytest.fixture(scope="module")
def six_hours(site):
    """Feed and truth of the default scenario across a UTC midnight."""
    return simulate(site, 5, datetime(2026, 3, 1, 20, tzinfo=UTC), 6 * HOUR)


def json_rows(feed: pl.DataFrame, station: str) -> list[dict]:
    """Readable messages of a JSON station, with the instant they came in."""
    rows = []
    for received_at, payload in (
        feed.filter(pl.col("topic") == f"gi/{station}/json").select("received_at", "payload").rows()
    ):
        try:
            message = json.loads(payload.decode())
            values = {k: v["value"] if isinstance(v, dict) else v for k, v in message["readings"].items()}
            at = datetime.fromisoformat(message["at"])
        except (ValueError, TypeError, KeyError):
            continue
        if message["station"] == station and all(type(v) is float and v == v for v in values.values()):
            marks = {k: v.get("mark") for k, v in message["readings"].items() if isinstance(v, dict)}
            rows.append({**message, "received_at": received_at, "at": at, "values": values, "marks": marks})
    return rows


def minutes_of(feed: pl.DataFrame, station: str, factor: str) -> dict[datetime, float]:
    """Minute means of a station, JSON or HJ 212, marked ones left out."""
    found = {
        row["at"]: row["values"][factor]
        for row in json_rows(feed, station)
        if row["period_s"] == 60 and factor in row["values"] and factor not in row["marks"]
    }
    for (payload,) in feed.filter(pl.col("topic") == f"gi/{station}/hj212").select("payload").rows():
        text = payload.decode("ascii", "replace")
        if ";CN=2051;" in text and f"{factor}-Avg=" in text and text.endswith("&&" + text[-6:]):
            at = datetime.strptime(text.split("DataTime=")[1][:14] + "+0800", "%Y%m%d%H%M%S%z")
            if f"{factor}-Flag=N" in text:
                found[at] = float(text.split(f"{factor}-Avg=")[1].split(",")[0])
    return found


def incidents(truth: pl.DataFrame, kind: str) -> list[dict]:
    return truth.filter(pl.col("incident") == kind).to_dicts()


def whole_hours(from_at: datetime, to_at: datetime) -> list[datetime]:
    first = from_at.replace(minute=0, second=0, microsecond=0)
    hours = [first + number * HOUR for number in range(6)]
    return [hour for hour in hours if from_at <= hour and hour + HOUR <= to_at]


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(site):
    first, truth = simulate(site, 7, START, 20 * MINUTE)
    again, truth_again = simulate(site, 7, START, 20 * MINUTE)
    other, _ = simulate(site, 8, START, 20 * MINUTE)
    assert_frame_equal(first, again)
    assert_frame_equal(truth, truth_again)
    assert first.height == again.height > 250
    assert not first.equals(other)


def test_a_longer_feed_begins_with_the_bytes_of_a_shorter_one(site):
    short, _ = simulate(site, 7, START, 20 * MINUTE)
    long, _ = simulate(site, 7, START, 50 * MINUTE)
    assert_frame_equal(long.head(short.height), short)
    assert long.height > short.height


def test_chunks_of_a_span_are_the_span_wherever_it_is_cut(site):
    midnight = datetime(2026, 3, 3, tzinfo=UTC)  # and the dropout of 23:30 that is re-sent after 23:44
    cuts = [midnight - timedelta(minutes=m, seconds=s) for m, s in ((31, 0), (20, 7), (15, 59), (15, 54), (0, 0))]
    cuts += [midnight + timedelta(seconds=4, microseconds=123_457), midnight + 7 * MINUTE]
    whole = LiveSimulator(site, 7).messages(cuts[0], cuts[-1])
    live = LiveSimulator(site, 7)
    parts = [message for from_at, to_at in pairwise(cuts) for message in live.messages(from_at, to_at)]
    assert parts == whole
    assert len(whole) > 400


def test_the_order_of_the_registry_does_not_matter(site):
    turned = site.model_copy(
        update={
            name: tuple(reversed(getattr(site, name))) for name in ("stations", "points", "limits", "pairs", "outlets")
        }
    )
    for of_one, of_other in zip(
        simulate(site, 3, START, 10 * MINUTE), simulate(turned, 3, START, 10 * MINUTE), strict=True
    ):
        assert_frame_equal(of_one, of_other)


def test_a_day_of_noise_joins_the_day_before_it():
    days = [autoregressive(1, "s", day, 1440, 60, 2400) for day in (10, 11)]
    steps = [abs(later - earlier) for earlier, later in pairwise(days[0] + days[1])]
    assert steps[1439] <= max(steps[:1439])
    assert max(abs(value) for value in days[1]) > 1.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_any_two_hours_something_of_each_kind_starts_and_most_stations_are_calm(site, seed):
    table = Timetable(site, seed, load_scenario("default"))
    for start_s in range(1_772_000_000, 1_772_000_000 + 2 * 86_400, 1_777):
        known = table.between(start_s, start_s + 7200)
        for kind, within_s in (
            ("exceedance", 7200),
            ("dropout", 3600),
            ("malformed", 3600),
            ("treatment_off", 3600),
            ("stuck", 7200),
        ):
            assert [one for one in known if one.kind == kind and start_s <= one.from_s < start_s + within_s], kind
        assert [one for one in known if start_s <= one.to_s < start_s + 3600 and one.kind == "dropout"]
        now = [one for one in known if one.from_s <= start_s]
        touched = {one.station for one in now} | {station for one in now for station, _ in one.stacks}
        assert len(touched) <= len(site.stations) // 3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_station_has_two_incidents_at_a_time(site, seed):
    by_station: dict[str, list[tuple[int, int]]] = {}
    for one in Timetable(site, seed, load_scenario("default")).between(1_772_000_000, 1_772_000_000 + 3 * 86_400):
        for station in {one.station, *(station for station, _ in one.stacks)}:
            by_station.setdefault(station, []).append((one.from_s, one.to_s))
    for spans in by_station.values():
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(sorted(spans)))


def test_an_exceedance_lifts_a_clock_hours_mean_over_the_limit(site, six_hours):
    feed, truth = six_hours
    checked = 0
    for one in incidents(truth, "exceedance"):
        hour = one["from_at"].replace(minute=0)  # 48 of its minutes exceed
        values = minutes_of(feed, one["station"], "a21026")
        inside = [value for at, value in values.items() if hour <= at < hour + HOUR]
        if len(inside) < 45:  # began before the feed
            continue
        oxygen = minutes_of(feed, one["station"], "a19001")
        if oxygen:
            ref_o2 = next(p.ref_o2_pct for p in site.points if (p.station, p.factor) == (one["station"], "a21026"))
            mean_o2 = sum(v for at, v in oxygen.items() if hour <= at < hour + HOUR) / 60
            converted = sum(inside) / len(inside) * (21 - ref_o2) / (21 - mean_o2)
            assert converted > 35.0
        else:
            assert sum(inside) / len(inside) > 200.0
        checked += 1
    assert checked >= 3


def test_a_stuck_analyser_shows_one_value_while_its_neighbours_move(six_hours):
    feed, truth = six_hours
    checked = 0
    for one in incidents(truth, "stuck"):
        for hour in whole_hours(max(one["from_at"], feed["received_at"][0]), one["to_at"]):
            values = minutes_of(feed, one["station"], one["factor"])
            inside = {value for at, value in values.items() if hour <= at < hour + HOUR}
            if hour + HOUR > feed["received_at"][-1]:
                continue
            assert len(inside) == 1
            neighbour = next(f for f in MOVING if minutes_of(feed, one["station"], f))
            moving = {v for at, v in minutes_of(feed, one["station"], neighbour).items() if hour <= at < hour + HOUR}
            assert len(moving) > 5
            checked += 1
    assert checked >= 3


def test_a_dropout_is_silent_and_then_sends_everything_again_with_its_own_times(six_hours):
    feed, truth = six_hours
    whole = [one for one in incidents(truth, "dropout") if one["to_at"] + MINUTE < feed["received_at"][-1]]
    assert len(whole) >= 5
    for one in whole:
        of_station = feed.filter(pl.col("topic").str.starts_with(f"gi/{one['station']}/"))
        assert of_station.filter(
            pl.col("received_at").is_between(one["from_at"], one["to_at"], closed="left")
        ).is_empty()
        factor = next(f for f in MOVING if minutes_of(feed, one["station"], f))
        minutes = minutes_of(feed, one["station"], factor)
        asked = [one["from_at"] + number * MINUTE for number in range(14)]
        assert [minute for minute in asked if minute not in minutes and not _marked(feed, one["station"], minute)] == []
        resent = of_station.filter(pl.col("received_at").is_between(one["to_at"], one["to_at"] + timedelta(seconds=20)))
        assert resent.height >= 14


def _marked(feed: pl.DataFrame, station: str, minute: datetime) -> bool:
    return any(row["at"] == minute and row["marks"] for row in json_rows(feed, station)) or station in (
        "XS-COAL-1",
        "BZ-ALU-1",
    )


def test_unreadable_messages_come_in_bursts_and_nowhere_else(six_hours):
    feed, truth = six_hours
    for station in {topic.split("/")[1] for topic in feed["topic"].unique() if topic.endswith("/json")}:
        readable = {row["received_at"] for row in json_rows(feed, station)}
        bad = feed.filter((pl.col("topic") == f"gi/{station}/json") & ~pl.col("received_at").is_in(list(readable)))
        bursts = truth.filter((pl.col("incident") == "malformed") & (pl.col("station") == station))
        seen = 0
        for one in bursts.to_dicts():
            seen += bad.filter(pl.col("received_at").is_between(one["from_at"], one["to_at"])).height
        assert seen == bad.height == 12 * bursts.height


def test_the_decoder_takes_everything_but_what_is_meant_to_be_broken(site, six_hours):
    feed, truth = six_hours
    decoded = Decoder(site).decode(batch_of(feed, feed["received_at"][-1]))
    assert decoded.readings.height > 20_000
    assert (
        decoded.readings.filter(pl.col("kind").is_in(["avg", "rtd"]) & (pl.col("period_s") == 60))["point"].null_count()
        == 0
    )
    spoken = decoded.rejects.select("received_at", "reason", station=pl.col("topic").str.split("/").list.get(1))
    bursts = truth.filter(pl.col("incident") == "malformed").select("station", "from_at", "to_at")
    inside = spoken.join(bursts, on="station").filter(
        pl.col("received_at").is_between("from_at", "to_at", closed="left")
    )
    assert inside.height == spoken.height >= 12 * bursts.height
    assert len(spoken["reason"].unique()) >= 6


def test_treatment_stands_still_while_production_runs(site, six_hours):
    feed, truth = six_hours
    for pair in site.pairs:
        treatment = minutes_of(feed, pair.treatment_station, pair.treatment_factor)
        production = minutes_of(feed, pair.production_station, pair.production_factor)
        off = {at for at, kw in treatment.items() if kw < pair.treatment_on_kw}
        told = truth.filter((pl.col("incident") == "treatment_off") & (pl.col("station") == pair.treatment_station))
        assert told.height >= 2
        for one in told.to_dicts():
            inside = {at for at in treatment if one["from_at"] <= at < one["to_at"]}
            assert inside <= off
            off -= inside
        assert not off
        assert min(production.values()) > pair.production_on_kw


def test_nothing_exceeds_or_stands_still_on_a_calm_day(site):
    feed, truth = simulate(site, 11, datetime(2026, 3, 2, tzinfo=UTC), 24 * HOUR, "calm", clock_every=None)
    assert truth.is_empty()
    limits = {"a21026": 35.0, "a21002": 50.0, "a34013": 10.0}
    for station, ref_o2 in (("XS-COAL-2", 6), ("XS-CEMENT-1", 10), ("BZ-SINTER-1", 16)):
        oxygen = minutes_of(feed, station, "a19001")
        for factor, limit in limits.items():
            values = minutes_of(feed, station, factor)
            assert len(values) >= 1400
            worst = max(v * (21 - ref_o2) / (21 - oxygen[at]) for at, v in values.items() if at in oxygen)
            assert limit / 3 < worst < limit
            hours = {at.replace(minute=0): set() for at in values}
            for at, value in values.items():
                hours[at.replace(minute=0)].add(value)
            assert min(len(seen) for hour, seen in hours.items() if hour > min(hours)) > 5
    marked = [row for row in json_rows(feed, "XS-COAL-2") if "C" in row["marks"].values()]
    assert len({row["at"] for row in marked}) == 10


def test_period_data_carry_their_start_and_come_in_after_their_end(six_hours):
    feed, truth = six_hours
    busy = set(truth.filter(pl.col("incident") == "dropout")["station"])
    calm = next(one for one in ("XS-CEMENT-1", "XS-COAL-2", "BZ-SINTER-1") if one not in busy)
    rows = [row for row in json_rows(feed, calm) if row["period_s"] == 60]
    delays = sorted((row["received_at"] - row["at"]).total_seconds() - 60 for row in rows)
    assert 2 <= delays[0] < delays[len(delays) // 2] < 8
    assert delays[-1] < 100
    assert {row["at"].utcoffset() for row in rows} == {8 * HOUR}
    assert {row["at"].second for row in rows} == {0}


def test_a_devices_own_hours_are_the_means_of_its_unmarked_minutes(six_hours):
    feed, _ = six_hours
    hours = {}
    for (payload,) in feed.filter(pl.col("topic") == "gi/XS-COAL-1/hj212").select("payload").rows():
        text = payload.decode("ascii", "replace")
        if ";CN=2061;" in text:
            at = datetime.strptime(text.split("DataTime=")[1][:14] + "+0800", "%Y%m%d%H%M%S%z")
            hours[at] = [float(text.split(f"a21026-{name}=")[1].split(",")[0]) for name in ("Avg", "ZsAvg")]
    minutes, oxygen = (minutes_of(feed, "XS-COAL-1", factor) for factor in ("a21026", "a19001"))
    whole = [at for at in hours if sum(at <= one < at + HOUR for one in minutes) >= 45]
    assert len(whole) >= 4
    for at in whole:
        mean, o2 = (
            sum(v for one, v in of.items() if at <= one < at + HOUR) / sum(at <= one < at + HOUR for one in of)
            for of in (minutes, oxygen)
        )
        assert hours[at][0] == pytest.approx(mean, rel=0.002)
        assert hours[at][1] == pytest.approx(mean * 15 / (21 - o2), rel=0.01)


def test_an_energy_register_never_falls_and_adds_up_to_its_power(site):
    feed, _ = simulate(site, 5, datetime(2026, 3, 1, 22, tzinfo=UTC), 4 * HOUR, "calm", clock_every=None)
    rows = sorted(json_rows(feed, "BZ-STEEL-E"), key=lambda row: row["at"])
    assert len({row["at"] for row in rows}) == 16
    for earlier, later in pairwise(rows):
        quarters = (later["at"] - earlier["at"]) / timedelta(minutes=15)
        grown = later["values"]["p01003"] - earlier["values"]["p01003"]
        assert grown == pytest.approx(earlier["values"]["p01001"] * quarters / 4, abs=1.0)


def test_frames_have_their_length_and_check_and_old_loggers_the_modbus_one(six_hours):
    feed, _ = six_hours
    for station, crc, other in (("XS-COAL-1", crc_hj212, crc_modbus), ("BZ-ALU-1", crc_modbus, crc_hj212)):
        good = broken = 0
        for (payload,) in feed.filter(pl.col("topic") == f"gi/{station}/hj212").select("payload").rows():
            segment, check = payload[6:-6], payload[-6:]
            if payload[:6] == b"##%04d" % len(segment) and check == b"%04X\r\n" % crc(segment):
                good += 1
            else:
                broken += 1
                assert check != b"%04X\r\n" % other(segment)
        assert good > 600
        assert broken <= 24


def test_checks_agree_with_the_published_vectors(data_folder):
    with (data_folder / "hj212" / "crc_vectors.tsv").open(encoding="utf-8", newline="") as lines:
        vectors = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(vectors) >= 7
    for vector in vectors:
        segment = (vector["segment"] or "").encode()
        assert f"{crc_hj212(segment):04X}" == vector["std_hj212"]
        assert f"{crc_modbus(segment):04X}" == vector["modbus"]


def test_clock_rows_stand_at_the_very_instant_they_name(site):
    feed, _ = simulate(site, 1, START, 2 * MINUTE)
    clock = feed.filter(pl.col("topic") == "$clock/main")
    assert [int(payload) for payload in clock["payload"]] == clock["received_at"].to_physical().to_list()
    assert clock["received_at"].dt.second().to_list() == [20, 30, 40, 50, 0, 10, 20, 30, 40, 50, 0, 10]
    without, _ = simulate(site, 1, START, 2 * MINUTE, clock_every=None)
    assert_frame_equal(feed.filter(pl.col("topic") != "$clock/main"), without)


def test_a_scenario_can_be_held_to_one_station(site):
    lane = {"incident": "dropout", "every": "30m", "lasts": "5m", "stations": ["XS-CEMENT-1"]}
    only = Scenario.model_validate({"version": 1, "incidents": [lane]})
    truth = LiveSimulator(site, 1, only).truth(START, START + 3 * HOUR)
    assert set(truth["station"]) == {"XS-CEMENT-1"}
    assert truth.height == 6


def test_a_site_without_candidates_simulates_without_incidents(site):
    bare = site.model_copy(update={"limits": (), "pairs": (), "factors": standard_factors()})
    truth = LiveSimulator(bare, 1).truth(START, START + 2 * HOUR)
    assert set(truth["incident"]) == {"dropout", "malformed"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\nincidents:\n  - {incident: flood, every: 1h, lasts: 5m}\n", "x.yaml:3: incidents.0.incident"),
        (
            "version: 1\nincidents:\n  - incident: stuck\n    every: 1 hour\n    lasts: 5m\n",
            "x.yaml:4: incidents.0.every",
        ),
        ("version: 1\nspeed: 2\n", "x.yaml:2: speed"),
        ("version: [1\n", "x.yaml:2"),
        ("version: 1\nincidents:\n  - {incident: stuck, every: 1h, phase: 2h, lasts: 5m}\n", "phase must be shorter"),
    ],
)
def test_a_bad_scenario_is_refused_by_file_line_and_key(tmp_path, monkeypatch, text, said):
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as refused:
        load_scenario("x.yaml")
    assert said in str(refused.value)


def test_an_unknown_scenario_names_the_known_ones():
    with pytest.raises(ValueError, match="calm, default"):
        load_scenario("storm")


def test_the_command_writes_the_same_bytes_twice_and_the_truth_beside_them(tmp_path):
    from app.commands.simulate import simulate as command

    cli = typer.Typer()
    cli.command()(command)
    said = []
    for name in ("a.parquet", "b.parquet"):
        asked = ["--site", str(ZUNYI), "--seed", "4", "--from", "2026-03-01T08:00:00+08:00", "--for", "10m"]
        result = CliRunner().invoke(cli, [*asked, "--out", str(tmp_path / name), "--json"])
        assert result.exit_code == 0, result.output
        said.append(json.loads(result.stdout))
    assert said[0]["messages"] > 150
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert (tmp_path / "a.parquet.truth.parquet").read_bytes() == (tmp_path / "b.parquet.truth.parquet").read_bytes()


def test_the_command_refuses_an_instant_without_an_offset(tmp_path):
    from app.commands.simulate import simulate as command

    cli = typer.Typer()
    cli.command()(command)
    asked = ["--site", str(ZUNYI), "--seed", "4", "--from", "2026-03-01T08:00:00", "--for", "10m"]
    result = CliRunner().invoke(cli, [*asked, "--out", str(tmp_path / "x.parquet")])
    assert result.exit_code == 2
    assert "offset" in result.output
