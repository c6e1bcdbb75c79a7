"""Status tells from the state directory alone how things stand, and says what needs attention and what to do."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.commands.status import WIDTH, as_dict, as_text
from app.health.status import Status, attention, in_words, size_in_words, status_of
from app.influx.gaps import Gap, complete_gap, record_gap
from app.service.collector import journal_directory
from app.service.engine import Engine
from app.service.recovery import write_down
from contracts.channels import Webhook
from contracts.clock import ScaledClock
from contracts.instants import epoch_us
from contracts.ports import Notification, RawMessage
from contracts.reasons import Receipt
from contracts.site import Influx
from rules.spec import LimitRule
from rules.ticks import clock_payload
from store.dead_letters import DeadLetters
from store.journal import Journal, segment_paths
from store.state_db import StateDb
from tests.builders import START, minutes, site

RULES = [LimitRule(id="so2", kind="limit", period="minute", levels={"orange": 1.0})]
SECOND = timedelta(seconds=1)


def payload(at, value):
    body = {"v": 1, "station": "S1", "at": at.isoformat(), "period_s": 60, "kind": "avg", "readings": {"a21026": value}}
    return json.dumps(body).encode()


def write(state_dir, rows, collector="main"):
    """rows: (wall_at, topic, payload)."""
    with Journal(journal_directory(state_dir, collector)) as journal:
        for at, topic, body in rows:
            journal.append([RawMessage("mqtt", topic, body)], at)


def clock(at, collector="main"):
    return (at, f"$clock/{collector}", clock_payload(at))


def minutes_of(values, begin=START):
    """A minute's value, then the clock, minute by minute."""
    rows = [clock(begin)]
    for n, value in enumerate(values, 1):
        at = begin + minutes(n)
        body = b"no json" if value is None else payload(at - minutes(1), value)
        rows += [(at + SECOND, "gi/S1/json", body), clock(at + 40 * SECOND)]
    return rows


def limited(**file):
    return site(limits=[{"period": "minute"}], channels=(Webhook(name="w", url="http://127.0.0.1:9"),), **file)


def decide(state_dir, site_):
    engine = Engine(site_, RULES, state_dir, ScaledClock(START, 1))
    engine.recover()
    while engine.step() is not None:
        pass
    engine.close()


@pytest.fixture
def centre(tmp_path):
    """Four minutes: one below the limit, two above, a broken message. Decided, archived, told: fired, and data lost."""
    write(tmp_path, minutes_of([10, 80, 90, None]))
    decide(tmp_path, limited())
    with StateDb(tmp_path / "state.db") as db:
        db.set_cursor("archive", db.last_span().seq)
        for pending in db.due_notifications(epoch_us(START + minutes(60)), 10):
            receipt(db, pending.notification, Receipt.DELIVERED)
    return tmp_path


def receipt(db, notification, outcome):
    at_us = epoch_us(START)
    db.record_receipt(
        key=notification.key, channel=notification.channel, attempt=1, at_us=at_us, outcome=outcome, detail=""
    )


NOW = START + minutes(4) + 50 * SECOND


def test_a_centre_that_runs_needs_no_attention_and_its_figures_are_told(centre):
    status = status_of(centre, NOW, limited())
    assert attention(status) == []
    (main,) = status.collectors
    assert main.clock_at == main.clock_received_at == START + minutes(4) + 40 * SECOND
    assert (main.last_message_at, main.undecided) == (START + minutes(4) + SECOND, 0)
    assert status.newest_at == main.last_message_at
    decided = status.decided
    assert (decided.clock_at, decided.behind) == (main.clock_at, {"archive": 0})
    assert decided.open_alerts == {"orange": 1}
    assert decided.outbox == {"delivered": 2}
    counts = {key: decided.counts[key] for key in ("messages", "readings", "rejects", "reject:not_json")}
    assert counts == {"messages": 4, "readings": 3, "rejects": 1, "reject:not_json": 1}
    assert status.disk["journal"] > 0
    assert status.disk["spans"] > 0


def test_reading_it_changes_nothing_and_needs_no_writer_to_stop(centre):
    with Journal(journal_directory(centre, "main")) as journal, StateDb(centre / "state.db"):
        before = {path: path.read_bytes() for path in centre.rglob("*.db")}
        status_of(centre, NOW, limited())
        assert {path: path.read_bytes() for path in centre.rglob("*.db")} == before
        journal.append([RawMessage("mqtt", "gi/S1/json", b"x")], NOW)
        (main,) = status_of(centre, NOW, limited()).collectors
        assert (main.undecided, main.last_received_at) == (1, NOW)


def test_counts_are_those_of_the_last_day_of_the_sites_clock(centre):
    write(centre, minutes_of([10], begin=START + timedelta(hours=30)))
    decide(centre, limited())
    counts = status_of(centre, NOW, limited()).decided.counts
    assert (counts["messages"], counts.get("reject:not_json", 0)) == (1, 0)


