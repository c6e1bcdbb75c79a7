"""A feed played into a real broker is, message for message, what is journalled and what `feed record` gives back."""

import gc
import json
import threading
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from typer.testing import CliRunner

from app.cli import app
from app.feeds.play import PlayError, parse_target, play, select
from app.service.collector import journal_directory
from contracts.clock import SystemClock
from contracts.frames import MESSAGES
from contracts.ports import RawMessage
from contracts.site import Broker
from ingest.mqtt import CollectorMetrics, MqttCollector
from store.feed import read_feed, write_feed
from store.journal import Journal
from store.journal_reader import read_after

from .broker import Mosquitto, wait_until
from .test_collector import certificate

START = datetime(2026, 3, 1, tzinfo=UTC)
TOPIC = "gi/S1/json"
SPACING = timedelta(seconds=1)


def feed_of(count: int, topic: str = TOPIC) -> pl.DataFrame:
    """So many messages, a second apart, each behind a clock row."""
    rows = []
    for n in range(count):
        at = START + n * SPACING
        rows.append((at - timedelta(microseconds=1), "mqtt", "$clock/main", b"%d" % n))
        rows.append((at, "mqtt", topic, b'{"n":%d}' % n))
    return pl.DataFrame(rows, schema=MESSAGES, orient="row")


@pytest.fixture
def broker(tmp_path, free_port, require_program):
    mosquitto = Mosquitto(tmp_path / "mosquitto", free_port(), require_program("mosquitto"))
    mosquitto.add_user("S1", "s")
    mosquitto.add_user("collector-main", "c")
    with mosquitto:
        yield mosquitto


@pytest.fixture
def collecting(broker, tmp_path):
    """A collector that journals below `state` while the test runs."""
    stop, metrics = threading.Event(), CollectorMetrics()
    with Journal(journal_directory(tmp_path / "state", "main")) as journal:
        collector = MqttCollector(
            Broker(host="127.0.0.1", port=broker.port, username="collector-main"),
            "c",
            client_id="greenisland-test-main",
            collector="main",
            journal=journal,
            clock=SystemClock(),
            metrics=metrics,
        )
        thread = threading.Thread(target=collector.run, args=(stop,))
        thread.start()
        try:
            wait_until(lambda: metrics.clock_rows, "the collector's first clock row")
            yield tmp_path / "state"
        finally:
            stop.set()
            thread.join(timeout=20)


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.write_text("s\n", encoding="utf-8")
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["feed", *map(str, arguments)])


def messages_of(state) -> pl.DataFrame:
    rows = read_after(journal_directory(state, "main"), 0, 1_000_000)
    return rows.filter(~pl.col("topic").str.starts_with("$"))


@pytest.mark.server
def test_what_was_played_is_what_was_journalled_and_recorded(broker, collecting, password_file, tmp_path):
    count = 300
    write_feed(feed_of(count), tmp_path / "feed.parquet")
    options = ("--broker", f"mqtt://127.0.0.1:{broker.port}", "--user", "S1", "--password-file", password_file)
    result = run("play", tmp_path / "feed.parquet", *options, "--speed", 0, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["acknowledged"], summary["own_rows"], summary["unpublishable"]) == (count, count, 0)
    wait_until(lambda: messages_of(collecting).height == count, "every played message in the journal")

    result = run("record", "--state", collecting, "--out", tmp_path / "recorded.parquet", "--json")
    assert result.exit_code == 0, result.output
    told, recorded = json.loads(result.stdout), read_feed(tmp_path / "recorded.parquet")
    played = feed_of(count).filter(~pl.col("topic").str.starts_with("$")).select("topic", "payload")
    stations = recorded.filter(~pl.col("topic").str.starts_with("$"))
    assert stations.select("topic", "payload").equals(played)  # in the order played
    assert (told["messages"], told["own_rows"]) == (count, recorded.height - count)
    assert told["own_rows"] > 0
    assert told["rows"] == told["collectors"]["main"] == recorded.height


@pytest.mark.server
def test_the_pace_is_the_recorded_one_divided_by_speed(broker, password_file):
    target = parse_target(f"mqtt://127.0.0.1:{broker.port}", "S1", password_file, None)
    done = play(select(feed_of(5)).messages, target, speed=10)
    assert done.acknowledged == 5
    assert done.seconds >= 0.4  # four spaces of a second, ten times as fast; how much longer is the machine's matter


@pytest.mark.server
@pytest.mark.parametrize(
    ("topic", "password", "said"),
    [("gi/S2/json", "s", "refuses gi/S2/json: Not authorized"), (TOPIC, "wrong", "refuses the connection")],
)
def test_a_refusal_is_told_and_never_counted_as_delivery(broker, password_file, tmp_path, topic, password, said):
    write_feed(feed_of(50, topic), tmp_path / "feed.parquet")
    password_file.write_text(password, encoding="utf-8")
    options = ("--broker", f"mqtt://127.0.0.1:{broker.port}", "--user", "S1", "--password-file", password_file)
    result = run("play", tmp_path / "feed.parquet", *options, "--speed", 0)
    assert result.exit_code == 1, result.output
    assert said in result.stderr
    assert "0 of 50 messages were acknowledged" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.server
