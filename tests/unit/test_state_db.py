"""state.db: one transaction or nothing, one engine, an outbox that neither loses nor revives."""

import sqlite3
import threading
from datetime import UTC, datetime

import pytest

from contracts.ports import Notification
from contracts.reasons import Receipt
from store.spans import span_name
from store.state_db import MIGRATIONS, SpanOutOfOrder, SpanRow, StateDb, StateError

EPISODE = {
    "id": "e1",
    "rule": "limit_hour",
    "station": "S1",
    "factor": "a21026",
    "level": "red",
    "state": "firing",
    "opened_at": 5,
    "resolved_at": None,
    "body": {"peak": 58.2, "名": "习水"},
}
FIRED = {"tick": 7, "episode": "e1", "transition": "fired", "body": {"level": "red"}}


@pytest.fixture
def state(tmp_path):
    with StateDb(tmp_path / "state.db") as opened:
        yield opened


def span(seq: int) -> SpanRow:
    return SpanRow(seq, span_name(seq), f"digest{seq}", seq * 10 - 10, seq * 10, seq, seq + 1, {"readings": seq})


def note(key: str, channel: str = "duty") -> Notification:
    return Notification(key=key, channel=channel, body={"text": "超标"})


def noted(key: str, tick_s: int) -> Notification:
    return Notification(f"{key}{tick_s}", "duty", {"tick": datetime.fromtimestamp(tick_s, UTC).isoformat()})


def failed(state: StateDb, key: str, *, at_us: int, next_at_us: int, attempt: int = 1) -> None:
    state.record_receipt(
        key=key, channel="duty", attempt=attempt, at_us=at_us, outcome=Receipt.FAILED, detail="", next_at_us=next_at_us
    )


def test_everything_of_a_span_is_committed_together_and_read_back(state):
    assert (state.engine_cursor(), state.last_span(), state.spans_after(0)) == (None, None, [])
    state.commit_span(span(1), episodes=[EPISODE], transitions=[FIRED], notifications=[note("k")], now_us=9)
    assert state.engine_cursor() == 10
    assert state.spans_after(0) == [span(1)]
    assert state.episodes() == [EPISODE]
    assert state.transitions() == [{"seq": 1, **FIRED}]
    [due] = state.due_notifications(9, 10)
    assert (due.notification, due.attempts, due.created_at) == (note("k"), 0, 9)
    assert state.due_notifications(8, 10) == []


def test_episodes_are_replaced_and_withdrawn(state):
    state.commit_span(span(1), episodes=[EPISODE, {**EPISODE, "id": "e2"}], now_us=0)
    state.commit_span(span(2), episodes=[{**EPISODE, "state": "resolved"}], withdrawn=["e2", "absent"], now_us=0)
    assert state.episodes() == [{**EPISODE, "state": "resolved"}]