def test_rows_are_counted_over_several_segments_up_to_the_cursor(tmp_path):
    with Journal(journal_directory(tmp_path, "main"), segment_max_bytes=1) as journal:
        for at, topic, body in minutes_of([1, 2, 3]):
            journal.append([RawMessage("mqtt", topic, body)], at)
    assert len(segment_paths(journal_directory(tmp_path, "main"))) > 3
    (main,) = status_of(tmp_path, NOW).collectors
    assert (main.undecided, main.clock_at) == (3, START + minutes(3) + 40 * SECOND)


def only(found, *words):
    """The one line of attention, and that it says these words."""
    (line,) = found
    assert all(word in line for word in words), line


def test_a_collector_without_a_clock_row_for_more_than_a_minute(centre):
    clock_at = START + minutes(4) + 40 * SECOND
    assert attention(status_of(centre, clock_at + 60 * SECOND, limited())) == []
    only(attention(status_of(centre, clock_at + minutes(5), limited())), "main", "no clock row for 5 min", "broker")


def test_a_collector_whose_clock_is_ahead(centre):
    status = status_of(centre, START, limited())
    only(attention(status), "main", "5 min ahead")
    assert "newest data 4 min ahead;" in " ".join(as_text(status, [], "UTC").split())


def test_a_collector_of_the_site_that_never_spoke(centre):
    only(attention(status_of(centre, NOW, limited(collectors=("main", "east")))), "east", "no clock row")


def test_an_engine_that_does_not_follow_the_clock(centre):
    write(centre, minutes_of([1, 2], begin=START + minutes(10)))
    found = attention(status_of(centre, START + minutes(12) + 50 * SECOND, limited()))
    only(found, "engine", "behind", "running")


def test_notifications_that_reached_nobody_and_one_that_waits(centre):
    with StateDb(centre / "state.db") as db:
        last = db.last_span()
        sent = [Notification(f"k{n}", "w", {}) for n in range(3)]
        at_us = epoch_us(NOW - minutes(11))
        span = type(last)(**{**vars(last), "seq": last.seq + 1, "journal_after": last.journal_to, "file": None})
        db.commit_span(span, notifications=sent, now_us=at_us)
        receipt(db, sent[0], Receipt.GAVE_UP)
        receipt(db, sent[1], Receipt.REFUSED)
    gave_up, refused, waits = attention(status_of(centre, NOW, limited()))
    assert "1 notifications were given up" in gave_up
    assert "refused by their receiver" in refused
    assert "waits for 11 min" in waits


def test_dead_letters_are_counted(centre):
    (centre / "deadletter.ndjson").write_text("{}\n{}\n")
    only(attention(status_of(centre, NOW, limited())), "2 lines", "deadletter.ndjson")


def test_dead_letters_beyond_the_files_bound_are_counted_too(centre):
    DeadLetters(centre / "deadletter.ndjson", bytes_max=20).add([{"n": n} for n in range(5)])
    only(attention(status_of(centre, NOW, limited())), "5 lines", "deadletter.ndjson")


GAP = Gap(3, 7, "2026-03-01T00:00:00+00:00", "2026-03-01T00:05:00+00:00", "InfluxDB behind", NOW.isoformat())


def test_gaps_of_influxdb_are_shown_with_how_far_they_are_and_ask_for_attention_until_they_are_filled(centre):
    record_gap(centre, GAP)
    filling = {"date": "2026-03-01", "table": "verdicts", "station": "S1", "rows": 9}
    complete_gap(centre, replace(GAP, filling=filling))
    status = status_of(centre, NOW, limited())
    only(attention(status), "InfluxDB lacks 5 spans", "influx-gaps.ndjson")
    text = " ".join(as_text(status, [], "UTC").split())
    assert "1 open (5 spans), 0 filled; written up to verdicts of 2026-03-01, station S1" in text
    assert as_dict(status)["influxdb_gaps"][0]["filling"] == filling
    complete_gap(centre, replace(GAP, filled_at=NOW.isoformat()))
    status = status_of(centre, NOW, limited())
    assert attention(status) == []
    assert "0 open (0 spans), 1 filled" in as_text(status, [], "UTC")


def test_a_file_of_gaps_that_cannot_be_read_is_named(centre):
    (centre / "influx-gaps.ndjson").write_text("nonsense\n")
    only(attention(status_of(centre, NOW, limited())), "influx-gaps.ndjson:1", "mend")


def test_differences_a_recovery_found_ask_for_attention_until_they_are_moved_away(centre):
    write_down(centre, [{"part": "verdicts", "first_span": 2}], NOW)
    status = status_of(centre, NOW, limited())
    only(attention(status), "1 differences", "recovery-differences.ndjson", "greenisland verify")
    assert as_dict(status)["recovery_differences"] == 1
    (centre / "recovery-differences.ndjson").rename(centre / "seen")
    assert attention(status_of(centre, NOW, limited())) == []