def test_a_broker_that_goes_away_ends_the_play_with_how_far_it_came(broker, password_file):
    target = parse_target(f"mqtt://127.0.0.1:{broker.port}", "S1", password_file, None)

    def told(acknowledged: int) -> None:
        if acknowledged == 3:
            broker.kill()

    with pytest.raises(PlayError, match="no connection to") as failed:
        play(select(feed_of(1000)).messages, target, 20, told)
    assert 3 <= failed.value.acknowledged < 1000
    broker.start()  # for the fixture's end


@pytest.mark.server
@pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")  # paho does not close what it distrusts
def test_tls_is_verified_against_the_authority_given(tmp_path, free_port, require_program, password_file):
    require_program("openssl")
    folder = tmp_path / "certificates"
    folder.mkdir()
    certificate(folder, "ca")
    certificate(folder, "stranger")
    certificate(folder, "server", issuer="ca")
    mosquitto = Mosquitto(tmp_path / "mosquitto", free_port(), require_program("mosquitto"), certificates=folder)
    mosquitto.add_user("S1", "s")
    url = f"mqtts://127.0.0.1:{mosquitto.port}"
    with mosquitto:
        trusted = parse_target(url, "S1", password_file, folder / "ca.crt")
        assert play(select(feed_of(3)).messages, trusted, 0).acknowledged == 3
        with pytest.raises(PlayError, match="certificate verify failed"):
            play(select(feed_of(3)).messages, parse_target(url, "S1", password_file, folder / "stranger.crt"), 0)
        with pytest.raises(PlayError, match="certificate verify failed"):  # the system trusts neither
            play(select(feed_of(3)).messages, parse_target(url, "S1", password_file, None), 0)
    gc.collect()


def test_an_absent_broker_is_told_in_words(free_port, tmp_path):
    write_feed(feed_of(2), tmp_path / "feed.parquet")
    port = free_port()
    result = run("play", tmp_path / "feed.parquet", "--broker", f"mqtt://127.0.0.1:{port}", "--speed", 0)
    assert result.exit_code == 1
    assert f"no connection to 127.0.0.1:{port}" in result.stderr
    assert "refused" in result.stderr


@pytest.mark.parametrize(
    "url", ["127.0.0.1:1883", "http://x", "mqtt://", "mqtt://u:p@x", "mqtt://x/topic", "mqtt://x:99999"]
)
def test_what_is_no_broker_is_refused_with_an_example(url):
    with pytest.raises(ValueError, match=r"mqtt://127|--password-file"):
        parse_target(url, None, None, None)


def test_topics_nobody_may_publish_to_are_counted_and_left_out():
    rows = [(START, "mqtt", topic, b"") for topic in ("gi/+/json", "gi/#", "", "a\0b", "$operator", TOPIC)]
    selected = select(pl.DataFrame(rows, schema=MESSAGES, orient="row"))
    assert (selected.messages["topic"].to_list(), selected.own, selected.unpublishable) == ([TOPIC], 1, 4)


def journalled(state, collector: str, count: int) -> None:
    with Journal(journal_directory(state, collector), segment_max_bytes=1) as journal:
        for n in range(count):
            journal.append([RawMessage("mqtt", TOPIC, b"%d" % n)], START + n * SPACING)


def test_a_span_of_all_collectors_is_recorded_with_its_first_and_without_its_last_instant(tmp_path):
    for collector, count in (("east", 10), ("main", 20)):
        journalled(tmp_path, collector, count)
    bounds = ("--from", (START + 5 * SPACING).isoformat(), "--to", (START + 12 * SPACING).isoformat())
    result = run("record", "--state", tmp_path, "--out", tmp_path / "feed.parquet", *bounds, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["collectors"] == {"east": 5, "main": 7}
    # both took in the same bytes at the same instants: a feed is a set
    assert [int(payload) for payload in read_feed(tmp_path / "feed.parquet")["payload"]] == list(range(5, 12))


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--from", "2026-03-01"), 2, "no offset"),
        (("--from", "yesterday"), 2, "not an instant"),
        (("--from", "2026-03-02T00:00:00Z", "--to", "2026-03-01T00:00:00Z"), 2, "is not before"),
        (("--from", "2030-01-01T00:00:00Z"), 1, "nothing of that span"),
    ],
)
def test_a_span_that_cannot_be_recorded_is_told_and_writes_nothing(tmp_path, options, code, said):
    journalled(tmp_path, "main", 2)
    result = run("record", "--state", tmp_path, "--out", tmp_path / "feed.parquet", *options)
    assert (result.exit_code, said in " ".join(result.stderr.split())) == (code, True), result.stderr
    assert not (tmp_path / "feed.parquet").exists()


def test_a_folder_without_journals_and_a_journal_that_is_none_are_told(tmp_path):
    result = run("record", "--state", tmp_path, "--out", tmp_path / "feed.parquet")
    told = " ".join(result.stderr.replace("│", " ").split())  # the box breaks lines where the path is long
    assert (result.exit_code, "no collector" in told) == (2, True)
    directory = journal_directory(tmp_path, "main")
    directory.mkdir(parents=True)
    (directory / "journal-00000001.db").write_bytes(b"x" * 5000)
    result = run("record", "--state", tmp_path, "--out", tmp_path / "feed.parquet")
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True), result.stderr