def test_a_failure_inside_leaves_nothing_behind(state):
    broken = {**FIRED, "tick": None}
    with pytest.raises(sqlite3.IntegrityError):
        state.commit_span(span(1), episodes=[EPISODE], transitions=[FIRED, broken], now_us=0)
    not_json = Notification("k", "duty", {"value": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        state.commit_span(span(1), episodes=[EPISODE], notifications=[not_json], now_us=0)
    assert (state.last_span(), state.episodes(), state.transitions()) == (None, [], [])
    state.commit_span(span(1), now_us=0)


@pytest.mark.parametrize(
    "wrong",
    [span(1), span(3), SpanRow(2, "f", "d", 11, 20, None, None, {})],
    ids=["again", "gap in seq", "gap in journal"],
)
def test_a_span_that_does_not_follow_the_last_is_refused(state, wrong):
    state.commit_span(span(1), now_us=0)
    with pytest.raises(SpanOutOfOrder, match="second engine"):
        state.commit_span(wrong, episodes=[EPISODE], now_us=0)
    assert state.episodes() == []
    assert state.spans_after(0) == [span(1)]


def test_a_known_notification_is_not_made_pending_again(state):
    state.commit_span(span(1), notifications=[note("k"), note("k", "boss"), note("k")], now_us=1)
    state.record_receipt(key="k", channel="duty", attempt=1, at_us=2, outcome=Receipt.DELIVERED, detail="200")
    state.commit_span(span(2), notifications=[note("k"), note("l")], now_us=3)
    assert [(due.notification.key, due.notification.channel) for due in state.due_notifications(9, 9)] == [
        ("k", "boss"),
        ("l", "duty"),
    ]
    assert [due.notification.channel for due in state.due_notifications(9, 9, channel="duty")] == ["duty"]
    assert len(state.due_notifications(9, 1)) == 1


def test_a_failed_notification_waits_for_its_next_time(state):
    state.commit_span(span(1), notifications=[note("k")], now_us=1)
    failed(state, "k", at_us=2, next_at_us=50)
    assert state.due_notifications(49, 9) == []
    assert state.due_notifications(50, 9)[0].attempts == 1


def test_what_was_delivered_is_never_pending_again(state):
    state.commit_span(span(1), notifications=[note("k")], now_us=1)
    state.record_receipt(key="k", channel="duty", attempt=1, at_us=2, outcome=Receipt.DELIVERED, detail="200")
    failed(state, "k", at_us=3, next_at_us=4)  # a second sender that lost its answer
    assert state.due_notifications(99, 9) == []
    assert state.outbox_counts() == {"delivered": 1}
    assert [row["outcome"] for row in state.receipts()] == ["delivered", "failed"]


@pytest.mark.parametrize("outcome", [Receipt.REFUSED, Receipt.GAVE_UP])
def test_refused_and_given_up_notifications_are_not_due(state, outcome):
    state.commit_span(span(1), notifications=[note("k")], now_us=1)
    state.record_receipt(key="k", channel="duty", attempt=1, at_us=2, outcome=outcome, detail="no")
    assert state.due_notifications(99, 9) == []
    assert state.outbox_counts() == {str(outcome): 1}


def test_a_receipt_must_fit_its_notification(state):
    with pytest.raises(KeyError, match="no notification k for duty"):
        state.record_receipt(key="k", channel="duty", attempt=1, at_us=2, outcome=Receipt.DELIVERED, detail="")
    with pytest.raises(ValueError, match="next_at_us"):
        state.record_receipt(key="k", channel="duty", attempt=1, at_us=2, outcome=Receipt.FAILED, detail="")
    assert state.receipts() == []


def test_cursors_are_kept_by_name(state, tmp_path):
    assert state.cursor("influx") == 0
    state.set_cursor("influx", 7)
    state.set_cursor("archive", 3)
    state.set_cursor("influx", 8)
    with StateDb(tmp_path / "state.db") as other:
        assert (other.cursor("influx"), other.cursor("archive")) == (8, 3)


def test_files_without_a_span_are_deleted_and_others_stay(state, tmp_path):
    spans = tmp_path / "spans"
    spans.mkdir()
    for name in (span_name(1), span_name(2), span_name(2) + ".77.tmp", "other.txt"):
        (spans / name).write_text("")
    state.commit_span(span(1), now_us=0)
    assert [path.name for path in state.delete_unreferenced(spans)] == [span_name(2), span_name(2) + ".77.tmp"]
    assert sorted(path.name for path in spans.iterdir()) == ["other.txt", span_name(1)]


def test_pruned_spans_lose_their_file_and_keep_their_digest(state, tmp_path):
    for seq in (1, 2, 3):
        (tmp_path / span_name(seq)).write_text("")
        state.commit_span(span(seq), now_us=0)
    assert state.prune_spans(2, tmp_path) == 2
    assert [path.name for path in tmp_path.glob("*.span")] == [span_name(3)]
    assert [(row.file, row.digest) for row in state.spans_after(0, limit=2)] == [(None, "digest1"), (None, "digest2")]
    assert state.prune_spans(2, tmp_path) == 0


def test_another_connection_sees_what_was_committed_and_waits_for_the_lock(state, tmp_path):
    """A sender's connection in another thread writes while the engine commits; neither loses anything."""
    rounds = 20
    state.commit_span(span(1), notifications=[note(f"k{n}") for n in range(rounds)], now_us=0)

    def send() -> None:
        with StateDb(tmp_path / "state.db") as sender:
            for n in range(rounds):
                sender.record_receipt(
                    key=f"k{n}", channel="duty", attempt=1, at_us=n, outcome=Receipt.DELIVERED, detail=""
                )

    thread = threading.Thread(target=send)
    thread.start()
    for seq in range(2, 2 + rounds):
        state.commit_span(span(seq), now_us=seq)
    thread.join(30)
    assert not thread.is_alive()
    assert state.outbox_counts() == {"delivered": rounds}
    assert state.last_span().seq == rounds + 1


def test_it_is_durable_by_its_settings(state):
    connection = state._connection
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_a_newer_file_is_refused_in_the_operators_words(tmp_path):
    path = tmp_path / "state.db"
    with StateDb(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(
        StateError, match=rf"has version {len(MIGRATIONS) + 1}, this program knows {len(MIGRATIONS)}.*newer"
    ):
        StateDb(path)


def test_an_older_file_is_migrated_and_a_broken_migration_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "state.db"
    with StateDb(path) as state:
        state.commit_span(span(1), now_us=0)
    monkeypatch.setattr("store.state_db.MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE extra (x)", "CREATE NONSENSE")))
    with pytest.raises(sqlite3.OperationalError):
        StateDb(path)
    monkeypatch.setattr("store.state_db.MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE extra (x)",)))
    with StateDb(path) as state:
        assert state.last_span() == span(1)
        assert state._connection.execute("SELECT count(*) FROM extra").fetchone()[0] == 0