def test_the_forecast_is_shown_and_asks_for_attention_below_a_week(centre):
    assert "not known before an hour" in as_text(status_of(centre, NOW, limited()), [], "UTC")
    write(centre, minutes_of([10], begin=START + timedelta(hours=30)))
    decide(centre, limited())
    later = START + timedelta(hours=30) + minutes(2)
    status = status_of(centre, later, limited())
    assert status.growth.taken_over == timedelta(hours=24)
    assert status.growth.bytes_per_day["journal"] > 0
    grows = as_dict(status)
    assert grows["disk_growth_bytes_per_day"] == status.growth.bytes_per_day
    assert "a day (taken from the last 24 h)" in as_text(status, [], "UTC")
    small = replace(status, free_bytes=3 * sum(status.growth.bytes_per_day.values()), total_bytes=1)
    only([line for line in attention(small) if "disk" in line], "the disk is full in 3 d", "make room")
    assert as_dict(small)["disk_full_in_s"] == 3 * 86400


def test_a_consumer_that_is_far_behind_says_up_to_when_it_has_come(centre):
    with StateDb(centre / "state.db") as db:
        db.set_cursor("archive", 1)
        ends_us = db.spans_after(0, 1)[0].journal_to
    status = status_of(centre, NOW, limited())
    assert epoch_us(status.decided.finished_to["archive"]) == ends_us
    far = replace(status, decided=replace(status.decided, behind={"archive": 500}))
    assert "500 spans behind, has all received up to 2026-03-01" in " ".join(as_text(far, [], "UTC").split())


def test_influxdb_is_looked_at_only_where_the_site_has_one(centre):
    with_influx = limited(influxdb=Influx(url="http://127.0.0.1:9"))
    spans = status_of(centre, NOW, limited()).decided.span
    assert status_of(centre, NOW, with_influx).decided.behind == {"archive": 0, "influxdb": spans}
    assert status_of(centre, NOW).decided.behind == {"archive": 0}


def test_a_damaged_journal_segment_is_named(centre):
    (path,) = segment_paths(journal_directory(centre, "main"))
    path.write_bytes(b"not a database at all" * 1000)
    found = attention(status_of(centre, NOW, limited()))
    assert any(path.name in line and "backup" in line for line in found)


def test_a_damaged_and_a_missing_span_file_are_named(centre):
    path = sorted((centre / "spans").iterdir())[-1]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    only(attention(status_of(centre, NOW, limited())), path.name, "damaged", "backup")
    path.unlink()
    only(attention(status_of(centre, NOW, limited())), path.name, "gone", "backup")


def test_a_state_db_that_is_none(centre):
    (centre / "state.db").write_bytes(b"x" * 4096)
    for leftover in centre.glob("state.db-*"):
        leftover.unlink()
    only(attention(status_of(centre, NOW, limited())), "state.db cannot be read")


def test_an_empty_directory_is_told_apart_from_a_centre(tmp_path):
    only(attention(status_of(tmp_path, NOW)), "nothing was ever decided", "--state")


def test_a_disk_that_is_nearly_full():
    status = Status(NOW, [], None, 0, {}, free_bytes=4 * 1024**3, total_bytes=100 * 1024**3)
    assert any("nearly full (4.0 GiB free)" in line for line in attention(status))


def test_the_text_fits_eighty_columns_and_ends_with_what_to_do(centre):
    later = status_of(centre, NOW + timedelta(days=3), limited(collectors=("main", "a-collector-of-a-long-name")))
    text = as_text(later, attention(later), "Asia/Shanghai")
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "needs attention:\n- " in text
    assert "2026-03-01T08:04:40+08:00" in text
    assert "orange 1 open" in text


def test_the_command_exits_with_1_and_tells_why_or_with_0(tmp_path):
    assert CliRunner().invoke(app, ["status", "--state", str(tmp_path / "absent")]).exit_code == 2
    result = CliRunner().invoke(app, ["status", "--state", str(tmp_path), "--json"])
    assert (result.exit_code, len(json.loads(result.stdout)["attention"])) == (1, 1)
    now = datetime.now(UTC).replace(microsecond=0)
    write(tmp_path, [clock(now - SECOND), (now, "gi/S1/json", payload(now, 1)), clock(now)])
    decide(tmp_path, limited())
    result = CliRunner().invoke(app, ["status", "--state", str(tmp_path)])
    assert result.exit_code == 0, result.stdout
    assert "all is well" in result.stdout


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (119, "119 s"), (300, "5 min"), (9000, "2 h"), (2e5, "2 d")]
)
def test_ages_are_as_precise_as_anybody_acts_on(seconds, said):
    assert in_words(timedelta(seconds=seconds)) == said


def test_sizes_have_one_place():
    assert [size_in_words(n) for n in (0, 1536, 5 * 1024**4)] == ["0 B", "1.5 KiB", "5.0 TiB"]