def test_spans_are_found_by_their_ends_and_their_messages_counted(state):
    assert (state.last_seq_upto(99), state.messages_after(0)) == (0, 0)
    for seq in (1, 2, 3):
        row = span(seq)
        state.commit_span(SpanRow(**{**vars(row), "counts": {"messages": seq} if seq > 1 else {}}), now_us=0)
    assert [state.last_seq_upto(us) for us in (0, 9, 10, 25, 30, 99)] == [0, 0, 1, 2, 3, 3]
    assert [state.messages_after(seq) for seq in (0, 2, 3)] == [5, 3, 0]


def test_it_is_kept_from_which_span_on_which_site_and_rules_decided(state):
    assert state.deciders() == {}
    state.commit_span(span(1), now_us=0)  # an earlier release did not say
    state.commit_span(span(2), now_us=0, made_for="a")
    state.commit_span(span(3), now_us=0, made_for="a")
    assert state.deciders() == {2: "a"}
    state.commit_span(span(4), now_us=0, made_for="b")
    assert state.deciders() == {2: "a", 4: "b"}


def test_transitions_and_notifications_are_found_by_their_ticks_and_keys(state):
    history = [{**FIRED, "tick": tick} for tick in (5, 7, 7, 9)]
    state.commit_span(span(1), transitions=history, notifications=[note("k"), note("k", "boss"), note("l")], now_us=1)
    assert [row["tick"] for row in state.transitions_between(5, 7)] == [7, 7]
    assert state.transitions_between(0, 5) == [{**FIRED, "tick": 5}]
    state.commit_span(span(2), notifications=[noted("k", at) for at in (5, 6, 7)], now_us=1)
    assert state.telling.notified_between(5_000_000, 7_000_000) == {("k6", "duty"), ("k7", "duty")}


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_every_earlier_version_is_migrated_with_what_it_holds(tmp_path, version):
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    for statements in MIGRATIONS[:version]:
        for statement in statements:
            connection.execute(statement)
    connection.execute("INSERT INTO spans VALUES (1, 'f', 'd', 0, 10, NULL, NULL, '{}')")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    with StateDb(path) as state:
        assert state.last_span() == SpanRow(1, "f", "d", 0, 10, None, None, {})
        state.commit_span(span(2), now_us=0, made_for="a")
        assert state.deciders() == {2: "a"}
